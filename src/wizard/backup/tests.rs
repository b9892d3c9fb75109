use serde_json::{Value, json};

use super::*;
use crate::wizard::found::Namespace;
use crate::wizard::prompter::{Halt, Nobody};
use crate::wizard::scripted::{Line, Scripted};
use crate::wizard::target::tests::shop;
use crate::wizard::walk::Walk;

pub(in crate::wizard) fn catalog(found: &mut Found) {
    let manifests = crate::cli::manifests::Manifests::new("kubestash", "image").unwrap();
    for object in manifests.catalog.into_iter().filter(|o| o["kind"] == "Addon") {
        found.add(&kinds::ADDON, object);
    }
}

pub(in crate::wizard) fn storage(namespace: &str, name: &str, allowed: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace},
        "spec": {"storage": {"provider": "s3", "s3": {"bucket": name, "endpoint": "http://minio:9000", "secretName": "k"}},
            "usagePolicy": {"allowedNamespaces": {"from": allowed}}},
        "status": {"phase": "Ready", "totalSize": "2.000 GiB"}})
}

fn policy(name: &str, default: bool) -> Value {
    json!({"metadata": {"name": name, "namespace": "demo"}, "spec": {"successfulSnapshots": {"daily": 7}, "default": default}})
}

fn found(change: impl FnOnce(&mut Found)) -> Arc<Found> {
    let mut found = Found {
        namespace: "demo".into(),
        now: "2026-11-21T12:00:00Z".parse().unwrap(),
        namespaces: vec![Namespace {
            name: "demo".into(),
            ..Namespace::default()
        }],
        targets: shop(),
        ..Found::default()
    };
    catalog(&mut found);
    change(&mut found);
    Arc::new(found)
}

fn usual(found: &mut Found) {
    found.add(&kinds::BACKUP_STORAGE, storage("demo", "s3", "Same"));
    found.add(&kinds::RETENTION_POLICY, policy("keep-week", false));
}

fn run(answers: BackupAnswers, found: Arc<Found>, prompter: &mut dyn Prompter) -> (Reply<()>, State) {
    let mut state = State::new(answers, found);
    let ended = Walk::default().run(&mut state, STEPS, prompter);
    (ended, state)
}

fn given(target: &str) -> BackupAnswers {
    BackupAnswers {
        target: Some(target.into()),
        schedule: Some("0 3 * * *".into()),
        ..BackupAnswers::default()
    }
}

fn failed(answers: BackupAnswers, found: Arc<Found>) -> String {
    match run(answers, found, &mut Nobody::default()).0 {
        Err(Halt::Failed(message, _)) => message,
        other => format!("{other:?}"),
    }
}

#[test]
fn flags_and_good_guesses_make_a_whole_configuration() {
    let mut nobody = Nobody::default();
    let (ended, state) = run(given("pvc/documents"), found(usual), &mut nobody);
    assert_eq!((ended, nobody.missing.as_slice()), (Ok(()), [].as_slice()));
    let objects = manifests(&state).unwrap();
    assert_eq!(objects.len(), 2);
    assert_eq!(
        objects[0]["metadata"],
        json!({"name": "backup-encryption", "namespace": "demo"})
    );
    assert!(objects[0]["data"]["RESTIC_PASSWORD"].as_str().unwrap().len() > 40);
    assert_eq!(
        objects[1]["spec"],
        json!({
            "target": {"apiGroup": "", "kind": "PersistentVolumeClaim", "namespace": "demo", "name": "documents"},
            "backends": [{"name": "s3", "storageRef": {"name": "s3", "namespace": "demo"},
                "retentionPolicy": {"name": "keep-week", "namespace": "demo"}}],
            "sessions": [{
                "name": "daily",
                "scheduler": {"schedule": "0 3 * * *", "jobTemplate": {"backoffLimit": 1}},
                "repositories": [{"name": "documents", "backend": "s3", "directory": "/demo/documents",
                    "encryptionSecret": {"name": "backup-encryption", "namespace": "demo"}}],
                "addon": {"name": "pvc-addon", "tasks": [{"name": "logical-backup"}],
                    "jobTemplate": {"spec": {"securityContext": {"runAsUser": 0}}}},
            }],
        })
    );
}

