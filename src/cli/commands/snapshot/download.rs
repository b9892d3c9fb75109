//! `snapshot download`: files of a Snapshot onto this machine, proven, resumable, and never outside the directory.
//!
//! A listing comes first: it says what there is, how large, with which times, and whether something is in the way. Then
//! an archive streams over; every 16 MiB what arrived is compared with a hash computed beside the repository, and a
//! journal in the directory notes the place. When the reader goes away the download goes on from there with another, and
//! so it does when it is run again, in the middle of a file if need be. At the end sizes are compared, times and
//! permissions set, and hard links tied again.

mod archive;
mod attributes;
mod fetch;
mod journal;
mod place;
mod tar;
mod unit;
mod unpack;
pub(in crate::cli) mod whole;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use self::journal::Journal;
use self::place::Place;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::ReaderArgs;
use crate::cli::inside::entry::shown;
use crate::cli::inside::pick::{self, Picked};
use crate::cli::objects::Files;
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::reader::pattern::Choice;

/// Download files of a Snapshot onto this machine
///
/// Files land at DIR/<path when it was backed up> (below DIR/<component> where there are several), with their permissions,
/// times and links. What arrives is compared with hashes computed beside the repository. Run again, it goes on where it
/// stopped. Nothing is ever written outside DIR.
///
/// Examples:
///   kubectl kubestash snapshot download bc/sample-backup --to ./restored
///   kubectl kubestash snapshot download bc/sample-backup config logs/today.log --to ./restored
///   kubectl kubestash snapshot download bc/sample-backup -o tar | tar tvf -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DownloadArgs {
    /// The Snapshot (NAME, snapshot/NAME or snapshot NAME), or bc/NAME or repo/NAME for its latest; - reads its name or
    /// manifest from standard input
    #[arg(value_name = "SNAPSHOT", required_unless_present = "filename")]
    snapshot: Option<OsString>,
    /// Files and directories; everything by default
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    files: Files,
    /// The directory to write into; made where it is missing
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Replace files that differ
    #[arg(long, requires = "to")]
    overwrite: bool,
    /// Only what matches this pattern; may be repeated
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Not what matches this pattern; may be repeated
    #[arg(long, value_name = "PATTERN")]
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

impl Wanted<'_> {
    fn choice(&self) -> Choice {
        Choice {
            only: self.include.to_vec(),
            except: self.exclude.to_vec(),
        }
    }
}

/// Downloads.
///
/// # Errors
/// When something does not exist, is in the way, or did not arrive as it is.
pub async fn run(args: &DownloadArgs, context: &Context) -> Result<Exit, CliError> {
    let words: Vec<&OsString> = args.snapshot.iter().chain(&args.paths).collect();
    let (picked, paths) = pick::first(context, &words, &args.files, &args.component).await?;
    if args.output == "tar" {
        if args.to.is_some() {
            return Err(CliError::usage(
                "-o tar writes to standard output; leave --to out",
            ));
        }
        let wanted = wanted(args, &paths, &picked, Path::new(""));
        return archive::archive(&picked, &wanted, context).await;
    }
    let format = Format::parse(&args.output).map_err(CliError::usage)?;
    let Some(to) = &args.to else {
        return Err(CliError::usage(
            "say where to: --to DIR, or -o tar for standard output",
        ));
    };
    let wanted = wanted(args, &paths, &picked, to);
    let mut broken_off = BrokenOff(Some(context));
    let done = Box::pin(download(&picked, &wanted, context)).await;
    broken_off.0 = None;
    let done = done?;
    if format.is_table() {
        context.ui.line(&format!(
            "{}, {}, in {}: complete, sizes and hashes compared",
            human::counted(done.files, "file"),
            human::bytes(done.bytes),
            done.directory
        ))?;
    } else {
        schemas::print(context, &format, &done)?;
    }
    Ok(done.exit())
}

/// Says how to go on when it is dropped in the middle: somebody pressed Ctrl-C.
struct BrokenOff<'c>(Option<&'c Context>);

impl Drop for BrokenOff<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.0 {
            context
                .ui
                .say("Interrupted; the same command again goes on where this one stopped.");
        }
    }
}

fn wanted<'a>(args: &'a DownloadArgs, paths: &'a [OsString], picked: &Picked, to: &'a Path) -> Wanted<'a> {
    Wanted {
        paths,
        to,
        overwrite: args.overwrite,
        by_component: picked.several(),
        include: &args.include,
        exclude: &args.exclude,
        reader: &args.reader,
    }
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
    let (session, units) = unit::open(picked, wanted, context).await?;
    let bytes: u64 = units.iter().map(unit::Unit::bytes).sum();
    let mut places = Vec::new();
    for unit in &units {
        let place = Place::new(&unit.dir)?;
        let mut journal = Journal::load(place.root(), &unit.part.id, &unit.path);
        let done = journal.checked(&place, &unit.entries);
        let later = unit.entries.get(done..).unwrap_or_default();
        let in_the_way = unpack::conflicts(&place, later)?;
        if !wanted.overwrite && !in_the_way.is_empty() {
            return Err(in_the_way_of(&in_the_way, place.root()));
        }
        places.push((place, journal));
    }
    let progress = context.ui.progress();
    let mut before = 0;
    let (mut files, mut skipped) = (0, Vec::new());
    for (unit, (mut place, journal)) in units.iter().zip(places) {
        if journal.resume().is_some() {
            progress.say(&format!(
                "going on with {} after {}",
                shown(&unit.path),
                human::bytes(journal.arrived)
            ));
        }
        let tell = |arrived: u64| {
            progress.tick(&format!(
                "{} of {}",
                human::bytes(before + arrived),
                human::bytes(bytes)
            ));
        };
        let say = |text: &str| progress.say(text);
        fetch::fetch(&session, unit, &mut place, journal, &tell, &say).await?;
        let (there, left_out) = fetch::finish(&place, unit)?;
        files += there;
        skipped.extend(left_out);
        before += unit.bytes();
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
