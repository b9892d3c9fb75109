//! Snapshots of workloads compared with their volumes as they are now: the pod that is shown is the one that was backed
//! up, each ordinal of a StatefulSet with its own.

use serde_json::Value;

use super::super::stage::stage;
use super::Looker;

/// Changes of a diff as `component M path`, those of files only.
fn told(diff: &Value) -> Vec<String> {
    let changes = diff["changes"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    changes
        .iter()
        .map(|c| {
            format!(
                "{} {} {}",
                text(&c["component"]),
                text(&c["change"]),
                text(&c["path"])
            )
        })
        .filter(|change| !change.ends_with('/'))
        .collect()
}

const FILL: &str = "mkdir -p /source/data/d; cd /source/data; hostname > d/name; echo old > d/changes; echo old > goes; echo kept > kept; sync";
const CHANGE: &str = "cd /source/data; echo newer > d/changes; rm goes; echo more > comes";

#[test]
fn a_deployment_is_compared_with_its_volume_as_it_is_now() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("live-dep");
    scene.storage();
    let namespace = &scene.namespace;
    scene.deployment(1, "/source/data", ":");
    let pod = || {
        let pods = stage.list(namespace, "pod", "app=app");
        let running = pods
            .iter()
            .find(|p| p["metadata"].get("deletionTimestamp").is_none());
        running.unwrap()["metadata"]["name"].as_str().unwrap().to_owned()
    };
    stage.sh(namespace, &pod(), FILL);
    let target = "{apiGroup: apps, kind: Deployment, name: app}";
    scene.configuration("app", target, "workload-addon", "{paths: /source/data}");
    scene.first_backup("app");
    let look = Looker::new(&scene, false);
    assert_eq!(
        told(&look.json(&["diff", "bc/app", "live"])),
        Vec::<String>::new()
    );
    stage.sh(namespace, &pod(), CHANGE);
    // It is the volume that counts, not the pod that was there when it was backed up.
    stage
        .kubectl(&["delete", "pod", &pod(), "-n", namespace, "--wait=true"])
        .ok();
    scene.rolled_out("deployment/app");
    let wanted = [
        "dump + /source/data/comes",
        "dump M /source/data/d/changes",
        "dump - /source/data/goes",
    ];
    assert_eq!(told(&look.json(&["diff", "bc/app", "live"])), wanted);
    assert_eq!(told(&look.json(&["diff", "bc/app", "live", "--content"])), wanted);
    // Nobody mounts the volume any more: it is looked at all the same.
    stage
        .kubectl(&["scale", "deployment/app", "--replicas=0", "-n", namespace])
        .ok();
    assert_eq!(
        told(&look.json(&["diff", "backupconfiguration", "app", "live"])),
        wanted
    );
}

#[test]
fn each_ordinal_of_a_stateful_set_is_compared_with_its_own_volume() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("live-sts");
    scene.storage();
    let namespace = &scene.namespace;
    scene.stateful_set("db", 2, "/source/data", ":");
    for pod in ["db-0", "db-1"] {
        stage.sh(namespace, pod, FILL);
    }
    let target = "{apiGroup: apps, kind: StatefulSet, name: db}";
    scene.configuration("db", target, "workload-addon", "{paths: /source/data}");
    scene.first_backup("db");
    let look = Looker::new(&scene, false);
    assert_eq!(told(&look.json(&["diff", "bc/db", "live"])), Vec::<String>::new());
    stage.sh(namespace, "db-1", CHANGE);
    stage.sh(namespace, "db-0", "echo mine > /source/data/mine");
    assert_eq!(
        told(&look.json(&["diff", "bc/db", "live"])),
        [
            "dump-pod-0 + /source/data/mine",
            "dump-pod-1 + /source/data/comes",
            "dump-pod-1 M /source/data/d/changes",
            "dump-pod-1 - /source/data/goes",
        ]
    );
    let table = look.text(&["diff", "bc/db", "live", "--component", "dump-pod-0"]);
    assert!(table.contains("+  /source/data/mine\n"), "{table}");
    let both = look.text(&["diff", "bc/db", "live"]);
    assert!(both.contains("M  dump-pod-1:/source/data/d/changes\n"), "{both}");
}