#[test]
fn a_workload_gets_its_paths_and_its_user() {
    let mut nobody = Nobody::default();
    let (ended, state) = run(given("sts/db"), found(usual), &mut nobody);
    assert_eq!(ended, Ok(()));
    let addon = manifests(&state).unwrap()[1]["spec"]["sessions"][0]["addon"].clone();
    assert_eq!(
        addon,
        json!({"name": "workload-addon", "tasks": [{"name": "logical-backup", "params": {"paths": "/var/lib/db"}}],
            "jobTemplate": {"spec": {"securityContext": {"runAsUser": 999}}}})
    );
    assert!(nobody.assumed.contains(&("--paths".into(), "/var/lib/db".into())));
}

#[test]
fn paths_beside_every_mount_are_refused_with_what_is_mounted() {
    for (target, paths, mounted) in [
        (
            "sts/db",
            "/var/lib/db/sub,/srv/db",
            "mounted are: /etc/db, /var/lib/db",
        ),
        ("pvc/documents", "/data", "mounted are: /kubestash-data"),
    ] {
        let answers = BackupAnswers {
            paths: Some(paths.into()),
            ..given(target)
        };
        let (ended, _) = run(answers, found(usual), &mut Nobody::default());
        let text = format!("{ended:?}");
        assert!(
            text.contains("outside every volume") && text.contains(mounted),
            "{text}"
        );
    }
    for (target, paths) in [
        ("sts/db", "/var/lib"),
        ("sts/db", "/var/lib/db/wal"),
        ("pvc/documents", "/kubestash-data/a"),
    ] {
        let answers = BackupAnswers {
            paths: Some(paths.into()),
            ..given(target)
        };
        let (ended, _) = run(answers, found(usual), &mut Nobody::default());
        assert_eq!(ended, Ok(()), "{paths}");
    }
}

#[test]
fn nobody_is_told_every_missing_flag_at_once() {
    let mut nobody = Nobody::default();
    let (ended, _) = run(BackupAnswers::default(), found(|_| {}), &mut nobody);
    assert_eq!(ended, Ok(()));
    let flags: Vec<&str> = nobody.missing.iter().map(|(f, _)| f.as_str()).collect();
    assert_eq!(flags, ["--target", "--storage", "--schedule", "--retention"]);
    let mut nobody = Nobody::default();
    let several = found(|f| {
        usual(f);
        f.add(&kinds::BACKUP_STORAGE, storage("ops", "shared", "All"));
        f.add(&kinds::BACKUP_STORAGE, storage("ops", "private", "Same"));
    });
    let (_, _) = run(given("pvc/documents"), several, &mut nobody);
    assert_eq!(
        nobody.missing,
        [("--storage".to_owned(), "one of s3, ops/shared".to_owned())]
    );
}

