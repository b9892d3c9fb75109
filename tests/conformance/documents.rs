//! Finds the published material.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The API groups that are ours.
const GROUPS: [&str; 4] = [
    "core.kubestash.com",
    "storage.kubestash.com",
    "addons.kubestash.com",
    "config.kubestash.com",
];

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// An object from the published documentation.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Where it stands: the file, below the directory of the documentation, and its number in the file.
    pub(crate) origin: String,
    /// The object.
    pub(crate) value: Value,
}

impl Document {
    /// The kind of the object.
    pub(crate) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }
}

/// The directory with the published material; `None` (and a line on stderr that counts) when it is not there.
pub(crate) fn directory(test: &str) -> Option<PathBuf> {
    let place = match std::env::var_os("KUBESTASH_CONFORMANCE") {
        Some(place) => {
            let place = PathBuf::from(place);
            assert!(place.is_dir(), "KUBESTASH_CONFORMANCE is not a directory");
            place
        }
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"),
    };
    if place.is_dir() {
        return Some(place);
    }
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    // Straight to stderr, so that the line is seen although the test passes.
    let _ = writeln!(
        std::io::stderr(),
        "skipped ({count}): {test}: the published material is not there; set KUBESTASH_CONFORMANCE to find it"
    );
    None
}

/// Every object of our API groups in the published documentation, in a fixed order; `None` when that is not there.
pub(crate) fn documents(test: &str) -> Option<Vec<Document>> {
    let root = directory(test)?.join("kubestash-docs");
    let mut files = Vec::new();
    yaml_files(&root, &mut files);
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display();
        let text = fs::read_to_string(&file).unwrap();
        let values: Vec<Value> =
            kubestash::yaml::from_str_multi(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (number, value) in values.into_iter().enumerate() {
            let version = value["apiVersion"].as_str().unwrap_or_default();
            if version
                .split_once('/')
                .is_some_and(|(group, _)| GROUPS.contains(&group))
            {
                found.push(Document {
                    origin: format!("{name} #{}", number + 1),
                    value,
                });
            }
        }
    }
    assert!(!found.is_empty(), "no objects in {}", root.display());
    Some(found)
}

fn yaml_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
}
