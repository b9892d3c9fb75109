//! `install`: what it would apply, and what it does on an empty cluster.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::world::{World, shown, world};

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
