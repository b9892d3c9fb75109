//! The content of a snapshot's directory, entry by entry in the order of its listing: as a tar archive, or as hashes.
//!
//! The order and the bytes depend on the snapshot and the choice alone, so that an archive which broke off can go on at any
//! byte of any file. [`plan`] cuts the tree into runs of restic, [`scratch`] is one of them.

mod plan;
pub(super) mod scratch;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use ring::digest::{Context, SHA256};
use serde_json::json;
use tokio::io::AsyncWrite;

use self::plan::{Batch, Step};
use self::scratch::Restoring;
use super::entry::Entry;
use super::op::{Bytes, Resume};
use super::perform::{Answer, hex};
use super::process::dump;
use super::source::{Opened, Source, Trouble};
use super::tar;
use crate::api::config::job_result::JobCause;

pub(super) use super::pattern::Choice;

/// Changes whenever the same snapshot would be sent as other bytes.
const FORM: &str = "1";
/// The most room that one batch takes; two are there at a time. restic asks the storage once for each pack where it restores,
/// but once for each piece of a file where it dumps.
const ROOM: u64 = 4 << 30;
/// How much is gathered before it is sent.
const GATHERED: usize = 256 << 10;
/// Files from this size on give their room back as soon as they are sent.
const WORTH: u64 = 64 << 10;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wish<'a> {
    /// restic's snapshot id.
    pub(super) id: &'a str,
    /// What of it.
    pub(super) choice: &'a Choice,
    /// Where an earlier answer broke off.
    pub(super) resume: Option<&'a Resume>,
}

/// Takes entries as they come.
pub(super) trait Receiver {
    /// An entry begins, of which `size` bytes will come.
    async fn begin(&mut self, entry: &Entry, link: &[u8], size: u64) -> Result<(), Trouble>;
    /// Bytes of it.
    async fn data(&mut self, data: &[u8]) -> Result<(), Trouble>;
    /// It is complete.
    async fn done(&mut self, entry: &Entry, size: u64) -> Result<(), Trouble>;
    /// Nothing more comes for a while.
    async fn pause(&mut self) -> Result<(), Trouble>;
}

/// The form of the archives that a choice leads to.
pub(super) fn version(choice: &Choice) -> String {
    let text = serde_json::to_vec(choice).unwrap_or_default();
    let digest = ring::digest::digest(&SHA256, &text);
    format!("{FORM}-{}", hex(digest.as_ref().get(..6).unwrap_or_default()))
}

/// The listing of what is wanted, and where in it to begin: with which entry, after how many bytes of it.
pub(super) struct Plan {
    entries: Vec<Entry>,
    chosen: Vec<bool>,
    done: u64,
    /// Whether this goes on with an earlier answer.
    pub(super) resumed: bool,
}

/// Finds out what of a listing there is to send.
pub(super) fn plan(entries: Vec<Entry>, wish: &Wish<'_>) -> Plan {
    let mut chosen = wish.choice.among(&entries);
    let (mut done, mut resumed) = (0, false);
    if let Some(resume) = wish.resume
        && let Some(at) = entries.iter().position(|e| e.bytes() == resume.path.0)
    {
        resumed = true;
        let first = match resume.done {
            Some(bytes) => {
                done = bytes.min(entries.get(at).map_or(0, |e| e.size));
                at
            }
            None => at + 1,
        };
        chosen.iter_mut().take(first).for_each(|yes| *yes = false);
    }
    Plan {
        entries,
        chosen,
        done,
        resumed,
    }
}

/// Sends everything that is wanted.
pub(super) async fn send(
    opened: &Opened,
    source: &Source,
    wish: &Wish<'_>,
    plan: Plan,
    to: &mut impl Receiver,
) -> Result<(), Trouble> {
    let room = ROOM.min(free(opened.scratch()) / 4).max(4 << 20);
    let steps = plan::steps(&plan.entries, &plan.chosen, room);
    let mut sending = Sending {
        opened,
        source,
        wish,
        plan,
        next: 0,
        ahead: None,
        to,
    };
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Bare(range) => {
                for at in range.clone() {
                    if let Some(entry) = sending.wanted(at) {
                        sending.to.begin(&entry, b"", 0).await?;
                        sending.to.done(&entry, 0).await?;
                    }
                }
            }
            Step::Dump(at) => {
                if let Some(entry) = sending.wanted(*at) {
                    sending.dumped(&entry).await?;
                }
            }
            Step::Restore(batch) => {
                let later = steps.get(at + 1..).unwrap_or_default();
                sending.batch(batch, next_batch(later)).await?;
            }
        }
    }
    sending.to.pause().await
}

