//! `uninstall`, without an operator: what it shows, its order, and finalizers that nobody serves any more.

use kubestash::cluster::kinds;
use serde_json::json;

use super::world::{World, configuration};
use kubestash::cli::manifests::Manifests;

/// A cluster of its own with everything that `install` applies, and a storage with a Snapshot.
fn installed() -> World {
    let world = World::empty();
    let manifests = Manifests::new("kubestash", kubestash::IMAGE).unwrap();
    for object in &manifests.definitions {
        world.create(object);
    }
    for object in manifests.catalog.iter().chain(&manifests.operator) {
        // Nobody answers webhooks or makes the Deployment's pods here.
        if object["kind"].as_str().unwrap().ends_with("WebhookConfiguration") {
            continue;
        }
        world.create(object);
    }
    world.namespace("demo");
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "s3", "namespace": "demo", "finalizers": ["kubestash.com/cleanup"]},
        "spec": {"deletionPolicy": "WipeOut", "storage": {"provider": "s3", "s3": {"endpoint": "http://x", "bucket": "b", "secretName": "s", "prefix": "p"}}},
        "status": {"phase": "Ready", "totalSize": "12 MiB"}}));
    world.create(&configuration("demo", "sample"));
    world.create(&json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "trigger-sample-daily", "namespace": "demo", "labels": {"app.kubernetes.io/managed-by": "kubestash.com"}},
        "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}}}}));
    world
}

#[test]
fn the_operator_goes_and_objects_stay() {
    let world = installed();
    let shown = world.run(&["uninstall", "--dry-run=client"]);
    assert_eq!(shown.code, 0, "{}", shown.all());
    assert!(
        shown.err.contains(
            "s3 bucket b, prefix p: 0 Repositories with 0 Snapshots, 12 MiB (BackupStorage demo/s3)"
        ),
        "{}",
        shown.err
    );
    assert!(
        shown.out.contains("cronjob.batch/trigger-sample-daily -n demo\n"),
        "{}",
        shown.out
    );
    assert!(!shown.out.contains("customresourcedefinition"), "{}", shown.out);
    assert!(world.exists(&kinds::DEPLOYMENT, "kubestash", "kubestash-operator"));
    let nobody = world.run(&["uninstall"]);
    assert_eq!(nobody.code, 2, "{}", nobody.all());
    assert!(nobody.err.contains("--yes"), "{}", nobody.err);
    let json = world.run(&["uninstall", "--yes", "-o", "json"]);
    assert_eq!(json.code, 0, "{}", json.all());
    world.valid("uninstall", &json.out);
    assert!(!world.exists(&kinds::DEPLOYMENT, "kubestash", "kubestash-operator"));
    assert!(!world.exists(&kinds::CRON_JOB, "demo", "trigger-sample-daily"));
    assert!(world.exists(&kinds::BACKUP_STORAGE, "demo", "s3"));
    assert!(world.exists(&kinds::BACKUP_CONFIGURATION, "demo", "sample"));
    let again = world.run(&["uninstall", "--yes"]);
    assert_eq!(again.code, 0, "{}", again.all());
    assert!(again.err.contains("there is nothing to remove"), "{}", again.err);
}

#[test]
fn all_goes_with_definitions_and_nothing_hangs_on_finalizers() {
    let world = installed();
    let run = world.run(&["uninstall", "--all", "--yes"]);
    assert_eq!(run.code, 0, "{}", run.all());
    let left = world.run(&["status", "-n", "demo"]);
    assert_eq!(left.code, 7, "{}", left.all());
    assert!(left.err.contains("KubeStash is not installed"), "{}", left.err);
}

#[test]
fn sessions_at_work_are_not_cut_off_unasked() {
    let world = installed();
    world.create(&json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": "sample-daily-1", "namespace": "demo"},
        "spec": {"session": "daily", "invoker": {"kind": "BackupConfiguration", "name": "sample"}}, "status": {"phase": "Running"}}));
    let run = world.run(&["uninstall", "--yes"]);
    assert_eq!(run.code, 7, "{}", run.all());
    assert!(
        run.err.contains("backupsession/sample-daily-1 -n demo"),
        "{}",
        run.err
    );
    assert!(world.exists(&kinds::DEPLOYMENT, "kubestash", "kubestash-operator"));
}
