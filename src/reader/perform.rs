//! Answers one question: runs restic, passes on what it prints with a hash of it, and tells its failures apart.

use std::process::Stdio;

use ring::digest::{Context, SHA256};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedSender;

use super::names::{LOST, Names};
use super::op::{Bytes, Control, LockLine, Op, Request};
use super::source::{Opened, Source, Trouble};
use crate::api::config::job_result::JobCause;
use crate::backend::join;
use crate::restic::locks::{self, Holder};
use crate::restic::look::Look;
use crate::restic::messages::{self, Message};
use crate::restic::{ResticError, errors};

/// A checkpoint follows at each multiple of so many bytes.
pub const CHECKPOINT: u64 = 16 << 20;
/// The largest answer that is held in memory.
const HELD: u64 = 64 << 20;
/// How much of what restic complains about is kept.
const KEPT: usize = 4096;

/// Where the answer goes, with its hash.
struct Answer<'a, W> {
    out: W,
    say: &'a UnboundedSender<Control>,
    digest: Context,
    bytes: u64,
}

impl<W: AsyncWrite + Unpin> Answer<'_, W> {
    async fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
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
                    sha256: hex(self.digest.clone().finish().as_ref()),
                });
            }
            rest = later;
        }
        Ok(())
    }

    async fn end(mut self) -> Result<Control, Trouble> {
        self.out.flush().await?;
        // A pipe of our own process must see its end.
        let _ = self.out.shutdown().await;
        Ok(Control::End {
            bytes: self.bytes,
            sha256: hex(self.digest.finish().as_ref()),
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
    let mut answer = Answer {
        out,
        say,
        digest: Context::new(&SHA256),
        bytes: 0,
    };
    let opened = source.open(&request.component_path).await?;
    match &request.op {
        Op::Ls { id, path, recursive } => {
            list(&opened, id, path, *recursive, &mut answer).await?;
        }
        Op::Cat { id, path } => {
            let entry = first_entry(&opened, id, path).await?;
            if !entry.contains(r#""type":"file""#) {
                let shown = String::from_utf8_lossy(&path.0);
                return Err(Trouble::new(
                    JobCause::SourceMissing,
                    format!("{shown} is no file: only files have content"),
                ));
            }
            let _ = say.send(Control::Start {
                entry,
                skipped: 0,
                version: opened.restic.program.version.clone(),
            });
            dump(&opened, source, id, path, 0, &mut answer).await?;
        }
        Op::Archive {
            id,
            path,
            skip,
            version,
        } => {
            let entry = first_entry(&opened, id, path).await?;
            let ours = &opened.restic.program.version;
            let skip = if version == ours { *skip } else { 0 };
            let _ = say.send(Control::Start {
                entry,
                skipped: skip,
                version: ours.clone(),
            });
            dump(&opened, source, id, path, skip, &mut answer).await?;
        }
        Op::Find {
            ids,
            patterns,
            ignore_case,
        } => {
            let look = Look::Find {
                ids: ids.clone(),
                patterns: patterns.iter().map(Bytes::to_os).collect(),
                ignore_case: *ignore_case,
            };
            pass_on(&look, &opened, &mut answer).await?;
        }
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
            let text = keys(&request.op, source, &request.component_path, &opened).await?;
            answer.write(text.as_bytes()).await?;
        }
        Op::Locks => {
            for line in lock_lines(&opened, source).await? {
                let mut text = serde_json::to_vec(&line).unwrap_or_default();
                text.push(b'\n');
                answer.write(&text).await?;
            }
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

/// A listing, line by line, with true names.
async fn list<W: AsyncWrite + Unpin>(
    opened: &Opened,
    id: &str,
    path: &Bytes,
    recursive: bool,
    answer: &mut Answer<'_, W>,
) -> Result<(), Trouble> {
    let look = Look::Ls {
        id: id.to_owned(),
        path: Some(path.to_os()),
        recursive,
    };
    let mut names = Names::new(id, path);
    let mut child = start(look.process(&opened.restic, false), "ls")?;
    let complaints = listen(&mut child, opened);
    let mut seen = false;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::with_capacity(64 << 10, stdout);
        let mut line = Vec::with_capacity(512);
        // Lines are gathered, so that a hundred thousand of them are not a hundred thousand writes.
        let mut block = Vec::with_capacity(64 << 10);
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).await? == 0 {
                break;
            }
            if !is_entry(&line) {
                continue;
            }
            seen = true;
            if contains(&line, LOST) {
                block.extend(names.mend(&line, opened).await?);
                block.push(b'\n');
            } else {
                block.extend_from_slice(&line);
            }
            if block.len() >= 48 << 10 {
                answer.write(&block).await?;
                block.clear();
            }
        }
        answer.write(&block).await?;
    }
    finish(child, "ls", complaints).await?;
    if seen { Ok(()) } else { Err(missing(path)) }
}

fn is_entry(line: &[u8]) -> bool {
    contains(line, br#""struct_type":"node""#) || contains(line, br#""message_type":"node""#)
}

fn contains(line: &[u8], what: &[u8]) -> bool {
    line.windows(what.len()).any(|w| w == what)
}

fn missing(path: &Bytes) -> Trouble {
    Trouble::new(
        JobCause::SourceMissing,
        format!("{} is not in this snapshot", String::from_utf8_lossy(&path.0)),
    )
}

/// The entry at a path itself, as a line of a listing.
async fn first_entry(opened: &Opened, id: &str, path: &Bytes) -> Result<String, Trouble> {
    let look = Look::Ls {
        id: id.to_owned(),
        path: Some(path.to_os()),
        recursive: false,
    };
    let text = captured(&look, opened).await?;
    let shown = String::from_utf8_lossy(&path.0);
    let mut entries = text.split(|b| *b == b'\n').filter(|line| is_entry(line));
    if shown == "/" {
        // The root itself is not listed.
        return Ok(json!({"path": "/", "type": "dir"}).to_string());
    }
    let Some(line) = entries.next() else {
        return Err(missing(path));
    };
    let line = if contains(line, LOST) {
        Names::new(id, path).mend(line, opened).await?
    } else {
        line.to_vec()
    };
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

async fn dump<W: AsyncWrite + Unpin>(
    opened: &Opened,
    source: &Source,
    id: &str,
    path: &Bytes,
    mut skip: u64,
    answer: &mut Answer<'_, W>,
) -> Result<(), Trouble> {
    let look = Look::Dump {
        id: id.to_owned(),
        path: path.to_os(),
    };
    let mut child = start(look.process(&opened.restic, source.lock), "dump")?;
    let complaints = listen(&mut child, opened);
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = stdout.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            let over = usize::try_from(skip).map_or(read, |skip| skip.min(read));
            skip -= over as u64;
            let rest = buffer.get(over..read).unwrap_or_default();
            if !rest.is_empty() {
                answer.write(rest).await?;
            }
        }
    }
    finish(child, "dump", complaints).await
}

/// Passes restic's own output on.
async fn pass_on<W: AsyncWrite + Unpin>(
    look: &Look,
    opened: &Opened,
    answer: &mut Answer<'_, W>,
) -> Result<(), Trouble> {
    let mut child = start(look.process(&opened.restic, false), look.name())?;
    let complaints = listen(&mut child, opened);
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = stdout.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            answer.write(buffer.get(..read).unwrap_or_default()).await?;
        }
    }
    finish(child, look.name(), complaints).await
}

