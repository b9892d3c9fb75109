//! `install`: what it would apply, and what it does on an empty cluster.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kubestash::cluster::kinds;
use serde_json::json;

use super::world::{World, configuration, shown, world};

#[test]
fn a_dry_run_prints_what_would_be_applied_and_asks_nobody() {
    let world = World::empty();
    let run = world.run(&[
        "install",
        "--dry-run=client",
        "-n",
        "backup-system",
        "--image",
        "registry.example/k:1",
        "--kubeconfig",
        "/nowhere",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    let json = world.run(&[
        "install",
        "--dry-run=client",
        "-o",
        "json",
        "--kubeconfig",
        "/nowhere",
    ]);
    world.valid("install", &json.out);
    let objects = kubestash::yaml::values(&run.out).unwrap();
    let names: Vec<String> = objects.iter().map(kubestash::output::format::name).collect();
    assert_eq!(
        names
            .iter()
            .filter(|n| n.starts_with("customresourcedefinition"))
            .count(),
        14
    );
    assert!(
        names.contains(&"deployment.apps/kubestash-operator".to_owned()),
        "{names:?}"
    );
    assert_eq!(
        names
            .iter()
            .filter(|n| n.starts_with("addon.") || n.starts_with("function."))
            .count(),
        6
    );
    assert!(!run.out.contains(kubestash::IMAGE) && run.out.contains("registry.example/k:1"));
    assert!(run.out.contains("name: backup-system") && !run.out.contains("namespace: kubestash\n"));
}

#[test]
fn without_an_operator_the_wait_ends_with_the_reason() {
    let world = World::empty();
    let run = world.run(&["install", "--timeout", "25s"]);
    assert_eq!(run.code, 5, "{}", run.all());
    assert!(
        run.out.contains(
            "customresourcedefinition.apiextensions.k8s.io/snapshots.storage.kubestash.com created\n"
        ),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("deployment.apps/kubestash-operator created\n"),
        "{}",
        run.out
    );
    assert!(
        run.err
            .contains("KubeStash in namespace kubestash is not ready within 25s."),
        "{}",
        run.err
    );
    // Again: every object is there already, and the wait for the operator need not be sat through twice.
    let mut child = world
        .command(&["install"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .take(run.out.lines().count());
    let again: Vec<String> = lines.map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        again.len() > 30 && again.iter().all(|l| l.ends_with(" unchanged")),
        "{again:#?}"
    );
}

#[test]
fn installing_needs_the_rights() {
    let world = world();
    shown!(world.run(&["install", "--as", "nobody", "-q"]), @r#"
    exit 8
    err| error: customresourcedefinitions.apiextensions.k8s.io "addons.addons.kubestash.com" is forbidden: User "nobody" cannot get resource "customresourcedefinitions" in API group "apiextensions.k8s.io" at the cluster scope.
    err|   cause: while CustomResourceDefinition addons.addons.kubestash.com was applied
    err| hint: installing needs the rights of a cluster administrator
    "#);
}

/// Runs the operator as the ServiceAccount that the manifests make, with a storage and a configuration to look after.
#[test]
fn the_operator_gets_along_with_the_rights_it_is_given() {
    let world = World::empty();
    let manifests = kubestash::cli::manifests::Manifests::new("kubestash", kubestash::IMAGE).unwrap();
    // Without webhooks: nobody could call them here, and then nothing could be created.
    for object in manifests
        .all()
        .iter()
        .filter(|o| o.get("webhooks").is_none() && o["kind"] != "Deployment")
    {
        world.create(object);
    }
    world.namespace("work");
    world.create(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "work"}, "stringData": {"RESTIC_PASSWORD": "p"}}));
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "local", "namespace": "work"},
        "spec": {"storage": {"provider": "local", "local": {"hostPath": {"path": "/nowhere"}, "mountPath": "/mnt"}}}}));
    let mut configuration = configuration("work", "sample");
    configuration["spec"]["backends"][0]["storageRef"]["name"] = json!("local");
    world.create(&configuration);
    let mut operator = world.operator();
    let mut log = BufReader::new(operator.stderr.take().unwrap()).lines();
    // The Job that prepares the storage comes last of what can happen without a node.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !world.exists(&kinds::JOB, "work", "init-local") {
        assert!(
            Instant::now() < deadline,
            "no Job came: {:#?}",
            log.by_ref().take(20).collect::<Vec<_>>()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    operator.kill().unwrap();
    operator.wait().unwrap();
    let refused: Vec<String> = log
        .map_while(Result::ok)
        .filter(|l| l.to_lowercase().contains("forbidden"))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