#[test]
fn the_whole_wizard_with_steps_back() {
    let mut script = Scripted::new([
        Line::text("pvc/documents"),
        Line::Back,
        Line::text("statefulset/db"),
        Line::text("shop-db"),
        Line::Default,
        Line::Several(vec!["exclude".into()]),
        Line::text("*.tmp"),
        Line::Default,
        Line::text("another"),
        Line::text("30 3 * * 1-5"),
        Line::Confirm(true),
        Line::text("hourly"),
        Line::text("every hour"),
        Line::Confirm(false),
        Line::text("a new policy"),
        Line::Back,
        Line::text("a new policy"),
        Line::text("year"),
        Line::text("0"),
    ]);
    let (ended, state) = run(BackupAnswers::default(), found(usual), &mut script);
    assert_eq!(
        (ended, script.left()),
        (Ok(()), 0),
        "{}\n{:?}",
        script.shown,
        script.asked
    );
    assert!(script.shown.contains("at 03:30"), "{}", script.shown);
    let objects = manifests(&state).unwrap();
    let kinds: Vec<&str> = objects.iter().map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Secret", "RetentionPolicy", "BackupConfiguration"]);
    assert_eq!(objects[1]["metadata"]["name"], "keep-year");
    let sessions = objects[2]["spec"]["sessions"].as_array().unwrap();
    assert_eq!(
        sessions
            .iter()
            .map(|s| (&s["name"], &s["scheduler"]["schedule"]))
            .collect::<Vec<_>>(),
        [
            (&json!("weekly"), &json!("30 3 * * 1-5")),
            (&json!("hourly"), &json!("0 * * * *"))
        ]
    );
    assert_eq!(
        sessions[0]["addon"]["tasks"][0]["params"],
        json!({"paths": "/var/lib/db", "exclude": "*.tmp"})
    );
    let line = crate::wizard::answers::command_line("create backup", "demo", &state.answers);
    assert_eq!(
        line,
        "kubectl kubestash create backup shop-db -n demo --target statefulset/db --paths /var/lib/db --exclude '*.tmp' --storage s3 --session 'weekly=30 3 * * 1-5' --session 'hourly=0 * * * *' --retention keep-year --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --encryption-secret backup-encryption --run-as-user 0"
    );
}

#[test]
fn what_the_command_line_says_makes_the_same_manifests() {
    let mut script = Scripted::new([
        Line::text("pvc/documents"),
        Line::Default,
        Line::Default,
        Line::Default,
        Line::text("every night at 02:00"),
        Line::Default,
        Line::Default,
        Line::Default,
    ]);
    let (ended, asked) = run(BackupAnswers::default(), found(usual), &mut script);
    assert_eq!((ended, script.left()), (Ok(()), 0), "{}", script.shown);
    let (_, again) = run(asked.answers.clone(), found(usual), &mut Nobody::default());
    assert_eq!(manifests(&asked).unwrap()[1], manifests(&again).unwrap()[1]);
}

#[test]
fn secrets_and_repositories_that_exist_are_used_again() {
    let with_secret = found(|f| {
        usual(f);
        f.add(
            &kinds::SECRET,
            json!({"metadata": {"name": "pw"}, "data": {"RESTIC_PASSWORD": "eA=="}}),
        );
        f.add(
            &kinds::REPOSITORY,
            json!({"metadata": {"name": "documents", "namespace": "demo"}, "spec": {"path": "/old",
                "appRef": {"kind": "PersistentVolumeClaim", "namespace": "demo", "name": "documents"},
                "storageRef": {"name": "s3", "namespace": "demo"}, "encryptionSecret": {"name": "pw", "namespace": "demo"}}}),
        );
        f.add(
            &kinds::REPOSITORY,
            json!({"metadata": {"name": "db", "namespace": "demo"}, "spec": {"path": "/x",
                "appRef": {"kind": "Deployment", "name": "other"}, "storageRef": {"name": "s3", "namespace": "demo"}}}),
        );
    });
    let (ended, state) = run(
        given("pvc/documents"),
        with_secret.clone(),
        &mut Nobody::default(),
    );
    assert_eq!(ended, Ok(()));
    let objects = manifests(&state).unwrap();
    assert_eq!(objects.len(), 1, "no Secret is made");
    let repository = &objects[0]["spec"]["sessions"][0]["repositories"][0];
    assert_eq!(
        (&repository["directory"], &repository["encryptionSecret"]["name"]),
        (&json!("/old"), &json!("pw"))
    );
    let (ended, state) = run(given("sts/db"), with_secret, &mut Nobody::default());
    assert_eq!(ended, Ok(()));
    let objects = manifests(&state).unwrap();
    let repository = &objects.last().unwrap()["spec"]["sessions"][0]["repositories"][0];
    assert_eq!(
        repository["name"], "db-2",
        "another application's Repository is left alone"
    );
}