/// All that restic prints, for small answers.
pub(super) async fn captured(look: &Look, opened: &Opened) -> Result<Vec<u8>, Trouble> {
    let mut child = start(look.process(&opened.restic, false), look.name())?;
    let complaints = listen(&mut child, opened);
    let mut text = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(HELD).read_to_end(&mut text).await?;
    }
    finish(child, look.name(), complaints).await?;
    Ok(text)
}

fn start(mut command: tokio::process::Command, action: &str) -> Result<Child, Trouble> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| ResticError::new(errors::Cause::Other, action, &e.to_string()).into())
}

/// What restic complains about, redacted.
type Complaints = tokio::task::JoinHandle<(String, Option<String>)>;

fn listen(child: &mut Child, opened: &Opened) -> Complaints {
    let redactor = opened.restic.redactor.clone();
    let stderr = child.stderr.take();
    tokio::spawn(async move {
        let (mut said, mut reason) = (String::new(), None);
        let Some(stderr) = stderr else {
            return (said, reason);
        };
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while read_line(&mut lines, &mut line).await {
            let clean = redactor.clean(&String::from_utf8_lossy(&line));
            match messages::parse(clean.trim_end()) {
                Message::ExitError(error) => reason = Some(error.message),
                Message::Error(error) => push(&mut said, &format!("{}: {}", error.item, error.message)),
                _ => push(&mut said, clean.trim_end()),
            }
            line.clear();
        }
        (said, reason)
    })
}