/// The batch after this one, unless a file that is dumped comes first: restic then has enough to do.
fn next_batch(later: &[Step]) -> Option<&Batch> {
    later.iter().find_map(|step| match step {
        Step::Restore(batch) => Some(batch),
        _ => None,
    })
}

struct Sending<'a, R> {
    opened: &'a Opened,
    source: &'a Source,
    wish: &'a Wish<'a>,
    plan: Plan,
    /// Number of the next batch's directory.
    next: usize,
    /// The batch after the one that is being sent, begun already.
    ahead: Option<Restoring>,
    to: &'a mut R,
}

impl<R: Receiver> Sending<'_, R> {
    /// An entry, if it is wanted and can travel.
    fn wanted(&self, at: usize) -> Option<Entry> {
        let yes = self.plan.chosen.get(at).copied().unwrap_or_default();
        self.plan.entries.get(at).filter(|e| yes && e.travels()).cloned()
    }

    fn begin(&mut self, batch: &Batch) -> Result<Restoring, Trouble> {
        let entries = &self.plan.entries;
        let names: Vec<&Entry> = batch.names.iter().filter_map(|at| entries.get(*at)).collect();
        let dir: PathBuf = self.opened.scratch().join(format!("batch-{}", self.next));
        self.next += 1;
        let base = batch.base.and_then(|at| entries.get(at));
        Restoring::begin(self.opened, self.source, self.wish.id, base, &names, dir)
    }

    async fn batch(&mut self, batch: &Batch, next: Option<&Batch>) -> Result<(), Trouble> {
        let mut restoring = match self.ahead.take() {
            Some(restoring) => restoring,
            None => self.begin(batch)?,
        };
        let tied = self.tied(batch);
        for at in batch.range.clone() {
            let Some(entry) = self.wanted(at) else { continue };
            // One run at a time; while this one's files are sent, the next may run.
            if restoring.over()
                && self.ahead.is_none()
                && let Some(next) = next
            {
                self.ahead = Some(self.begin(next)?);
            }
            if entry.is_dir() || (entry.is_file() && entry.size == 0) {
                self.to.begin(&entry, b"", 0).await?;
                self.to.done(&entry, 0).await?;
                continue;
            }
            if !restoring.is_ready(&entry) {
                self.to.pause().await?;
                restoring.wait(&entry).await;
            }
            if entry.is_file() {
                self.file(&restoring, &entry).await?;
                if entry.size >= WORTH && !tied.contains(&entry.inode) {
                    restoring.spent(&entry);
                }
            } else {
                let link = restoring
                    .link(&entry)
                    .ok_or_else(|| self.missing(&entry, &restoring))?;
                self.to.begin(&entry, &link, 0).await?;
                self.to.done(&entry, 0).await?;
            }
        }
        restoring.end().await;
        Ok(())
    }

    fn missing(&self, entry: &Entry, restoring: &Restoring) -> Trouble {
        restoring.trouble().unwrap_or_else(|| {
            Trouble::new(JobCause::Other, format!("restic did not restore {}", entry.path))
        })
    }

    /// Inodes that several files of a batch share: cutting one off would cut off all.
    fn tied(&self, batch: &Batch) -> HashSet<u64> {
        let mut seen: HashMap<u64, u32> = HashMap::new();
        for entry in self.plan.entries.get(batch.range.clone()).unwrap_or_default() {
            if entry.is_file() {
                *seen.entry(entry.inode).or_default() += 1;
            }
        }
        seen.into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(inode, _)| inode)
            .collect()
    }

    /// How many bytes of the entry are there already; only the first one sent can have some.
    fn skipped(&mut self) -> u64 {
        std::mem::take(&mut self.plan.done)
    }

    async fn file(&mut self, restoring: &Restoring, entry: &Entry) -> Result<(), Trouble> {
        let Some(mut file) = restoring.open(entry) else {
            // It could not be restored; dumping it says why, or does better.
            return self.dumped(entry).await;
        };
        let skip = self.skipped();
        let size = entry.size - skip;
        self.to.begin(entry, b"", size).await?;
        file.seek(SeekFrom::Start(skip))?;
        let mut left = size;
        let mut buffer = vec![0; GATHERED.min(usize::try_from(size).unwrap_or(GATHERED))];
        while left > 0 {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                let why = format!("{} became shorter while it was read", entry.path);
                return Err(Trouble::new(JobCause::Other, why));
            }
            self.to.data(buffer.get(..count).unwrap_or_default()).await?;
            left = left.saturating_sub(count as u64);
        }
        self.to.done(entry, size).await
    }

    async fn dumped(&mut self, entry: &Entry) -> Result<(), Trouble> {
        let skip = self.skipped();
        let size = entry.size - skip.min(entry.size);
        self.to.begin(entry, b"", size).await?;
        let path = Bytes(entry.bytes().to_vec());
        let sent = dump(self.opened, self.source, self.wish.id, &path, skip, &mut *self.to).await?;
        if sent != size {
            let why = format!("restic sent {sent} bytes of {} instead of {size}", entry.path);
            return Err(Trouble::new(JobCause::Other, why));
        }
        self.to.done(entry, size).await
    }
}

