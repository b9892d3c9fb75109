//! Listings with true names: from the trees themselves, or from restic where those cannot be read here.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, BufReader};

use super::entry::Entry;
use super::memory;
use super::names::{LOST, Names};
use super::native::{Inside, Native, Stop};
use super::op::Bytes;
use super::perform::Answer;
use super::process::{finish, listen, start};
use super::source::{Opened, Source, Trouble};
use crate::api::config::job_result::JobCause;
use crate::restic::look::Look;

/// Lines are gathered, so that a hundred thousand of them are not a hundred thousand writes.
const BLOCK: usize = 128 << 10;

/// Takes blocks of whole lines.
pub(super) trait Lines {
    async fn block(&mut self, block: &[u8]) -> Result<(), Trouble>;
}

impl<W: AsyncWrite + Unpin> Lines for Answer<'_, W> {
    async fn block(&mut self, block: &[u8]) -> Result<(), Trouble> {
        self.write(block).await
    }
}

/// Entries instead of lines.
#[derive(Debug, Default)]
pub struct Listing {
    /// Depth first, each directory before what is in it.
    pub entries: Vec<Entry>,
    /// What lies behind each of them; `None` where restic has listed them.
    pub insides: Option<Vec<Inside>>,
    /// The entry of the path itself as a line.
    pub first: String,
}

impl Lines for Listing {
    async fn block(&mut self, block: &[u8]) -> Result<(), Trouble> {
        for line in block.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let entry = serde_json::from_slice(line)
                .map_err(|e| Trouble::new(JobCause::Other, format!("restic's listing: {e}")))?;
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) opened: &'a Opened,
    pub(super) source: &'a Source,
    pub(super) id: &'a str,
    pub(super) path: &'a Bytes,
    pub(super) recursive: bool,
}

/// Everything at and below a path; with `alone` only the path itself.
///
/// # Errors
/// When it is not there, or cannot be read.
pub async fn entries(
    opened: &Opened,
    source: &Source,
    id: &str,
    path: &Bytes,
    alone: bool,
) -> Result<Listing, Trouble> {
    let asked = Asked {
        opened,
        source,
        id,
        path,
        recursive: !alone,
    };
    if alone && path.0 == b"/" {
        return Ok(Listing {
            first: root(),
            ..Listing::default()
        });
    }
    let mut all = Listing::default();
    match opened.native(source).await {
        Some(native) if taken(&asked, native, alone, &mut all).await? => {}
        _ => restics(&asked, &mut all, &mut Kept::default()).await?,
    }
    if alone {
        all.entries.truncate(1);
    }
    all.first = match all.entries.first() {
        // The root itself is not listed.
        Some(first) if path.0 != b"/" => serde_json::to_string(first).map_err(|e| broken(&e))?,
        _ => root(),
    };
    Ok(all)
}

