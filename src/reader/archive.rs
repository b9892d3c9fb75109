//! The content of a snapshot's directory, entry by entry in the order of its listing: as a tar archive, or as hashes.
//!
//! The order and the bytes depend on the snapshot and the choice alone, so that an archive which broke off can go on at any
//! byte of any file. [`Content`] reads them; what it cannot read, restic is asked for.

use ring::digest::{Context, SHA256};
use serde_json::json;
use tokio::io::AsyncWrite;

use super::content::Content;
use super::entry::Entry;
use super::listing::Listing;
use super::names;
use super::native::Inside;
use super::op::{Bytes, Resume};
use super::perform::{Answer, hex};
use super::process::dump;
use super::source::{Opened, Source, Trouble};
use super::tar;
use crate::api::config::job_result::JobCause;

pub(super) use super::pattern::Choice;

/// Changes whenever the same snapshot would be sent as other bytes.
const FORM: &str = "1";
/// How much is gathered before it is sent.
const GATHERED: usize = 256 << 10;

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
    listing: Listing,
    chosen: Vec<bool>,
    done: u64,
    /// Whether this goes on with an earlier answer.
    pub(super) resumed: bool,
}

/// Finds out what of a listing there is to send.
pub(super) fn plan(listing: Listing, wish: &Wish<'_>) -> Plan {
    let entries = &listing.entries;
    let mut chosen = wish.choice.among(entries);
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
        listing,
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
    let Plan {
        listing,
        chosen,
        mut done,
        ..
    } = plan;
    let Listing {
        entries, mut insides, ..
    } = listing;
    let wanted = |at: usize| {
        let yes = chosen.get(at).copied().unwrap_or_default();
        entries.get(at).filter(|e| yes && e.travels())
    };
    // Only the first one that is sent can have arrived in part.
    let first = (0..entries.len()).find(|at| wanted(*at).is_some());
    let skip = |at: usize| wanted(at).map(|_| if Some(at) == first { done } else { 0 });
    let links = insides
        .iter_mut()
        .flatten()
        .map(|inside| std::mem::take(&mut inside.link))
        .collect();
    let mut sending = Sending {
        opened,
        source,
        id: wish.id,
        links,
        content: begin(opened, source, &entries, insides, skip).await,
        to,
    };
    for at in 0..entries.len() {
        let Some(entry) = wanted(at) else { continue };
        if entry.is_file() {
            sending.file(at, entry, std::mem::take(&mut done)).await?;
        } else {
            sending.bare(at, entry).await?;
        }
    }
    sending.to.pause().await
}

/// Sends the file that a listing is of, after its first `skip` bytes.
pub(super) async fn send_file(
    opened: &Opened,
    source: &Source,
    id: &str,
    listing: Listing,
    skip: u64,
    to: &mut impl Receiver,
) -> Result<(), Trouble> {
    let Listing { entries, insides, .. } = listing;
    let Some(entry) = entries.first() else {
        return Ok(());
    };
    let mut sending = Sending {
        opened,
        source,
        id,
        links: Vec::new(),
        content: begin(opened, source, &entries, insides, |at| (at == 0).then_some(skip)).await,
        to,
    };
    sending.file(0, entry, skip).await
}

/// Begins to read in this process; what does not come restic is asked for, file by file.
async fn begin(
    opened: &Opened,
    source: &Source,
    entries: &[Entry],
    insides: Option<Vec<Inside>>,
    wanted: impl Fn(usize) -> Option<u64>,
) -> Option<Content> {
    let native = opened.native(source).await?;
    Some(Content::begin(native, entries, insides?, wanted))
}

struct Sending<'a, R> {
    opened: &'a Opened,
    source: &'a Source,
    id: &'a str,
    /// Where symbolic links lead, by the place in the listing.
    links: Vec<Vec<u8>>,
    content: Option<Content>,
    to: &'a mut R,
}

impl<R: Receiver> Sending<'_, R> {
    /// A directory or a symbolic link.
    async fn bare(&mut self, at: usize, entry: &Entry) -> Result<(), Trouble> {
        let mut link = Vec::new();
        if !entry.is_dir() {
            link = match self.links.get_mut(at) {
                Some(link) => std::mem::take(link),
                None => names::link(self.opened, self.id, entry.bytes()).await?,
            };
        }
        self.to.begin(entry, &link, 0).await?;
        self.to.done(entry, 0).await
    }

    async fn file(&mut self, at: usize, entry: &Entry, skip: u64) -> Result<(), Trouble> {
        let skip = skip.min(entry.size);
        let size = entry.size - skip;
        self.to.begin(entry, b"", size).await?;
        let mut sent = 0;
        if size > 0
            && let Some(content) = &mut self.content
            && content.comes(at)
        {
            loop {
                if !content.is_ready() {
                    // Whoever waits for it gets what there is.
                    self.to.pause().await?;
                }
                match content.next(at).await {
                    Ok(Some(bytes)) => {
                        sent += bytes.len() as u64;
                        self.to.data(&bytes).await?;
                    }
                    Ok(None) => break,
                    Err(why) => {
                        let why = self.source.redactor.clean(&why);
                        tracing::warn!(path = entry.path, why, "restic is asked for the rest of a file");
                        break;
                    }
                }
            }
        }
        if sent < size {
            let path = Bytes(entry.bytes().to_vec());
            sent += dump(
                self.opened,
                self.source,
                self.id,
                &path,
                skip + sent,
                &mut *self.to,
            )
            .await?;
        }
        if sent != size {
            let why = format!("{sent} bytes of {} came instead of {size}", entry.path);
            return Err(Trouble::new(JobCause::Other, why));
        }
        self.to.done(entry, size).await
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
        if data.len() >= GATHERED {
            self.pause().await?;
            return self.answer.write(data).await;
        }
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
