//! `status`.

use serde_json::json;

use super::world::{configuration, shown, world};

#[test]
fn one_screen_says_what_needs_attention() {
    let world = world();
    world.namespace("status");
    shown!(world.run(&["status", "-n", "status"]), @r"
    exit 0
    err| No BackupStorages and BackupConfigurations in namespace status.
    ");
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "s3", "namespace": "status"},
        "spec": {"storage": {"provider": "s3", "s3": {"endpoint": "http://x", "bucket": "b", "secretName": "s"}}},
        "status": {"phase": "NotReady", "conditions": [{"type": "BackendSecretFound", "status": "False", "reason": "BackendSecretNotAvailable",
            "message": "Secret s does not exist", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}));
    let mut paused = configuration("status", "sample");
    paused["spec"]["paused"] = json!(true);
    world.create(&paused);
    world.create(&json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": "sample-daily-1", "namespace": "status"},
        "spec": {"session": "daily", "invoker": {"kind": "BackupConfiguration", "name": "sample"}}, "status": {"phase": "Failed"}}));
    shown!(world.run(&["status", "-n", "status"]), @r"
    exit 0
    out| Storages
    out| NAME   PROVIDER   PHASE      SIZE   REPOSITORIES
    out| s3     s3         NotReady          0
    out|
    out| Configurations
    out| NAME     TARGET                       SESSION   SCHEDULE    PHASE   LAST            NEXT
    out| sample   PersistentVolumeClaim/data   daily     0 2 * * *   Ready   Failed [age] ago   paused
    out|
    out| Needs attention
    out| - BackupStorage s3 is NotReady: Secret s does not exist
    out| - BackupConfiguration sample, session daily: the last backup is Failed ([age] ago)
    ");
    shown!(world.run(&["status", "-n", "status", "-o", "jsonpath={.configurations[0].lastRun.phase} {.attention[0]}"]), @r"
    exit 0
    out| Failed BackupStorage s3 is NotReady: Secret s does not exist
    ");
}
