//! `snapshot ls` and `snapshot tree`: the files in a Snapshot.

use std::ffi::{OsStr, OsString};

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::{Entry, EntryView, shown, typed};
use crate::cli::inside::pick::{self, Lines, Part, Picked};
use crate::cli::inside::{ReaderArgs, Session};
use crate::cli::objects::Files;
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::reader::op::{Bytes, Op};

/// List the files in a Snapshot
///
/// Without PATH the top of what was backed up; a PATH without a leading slash is meant below it. Control characters and
/// bytes that are no UTF-8 show as \n, \x1b and so on.
///
/// Examples:
///   kubectl kubestash snapshot ls bc/sample-backup
///   kubectl kubestash snapshot ls s3-repo-sample-backup-daily-1700000000 config --long
///   kubectl kubestash snapshot ls bc/sample-backup -R -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct LsArgs {
    /// The Snapshot (NAME, snapshot/NAME or snapshot NAME), or bc/NAME or repo/NAME for its latest; - reads its name or
    /// manifest from standard input
    #[arg(value_name = "SNAPSHOT", required_unless_present = "filename")]
    snapshot: Option<OsString>,
    /// A directory or file in it
    #[arg(value_name = "PATH")]
    path: Vec<OsString>,
    #[command(flatten)]
    files: Files,
    /// Everything below it, too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Permissions, owner, size and time, too
    #[arg(short = 'l', long)]
    long: bool,
    /// Component to look at; may be repeated; all by default
    #[arg(
        long,
        visible_alias = "components",
        value_name = "NAME",
        value_delimiter = ','
    )]
    component: Vec<String>,
    /// Form of the output: table, wide, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// Show the files in a Snapshot as a tree
///
/// Examples:
///   kubectl kubestash snapshot tree bc/sample-backup
///   kubectl kubestash snapshot tree bc/sample-backup config --depth 2
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct TreeArgs {
    /// The Snapshot (NAME, snapshot/NAME or snapshot NAME), or bc/NAME or repo/NAME for its latest; - reads its name or
    /// manifest from standard input
    #[arg(value_name = "SNAPSHOT", required_unless_present = "filename")]
    snapshot: Option<OsString>,
    /// A directory in it
    #[arg(value_name = "PATH")]
    path: Vec<OsString>,
    #[command(flatten)]
    files: Files,
    /// How many levels to show
    #[arg(long, value_name = "LEVELS")]
    depth: Option<usize>,
    /// Component to look at; may be repeated; all by default
    #[arg(
        long,
        visible_alias = "components",
        value_name = "NAME",
        value_delimiter = ','
    )]
    component: Vec<String>,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// The files in a Snapshot.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct SnapshotFiles {
    /// The Snapshot.
    snapshot: String,
    /// Its namespace.
    namespace: String,
    /// The entries, in the order of their paths, component by component.
    entries: Vec<EntryView>,
}

impl View for SnapshotFiles {
    const COMMAND: &'static str = "snapshot-ls";
    const KIND: &'static str = "SnapshotFiles";
}

/// Lists.
///
/// # Errors
/// When the Snapshot or the path does not exist, or the repository cannot be read.
pub async fn run(args: &LsArgs, context: &Context) -> Result<Exit, CliError> {
    let words: Vec<&OsString> = args.snapshot.iter().chain(&args.path).collect();
    let (picked, rest) = pick::first(context, &words, &args.files, &args.component).await?;
    let path = at_most_one(&rest)?;
    picked.may_hold(path.map(typed).as_deref())?;
    let namespace = context.namespace().await?;
    let session = Session::open(context, &args.reader, namespace, picked.repository()).await?;
    let several = picked.several();
    let table = args.output.is_table();
    let mut views = Vec::new();
    let long = args.long || args.output == Format::Wide;
    each(&session, &picked, path, args.recursive, |part, entry| {
        if table {
            let line = row(&entry, part, several, long);
            context.ui.line(&line)?;
        } else {
            views.push(entry.view(&part.component));
        }
        Ok(())
    })
    .await?;
    if !table {
        let view = SnapshotFiles {
            snapshot: picked.name(),
            namespace: namespace.to_owned(),
            entries: views,
        };
        schemas::print(context, &args.output, &view)?;
    }
    Ok(Exit::Ok)
}

