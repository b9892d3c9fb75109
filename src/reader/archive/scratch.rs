//! One run of `restic restore` into the scratch volume, read while it writes.
//!
//! restic tells of each file that is whole; it is read at once. What was read is cut off where nothing else needs it, so
//! that the room is free again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::reader::entry::Entry;
use crate::reader::op::Bytes;
use crate::reader::process::{finish, listen, start};
use crate::reader::source::{Opened, Source, Trouble};
use crate::restic::look::Look;

/// A run of restic and where it writes.
pub(super) struct Restoring {
    dir: PathBuf,
    task: Option<JoinHandle<Result<(), Trouble>>>,
    whole: mpsc::UnboundedReceiver<String>,
    ready: HashSet<String>,
    /// How many bytes of a path as restic shows it lie above `dir`.
    above: usize,
    /// How many bytes of a true path do.
    above_bytes: usize,
    ended: Option<Result<(), Trouble>>,
}

#[derive(Deserialize)]
struct Line {
    action: String,
    item: String,
}

impl Restoring {
    /// Starts restic. `base` is the directory that is restored from, `names` are the entries in it; empty: everything.
    pub(super) fn begin(
        opened: &Opened,
        source: &Source,
        id: &str,
        base: Option<&Entry>,
        names: &[&Entry],
        dir: PathBuf,
    ) -> Result<Self, Trouble> {
        let top = base
            .map(Entry::bytes)
            .filter(|path| *path != b"/")
            .unwrap_or_default();
        let shown = base
            .map(|b| b.path.as_str())
            .filter(|path| *path != "/")
            .unwrap_or_default();
        let patterns = names.iter().map(|entry| {
            let name = entry.bytes().get(top.len()..).unwrap_or_default();
            Bytes(crate::reader::pattern::literally(name)).to_os()
        });
        let look = Look::Restore {
            id: id.to_owned(),
            path: Bytes(top.to_vec()).to_os(),
            only: patterns.collect(),
            target: dir.clone(),
        };
        let mut child = start(look.process(&opened.restic, source.lock), "restore")?;
        let complaints = listen(&mut child, opened);
        let (tell, whole) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            if let Some(stdout) = child.stdout.take() {
                let mut lines = BufReader::with_capacity(64 << 10, stdout);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).await? > 0 {
                    if let Ok(told) = serde_json::from_slice::<Line>(&line)
                        && told.action == "restored"
                    {
                        let _ = tell.send(told.item);
                    }
                    line.clear();
                }
            }
            finish(child, "restore", complaints).await
        });
        Ok(Restoring {
            dir,
            task: Some(task),
            whole,
            ready: HashSet::new(),
            above: shown.len(),
            above_bytes: top.len(),
            ended: None,
        })
    }

    /// Whether restic has ended.
    pub(super) fn over(&self) -> bool {
        self.ended.is_some() || self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether an entry can be read without waiting.
    pub(super) fn is_ready(&mut self, entry: &Entry) -> bool {
        while let Ok(item) = self.whole.try_recv() {
            self.ready.insert(item);
        }
        self.ended.is_some() || self.named(entry).is_some_and(|name| self.ready.contains(name))
    }

    /// How restic calls the entry; nothing where two could be called so.
    fn named<'e>(&self, entry: &'e Entry) -> Option<&'e str> {
        let plain = entry.path_bytes.is_none() && entry.is_file();
        entry.path.get(self.above..).filter(|_| plain)
    }

    /// Waits until an entry is whole, or restic has ended.
    pub(super) async fn wait(&mut self, entry: &Entry) {
        while !self.is_ready(entry) {
            match self.whole.recv().await {
                Some(item) => {
                    self.ready.insert(item);
                }
                None => self.join().await,
            }
        }
    }

    async fn join(&mut self) {
        if let Some(task) = self.task.take() {
            let lost = |e: tokio::task::JoinError| Err(io::Error::other(e.to_string()).into());
            self.ended = Some(task.await.unwrap_or_else(lost));
        } else if self.ended.is_none() {
            self.ended = Some(Ok(()));
        }
    }

    /// A restored file, open and of the size it should have; `None` where restic could not restore it.
    pub(super) fn open(&self, entry: &Entry) -> Option<File> {
        let path = self.path(entry);
        let file = File::open(&path)
            .or_else(|error| {
                if error.kind() == ErrorKind::PermissionDenied {
                    self.open_up(&path);
                    return File::open(&path);
                }
                Err(error)
            })
            .ok()?;
        // A run that failed may have made the file as large as it should be without filling it.
        let vouched =
            matches!(self.ended, Some(Ok(()))) || self.named(entry).is_some_and(|n| self.ready.contains(n));
        let whole = vouched
            && file
                .metadata()
                .is_ok_and(|m| m.is_file() && m.len() == entry.size);
        whole.then_some(file)
    }

    /// Why restic failed, if it did.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.ended.as_ref().and_then(|ended| ended.clone().err())
    }

    /// Where a restored link leads.
    pub(super) fn link(&self, entry: &Entry) -> Option<Vec<u8>> {
        let path = self.path(entry);
        let target = fs::read_link(&path).or_else(|error| {
            if error.kind() == ErrorKind::PermissionDenied {
                self.open_up(&path);
            }
            fs::read_link(&path)
        });
        target
            .ok()
            .map(|target| target.into_os_string().into_encoded_bytes())
    }

    /// The room of a file that nobody needs any more is free again. restic may still set its times, so it stays.
    pub(super) fn spent(&self, entry: &Entry) {
        let _ = File::options()
            .write(true)
            .open(self.path(entry))
            .and_then(|file| file.set_len(0));
    }

    fn path(&self, entry: &Entry) -> PathBuf {
        let rest = entry.bytes().get(self.above_bytes..).unwrap_or_default();
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        self.dir.join(Bytes(rest.to_vec()).to_os())
    }

    /// What was restored with its permissions may be closed to us, but it is ours.
    fn open_up(&self, path: &Path) {
        let mut way: Vec<&Path> = path
            .ancestors()
            .take_while(|p| p.starts_with(&self.dir))
            .collect();
        way.reverse();
        for part in way {
            open_up(part);
        }
    }

    /// Waits for restic's end and removes what it wrote. What it could not restore was fetched in another way, so its
    /// complaints no longer matter.
    pub(super) async fn end(mut self) {
        self.join().await;
        let dir = self.dir.clone();
        let _ = tokio::task::spawn_blocking(move || remove(&dir)).await;
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

fn open_up(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if let Ok(found) = fs::symlink_metadata(path)
            && !found.is_symlink()
        {
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Removes a tree, also one with directories that are closed to us.
pub(crate) fn remove(dir: &Path) {
    if fs::remove_dir_all(dir).is_ok() {
        return;
    }
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        open_up(&dir);
        let inside = fs::read_dir(&dir).into_iter().flatten().flatten();
        open.extend(
            inside
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                .map(|e| e.path()),
        );
    }
    let _ = fs::remove_dir_all(dir);
}
