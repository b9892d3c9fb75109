use serde_json::json;

use super::*;
use crate::api::addons::Task;
use crate::api::storage::ComponentPhase;
use crate::decide::{plan::tests::facts, target::tests as targets};

fn source(value: serde_json::Value) -> RestoreDataSource {
    serde_json::from_value(value).unwrap()
}

fn snapshot(name: &str, at: &str, phase: &str, components: &[&str]) -> Snapshot {
    let components: serde_json::Map<_, _> = components
        .iter()
        .map(|component| {
            (
                (*component).to_owned(),
                json!({"phase": "Succeeded", "path": format!("repository/v1/daily/{component}"),
                       "resticStats": [{"summary": {"id": format!("id-{component}"), "hostPath": "/source/data", "size": "5 B"}}]}),
            )
        })
        .collect();
    serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"snapshotID": "x", "repository": "repo", "session": "daily", "backupSession": "bs", "version": "v1",
                 "appRef": {"apiGroup": "apps", "kind": "StatefulSet", "namespace": "demo", "name": "db"}},
        "status": {"phase": phase, "snapshotTime": at, "components": components}}))
    .unwrap()
}

fn task() -> SessionTask {
    SessionTask {
        task: serde_json::from_value::<Task>(json!({"name": "logical-backup-restore", "function": "workload-restore"})).unwrap(),
        reference: serde_json::from_value(json!({"name": "logical-backup-restore"})).unwrap(),
        function: serde_json::from_value(json!({"args": ["job", "workload-restore", "--restoresession=${restoreSession:=}", "--snapshot=${snapshot:=}"]})).unwrap(),
    }
}

fn session(value: &serde_json::Value) -> RestoreSession {
    serde_json::from_value(
        json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": {"name": "back", "namespace": "demo"}, "spec": value}),
    )
    .unwrap()
}

#[test]
fn latest_is_the_newest_success_that_has_the_components() {
    let all = [
        snapshot(
            "old",
            "2026-01-01T00:00:00Z",
            "Succeeded",
            &["dump-pod-0", "dump-pod-1"],
        ),
        snapshot("new", "2026-01-02T00:00:00Z", "Succeeded", &["dump-pod-0"]),
        snapshot(
            "failed",
            "2026-01-03T00:00:00Z",
            "Failed",
            &["dump-pod-0", "dump-pod-1"],
        ),
    ];
    let chosen = |value| choose(&source(value), &all).map(kube::ResourceExt::name_any);
    assert_eq!(
        chosen(json!({"repository": "repo", "snapshot": "latest"})),
        Ok("new".into())
    );
    assert_eq!(
        chosen(json!({"repository": "repo", "snapshot": "latest", "components": ["dump-pod-1"]})),
        Ok("old".into())
    );
    assert!(
        chosen(json!({"repository": "other", "snapshot": "latest"}))
            .unwrap_err()
            .contains("\"other\"")
    );
    let gone =
        chosen(json!({"repository": "repo", "snapshot": "latest", "components": ["gone"]})).unwrap_err();
    assert!(
        gone.starts_with("Snapshot \"new\" has no component \"gone\"; it has: dump-pod-0;"),
        "{gone}"
    );
    let pitr = |exclusive: bool| json!({"repository": "repo", "pitr": {"targetTime": "2026-01-02T00:00:00Z", "exclusive": exclusive}});
    assert_eq!(chosen(pitr(false)), Ok("new".into()));
    assert_eq!(chosen(pitr(true)), Ok("old".into()));
}

