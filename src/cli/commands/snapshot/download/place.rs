//! Writes below one directory and nowhere else.
//!
//! Every path is taken apart: no `..`, no absolute paths, and no directory on the way may be a symbolic link, whoever made
//! it. Links that were backed up are made as they are, but never followed. A file is written beside its place and moved
//! there when it is whole.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::attributes::{attributes, same_content, same_file, same_time};
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::{Entry, shown};
use crate::reader::op::Bytes;

/// A directory that is written into.
pub(super) struct Place {
    root: PathBuf,
    known: HashSet<PathBuf>,
}

/// Why a path may not be written.
fn refused(path: &[u8], why: &str) -> CliError {
    CliError::new(
        Exit::Precondition,
        format!("{} is not written: {why}", shown(path)),
    )
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    let error_text = error.to_string();
    let exit = if error.kind() == io::ErrorKind::PermissionDenied {
        Exit::Precondition
    } else {
        Exit::Error
    };
    CliError::new(exit, format!("{} cannot be written", path.display())).cause(error_text)
}

impl Place {
    /// Makes the directory where it is missing.
    pub(super) fn new(root: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(root).map_err(|e| failed(root, &e))?;
        // What the user named may be reached through links; below it none are followed.
        let root = fs::canonicalize(root).map_err(|e| failed(root, &e))?;
        Ok(Place {
            root,
            known: HashSet::new(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path of the snapshot belongs; nothing is made.
    pub(super) fn path_of(&self, path: &[u8]) -> Result<PathBuf, CliError> {
        let mut place = self.root.clone();
        for segment in path.split(|b| *b == b'/').filter(|s| !s.is_empty()) {
            let name = Bytes(segment.to_vec()).to_os();
            let mut parts = Path::new(&name).components();
            let plain = matches!(
                (parts.next(), parts.next()),
                (Some(std::path::Component::Normal(_)), None)
            );
            if !plain || segment.contains(&0) {
                return Err(refused(path, "its path leads elsewhere"));
            }
            place.push(name);
        }
        Ok(place)
    }

    /// The place of an entry whose directories exist and are no links.
    fn prepared(&mut self, path: &[u8]) -> Result<PathBuf, CliError> {
        let place = self.path_of(path)?;
        if let Some(parent) = place.parent().filter(|p| p.starts_with(&self.root)) {
            let parent = parent.to_owned();
            self.directory_at(&parent, path)?;
        }
        Ok(place)
    }

    fn directory_at(&mut self, dir: &Path, path: &[u8]) -> Result<(), CliError> {
        if dir == self.root || self.known.contains(dir) {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            let parent = parent.to_owned();
            self.directory_at(&parent, path)?;
        }
        match fs::symlink_metadata(dir) {
            Ok(found) if found.is_dir() => {}
            Ok(found) if found.is_symlink() => {
                return Err(refused(
                    path,
                    &format!(
                        "{} is a link that may lead out of {}",
                        dir.display(),
                        self.root.display()
                    ),
                ));
            }
            Ok(_) => return Err(refused(path, &format!("{} is no directory", dir.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir(dir).map_err(|e| failed(dir, &e))?;
            }
            Err(error) => return Err(failed(dir, &error)),
        }
        self.known.insert(dir.to_owned());
        Ok(())
    }

    /// Makes a directory.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<(), CliError> {
        let place = self.path_of(path)?;
        self.directory_at(&place, path)
    }

    /// Makes a symbolic link as it was.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), CliError> {
        let place = self.prepared(path)?;
        let target = PathBuf::from(Bytes(target.to_vec()).to_os());
        if fs::read_link(&place).is_ok_and(|old| old == target) {
            return Ok(());
        }
        remove_file(&place)?;
        #[cfg(unix)]
        std::os::unix::fs::symlink(&target, &place).map_err(|e| failed(&place, &e))?;
        #[cfg(not(unix))]
        return Err(refused(path, "links cannot be made on this system"));
        #[cfg(unix)]
        Ok(())
    }

    /// Begins a file, or goes on with one of which `done` bytes are there.
    pub(super) fn open(&mut self, path: &[u8], done: u64) -> Result<Part, CliError> {
        let place = self.prepared(path)?;
        let part = part_of(&place, path);
        let mut options = OpenOptions::new();
        options.write(true);
        if done == 0 {
            options.create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        } else if !holds(&part, done) {
            return Err(refused(path, "what was downloaded of it before is gone"));
        }
        let opened = options.open(&part).or_else(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                fs::remove_file(&part)?;
                return options.open(&part);
            }
            Err(error)
        });
        let mut file = opened.map_err(|e| failed(&part, &e))?;
        if done > 0 {
            file.set_len(done)
                .and_then(|()| file.seek(SeekFrom::Start(done)))
                .map_err(|e| failed(&part, &e))?;
        }
        Ok(Part {
            file,
            part,
            place,
            at: done,
            hole: false,
        })
    }

    /// Whether so many bytes of a file are there from an earlier attempt.
    pub(super) fn holds(&self, path: &[u8], done: u64) -> bool {
        self.path_of(path)
            .is_ok_and(|place| holds(&part_of(&place, path), done))
    }

    /// Whether the same file is there already: of the same size and time.
    pub(super) fn has(&self, entry: &Entry) -> Result<Found, CliError> {
        let place = self.path_of(entry.bytes())?;
        let Ok(found) = fs::symlink_metadata(&place) else {
            return Ok(Found::Nothing);
        };
        let same = match entry.kind.as_str() {
            "dir" => found.is_dir(),
            "symlink" => found.is_symlink(),
            _ => found.is_file() && found.len() == entry.size && same_time(&found, entry),
        };
        Ok(if same { Found::Same } else { Found::Other })
    }

    /// Gives an entry the permissions, the owner (where we may) and the time it had.
    pub(super) fn finish(&self, entry: &Entry) -> Result<(), CliError> {
        let place = self.path_of(entry.bytes())?;
        attributes(&place, entry).map_err(|e| failed(&place, &e))
    }

    /// Whether an entry is there as it should be.
    pub(super) fn complete(&self, entry: &Entry) -> Result<bool, CliError> {
        let Ok(found) = fs::symlink_metadata(self.path_of(entry.bytes())?) else {
            return Ok(false);
        };
        Ok(match entry.kind.as_str() {
            "dir" => found.is_dir(),
            "symlink" => found.is_symlink(),
            "file" => found.is_file() && found.len() == entry.size,
            _ => true,
        })
    }

    /// Makes `second` a hard link of `first` where both have the same content.
    pub(super) fn tie(&self, first: &Entry, second: &Entry) -> Result<(), CliError> {
        let (first, second) = (self.path_of(first.bytes())?, self.path_of(second.bytes())?);
        let tied = || -> io::Result<()> {
            // A rename of one link over another of the same file would do nothing, and leave the first.
            if same_file(&first, &second)? || !same_content(&first, &second)? {
                return Ok(());
            }
            let between = second.with_file_name(".kubestash-part-link");
            let _ = fs::remove_file(&between);
            fs::hard_link(&first, &between)?;
            fs::rename(&between, &second)
        };
        tied().map_err(|e| failed(&second, &e))
    }
}

/// What is at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// What would be written.
    Same,
    /// Something else.
    Other,
}

/// A file that is being written.
pub(super) struct Part {
    file: File,
    part: PathBuf,
    place: PathBuf,
    /// How many bytes are there.
    at: u64,
    /// Whether it ends with a hole, which the file does not know of yet.
    hole: bool,
}

impl Part {
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), CliError> {
        // A hole is cheaper than zeroes, and what a sparse file had there.
        let zero = data.len() >= 4096 && data.iter().all(|b| *b == 0);
        let result = if zero {
            i64::try_from(data.len())
                .map_err(io::Error::other)
                .and_then(|by| self.file.seek(SeekFrom::Current(by)).map(|_| ()))
        } else {
            self.file.write_all(data)
        };
        self.at += data.len() as u64;
        self.hole = zero;
        result.map_err(|e| failed(&self.part, &e))
    }

