//! How far a download has come, kept in the directory that is downloaded into until it is done.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::cli::inside::entry::Entry;
use crate::reader::op::{Bytes, Resume};
use crate::reader::perform::hex;

/// Where the journals lie, below the directory that is downloaded into.
const JOURNALS: &str = ".kubestash-download";

/// How far a download has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Journal {
    /// restic's snapshot id.
    pub(super) id: String,
    /// What was asked for.
    pub(super) path: Bytes,
    /// The version of the archive that is written.
    pub(super) version: String,
    /// Bytes of content that are there.
    #[serde(default)]
    pub(super) arrived: u64,
    /// The last entry that is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Bytes>,
    /// The file after it that is half there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<Current>,
}

/// A file that is half there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    pub(super) path: Bytes,
    pub(super) size: u64,
    pub(super) done: u64,
}

impl Journal {
    fn file(root: &Path, id: &str, path: &[u8]) -> PathBuf {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(id.as_bytes());
        digest.update(path);
        let name = hex(digest.finish().as_ref().get(..12).unwrap_or_default());
        root.join(JOURNALS).join(format!("{name}.json"))
    }

    /// The journal of an earlier attempt, or a new one.
    pub(super) fn load(root: &Path, id: &str, path: &[u8]) -> Self {
        let known = std::fs::read(Self::file(root, id, path)).ok();
        known
            .and_then(|text| serde_json::from_slice::<Journal>(&text).ok())
            .filter(|journal| journal.id == id && journal.path.0 == path)
            .unwrap_or_else(|| Journal::new(id, path))
    }

    fn new(id: &str, path: &[u8]) -> Self {
        Journal {
            id: id.to_owned(),
            path: Bytes(path.to_vec()),
            ..Journal::default()
        }
    }

    /// Keeps of an earlier attempt what is still true: all that it says is complete must be there. Answers how many of
    /// the entries, which stand in the order of the archive, are complete.
    pub(super) fn checked(&mut self, place: &Place, entries: &[Entry]) -> usize {
        if let Some(current) = &mut self.current
            && !place.holds(&current.path.0, current.done)
        {
            self.arrived -= current.done.min(self.arrived);
            current.done = 0;
        }
        let at = |path: &Bytes| entries.iter().position(|e| e.bytes() == path.0);
        let next = match (&self.current, &self.after) {
            (Some(current), _) => at(&current.path),
            (None, Some(after)) => at(after).map(|at| at + 1),
            (None, None) => Some(0),
        };
        let there = |entry: &Entry| place.complete(entry).unwrap_or_default();
        match next {
            Some(next) if entries.iter().take(next).all(there) => next,
            _ => {
                *self = Journal::new(&self.id, &self.path.0);
                0
            }
        }
    }

    /// Where to go on.
    pub(super) fn resume(&self) -> Option<Resume> {
        if let Some(current) = &self.current {
            return Some(Resume {
                path: current.path.clone(),
                done: Some(current.done),
            });
        }
        self.after.as_ref().map(|path| Resume {
            path: path.clone(),
            done: None,
        })
    }

    pub(super) fn save(&self, root: &Path) -> std::io::Result<()> {
        let file = Self::file(root, &self.id, &self.path.0);
        std::fs::create_dir_all(root.join(JOURNALS))?;
        let between = file.with_extension("new");
        std::fs::write(&between, serde_json::to_vec(self)?)?;
        std::fs::rename(between, file)
    }

    /// The download is done, or has to begin anew.
    pub(super) fn forget(&self, root: &Path) {
        // What stays is only a hint for a later attempt.
        let _ = std::fs::remove_file(Self::file(root, &self.id, &self.path.0));
        let _ = std::fs::remove_dir(root.join(JOURNALS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_attempt_counts_as_far_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(dir.path()).unwrap();
        let entries: Vec<Entry> = ["/a", "/b", "/c"]
            .iter()
            .map(|path| Entry {
                path: (*path).into(),
                kind: "file".into(),
                size: 3,
                ..Entry::default()
            })
            .collect();
        let mut journal = Journal::new("id", b"/");
        assert_eq!((journal.checked(&place, &entries), journal.resume()), (0, None));
        journal.after = Some(Bytes(b"/a".to_vec()));
        journal.arrived = 5;
        journal.save(place.root()).unwrap();
        std::fs::write(dir.path().join("a"), "abc").unwrap();
        let mut journal = Journal::load(place.root(), "id", b"/");
        assert_eq!(journal.checked(&place, &entries), 1);
        assert_eq!(journal.resume().unwrap().done, None);

        journal.current = Some(Current {
            path: Bytes(b"/b".to_vec()),
            size: 3,
            done: 2,
        });
        let mut part = place.open(b"/b", 0).unwrap();
        part.write(b"bb").unwrap();
        part.settle().unwrap();
        assert_eq!(journal.checked(&place, &entries), 1);
        assert_eq!(journal.resume().unwrap().done, Some(2));
        drop(place.open(b"/b", 0).unwrap());
        assert_eq!(journal.checked(&place, &entries), 1);
        assert_eq!((journal.resume().unwrap().done, journal.arrived), (Some(0), 3));
        std::fs::remove_file(dir.path().join("a")).unwrap();
        assert_eq!(journal.checked(&place, &entries), 0, "what was complete is gone");
        assert_eq!(journal.resume(), None);
    }
}