#[test]
fn what_cannot_be_right_is_refused() {
    let stateful: TypedObjectReference = targets::stateful_set(2).reference;
    let claim: TypedObjectReference =
        serde_json::from_value(json!({"kind": "PersistentVolumeClaim", "namespace": "demo", "name": "p"}))
            .unwrap();
    let whole = snapshot(
        "s",
        "2026-01-01T00:00:00Z",
        "Succeeded",
        &["dump-pod-0", "dump-pod-1"],
    );
    let check = |value, snapshot: &Snapshot, target: &TypedObjectReference| {
        parts(&source(value), snapshot, &[task()], target)
    };
    assert_eq!(check(json!({}), &whole, &stateful).unwrap().len(), 2);
    assert_eq!(
        check(json!({"components": ["dump-pod-1"]}), &whole, &stateful).unwrap()[0].instance,
        Instance::Pod(1)
    );
    assert!(
        check(json!({"components": ["dump-pod-7"]}), &whole, &stateful)
            .unwrap_err()
            .contains("it has: dump-pod-0, dump-pod-1")
    );
    let other = check(json!({}), &whole, &claim).unwrap_err();
    assert!(
        other.contains("another kind of application") && other.contains("StatefulSet demo/db"),
        "{other}"
    );
    let deployment: TypedObjectReference = serde_json::from_value(
        json!({"apiGroup": "apps", "kind": "Deployment", "namespace": "demo", "name": "web"}),
    )
    .unwrap();
    let mut volume = snapshot("v", "2026-01-01T00:00:00Z", "Succeeded", &["dump"]);
    volume.spec.app_ref = Some(claim.clone());
    assert!(
        check(json!({}), &volume, &deployment)
            .unwrap_err()
            .contains("PersistentVolumeClaim demo/p")
    );
    let mut told = task();
    told.reference.target_volumes = Some(Default::default());
    assert!(parts(&source(json!({})), &volume, &[told], &deployment).is_ok());
    let mut empty = whole.clone();
    for component in empty.status.as_mut().unwrap().components.values_mut() {
        component.restic_stats.clear();
    }
    assert!(
        check(json!({}), &empty, &stateful)
            .unwrap_err()
            .contains("is empty")
    );
    for component in empty.status.as_mut().unwrap().components.values_mut() {
        component.restic_stats = serde_json::from_value(
            json!([{"id": "x", "uri": "", "summary": {"id": "x", "hostPath": "/source/data", "size": "0 B"}}]),
        )
        .unwrap();
    }
    assert!(check(json!({}), &empty, &stateful).is_err());
    let mut meant = task();
    meant.reference.params = serde_json::from_value(json!({"allowEmpty": "true"})).unwrap();
    assert!(parts(&source(json!({})), &empty, &[meant], &stateful).is_ok());
    let mut partial = whole.clone();
    partial
        .status
        .as_mut()
        .unwrap()
        .components
        .get_mut("dump-pod-1")
        .unwrap()
        .phase = Some(ComponentPhase::Failed);
    assert!(
        check(json!({}), &partial, &stateful)
            .unwrap_err()
            .contains("did not succeed")
    );
    assert!(
        check(json!({"components": ["dump-pod-0"]}), &partial, &stateful).is_ok(),
        "the whole part of a partial backup may be had"
    );
    let other = fits(&source(json!({"repository": "mine", "snapshot": "s"})), &whole).unwrap_err();
    assert!(
        other.contains("belongs to Repository \"repo\"") && other.contains("StatefulSet demo/db"),
        "{other}"
    );
}

