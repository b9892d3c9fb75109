//! Chains from the object that is asked about to the broken link.

#![allow(
    clippy::needless_pass_by_value,
    reason = "a world that is told in one sentence reads better without references"
)]

use serde_json::{Value, json};

use super::chain::{About, Answer, Health};
use super::facts::{Facts, Operator, Other};
use super::why;

/// A world in which all is well: a configuration, its storage, Repository, Secrets and a run that succeeded.
struct World {
    facts: Facts,
}

fn condition(kind: &str, status: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "x", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl World {
    fn new() -> Self {
        let mut facts = Facts {
            now: "2026-01-01T01:00:00Z".parse().unwrap(),
            operator: Operator::Up("kubestash".to_owned(), "kubestash-operator".to_owned()),
            configurations: vec![object(json!({"metadata": {"name": "b", "namespace": "demo"},
                "spec": {"target": {"apiGroup": "apps", "kind": "StatefulSet", "name": "db"},
                    "backends": [{"name": "s3", "storageRef": {"name": "s3"}, "retentionPolicy": {"name": "keep"}}],
                    "sessions": [{"name": "daily", "scheduler": {"schedule": "0 2 * * *", "jobTemplate": {}},
                        "repositories": [{"name": "repo", "encryptionSecret": {"name": "key"}}]}]},
                "status": {"phase": "Ready", "targetFound": true}}))],
            policies: vec![object(
                json!({"metadata": {"name": "keep", "namespace": "demo"}, "spec": {}}),
            )],
            storages: vec![object(json!({"metadata": {"name": "s3", "namespace": "demo"},
                "spec": {"storage": {"provider": "s3", "s3": {"bucket": "b", "secretName": "keys"}}},
                "status": {"phase": "Ready"}}))],
            repositories: vec![object(json!({"metadata": {"name": "repo", "namespace": "demo"},
                "spec": {"path": "p", "storageRef": {"name": "s3"}, "encryptionSecret": {"name": "key"}},
                "status": {"phase": "Ready", "snapshotCount": 2, "size": "1 MiB"}}))],
            ..Facts::default()
        };
        for (name, keys) in [
            ("keys", vec!["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
            ("key", vec!["RESTIC_PASSWORD"]),
        ] {
            facts.secrets.insert(
                ("demo".to_owned(), name.to_owned()),
                keys.into_iter().map(str::to_owned).collect(),
            );
        }
        World { facts }
    }

    fn run(mut self, status: Value) -> Self {
        self.facts.sessions = vec![object(
            json!({"metadata": {"name": "b-daily-1", "namespace": "demo", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"session": "daily", "invoker": {"kind": "BackupConfiguration", "name": "b"}}, "status": status}),
        )];
        self
    }

    fn snapshot(mut self, status: Value) -> Self {
        self.facts.snapshots = vec![object(
            json!({"metadata": {"name": "repo-b", "namespace": "demo"},
            "spec": {"snapshotID": "1", "repository": "repo", "session": "daily", "backupSession": "b-daily-1", "version": "v1"}, "status": status}),
        )];
        self
    }

    fn why(&self, kind: &str, name: &str) -> Answer {
        why(&About::new(kind, "demo", name), &self.facts)
    }

    /// Asks about the configuration and expects it to be broken.
    #[track_caller]
    fn broken(&self, cause: &str, fix: &str) -> Answer {
        let answer = self.why("BackupConfiguration", "b");
        said(&answer, Health::Bad, cause, fix);
        answer
    }
}

#[track_caller]
fn said(answer: &Answer, health: Health, cause: &str, fix: &str) {
    assert_eq!(answer.health, health, "{answer:#?}");
    assert!(
        answer.cause.as_deref().unwrap_or("").contains(cause),
        "{answer:#?}"
    );
    assert!(answer.fixes.iter().any(|f| f.contains(fix)), "{answer:#?}");
}

#[test]
fn all_is_well() {
    let world = World::new().run(json!({"phase": "Succeeded", "duration": "12s"}));
    let answer = world.why("BackupConfiguration", "b");
    assert_eq!(
        (answer.health, &answer.cause),
        (Health::Good, &None),
        "{answer:#?}"
    );
    assert_eq!(
        answer.summary,
        "Ready, session daily runs next at 2026-01-01T02:00:00Z"
    );
    let kinds: Vec<&str> = answer.links.iter().map(|l| l.about.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "BackupConfiguration",
            "Deployment",
            "StatefulSet",
            "BackupStorage",
            "RetentionPolicy",
            "Repository",
            "Secret",
            "BackupSession"
        ]
    );
}

#[test]
fn the_operator_is_looked_at_first() {
    let mut world = World::new();
    world.facts.operator = Operator::Missing;
    world.broken("no KubeStash operator is installed", "kubectl kubestash install");
    world.facts.operator = Operator::Down(
        "kubestash".to_owned(),
        "kubestash-operator".to_owned(),
        "no nodes".to_owned(),
    );
    world.broken(
        "does not run: no nodes",
        "kubectl logs deploy/kubestash-operator -n kubestash",
    );
    world.facts.operator = Operator::Unknown;
    assert_eq!(
        world.why("BackupConfiguration", "b").health,
        Health::Good,
        "who may not look is not told tales"
    );
}

#[test]
fn a_configuration_that_rests_or_is_new_is_waiting() {
    let mut world = World::new();
    world.facts.configurations[0].spec.paused = true;
    said(
        &world.why("BackupConfiguration", "b"),
        Health::Waiting,
        "is paused",
        "kubectl kubestash resume b -n demo",
    );
    let mut world = World::new();
    world.facts.configurations[0].status = None;
    said(
        &world.why("BackupConfiguration", "b"),
        Health::Waiting,
        "is new",
        "kubectl describe",
    );
    world.facts.operator = Operator::Missing;
    said(
        &world.why("BackupConfiguration", "b"),
        Health::Bad,
        "no KubeStash operator",
        "install",
    );
}

#[test]
fn what_a_configuration_lacks_is_named() {
    let not_ready = |status: Value| {
        let mut world = World::new();
        let mut all = json!({"phase": "NotReady", "targetFound": true});
        all.as_object_mut()
            .unwrap()
            .extend(status.as_object().unwrap().clone());
        world.facts.configurations[0].status = object(all);
        world
    };
    not_ready(json!({"targetFound": false}))
        .broken("its target StatefulSet demo/db does not exist", "spec.target");
    not_ready(
        json!({"phase": "Invalid", "conditions": [condition("ValidationPassed", "False", "no backends")]}),
    )
    .broken("no backends", "kubectl edit bc b -n demo");
    not_ready(json!({"dependencies": [{"kind": "Addon", "name": "x", "found": false}]})).broken(
        "Addon x does not exist",
        "name another in addon.name of the session: `kubectl edit bc b -n demo`",
    );
    not_ready(json!({"dependencies": [{"kind": "Addon", "name": "pvc-addon", "found": false}]})).broken(
        "Addon pvc-addon does not exist",
        "`kubectl kubestash install` brings the catalog",
    );
    not_ready(json!({"sessions": [{"name": "daily", "conditions": [condition("SchedulerEnsured", "False", "bad cron")]}]}))
        .broken("bad cron", "correct its scheduler");
    not_ready(json!({"backends": [{"name": "s3", "ready": false, "storage": {"reason": "namespace demo is not allowed by usagePolicy"}}]}))
        .broken("not allowed by usagePolicy", "spec.usagePolicy");
    let mut world = World::new();
    world.facts.policies.clear();
    world.broken(
        "RetentionPolicy demo/keep, which does not exist",
        "kubectl kubestash create retention keep",
    );
    let mut world = World::new();
    world.facts.secrets.remove(&("demo".to_owned(), "key".to_owned()));
    world.broken("Secret demo/key does not exist", "--from-file=RESTIC_PASSWORD");
}

#[test]
fn a_storage_is_followed_to_its_secret() {
    let with = |conditions: Value| {
        let mut world = World::new();
        world.facts.storages[0].status = object(json!({"phase": "NotReady", "conditions": conditions}));
        world
    };
    with(json!([condition(
        "BackendSecretFound",
        "False",
        "Secret demo/keys does not exist"
    )]))
    .broken(
        "Secret demo/keys with the credentials of the storage does not exist",
        "--from-file=AWS_ACCESS_KEY_ID",
    );
    let mut lacking = with(json!([condition(
        "BackendInitialized",
        "False",
        "Secret lacks a key"
    )]));
    lacking
        .facts
        .secrets
        .get_mut(&("demo".to_owned(), "keys".to_owned()))
        .unwrap()
        .remove("AWS_SECRET_ACCESS_KEY");
    lacking.broken(
        "has no key AWS_SECRET_ACCESS_KEY",
        "kubectl edit secret keys -n demo",
    );
    let unreachable = with(json!([condition(
        "BackendInitialized",
        "False",
        "the storage cannot be reached: connection refused"
    )]));
    unreachable.broken("cannot be reached", "kubectl edit backupstorage s3 -n demo");
    said(
        &unreachable.why("BackupStorage", "s3"),
        Health::Bad,
        "cannot be reached",
        "endpoint",
    );
    let mut missing = World::new();
    missing.facts.storages.clear();
    missing.broken(
        "BackupStorage demo/s3, which does not exist",
        "kubectl kubestash create storage s3 -n demo",
    );
    missing
        .facts
        .unseen
        .insert("BackupStorage".to_owned(), "forbidden".to_owned());
    assert_eq!(
        missing.why("BackupConfiguration", "b").health,
        Health::Unknown,
        "not seen is not missing"
    );
    let mut fresh = World::new();
    fresh.facts.storages[0].status = None;
    said(
        &fresh.why("BackupStorage", "s3"),
        Health::Waiting,
        "is new",
        "kubectl describe",
    );
}

#[test]
fn a_repository_says_what_is_wrong_with_it() {
    let with = |status: Value| {
        let mut world = World::new();
        world.facts.repositories[0].status = object(status);
        world
    };
    said(
        &with(json!({"phase": "NotReady", "conditions": [condition("RepositoryInitialized", "False", "access denied by the bucket")]})).why("Repository", "repo"),
        Health::Bad,
        "access denied",
        "kubectl edit secret keys -n demo",
    );
    said(
        &with(json!({"phase": "Ready", "integrity": false})).why("Repository", "repo"),
        Health::Bad,
        "damaged",
        "repo check repo",
    );
    let mut paused = World::new();
    paused.facts.repositories[0].spec.paused = true;
    said(
        &paused.why("Repository", "repo"),
        Health::Waiting,
        "paused",
        "kubectl patch repository repo",
    );
}

#[test]
fn a_failed_backup_leads_to_the_component_and_its_cause() {
    let failed = json!({"phase": "Failed", "snapshots": [{"name": "repo-b", "phase": "Failed", "repository": "repo"}]});
    let world = World::new().run(failed).snapshot(json!({"phase": "Failed", "components": {
        "dump": {"phase": "Failed", "error": "the repository does not open with this RESTIC_PASSWORD; put the password back"}}}));
    for answer in [
        world.broken("component dump", "kubectl edit secret key -n demo"),
        world.why("BackupSession", "b-daily-1"),
        world.why("Snapshot", "repo-b"),
    ] {
        said(
            &answer,
            Health::Bad,
            "RESTIC_PASSWORD",
            "backup retry b-daily-1 -n demo",
        );
        assert!(
            answer.links.iter().any(|l| l.says == "Failed in component dump"),
            "{answer:#?}"
        );
    }
}

#[test]
fn a_failed_backup_without_snapshots_says_what_stopped_it() {
    let with = |status: Value| World::new().run(status);
    with(json!({"phase": "Failed", "conditions": [condition("BackupExecutorEnsured", "False", "no such task")]}))
        .broken("no such task", "backup retry");
    with(
        json!({"phase": "Failed", "conditions": [condition("BackupCancelled", "True", "cancelled by jane")]}),
    )
    .broken("the backup was cancelled by jane", "backup retry");
    with(json!({"phase": "Failed", "retentionPolicy": [{"repository": "repo", "phase": "FailedToApply", "error": "the repository is locked by pod x"}]}))
        .broken("old Snapshots of Repository repo could not be removed", "repo unlock repo");
    with(json!({"phase": "Failed", "nextRetry": "2026-01-01T01:30:00Z", "conditions": [condition("SnapshotsEnsured", "False", "nope")]}))
        .broken("nope", "the operator runs it again at 2026-01-01T01:30:00Z");
}

#[test]
fn a_skipped_backup_has_the_way_out_of_its_reason() {
    for (why, fix) in [
        (
            "BackupConfiguration \"b\" is paused; resume it",
            "kubectl kubestash resume b -n demo",
        ),
        (
            "BackupSession \"x\" is still running and uses the same Repository",
            "backup cancel",
        ),
        (
            "BackupConfiguration \"b\" is not Ready: its target",
            "why bc/b -n demo",
        ),
        ("Repository \"repo\" is not Ready", "why repository/NAME"),
        (
            "BackupConfiguration \"b\" has no session \"y\"",
            "sessions[*].name",
        ),
    ] {
        let world = World::new()
            .run(json!({"phase": "Skipped", "conditions": [condition("BackupSkipped", "True", why)]}));
        said(&world.why("BackupSession", "b-daily-1"), Health::Bad, why, fix);
    }
}

#[test]
fn a_backup_at_work_is_followed_to_its_pod() {
    let mut world = World::new().run(json!({"phase": "Running", "snapshots": [{"name": "repo-b", "phase": "Pending", "repository": "repo"}]}));
    let answer = world.why("BackupSession", "b-daily-1");
    said(
        &answer,
        Health::Waiting,
        "its Jobs are being made",
        "kubectl kubestash logs b-daily-1 -f -n demo",
    );
    world.facts.jobs = vec![object(
        json!({"metadata": {"name": "j", "namespace": "demo", "annotations": {"kubestash.com/invoker": "demo/b-daily-1"}}}),
    )];
    world.facts.pods = vec![object(
        json!({"metadata": {"name": "p", "namespace": "demo", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "3 Insufficient cpu"}]}}),
    )];
    world.broken("no node takes the pod: 3 Insufficient cpu", "resources");
    world.facts.pods[0].status = object(json!({"phase": "Running"}));
    said(
        &world.why("BackupSession", "b-daily-1"),
        Health::Waiting,
        "it is at work",
        "logs b-daily-1 -f",
    );
    world.facts.sessions[0].metadata.annotations =
        Some([("kubestash.com/cancel".to_owned(), "by me".to_owned())].into());
    said(
        &world.why("BackupSession", "b-daily-1"),
        Health::Waiting,
        "being cancelled",
        "logs",
    );
}

