//! Commands in containers that run, over a WebSocket: bytes in, bytes out, and how it ended.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Resource as _;
use kube::api::{AttachParams, Request};
use kube::client::Connection;
use tokio::io::AsyncBufRead;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::io::StreamReader;

use super::kinds::POD;
use super::{Cluster, Error};

/// How long the connection may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// A connection on which nothing moves is kept open.
const PING_EVERY: Duration = Duration::from_secs(60);
/// How many messages may wait for their reader; servers send up to a quarter of a megabyte at a time.
const WAITING: usize = 32;

/// The first byte of a message says which stream it belongs to.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// A command that runs. Dropping it closes the connection.
pub struct Execution {
    /// What it writes to standard output.
    pub stdout: Box<dyn AsyncBufRead + Send + Unpin>,
    /// What it writes to standard error.
    pub stderr: Box<dyn AsyncBufRead + Send + Unpin>,
    status: oneshot::Receiver<Status>,
    carrying: AbortHandle,
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Execution {
    /// How it ended: its exit code, or `None` when the connection ended first.
    pub async fn code(&mut self) -> Option<i32> {
        (&mut self.status).await.ok().map(|status| code(&status))
    }
}

impl Cluster {
    /// Runs a command in a container that runs, with `input` on its standard input, which then stays open.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the pod is gone; see [`Error`].
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[&str],
        input: &[u8],
    ) -> Result<Execution, Error> {
        let params = AttachParams {
            container: Some(container.to_owned()),
            stdin: true,
            stdout: true,
            stderr: true,
            ..AttachParams::default()
        };
        let request = Request::new(Pod::url_path(&(), Some(namespace)))
            .exec(pod, command.iter().copied(), &params)
            .map_err(|e| Error::Other(e.to_string()))?;
        let opened = tokio::time::timeout(OPEN_WITHIN, self.client.connect(request)).await;
        let connection = opened
            .map_err(|_| Error::TimedOut {
                what: format!("no connection into pod {pod}"),
                after: OPEN_WITHIN,
            })?
            .map_err(|e| refused(e, &self.server, pod).about(&POD, Some(namespace), Some(pod)))?;
        let (outlet, stdout) = stream();
        let (errors, stderr) = stream();
        let (tell, status) = oneshot::channel();
        let input = [&[STDIN], input].concat();
        let carrying = tokio::spawn(async move {
            if let Some(status) = carry(connection, input, [outlet, errors]).await {
                let _ = tell.send(status);
            }
        });
        Ok(Execution {
            stdout,
            stderr,
            status,
            carrying: carrying.abort_handle(),
        })
    }
}

/// One of the command's streams, with its end.
fn stream() -> (mpsc::Sender<Bytes>, Box<dyn AsyncBufRead + Send + Unpin>) {
    let (say, mut heard) = mpsc::channel(WAITING);
    let pieces = futures::stream::poll_fn(move |cx| heard.poll_recv(cx));
    (say, Box::new(StreamReader::new(pieces.map(io::Result::Ok))))
}

/// Carries messages until the command ends, the connection does, or nobody reads.
async fn carry(
    connection: Connection,
    input: Vec<u8>,
    [stdout, stderr]: [mpsc::Sender<Bytes>; 2],
) -> Option<Status> {
    let (mut send, mut received) = connection.into_stream().split();
    // The end of standard input would be taken for the end of the connection by older servers, so it stays open.
    send.send(Message::Binary(input.into())).await.ok()?;
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset();
    loop {
        let message = tokio::select! {
            message = received.next() => message?.ok()?,
            _ = ping.tick() => {
                send.send(Message::Ping(Bytes::new())).await.ok()?;
                continue;
            }
        };
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => text.into(),
            Message::Close(_) => return None,
            _ => continue,
        };
        match data.first() {
            Some(&STDOUT) => stdout.send(data.slice(1..)).await.ok()?,
            Some(&STDERR) => stderr.send(data.slice(1..)).await.ok()?,
            Some(&STATUS) => return serde_json::from_slice(data.get(1..)?).ok(),
            _ => {}
        }
    }
}

/// A refused upgrade says only its HTTP status.
fn refused(error: kube::Error, server: &str, pod: &str) -> Error {
    let text = error.to_string();
    if text.contains("403") {
        return Error::Forbidden {
            message: format!("pods \"{pod}\" is forbidden: you may not create pods/exec"),
        };
    }
    if text.contains("404") {
        return Error::NotFound { what: pod.to_owned() };
    }
    Error::from_kube(error, server)
}

fn code(status: &Status) -> i32 {
    if status.status.as_deref() == Some("Success") {
        return 0;
    }
    let causes = status.details.as_ref().and_then(|d| d.causes.as_ref());
    causes
        .into_iter()
        .flatten()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .and_then(|cause| cause.message.as_deref()?.parse().ok())
        .unwrap_or(1)
}
