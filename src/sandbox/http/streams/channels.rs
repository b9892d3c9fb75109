//! The channels of a WebSocket: the first byte of a message says which stream it belongs to.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{PollSendError, PollSender};

use crate::sandbox::kubelet::{ContainerRef, ExecRequest, Kubelet, TerminalSize};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// `{"Width": columns, "Height": lines}` of the client's terminal.
const RESIZE: u8 = 4;
/// Version 5: the second byte names a stream that ends.
const CLOSE: u8 = 255;

/// Room between the node and the socket.
const PIPE: usize = 256 << 10;
/// Messages that may wait for the socket.
pub(super) const QUEUE: usize = 16;
pub(super) const CHUNK: usize = 64 << 10;

/// What to run, and which streams the client wants.
pub(super) struct Exec {
    pub(super) command: Vec<String>,
    pub(super) tty: bool,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

fn framed(channel: u8, data: &[u8]) -> Message {
    let mut message = Vec::with_capacity(data.len() + 1);
    message.push(channel);
    message.extend_from_slice(data);
    Message::Binary(Bytes::from(message))
}

/// The end of a stream that ended well; kubectl takes a bare close for an error.
pub(super) fn goodbye() -> Message {
    Message::Close(Some(CloseFrame {
        code: close_code::NORMAL,
        reason: "".into(),
    }))
}

/// Runs a command; its streams and at last its status go through the socket.
pub(super) async fn exec(socket: WebSocket, kubelet: Arc<dyn Kubelet>, target: ContainerRef, wanted: Exec) {
    let (sink, stream) = socket.split();
    let (queue, waiting) = mpsc::channel(QUEUE);
    let sending = tokio::spawn(send_all(sink, waiting));
    let outlet = |on: bool, channel: u8| -> Option<Box<dyn AsyncWrite + Send + Unpin>> {
        on.then(|| Box::new(Outlet::new(channel, queue.clone())) as Box<dyn AsyncWrite + Send + Unpin>)
    };
    let stdout = outlet(wanted.stdout, STDOUT);
    let stderr = outlet(wanted.stderr, STDERR);
    let (stdin_writer, stdin) = if wanted.stdin {
        let (near, far) = tokio::io::duplex(PIPE);
        (
            Some(near),
            Some(Box::new(far) as Box<dyn AsyncRead + Send + Unpin>),
        )
    } else {
        (None, None)
    };
    let (resizing, size) = watch::channel(TerminalSize::USUAL);
    let mut receiving = tokio::spawn(receive(stream, stdin_writer, resizing));
    let request = ExecRequest {
        command: wanted.command,
        tty: wanted.tty,
        stdin,
        stdout,
        stderr,
        size,
    };
    let running = kubelet.exec(target, request);
    tokio::select! {
        result = running => {
            // All the command wrote is in the queue before its status.
            let status = match result {
                Ok(code) => exit_status(code),
                Err(error) => failure(&error.to_string()),
            };
            let _ = queue.send(framed(STATUS, status.to_string().as_bytes())).await;
            let _ = queue.send(goodbye()).await;
            receiving.abort();
        }
        // The client went away: dropping the command's future ends it.
        _ = &mut receiving => {}
    }
    drop(queue);
    let _ = sending.await;
}

fn exit_status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failure(message: &str) -> Value {
    json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "message": message, "code": 500})
}

pub(super) async fn send_all(mut sink: SplitSink<WebSocket, Message>, mut waiting: mpsc::Receiver<Message>) {
    while let Some(message) = waiting.recv().await {
        // What waits already goes with it.
        let mut fed = sink.feed(message).await;
        while let Ok(()) = fed
            && let Ok(more) = waiting.try_recv()
        {
            fed = sink.feed(more).await;
        }
        if fed.is_err() || sink.flush().await.is_err() {
            return;
        }
    }
    let _ = sink.close().await;
}

