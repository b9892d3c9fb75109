use super::*;
use crate::wizard::backup::tests::{catalog, storage};
use crate::wizard::found::Namespace;
use crate::wizard::prompter::{Halt, Nobody};
use crate::wizard::scripted::{Line, Scripted};
use crate::wizard::target::tests::shop;
use crate::wizard::walk::Walk;

fn snapshot(name: &str, phase: &str, time: &str, components: &[&str]) -> Value {
    let components: serde_json::Map<String, Value> = components
        .iter()
        .map(|c| ((*c).to_owned(), json!({"phase": phase, "size": "1.000 MiB"})))
        .collect();
    json!({"metadata": {"name": name, "namespace": "demo"},
        "spec": {"repository": "db", "session": "daily", "backupSession": "b", "snapshotID": "01", "type": "FullBackup",
            "version": "v1", "appRef": {"kind": "StatefulSet", "name": "db"}},
        "status": {"phase": phase, "snapshotTime": time, "size": "3.000 MiB", "components": components}})
}

fn found() -> Arc<Found> {
    let mut found = Found {
        namespace: "demo".into(),
        now: "2026-11-21T12:00:00Z".parse().unwrap(),
        namespaces: ["demo", "other"]
            .map(|name| Namespace {
                name: name.into(),
                ..Namespace::default()
            })
            .to_vec(),
        targets: shop(),
        ..Found::default()
    };
    catalog(&mut found);
    found.add(&kinds::BACKUP_STORAGE, storage("demo", "s3", "Same"));
    found.add(
        &kinds::REPOSITORY,
        json!({"metadata": {"name": "db", "namespace": "demo"}, "spec": {"path": "/db",
            "appRef": {"apiGroup": "apps", "kind": "StatefulSet", "namespace": "demo", "name": "db"},
            "storageRef": {"name": "s3", "namespace": "demo"}},
            "status": {"snapshotCount": 2, "size": "3.000 MiB", "lastBackupTime": "2026-11-21T02:00:00Z"}}),
    );
    for object in [
        snapshot(
            "db-1",
            "Succeeded",
            "2026-11-20T02:00:00Z",
            &["dump-pod-0", "dump-pod-1"],
        ),
        snapshot(
            "db-2",
            "Succeeded",
            "2026-11-21T02:00:00Z",
            &["dump-pod-0", "dump-pod-1"],
        ),
        snapshot("db-3", "Failed", "2026-11-21T03:00:00Z", &["dump-pod-0"]),
    ] {
        found.add(&kinds::SNAPSHOT, object);
    }
    Arc::new(found)
}

fn run(answers: RestoreAnswers, prompter: &mut dyn Prompter) -> (Reply<()>, State) {
    let mut state = State::new(answers, found());
    let ended = Walk::default().run(&mut state, STEPS, prompter);
    (ended, state)
}

fn from_db() -> RestoreAnswers {
    RestoreAnswers {
        repo: Some("db".into()),
        ..RestoreAnswers::default()
    }
}

fn failed(answers: RestoreAnswers) -> String {
    match run(answers, &mut Nobody::default()).0 {
        Err(Halt::Failed(message, _)) => message,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_repository_alone_restores_its_newest_snapshot_in_place() {
    let mut nobody = Nobody::default();
    let (ended, state) = run(from_db(), &mut nobody);
    assert_eq!((ended, nobody.missing.len()), (Ok(()), 0));
    let object = &manifests(&state).unwrap()[0];
    assert_eq!(object["metadata"]["name"], "db-restore-1795262400");
    assert_eq!(
        object["spec"],
        json!({
            "target": {"apiGroup": "apps", "kind": "StatefulSet", "namespace": "demo", "name": "db"},
            "dataSource": {"repository": "db", "snapshot": "latest"},
            "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup-restore"}]},
        })
    );
    let mut nobody = Nobody::default();
    let (_, state) = run(RestoreAnswers::default(), &mut nobody);
    assert_eq!(nobody.missing, [("--repo".to_owned(), "one of db".to_owned())]);
    assert!(manifests(&state).is_none(), "a Repository is never guessed");
}

#[test]
fn the_whole_wizard_with_steps_back() {
    let mut script = Scripted::new([
        Line::text("db"),
        Line::text("latest"),
        Line::Back,
        Line::text("db-1"),
        Line::Several(vec!["dump-pod-0".into()]),
        Line::text("in another namespace"),
        Line::text("other"),
        Line::Back,
        Line::Back,
        Line::text("in another namespace"),
        Line::text("other"),
        Line::text("sts/db"),
        Line::text("some files"),
        Line::text("*.conf"),
    ]);
    let (ended, state) = run(RestoreAnswers::default(), &mut script);
    assert_eq!(
        (ended, script.left()),
        (Ok(()), 0),
        "{}\n{:?}",
        script.shown,
        script.asked
    );
    assert!(
        script
            .shown
            .contains("of statefulset/db · 2 Snapshots · 3.000 MiB · last backup 10h ago")
    );
    assert!(
        script
            .shown
            .contains("db-1  Fri 20 Nov 2026 02:00 UTC (34h ago) · 3.000 MiB · session daily · 2 components"),
        "{}",
        script.shown
    );
    assert!(!script.shown.contains("db-3"), "what failed is not offered");
    let object = &manifests(&state).unwrap()[0];
    assert_eq!(
        object["spec"],
        json!({
            "target": {"apiGroup": "apps", "kind": "StatefulSet", "namespace": "other", "name": "db"},
            "dataSource": {"repository": "db", "snapshot": "db-1", "components": ["dump-pod-0"]},
            "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup-restore", "params": {"include": "*.conf"}}]},
        })
    );
}

#[test]
fn what_cannot_be_right_is_said_before_anything_is_made() {
    let with = |change: fn(&mut RestoreAnswers)| {
        let mut answers = from_db();
        change(&mut answers);
        failed(answers)
    };
    assert!(with(|a| a.repo = Some("nothing".into())).contains("Repository nothing in namespace demo"));
    assert!(with(|a| a.snapshot = Some("db-9".into())).contains("no Snapshot db-9"));
    assert!(with(|a| a.snapshot = Some("db-3".into())).contains("did not succeed"));
    assert!(with(|a| a.components = vec!["dump-pod-7".into()]).contains("no component dump-pod-7"));
    assert!(with(|a| a.target = Some("sts/gone".into())).contains("gone in namespace demo not found"));
    assert!(with(|a| a.target = Some("pvc/documents".into())).contains("whose paths"));
    assert!(with(|a| a.param = vec!["x=y".into()]).contains("no parameter x"));
}
