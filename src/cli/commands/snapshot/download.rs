//! `snapshot download`: files of a Snapshot onto this machine, proven, resumable, and never outside the directory.
//!
//! A listing comes first: it says what there is, how large, with which times, and whether something is in the way. Then
//! an archive streams over; every 16 MiB what arrived is compared with a hash computed beside the repository, and a
//! journal in the directory notes the place. Run again after an interruption, the download goes on from there, in the
//! middle of a file if need be. At the end sizes are compared, times and permissions set, and hard links tied again.

mod pattern;
mod place;
mod tar;
mod unpack;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use self::place::Place;
use self::unpack::{Journal, Unpacker};
use super::ls::nowhere;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::{Entry, shown, typed};
use crate::cli::inside::pick::{self, Lines, Part, Picked};
use crate::cli::inside::{ReaderArgs, Session, Sink};
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::output::ui::Ui;
use crate::reader::op::{Bytes, Op};

/// A reader that serves a download is given this much time for each so many bytes, on top of its quarter of an hour.
const BYTES_PER_SECOND: u64 = 2 << 20;

/// Download files of a Snapshot onto this machine
///
/// Files land at DIR/<path when it was backed up> (below DIR/<component> where there are several), with their permissions,
/// times and links. What arrives is compared with hashes computed beside the repository. Run again, it goes on where it
/// stopped. Nothing is ever written outside DIR.
///
/// Examples:
///   kubectl kubestash snapshot download bc/sample-backup --to ./restored
///   kubectl kubestash snapshot download bc/sample-backup config logs/today.log --to ./restored
///   kubectl kubestash snapshot download bc/sample-backup config -o tar | tar tvf -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DownloadArgs {
    /// The Snapshot (NAME or snapshot/NAME), or bc/NAME or repo/NAME for its latest
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// Files and directories; everything by default
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// The directory to write into; made where it is missing
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Replace files that differ
    #[arg(long, requires = "to")]
    overwrite: bool,
    /// Only what matches this pattern; may be repeated
    #[arg(long, value_name = "PATTERN", requires = "to")]
    include: Vec<String>,
    /// Not what matches this pattern; may be repeated
    #[arg(long, value_name = "PATTERN", requires = "to")]
    exclude: Vec<String>,
    /// Component to download; may be repeated; all by default
    #[arg(
        long,
        visible_alias = "components",
        value_name = "NAME",
        value_delimiter = ','
    )]
    component: Vec<String>,
    /// tar: an archive on standard output; with --to a summary as table, json or yaml
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: String,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// What was downloaded.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Downloaded {
    /// The Snapshot.
    snapshot: String,
    /// The directory.
    directory: String,
    /// How many files are there now.
    files: u64,
    /// How many bytes they have.
    bytes: u64,
    /// Entries that cannot be downloaded: devices, sockets and pipes.
    skipped: Vec<String>,
}

impl Downloaded {
    /// How many files are there now.
    pub(in crate::cli) fn files(&self) -> u64 {
        self.files
    }

    /// How many bytes they have.
    pub(in crate::cli) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How it ended.
    pub(in crate::cli) fn exit(&self) -> Exit {
        if self.skipped.is_empty() {
            Exit::Ok
        } else {
            Exit::Partial
        }
    }
}

impl View for Downloaded {
    const COMMAND: &'static str = "snapshot-download";
    const KIND: &'static str = "Downloaded";
}

/// One archive.
struct Unit {
    part: Part,
    path: Vec<u8>,
    dir: PathBuf,
    entries: HashMap<Vec<u8>, Entry>,
}

/// What a download is asked for, by this command or KubeStash's own.
pub(in crate::cli) struct Wanted<'a> {
    pub(in crate::cli) paths: &'a [OsString],
    pub(in crate::cli) to: &'a Path,
    pub(in crate::cli) overwrite: bool,
    /// A directory for each component even when there is only one.
    pub(in crate::cli) by_component: bool,
    /// Only what matches one of these.
    pub(in crate::cli) include: &'a [String],
    /// Not what matches one of these.
    pub(in crate::cli) exclude: &'a [String],
    pub(in crate::cli) reader: &'a ReaderArgs,
}

/// Downloads.
///
/// # Errors
/// When something does not exist, is in the way, or did not arrive as it is.
pub async fn run(args: &DownloadArgs, context: &Context) -> Result<Exit, CliError> {
    let picked = pick::pick(context, &args.snapshot, &args.component).await?;
    if args.output == "tar" {
        if args.to.is_some() {
            return Err(CliError::usage(
                "-o tar writes to standard output; leave --to out",
            ));
        }
        return archive(args, &picked, context).await;
    }
    let format = Format::parse(&args.output).map_err(CliError::usage)?;
    let Some(to) = &args.to else {
        return Err(CliError::usage(
            "say where to: --to DIR, or -o tar for standard output",
        ));
    };
    let wanted = Wanted {
        paths: &args.paths,
        to,
        overwrite: args.overwrite,
        by_component: picked.several(),
        include: &args.include,
        exclude: &args.exclude,
        reader: &args.reader,
    };
    let done = download(&picked, &wanted, context).await?;
    if format.is_table() {
        context.ui.line(&format!(
            "{}, {}, in {}: complete, sizes and hashes compared",
            human::counted(usize::try_from(done.files).unwrap_or(0), "file"),
            human::bytes(done.bytes),
            done.directory
        ))?;
    } else {
        schemas::print(context, &format, &done)?;
    }
    Ok(if done.skipped.is_empty() {
        Exit::Ok
    } else {
        Exit::Partial
    })
}

