//! `snapshot find` and `snapshot history`: files across Snapshots.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::storage::{Repository, Snapshot};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::{shown, typed};
use crate::cli::inside::pick::{self, Part};
use crate::cli::inside::{ReaderArgs, Session};
use crate::cli::names;
use crate::cli::schemas::{self, View};
use crate::cluster::{ListOptions, kinds};
use crate::output::format::Format;
use crate::output::human;
use crate::output::table::Table;
use crate::reader::op::{Bytes, Op};

/// Find files by name in all Snapshots
///
/// A PATTERN is matched against names and paths: * and ? stay within a name, ** crosses directories.
///
/// Examples:
///   kubectl kubestash snapshot find '*.db'
///   kubectl kubestash snapshot find app.yaml --in bc/sample-backup --since 30d
///   kubectl kubestash snapshot find -i 'INVOICE*' --repo s3-repo -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct FindArgs {
    /// What to look for
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<OsString>,
    #[command(flatten)]
    place: Where,
    /// Small letters match capitals, too
    #[arg(short, long)]
    ignore_case: bool,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// Where to look.
#[derive(Debug, clap::Args)]
struct Where {
    /// Only in this Repository
    #[arg(long, visible_alias = "repository", value_name = "REPOSITORY")]
    repo: Option<String>,
    /// Only in the Snapshots of bc/NAME, repo/NAME, or one Snapshot
    #[arg(long = "in", value_name = "KIND/NAME", conflicts_with = "repo")]
    within: Option<String>,
    /// Only in Snapshots that are no older than this
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    since: Option<Duration>,
    /// Component to look at; may be repeated; all by default
    #[arg(
        long,
        visible_alias = "components",
        value_name = "NAME",
        value_delimiter = ','
    )]
    component: Vec<String>,
}

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

/// Files that were found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct FoundFiles {
    /// One entry per file and Snapshot; the oldest Snapshot first.
    matches: Vec<Match>,
}

