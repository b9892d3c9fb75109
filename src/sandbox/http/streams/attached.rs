//! Attaching, to those who carry the streams of an exec: what is attached to has the same streams and ends with a status as
//! well, and only what is asked of the node differs.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, TryFutureExt};
use tokio::net::TcpStream;

use crate::sandbox::kubelet::{AttachRequest, ContainerRef, ExecRequest, Kubelet, KubeletError, LogOptions};

/// A node whose exec attaches to the container's own command.
pub(super) struct Attached(pub(super) Arc<dyn Kubelet>);

impl Kubelet for Attached {
    fn logs(
        &self,
        target: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, KubeletError>> {
        self.0.logs(target, options)
    }

    fn exec(&self, target: ContainerRef, request: ExecRequest) -> BoxFuture<'_, Result<i32, KubeletError>> {
        let request = AttachRequest {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            size: request.size,
        };
        // How the command ended is in the pod's status.
        self.0.attach(target, request).map_ok(|()| 0).boxed()
    }

    fn summary(&self) -> BoxFuture<'_, serde_json::Value> {
        self.0.summary()
    }

    fn attach(
        &self,
        target: ContainerRef,
        request: AttachRequest,
    ) -> BoxFuture<'_, Result<(), KubeletError>> {
        self.0.attach(target, request)
    }

    fn connect(&self, target: ContainerRef, port: u16) -> BoxFuture<'_, Result<TcpStream, KubeletError>> {
        self.0.connect(target, port)
    }
}