#[test]
fn what_cannot_be_right_is_said_before_anything_is_made() {
    let with = |change: fn(&mut BackupAnswers)| {
        let mut answers = given("pvc/documents");
        change(&mut answers);
        failed(answers, found(usual))
    };
    assert!(with(|a| a.target = Some("pvc/nothing".into())).contains("nothing in namespace demo not found"));
    assert!(with(|a| a.target = Some("documents".into())).contains("say of which kind"));
    assert!(with(|a| a.schedule = Some("0 3 * *".into())).contains("5 fields"));
    assert!(with(|a| a.storage = Some("nowhere".into())).contains("BackupStorage nowhere"));
    assert!(with(|a| a.retention = Some("none".into())).contains("RetentionPolicy none"));
    assert!(with(|a| a.param = vec!["colour=red".into()]).contains("no parameter colour"));
    assert!(with(|a| a.addon = Some("x".into())).contains("Addon x not found"));
    assert!(with(|a| a.task = Some("x".into())).contains("no task x"));
    // The rules of the webhooks speak before the webhooks do.
    let foreign = found(|f| {
        usual(f);
        f.add(&kinds::BACKUP_STORAGE, storage("ops", "private", "Same"));
    });
    let mut answers = given("pvc/documents");
    answers.storage = Some("ops/private".into());
    assert!(
        failed(answers, foreign).contains("usage"),
        "the usage policy is not asked"
    );
}

#[test]
fn where_no_root_is_allowed_none_is_proposed() {
    let restricted = found(|f| {
        usual(f);
        f.namespaces[0]
            .labels
            .insert("pod-security.kubernetes.io/enforce".into(), "restricted".into());
    });
    let (ended, state) = run(given("pvc/documents"), restricted, &mut Nobody::default());
    assert_eq!((ended, state.answers.run_as_user), (Ok(()), Some(65534)));
}

#[test]
fn rules_of_ones_own_make_a_policy_with_a_name() {
    let some = found(|f| f.add(&kinds::BACKUP_STORAGE, storage("demo", "s3", "Same")));
    let answers = BackupAnswers {
        run_as_user: Some(0),
        ..given("pvc/documents")
    };
    let mut script = Scripted::new(["own rules", "3", "", "", "", "", "", ""].map(Line::text));
    let mut state = State::new(
        BackupAnswers {
            name: Some("documents".into()),
            storage: Some("s3".into()),
            ..answers
        },
        some,
    );
    state.params_to_ask = Some(Vec::new());
    state.sessions_done = true;
    assert_eq!(
        Walk::default().run(&mut state, STEPS, &mut script),
        Ok(()),
        "{}",
        script.shown
    );
    assert_eq!(state.answers.retention.as_deref(), Some("documents-retention"));
    let objects = manifests(&state).expect("complete");
    assert_eq!(objects[1]["spec"]["successfulSnapshots"], json!({"last": 3}));
}

#[test]
fn without_a_storage_one_is_made_on_the_way() {
    let answers = BackupAnswers {
        name: Some("documents".into()),
        paths: Some("/kubestash-data".into()),
        ..given("pvc/documents")
    };
    let mut state = State::new(answers, found(|_| {}));
    state.params_to_ask = Some(Vec::new());
    let mut walk = Walk::default();
    let mut script = Scripted::new([Line::text("make one now")]);
    let halted = walk.run(&mut state, STEPS, &mut script);
    assert_eq!(halted, Err(Halt::MakeStorage), "{}", script.shown);
    let made = found(|f| f.add(&kinds::BACKUP_STORAGE, storage("demo", "s3", "Same")));
    walk.each(|before| before.look_again(made.clone()));
    state.look_again(made);
    let mut script = Scripted::new([Line::Default]);
    // The next question has no line in the script; by then the storage is chosen.
    let _ = walk.run(&mut state, STEPS, &mut script);
    assert_eq!(state.answers.storage.as_deref(), Some("s3"));
}
