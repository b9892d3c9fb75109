//! `snapshot find`: files across Snapshots, and where [`super::history`] looks.

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
use crate::cli::names::{self, Named};
use crate::cli::schemas::{self, View};
use crate::cli::{objects, select};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
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

/// What says where to look.
const LOOKED_INTO: [&Kind; 3] = [&kinds::BACKUP_CONFIGURATION, &kinds::REPOSITORY, &kinds::SNAPSHOT];

/// Where to look.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// Only in this Repository
    #[arg(long, visible_alias = "repository", value_name = "REPOSITORY", value_parser = names::of_repository)]
    pub(super) repo: Option<String>,
    /// Only in the Snapshots of bc/NAME, repo/NAME, or one Snapshot; - reads names or manifests from standard input
    #[arg(long = "in", value_name = "KIND/NAME", conflicts_with = "repo")]
    pub(super) within: Vec<String>,
    /// Manifests that name where to look, as --in does; - for standard input
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "repo")]
    pub(super) filename: Vec<String>,
    /// Only in Snapshots that are no older than this
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    pub(super) since: Option<Duration>,
    /// Component to look at; may be repeated; all by default
    #[arg(
        long,
        visible_alias = "components",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(super) component: Vec<String>,
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

/// A file in a Snapshot.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Match {
    /// The Snapshot.
    pub(super) snapshot: String,
    /// Its Repository.
    pub(super) repository: String,
    /// When the Snapshot was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(super) taken: Option<Timestamp>,
    /// The component.
    pub(super) component: String,
    /// The path; bytes that are no UTF-8 show as U+FFFD.
    pub(super) path: String,
    /// file, dir, symlink …
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Bytes.
    pub(super) size: u64,
    /// When the content last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(super) modified: Option<Timestamp>,
    /// What else there is to compare.
    #[serde(skip)]
    pub(super) more: More,
}

/// What a history compares beside size and time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct More {
    /// Equal where the content is; absent where restic alone could be asked.
    pub(super) content: Option<String>,
    /// `-rw-r--r--`.
    pub(super) permissions: String,
    /// Numeric owner.
    pub(super) uid: u32,
    /// Numeric group.
    pub(super) gid: u32,
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
    #[serde(flatten)]
    more: More,
}

/// The Snapshots of one Repository.
pub(super) struct Shelf {
    pub(super) repository: String,
    pub(super) snapshots: Vec<Snapshot>,
}

impl Shelf {
    /// All Snapshots of a Repository.
    async fn of(repository: &str, cluster: &Cluster, namespace: &str) -> Result<Self, CliError> {
        Ok(Shelf {
            repository: repository.to_owned(),
            snapshots: pick::of_repository(cluster, namespace, repository).await?,
        })
    }

    /// Adds the Snapshots of another that are not here yet.
    fn add(&mut self, other: Shelf) {
        for snapshot in other.snapshots {
            let name = snapshot.name_any();
            if !self.snapshots.iter().any(|s| s.name_any() == name) {
                self.snapshots.push(snapshot);
            }
        }
        self.snapshots.sort_by_key(pick::time);
    }