/// What is written to it goes to the socket as messages of one channel.
struct Outlet {
    channel: u8,
    queue: PollSender<Message>,
}

impl Outlet {
    fn new(channel: u8, queue: mpsc::Sender<Message>) -> Self {
        Self {
            channel,
            queue: PollSender::new(queue),
        }
    }
}

fn hung_up<T>(_: PollSendError<T>) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl AsyncWrite for Outlet {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.queue.poll_reserve(cx)).map_err(hung_up)?;
        let message = framed(self.channel, data);
        self.queue.send_item(message).map_err(hung_up)?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.close();
        Poll::Ready(Ok(()))
    }
}

/// Carries what one side writes to the socket until it ends.
async fn pump(mut from: impl AsyncRead + Unpin, channel: u8, queue: mpsc::Sender<Message>) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || queue.send(framed(channel, &buffer[..read])).await.is_err() {
            return;
        }
    }
}

/// Carries standard input to the command until the client closes it or goes away.
async fn receive(
    mut stream: SplitStream<WebSocket>,
    mut stdin: Option<DuplexStream>,
    size: watch::Sender<TerminalSize>,
) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Binary(data) = message else {
            if matches!(message, Message::Close(_)) {
                return;
            }
            continue;
        };
        match data.split_first() {
            Some((&STDIN, data)) => {
                if let Some(writer) = &mut stdin
                    && writer.write_all(data).await.is_err()
                {
                    // The command no longer reads.
                    stdin = None;
                }
            }
            Some((&CLOSE, [STDIN])) => stdin = None,
            Some((&RESIZE, data)) => {
                let _ = resized(data).map(|new| size.send(new));
            }
            _ => {}
        }
    }
}

fn resized(data: &[u8]) -> Option<TerminalSize> {
    let told: Value = serde_json::from_slice(data).ok()?;
    let number = |name: &str| u16::try_from(told.get(name)?.as_u64()?).ok().filter(|n| *n > 0);
    Some(TerminalSize {
        columns: number("Width")?,
        rows: number("Height")?,
    })
}

/// Carries connections to ports of a pod; each has a channel for data and one for its error.
pub(super) async fn forward(
    socket: WebSocket,
    kubelet: Arc<dyn Kubelet>,
    target: ContainerRef,
    ports: Vec<u16>,
) {
    let (sink, mut stream) = socket.split();
    let (queue, waiting) = mpsc::channel(QUEUE);
    let sending = tokio::spawn(send_all(sink, waiting));
    let mut readers = tokio::task::JoinSet::new();
    let mut writers = Vec::new();
    for (index, port) in ports.into_iter().enumerate() {
        let Ok(channel) = u8::try_from(index * 2) else {
            break;
        };
        // Both channels begin with the port they are about.
        for channel in [channel, channel + 1] {
            let _ = queue.send(framed(channel, &port.to_le_bytes())).await;
        }
        match kubelet.connect(target.clone(), port).await {
            Ok(connection) => {
                let (reader, writer) = connection.into_split();
                readers.spawn(pump(reader, channel, queue.clone()));
                writers.push(Some(writer));
            }
            Err(error) => {
                let text = format!("an error occurred forwarding {port}: {error}");
                let _ = queue.send(framed(channel + 1, text.as_bytes())).await;
                writers.push(None);
            }
        }
    }
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Binary(data))) => {
                    let Some((channel, data)) = data.split_first() else { continue };
                    let Some(slot) = writers.get_mut(usize::from(channel / 2)) else { continue };
                    if let Some(writer) = slot
                        && writer.write_all(data).await.is_err()
                    {
                        *slot = None;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            ended = readers.join_next() => {
                // The last connection ended, and with it the socket's purpose.
                if ended.is_none() || readers.is_empty() {
                    break;
                }
            }
        }
    }
    readers.abort_all();
    let _ = queue.send(goodbye()).await;
    drop(queue);
    let _ = sending.await;
}
