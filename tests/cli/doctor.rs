//! `doctor`.

use serde_json::json;

use super::world::{World, world};

#[test]
fn an_empty_cluster_fails_with_the_fix() {
    let world = World::empty();
    let run = world.run(&["doctor"]);
    assert_eq!(run.code, 3, "{}", run.all());
    for line in [
        "ok    API server: Kubernetes ",
        "FAIL  definitions: 14 of 14 are not served: addons.addons.kubestash.com, ",
        "FAIL  operator: is not installed",
        "      fix: `kubectl kubestash install`",
    ] {
        assert!(run.out.contains(line), "no {line:?} in\n{}", run.out);
    }
    assert!(run.err.is_empty(), "{}", run.err);
}

#[test]
fn definitions_that_differ_and_objects_that_are_not_ready_are_found() {
    let world = world();
    world.namespace("doctor");
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "ill", "namespace": "doctor"},
        "spec": {"storage": {"provider": "s3", "s3": {"endpoint": "http://x", "bucket": "b", "secretName": "s"}}},
        "status": {"phase": "NotReady"}}));
    let run = world.run(&["doctor", "-o", "json"]);
    assert_eq!(run.code, 3);
    let doctor = &world.valid("doctor", &run.out)[0];
    let check = |name: &str| {
        let checks = doctor["checks"].as_array().unwrap();
        checks.iter().find(|c| c["name"] == name).unwrap().clone()
    };
    assert_eq!(check("definitions")["state"], "Passed");
    assert_eq!(
        check("definitions are this program's")["state"],
        "Passed",
        "{:#}",
        check("definitions are this program's")
    );
    let storages = check("storages");
    assert_eq!(storages["state"], "Failed");
    assert!(
        storages["finding"].as_str().unwrap().contains("doctor/ill"),
        "{storages}"
    );
}

#[test]
fn without_rights_there_are_warnings_and_no_failures_about_them() {
    let world = world();
    let run = world.run(&["doctor", "--as", "nobody"]);
    assert!(
        run.out.contains("warn  operator: could not be checked: "),
        "{}",
        run.all()
    );
    assert!(
        run.out
            .contains("warn  your rights: in namespace default you cannot take a backup"),
        "{}",
        run.all()
    );
    assert_eq!(run.code, 0, "{}", run.all());
}
