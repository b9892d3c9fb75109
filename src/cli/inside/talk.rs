//! One question and its answer, with the hashes that prove it.

use std::collections::BTreeMap;

use blake3::Hasher;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

use super::{CliError, Sink, pod};
use crate::api::config::reader::CONTAINER;
use crate::cluster::Cluster;
use crate::cluster::exec::Execution;
use crate::reader::op::{Control, Request};
use crate::reader::perform::CHECKPOINT;
use crate::reader::{Source, Trouble};

/// Room between a local restic and us.
const PIPE: usize = 1 << 20;
/// How much of it is looked at at a time.
const PIECE: usize = 256 << 10;

/// Why there is no whole answer.
pub(super) enum Fault {
    /// The reader says why.
    Said(Trouble),
    /// The connection ended first.
    Lost,
    /// The hashes differ.
    Altered {
        /// How many bytes had arrived.
        at: u64,
    },
    /// Whoever takes the answer cannot.
    Sink(CliError),
}

/// A question that has been put.
pub(super) struct Talk {
    stdout: Box<dyn AsyncBufRead + Send + Unpin>,
    controls: mpsc::UnboundedReceiver<Control>,
    execution: Option<Execution>,
    bytes: u64,
}

impl Talk {
    pub(super) async fn over_exec(
        cluster: &Cluster,
        place: &pod::Place,
        request: &Request,
    ) -> Result<Self, crate::cluster::Error> {
        let mut input =
            serde_json::to_vec(request).map_err(|e| crate::cluster::Error::Other(e.to_string()))?;
        input.push(b'\n');
        let command = ["/kubestash", "reader", "run"];
        let mut execution = cluster
            .exec(&place.namespace, &place.pod, CONTAINER, &command, &input)
            .await?;
        let empty: Box<dyn AsyncBufRead + Send + Unpin> = Box::new(tokio::io::empty());
        let stdout = std::mem::replace(&mut execution.stdout, empty);
        let empty: Box<dyn AsyncBufRead + Send + Unpin> = Box::new(tokio::io::empty());
        let stderr = std::mem::replace(&mut execution.stderr, empty);
        let (said, controls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut lines = stderr.lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // What is no message is a log line.
                if let Ok(control) = serde_json::from_str(&line)
                    && said.send(control).is_err()
                {
                    return;
                }
            }
        });
        Ok(Talk {
            stdout,
            controls,
            execution: Some(execution),
            bytes: 0,
        })
    }

    pub(super) fn local(request: Request, source: Source) -> Self {
        let (near, far) = tokio::io::duplex(PIPE);
        let (said, controls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let result = Box::pin(crate::reader::perform(&request, &source, far, &said)).await;
            let _ = said.send(result.unwrap_or_else(|trouble| Control::Failed {
                cause: trouble.cause,
                text: trouble.message,
            }));
        });
        Talk {
            stdout: Box::new(BufReader::with_capacity(PIECE, near)),
            controls,
            execution: None,
            bytes: 0,
        }
    }

    /// Whether any byte of the answer arrived.
    pub(super) fn arrived(&self) -> bool {
        self.bytes > 0
    }

    /// Hands the answer on until its end, and proves it.
    pub(super) async fn hear(&mut self, begins: bool, sink: &mut (dyn Sink + Send)) -> Result<(), Fault> {
        if begins {
            self.beginning(sink).await?;
        }
        let mut hashes = Hashes::new();
        let (mut open, mut listening, mut last) = (true, true, None);
        while open || listening {
            tokio::select! {
                read = self.stdout.fill_buf(), if open => {
                    let data = read.unwrap_or_default();
                    let count = data.len();
                    open = count > 0;
                    hashes.take(data);
                    self.bytes = hashes.bytes;
                    sink.data(data).map_err(Fault::Sink)?;
                    self.stdout.consume(count);
                }
                control = self.controls.recv(), if listening => match control {
                    Some(Control::Checkpoint { bytes, hash }) => {
                        hashes.theirs.insert(bytes, hash);
                    }
                    Some(Control::Alive | Control::Start { .. }) => {}
                    Some(end) => {
                        last = Some(end);
                        listening = false;
                    }
                    None => listening = false,
                },
            }
            if let Some(proven) = hashes.compare()? {
                sink.proven(proven).map_err(Fault::Sink)?;
            }
            // Nothing more will come after a failure.
            open &= !matches!(last, Some(Control::Failed { .. }));
        }
        match last {
            Some(Control::End { bytes, hash }) => {
                if bytes != hashes.bytes || hash != hashes.digest.finalize().to_string() {
                    return Err(Fault::Altered { at: bytes });
                }
                sink.proven(bytes).map_err(Fault::Sink)?;
                self.well_ended().await
            }
            Some(Control::Failed { cause, text }) => Err(Fault::Said(Trouble::new(cause, text))),
            _ => Err(Fault::Lost),
        }
    }

    /// Waits for the message that says what is about to come.
    async fn beginning(&mut self, sink: &mut (dyn Sink + Send)) -> Result<(), Fault> {
        loop {
            match self.controls.recv().await {
                Some(Control::Start {
                    entry,
                    resumed,
                    version,
                }) => return sink.start(&entry, resumed, &version).map_err(Fault::Sink),
                Some(Control::Failed { cause, text }) => {
                    return Err(Fault::Said(Trouble::new(cause, text)));
                }
                Some(_) => {}
                None => return Err(Fault::Lost),
            }
        }
    }

    /// The process must have ended as its last message says.
    async fn well_ended(&mut self) -> Result<(), Fault> {
        match &mut self.execution {
            None => Ok(()),
            Some(execution) => match execution.code().await {
                Some(0) => Ok(()),
                _ => Err(Fault::Lost),
            },
        }
    }
}