    /// Keeps what was written so far.
    pub(super) fn settle(&mut self) -> Result<(), CliError> {
        let settled = self.file.stream_position().and_then(|at| {
            if self.file.metadata()?.len() < at {
                self.file.set_len(at)?;
            }
            self.file.sync_data()
        });
        settled.map_err(|e| failed(&self.part, &e))
    }

    /// The file is whole: it goes to its place, with what the entry says about it.
    pub(super) fn done(self, size: u64, entry: Option<&Entry>) -> Result<(), CliError> {
        let at = self.at;
        if at != size {
            return Err(CliError::new(
                Exit::Failed,
                format!("{} has {at} bytes instead of {size}", self.place.display()),
            ));
        }
        let long = if self.hole {
            self.file.set_len(size)
        } else {
            Ok(())
        };
        let done = long
            .and_then(|()| entry.map_or(Ok(()), |entry| attributes(&self.part, entry)))
            .and_then(|()| fs::rename(&self.part, &self.place));
        done.map_err(|e| failed(&self.place, &e))
    }
}

/// Where a file is written until it is whole.
fn part_of(place: &Path, path: &[u8]) -> PathBuf {
    let digest = ring::digest::digest(&ring::digest::SHA256, path);
    let name = crate::reader::perform::hex(digest.as_ref().get(..8).unwrap_or_default());
    place.with_file_name(format!(".kubestash-part-{name}"))
}

