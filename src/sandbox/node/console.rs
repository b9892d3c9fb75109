//! The two ends of a container's streams beside its log: whoever is attached hears what it writes, and may write into a
//! container that asked for standard input (`stdin`) or a terminal (`tty`).
//!
//! The command's end of its input is a named pipe or a terminal whose path its first step opens. Ours stays open until
//! somebody who attached is done with it, where the pod says so (`stdinOnce`), or the container ends. A slow listener slows
//! the container down; one that went away is forgotten. What an interactive container writes before anybody is attached is
//! kept for the first who comes, up to a bound: the fast answer of a `kubectl run -it` would be lost otherwise.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::terminal::{self, Terminal};
use crate::sandbox::kubelet::{AttachRequest, KubeletError, TerminalSize};

/// Chunks that may wait for one listener.
const QUEUE: usize = 16;
/// So much is kept for the first listener.
const KEPT: usize = 256 << 10;
const CHUNK: usize = 16 << 10;

/// One of a container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// What somebody who attaches hears.
struct Ears {
    /// What was written before.
    early: Vec<(Stream, Bytes)>,
    /// What is written from now on, stream by stream.
    receivers: Vec<(Stream, mpsc::Receiver<Bytes>)>,
}

/// Who listens to a container, and how it is written to.
pub(crate) struct Console {
    input: Mutex<Option<Input>>,
    listeners: Mutex<Listeners>,
    /// Our end of its terminal, to tell it other sizes.
    terminal: Mutex<Option<OwnedFd>>,
}

#[derive(Default)]
struct Listeners {
    all: Vec<(Stream, mpsc::Sender<Bytes>)>,
    /// What was written before anybody listened; `None` where nothing is kept (any more).
    early: Option<Vec<(Stream, Bytes)>>,
    ended: bool,
}

/// What a container's start needs of its console.
pub(crate) struct Opened {
    pub(crate) console: Arc<Console>,
    /// What the command opens as its input; as all its streams where it is a terminal.
    pub(crate) path: Option<PathBuf>,
    /// Where the output of a terminal is read.
    pub(crate) terminal: Option<OwnedFd>,
    /// Kept until the command has opened the terminal: without anybody at its other end it reads as closed.
    pub(crate) other_end: Option<OwnedFd>,
}

/// Makes what a container with these wishes needs, in its own directory.
pub(crate) fn open(dir: &Path, stdin: bool, tty: bool) -> io::Result<Opened> {
    let console = |input: Option<Input>, terminal: Option<OwnedFd>| {
        Arc::new(Console {
            listeners: Mutex::new(Listeners {
                early: (stdin || tty).then(Vec::new),
                ..Listeners::default()
            }),
            input: Mutex::new(input),
            terminal: Mutex::new(terminal),
        })
    };
    if tty {
        let pty = Terminal::of_computer()?;
        terminal::resize(&pty.master, TerminalSize::USUAL)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd()))?;
        let writing = fs::File::from(pty.master.try_clone()?);
        let input = stdin.then(|| Box::new(tokio::fs::File::from_std(writing)) as Input);
        let resized = pty.master.try_clone()?;
        return Ok(Opened {
            console: console(input, Some(resized)),
            path: Some(path),
            terminal: Some(pty.master),
            other_end: Some(pty.slave),
        });
    }
    let mut path = None;
    let mut input = None;
    if stdin {
        let pipe_path = dir.join("stdin");
        mkfifo(&pipe_path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Opened for both, so that it can be opened before the command opens its end.
        let sender = pipe::OpenOptions::new()
            .read_write(true)
            .open_sender(&pipe_path)?;
        input = Some(Box::new(sender) as Input);
        path = Some(pipe_path);
    }
    Ok(Opened {
        console: console(input, None),
        path,
        terminal: None,
        other_end: None,
    })
}

impl Console {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn input(&self) -> MutexGuard<'_, Option<Input>> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn terminal(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives its terminal, where it has one, the sizes that are told; never ends.
    async fn resize(&self, mut size: watch::Receiver<TerminalSize>) {
        while size.changed().await.is_ok() {
            let now = *size.borrow_and_update();
            if let Some(terminal) = &*self.terminal() {
                // It may have ended a moment ago.
                let _ = terminal::resize(terminal, now);
            }
        }
        std::future::pending::<()>().await;
    }

    /// Tells everybody who listens to a stream what was written there.
    pub(crate) async fn deliver(&self, stream: Stream, text: &[u8]) {
        let listening: Vec<_> = {
            let mut listeners = self.listeners();
            if let Some(early) = &mut listeners.early {
                let kept: usize = early.iter().map(|(_, chunk)| chunk.len()).sum();
                if kept + text.len() <= KEPT {
                    early.push((stream, Bytes::copy_from_slice(text)));
                }
                return;
            }
            listeners.all.retain(|(_, sender)| !sender.is_closed());
            let wanted = listeners.all.iter().filter(|(of, _)| *of == stream);
            wanted.map(|(_, sender)| sender.clone()).collect()
        };
        if listening.is_empty() {
            return;
        }
        let text = Bytes::copy_from_slice(text);
        for sender in listening {
            // One that went away meanwhile is forgotten the next time.
            let _ = sender.send(text.clone()).await;
        }
    }

