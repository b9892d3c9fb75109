//! Commands in containers that run, over a WebSocket: bytes in, bytes out, and how it ended.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncWriteExt};

use super::kinds::POD;
use super::{Cluster, Error};

/// How long the connection may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// Room between the socket and the reader.
const BUFFER: usize = 1 << 20;

/// A command that runs. Dropping it closes the connection.
pub struct Execution {
    /// What it writes to standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// What it writes to standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    status: BoxFuture<'static, Option<i32>>,
    _process: AttachedProcess,
}

impl Execution {
    /// How it ended: its exit code, or `None` when the connection ended first.
    pub async fn code(&mut self) -> Option<i32> {
        (&mut self.status).await
    }
}

impl Cluster {
    /// Runs a command in a container that runs, with `input` on its standard input.
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
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = AttachParams {
            container: Some(container.to_owned()),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
            max_stdin_buf_size: Some(BUFFER),
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
        };
        let opening = api.exec(pod, command.iter().copied(), &params);
        let opened = tokio::time::timeout(OPEN_WITHIN, opening).await;
        let mut process = opened
            .map_err(|_| Error::TimedOut {
                what: format!("no connection into pod {pod}"),
                after: OPEN_WITHIN,
            })?
            .map_err(|e| refused(e, &self.server, pod).about(&POD, Some(namespace), Some(pod)))?;
        let lost = || Error::Other(format!("the connection into pod {pod} has no streams"));
        let mut stdin = process.stdin().ok_or_else(lost)?;
        let stdout = process.stdout().ok_or_else(lost)?;
        let stderr = process.stderr().ok_or_else(lost)?;
        let status = process.take_status().ok_or_else(lost)?;
        stdin
            .write_all(input)
            .await
            .map_err(|e| Error::Other(e.to_string()))?;
        let _ = stdin.flush().await;
        Ok(Execution {
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            // The end of standard input would be taken for the end of the connection by older servers, so it stays open.
            status: async move {
                let status = status.await;
                drop(stdin);
                status.map(|status| code(&status))
            }
            .boxed(),
            _process: process,
        })
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

fn code(status: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Status) -> i32 {
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
