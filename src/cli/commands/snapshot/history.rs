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
/// Contents are compared, not sizes and times: changed means other content, touched that only the time, the permissions or
/// the owner are others.
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
    /// new, changed (its content), touched (only what `touched` names), same or gone.
    change: &'static str,
    /// What beside the content is other than before: modified, permissions, owner.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    touched: Vec<&'static str>,
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
    /// Identifies the content: equal where it is the same. Absent where the file is gone, is a directory, or could only be
    /// read by restic; then another size or time counts as another content.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Permissions as `ls -l` shows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<String>,
    /// Numeric owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// Numeric group.
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
}

/// Shows the history.
///
/// # Errors
/// When a Repository cannot be read, or no Snapshot has the file.
pub async fn run(args: &HistoryArgs, context: &Context) -> Result<Exit, CliError> {
    let asked = typed(&args.path);
    let mut versions = Vec::new();
    let mut elsewhere: Vec<Part> = Vec::new();
    let shelves = shelves(&args.place, context).await?;
    let namespace = context.namespace().await?;
    for shelf in shelves {
        let mut stores = shelf.stores(&args.place.component);
        for parts in stores.values_mut() {
            // Nobody need look where this path cannot be.
            parts.retain(|(part, _)| {
                let holds = !pick::places(std::slice::from_ref(part), Some(&asked)).is_empty();
                if !holds {
                    elsewhere.push(part.clone());
                }
                holds
            });
        }
        stores.retain(|_, parts| !parts.is_empty());
        if stores.is_empty() {
            continue;
        }
        let session = Session::open(context, &args.reader, namespace, &shelf.repository).await?;
        for (store, parts) in &stores {
            let mut paths: Vec<Vec<u8>> = parts.iter().map(|(part, _)| pick::full(part, &asked)).collect();
            paths.sort();
            paths.dedup();
            let patterns: Vec<Vec<u8>> = paths.iter().map(|p| literally(p)).collect();
            let found = search(&session, store, parts, &patterns, false, true).await?;
            for path in &paths {
                versions.extend(told(&shown_by_go(path), parts, &found));
            }
        }
    }
    if versions.is_empty() {
        let error = CliError::new(Exit::NothingMatched, format!("no Snapshot has {}", shown(&asked)));
        let error = match elsewhere.as_slice() {
            [] => error,
            parts => error.hint(format!("they hold: {}", pick::tops(parts.iter().map(Part::told)))),
        };
        return Err(error.hint("`kubectl kubestash snapshot find PATTERN` looks for names"));
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
                    match v.change {
                        "touched" => format!("touched ({})", v.touched.join(", ")),
                        change => change.to_owned(),
                    },
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
    let mut before: Option<&Match> = None;
    for (part, snapshot) in all {
        // A component of several paths is looked at where this path can be.
        if !std::path::Path::new(path).starts_with(&part.top) {
            continue;
        }
        let name = snapshot.name_any();
        let here = found
            .iter()
            .find(|m| m.snapshot == name && m.component == part.component && m.path == path);
        let (change, touched) = match (before, here) {
            (None, None) => continue,
            (None, Some(_)) => ("new", Vec::new()),
            (Some(_), None) => ("gone", Vec::new()),
            (Some(old), Some(new)) => compared(old, new),
        };
        versions.push(Version {
            change,
            touched,
            snapshot: name,
            taken: pick::time(snapshot),
            component: part.component.clone(),
            path: path.to_owned(),
            size: here.map(|m| m.size),
            modified: here.and_then(|m| m.modified),
            content: here.and_then(|m| m.more.content.clone()),
            permissions: here.map(|m| m.more.permissions.clone()),
            uid: here.map(|m| m.more.uid),
            gid: here.map(|m| m.more.gid),
        });
        before = here;
    }
    versions
}

/// How a file became another one, and what of it beside the content.
fn compared(old: &Match, new: &Match) -> (&'static str, Vec<&'static str>) {
    let touched: Vec<&str> = [
        ("modified", old.modified != new.modified),
        ("permissions", old.more.permissions != new.more.permissions),
        (
            "owner",
            (old.more.uid, old.more.gid) != (new.more.uid, new.more.gid),
        ),
    ]
    .into_iter()
    .filter_map(|(what, other)| other.then_some(what))
    .collect();
    let other_content = match (&old.more.content, &new.more.content) {
        (Some(old), Some(new)) => old != new,
        // Not known: a time that moved is taken for a change.
        _ => (old.size, old.modified) != (new.size, new.modified),
    };
    let change = if other_content || old.kind != new.kind {
        "changed"
    } else if touched.is_empty() {
        "same"
    } else {
        "touched"
    };
    (change, touched)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::commands::snapshot::find::More;

    #[test]
    fn a_change_is_told_by_content_where_it_is_known() {
        let file = |content: Option<&str>, time: &str, permissions: &str, uid| Match {
            snapshot: "s".into(),
            repository: "r".into(),
            taken: None,
            component: "dump".into(),
            path: "/f".into(),
            kind: "file".into(),
            size: 3,
            modified: time.parse().ok(),
            more: More {
                content: content.map(Into::into),
                permissions: permissions.into(),
                uid,
                gid: 0,
            },
        };
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let old = file(Some("a"), early, "-rw-r--r--", 0);
        for (new, change, touched) in [
            (old.clone(), "same", &[][..]),
            // As large, and with the old time set again.
            (file(Some("b"), early, "-rw-r--r--", 0), "changed", &[]),
            (file(Some("b"), late, "-rw-r--r--", 0), "changed", &["modified"]),
            (file(Some("a"), late, "-rw-r--r--", 0), "touched", &["modified"]),
            (
                file(Some("a"), early, "-rw-------", 7),
                "touched",
                &["permissions", "owner"],
            ),
            (file(None, early, "-rw-r--r--", 0), "same", &[]),
            (file(None, late, "-rw-r--r--", 0), "changed", &["modified"]),
            (file(None, early, "-rw-------", 0), "touched", &["permissions"]),
        ] {
            assert_eq!(compared(&old, &new), (change, touched.to_vec()), "{new:?}");
        }
    }

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
            more: More::default(),
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
