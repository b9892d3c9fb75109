use clap::Parser;
use serde_json::json;

use super::*;
use crate::cli::inside::pick::Part;
use crate::decide::manifests::Place;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: RestoreArgs,
}

fn args(line: &[&str]) -> RestoreArgs {
    Line::try_parse_from([&["manifest-restore", "s"], line].concat())
        .unwrap()
        .args
}

fn content(path: &str, object: Value) -> (Manifest, Result<Value, String>) {
    let part = Part {
        component: "manifest".into(),
        component_path: "p".into(),
        id: "i".into(),
        top: "/m".into(),
    };
    let manifest = Manifest {
        place: Place::of("/m", &format!("/m/{path}")).unwrap(),
        part,
        path: format!("/m/{path}"),
    };
    (manifest, Ok(object))
}

fn some() -> Vec<(Manifest, Result<Value, String>)> {
    vec![
        content(
            "deployments.apps/namespaces/a/web.yaml",
            json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}}),
        ),
        content(
            "replicasets.apps/namespaces/a/web-1.yaml",
            json!({"kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "a",
                "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}}),
        ),
        content(
            "configmaps/namespaces/a/c.yaml",
            json!({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "a"}}),
        ),
        content(
            "persistentvolumes/cluster/pv.yaml",
            json!({"kind": "PersistentVolume", "metadata": {"name": "pv"}}),
        ),
    ]
}

#[test]
fn what_is_restored_comes_in_order_and_the_rest_is_told() {
    let (items, others) = sorted(&args(&["--target-namespace", "b"]), some()).unwrap();
    let names: Vec<(&str, Option<&str>)> = items
        .iter()
        .map(|i| (i.place.name.as_str(), i.namespace.as_deref()))
        .collect();
    assert_eq!(names, [("c", Some("b")), ("web", Some("b"))]);
    assert_eq!(items[0].object["metadata"]["namespace"], "b");
    assert_eq!(others.len(), 2);
    assert!(
        others
            .iter()
            .all(|o| o.outcome == Outcome::Skipped && !o.reason.is_empty())
    );
    let (with_volumes, _) = sorted(&args(&["--restore-pvs"]), some()).unwrap();
    assert_eq!(with_volumes[0].place.name, "pv");
}

#[test]
fn several_namespaces_do_not_meet_in_one() {
    let mut all = some();
    all.push(content(
        "configmaps/namespaces/z/c.yaml",
        json!({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "z"}}),
    ));
    let Err(error) = sorted(&args(&["--target-namespace", "b"]), all) else {
        panic!("it must be refused");
    };
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.message.contains("(a, z)"), "{}", error.message);
}

#[test]
fn a_directory_keeps_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "x").unwrap();
    let (items, _) = sorted(&args(&[]), some()).unwrap();
    let results = written(dir.path(), &items).unwrap();
    assert_eq!(results.len(), 2);
    assert!(
        dir.path()
            .join("DryRun/deployments.apps/namespaces/a/web.yaml")
            .exists()
    );
    assert!(dir.path().join("mine").exists());
}

#[test]
fn a_mapping_has_two_sides() {
    assert_eq!(mapping("a=b"), Ok(("a".to_owned(), "b".to_owned())));
    assert!(mapping("a").is_err() && mapping("=b").is_err() && mapping("a=").is_err());
}