/// How many bytes are free where a directory is.
fn free(dir: &std::path::Path) -> u64 {
    #[cfg(target_os = "linux")]
    {
        nix::sys::statvfs::statvfs(dir).map_or(u64::MAX, |found| {
            found.blocks_available().saturating_mul(found.fragment_size())
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        u64::MAX
    }
}

/// Writes a tar archive without its end, so that several can follow each other.
pub(super) struct Tar<'a, 'b, W> {
    answer: &'a mut Answer<'b, W>,
    /// What stands before each path.
    prefix: &'a [u8],
    gathered: Vec<u8>,
}

impl<'a, 'b, W: AsyncWrite + Unpin> Tar<'a, 'b, W> {
    pub(super) fn new(answer: &'a mut Answer<'b, W>, prefix: &'a [u8]) -> Self {
        Tar {
            answer,
            prefix,
            gathered: Vec::with_capacity(GATHERED + 4096),
        }
    }

    async fn flow(&mut self) -> Result<(), Trouble> {
        if self.gathered.len() >= GATHERED {
            self.pause().await?;
        }
        Ok(())
    }
}

impl<W: AsyncWrite + Unpin> Receiver for Tar<'_, '_, W> {
    async fn begin(&mut self, entry: &Entry, link: &[u8], size: u64) -> Result<(), Trouble> {
        let path = [self.prefix, entry.bytes()].concat();
        self.gathered.extend(tar::header(entry, &path, link, size));
        self.flow().await
    }

    async fn data(&mut self, data: &[u8]) -> Result<(), Trouble> {
        self.gathered.extend_from_slice(data);
        self.flow().await
    }

    async fn done(&mut self, _entry: &Entry, size: u64) -> Result<(), Trouble> {
        let whole = self.gathered.len() + tar::padding(size);
        self.gathered.resize(whole, 0);
        self.flow().await
    }

    async fn pause(&mut self) -> Result<(), Trouble> {
        self.answer.write(&self.gathered).await?;
        self.gathered.clear();
        Ok(())
    }
}

/// Writes one line with the SHA-256 of each file.
pub(super) struct Sums<'a, 'b, W> {
    answer: &'a mut Answer<'b, W>,
    digest: Context,
    gathered: Vec<u8>,
}

impl<'a, 'b, W: AsyncWrite + Unpin> Sums<'a, 'b, W> {
    pub(super) fn new(answer: &'a mut Answer<'b, W>) -> Self {
        Sums {
            answer,
            digest: Context::new(&SHA256),
            gathered: Vec::new(),
        }
    }
}

impl<W: AsyncWrite + Unpin> Receiver for Sums<'_, '_, W> {
    async fn begin(&mut self, _entry: &Entry, _link: &[u8], _size: u64) -> Result<(), Trouble> {
        self.digest = Context::new(&SHA256);
        Ok(())
    }

    async fn data(&mut self, data: &[u8]) -> Result<(), Trouble> {
        self.digest.update(data);
        Ok(())
    }

    async fn done(&mut self, entry: &Entry, _size: u64) -> Result<(), Trouble> {
        if entry.is_file() {
            let sha256 = hex(self.digest.clone().finish().as_ref());
            let line = json!({"path": Bytes(entry.bytes().to_vec()), "sha256": sha256});
            self.gathered.extend_from_slice(line.to_string().as_bytes());
            self.gathered.push(b'\n');
        }
        if self.gathered.len() >= GATHERED {
            self.pause().await?;
        }
        Ok(())
    }

    async fn pause(&mut self) -> Result<(), Trouble> {
        self.answer.write(&self.gathered).await?;
        self.gathered.clear();
        Ok(())
    }
}
