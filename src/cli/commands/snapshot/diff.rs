//! `snapshot diff`: what changed from one Snapshot to another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::shown;
use crate::cli::inside::pick::{self, Lines, Part};
use crate::cli::inside::{ReaderArgs, Session};
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::reader::op::Op;

/// Show what changed from one Snapshot to another
///
/// + added, - removed, M content, U permissions or times, T type.
///
/// Examples:
///   kubectl kubestash snapshot diff s3-repo-sample-backup-daily-1700000000 bc/sample-backup
///   kubectl kubestash snapshot diff SNAPSHOT-A SNAPSHOT-B -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DiffArgs {
    /// The Snapshot to compare with, usually the older
    #[arg(value_name = "FROM")]
    from: String,
    /// The Snapshot that is compared
    #[arg(value_name = "TO")]
    to: String,
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
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct SnapshotDiff {
    /// The Snapshot that was compared with.
    from: String,
    /// The Snapshot that was compared.
    to: String,
    /// Every path that differs.
    changes: Vec<Change>,
    /// Bytes of files that came.
    added_bytes: u64,
    /// Bytes of files that went.
    removed_bytes: u64,
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
    let from = pick::pick(context, &args.from, &args.component).await?;
    let to = pick::pick(context, &args.to, &args.component).await?;
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
    let session = Session::open(
        context,
        &args.reader,
        context.namespace().await?,
        from.repository(),
    )
    .await?;
    let several = from.several();
    let table = args.output.is_table();
    let mut diff = SnapshotDiff {
        from: from.name(),
        to: to.name(),
        changes: Vec::new(),
        added_bytes: 0,
        removed_bytes: 0,
    };
    for (a, b) in pairs {
        let op = Op::Diff {
            from: a.id.clone(),
            to: b.id.clone(),
        };
        let mut lines = Lines::new(|line: &[u8]| {
            let Ok(line) = serde_json::from_slice::<Line>(line) else {
                return Ok(());
            };
            match line.message_type.as_str() {
                "change" if table => {
                    let prefix = if several {
                        format!("{}:", a.component)
                    } else {
                        String::new()
                    };
                    let path = shown(line.path.as_bytes());
                    context.ui.line(&format!("{:<2} {prefix}{path}", line.modifier))?;
                }
                "change" => diff.changes.push(Change {
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
    }
    if table {
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
    Ok(Exit::Ok)
}
