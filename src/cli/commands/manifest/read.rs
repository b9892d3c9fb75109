//! Finds and reads manifests in a Snapshot.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use serde_json::Value;

use super::Chosen;
use crate::cli::commands::snapshot::download::whole::Files;
use crate::cli::commands::snapshot::ls;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Session;
use crate::cli::inside::pick::{self, Part, Picked};
use crate::decide::manifests::Place;
use crate::decide::manifests::filter::Filter;
use crate::output::human;
use crate::reader::op::{Bytes, Op};
use crate::reader::pattern::{Choice, covers};

/// The component that a backup of manifests has.
const COMPONENT: &str = "manifest";

/// A manifest in the Snapshot.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    /// What it is of.
    pub(super) place: Place,
    /// The part of the Snapshot that it lies in.
    pub(super) part: Part,
    /// Its whole path there.
    pub(super) path: String,
}

/// A part, and the paths in it that are to be read.
type Wanted = (Part, BTreeSet<Vec<u8>>);

/// A Snapshot whose manifests are looked at.
pub(super) struct Opened<'c> {
    pub(super) picked: Picked,
    session: Session<'c>,
    /// The manifests that the patterns leave, in the order of their paths.
    pub(super) all: Vec<Manifest>,
    /// How many files are no manifests.
    pub(super) others: usize,
}

/// Opens the Snapshot and lists what is in it.
///
/// # Errors
/// When there is no such Snapshot, no such component, or no manifest in it.
pub(super) async fn open<'c>(chosen: &Chosen, context: &'c Context) -> Result<Opened<'c>, CliError> {
    let namespace = context.namespace().await?;
    let mut picked = pick::pick(context, chosen.typed(), &chosen.components).await?;
    if chosen.components.is_empty() {
        let known = &picked.snapshot.status.clone().unwrap_or_default().components;
        if !known.contains_key(COMPONENT) {
            let known: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(CliError::new(
                Exit::Precondition,
                format!(
                    "Snapshot {} has no component `{COMPONENT}`: it is no backup of manifests",
                    picked.snapshot.name_any()
                ),
            )
            .hint(format!(
                "it has: {}; `--components NAME` looks into one of them for such a tree",
                known.join(", ")
            )));
        }
        picked.parts = pick::parts(&picked.snapshot, &[COMPONENT.to_owned()])?;
    }
    let session = Session::open(context, &chosen.reader, namespace, picked.repository()).await?;
    let mut all = Vec::new();
    let mut others = 0;
    let any = |patterns: &[String], path: &str| patterns.iter().any(|p| covers(p, path.as_bytes()));
    ls::each(&session, &picked, None, true, |part, entry| {
        if entry.kind != "file" {
            return Ok(());
        }
        let left = (chosen.patterns.include.is_empty() || any(&chosen.patterns.include, &entry.path))
            && !any(&chosen.patterns.exclude, &entry.path);
        match Place::of(&part.top, &entry.path) {
            // Names of objects are plain ASCII; a path that lost bytes is of something else.
            Some(place) if entry.path_bytes.is_none() => {
                if left {
                    all.push(Manifest {
                        place,
                        part: part.clone(),
                        path: entry.path,
                    });
                }
            }
            _ => others += 1,
        }
        Ok(())
    })
    .await?;
    all.sort_by(|a, b| (&a.part.component, &a.place).cmp(&(&b.part.component, &b.place)));
    Ok(Opened {
        picked,
        session,
        all,
        others,
    })
}

impl Opened<'_> {
    /// Reads manifests: the object of each, or why it is none.
    ///
    /// # Errors
    /// When the repository cannot be read to the end.
    pub(super) async fn contents(
        &self,
        wanted: &[Manifest],
    ) -> Result<Vec<(Manifest, Result<Value, String>)>, CliError> {
        let mut parts: BTreeMap<(String, String), Wanted> = BTreeMap::new();
        for manifest in wanted {
            let part = &manifest.part;
            parts
                .entry((part.component_path.clone(), part.id.clone()))
                .or_insert_with(|| (part.clone(), BTreeSet::new()))
                .1
                .insert(manifest.path.clone().into_bytes());
        }
        let mut found: BTreeMap<(String, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for (part, paths) in parts.into_values() {
            let op = Op::Archive {
                id: part.id.clone(),
                path: Bytes(part.top.clone().into_bytes()),
                choice: Choice::default(),
                prefix: Bytes::default(),
                resume: None,
                version: String::new(),
            };
            let mut files = Files::new(paths);
            self.session.ask(&part.component_path, op, &mut files).await?;
            files.complete()?;
            found.extend(
                std::mem::take(&mut files.found)
                    .into_iter()
                    .map(|(path, content)| ((part.id.clone(), path), content)),
            );
        }
        let read = wanted.iter().map(|manifest| {
            let key = (manifest.part.id.clone(), manifest.path.clone().into_bytes());
            let content = found.get(&key).map(Vec::as_slice).unwrap_or_default();
            (manifest.clone(), object(content, &manifest.place))
        });
        Ok(read.collect())
    }

    /// The manifests that the filter means.
    pub(super) fn meant(&self, filter: &Filter, restoring: bool) -> Vec<Manifest> {
        let meant = |m: &&Manifest| filter.place(&m.place, restoring).is_ok();
        self.all.iter().filter(meant).cloned().collect()
    }

    /// The error of a choice that leaves nothing.
    pub(super) fn nothing(&self) -> CliError {
        let error = CliError::new(
            Exit::NothingMatched,
            format!(
                "no manifest in Snapshot {} is meant (of {}, and {})",
                self.picked.name(),
                self.all.len(),
                human::counted(self.others, "other file")
            ),
        );
        if self.all.is_empty() {
            error.hint("manifests lie at RESOURCE.GROUP/cluster/NAME.yaml or RESOURCE.GROUP/namespaces/NAMESPACE/NAME.yaml; `kubectl kubestash snapshot tree` shows what there is")
        } else {
            error.hint("`kubectl kubestash manifest-view SNAPSHOT` shows them all")
        }
    }
}

/// The labels of an object.
pub(super) fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The one object in a file, which must be the one that its place names.
fn object(content: &[u8], place: &Place) -> Result<Value, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is no text".to_owned())?;
    let mut objects = crate::yaml::values(text).map_err(|e| e.to_string())?;
    let object = match (objects.pop(), objects.is_empty()) {
        (Some(object), true) if object.is_object() => object,
        (None, _) => return Err("it is empty".to_owned()),
        _ => return Err("it holds something else than one object".to_owned()),
    };
    let said = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if said("/apiVersion").is_empty() || said("/kind").is_empty() {
        return Err("it has no apiVersion or no kind".to_owned());
    }
    if said("/metadata/name") != place.name {
        return Err(format!(
            "it is of {:?}, and not of what its name says",
            said("/metadata/name")
        ));
    }
    if said("/metadata/namespace") != place.namespace.as_deref().unwrap_or_default() {
        return Err("its namespace is not the one of its directory".to_owned());
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_hold_what_its_place_says() {
        let place = Place {
            resource: "configmaps".into(),
            namespace: Some("demo".into()),
            name: "a".into(),
        };
        let read = |text: &str| object(text.as_bytes(), &place);
        let good =
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: demo\n  labels: {x: z}\n";
        assert_eq!(labels(&read(good).unwrap())["x"], "z");
        for (wrong, why) in [
            ("", "empty"),
            ("just text", "one object"),
            ("a: 1\n", "apiVersion"),
            (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: demo}\n",
                "not of what its name says",
            ),
            (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
                "namespace",
            ),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
        assert!(object(b"\xff", &place).is_err());
    }
}
