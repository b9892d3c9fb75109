//! Runs restic as a child process: with a deadline of ours, its messages handed over as they come, and its last lines kept.
//!
//! restic retries a storage that does not answer for a quarter of an hour, and a bucket that does not exist as well. So
//! its complaints are read while it runs: one that can only repeat itself (no such bucket, access denied, certificate not
//! trusted) ends the run after a few repetitions, and a storage that does not answer after [`Limits::patience`].

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::errors::{self, Cause, ResticError};
use super::messages::{self, ExitError, ItemError, Message};
use super::redact::Redactor;

/// Longer lines are cut: nothing that we read is longer.
const LINE: usize = 64 << 10;
/// How much of what restic prints is captured for commands that answer with a document.
const ANSWER: u64 = 8 << 20;
/// How many files with errors are remembered by name.
const NAMED: usize = 20;
/// How many bytes of the last lines are kept.
const TAIL: usize = 2048;
/// A complaint that can only repeat itself is believed after so many repetitions.
const REPETITIONS: u32 = 3;

/// The bounds of a run.
#[derive(Clone, Debug)]
pub struct Limits {
    /// When restic must be over.
    pub deadline: Option<Instant>,
    /// How long it may take to end after SIGTERM, before SIGKILL.
    pub grace: Duration,
    /// How long a storage may stay silent.
    pub patience: Duration,
    /// Ends the run from outside.
    pub cancel: CancellationToken,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: None,
            grace: Duration::from_secs(10),
            patience: Duration::from_secs(300),
            cancel: CancellationToken::new(),
        }
    }
}

impl Limits {
    /// The same bounds with a deadline that is not later than `most` from now.
    #[must_use]
    pub fn within(&self, most: Duration) -> Self {
        let end = Instant::now() + most;
        Self {
            deadline: Some(self.deadline.map_or(end, |deadline| deadline.min(end))),
            ..self.clone()
        }
    }
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Why we ended it, if we did.
    pub stopped: Option<Cause>,
    /// restic's own reason.
    pub exit_error: Option<ExitError>,
    /// The last summary.
    pub summary: Option<Message>,
    /// The first files with errors.
    pub errors: Vec<ItemError>,
    /// How many different files had errors.
    pub error_count: u64,
    /// What a command that answers with a document printed.
    pub answer: Vec<u8>,
    /// The last lines, redacted, oldest first.
    pub tail: VecDeque<String>,
}

impl Outcome {
    /// The last lines as one text.
    #[must_use]
    pub fn tail_text(&self) -> String {
        self.tail
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The run as a result: an error unless it ended by itself with 0.
    ///
    /// # Errors
    /// As classified.
    pub fn check(self, action: &str) -> Result<Self, ResticError> {
        match self.failure(action) {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }

    /// Why it failed; `None` when it did not.
    #[must_use]
    pub fn failure(&self, action: &str) -> Option<ResticError> {
        if self.stopped.is_none() && self.code == Some(0) {
            return None;
        }
        let tail = self.tail_text();
        let reason = self
            .exit_error
            .as_ref()
            .map_or_else(|| tail.clone(), |error| error.message.clone());
        if let Some(cause) = &self.stopped {
            let detail = self.tail.back().cloned().unwrap_or_default();
            return Some(ResticError::new(cause.clone(), action, &detail).with_tail(tail));
        }
        let cause = match self.code {
            None => Cause::Killed {
                how: "killed by a signal, perhaps because its memory limit was reached".into(),
            },
            Some(3) => Cause::Incomplete {
                files: self.errors.iter().map(|error| error.item.clone()).collect(),
                count: self.error_count,
            },
            code => match errors::classify(code, &reason) {
                Cause::Other => {
                    let all: Vec<&str> = self.errors.iter().map(|error| error.message.as_str()).collect();
                    errors::of_words(&format!("{tail}\n{}", all.join("\n"))).unwrap_or(Cause::Other)
                }
                cause => cause,
            },
        };
        Some(ResticError::new(cause, action, &reason).with_tail(tail))
    }

    fn take(&mut self, message: Message, line: &str) {
        match message {
            Message::Error(error) => {
                // A file that cannot be read is reported by the scan and again by the backup itself.
                let known = self.errors.iter().any(|seen| seen.item == error.item);
                if !known {
                    self.error_count += 1;
                    self.remember(&format!("{}: {}", error.item, error.message));
                    if self.errors.len() < NAMED {
                        self.errors.push(error);
                    }
                }
            }
            Message::ExitError(error) => {
                self.remember(&error.message);
                self.exit_error = Some(error);
            }
            Message::BackupSummary(_)
            | Message::RestoreSummary(_)
            | Message::CheckSummary(_)
            | Message::Initialized(_) => {
                self.summary = Some(message);
            }
            Message::Text(_) => self.remember(line),
            Message::Status(_) | Message::Unknown => {}
        }
    }

    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let mut line = line.to_owned();
        if line.len() > TAIL / 2 {
            line.truncate(line.floor_char_boundary(TAIL / 2));
        }
        self.tail.push_back(line);
        while self.tail.iter().map(|kept| kept.len() + 1).sum::<usize>() > TAIL {
            self.tail.pop_front();
        }
    }
}

/// What restic's complaints about the storage add up to.
#[derive(Default)]
struct Complaints {
    hopeless: u32,
    silent_since: Option<Instant>,
}

impl Complaints {
    /// Reads a line; tells when it is time to give up.
    fn hear(&mut self, line: &str, patience: Duration) -> Option<Cause> {
        if !line.contains("retrying after") && !line.contains("returned error") {
            return None;
        }
        match errors::of_words(line)? {
            Cause::Unreachable => {
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                (since.elapsed() >= patience).then_some(Cause::Unreachable)
            }
            cause @ (Cause::BucketMissing
            | Cause::AccessDenied
            | Cause::TlsUntrusted
            | Cause::NoSpace { .. }) => {
                self.hopeless += 1;
                (self.hopeless >= REPETITIONS).then_some(cause)
            }
            _ => None,
        }
    }