    /// Its restic repositories, each with the restic snapshots in it and whose they are.
    pub(super) fn stores(&self, components: &[String]) -> HashMap<String, Vec<(Part, &Snapshot)>> {
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

/// The Repositories that are looked into, each once, with its Snapshots, each once.
///
/// # Errors
/// When one does not exist or cannot be read.
pub(super) async fn shelves(place: &Where, context: &Context) -> Result<Vec<Shelf>, CliError> {
    let named = if place.within.is_empty() && place.filename.is_empty() {
        Vec::new()
    } else {
        objects::several(context, &place.within, &place.filename, &LOOKED_INTO)?
    };
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let mut shelves: Vec<Shelf> = Vec::new();
    if let Some(repository) = &place.repo {
        let shelf = Shelf::of(repository, cluster, namespace).await?;
        if shelf.snapshots.is_empty() {
            let _: Repository = cluster
                .get(&kinds::REPOSITORY, Some(namespace), repository)
                .await?;
        }
        shelves.push(shelf);
    } else if named.is_empty() {
        let all: Vec<Repository> = cluster
            .list(&kinds::REPOSITORY, &ListOptions::of(namespace))
            .await?;
        for repository in &all {
            shelves.push(Shelf::of(&repository.name_any(), cluster, namespace).await?);
        }
    }
    for one in &named {
        for shelf in named_shelves(one.named(), cluster, namespace).await? {
            match shelves.iter_mut().find(|s| s.repository == shelf.repository) {
                Some(known) => known.add(shelf),
                None => shelves.push(shelf),
            }
        }
    }
    let oldest = place.since.map(|since| context.now - since);
    for shelf in &mut shelves {
        shelf
            .snapshots
            .retain(|s| oldest.is_none_or(|oldest| pick::time(s) >= Some(oldest)));
    }
    shelves.retain(|shelf| !shelf.snapshots.is_empty());
    Ok(shelves)
}

/// Where one object that was named says to look. A bare name is a Snapshot's, or else a BackupConfiguration's.
async fn named_shelves(named: Named<'_>, cluster: &Cluster, namespace: &str) -> Result<Vec<Shelf>, CliError> {
    if named.kind == Some(&kinds::REPOSITORY) {
        let _: Repository = cluster
            .get(&kinds::REPOSITORY, Some(namespace), named.name)
            .await?;
        return Ok(vec![Shelf::of(named.name, cluster, namespace).await?]);
    }
    if named.kind != Some(&kinds::BACKUP_CONFIGURATION) {
        let found = cluster
            .get::<Snapshot>(&kinds::SNAPSHOT, Some(namespace), named.name)
            .await;
        match found {
            Ok(snapshot) => {
                return Ok(vec![Shelf {
                    repository: snapshot.spec.repository.clone(),
                    snapshots: vec![snapshot],
                }]);
            }
            Err(Error::NotFound { .. }) if named.kind.is_none() => {}
            Err(error) => {
                return Err(CliError::from(error).hint(format!(
                    "`kubectl kubestash snapshot list -n {namespace}` lists them"
                )));
            }
        }
    }
    let configuration = select::configuration(cluster, namespace, named.name).await?;
    let mut shelves = Vec::new();
    for repository in pick::repositories(&configuration) {
        shelves.push(Shelf::of(&repository, cluster, namespace).await?);
    }
    Ok(shelves)
}

/// Searches one restic repository; with `contents` what identifies the content of matches is asked for, too.
///
/// # Errors
/// What the reader says.
pub(super) async fn search(
    session: &Session<'_>,
    component_path: &str,
    parts: &[(Part, &Snapshot)],
    patterns: &[Vec<u8>],
    ignore_case: bool,
    contents: bool,
) -> Result<Vec<Match>, CliError> {
    let op = Op::Find {
        ids: parts.iter().map(|(part, _)| part.id.clone()).collect(),
        patterns: patterns.iter().cloned().map(Bytes).collect(),
        ignore_case,
        contents,
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
            more: hit.more,
        }));
    }
    Ok(found)
}

/// Finds.
///
/// # Errors
/// When a Repository cannot be read.
pub async fn run(args: &FindArgs, context: &Context) -> Result<Exit, CliError> {
    let patterns: Vec<Vec<u8>> = args.patterns.iter().map(|p| typed(p)).collect();
    let mut matches = Vec::new();
    let shelves = shelves(&args.place, context).await?;
    let namespace = context.namespace().await?;
    for shelf in shelves {
        let stores = shelf.stores(&args.place.component);
        if stores.is_empty() {
            continue;
        }
        let session = Session::open(context, &args.reader, namespace, &shelf.repository).await?;
        for (path, parts) in &stores {
            matches.extend(search(&session, path, parts, &patterns, args.ignore_case, false).await?);
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
