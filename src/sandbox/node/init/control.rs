//! The conversation between the node and a container's first step: one JSON document per line over a socket pair
//! that is the first step's standard input. When the node's end closes (the sandbox ended, however it ended), the
//! container's first process ends too, and the kernel ends everything in its PID namespace.

use std::fmt::Display;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// From the first step to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The user namespace exists; please write its id maps and answer [`Order::Mapped`].
    MapIds,
    /// The container's first process, as the host counts.
    Pid(i32),
    /// Something is not as asked, but the container starts nonetheless.
    Warning(String),
    /// The command runs.
    Started,
    /// The command could not be started.
    Failed {
        /// What went wrong.
        message: String,
        /// 127: no such program, 126: not executable, 128: anything before that.
        code: i32,
    },
    /// The command ended.
    Exited {
        /// Its exit code; 128 + the signal's number where a signal ended it.
        code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
    },
}

/// From the node to the first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The id maps are written.
    Mapped,
    /// Send this signal to the container's command.
    Signal(i32),
}

/// Why a container could not be set up: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SetupError {
    /// What went wrong.
    pub message: String,
    /// The exit code the container gets for it.
    pub code: i32,
}

/// Says what was being done when something failed.
pub(crate) trait Explain<T> {
    /// Turns the error into a sentence that starts with `what`.
    fn explain(self, what: impl FnOnce() -> String) -> Result<T, SetupError>;
}

impl<T, E: Display> Explain<T> for Result<T, E> {
    fn explain(self, what: impl FnOnce() -> String) -> Result<T, SetupError> {
        self.map_err(|e| SetupError {
            message: format!("{}: {e}", what()),
            code: 128,
        })
    }
}

/// Writes one message as a line.
pub(crate) fn send<M: Serialize>(to: &mut impl Write, message: &M) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Collects bytes and gives whole messages back.
#[derive(Default)]
pub(crate) struct Inbox {
    pending: Vec<u8>,
}

impl Inbox {
    /// Reads once; `None` means the other end is gone. Lines that are no message are skipped.
    pub(crate) fn read<M: for<'a> Deserialize<'a>>(
        &mut self,
        from: &mut impl Read,
    ) -> io::Result<Option<Vec<M>>> {
        let mut buffer = [0u8; 4096];
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        self.pending
            .extend_from_slice(buffer.get(..count).unwrap_or_default());
        let mut messages = Vec::new();
        while let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            messages.extend(serde_json::from_slice(&line).ok());
        }
        Ok(Some(messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_being_cut_anywhere() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Order::Mapped).unwrap();
        send(&mut bytes, &Order::Signal(15)).unwrap();
        for cut in 1..bytes.len() {
            let mut inbox = Inbox::default();
            let (mut first, mut second) = bytes.split_at(cut);
            let mut all: Vec<Order> = inbox.read(&mut first).unwrap().unwrap();
            all.extend(inbox.read::<Order>(&mut second).unwrap().unwrap());
            assert_eq!(all, vec![Order::Mapped, Order::Signal(15)], "cut at {cut}");
        }
        assert!(
            Inbox::default()
                .read::<Order>(&mut io::empty())
                .unwrap()
                .is_none()
        );
    }
}
