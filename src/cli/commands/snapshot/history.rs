//! `snapshot history`: one file from Snapshot to Snapshot.

use std::ffi::OsString;

use jiff::Timestamp;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::Serialize;

use super::find::{Match, Where, search, shelves};
use crate::api::storage::Snapshot;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::{shown, typed};
use crate::cli::inside::pick::{self, Part};
use crate::cli::inside::{ReaderArgs, Session};
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::output::table::Table;
use crate::reader::names::shown_by_go;
use crate::reader::pattern::literally;

/// Show how one file changed from Snapshot to Snapshot
///
/// Examples:
///   kubectl kubestash snapshot history config/app.yaml --in bc/sample-backup
///   kubectl kubestash snapshot history /kubestash-data/app.db --repo s3-repo --all
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct HistoryArgs {
    /// The file
    #[arg(value_name = "PATH")]
    path: OsString,
    #[command(flatten)]
    place: Where,
    /// Also the Snapshots in which it did not change
    #[arg(long)]
    all: bool,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// How a file changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct FileHistory {
    /// One entry per Snapshot; the oldest first.
    versions: Vec<Version>,
}

impl View for FileHistory {
    const COMMAND: &'static str = "snapshot-history";
    const KIND: &'static str = "FileHistory";
}

/// A file in a Snapshot, compared with the Snapshot before.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Version {
    /// new, changed, same or gone.
    change: &'static str,
    /// The Snapshot.
    snapshot: String,
    /// When the Snapshot was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    taken: Option<Timestamp>,
    /// The component.
    component: String,
    /// The path.
    path: String,
    /// Bytes; absent where the file is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// When the content last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    modified: Option<Timestamp>,
}

/// Shows the history.
///
/// # Errors
/// When a Repository cannot be read, or no Snapshot has the file.
pub async fn run(args: &HistoryArgs, context: &Context) -> Result<Exit, CliError> {
    let asked = typed(&args.path);
    let mut versions = Vec::new();
    let shelves = shelves(&args.place, context).await?;
    let namespace = context.namespace().await?;
    for shelf in shelves {
        let stores = shelf.stores(&args.place.component);
        if stores.is_empty() {
            continue;
        }
        let session = Session::open(context, &args.reader, namespace, &shelf.repository).await?;
        for (store, parts) in &stores {
            let mut paths: Vec<Vec<u8>> = parts.iter().map(|(part, _)| pick::full(part, &asked)).collect();
            paths.sort();
            paths.dedup();
            let patterns: Vec<Vec<u8>> = paths.iter().map(|p| literally(p)).collect();
            let found = search(&session, store, parts, &patterns, false).await?;
            for path in &paths {
                versions.extend(told(&shown_by_go(path), parts, &found));
            }
        }
    }
    if versions.is_empty() {
        return Err(
            CliError::new(Exit::NothingMatched, format!("no Snapshot has {}", shown(&asked)))
                .hint("`kubectl kubestash snapshot find PATTERN` looks for names"),
        );
    }
    if !args.all {
        versions.retain(|v| v.change != "same");
    }
    if args.output.is_table() {
        let rows: Vec<Vec<String>> = versions
            .iter()
            .map(|v| {
                vec![
                    v.taken.map(|t| format!("{t:.0}")).unwrap_or_default(),
                    v.change.to_owned(),
                    v.size.map(human::bytes).unwrap_or_default(),
                    v.modified.map(|t| format!("{t:.0}")).unwrap_or_default(),
                    v.snapshot.clone(),
                    shown(v.path.as_bytes()),
                ]
            })
            .collect();
        let mut table = Table::new(["TAKEN", "CHANGE", "SIZE", "MODIFIED", "SNAPSHOT", "PATH"]);
        context.ui.data(&table.page(&rows))?;
    } else {
        schemas::print(context, &args.output, &FileHistory { versions })?;
    }
    Ok(Exit::Ok)
}

/// What happened to one path, Snapshot by Snapshot, from the first that has it.
fn told(path: &str, parts: &[(Part, &Snapshot)], found: &[Match]) -> Vec<Version> {
    let mut all: Vec<&(Part, &Snapshot)> = parts.iter().collect();
    all.sort_by_key(|(_, snapshot)| pick::time(snapshot));
    let mut versions: Vec<Version> = Vec::new();
    let mut before: Option<(u64, Option<Timestamp>)> = None;
    for (part, snapshot) in all {
        // A component of several paths is looked at where this path can be.
        if !std::path::Path::new(path).starts_with(&part.top) {
            continue;
        }
        let name = snapshot.name_any();
        let here = found
            .iter()
            .find(|m| m.snapshot == name && m.component == part.component && m.path == path);
        let state = here.map(|m| (m.size, m.modified));
        let change = match (&before, &state) {
            (None, None) => continue,
            (None, Some(_)) => "new",
            (Some(_), None) => "gone",
            (Some(old), Some(new)) if old == new => "same",
            (Some(_), Some(_)) => "changed",
        };
        versions.push(Version {
            change,
            snapshot: name,
            taken: pick::time(snapshot),
            component: part.component.clone(),
            path: path.to_owned(),
            size: state.map(|s| s.0),
            modified: state.and_then(|s| s.1),
        });
        before = state;
    }
    versions
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_history_tells_when_a_file_came_changed_and_went() {
        let snapshots: Vec<Snapshot> = (1..=5)
            .map(|n| {
                serde_json::from_value(
                    json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
                    "metadata": {"name": format!("s{n}")}, "spec": {"repository": "r"},
                    "status": {"snapshotTime": format!("2026-01-0{n}T00:00:00Z")}}),
                )
                .unwrap()
            })
            .collect();
        let part = Part {
            component: "dump".into(),
            component_path: "p".into(),
            id: "x".into(),
            top: "/data".into(),
        };
        let parts: Vec<(Part, &Snapshot)> = snapshots.iter().rev().map(|s| (part.clone(), s)).collect();
        let at = |snapshot: &str, size| Match {
            snapshot: snapshot.into(),
            repository: "r".into(),
            taken: None,
            component: "dump".into(),
            path: "/data/f".into(),
            kind: "file".into(),
            size,
            modified: None,
        };
        let found = [at("s2", 1), at("s3", 1), at("s4", 2)];
        let told: Vec<(String, &str)> = told("/data/f", &parts, &found)
            .into_iter()
            .map(|v| (v.snapshot, v.change))
            .collect();
        let wanted = [("s2", "new"), ("s3", "same"), ("s4", "changed"), ("s5", "gone")];
        assert_eq!(told, wanted.map(|(s, c)| (s.to_owned(), c)));
    }
}
