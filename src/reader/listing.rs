//! Listings with true names.

use std::path::PathBuf;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, BufReader};

use super::entry::Entry;
use super::memory;
use super::names::{LOST, Names};
use super::op::Bytes;
use super::perform::Answer;
use super::process::{captured, finish, listen, start};
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
#[derive(Default)]
pub(super) struct Entries {
    /// Depth first, each directory before what is in it.
    pub(super) all: Vec<Entry>,
    /// The line of the path itself.
    pub(super) first: String,
}

impl Lines for Entries {
    async fn block(&mut self, block: &[u8]) -> Result<(), Trouble> {
        for line in block.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let entry = serde_json::from_slice(line)
                .map_err(|e| Trouble::new(JobCause::Other, format!("restic's listing: {e}")))?;
            if self.all.is_empty() {
                self.first = String::from_utf8_lossy(line).into_owned();
            }
            self.all.push(entry);
        }
        Ok(())
    }
}

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) opened: &'a Opened,
    pub(super) source: &'a Source,
    pub(super) id: &'a str,
    pub(super) path: &'a Bytes,
    pub(super) recursive: bool,
}

/// Everything at and below a path.
///
/// # Errors
/// When it is not there, or restic fails.
pub(super) async fn entries(
    opened: &Opened,
    source: &Source,
    id: &str,
    path: &Bytes,
) -> Result<Entries, Trouble> {
    let asked = Asked {
        opened,
        source,
        id,
        path,
        recursive: true,
    };
    let mut all = Entries::default();
    list(&asked, &mut all).await?;
    if path.0 == b"/" {
        // The root itself is not listed.
        all.first = root();
    }
    Ok(all)
}

/// A listing, line by line, with true names; the entry of the path itself comes first.
///
/// # Errors
/// When the path is not there, or restic fails.
pub(super) async fn list(asked: &Asked<'_>, to: &mut impl Lines) -> Result<(), Trouble> {
    let known = asked.memory();
    if let Some(known) = &known
        && let Ok(mut file) = tokio::fs::File::open(known).await
    {
        return recall(&mut file, to).await;
    }
    let look = Look::Ls {
        id: asked.id.to_owned(),
        path: Some(asked.path.to_os()),
        recursive: asked.recursive,
    };
    let mut names = Names::new(asked.id, asked.path);
    let mut child = start(look.process(&asked.opened.restic, false), "ls")?;
    let complaints = listen(&mut child, asked.opened);
    let mut kept = known.is_some().then(Vec::new);
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
                if let Some(kept) = kept.as_mut().filter(|kept| kept.len() < memory::LARGEST) {
                    kept.extend_from_slice(&block);
                }
                block.clear();
            }
            if ended {
                break;
            }
        }
    }
    finish(child, "ls", complaints).await?;
    if !seen {
        return Err(missing(asked.path));
    }
    if let (Some(place), Some(kept)) = (known, kept.filter(|kept| kept.len() < memory::LARGEST)) {
        memory::remember(&place, &kept).await;
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

/// The entry at a path itself, as a line of a listing.
///
/// # Errors
/// When it is not there, or restic fails.
pub(super) async fn first_entry(opened: &Opened, id: &str, path: &Bytes) -> Result<String, Trouble> {
    if path.0 == b"/" {
        return Ok(root());
    }
    let look = Look::Ls {
        id: id.to_owned(),
        path: Some(path.to_os()),
        recursive: false,
    };
    let text = captured(&look, opened).await?;
    let Some(line) = text.split(|b| *b == b'\n').find(|line| is_entry(line)) else {
        return Err(missing(path));
    };
    let line = if contains(line, LOST) {
        Names::new(id, path).mend(line, opened).await?
    } else {
        line.to_vec()
    };
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}