/// Takes entries from the trees; `false`: restic has to be asked.
async fn taken(
    asked: &Asked<'_>,
    native: &Arc<Native>,
    alone: bool,
    to: &mut Listing,
) -> Result<bool, Trouble> {
    let (id, path) = (asked.id.to_owned(), asked.path.0.clone());
    let (mut all, working) = native.stream(move |native, take| {
        let (mut entries, mut insides) = (Vec::new(), Vec::new());
        let walked = native.walk(&id, &path, !alone, &mut |entry, inside| {
            entries.push(entry);
            insides.push(inside);
            !alone
        });
        match walked {
            Ok(()) | Err(Stop::Enough) => {
                take((entries, insides));
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    });
    if let Some((entries, insides)) = all.recv().await {
        to.entries = entries;
        to.insides = Some(insides);
    }
    ended(asked, working, false).await
}

/// How a walk has ended; `false`: restic has to be asked, which is only possible while nothing was handed on.
async fn ended(
    asked: &Asked<'_>,
    working: tokio::task::JoinHandle<Result<(), Stop>>,
    handed_on: bool,
) -> Result<bool, Trouble> {
    let why = match working.await {
        Ok(Ok(()) | Err(Stop::Enough)) => return Ok(true),
        Ok(Err(Stop::Missing)) => return Err(missing(asked.path)),
        Ok(Err(Stop::Broken(why))) => why,
        Err(error) => error.to_string(),
    };
    asked.opened.instead(asked.source, &why, handed_on)?;
    Ok(false)
}

/// What will be remembered of a listing.
#[derive(Default)]
struct Kept {
    place: Option<PathBuf>,
    bytes: Vec<u8>,
}

impl Kept {
    fn add(&mut self, block: &[u8]) {
        if self.place.is_some() && self.bytes.len() < memory::LARGEST {
            self.bytes.extend_from_slice(block);
        }
    }

    async fn remember(self) {
        if let Some(place) = self.place
            && self.bytes.len() < memory::LARGEST
        {
            memory::remember(&place, &self.bytes).await;
        }
    }
}

/// A listing, line by line, with true names; the entry of the path itself comes first.
///
/// # Errors
/// When the path is not there, or cannot be read.
pub(super) async fn list(asked: &Asked<'_>, to: &mut impl Lines) -> Result<(), Trouble> {
    let known = asked.memory();
    if let Some(known) = &known
        && let Ok(mut file) = tokio::fs::File::open(known).await
    {
        return recall(&mut file, to).await;
    }
    let mut kept = Kept {
        place: known,
        ..Kept::default()
    };
    match asked.opened.native(asked.source).await {
        Some(native) if walked(asked, native, to, &mut kept).await? => {}
        _ => restics(asked, to, &mut kept).await?,
    }
    kept.remember().await;
    Ok(())
}

/// Passes lines from the trees on; `false`: restic has to be asked.
async fn walked(
    asked: &Asked<'_>,
    native: &Arc<Native>,
    to: &mut impl Lines,
    kept: &mut Kept,
) -> Result<bool, Trouble> {
    let (id, path, recursive) = (asked.id.to_owned(), asked.path.0.clone(), asked.recursive);
    let (mut blocks, working) = native.stream(move |native, take| {
        let mut block = Vec::with_capacity(BLOCK + 4096);
        native.walk(&id, &path, recursive, &mut |entry, _| {
            if serde_json::to_writer(&mut block, &entry).is_ok() {
                block.push(b'\n');
            }
            block.len() < BLOCK || take(std::mem::replace(&mut block, Vec::with_capacity(BLOCK + 4096)))
        })?;
        take(block);
        Ok(())
    });
    let mut handed_on = false;
    while let Some(block) = blocks.recv().await {
        handed_on = true;
        to.block(&block).await?;
        kept.add(&block);
    }
    ended(asked, working, handed_on).await
}

/// restic's own listing.
async fn restics(asked: &Asked<'_>, to: &mut impl Lines, kept: &mut Kept) -> Result<(), Trouble> {
    let look = Look::Ls {
        id: asked.id.to_owned(),
        path: Some(asked.path.to_os()),
        recursive: asked.recursive,
    };
    let mut names = Names::new(asked.id, asked.path);
    let mut child = start(look.process(&asked.opened.restic, false), "ls")?;
    let complaints = listen(&mut child, asked.opened);
    let mut seen = false;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::with_capacity(BLOCK, stdout);
        let mut line = Vec::with_capacity(512);
        let mut block = Vec::with_capacity(BLOCK + 4096);
        loop {
            line.clear();
            let ended = lines.read_until(b'\n', &mut line).await? == 0;
            if !ended && is_entry(&line) {
                seen = true;
                if line.contains(&b'\\') && contains(&line, LOST) {
                    block.extend(names.mend(&line, asked.opened).await?);
                    block.push(b'\n');
                } else {
                    block.extend_from_slice(&line);
                }
            }
            if ended || block.len() >= BLOCK {
                to.block(&block).await?;
                kept.add(&block);
                block.clear();
            }
            if ended {
                break;
            }
        }
    }
    finish(child, "ls", complaints).await?;
    if !seen && asked.path.0 != b"/" {
        return Err(missing(asked.path));
    }
    Ok(())
}

impl Asked<'_> {
    /// Where this listing is remembered.
    fn memory(&self) -> Option<PathBuf> {
        if !self.recursive {
            return None;
        }
        let what = [self.opened.dir.as_bytes(), self.id.as_bytes(), &self.path.0];
        memory::place(self.source, "listing", what)
    }
}

async fn recall(file: &mut tokio::fs::File, to: &mut impl Lines) -> Result<(), Trouble> {
    let mut rest: Vec<u8> = Vec::new();
    let mut buffer = vec![0; BLOCK];
    loop {
        let count = file.read(&mut buffer).await?;
        rest.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if count == 0 {
            return to.block(&rest).await;
        }
        if let Some(end) = rest.iter().rposition(|b| *b == b'\n') {
            let later = rest.split_off(end + 1);
            to.block(&rest).await?;
            rest = later;
        }
    }
}

fn is_entry(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(br#""struct_type":"node"}"#)
        || contains(line, br#""message_type":"node""#)
}

fn contains(line: &[u8], what: &[u8]) -> bool {
    line.windows(what.len()).any(|w| w == what)
}

fn missing(path: &Bytes) -> Trouble {
    Trouble::new(
        JobCause::SourceMissing,
        format!("{} is not in this snapshot", String::from_utf8_lossy(&path.0)),
    )
}

fn root() -> String {
    json!({"path": "/", "type": "dir"}).to_string()
}

fn broken(error: &serde_json::Error) -> Trouble {
    Trouble::new(JobCause::Other, format!("a listing: {error}"))
}