/// Hashes of what arrived, and of what was sent, by number of bytes.
struct Hashes {
    digest: Hasher,
    bytes: u64,
    ours: BTreeMap<u64, String>,
    theirs: BTreeMap<u64, String>,
}

impl Hashes {
    fn new() -> Self {
        Hashes {
            digest: Hasher::new(),
            bytes: 0,
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
        }
    }

    fn take(&mut self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let room = usize::try_from(CHECKPOINT - self.bytes % CHECKPOINT).unwrap_or(rest.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.digest.update(now);
            self.bytes += now.len() as u64;
            if self.bytes.is_multiple_of(CHECKPOINT) {
                self.ours.insert(self.bytes, self.digest.finalize().to_string());
            }
            rest = later;
        }
    }

    /// The largest number of bytes that is newly proven.
    fn compare(&mut self) -> Result<Option<u64>, Fault> {
        let mut proven = None;
        while let Some((bytes, theirs)) = self.theirs.first_key_value() {
            let Some(ours) = self.ours.get(bytes) else { break };
            let bytes = *bytes;
            if ours != theirs {
                return Err(Fault::Altered { at: bytes });
            }
            proven = Some(bytes);
            self.theirs.pop_first();
            self.ours.remove(&bytes);
        }
        Ok(proven)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kept {
        data: Vec<u8>,
        proven: u64,
    }

    impl Sink for Kept {
        fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
            self.data.extend_from_slice(data);
            Ok(())
        }

        fn proven(&mut self, bytes: u64) -> Result<(), CliError> {
            self.proven = bytes;
            Ok(())
        }
    }

    async fn heard(data: &'static [u8], controls: Vec<Control>) -> (Result<(), Fault>, Kept) {
        let (said, receiver) = mpsc::unbounded_channel();
        for control in controls {
            said.send(control).unwrap();
        }
        drop(said);
        let mut talk = Talk {
            stdout: Box::new(data),
            controls: receiver,
            execution: None,
            bytes: 0,
        };
        let mut kept = Kept {
            data: Vec::new(),
            proven: 0,
        };
        let result = talk.hear(false, &mut kept).await;
        (result, kept)
    }

    fn end(of: &[u8]) -> Control {
        Control::End {
            bytes: of.len() as u64,
            hash: blake3::hash(of).to_string(),
        }
    }

    #[tokio::test]
    async fn an_answer_counts_only_with_the_hash_of_all_of_it() {
        let (result, kept) = heard(b"\xff\0abc", vec![Control::Alive, end(b"\xff\0abc")]).await;
        assert!(result.is_ok());
        assert_eq!((kept.data.as_slice(), kept.proven), (&b"\xff\0abc"[..], 5));
        let (cut, _) = heard(b"ab", vec![end(b"abc")]).await;
        assert!(matches!(cut, Err(Fault::Altered { .. })));
        let (altered, _) = heard(b"abd", vec![end(b"abc")]).await;
        assert!(matches!(altered, Err(Fault::Altered { .. })));
        let (lost, kept) = heard(b"abc", vec![Control::Alive]).await;
        assert!(matches!(lost, Err(Fault::Lost)));
        assert_eq!(kept.proven, 0);
    }

    #[test]
    fn checkpoints_prove_what_lies_before_them_in_either_order() {
        let block = vec![7; usize::try_from(CHECKPOINT).unwrap() + 10];
        let first = blake3::hash(&block[..block.len() - 10]).to_string();
        let mut hashes = Hashes::new();
        hashes.theirs.insert(CHECKPOINT, first.clone());
        assert!(matches!(hashes.compare(), Ok(None)), "not arrived yet");
        hashes.take(&block);
        assert!(matches!(hashes.compare(), Ok(Some(CHECKPOINT))));
        let mut other = Hashes::new();
        other.take(&block);
        other.theirs.insert(CHECKPOINT, first.replace(&first[..1], "x"));
        assert!(matches!(other.compare(), Err(Fault::Altered { .. })));
    }
}
