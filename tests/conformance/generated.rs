//! The generated files are those that the types give. `UPDATE=1 cargo test --test kubestash generated` writes them.

use super::reference;
use super::schema::definitions;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const HEADER: &str =
    "# Generated from src/api by `UPDATE=1 cargo test --test kubestash generated`; do not edit.\n";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn updating() -> bool {
    std::env::var("UPDATE").is_ok_and(|value| value == "1")
}

#[test]
fn generated_definitions_are_current() {
    let directory = here("manifests/crds");
    let wanted: BTreeMap<String, String> = definitions()
        .iter()
        .map(|crd| {
            let yaml = kubestash::yaml::to_string(crd).unwrap();
            (kubestash::api::crds::file_name(crd), format!("{HEADER}{yaml}"))
        })
        .collect();
    if updating() {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in &wanted {
            fs::write(directory.join(name), text).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        found.insert(name, fs::read_to_string(&path).unwrap());
    }
    assert!(
        found.keys().eq(wanted.keys()),
        "manifests/crds has {:?}; run with UPDATE=1",
        found.keys()
    );
    for (name, text) in &wanted {
        assert!(
            found[name] == *text,
            "manifests/crds/{name} is not current; run with UPDATE=1"
        );
    }
}

#[test]
fn generated_definitions_are_read_back_unchanged() {
    for crd in definitions() {
        let yaml = kubestash::yaml::to_string(crd).unwrap();
        let again: CustomResourceDefinition = kubestash::yaml::from_str(&yaml).unwrap();
        assert!(again == *crd, "{}", crd.spec.names.kind);
    }
}

#[test]
fn generated_reference_is_current() {
    let path = here("docs/reference/api.md");
    let wanted = reference::write();
    if updating() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference/api.md is not current; run with UPDATE=1"
    );
}
