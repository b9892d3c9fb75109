//! `snapshot diff`: what changed from one Snapshot to another, or to the volume as it is now.

mod live;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::{Entry, shown};
use crate::cli::inside::pick::{self, Lines, Part, Picked};
use crate::cli::inside::{ReaderArgs, Session};
use crate::cli::objects::Files;
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::reader::op::{Bytes, Op};

/// Show what changed from one Snapshot to another, or to now
///
/// + added, - removed, M content, U permissions, owner or time, T type.
///
/// `live` compares with the volume as it is now, in a pod that mounts it read-only and goes away at the end. A file of the
/// same size and time counts as the same, and one of another time as changed; --content compares hashes instead.
///
/// Examples:
///   kubectl kubestash snapshot diff s3-repo-sample-backup-daily-1700000000 bc/sample-backup
///   kubectl kubestash snapshot diff bc/sample-backup live
///   kubectl kubestash snapshot diff SNAPSHOT-A SNAPSHOT-B -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DiffArgs {
    /// The Snapshot to compare with, usually the older: NAME or snapshot/NAME, or bc/NAME or repo/NAME for its latest; -
    /// reads names or manifests from standard input
    #[arg(value_name = "FROM", required_unless_present = "filename")]
    from: Option<String>,
    /// The Snapshot that is compared, or live: what was backed up as it is now
    #[arg(value_name = "TO")]
    to: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// With live: read every file and compare hashes
    #[arg(long)]
    content: bool,
    /// Component to look at; may be repeated; all by default
    #[arg(
        long,
        visible_alias = "components",
        value_name = "NAME",
        value_delimiter = ','
    )]
    component: Vec<String>,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// What changed.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct SnapshotDiff {
    /// The Snapshot that was compared with.
    from: String,
    /// The Snapshot that was compared, or live.
    to: String,
    /// Every path that differs.
    changes: Vec<Change>,
    /// Bytes of files that came.
    added_bytes: u64,
    /// Bytes of files that went.
    removed_bytes: u64,
    /// What of the volume could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
}

impl View for SnapshotDiff {
    const COMMAND: &'static str = "snapshot-diff";
    const KIND: &'static str = "SnapshotDiff";
}

/// A path that differs.
#[derive(Debug, Serialize, JsonSchema)]
struct Change {
    /// The component.
    component: String,
    /// The path.
    path: String,
    /// +, -, M, U, T or several of them.
    change: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    message_type: String,
    path: String,
    modifier: String,
    added: Sum,
    removed: Sum,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sum {
    bytes: u64,
}

/// Compares.
///
/// # Errors
/// When the Snapshots are of different Repositories or share no component.
pub async fn run(args: &DiffArgs, context: &Context) -> Result<Exit, CliError> {
    let words: Vec<String> = args.from.iter().chain(&args.to).cloned().collect();
    let (several, diff) = match words.split_last() {
        Some((last, words)) if last == "live" => {
            let from = pick::one(context, words, &args.files, &args.component).await?;
            let diff = Box::pin(live::compare(args, &from, context)).await?;
            (from.several(), diff)
        }
        _ if args.content => {
            return Err(CliError::usage(
                "--content is for `live`; Snapshots are always compared by content",
            ));
        }
        _ => {
            let (from, to) = pick::pair(context, &words, &args.files, &args.component).await?;
            let diff = Box::pin(snapshots(args, &from, &to, context)).await?;
            (from.several(), diff)
        }
    };
    if args.output.is_table() {
        for change in &diff.changes {
            context.ui.line(&line(change, several))?;
        }
        context.ui.say(&format!(
            "{} added, {} removed, from {} to {}",
            human::bytes(diff.added_bytes),
            human::bytes(diff.removed_bytes),
            diff.from,
            diff.to
        ));
    } else {
        schemas::print(context, &args.output, &diff)?;
    }
    for what in &diff.unread {
        context.ui.warn(&format!("not compared: {what}"));
    }
    Ok(if diff.unread.is_empty() {
        Exit::Ok
    } else {
        Exit::Partial
    })
}

/// Compares two Snapshots.
async fn snapshots(
    args: &DiffArgs,
    from: &Picked,
    to: &Picked,
    context: &Context,
) -> Result<SnapshotDiff, CliError> {
    let pairs = pairs(from, to)?;
    let namespace = context.namespace().await?;
    let session = Session::open(context, &args.reader, namespace, from.repository()).await?;
    let mut diff = SnapshotDiff {
        from: from.name(),
        to: to.name(),
        ..SnapshotDiff::default()
    };
    for (a, b) in pairs {
        let mut changes = compare(&session, a, b, &mut diff).await?;
        told_apart(&session, a, b, &mut changes).await?;
        diff.changes.extend(changes);
    }
    Ok(diff)
}

/// The parts that both have.
fn pairs<'p>(from: &'p Picked, to: &'p Picked) -> Result<Vec<(&'p Part, &'p Part)>, CliError> {
    if from.repository() != to.repository() {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "Snapshot {} is in Repository {} and Snapshot {} in {}; only Snapshots of one Repository can be compared",
                from.name(),
                from.repository(),
                to.name(),
                to.repository()
            ),
        ));
    }
    let pairs: Vec<(&Part, &Part)> = from
        .parts
        .iter()
        .filter_map(|a| {
            let same = |b: &&Part| b.component_path == a.component_path && b.top == a.top;
            Some((a, to.parts.iter().find(same)?))
        })
        .collect();
    if pairs.is_empty() {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "Snapshots {} and {} have no component in common",
                from.name(),
                to.name()
            ),
        ));
    }
    Ok(pairs)
}