impl View for FoundFiles {
    const COMMAND: &'static str = "snapshot-find";
    const KIND: &'static str = "FoundFiles";
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

/// A file in a Snapshot.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Match {
    /// The Snapshot.
    snapshot: String,
    /// Its Repository.
    repository: String,
    /// When the Snapshot was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    taken: Option<Timestamp>,
    /// The component.
    component: String,
    /// The path; bytes that are no UTF-8 show as U+FFFD.
    path: String,
    /// file, dir, symlink …
    #[serde(rename = "type")]
    kind: String,
    /// Bytes.
    size: u64,
    /// When the content last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    modified: Option<Timestamp>,
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

/// restic's matches in one snapshot.
#[derive(Debug, Deserialize)]
struct Hits {
    #[serde(default)]
    matches: Vec<Hit>,
    snapshot: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hit {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    size: u64,
    mtime: Option<Timestamp>,
}

/// The Snapshots of one Repository.
struct Shelf {
    repository: String,
    snapshots: Vec<Snapshot>,
}

impl Shelf {
    /// Its restic repositories, each with the restic snapshots in it and whose they are.
    fn stores(&self, components: &[String]) -> HashMap<String, Vec<(Part, &Snapshot)>> {
        let mut stores: HashMap<String, Vec<(Part, &Snapshot)>> = HashMap::new();
        for snapshot in &self.snapshots {
            // A Snapshot without files is none to look into.
            for part in pick::parts(snapshot, &[]).unwrap_or_default() {
                if components.is_empty() || components.contains(&part.component) {
                    stores
                        .entry(part.component_path.clone())
                        .or_default()
                        .push((part, snapshot));
                }
            }
        }
        stores
    }
}

async fn shelves(place: &Where, context: &Context) -> Result<Vec<Shelf>, CliError> {
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let named = match &place.within {
        Some(typed) => Some(names::parse(
            typed,
            &[&kinds::BACKUP_CONFIGURATION, &kinds::REPOSITORY, &kinds::SNAPSHOT],
        )?),
        None => None,
    };
    let repositories = match (&place.repo, named) {
        (Some(repository), _) => vec![repository.clone()],
        (None, Some(named)) if named.kind == Some(&kinds::REPOSITORY) => vec![named.name.to_owned()],
        (None, Some(named)) if named.kind == Some(&kinds::BACKUP_CONFIGURATION) => {
            let found = cluster
                .get(&kinds::BACKUP_CONFIGURATION, Some(namespace), named.name)
                .await?;
            pick::repositories(&found)
        }
        (None, Some(_)) => {
            let typed = place.within.as_deref().unwrap_or_default();
            let picked = pick::pick(context, typed, &[]).await?;
            return Ok(vec![Shelf {
                repository: picked.repository().to_owned(),
                snapshots: vec![picked.snapshot],
            }]);
        }
        (None, None) => {
            let all: Vec<Repository> = cluster
                .list(&kinds::REPOSITORY, &ListOptions::of(namespace))
                .await?;
            all.iter().map(ResourceExt::name_any).collect()
        }
    };
    let oldest = place.since.map(|since| context.now - since);
    let mut shelves = Vec::new();
    for repository in repositories {
        let mut snapshots = pick::of_repository(cluster, namespace, &repository).await?;
        if snapshots.is_empty() && place.repo.is_some() {
            let _: Repository = cluster
                .get(&kinds::REPOSITORY, Some(namespace), &repository)
                .await?;
        }
        snapshots.retain(|s| oldest.is_none_or(|oldest| pick::time(s) >= Some(oldest)));
        if !snapshots.is_empty() {
            shelves.push(Shelf {
                repository,
                snapshots,
            });
        }
    }
    Ok(shelves)
}

/// Runs restic's search in one restic repository.
async fn search(
    session: &Session<'_>,
    component_path: &str,
    parts: &[(Part, &Snapshot)],
    patterns: &[Vec<u8>],
    ignore_case: bool,
) -> Result<Vec<Match>, CliError> {
    let op = Op::Find {
        ids: parts.iter().map(|(part, _)| part.id.clone()).collect(),
        patterns: patterns.iter().cloned().map(Bytes).collect(),
        ignore_case,
    };
    let text = session.answer(component_path, op).await?;
    let hits: Vec<Hits> = serde_json::from_slice(&text)
        .map_err(|e| CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string()))?;
    let mut found = Vec::new();
    for one in hits {
        let Some((part, snapshot)) = parts.iter().find(|(part, _)| one.snapshot.starts_with(&part.id)) else {
            continue;
        };
        found.extend(one.matches.into_iter().map(|hit| Match {
            snapshot: snapshot.name_any(),
            repository: snapshot.spec.repository.clone(),
            taken: pick::time(snapshot),
            component: part.component.clone(),
            path: hit.path,
            kind: hit.kind,
            size: hit.size,
            modified: hit.mtime,
        }));
    }
    Ok(found)
}

/// Finds.
///
/// # Errors
/// When a Repository cannot be read.
pub async fn run(args: &FindArgs, context: &Context) -> Result<Exit, CliError> {
    let namespace = context.namespace().await?;
    let patterns: Vec<Vec<u8>> = args.patterns.iter().map(|p| typed(p)).collect();
    let mut matches = Vec::new();
    for shelf in shelves(&args.place, context).await? {
        let stores = shelf.stores(&args.place.component);
        if stores.is_empty() {
            continue;
        }
        let session = Session::open(context, &args.reader, namespace, &shelf.repository).await?;
        for (path, parts) in &stores {
            matches.extend(search(&session, path, parts, &patterns, args.ignore_case).await?);
        }
    }
    matches.sort_by(|a, b| (a.taken, &a.component, &a.path).cmp(&(b.taken, &b.component, &b.path)));
    let none = matches.is_empty();
    if args.output.is_table() {
        let rows: Vec<Vec<String>> = matches
            .iter()
            .map(|m| {
                vec![
                    m.snapshot.clone(),
                    m.taken.map(|t| format!("{t:.0}")).unwrap_or_default(),
                    m.component.clone(),
                    if m.kind == "file" {
                        human::bytes(m.size)
                    } else {
                        m.kind.clone()
                    },
                    m.modified.map(|t| format!("{t:.0}")).unwrap_or_default(),
                    shown(m.path.as_bytes()),
                ]
            })
            .collect();
        if !none {
            let mut table = Table::new(["SNAPSHOT", "TAKEN", "COMPONENT", "SIZE", "MODIFIED", "PATH"]);
            context.ui.data(&table.page(&rows))?;
        }
    } else {
        schemas::print(context, &args.output, &FoundFiles { matches })?;
    }
    if none {
        context.ui.say("Nothing matches.");
        return Ok(Exit::NothingMatched);
    }
    Ok(Exit::Ok)
}

/// A path as a pattern that matches it alone.
fn literally(path: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(path.len());
    for byte in path {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

/// Shows the history.
///
/// # Errors
/// When a Repository cannot be read, or no Snapshot has the file.
pub async fn history(args: &HistoryArgs, context: &Context) -> Result<Exit, CliError> {
    let namespace = context.namespace().await?;
    let asked = typed(&args.path);
    let mut versions = Vec::new();
    for shelf in shelves(&args.place, context).await? {
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
                versions.extend(told(&String::from_utf8_lossy(path), parts, &found));
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
    fn a_path_matches_itself_alone() {
        assert_eq!(literally(b"/a[1]*"), b"/a\\[1\\]\\*");
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
