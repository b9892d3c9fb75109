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
    err| KubeStash's operator is not installed: `kubectl kubestash install` installs it.
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
    out| Backups
    out| NAME     TARGET                       SESSION   STATE    LAST SUCCESS   LAST RUN        NEXT
    out| sample   PersistentVolumeClaim/data   daily     Paused   never          Failed [age] ago   paused
    out|
    out| Needs attention
    out| ✗ Deployment kubestash-operator: the operator is not installed: no backup runs
    out|     kubectl kubestash doctor
    out| ✗ BackupStorage s3: NotReady: Secret s does not exist
    out|     kubectl kubestash why backupstorage/s3 -n status
    out|
    out| 1 session: 1 paused.
    ");
    shown!(world.run(&["status", "-n", "status", "-o", "jsonpath={.configurations[0].lastRun.phase} {.attention[1].message}"]), @r"
    exit 0
    out| Failed NotReady: Secret s does not exist
    ");
    let json = world.run(&["status", "-n", "status", "-o", "json"]);
    let status = &world.valid("status", &json.out)[0];
    assert_eq!(status["summary"]["paused"], 1);
    assert_eq!(status["apiVersion"], "cli.kubestash.com/v1alpha1");
    let lists = world.run(&["backup", "list", "-n", "status", "-o", "json"]);
    world.valid("backup-list", &lists.out);
}

#[test]
fn what_nobody_backs_up_is_said() {
    let world = world();
    world.namespace("bare");
    let claim = |name: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "bare"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}})
    };
    for name in ["data", "files", "loose"] {
        world.create(&claim(name));
    }
    let pod = |claim: &str| {
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}})
    };
    for (name, claim) in [("web", "files"), ("app", "data")] {
        world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "bare"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod(claim)}}));
    }
    shown!(world.run(&["status", "-n", "bare"]), @r"
    exit 0
    out| Needs attention
    out| ✗ Deployment kubestash-operator: the operator is not installed: no backup runs
    out|     kubectl kubestash doctor
    out|
    out| In no backup
    out| NAME                          VOLUMES
    out| Deployment/app                data (2Gi)
    out| Deployment/web                files (2Gi)
    out| PersistentVolumeClaim/loose   loose (2Gi)
    out|     kubectl kubestash create backup --target deployment/app -n bare
    out|
    out| Nothing is backed up: there is no BackupConfiguration. In no backup: 3.
    ");
    // The claim of `app` is the target of this one.
    world.create(&configuration("bare", "sample"));
    shown!(world.run(&["status", "-n", "bare", "-o", "jsonpath={.unprotected[*].name}"]), @r"
    exit 0
    out| web loose
    ");
    let json = world.run(&["status", "-n", "bare", "-o", "json"]);
    let status = world.valid("status", &json.out).remove(0);
    assert_eq!(status["summary"]["unprotected"], 2);
    assert_eq!(status["unprotected"][0]["sizes"], json!(["2Gi"]));
}

#[test]
fn a_namespace_that_does_not_exist_is_no_empty_one() {
    let world = world();
    world.namespace("shop-orders");
    for (command, rest) in [
        (&["status"][..], &[][..]),
        (&["status"], &["--watch"]),
        (&["status"], &["-o", "json"]),
        (&["backup", "list"], &[]),
        (&["backup", "list"], &["-o", "name"]),
        (&["snapshot", "list"], &[]),
        (&["snapshot", "list"], &["-o", "json"]),
        (&["repo", "list"], &[]),
        (&["repo", "list"], &["-o", "yaml"]),
        (&["why"], &["bc/sample"]),
        (&["logs"], &["sample-daily-1"]),
        (&["snapshot", "show"], &["bc/sample"]),
        (&["backup", "now"], &["--all"]),
        (&["backup", "now"], &["sample"]),
        (&["pause"], &["sample"]),
    ] {
        let run = world.run(&[command, rest, &["-n", "shop-order"]].concat());
        let said = "exit 6\n\
            err| error: namespace shop-order does not exist.\n\
            err| hint: did you mean `-n shop-orders`?\n";
        assert_eq!(run.all(), said, "{command:?} {rest:?}");
    }
    let strange = world.run(&["status", "-n", "nothing-is-called-like-this"]);
    assert_eq!(strange.code, 6, "{}", strange.all());
    assert!(
        strange.err.contains("does not exist") && !strange.err.contains("did you mean"),
        "{}",
        strange.err
    );
    // There is one, and it holds nothing.
    assert_eq!(world.run(&["backup", "list", "-n", "shop-orders"]).code, 0);
    // Who may list backups and not see namespaces is told what there is to tell without that.
    world.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "only-lists"},
        "rules": [{"apiGroups": ["core.kubestash.com"], "resources": ["*"], "verbs": ["get", "list"]}]}));
    world.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "only-lists"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "only-lists"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "lister"}]}));
    shown!(world.run(&["backup", "list", "-n", "shop-order", "--as", "lister"]), @r"
    exit 0
    err| No BackupSessions in namespace shop-order.
    ");
}