/// The path that was typed after the Snapshot.
fn at_most_one(words: &[OsString]) -> Result<Option<&OsStr>, CliError> {
    match words {
        [] => Ok(None),
        [path] => Ok(Some(path)),
        several => Err(
            CliError::usage(format!("name one path in the Snapshot, not {}", several.len()))
                .hint("without a path, or with that of a directory, all in it is listed"),
        ),
    }
}

fn row(entry: &Entry, part: &Part, several: bool, long: bool) -> String {
    let slash = if entry.kind == "dir" { "/" } else { "" };
    let prefix = if several {
        format!("{}:", part.component)
    } else {
        String::new()
    };
    let path = format!("{prefix}{}{slash}", shown(entry.bytes()));
    if !long {
        return path;
    }
    let size = if entry.kind == "file" {
        entry.size.to_string()
    } else {
        "-".to_owned()
    };
    let time = entry.mtime.map(|t| format!("{t:.0}")).unwrap_or_default();
    format!(
        "{:<10} {:>5} {:>5} {size:>12} {time:<20} {path}",
        mode(entry),
        entry.uid,
        entry.gid
    )
}

/// Kind and permissions as `ls -l` writes them, ten characters.
fn mode(entry: &Entry) -> String {
    let mut text = String::from(match entry.kind.as_str() {
        "dir" => "d",
        "symlink" => "l",
        "fifo" => "p",
        "socket" => "s",
        "dev" => "b",
        "chardev" => "c",
        _ => "-",
    });
    let mode = entry.unix_mode();
    for (shift, special, marks) in [
        (6, 0o4000, ('s', 'S')),
        (3, 0o2000, ('s', 'S')),
        (0, 0o1000, ('t', 'T')),
    ] {
        let bits = mode >> shift;
        let run = bits & 1 != 0;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, run) {
            (true, true) => marks.0,
            (true, false) => marks.1,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Hands on every entry at or below the path in every part that has it. The directory that was asked for is not an entry of
/// itself; a file is.
///
/// # Errors
/// When no part has the path.
pub(in crate::cli) async fn each(
    session: &Session<'_>,
    picked: &Picked,
    path: Option<&std::ffi::OsStr>,
    recursive: bool,
    mut hand_on: impl FnMut(&Part, Entry) -> Result<(), CliError> + Send,
) -> Result<(), CliError> {
    let asked = path.map(typed);
    let places = picked.places(asked.as_deref());
    let mut missing = None;
    let mut found = false;
    for (part, path) in places {
        let op = Op::Ls {
            id: part.id.clone(),
            path: Bytes(path.clone()),
            recursive,
        };
        let mut lines = Lines::new(|line: &[u8]| {
            let entry: Entry = serde_json::from_slice(line).map_err(|e| {
                CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
            })?;
            if entry.bytes() == path && entry.kind == "dir" {
                return Ok(());
            }
            hand_on(&part, entry)
        });
        match session.ask(&part.component_path, op, &mut lines).await {
            Ok(()) => found = true,
            Err(error) if error.exit == Exit::NothingMatched => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        _ if found => Ok(()),
        Some(error) => Err(error),
        None => Err(picked.nowhere(asked.as_deref().unwrap_or_default())),
    }
}

/// Draws the tree.
///
/// # Errors
/// As [`run`].
pub async fn tree(args: &TreeArgs, context: &Context) -> Result<Exit, CliError> {
    let words: Vec<&OsString> = args.snapshot.iter().chain(&args.path).collect();
    let (picked, rest) = pick::first(context, &words, &args.files, &args.component).await?;
    let path = at_most_one(&rest)?;
    picked.may_hold(path.map(typed).as_deref())?;
    let namespace = context.namespace().await?;
    let session = Session::open(context, &args.reader, namespace, picked.repository()).await?;
    let mut entries: Vec<(String, Vec<u8>, Entry)> = Vec::new();
    let asked = path.map(typed);
    let roots: Vec<(Part, Vec<u8>)> = picked.places(asked.as_deref());
    each(&session, &picked, path, true, |part, entry| {
        let root = roots
            .iter()
            .find(|(p, _)| p == part)
            .map(|(_, root)| root.clone())
            .unwrap_or_default();
        entries.push((part.component.clone(), root, entry));
        Ok(())
    })
    .await?;
    for (part, root) in &roots {
        let mine: Vec<&Entry> = entries
            .iter()
            .filter(|(component, r, _)| *component == part.component && r == root)
            .map(|(_, _, entry)| entry)
            .collect();
        let prefix = if picked.several() {
            format!("{}:", part.component)
        } else {
            String::new()
        };
        context.ui.line(&format!("{prefix}{}", shown(root)))?;
        for line in drawn(&mine, root, args.depth) {
            context.ui.line(&line)?;
        }
    }
    let (mut files, mut dirs, mut bytes) = (0, 0, 0);
    for (_, _, entry) in &entries {
        match entry.kind.as_str() {
            "dir" => dirs += 1,
            _ => files += 1,
        }
        bytes += entry.size;
    }
    context.ui.say(&format!(
        "{}, {}, {}",
        counted(dirs, "directory", "directories"),
        counted(files, "file", "files"),
        human::bytes(bytes)
    ));
    Ok(Exit::Ok)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The lines of a tree. Entries come depth first, each directory before what is in it.
fn drawn(entries: &[&Entry], root: &[u8], depth: Option<usize>) -> Vec<String> {
    let segments = |entry: &Entry| -> Vec<Vec<u8>> {
        let path = entry.bytes();
        let rest = path.strip_prefix(root).unwrap_or(path);
        rest.split(|b| *b == b'/')
            .filter(|s| !s.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    let all: Vec<Vec<Vec<u8>>> = entries.iter().map(|e| segments(e)).collect();
    // Going backwards, an entry is the last of its directory when nothing at its level has been seen since a shallower one.
    let mut lines = Vec::with_capacity(all.len());
    let mut more: Vec<bool> = Vec::new();
    for (entry, path) in entries.iter().zip(&all).rev() {
        let level = path.len();
        if level == 0 {
            continue;
        }
        more.truncate(level);
        while more.len() < level {
            more.push(false);
        }
        let follows = more.get(level - 1).copied().unwrap_or(false);
        if depth.is_none_or(|most| level <= most) {
            let mut line = String::new();
            for above in more.iter().take(level - 1) {
                line.push_str(if *above { "│   " } else { "    " });
            }
            line.push_str(if follows { "├── " } else { "└── " });
            line.push_str(&shown(path.last().map(Vec::as_slice).unwrap_or_default()));
            if entry.kind == "dir" {
                line.push('/');
            }
            lines.push(line);
        }
        if let Some(last) = more.get_mut(level - 1) {
            *last = true;
        }
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_ls_writes_them() {
        let shown = |kind: &str, bits: u32| {
            mode(&Entry {
                kind: kind.to_owned(),
                mode: bits,
                ..Entry::default()
            })
        };
        assert_eq!(shown("file", 0o640), "-rw-r-----");
        assert_eq!(shown("dir", 1 << 31 | 1 << 20 | 0o777), "drwxrwxrwt");
        assert_eq!(shown("file", 1 << 23 | 0o755), "-rwsr-xr-x");
        assert_eq!(shown("file", 1 << 22 | 0o644), "-rw-r-Sr--");
        assert_eq!(shown("symlink", 0o777), "lrwxrwxrwx");
        assert_eq!(shown("fifo", 0o600), "prw-------");
    }

    fn entry(path: &str, kind: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            kind: kind.to_owned(),
            ..Entry::default()
        }
    }

    #[test]
    fn a_tree_is_drawn_with_its_branches() {
        let all = [
            entry("/d/a", "dir"),
            entry("/d/a/x", "file"),
            entry("/d/a/y", "dir"),
            entry("/d/a/y/z", "file"),
            entry("/d/b\n", "file"),
        ];
        let refs: Vec<&Entry> = all.iter().collect();
        assert_eq!(
            drawn(&refs, b"/d", None),
            ["├── a/", "│   ├── x", "│   └── y/", "│       └── z", "└── b\\n",]
        );
        assert_eq!(drawn(&refs, b"/d", Some(1)), ["├── a/", "└── b\\n"]);
    }
}