fn holds(part: &Path, done: u64) -> bool {
    fs::symlink_metadata(part).is_ok_and(|m| m.is_file() && m.len() >= done)
}

fn remove_file(place: &Path) -> Result<(), CliError> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(place, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_outside() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let mut place = Place::new(&dir.path().join("to")).unwrap();
        for path in [&b"../x"[..], b"a/../../x", b"a/\0"] {
            assert_eq!(
                place.path_of(path).unwrap_err().exit,
                Exit::Precondition,
                "{path:?}"
            );
        }
        assert_eq!(place.path_of(b"/etc/x").unwrap(), place.root().join("etc/x"));
        // A link that was there before, and one from the snapshot itself.
        std::os::unix::fs::symlink(outside.path(), place.root().join("before")).unwrap();
        place
            .link(b"from-snapshot", outside.path().as_os_str().as_encoded_bytes())
            .unwrap();
        for path in [&b"before/x"[..], b"from-snapshot/x", b"from-snapshot/deep/x"] {
            assert_eq!(place.open(path, 0).err().unwrap().exit, Exit::Precondition);
            assert!(place.directory(path).is_err());
            assert!(place.link(path, b"y").is_err());
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        // A file in the place of a link replaces the link and not what it points at.
        let victim = outside.path().join("victim");
        fs::write(&victim, "safe").unwrap();
        std::os::unix::fs::symlink(&victim, place.root().join("file")).unwrap();
        let mut part = place.open(b"file", 0).unwrap();
        part.write(b"new").unwrap();
        part.done(3, None).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
        assert_eq!(fs::read_to_string(place.root().join("file")).unwrap(), "new");
    }

    #[test]
    fn tied_files_are_one_and_stay_so() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path()).unwrap();
        for name in ["a", "b"] {
            fs::write(dir.path().join(name), "same").unwrap();
        }
        let entry = |path: &str| Entry {
            path: path.into(),
            ..Entry::default()
        };
        for _ in 0..2 {
            place.tie(&entry("/a"), &entry("/b")).unwrap();
            let inode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
            assert_eq!(inode("a"), inode("b"));
            assert_eq!(
                fs::read_dir(dir.path()).unwrap().count(),
                2,
                "nothing is left over"
            );
        }
    }

    #[test]
    fn a_file_goes_on_where_it_stopped_and_counts_only_when_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(dir.path()).unwrap();
        let mut part = place.open(b"d/f", 0).unwrap();
        part.write(b"hello").unwrap();
        part.write(&[0; 5000]).unwrap();
        part.settle().unwrap();
        drop(part);
        assert!(!dir.path().join("d/f").exists());
        let mut part = place.open(b"d/f", 5005).unwrap();
        part.write(b"!").unwrap();
        part.done(5006, None).unwrap();
        let content = fs::read(dir.path().join("d/f")).unwrap();
        assert_eq!(
            (content.len(), &content[..5], content[5005]),
            (5006, &b"hello"[..], b'!')
        );
        let short = place.open(b"g", 0).unwrap();
        assert_eq!(short.done(1, None).unwrap_err().exit, Exit::Failed);
        assert!(!dir.path().join("g").exists());
    }
}