/// Downloads into a directory.
///
/// # Errors
/// As [`run`].
pub(in crate::cli) async fn download(
    picked: &Picked,
    wanted: &Wanted<'_>,
    context: &Context,
) -> Result<Downloaded, CliError> {
    let namespace = context.namespace().await?;
    let mut session = Session::open(context, wanted.reader, namespace, picked.repository()).await?;
    let units = units(&session, picked, wanted).await?;
    let bytes: u64 = units
        .iter()
        .flat_map(|u| u.entries.values())
        .map(|e| e.size)
        .sum();
    let seconds = 900 + bytes / BYTES_PER_SECOND;
    if seconds > 1500 {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        session = Session::open_for(context, wanted.reader, namespace, picked.repository(), seconds).await?;
    }
    let mut places = Vec::new();
    for unit in &units {
        let place = Place::new(&unit.dir)?;
        let journal = Journal::load(place.root(), &unit.part.id, &unit.path);
        let in_the_way = unpack::conflicts(&place, &unit.entries)?;
        if !wanted.overwrite && journal.offset == 0 && !in_the_way.is_empty() {
            return Err(in_the_way_of(&in_the_way, place.root()));
        }
        places.push((place, journal));
    }
    let progress = context.ui.progress();
    let mut before = 0;
    let (mut files, mut skipped) = (0, Vec::new());
    for (unit, (mut place, journal)) in units.iter().zip(places) {
        if journal.offset > 0 {
            progress.say(&format!(
                "going on with {} after {}",
                shown(&unit.path),
                human::bytes(journal.offset)
            ));
        }
        let resumed = journal.offset;
        let tell = |arrived: u64| {
            progress.tick(&format!(
                "{} of {}",
                human::bytes(before + resumed + arrived),
                human::bytes(bytes)
            ));
        };
        fetch(&session, unit, &mut place, journal, &tell).await?;
        let (there, left_out) = finish(&place, unit)?;
        files += there;
        skipped.extend(left_out);
        before += unit.entries.values().map(|e| e.size).sum::<u64>();
    }
    drop(progress);
    for path in &skipped {
        context
            .ui
            .warn(&format!("{path} is a device, socket or pipe and was left out"));
    }
    Ok(Downloaded {
        snapshot: picked.name(),
        directory: wanted.to.display().to_string(),
        files,
        bytes,
        skipped,
    })
}

fn in_the_way_of(paths: &[String], root: &Path) -> CliError {
    let mut error = CliError::new(
        Exit::Precondition,
        format!(
            "{} in {} would be replaced by another",
            human::counted(paths.len(), "file"),
            root.display()
        ),
    );
    for path in paths.iter().take(5) {
        error = error.cause(path.clone());
    }
    error.hint("`--overwrite` replaces them; or choose another directory with --to")
}

/// What is to be fetched, with a listing of each.
async fn units(session: &Session<'_>, picked: &Picked, wanted: &Wanted<'_>) -> Result<Vec<Unit>, CliError> {
    let asked: Vec<Option<Vec<u8>>> = if wanted.paths.is_empty() {
        vec![None]
    } else {
        wanted.paths.iter().map(|p| Some(typed(p))).collect()
    };
    let mut units: Vec<Unit> = Vec::new();
    for path in asked {
        let mut found = false;
        for (part, full) in picked.places(path.as_deref()) {
            if units.iter().any(|u| u.part == part && u.path == full) {
                found = true;
                continue;
            }
            match listing(session, &part, &full).await {
                Ok(mut entries) => {
                    found = true;
                    entries.retain(|path, entry| selected(path, entry, wanted));
                    let dir = if wanted.by_component {
                        wanted.to.join(&part.component)
                    } else {
                        wanted.to.to_owned()
                    };
                    units.push(Unit {
                        part,
                        path: full,
                        dir,
                        entries,
                    });
                }
                Err(error) if error.exit == Exit::NothingMatched => {}
                Err(error) => return Err(error),
            }
        }
        if !found {
            return Err(nowhere(picked, path.as_deref().unwrap_or_default()));
        }
    }
    Ok(units)
}

/// Whether patterns leave an entry in. A directory is made when something in it is, so with `--include` only files count.
fn selected(path: &[u8], entry: &Entry, wanted: &Wanted<'_>) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|p| pattern::covers(p, path));
    let in_it = wanted.include.is_empty() || (entry.kind != "dir" && any(wanted.include));
    in_it && !any(wanted.exclude)
}

