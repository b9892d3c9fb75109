//! Turns an archive that arrives into files, and remembers how far it is proven to have come.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::{Found, Part, Place};
use super::tar::{Event, Header, Kind, Reader};
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Sink;
use crate::cli::inside::entry::{Entry, shown};
use crate::reader::op::Bytes;
use crate::reader::perform::CHECKPOINT;

/// Where the journals lie, below the directory that is downloaded into.
const JOURNALS: &str = ".kubestash-download";

/// How far a download has come; a file until it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Journal {
    /// restic's snapshot id.
    pub(super) id: String,
    /// What was asked for.
    pub(super) path: Bytes,
    /// The version of restic that writes the archive.
    pub(super) version: String,
    /// Where in the archive to go on.
    pub(super) offset: u64,
    /// The file that is half there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<Current>,
}

/// A file that is half there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    path: Bytes,
    size: u64,
    done: u64,
}

impl Journal {
    fn file(root: &Path, id: &str, path: &[u8]) -> PathBuf {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(id.as_bytes());
        digest.update(path);
        let name = crate::reader::perform::hex(digest.finish().as_ref().get(..12).unwrap_or_default());
        root.join(JOURNALS).join(format!("{name}.json"))
    }

    /// The journal of an earlier attempt, or a new one.
    pub(super) fn load(root: &Path, id: &str, path: &[u8]) -> Self {
        let known = std::fs::read(Self::file(root, id, path)).ok();
        known
            .and_then(|text| serde_json::from_slice::<Journal>(&text).ok())
            .filter(|journal| journal.id == id && journal.path.0 == path)
            .unwrap_or_else(|| Journal {
                id: id.to_owned(),
                path: Bytes(path.to_vec()),
                ..Journal::default()
            })
    }

    fn save(&self, root: &Path) -> std::io::Result<()> {
        let file = Self::file(root, &self.id, &self.path.0);
        std::fs::create_dir_all(root.join(JOURNALS))?;
        let between = file.with_extension("new");
        std::fs::write(&between, serde_json::to_vec(self)?)?;
        std::fs::rename(between, file)
    }

    /// The download is done.
    pub(super) fn forget(&self, root: &Path) {
        // What stays is only a hint for a later attempt.
        let _ = std::fs::remove_file(Self::file(root, &self.id, &self.path.0));
        let _ = std::fs::remove_dir(root.join(JOURNALS));
    }
}

/// What is at a checkpoint.
struct Mark {
    bytes: u64,
    offset: u64,
    current: Option<Current>,
}

