//! Two trees compared byte by byte and attribute by attribute: the demo's proof.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Everything a restore must bring back of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Type and permission bits.
    mode: u32,
    /// User and group.
    owner: (u32, u32),
    /// Bytes; zero for all but regular files, whose size is contents.
    size: u64,
    /// Modification time: seconds and nanoseconds. Not kept for links.
    modified: Option<(i64, i64)>,
    /// Where a link points.
    link: Option<PathBuf>,
    /// SHA-256 of the contents of a regular file.
    contents: Option<[u8; 32]>,
    /// The first path (in order) that is the same file, for files with several names.
    same_as: Option<OsString>,
}

/// A tree as it was at one moment, by path relative to its root.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    entries: BTreeMap<OsString, Entry>,
    first_names: BTreeMap<(u64, u64), OsString>,
}

impl Picture {
    /// Takes the picture of everything below `root`, the root's own attributes included.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let mut picture = Self::default();
        picture.visit(root, root)?;
        Ok(picture)
    }

    /// Number of entries: files, directories and links.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn visit(&mut self, root: &Path, path: &Path) -> io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        let name = path.strip_prefix(root).unwrap_or(path).as_os_str().to_owned();
        let entry = self.entry(path, &name, &meta)?;
        self.entries.insert(name, entry);
        if meta.is_dir() {
            let mut below: Vec<_> = fs::read_dir(path)?
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<_, _>>()?;
            below.sort();
            for child in below {
                self.visit(root, &child)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &OsString, meta: &Metadata) -> io::Result<Entry> {
        let link = meta.is_symlink().then(|| fs::read_link(path)).transpose()?;
        let shared = meta.is_file() && meta.nlink() > 1;
        let same_as = shared.then(|| {
            self.first_names
                .entry((meta.dev(), meta.ino()))
                .or_insert_with(|| name.clone())
                .clone()
        });
        Ok(Entry {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            size: if meta.is_file() { meta.size() } else { 0 },
            modified: (!meta.is_symlink()).then(|| (meta.mtime(), meta.mtime_nsec())),
            link,
            contents: meta.is_file().then(|| hash(path)).transpose()?,
            same_as,
        })
    }

    /// What differs in `other`, in words, at most `limit` of them.
    pub(super) fn differences(&self, other: &Self, limit: usize) -> Vec<String> {
        let mut found = Vec::new();
        for (name, entry) in &self.entries {
            let shown = name.display();
            match other.entries.get(name) {
                None => found.push(format!("{shown}: missing")),
                Some(now) if now != entry => {
                    found.push(format!("{shown}: {}", what_differs(entry, now).join(", ")));
                }
                Some(_) => {}
            }
        }
        found.extend(
            other
                .entries
                .keys()
                .filter(|n| !self.entries.contains_key(*n))
                .map(|n| format!("{}: was not there before", n.display())),
        );
        found.truncate(limit);
        found
    }
}

fn what_differs(then: &Entry, now: &Entry) -> Vec<String> {
    let mut found = Vec::new();
    if then.contents != now.contents || then.size != now.size {
        found.push(format!("contents ({} bytes, now {})", then.size, now.size));
    }
    if then.mode != now.mode {
        found.push(format!("mode {:o}, now {:o}", then.mode, now.mode));
    }
    if then.owner != now.owner {
        found.push(format!("owner {:?}, now {:?}", then.owner, now.owner));
    }
    if then.modified != now.modified {
        found.push(format!("time {:?}, now {:?}", then.modified, now.modified));
    }
    if then.link != now.link {
        found.push("link target".to_owned());
    }
    if then.same_as != now.same_as {
        found.push("hard link".to_owned());
    }
    found
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(digest.finalize().into());
        }
        digest.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::data;
    use super::*;

    fn tree() -> (tempfile::TempDir, Picture) {
        let dir = tempfile::tempdir().unwrap();
        data::fill(dir.path(), 40, 7, nix::unistd::geteuid().is_root()).unwrap();
        let picture = Picture::of(dir.path()).unwrap();
        (dir, picture)
    }

    #[test]
    fn a_tree_equals_itself_and_an_equally_made_one_differs_only_in_times_of_making() {
        let (dir, picture) = tree();
        assert!(
            picture
                .differences(&Picture::of(dir.path()).unwrap(), 10)
                .is_empty()
        );
        assert!(picture.len() > 60);
    }

    #[test]
    fn every_kind_of_damage_is_seen() {
        type Damage = fn(&Path);
        let damages: &[(&str, Damage)] = &[
            ("missing", |d| fs::remove_file(d.join("empty")).unwrap()),
            ("was not there", |d| fs::write(d.join("extra"), "x").unwrap()),
            ("mode", |d| {
                fs::set_permissions(d.join("large.bin"), fs::Permissions::from_mode(0o611)).unwrap();
            }),
            ("contents", |d| {
                let path = d.join("records/01/00/00001.dat");
                let meta = fs::metadata(&path).unwrap();
                let mut bytes = fs::read(&path).unwrap();
                bytes[0] ^= 1;
                fs::write(&path, bytes).unwrap();
                let times = fs::FileTimes::new().set_modified(meta.modified().unwrap());
                File::options()
                    .append(true)
                    .open(&path)
                    .unwrap()
                    .set_times(times)
                    .unwrap();
            }),
            ("time", |d| {
                let times = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
                File::open(d.join("records/01/00/00001.dat"))
                    .unwrap()
                    .set_times(times)
                    .unwrap();
            }),
            ("link target", |d| {
                fs::remove_file(d.join("dangling link")).unwrap();
                symlink("/elsewhere", d.join("dangling link")).unwrap();
            }),
            ("hard link", |d| {
                let second = d.join("odd names/second name of large.bin");
                let bytes = fs::read(&second).unwrap();
                fs::remove_file(&second).unwrap();
                fs::write(&second, bytes).unwrap();
            }),
        ];
        for (word, damage) in damages {
            let (dir, picture) = tree();
            damage(dir.path());
            let found = picture.differences(&Picture::of(dir.path()).unwrap(), 10);
            assert!(found.iter().any(|f| f.contains(word)), "{word}: {found:?}");
        }
    }
}