    /// Progress proves that the storage answers again.
    fn forget(&mut self) {
        *self = Self::default();
    }
}

enum Line {
    Out(String),
    Err(String),
}

/// Runs a prepared command to its end and hands every message over. With `capture` standard output is kept as the answer
/// instead of being read line by line.
///
/// # Errors
/// Only when the process cannot be started or waited for; everything else is in the [`Outcome`].
pub async fn run(
    mut command: Command,
    action: &str,
    capture: bool,
    limits: &Limits,
    redactor: &Redactor,
    on_message: &mut (dyn FnMut(&Message) + Send),
) -> Result<Outcome, ResticError> {
    let broken = |error: std::io::Error| ResticError::new(Cause::Other, action, &error.to_string());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    let (lines, mut incoming) = mpsc::channel(16);
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let answers = tokio::spawn(read_stdout(stdout, capture, lines.clone()));
    tokio::spawn(read_lines(stderr, lines, Line::Err));
    let mut outcome = Outcome::default();
    let mut complaints = Complaints::default();
    loop {
        let line = tokio::select! {
            line = incoming.recv() => line,
            () = limits.cancel.cancelled() => {
                outcome.stopped = Some(Cause::Killed { how: "we were asked to stop".into() });
                break;
            }
            () = until(limits.deadline) => {
                outcome.stopped = Some(Cause::Timeout);
                break;
            }
        };
        let Some(line) = line else { break };
        let (raw, from_stderr) = match line {
            Line::Out(line) => (line, false),
            Line::Err(line) => (line, true),
        };
        let clean = redactor.clean(&raw);
        if from_stderr && let Some(cause) = complaints.hear(&clean, limits.patience) {
            outcome.remember(&clean);
            outcome.stopped = Some(cause);
            break;
        }
        let message = messages::parse(&clean);
        if matches!(&message, Message::Status(status) if status.bytes_done > 0) {
            complaints.forget();
        }
        on_message(&message);
        outcome.take(message, &clean);
    }
    // Nobody reads on: the readers must not keep restic waiting on a full pipe.
    incoming.close();
    let status = if outcome.stopped.is_some() {
        stop(&mut child, limits.grace).await.map_err(broken)?
    } else {
        finish(&mut child, limits, &mut outcome).await.map_err(broken)?
    };
    outcome.code = status.code();
    if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(5), answers).await {
        outcome.answer = answer;
    }
    Ok(outcome)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits for a process that has closed its outputs, with the same bounds.
async fn finish(
    child: &mut Child,
    limits: &Limits,
    outcome: &mut Outcome,
) -> std::io::Result<std::process::ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = limits.cancel.cancelled() => outcome.stopped = Some(Cause::Killed { how: "we were asked to stop".into() }),
        () = until(limits.deadline) => outcome.stopped = Some(Cause::Timeout),
    }
    stop(child, limits.grace).await
}

/// SIGTERM, so that restic removes its lock; SIGKILL when it does not end.
async fn stop(child: &mut Child, grace: Duration) -> std::io::Result<std::process::ExitStatus> {
    #[cfg(target_os = "linux")]
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // An error means that it is gone, which is what is wanted.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
            return status;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = grace;
    child.start_kill()?;
    child.wait().await
}

async fn read_stdout(
    stdout: Option<impl AsyncRead + Unpin>,
    capture: bool,
    lines: mpsc::Sender<Line>,
) -> Vec<u8> {
    let mut answer = Vec::new();
    if capture {
        if let Some(mut stdout) = stdout {
            // A broken pipe shows in the exit code.
            let _ = (&mut stdout).take(ANSWER).read_to_end(&mut answer).await;
            let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        }
    } else {
        read_lines(stdout, lines, Line::Out).await;
    }
    answer
}

async fn read_lines(
    stream: Option<impl AsyncRead + Unpin>,
    lines: mpsc::Sender<Line>,
    wrap: fn(String) -> Line,
) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::with_capacity(8 << 10, stream);
    while let Ok(Some(line)) = next_line(&mut reader).await {
        // When nobody listens any more the stream is still drained, or restic would wait on a full pipe.
        let _ = lines.send(wrap(line)).await;
    }
}

/// One line without its end, cut at [`LINE`] bytes; `None` at the end of the stream.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(any.then(|| String::from_utf8_lossy(&line).into_owned()));
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        let room = LINE.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(chunk.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests;