    /// Nothing more will be written.
    pub(crate) fn end(&self) {
        let mut listeners = self.listeners();
        listeners.all.clear();
        listeners.ended = true;
        self.input().take();
        self.terminal().take();
    }

    fn listen(&self, streams: &[Stream]) -> Ears {
        let mut listeners = self.listeners();
        let early = listeners.early.take().unwrap_or_default();
        let mut receivers = Vec::new();
        for stream in streams {
            let (sender, receiver) = mpsc::channel(QUEUE);
            if !listeners.ended {
                listeners.all.push((*stream, sender));
            }
            receivers.push((*stream, receiver));
        }
        Ears { early, receivers }
    }
}

/// The input while somebody is attached. Afterwards it is closed where the pod says so, and otherwise given back.
struct Held<'a> {
    console: &'a Console,
    input: Option<Input>,
    once: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let input = self.input.take();
        if !self.once && !self.console.listeners().ended {
            *self.console.input() = input;
        }
    }
}

/// Serves `kubectl attach` until the container ends or the caller goes away.
pub(crate) async fn attach(
    console: &Console,
    once: bool,
    request: AttachRequest,
) -> Result<(), KubeletError> {
    let mut wanted = Vec::new();
    wanted.extend(request.stdout.is_some().then_some(Stream::Out));
    wanted.extend(request.stderr.is_some().then_some(Stream::Err));
    let Ears { early, receivers } = console.listen(&wanted);
    let (mut out, mut err) = (request.stdout, request.stderr);
    for (stream, chunk) in early {
        let writer = match stream {
            Stream::Out => &mut out,
            Stream::Err => &mut err,
        };
        if let Some(writer) = writer {
            writer.write_all(&chunk).await?;
        }
    }
    let mut pumps = Vec::new();
    for (stream, receiver) in receivers {
        let writer = match stream {
            Stream::Out => out.take(),
            Stream::Err => err.take(),
        };
        pumps.extend(writer.map(|writer| pump(receiver, writer)));
    }
    let only_speaks = pumps.is_empty();
    let feeding = async {
        if let Some(mut from) = request.stdin {
            let mut held = Held {
                console,
                input: console.input().take(),
                once,
            };
            let mut buffer = vec![0u8; CHUNK];
            while let (Some(to), Ok(count)) = (&mut held.input, from.read(&mut buffer).await) {
                let chunk = buffer.get(..count).unwrap_or_default();
                if count == 0 || to.write_all(chunk).await.is_err() || to.flush().await.is_err() {
                    break;
                }
            }
        }
        if !only_speaks {
            // The output goes on without input.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = futures::future::join_all(pumps), if !only_speaks => {}
        () = feeding => {}
        () = console.resize(request.size) => {}
    }
    Ok(())
}

async fn pump(mut from: mpsc::Receiver<Bytes>, mut to: Input) {
    while let Some(chunk) = from.recv().await {
        if to.write_all(&chunk).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_who_listens_hears_what_was_said_before() {
        let dir = tempfile::tempdir().unwrap();
        let opened = open(dir.path(), true, false).unwrap();
        let console = opened.console;
        console.deliver(Stream::Out, b"early ").await;
        let (near, mut far) = tokio::io::duplex(1024);
        let request = AttachRequest {
            stdin: None,
            stdout: Some(Box::new(near)),
            stderr: None,
            size: watch::channel(TerminalSize::USUAL).1,
        };
        let listening = Arc::clone(&console);
        let attached = tokio::spawn(async move { attach(&listening, false, request).await });
        while console.listeners().early.is_some() {
            tokio::task::yield_now().await;
        }
        console.deliver(Stream::Err, b"not asked for").await;
        console.deliver(Stream::Out, b"late").await;
        console.end();
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "early late");
        attached.await.unwrap().unwrap();
        // Without anybody to hear, nothing waits.
        console.deliver(Stream::Out, b"too late").await;
    }

    #[tokio::test]
    async fn input_is_closed_after_the_first_where_the_pod_says_so() {
        for once in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let opened = open(dir.path(), true, false).unwrap();
            let mut command_end = tokio::fs::File::open(opened.path.unwrap()).await.unwrap();
            let console = opened.console;
            let request = AttachRequest {
                stdin: Some(Box::new(&b"text"[..])),
                stdout: None,
                stderr: None,
                size: watch::channel(TerminalSize::USUAL).1,
            };
            attach(&console, once, request).await.unwrap();
            assert_eq!(console.input().is_none(), once);
            if once {
                let mut read = String::new();
                command_end.read_to_string(&mut read).await.unwrap();
            }
        }
    }
}
