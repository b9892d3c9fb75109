//! What the API server asks of the node: logs, exec and connections to a pod's ports. The API server holds a
//! `dyn Kubelet`, the node implements it, and neither knows more of the other.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// One container of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container; `None` means the pod's only or default container.
    pub container: Option<String>,
}

/// How much of a log is wanted (the query of `GET …/log`).
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Keep the stream open and send new lines until the container ends.
    pub follow: bool,
    /// The previous instance of the container.
    pub previous: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<usize>,
    /// Only lines written since this moment.
    pub since: Option<jiff::Timestamp>,
    /// Start each line with its RFC 3339 time.
    pub timestamps: bool,
    /// No more than so many bytes.
    pub limit_bytes: Option<u64>,
}

/// How large the terminal of somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl TerminalSize {
    /// What is taken until the caller says something else.
    pub const USUAL: Self = Self {
        columns: 80,
        rows: 24,
    };
}

/// A command to run in a container that runs already.
pub struct ExecRequest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether a terminal is wanted.
    pub tty: bool,
    /// Standard input, where the caller sends one.
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Where standard output goes.
    pub stdout: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Where standard error goes.
    pub stderr: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// How large the caller's terminal is, and becomes.
    pub size: watch::Receiver<TerminalSize>,
}

/// Who wants to hear, and speak to, a container's own command.
pub struct AttachRequest {
    /// Standard input, where the caller sends one.
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Where standard output goes; of a terminal all output.
    pub stdout: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Where standard error goes.
    pub stderr: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// How large the caller's terminal is, and becomes.
    pub size: watch::Receiver<TerminalSize>,
}

/// Why the node could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// The pod or container is not on this node (HTTP 404).
    #[error("{0}")]
    NotFound(String),
    /// The container is not in a state that allows it (HTTP 400).
    #[error("{0}")]
    BadState(String),
    /// The operating system refused (HTTP 500).
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The node as the API server sees it.
pub trait Kubelet: Send + Sync + 'static {
    /// The container's log as raw bytes; the stream ends with the container when `follow` is set.
    fn logs(
        &self,
        target: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, KubeletError>>;

    /// Runs a command in a running container; returns its exit code.
    fn exec(&self, target: ContainerRef, request: ExecRequest) -> BoxFuture<'_, Result<i32, KubeletError>>;

    /// What the node says of its pods' volumes (`/stats/summary` of a kubelet).
    fn summary(&self) -> BoxFuture<'_, serde_json::Value>;

    /// Attaches to a running container's command until that ends.
    fn attach(&self, target: ContainerRef, request: AttachRequest)
    -> BoxFuture<'_, Result<(), KubeletError>>;

    /// Connects to a port of the pod.
    fn connect(&self, target: ContainerRef, port: u16) -> BoxFuture<'_, Result<TcpStream, KubeletError>>;
}
