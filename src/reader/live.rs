//! A mounted volume as it is now, in the words of a listing: for comparing a Snapshot with what it is of.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use super::names::shown_by_go;
use super::op::{Bytes, Control, Op};
use super::perform::{Answer, hex};
use super::source::Trouble;
use crate::api::config::job_result::JobCause;

/// How many entries are on their way at most.
const AHEAD: usize = 256;

/// Answers a question about the volume.
///
/// # Errors
/// When it is another question, or nobody reads the answer.
pub(super) async fn perform(
    op: &Op,
    out: impl AsyncWrite + Unpin,
    say: &mpsc::UnboundedSender<Control>,
) -> Result<Control, Trouble> {
    let mut answer = Answer::new(out, say);
    let (path, hashed) = match op {
        Op::LiveList { path } => (path, false),
        Op::LiveSums { path } => (path, true),
        Op::Leave => {
            super::serve::leave()?;
            return answer.end().await;
        }
        _ => {
            return Err(Trouble::new(
                JobCause::Misconfigured,
                "this pod shows a volume and opens no repository",
            ));
        }
    };
    let top = PathBuf::from(path.to_os());
    let (tell, mut told) = mpsc::channel::<Vec<u8>>(AHEAD);
    let walking = tokio::task::spawn_blocking(move || {
        walk(&top, &mut |path, found| {
            let line = match found {
                Ok(found) if hashed => sum(path, &found),
                Ok(found) => Some(entry(path, &found)),
                Err(error) => Some(unread(path, &error)),
            };
            let Some(line) = line else { return true };
            let mut line = line.to_string().into_bytes();
            line.push(b'\n');
            tell.blocking_send(line).is_ok()
        });
    });
    let mut block = Vec::new();
    while let Some(line) = told.recv().await {
        block.extend(line);
        if block.len() >= 64 << 10 || told.is_empty() {
            answer.write(&block).await?;
            block.clear();
        }
    }
    walking
        .await
        .map_err(|e| Trouble::new(JobCause::Other, e.to_string()))?;
    answer.end().await
}

/// What happens with each entry; false: enough.
type Each<'a> = &'a mut dyn FnMut(&Path, io::Result<Metadata>) -> bool;

/// Goes through a tree, each directory before what is in it, in the order of names. Links are not followed.
fn walk(path: &Path, each: Each<'_>) -> bool {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        // It was removed a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
        Err(error) => return each(path, Err(error)),
    };
    let directory = found.is_dir();
    if !each(path, Ok(found)) {
        return false;
    }
    if !directory {
        return true;
    }
    let inside = match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(inside) => inside,
        Err(error) => return each(path, Err(error)),
    };
    let mut names: Vec<PathBuf> = inside.into_iter().map(|entry| entry.path()).collect();
    names.sort();
    names.iter().all(|path| walk(path, each))
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// The path, in restic's words, and as it is where those lose something.
fn named(path: &Path) -> Value {
    let path = bytes(path);
    let shown = shown_by_go(&path);
    if shown.as_bytes() == path {
        json!({ "path": shown })
    } else {
        json!({"path": shown, "pathBytes": Bytes(path)})
    }
}

fn entry(path: &Path, found: &Metadata) -> Value {
    let mut line = named(path);
    line["type"] = json!(kind(found));
    line["size"] = json!(if found.is_file() { found.len() } else { 0 });
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        line["mode"] = json!(gos_mode(found.mode()));
        line["uid"] = json!(found.uid());
        line["gid"] = json!(found.gid());
        line["inode"] = json!(found.ino());
        let nanos = i32::try_from(found.mtime_nsec()).unwrap_or_default();
        line["mtime"] = json!(Timestamp::new(found.mtime(), nanos).ok());
    }
    line
}

/// Permissions as Go has them.
#[cfg(unix)]
fn gos_mode(mode: u32) -> u32 {
    let mut go = mode & 0o777;
    for (unix, bit) in [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)] {
        if mode & unix != 0 {
            go |= bit;
        }
    }
    go
}

fn kind(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "fifo";
        } else if kind.is_socket() {
            return "socket";
        } else if kind.is_char_device() {
            return "chardev";
        } else if kind.is_block_device() {
            return "dev";
        }
    }
    if kind.is_dir() {
        "dir"
    } else if kind.is_symlink() {
        "symlink"
    } else {
        "file"
    }
}

fn unread(path: &Path, error: &io::Error) -> Value {
    let mut line = named(path);
    line["unread"] = json!(error.to_string());
    line
}

/// The hash of a file; nothing for anything else.
fn sum(path: &Path, found: &Metadata) -> Option<Value> {
    if !found.is_file() {
        return None;
    }
    Some(match hashed(path) {
        Ok(sha256) => json!({"path": Bytes(bytes(path)), "sha256": sha256}),
        Err(error) => json!({"path": Bytes(bytes(path)), "sha256": "", "unread": error.to_string()}),
    })
}

fn hashed(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Context::new(&SHA256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(digest.finish().as_ref()));
        }
        digest.update(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::entry::Entry;

    #[test]
    fn a_tree_is_told_as_restic_tells_it() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| dir.path().join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(at(b"d")).unwrap();
        fs::write(at(b"d/f"), "abc").unwrap();
        fs::set_permissions(at(b"d/f"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::write(at(b"bad\xff"), "").unwrap();
        std::os::unix::fs::symlink("/nowhere", at(b"l")).unwrap();
        let mut seen = Vec::new();
        walk(dir.path(), &mut |path, found| {
            seen.push(serde_json::from_value::<Entry>(entry(path, &found.unwrap())).unwrap());
            true
        });
        let short: Vec<String> = seen
            .iter()
            .map(|e| {
                let path = e.bytes().strip_prefix(bytes(dir.path()).as_slice()).unwrap();
                format!("{} {} {}", e.kind, path.escape_ascii(), e.size)
            })
            .collect();
        assert_eq!(
            short,
            [
                "dir  0",
                r"file /bad\xff 0",
                "dir /d 0",
                "file /d/f 3",
                "symlink /l 0"
            ]
        );
        assert_eq!(seen[3].unix_mode(), 0o4750);
        assert!(seen[3].mtime.is_some());
        let line = sum(&at(b"d/f"), &fs::metadata(at(b"d/f")).unwrap()).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(line["sha256"], abc);
    }
}
