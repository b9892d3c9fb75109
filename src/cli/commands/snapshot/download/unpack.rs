//! Turns an archive that arrives into files, and notes how far it is proven to have come.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::journal::{Current, Journal};
use super::place::{Found, Part, Place};
use super::tar::{Event, Header, Kind, Reader};
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Sink;
use crate::cli::inside::entry::{Entry, shown};
use crate::reader::op::Bytes;
use crate::reader::perform::CHECKPOINT;

/// The journal is written no more often: each time what has arrived must reach the disk first.
const SAVED_EVERY: Duration = Duration::from_secs(1);

/// What is at a checkpoint.
struct Mark {
    bytes: u64,
    arrived: u64,
    after: Option<Bytes>,
    current: Option<Current>,
}

/// See the module.
pub(super) struct Unpacker<'a> {
    place: &'a mut Place,
    /// Entries by path.
    entries: &'a HashMap<&'a [u8], &'a Entry>,
    journal: Journal,
    reader: Reader,
    /// A single file comes as it is, without an archive around it.
    plain: bool,
    /// The file that the archive goes on with.
    rest: Option<Current>,
    part: Option<(Current, Part)>,
    /// Path of the entry that arrives, in the archive.
    open: Vec<u8>,
    /// The last entry that is complete.
    after: Option<Bytes>,
    /// Bytes that arrived in this session.
    bytes: u64,
    marks: VecDeque<Mark>,
    tell: &'a (dyn Fn(u64) + Send + Sync),
    /// Bytes of content that are there.
    arrived: u64,
    /// When the journal was written last.
    saved: Option<Instant>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(
        place: &'a mut Place,
        entries: &'a HashMap<&'a [u8], &'a Entry>,
        journal: Journal,
        tell: &'a (dyn Fn(u64) + Send + Sync),
    ) -> Self {
        Unpacker {
            place,
            entries,
            reader: Reader::new(),
            journal,
            plain: false,
            rest: None,
            part: None,
            open: Vec::new(),
            after: None,
            bytes: 0,
            marks: VecDeque::new(),
            tell,
            arrived: 0,
            saved: None,
        }
    }

    /// How far it is proven to have come.
    pub(super) fn into_journal(self) -> Journal {
        self.journal
    }

    /// An entry by its path in the archive.
    fn entry(&self, path: &[u8]) -> Option<&'a Entry> {
        self.entries.get(absolute(path).as_slice()).copied()
    }

    fn begin(&mut self, header: &Header) -> Result<(), CliError> {
        let rest = self.rest.take();
        // What the listing does not have was not asked for.
        if self.entry(&header.path).is_none() {
            return Ok(());
        }
        match header.kind {
            Kind::Directory => self.place.directory(&header.path),
            Kind::Link => self.place.link(&header.path, &header.link),
            Kind::Other => Ok(()),
            Kind::File => match rest.filter(|rest| rest.path.0 == absolute(&header.path)) {
                Some(rest) if rest.size.checked_sub(rest.done) == Some(header.size) => {
                    self.begin_file(&header.path, rest.size, rest.done)
                }
                Some(_) => Err(super::tar::Broken("it does not go on where it broke off").into()),
                None => self.begin_file(&header.path, header.size, 0),
            },
        }
    }

    fn begin_file(&mut self, path: &[u8], size: u64, done: u64) -> Result<(), CliError> {
        let path = absolute(path);
        let part = self.place.open(&path, done)?;
        let current = Current {
            path: Bytes(path),
            size,
            done,
        };
        self.part = Some((current, part));
        Ok(())
    }

    fn content(&mut self, data: &[u8]) -> Result<(), CliError> {
        if let Some((current, part)) = &mut self.part {
            current.done += data.len() as u64;
            part.write(data)?;
        }
        self.arrived += data.len() as u64;
        Ok(())
    }

    fn end(&mut self, path: &[u8]) -> Result<(), CliError> {
        if let Some((current, part)) = self.part.take() {
            part.done(current.size, self.entry(&current.path.0))?;
        }
        self.after = Some(Bytes(absolute(path)));
        Ok(())
    }

    fn take(&mut self, data: &[u8]) -> Result<(), CliError> {
        if self.plain {
            self.content(data)?;
            return self.end_plain();
        }
        let mut reader = std::mem::replace(&mut self.reader, Reader::new());
        let mut path = std::mem::take(&mut self.open);
        let result = reader.feed(data, |event| match event {
            Event::Entry(header) => {
                path.clone_from(&header.path);
                self.begin(&header)
            }
            Event::Data(data) => self.content(data),
            Event::Done => self.end(&path),
        });
        self.reader = reader;
        self.open = path;
        result
    }

    fn end_plain(&mut self) -> Result<(), CliError> {
        match &self.part {
            Some((current, _)) if current.done >= current.size => {
                let path = current.path.0.clone();
                self.end(&path)
            }
            _ => Ok(()),
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes,
            arrived: self.arrived,
            after: self.after.clone(),
            current: self.part.as_ref().map(|(current, _)| current.clone()),
        }
    }
}

/// A path in an archive as the snapshot has it.
fn absolute(path: &[u8]) -> Vec<u8> {
    let mut absolute = vec![b'/'];
    absolute.extend_from_slice(path.strip_prefix(b"/").unwrap_or(path));
    absolute
}

impl From<super::tar::Broken> for CliError {
    fn from(broken: super::tar::Broken) -> Self {
        CliError::new(Exit::Failed, "the archive that arrives cannot be read").cause(broken.0)
    }
}

impl Sink for Unpacker<'_> {
    fn start(&mut self, entry: &str, resumed: bool, version: &str) -> Result<(), CliError> {
        let entry: Entry = serde_json::from_str(entry).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?;
        self.plain = entry.is_file();
        self.bytes = 0;
        self.marks.clear();
        self.part = None;
        if !resumed {
            self.journal.arrived = 0;
            self.journal.after = None;
            self.journal.current = None;
        }
        version.clone_into(&mut self.journal.version);
        self.arrived = self.journal.arrived;
        self.after = self.journal.after.clone();
        self.rest = self.journal.current.clone();
        self.reader = Reader::new();
        if self.plain {
            let done = self.rest.take().map_or(0, |rest| rest.done);
            self.begin_file(entry.bytes(), entry.size, done)?;
            self.end_plain()?;
        }
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
        self.journal.arrived = mark.arrived;
        self.journal.after = mark.after;
        self.journal.current = mark.current;
        if self.saved.is_some_and(|then| then.elapsed() < SAVED_EVERY) {
            return Ok(());
        }
        self.saved = Some(Instant::now());
        if let Some((_, part)) = &mut self.part {
            part.settle()?;
        }
        self.journal
            .save(self.place.root())
            .map_err(|e| CliError::file(&self.place.root().display().to_string(), &e))
    }
}

/// Looks for files that are in the way, before anything is transferred.
pub(super) fn conflicts(place: &Place, entries: &[Entry]) -> Result<Vec<String>, CliError> {
    let mut found = Vec::new();
    for entry in entries {
        if place.has(entry)? == Found::Other {
            found.push(shown(entry.bytes()));
        }
    }
    Ok(found)
}