async fn listing(
    session: &Session<'_>,
    part: &Part,
    path: &[u8],
) -> Result<HashMap<Vec<u8>, Entry>, CliError> {
    let mut entries = HashMap::new();
    let op = Op::Ls {
        id: part.id.clone(),
        path: Bytes(path.to_vec()),
        recursive: true,
    };
    let mut lines = Lines::new(|line: &[u8]| {
        let entry: Entry = serde_json::from_slice(line).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?;
        entries.insert(entry.bytes().to_vec(), entry);
        Ok(())
    });
    session.ask(&part.component_path, op, &mut lines).await?;
    drop(lines);
    Ok(entries)
}

async fn fetch(
    session: &Session<'_>,
    unit: &Unit,
    place: &mut Place,
    journal: Journal,
    tell: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), CliError> {
    let op = Op::Archive {
        id: unit.part.id.clone(),
        path: Bytes(unit.path.clone()),
        skip: journal.offset,
        version: journal.version.clone(),
    };
    let mut unpacker = Unpacker::new(place, &unit.entries, journal, tell);
    session
        .ask(&unit.part.component_path, op, &mut unpacker)
        .await
        .map_err(|error| {
            if matches!(error.exit, Exit::Failed | Exit::Error | Exit::TimedOut) {
                error.hint("run the same command again: it goes on where this one stopped")
            } else {
                error
            }
        })
}

/// Sets what the archive does not carry, and compares what is there with the listing. Answers how many files there are,
/// and what could not come.
fn finish(place: &Place, unit: &Unit) -> Result<(u64, Vec<String>), CliError> {
    let mut all: Vec<&Entry> = unit.entries.values().collect();
    // Deeper first: making an entry changes the time of its directory.
    all.sort_by(|a, b| b.bytes().cmp(a.bytes()));
    let (mut files, mut skipped) = (0, Vec::new());
    let mut nodes: HashMap<(u64, u64, u32), &Entry> = HashMap::new();
    for entry in all.iter().rev() {
        match entry.kind.as_str() {
            "file" => files += 1,
            "dir" | "symlink" => {}
            _ => {
                skipped.push(shown(entry.bytes()));
                continue;
            }
        }
        if !place.complete(entry)? {
            return Err(CliError::new(
                Exit::Failed,
                format!("{} did not arrive as it is in the snapshot", shown(entry.bytes())),
            ));
        }
        if entry.kind == "file" && entry.inode != 0 && entry.size > 0 {
            match nodes.entry((entry.inode, entry.size, entry.mode)) {
                std::collections::hash_map::Entry::Occupied(first) => place.tie(first.get(), entry)?,
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(entry);
                }
            }
        }
    }
    for entry in all {
        if matches!(entry.kind.as_str(), "file" | "dir" | "symlink") {
            place.finish(entry)?;
        }
    }
    Journal::load(place.root(), &unit.part.id, &unit.path).forget(place.root());
    Ok((files, skipped))
}

/// An archive on standard output.
struct Out<'u> {
    ui: &'u Ui,
    /// Zeroes that complete the last block, where a single file is wrapped.
    end: Option<u64>,
}

impl Sink for Out<'_> {
    fn start(&mut self, entry: &str, _skipped: u64, _version: &str) -> Result<(), CliError> {
        let entry: Entry = serde_json::from_str(entry).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?;
        if entry.kind == "file" {
            let seconds = entry.mtime.map_or(0, jiff::Timestamp::as_second);
            let header = tar::written(entry.bytes(), entry.size, entry.unix_mode(), seconds);
            self.ui.bytes(&header)?;
            self.end = Some(entry.size.next_multiple_of(tar::BLOCK) - entry.size + 2 * tar::BLOCK);
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
        Ok(self.ui.bytes(data)?)
    }
}

async fn archive(args: &DownloadArgs, picked: &Picked, context: &Context) -> Result<Exit, CliError> {
    let path = match args.paths.as_slice() {
        [] => None,
        [one] => Some(typed(one)),
        _ => return Err(CliError::usage("-o tar takes one PATH; --to DIR takes several")),
    };
    let (part, path) = match picked.places(path.as_deref()).as_slice() {
        [one] => one.clone(),
        [] => return Err(nowhere(picked, path.as_deref().unwrap_or_default())),
        several => {
            let names: Vec<&str> = several.iter().map(|(p, _)| p.component.as_str()).collect();
            return Err(CliError::usage("-o tar is of one component")
                .hint(format!("choose one with --component: {}", names.join(", "))));
        }
    };
    let namespace = context.namespace().await?;
    let session = Session::open(context, &args.reader, namespace, picked.repository()).await?;
    let op = Op::Archive {
        id: part.id.clone(),
        path: Bytes(path),
        skip: 0,
        version: String::new(),
    };
    let mut out = Out {
        ui: &context.ui,
        end: None,
    };
    session.ask(&part.component_path, op, &mut out).await?;
    if let Some(end) = out.end {
        context
            .ui
            .bytes(&vec![0; usize::try_from(end).unwrap_or_default()])?;
    }
    Ok(Exit::Ok)
}
