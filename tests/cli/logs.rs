//! `logs`, where no pod is left to ask.

use serde_json::json;

use super::world::{shown, world};

#[test]
fn when_the_pods_are_gone_status_still_says_why() {
    let world = world();
    world.namespace("logs");
    world.create(&json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": {"name": "r", "namespace": "logs"}, "spec": {"dataSource": {"repository": "x", "snapshot": "latest"}},
        "status": {"phase": "Failed", "duration": "3s", "components": {"dump": {"phase": "Failed", "error": "wrong password\nFatal: no key found"}}}}));
    shown!(world.run(&["logs", "r", "-n", "logs"]), @r"
    exit 0
    out| component dump: wrong password
    out| Fatal: no key found
    err| The pods of r are gone; this is what its status has kept.
    err| RestoreSession r: Failed.
    ");
    world.create(
        &json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": "b", "namespace": "logs"}, "spec": {"session": "x", "invoker": {"kind": "BackupConfiguration", "name": "bc"}}}),
    );
    shown!(world.run(&["logs", "backupsession/b", "-n", "logs"]), @r"
    exit 0
    err| No pod of b has begun yet: waiting for the operator. -f waits for it.
    ");
    shown!(world.run(&["logs", "nobody", "-n", "logs"]), @r"
    exit 6
    err| error: BackupSession or RestoreSession nobody in namespace logs not found.
    err| hint: `kubectl kubestash backup list -n logs` lists the backups that ran
    err| hint: `kubectl get restoresessions.core.kubestash.com -n logs` lists the restores
    ");
}