fn line(change: &Change, several: bool) -> String {
    let prefix = if several {
        format!("{}:", change.component)
    } else {
        String::new()
    };
    format!("{:<2} {prefix}{}", change.change, shown(change.path.as_bytes()))
}

/// What restic says.
async fn compare(
    session: &Session<'_>,
    a: &Part,
    b: &Part,
    diff: &mut SnapshotDiff,
) -> Result<Vec<Change>, CliError> {
    let op = Op::Diff {
        from: a.id.clone(),
        to: b.id.clone(),
    };
    let mut changes = Vec::new();
    let mut lines = Lines::new(|line: &[u8]| {
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            return Ok(());
        };
        match line.message_type.as_str() {
            "change" => changes.push(Change {
                component: a.component.clone(),
                path: line.path,
                change: line.modifier,
            }),
            "statistics" => {
                diff.added_bytes += line.added.bytes;
                diff.removed_bytes += line.removed.bytes;
            }
            _ => {}
        }
        Ok(())
    });
    session.ask(&a.component_path, op, &mut lines).await?;
    drop(lines);
    Ok(changes)
}

/// restic says U also where only inode, device or the time of that very change differ, as they do whenever a volume is
/// mounted anew or a file written again. Those are taken out.
async fn told_apart(
    session: &Session<'_>,
    a: &Part,
    b: &Part,
    changes: &mut Vec<Change>,
) -> Result<(), CliError> {
    if !changes.iter().any(|c| c.change == "U") {
        return Ok(());
    }
    let (old, new) = (entries(session, a).await?, entries(session, b).await?);
    changes.retain(|c| {
        let path = c.path.trim_end_matches('/').as_bytes();
        match (c.change.as_str(), old.get(path), new.get(path)) {
            ("U", Some(old), Some(new)) => differ(old, new),
            _ => true,
        }
    });
    Ok(())
}

/// Whether people would call it a change. Where links lead is in no listing, so each is left in.
fn differ(old: &Entry, new: &Entry) -> bool {
    let seen = |e: &Entry| (e.mode, e.uid, e.gid, e.mtime, e.size);
    seen(old) != seen(new) || old.kind == "symlink"
}

/// Everything in a part, by path.
async fn entries(session: &Session<'_>, part: &Part) -> Result<BTreeMap<Vec<u8>, Entry>, CliError> {
    let op = Op::Ls {
        id: part.id.clone(),
        path: Bytes(part.top.clone().into_bytes()),
        recursive: true,
    };
    let mut all = BTreeMap::new();
    let mut lines = Lines::new(|line: &[u8]| {
        let entry: Entry = serde_json::from_slice(line).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?;
        all.insert(entry.bytes().to_vec(), entry);
        Ok(())
    });
    session.ask(&part.component_path, op, &mut lines).await?;
    drop(lines);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_people_see_is_a_change() {
        let file = Entry {
            kind: "file".into(),
            mode: 0o644,
            inode: 7,
            ..Entry::default()
        };
        let moved = Entry {
            inode: 8,
            ..file.clone()
        };
        let closed = Entry {
            mode: 0o600,
            ..file.clone()
        };
        assert!(!differ(&file, &moved) && differ(&file, &closed));
    }
}