#[test]
fn a_job_that_failed_says_how_its_container_ended() {
    let mut world = World::new().run(json!({"phase": "Failed"}));
    world.facts.jobs = vec![object(
        json!({"metadata": {"name": "j", "namespace": "demo", "annotations": {"kubestash.com/invoker": "demo/b-daily-1"}},
        "status": {"conditions": [{"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]}}),
    )];
    world.broken("its pods are gone", "backup retry bc/b -n demo");
    world.facts.pods = vec![object(
        json!({"metadata": {"name": "p", "namespace": "demo", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}]},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}),
    )];
    world.broken("Reason: OOMKilled", "kubectl edit bc b -n demo");
    // What a hook says is about its own action, whatever words it uses.
    world.facts.jobs[0].metadata.labels = Some(
        [(
            "app.kubernetes.io/component".to_owned(),
            "kubestash-hook".to_owned(),
        )]
        .into(),
    );
    world.broken(
        "Reason: OOMKilled",
        "correct the hook's action: `kubectl get hooktemplates.core.kubestash.com -n demo`",
    );
    world.facts.configurations[0].spec.sessions[0].hooks =
        object(json!({"preBackup": [{"name": "h", "hookTemplate": {"name": "stop-writes"}}]}));
    world.broken(
        "Reason: OOMKilled",
        "`kubectl edit hooktemplate stop-writes -n demo`",
    );
}

#[test]
fn a_restore_is_followed_to_what_it_restores_from_and_into() {
    let restore = |status: Value, snapshot: &str| {
        let mut world = World::new().snapshot(json!({"phase": "Succeeded"}));
        world.facts.restores = vec![object(json!({"metadata": {"name": "r", "namespace": "demo"},
            "spec": {"target": {"kind": "PersistentVolumeClaim", "name": "data"}, "dataSource": {"repository": "repo", "snapshot": snapshot}}, "status": status}))];
        world
    };
    assert_eq!(
        restore(json!({"phase": "Succeeded", "duration": "3s"}), "latest")
            .why("RestoreSession", "r")
            .health,
        Health::Good
    );
    said(
        &restore(json!({"phase": "Pending", "targetFound": false}), "latest").why("RestoreSession", "r"),
        Health::Bad,
        "waits for its target PersistentVolumeClaim demo/data",
        "kubectl delete restoresession r",
    );
    said(
        &restore(json!({"phase": "Failed", "components": {"dump": {"phase": "Failed", "error": "no space left on device"}}}), "repo-b").why("RestoreSession", "r"),
        Health::Bad,
        "component dump: no space left",
        "enlarge the volume",
    );
    said(
        &restore(json!({"phase": "Invalid", "conditions": [condition("ValidationPassed", "False", "no such component")]}), "latest").why("RestoreSession", "r"),
        Health::Bad,
        "no such component",
        "kubectl describe restoresession r -n demo",
    );
    said(
        &restore(json!({"phase": "Running"}), "gone").why("RestoreSession", "r"),
        Health::Bad,
        "Snapshot gone does not exist",
        "snapshot list",
    );
    said(
        &restore(json!({"phase": "Running"}), "repo-b").why("RestoreSession", "r"),
        Health::Waiting,
        "has not ended",
        "logs restoresession/r -f",
    );
}

#[test]
fn a_snapshot_that_cannot_be_trusted_is_not_all_right() {
    let damaged = World::new().snapshot(json!({"phase": "Succeeded", "size": "1 MiB", "integrity": false}));
    said(
        &damaged.why("Snapshot", "repo-b"),
        Health::Bad,
        "damaged",
        "repo check repo",
    );
    let unverified =
        World::new().snapshot(json!({"phase": "Succeeded", "verificationStatus": "VerificationFailed"}));
    said(
        &unverified.why("Snapshot", "repo-b"),
        Health::Bad,
        "could not be restored",
        "backupverificationsession",
    );
    let good = World::new()
        .snapshot(json!({"phase": "Succeeded", "size": "1 MiB"}))
        .why("Snapshot", "repo-b");
    assert_eq!(
        (good.health, good.summary.as_str()),
        (Health::Good, "Succeeded, 1 MiB")
    );
}

#[test]
fn other_kinds_tell_what_they_need_and_who_needs_them() {
    let mut world = World::new();
    world.facts.other = Some(Other {
        used_by: vec![About::new("BackupConfiguration", "demo", "b")],
        refers: vec![(About::new("Function", "", "pvc-backup"), true)],
        ..Other::default()
    });
    let addon = why(&About::new("Addon", "", "pvc-addon"), &world.facts);
    assert_eq!(
        (addon.health, addon.summary.as_str()),
        (Health::Good, "used by BackupConfiguration demo/b")
    );
    world.facts.other.as_mut().unwrap().refers[0].1 = false;
    said(
        &why(&About::new("Addon", "", "pvc-addon"), &world.facts),
        Health::Bad,
        "Function pvc-backup, which does not exist",
        "kubectl edit addon pvc-addon`",
    );
    world.facts.other = Some(Other {
        phase: "Failed".to_owned(),
        conditions: vec![object(condition(
            "RestoreSucceeded",
            "False",
            "the query found nothing",
        ))],
        ..Other::default()
    });
    said(
        &world.why("BackupVerificationSession", "v"),
        Health::Bad,
        "the query found nothing",
        "kubectl describe",
    );
}