/// See the module.
pub(super) struct Unpacker<'a> {
    place: &'a mut Place,
    /// Entries by path.
    entries: &'a HashMap<Vec<u8>, Entry>,
    journal: Journal,
    reader: Reader,
    /// A single file comes as it is, without an archive around it.
    plain: bool,
    part: Option<(Current, Option<Part>)>,
    /// Bytes that arrived in this session.
    bytes: u64,
    marks: VecDeque<Mark>,
    tell: &'a (dyn Fn(u64) + Send + Sync),
    /// Bytes of content that are there.
    arrived: u64,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(
        place: &'a mut Place,
        entries: &'a HashMap<Vec<u8>, Entry>,
        journal: Journal,
        tell: &'a (dyn Fn(u64) + Send + Sync),
    ) -> Self {
        Unpacker {
            place,
            entries,
            reader: Reader::new(0),
            journal,
            plain: false,
            part: None,
            bytes: 0,
            marks: VecDeque::new(),
            tell,
            arrived: 0,
        }
    }

    /// The path of an entry in the archive as the snapshot has it.
    fn entry(&self, path: &[u8]) -> Option<&'a Entry> {
        let mut absolute = vec![b'/'];
        absolute.extend_from_slice(path.strip_prefix(b"/").unwrap_or(path));
        self.entries.get(&absolute)
    }

    fn begin(&mut self, header: &Header) -> Result<(), CliError> {
        // Left out by a pattern: it passes by.
        if self.entry(&header.path).is_none() {
            return Ok(());
        }
        match header.kind {
            Kind::Directory => self.place.directory(&header.path),
            Kind::Link => self.place.link(&header.path, &header.link),
            Kind::Other => Ok(()),
            Kind::File => self.begin_file(&header.path, header.size, 0),
        }
    }

    fn begin_file(&mut self, path: &[u8], size: u64, done: u64) -> Result<(), CliError> {
        let current = Current {
            path: Bytes(path.to_vec()),
            size,
            done,
        };
        // What an earlier attempt finished is not written again.
        let there = match self.entry(path) {
            Some(entry) if done == 0 => self.place.has(entry)? == Found::Same,
            _ => false,
        };
        let part = if there {
            None
        } else {
            Some(self.place.open(path, done)?)
        };
        self.part = Some((current, part));
        Ok(())
    }

    fn content(&mut self, data: &[u8]) -> Result<(), CliError> {
        if let Some((current, part)) = &mut self.part {
            current.done += data.len() as u64;
            if let Some(part) = part {
                part.write(data)?;
            }
        }
        self.arrived += data.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> Result<(), CliError> {
        if let Some((current, part)) = self.part.take()
            && let Some(part) = part
        {
            part.done(current.size)?;
            // Its time marks it as done for a later attempt.
            if let Some(entry) = self.entry(&current.path.0) {
                self.place.finish(entry)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, data: &[u8]) -> Result<(), CliError> {
        if self.plain {
            self.content(data)?;
            let whole = self.part.as_ref().is_some_and(|(c, _)| c.done >= c.size);
            return if whole { self.end() } else { Ok(()) };
        }
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(0));
        let result = reader.feed(data, |event| match event {
            Event::Entry(header) => self.begin(&header),
            Event::Data(data) => self.content(data),
            Event::Done => self.end(),
        });
        self.reader = reader;
        result
    }

    fn mark(&self) -> Mark {
        let current = self.part.as_ref().map(|(current, _)| current.clone());
        Mark {
            bytes: self.bytes,
            offset: match &current {
                Some(current) if self.plain => current.done,
                _ => self.reader.resume_at(),
            },
            current,
        }
    }
}

impl From<super::tar::Broken> for CliError {
    fn from(broken: super::tar::Broken) -> Self {
        CliError::new(Exit::Failed, "the archive that arrives cannot be read").cause(broken.0)
    }
}

impl Sink for Unpacker<'_> {
    fn start(&mut self, entry: &str, skipped: u64, version: &str) -> Result<(), CliError> {
        let entry: Entry = serde_json::from_str(entry).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?;
        self.plain = entry.kind == "file";
        self.bytes = 0;
        self.marks.clear();
        self.part = None;
        version.clone_into(&mut self.journal.version);
        let current = self.journal.current.clone().filter(|_| skipped > 0);
        self.reader = match &current {
            Some(current) => Reader::within(skipped, current.size - current.done.min(current.size)),
            None => Reader::new(skipped),
        };
        match current {
            Some(current) => self.begin_file(&current.path.0.clone(), current.size, current.done)?,
            None if self.plain => {
                let path = entry.bytes().to_vec();
                self.begin_file(&path, entry.size, 0)?;
                if entry.size == 0 {
                    self.end()?;
                }
            }
            None => {}
        }
        self.arrived = 0;
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
        let mut rest = data;
        while !rest.is_empty() {
            let room = usize::try_from(CHECKPOINT - self.bytes % CHECKPOINT).unwrap_or(rest.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.take(now)?;
            self.bytes += now.len() as u64;
            if self.bytes.is_multiple_of(CHECKPOINT) {
                let mark = self.mark();
                self.marks.push_back(mark);
            }
            rest = later;
        }
        (self.tell)(self.arrived);
        Ok(())
    }

    fn proven(&mut self, bytes: u64) -> Result<(), CliError> {
        let mut reached = None;
        while self.marks.front().is_some_and(|mark| mark.bytes <= bytes) {
            reached = self.marks.pop_front();
        }
        let Some(mark) = reached else { return Ok(()) };
        if let Some((_, Some(part))) = &mut self.part {
            part.settle()?;
        }
        self.journal.offset = mark.offset;
        self.journal.current = mark.current;
        self.journal
            .save(self.place.root())
            .map_err(|e| CliError::file(&self.place.root().display().to_string(), &e))
    }
}

/// Looks for files that are in the way, before anything is transferred.
pub(super) fn conflicts(place: &Place, entries: &HashMap<Vec<u8>, Entry>) -> Result<Vec<String>, CliError> {
    let mut found = Vec::new();
    for entry in entries.values() {
        if place.has(entry)? == Found::Other {
            found.push(shown(entry.bytes()));
        }
    }
    found.sort();
    Ok(found)
}
