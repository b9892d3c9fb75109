//! Runs restic for one question: what it prints goes on or is kept, what it complains about becomes a cause.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader};
use tokio::process::Child;

use super::archive::Receiver;
use super::memory;
use super::op::Bytes;
use super::perform::Answer;
use super::source::{Opened, Source, Trouble};
use crate::restic::look::Look;
use crate::restic::messages::{self, Message};
use crate::restic::{ResticError, errors};

/// The largest answer that is held in memory.
const HELD: u64 = 64 << 20;
/// How much of what restic complains about is kept.
const KEPT: usize = 4096;

/// Passes restic's own output on.
pub(super) async fn pass_on<W: AsyncWrite + Unpin>(
    look: &Look,
    opened: &Opened,
    answer: &mut Answer<'_, W>,
) -> Result<(), Trouble> {
    pass_on_and_keep(look, opened, answer, None).await
}

/// As [`pass_on`], and where the answer may be kept, it is for the next time.
pub(super) async fn pass_on_and_keep<W: AsyncWrite + Unpin>(
    look: &Look,
    opened: &Opened,
    answer: &mut Answer<'_, W>,
    place: Option<&std::path::Path>,
) -> Result<(), Trouble> {
    let mut kept = Vec::new();
    let mut child = start(look.process(&opened.restic, false), look.name())?;
    let complaints = listen(&mut child, opened);
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = stdout.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            let data = buffer.get(..read).unwrap_or_default();
            answer.write(data).await?;
            if place.is_some() && kept.len() < memory::LARGEST {
                kept.extend_from_slice(data);
            }
        }
    }
    finish(child, look.name(), complaints).await?;
    if let Some(place) = place.filter(|_| kept.len() < memory::LARGEST) {
        memory::remember(place, &kept).await;
    }
    Ok(())
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

pub(super) fn start(mut command: tokio::process::Command, action: &str) -> Result<Child, Trouble> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| ResticError::new(errors::Cause::Other, action, &e.to_string()).into())
}

/// What restic complains about, redacted.
pub(super) type Complaints = tokio::task::JoinHandle<(String, Option<String>)>;

pub(super) fn listen(child: &mut Child, opened: &Opened) -> Complaints {
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

pub(super) async fn read_line(lines: &mut BufReader<impl AsyncRead + Unpin>, line: &mut Vec<u8>) -> bool {
    matches!(lines.read_until(b'\n', line).await, Ok(count) if count > 0)
}

fn push(said: &mut String, line: &str) {
    if said.len() < KEPT {
        said.push_str(line);
        said.push('\n');
    }
}

pub(super) async fn finish(mut child: Child, action: &str, complaints: Complaints) -> Result<(), Trouble> {
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

/// More room in a pipe that carries much, where the system grants it: fewer turns.
fn widen(stdout: &tokio::process::ChildStdout) {
    #[cfg(target_os = "linux")]
    let _ = nix::fcntl::fcntl(stdout, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20));
    #[cfg(not(target_os = "linux"))]
    let _ = stdout;
}

/// The content of a file after its first `skip` bytes; answers how many were sent.
pub(super) async fn dump(
    opened: &Opened,
    source: &Source,
    id: &str,
    path: &Bytes,
    mut skip: u64,
    to: &mut impl Receiver,
) -> Result<u64, Trouble> {
    let mut sent = 0;
    let look = Look::Dump {
        id: id.to_owned(),
        path: path.to_os(),
    };
    let mut child = start(look.process(&opened.restic, source.lock), "dump")?;
    let complaints = listen(&mut child, opened);
    if let Some(mut stdout) = child.stdout.take() {
        widen(&stdout);
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
                to.data(rest).await?;
                sent += rest.len() as u64;
            }
        }
    }
    finish(child, "dump", complaints).await?;
    Ok(sent)
}
