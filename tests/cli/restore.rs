//! `restore`.

use serde_json::{Value, json};

use super::world::{World, configuration, shown, snapshot, world};

pub(super) fn catalog(world: &World) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let manifests = kubestash::cli::manifests::Manifests::new("kubestash", kubestash::IMAGE).unwrap();
        manifests.catalog.iter().for_each(|object| world.create(object));
    });
}

fn prepared(namespace: &str) -> &'static World {
    let world = world();
    catalog(world);
    world.namespace(namespace);
    world.create(&configuration(namespace, "sample"));
    world.create(&snapshot(
        namespace,
        "repo-old",
        "Succeeded",
        "2026-01-01T00:00:00Z",
    ));
    world.create(&snapshot(
        namespace,
        "repo-new",
        "Succeeded",
        "2026-01-02T00:00:00Z",
    ));
    world.create(&snapshot(namespace, "repo-bad", "Failed", "2026-01-03T00:00:00Z"));
    world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    world
}

#[test]
fn the_newest_snapshot_that_succeeded_goes_back_to_its_target() {
    let world = prepared("restore");
    let run = world.run(&["restore", "sample", "-n", "restore", "-o", "json", "-q"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let made: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        made["spec"],
        json!({
            "target": {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": "data"},
            "dataSource": {"repository": "repo", "snapshot": "repo-new"},
            "addon": {"name": "pvc-addon", "tasks": [{"name": "logical-backup-restore"}]},
        })
    );
    shown!(world.run(&["restore", "snapshot/repo-old", "-n", "restore", "--target", "pvc/data", "--components", "dump", "-q", "--name", "again"]), @r"
    exit 0
    out| restoresession.core.kubestash.com/again created
    ");
}

#[test]
fn a_namespace_alone_means_the_object_of_the_same_name_there() {
    let world = prepared("restore-far");
    world.namespace("restore-away");
    let far = [
        "restore",
        "sample",
        "-n",
        "restore-far",
        "--target-namespace",
        "restore-away",
    ];
    shown!(world.run(&far), @r"
    exit 7
    err| error: PersistentVolumeClaim data in namespace restore-away not found.
    err| hint: create it first, or name another with --target KIND/NAME
    ");
    world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "restore-away"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    let run = world.run(&[&far[..], &["-o", "json", "-q"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let made: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(made["metadata"]["namespace"], "restore-far");
    assert_eq!(
        made["spec"]["target"],
        json!({"apiGroup": "", "kind": "PersistentVolumeClaim", "name": "data", "namespace": "restore-away"})
    );
}

#[test]
fn a_storage_on_a_claim_that_the_target_does_not_reach_is_refused_before_anything_starts() {
    let world = prepared("restore-reach");
    world.namespace("restore-out");
    world.create(
        &json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "disk", "namespace": "restore-reach"},
        "spec": {"storage": {"provider": "local", "local": {"mountPath": "/backups", "persistentVolumeClaim": {"claimName": "backups"}}}}}),
    );
    world.create(
        &json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "metadata": {"name": "repo", "namespace": "restore-reach"},
        "spec": {"appRef": {"kind": "PersistentVolumeClaim", "name": "data"}, "storageRef": {"name": "disk"}, "path": "/repo",
            "encryptionSecret": {"name": "key"}}}),
    );
    let claim = |name: &str| {
        world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "restore-out"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    };
    claim("data");
    let far = [
        "restore",
        "sample",
        "-n",
        "restore-reach",
        "--target-namespace",
        "restore-out",
    ];
    shown!(world.run(&far), @r#"
    exit 7
    err| error: BackupStorage "restore-reach/disk" is on PersistentVolumeClaim "backups" of namespace restore-reach, which no pod in namespace restore-out can mount: use a storage that is reached over the network (s3, gcs, azure or NFS).
    err| hint: `kubectl kubestash snapshot download` fetches the files of a Snapshot from any storage
    "#);
    // A claim of that name may be the same disk, seen from there.
    claim("backups");
    assert_eq!(world.run(&far).code, 0);
}

#[test]
fn restores_of_the_same_second_have_names_of_their_own() {
    let world = prepared("restore-same");
    let all: std::collections::BTreeSet<String> = (0..6)
        .map(|_| {
            let run = world.run(&["restore", "sample", "-n", "restore-same", "-o", "name", "-q"]);
            assert_eq!(run.code, 0, "{}", run.err);
            run.out
        })
        .collect();
    assert_eq!(all.len(), 6, "{all:?}");
}

#[test]
fn what_cannot_be_right_is_refused_before_anything_is_created() {
    let world = prepared("restore-no");
    shown!(world.run(&["restore", "nothing", "-n", "restore-no"]), @r"
    exit 6
    err| error: BackupConfiguration or Snapshot nothing in namespace restore-no not found.
    err| hint: `kubectl kubestash snapshot list -n restore-no` lists what there is to restore
    ");
    shown!(world.run(&["restore", "repo-bad", "-n", "restore-no"]), @r"
    exit 7
    err| error: Snapshot repo-bad is Failed; only one that succeeded can be restored as a whole.
    err| hint: `--components NAME` restores single components that succeeded
    ");
    shown!(world.run(&["restore", "sample", "-n", "restore-no", "--components", "dump-pod-7"]), @r"
    exit 6
    err| error: Repository repo has no Snapshot with dump-pod-7 that succeeded (of 3).
    err| hint: the newest has: dump
    err| hint: `kubectl kubestash snapshot list --repo repo -n restore-no` lists them
    ");
    shown!(world.run(&["restore", "sample", "-n", "restore-no", "--target", "pvc/elsewhere"]), @r"
    exit 7
    err| error: PersistentVolumeClaim elsewhere in namespace restore-no not found.
    err| hint: create it first, or name another with --target KIND/NAME
    ");
    world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "restore-no"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}}));
    shown!(world.run(&["restore", "sample", "-n", "restore-no", "--to", "deployment/web"]), @r"
    exit 7
    err| error: Snapshot repo-new is of PersistentVolumeClaim data, and Deployment web is another kind of application: paths and owners differ.
    err| hint: restore it into a PersistentVolumeClaim
    err| hint: `kubectl kubestash snapshot download` fetches files, to be copied wherever they belong
    ");
    shown!(world.run(&["restore", "sample", "-n", "restore-no", "--repo", "other"]), @r"
    exit 6
    err| error: BackupConfiguration sample has no Repository other.
    err| hint: it has: repo
    ");
}

#[test]
fn waiting_for_a_restore_ends_with_a_code_that_says_how() {
    let world = prepared("restore-part");
    world.later("restoresessions", "restore-part", "part", json!({"phase": "Failed", "components": {
        "dump-pod-0": {"phase": "Succeeded"}, "dump-pod-1": {"phase": "Failed", "error": "the target volume is full"}}}));
    shown!(world.run(&["restore", "sample", "-n", "restore-part", "--name", "part", "--wait", "-q", "-o", "name"]), @r"
    exit 4
    out| restoresession.core.kubestash.com/part
    err| error: RestoreSession part succeeded only in part.
    err|   cause: component dump-pod-1: the target volume is full
    err| hint: `kubectl kubestash logs restoresession/part -n restore-part` shows what its pods said
    ");
}
