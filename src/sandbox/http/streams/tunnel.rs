//! kubectl's port-forward: SPDY frames inside the messages of one WebSocket. Each connection that kubectl accepts
//! opens two streams with the same request id: one for what goes wrong, one for the bytes.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::channels::{CHUNK, QUEUE, goodbye, send_all};
use super::spdy::{self, Frame, Reader, Writer};
use crate::sandbox::kubelet::{ContainerRef, Kubelet};

/// The WebSocket protocol that says what is inside.
pub(super) const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";

struct Tunnel {
    kubelet: Arc<dyn Kubelet>,
    target: ContainerRef,
    queue: mpsc::Sender<Message>,
    writer: Writer,
    /// The error stream of each request.
    errors: HashMap<String, u32>,
    /// Where the bytes of each data stream go.
    connections: HashMap<u32, OwnedWriteHalf>,
    readers: JoinSet<()>,
}

/// Serves connections until the client goes away.
pub(super) async fn forward(socket: WebSocket, kubelet: Arc<dyn Kubelet>, target: ContainerRef) {
    let (sink, mut stream) = socket.split();
    let (queue, waiting) = mpsc::channel(QUEUE);
    let sending = tokio::spawn(send_all(sink, waiting));
    let mut tunnel = Tunnel {
        kubelet,
        target,
        queue: queue.clone(),
        writer: Writer::new(),
        errors: HashMap::new(),
        connections: HashMap::new(),
        readers: JoinSet::new(),
    };
    let mut reader = Reader::new();
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Binary(bytes) => {
                reader.push(&bytes);
                if let Err(error) = tunnel.take_all(&mut reader).await {
                    tracing::debug!(%error, "a port-forward ended");
                    break;
                }
            }
            Message::Close(_) => break,
            _ => {}
        }
    }
    drop(tunnel);
    let _ = queue.send(goodbye()).await;
    drop(queue);
    let _ = sending.await;
}

impl Tunnel {
    async fn take_all(&mut self, reader: &mut Reader) -> io::Result<()> {
        while let Some(frame) = reader.next()? {
            self.take(frame).await?;
        }
        while self.readers.try_join_next().is_some() {}
        Ok(())
    }

    async fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Open { stream, headers, .. } => {
                let reply = self.writer.reply(stream)?;
                self.send(reply).await?;
                let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
                if header("streamtype") == "error" {
                    self.errors.insert(header("requestid"), stream);
                    return Ok(());
                }
                let error = self.errors.remove(&header("requestid"));
                self.connect(stream, error, &header("port")).await
            }
            Frame::Data { stream, bytes, fin } => {
                let Some(to) = self.connections.get_mut(&stream) else {
                    return Ok(());
                };
                if to.write_all(&bytes).await.is_err() || fin {
                    // Dropping this half tells the program in the pod that no more comes.
                    self.connections.remove(&stream);
                }
                Ok(())
            }
            Frame::Reset { stream } => {
                self.connections.remove(&stream);
                Ok(())
            }
            Frame::Ping { frame } => self.send(frame).await,
            Frame::Other => Ok(()),
        }
    }

    async fn connect(&mut self, stream: u32, error: Option<u32>, port: &str) -> io::Result<()> {
        let connected = match port.parse() {
            Ok(number) => self.kubelet.connect(self.target.clone(), number).await,
            Err(_) => Err(io::Error::other("is not a port").into()),
        };
        match connected {
            Ok(connection) => {
                let (from, to) = connection.into_split();
                self.connections.insert(stream, to);
                self.readers.spawn(carry(from, stream, error, self.queue.clone()));
                Ok(())
            }
            Err(refused) => {
                let text = format!(
                    "error forwarding port {port} to pod {}: {refused}",
                    self.target.pod
                );
                if let Some(error) = error {
                    self.send(spdy::data(error, text.as_bytes(), true)).await?;
                }
                self.send(spdy::data(stream, &[], true)).await
            }
        }
    }

    async fn send(&self, frame: Vec<u8>) -> io::Result<()> {
        let sent = self.queue.send(Message::Binary(Bytes::from(frame))).await;
        sent.map_err(io::Error::other)
    }
}

/// Carries what the pod answers, then ends both streams.
async fn carry(mut from: OwnedReadHalf, stream: u32, error: Option<u32>, queue: mpsc::Sender<Message>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let frame = spdy::data(stream, buffer.get(..read).unwrap_or_default(), read == 0);
        if queue.send(Message::Binary(Bytes::from(frame))).await.is_err() {
            return;
        }
        if read == 0 {
            break;
        }
    }
    if let Some(error) = error {
        let frame = spdy::data(error, &[], true);
        let _ = queue.send(Message::Binary(Bytes::from(frame))).await;
    }
}
