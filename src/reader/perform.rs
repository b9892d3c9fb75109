//! Answers one question: runs restic, passes on what it prints with a hash of it, and tells its failures apart.

use blake3::Hasher;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedSender;

use super::archive::{self, Receiver, Sums, Tar, Wish};
use super::entry::Entry;
use super::keys;
use super::listing::{self, Asked};
use super::op::{Control, Op, Request};
use super::process::pass_on;
use super::search;
use super::source::{Opened, Source, Trouble};
use crate::api::config::job_result::JobCause;
use crate::backend::join;
use crate::restic::look::Look;

/// A checkpoint follows at each multiple of so many bytes.
pub const CHECKPOINT: u64 = 16 << 20;

/// Where the answer goes, with its hash.
pub(super) struct Answer<'a, W> {
    out: W,
    say: &'a UnboundedSender<Control>,
    digest: Hasher,
    bytes: u64,
}

impl<'a, W: AsyncWrite + Unpin> Answer<'a, W> {
    /// Nothing was sent yet.
    pub(super) fn new(out: W, say: &'a UnboundedSender<Control>) -> Self {
        Answer {
            out,
            say,
            digest: Hasher::new(),
            bytes: 0,
        }
    }

    /// Sends bytes.
    pub(super) async fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
        let gone = |e: std::io::Error| Trouble::new(JobCause::Killed, format!("nobody reads any more: {e}"));
        let mut rest = data;
        while !rest.is_empty() {
            // Exactly at the boundary, so that the other side can take its own hash there.
            let room = usize::try_from(CHECKPOINT - self.bytes % CHECKPOINT).unwrap_or(rest.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.out.write_all(now).await.map_err(gone)?;
            self.digest.update(now);
            self.bytes += now.len() as u64;
            if self.bytes.is_multiple_of(CHECKPOINT) {
                let _ = self.say.send(Control::Checkpoint {
                    bytes: self.bytes,
                    hash: self.digest.finalize().to_string(),
                });
            }
            rest = later;
        }
        Ok(())
    }

    /// All was sent.
    pub(super) async fn end(mut self) -> Result<Control, Trouble> {
        self.out.flush().await?;
        // A pipe of our own process must see its end.
        let _ = self.out.shutdown().await;
        Ok(Control::End {
            bytes: self.bytes,
            hash: self.digest.finalize().to_string(),
        })
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Answers a request into `out` and returns the last message.
///
/// # Errors
/// Why there is no answer, or only a part of one.
pub async fn perform(
    request: &Request,
    source: &Source,
    out: impl AsyncWrite + Unpin,
    say: &UnboundedSender<Control>,
) -> Result<Control, Trouble> {
    let mut answer = Answer::new(out, say);
    let opened = source.open(&request.component_path).await?;
    match &request.op {
        Op::Ls { id, path, recursive } => {
            let asked = Asked {
                opened: &opened,
                source,
                id,
                path,
                recursive: *recursive,
            };
            listing::list(&asked, &mut answer).await?;
        }
        Op::Cat { id, path } => {
            let mut listed = listing::entries(&opened, source, id, path, true).await?;
            if !listed.entries.first().is_some_and(Entry::is_file) {
                let shown = String::from_utf8_lossy(&path.0);
                return Err(Trouble::new(
                    JobCause::SourceMissing,
                    format!("{shown} is no file: only files have content"),
                ));
            }
            begin(say, std::mem::take(&mut listed.first), false, String::new());
            archive::send_file(&opened, source, id, listed, 0, &mut answer).await?;
        }
        Op::Archive { .. } => archived(&request.op, &opened, source, &mut answer).await?,
        Op::Sums { id, path } => {
            let wish = Wish {
                id,
                choice: &archive::Choice::default(),
                resume: None,
            };
            let listed = listing::entries(&opened, source, id, path, false).await?;
            let plan = archive::plan(listed, &wish);
            archive::send(&opened, source, &wish, plan, &mut Sums::new(&mut answer)).await?;
        }
        Op::Find { .. } => search::search(&request.op, &opened, source, &mut answer).await?,
        Op::Diff { from, to } => {
            let look = Look::Diff {
                from: from.clone(),
                to: to.clone(),
            };
            pass_on(&look, &opened, &mut answer).await?;
        }
        Op::Snapshots => pass_on(&Look::Snapshots, &opened, &mut answer).await?,
        Op::Stats => pass_on(&Look::Stats, &opened, &mut answer).await?,
        Op::Check { read_data } => {
            let look = Look::Check {
                read_data: *read_data,
            };
            pass_on(&look, &opened, &mut answer).await?;
        }
        Op::Keys => pass_on(&Look::KeyList, &opened, &mut answer).await?,
        Op::KeyAdd { .. } | Op::KeyProve { .. } | Op::KeyRemove { .. } => {
            let text = keys::perform(&request.op, source, &request.component_path, &opened).await?;
            answer.write(text.as_bytes()).await?;
        }
        Op::Locks => {
            for line in keys::lock_lines(&opened, source).await? {
                let mut text = serde_json::to_vec(&line).unwrap_or_default();
                text.push(b'\n');
                answer.write(&text).await?;
            }
        }
        Op::LiveList { .. } | Op::LiveSums { .. } | Op::Leave => {
            return Err(Trouble::new(
                JobCause::Misconfigured,
                "this reader opens a repository and shows no volume",
            ));
        }
        Op::LockRemove { id } => {
            if id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(Trouble::new(JobCause::Misconfigured, format!("{id} is no lock")));
            }
            opened.documents.delete(&join([&opened.dir, "locks", id])).await?;
        }
    }
    answer.end().await
}

fn begin(say: &UnboundedSender<Control>, entry: String, resumed: bool, version: String) {
    // Whoever does not listen any more notices at the next byte.
    let _ = say.send(Control::Start {
        entry,
        resumed,
        version,
    });
}

/// A tar archive of a directory, or the bytes of a file.
async fn archived<W: AsyncWrite + Unpin>(
    op: &Op,
    opened: &Opened,
    source: &Source,
    answer: &mut Answer<'_, W>,
) -> Result<(), Trouble> {
    let Op::Archive {
        id,
        path,
        choice,
        prefix,
        resume,
        version,
    } = op
    else {
        return Ok(());
    };
    let mut listed = listing::entries(opened, source, id, path, false).await?;
    let first = std::mem::take(&mut listed.first);
    let ours = archive::version(choice);
    let resume = resume.as_ref().filter(|_| *version == ours);
    if path.0 != b"/" && listed.entries.first().is_some_and(Entry::is_file) {
        let skip = resume.and_then(|r| r.done).unwrap_or_default();
        begin(answer.say, first, skip > 0, ours);
        return archive::send_file(opened, source, id, listed, skip, answer).await;
    }
    let wish = Wish { id, choice, resume };
    let plan = archive::plan(listed, &wish);
    begin(answer.say, first, plan.resumed, ours);
    archive::send(opened, source, &wish, plan, &mut Tar::new(answer, &prefix.0)).await
}

/// Content as it is.
impl<W: AsyncWrite + Unpin> Receiver for Answer<'_, W> {
    async fn begin(&mut self, _entry: &Entry, _link: &[u8], _size: u64) -> Result<(), Trouble> {
        Ok(())
    }

    async fn data(&mut self, data: &[u8]) -> Result<(), Trouble> {
        self.write(data).await
    }

    async fn done(&mut self, _entry: &Entry, _size: u64) -> Result<(), Trouble> {
        Ok(())
    }

    async fn pause(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}
