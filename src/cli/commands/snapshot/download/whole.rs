//! Files of an archive in memory: for many small ones, such as manifests.

use std::collections::{BTreeMap, BTreeSet};

use super::tar::{Event, Kind, Reader};
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Sink;
use crate::cli::inside::entry::{Entry, shown};
use crate::output::human;

/// The most that is held.
const MOST: usize = 512 << 20;

/// Keeps the files that are wanted, by their absolute paths.
pub(in crate::cli) struct Files {
    wanted: BTreeSet<Vec<u8>>,
    reader: Reader,
    current: Option<(Vec<u8>, Vec<u8>)>,
    /// A single file comes without an archive around it.
    plain: bool,
    held: usize,
    /// What arrived.
    pub(in crate::cli) found: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Files {
    /// Will keep these.
    pub(in crate::cli) fn new(wanted: BTreeSet<Vec<u8>>) -> Self {
        Files {
            wanted,
            reader: Reader::new(),
            current: None,
            plain: false,
            held: 0,
            found: BTreeMap::new(),
        }
    }

    fn take(&mut self, event: &Event<'_>) -> Result<(), CliError> {
        match event {
            Event::Entry(header) => {
                let mut path = vec![b'/'];
                path.extend_from_slice(header.path.strip_prefix(b"/").unwrap_or(&header.path));
                let wanted = header.kind == Kind::File && self.wanted.contains(&path);
                self.current = wanted.then(|| (path, Vec::new()));
            }
            Event::Data(piece) => {
                if self.current.is_some() {
                    self.room(piece.len())?;
                }
                if let Some((_, content)) = &mut self.current {
                    content.extend_from_slice(piece);
                }
            }
            Event::Done => {
                if let Some((path, content)) = self.current.take() {
                    self.found.insert(path, content);
                }
            }
        }
        Ok(())
    }

    fn room(&mut self, more: usize) -> Result<(), CliError> {
        self.held += more;
        if self.held <= MOST {
            return Ok(());
        }
        Err(CliError::new(
            Exit::Precondition,
            format!("there is more than {} to look at", human::bytes(MOST as u64)),
        )
        .hint("--include or the filters narrow it down"))
    }

    /// What was wanted and did not come.
    ///
    /// # Errors
    /// The first such file.
    pub(in crate::cli) fn complete(&self) -> Result<(), CliError> {
        match self.wanted.iter().find(|path| !self.found.contains_key(*path)) {
            None => Ok(()),
            Some(path) => Err(CliError::new(
                Exit::Failed,
                format!("{} did not arrive", shown(path)),
            )),
        }
    }
}

impl Sink for Files {
    fn start(&mut self, entry: &str, _resumed: bool, _version: &str) -> Result<(), CliError> {
        let entry: Entry = serde_json::from_str(entry).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?;
        self.reader = Reader::new();
        self.current = None;
        self.held = 0;
        self.found.clear();
        self.plain = entry.kind == "file";
        if self.plain && self.wanted.contains(entry.bytes()) {
            self.found.insert(entry.bytes().to_vec(), Vec::new());
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
        if self.plain {
            self.room(data.len())?;
            if let Some((_, content)) = self.found.iter_mut().next() {
                content.extend_from_slice(data);
            }
            return Ok(());
        }
        let mut reader = std::mem::replace(&mut self.reader, Reader::new());
        let result = reader.feed(data, |event| self.take(&event));
        self.reader = reader;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::tar;

    #[test]
    fn wanted_files_are_kept_however_they_arrive() {
        let mut archive = Vec::new();
        for (path, content) in [("/m/a.yaml", "kind: A\n"), ("/m/b.yaml", "kind: B\n")] {
            let entry = Entry {
                path: path.to_owned(),
                kind: "file".to_owned(),
                size: content.len() as u64,
                ..Entry::default()
            };
            archive.extend(tar::header(&entry, path.as_bytes(), b"", entry.size));
            archive.extend(content.as_bytes());
            archive.resize(archive.len() + tar::padding(entry.size), 0);
        }
        let mut files = Files::new([b"/m/b.yaml".to_vec()].into());
        for piece in archive.chunks(100) {
            files.data(piece).unwrap();
        }
        assert_eq!(files.found.len(), 1);
        assert_eq!(files.found[&b"/m/b.yaml".to_vec()], b"kind: B\n");
        files.complete().unwrap();
        assert!(Files::new([b"/x".to_vec()].into()).complete().is_err());
    }
}