#[test]
fn a_job_per_pod_runs_as_root_and_writes_to_its_claim() {
    let session = session(
        &json!({"dataSource": {"repository": "repo", "snapshot": "latest"},
        "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup-restore"}]}}),
    );
    let snapshot = snapshot(
        "repo-bc-daily-1",
        "2026-01-01T00:00:00Z",
        "Succeeded",
        &["dump-pod-0", "dump-pod-1"],
    );
    let target = targets::stateful_set(2);
    let tasks = [task()];
    let parts = parts(
        session.spec.data_source.as_ref().unwrap(),
        &snapshot,
        &tasks,
        &target.reference,
    )
    .unwrap();
    let claims = BTreeMap::from([(
        "data-db-1".to_owned(),
        targets::claim("data-db-1", "ReadWriteOnce"),
    )]);
    let jobs = jobs(&RestoreFacts {
        session: &session,
        tasks: &tasks,
        target: &target,
        snapshot: &snapshot,
        repository: &facts("repo"),
        parts: &parts,
        claims: &claims,
        cluster: "uid",
        operator: &OperatorFacts {
            image: "r/ours:1".into(),
            proxy: Vec::new(),
        },
        deadline: None,
    })
    .unwrap();
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[1].job.name_any(), "back-pod-1");
    let pod = jobs[1].job.spec.clone().unwrap().template.spec.unwrap();
    assert_eq!(pod.security_context.clone().unwrap().run_as_user, Some(0));
    let mount = pod.containers[0]
        .volume_mounts
        .iter()
        .flatten()
        .find(|m| m.mount_path == "/source/data")
        .cloned()
        .unwrap();
    assert_ne!(mount.read_only, Some(true));
    assert_eq!(jobs[1].claims, ["data-db-1"]);
    assert!(pod.affinity.is_some(), "it follows the pod that holds the claim");
    let text = &jobs[1].secret.data.as_ref().unwrap()["plan.json"].0;
    let JobPlan::Restore(plan) = serde_json::from_slice(text).unwrap() else {
        panic!()
    };
    assert_eq!(plan.target.restic[0].id, "id-dump-pod-1");
    assert_eq!(plan.target.component_path, "repository/v1/daily/dump-pod-1");
    assert!(
        pod.containers[0]
            .args
            .as_ref()
            .unwrap()
            .contains(&"--snapshot=repo-bc-daily-1".to_owned())
    );
}

#[test]
fn the_target_is_the_snapshots_application_unless_given_or_moved() {
    let snapshot = snapshot("s", "2026-01-01T00:00:00Z", "Succeeded", &[]);
    assert_eq!(target(&session(&json!({})), &snapshot).unwrap().name, "db");
    let moved = session(&json!({"manifestOptions": {"workload": {"restoreNamespace": "other"}}}));
    assert_eq!(
        target(&moved, &snapshot).unwrap().namespace.as_deref(),
        Some("other")
    );
    let given = session(&json!({"target": {"kind": "PersistentVolumeClaim", "name": "p"}}));
    assert_eq!(target(&given, &snapshot).unwrap().name, "p");
}

#[test]
fn only_what_this_restore_paused_is_held_and_shared_holds_are_kept() {
    let configuration = |name: &str, paused: bool| -> crate::api::core::BackupConfiguration {
        serde_json::from_value(
            json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {"paused": paused, "target": {"apiGroup": "apps", "kind": "StatefulSet", "name": "db"}}}),
        )
        .unwrap()
    };
    let target = targets::stateful_set(1).reference;
    let own = session(&json!({}));
    let all = [
        configuration("runs", false),
        configuration("paused-by-user", true),
        configuration("held", true),
    ];
    let mut other = session(&json!({}));
    other.metadata.name = Some("other".into());
    other.status = serde_json::from_value(json!({"pausedBackups": [
        {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "namespace": "demo", "name": "held"}]}))
    .unwrap();
    let names: Vec<_> = to_hold(&own, &target, &all, &[other.clone()])
        .into_iter()
        .map(|r| r.name)
        .collect();
    assert_eq!(names, ["runs", "held"]);
    assert!(to_hold(&own, &target, &all, &[]).iter().all(|r| r.name != "held"));
}

#[test]
fn a_missing_target_is_not_waited_for_for_ever() {
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let plain = session(&json!({}));
    assert!(awaits_target(&plain, at(0), at(29 * 60)));
    assert!(!awaits_target(&plain, at(0), at(30 * 60)));
    let bounded = session(&json!({"restoreTimeout": "2h"}));
    assert!(
        awaits_target(&bounded, at(0), at(60 * 60)),
        "its own deadline counts"
    );
}