async fn read_line(lines: &mut BufReader<impl AsyncRead + Unpin>, line: &mut Vec<u8>) -> bool {
    matches!(lines.read_until(b'\n', line).await, Ok(count) if count > 0)
}

fn push(said: &mut String, line: &str) {
    if said.len() < KEPT {
        said.push_str(line);
        said.push('\n');
    }
}

async fn finish(mut child: Child, action: &str, complaints: Complaints) -> Result<(), Trouble> {
    let status = child.wait().await?;
    let (said, reason) = complaints.await.unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let words = reason.unwrap_or_else(|| said.clone());
    let cause = match errors::classify(status.code(), &words) {
        errors::Cause::Other => errors::of_words(&said).unwrap_or(errors::Cause::Other),
        cause => cause,
    };
    Err(ResticError::new(cause, action, &words).into())
}

/// The operations on keys; the answer is one line of JSON.
async fn keys(op: &Op, source: &Source, component: &str, opened: &Opened) -> Result<String, Trouble> {
    match op {
        Op::KeyAdd { password, user, host } => {
            if password.0.is_empty() {
                return Err(Trouble::new(
                    JobCause::Misconfigured,
                    "an empty password protects nothing",
                ));
            }
            // A second call (an interrupted rotation) finds the key of the first.
            if let Ok(id) = prove(source, component, &password.0).await {
                return Ok(json!({"id": id, "added": false}).to_string());
            }
            let file = opened.scratch().join("new-password");
            crate::mover::report::write_secret_file(
                &file,
                &crate::backend::SecretText::new(password.0.as_str()),
            )?;
            let look = Look::KeyAdd {
                file,
                user: user.clone(),
                host: host.clone(),
            };
            captured(&look, opened).await?;
            let id = prove(source, component, &password.0).await?;
            Ok(json!({"id": id, "added": true}).to_string())
        }
        Op::KeyProve { password } => {
            let id = prove(source, component, &password.0).await?;
            Ok(json!({ "id": id }).to_string())
        }
        Op::KeyRemove { id, password } => {
            let other;
            let opened = if password.0.is_empty() {
                opened
            } else {
                other = source.with_password(&password.0).open(component).await?;
                &other
            };
            if current(opened).await?.starts_with(id.as_str()) {
                return Err(Trouble::new(
                    JobCause::Misconfigured,
                    format!(
                        "key {id} is the one that opens the repository; removing it would lock everybody out"
                    ),
                ));
            }
            captured(&Look::KeyRemove { key: id.clone() }, opened).await?;
            Ok(json!({ "id": id }).to_string())
        }
        _ => Ok(String::new()),
    }
}

/// The key that a password opens.
async fn prove(source: &Source, component: &str, password: &str) -> Result<String, Trouble> {
    let opened = source.with_password(password).open(component).await?;
    current(&opened).await
}

/// The id of the key that opened the repository.
async fn current(opened: &Opened) -> Result<String, Trouble> {
    let text = captured(&Look::KeyList, opened).await?;
    let keys: Vec<serde_json::Value> = serde_json::from_slice(&text)
        .map_err(|e| Trouble::new(JobCause::Other, format!("restic's list of keys: {e}")))?;
    keys.iter()
        .find(|key| key["current"] == true)
        .and_then(|key| key["id"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| {
            Trouble::new(
                JobCause::Other,
                "restic does not say which key opened the repository",
            )
        })
}

/// The locks, each with the record of its holder where one fits.
async fn lock_lines(opened: &Opened, source: &Source) -> Result<Vec<LockLine>, Trouble> {
    let mut found = Vec::new();
    for id in locks::list(&opened.documents, &opened.dir).await? {
        let Some(lock) = opened.restic.lock(&id).await? else {
            continue;
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let mut holder = None;
        if !lock.hostname.is_empty() && lock.hostname.chars().all(plain) {
            let path = locks::record_path(&source.path, &lock.hostname);
            let record = opened.documents.get(&path).await?;
            holder = record
                .and_then(|text| serde_json::from_slice::<Holder>(&text).ok())
                .filter(|holder| holder.host == lock.hostname);
        }
        let ours = holder
            .as_ref()
            .is_some_and(|h| !source.cluster.is_empty() && h.cluster == source.cluster);
        found.push(LockLine {
            id,
            host: lock.hostname,
            time: lock.time,
            exclusive: lock.exclusive,
            holder,
            ours,
        });
    }
    Ok(found)
}
