//! Field by field: what goes in, where it comes out, and what is said.

mod backups;
mod others;
mod restores;
mod storages;

use serde_json::Value;

use super::{Conversion, Level, Options, convert};
use crate::yaml;

/// Converts manifests as they stand in a file; namespace `demo` where none is given.
fn made(text: &str) -> Conversion {
    made_with(text, &Options::default())
}

fn made_with(text: &str, options: &Options) -> Conversion {
    let options = Options {
        namespace: "demo".to_owned(),
        ..options.clone()
    };
    convert(&yaml::values(text).unwrap(), &options)
}

/// The manifest of that kind and name.
fn object(made: &Conversion, kind: &str, name: &str) -> Value {
    let found = made
        .outputs
        .iter()
        .find(|o| o.object["kind"] == kind && o.object["metadata"]["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {kind} {name} among {:?}", titles(made)))
        .object
        .clone()
}

/// `Kind name` of all manifests.
fn titles(made: &Conversion) -> Vec<String> {
    made.outputs
        .iter()
        .map(|o| {
            format!(
                "{} {}",
                o.object["kind"].as_str().unwrap(),
                o.object["metadata"]["name"].as_str().unwrap()
            )
        })
        .collect()
}

/// Pointers (or, without one, places) of the notes of a level.
fn at(made: &Conversion, level: Level) -> Vec<String> {
    made.notes
        .iter()
        .filter(|note| note.level == level)
        .map(|note| {
            if note.pointer.is_empty() {
                note.to.clone()
            } else {
                note.pointer.clone()
            }
        })
        .collect()
}

/// A value of a manifest.
fn field(made: &Conversion, kind: &str, name: &str, pointer: &str) -> Value {
    object(made, kind, name)
        .pointer(pointer)
        .cloned()
        .unwrap_or_default()
}

/// What is asked of a reader: level, pointer, and a piece of the text.
fn says(made: &Conversion, level: Level, pointer: &str, piece: &str) -> bool {
    made.notes.iter().any(|note| {
        note.level == level
            && note.pointer == pointer
            && (note.reason.contains(piece) || note.way_out.contains(piece) || note.to.contains(piece))
    })
}

/// A BackupConfiguration with more fields in its spec, indented by two.
fn configuration(more: &str) -> String {
    format!(
        "\
apiVersion: stash.appscode.com/v1beta1
kind: BackupConfiguration
metadata: {{name: app, namespace: demo}}
spec:
  repository: {{name: repo}}
  schedule: \"*/5 * * * *\"
  retentionPolicy: {{name: keep-last-5, keepLast: 5, prune: true}}
{more}"
    )
}

/// The same for a Deployment with paths.
fn deployment(more: &str) -> String {
    configuration(&format!(
        "  target:\n    ref: {{apiVersion: apps/v1, kind: Deployment, name: web}}\n    paths: [/data]\n{more}"
    ))
}
