//! Logs, exec and port-forward, through a node that is made up here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, LogParams, PostParams};
use kubestash::sandbox::kubelet::{
    AttachRequest, ContainerRef, ExecRequest, Kubelet, KubeletError, LogOptions,
};
use kubestash::sandbox::{Identity, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{account, server};

const LIMIT: Duration = Duration::from_secs(20);

/// Its logs tell what was asked; its only command copies input to output in upper case; its port echoes.
pub(super) struct Node {
    port: u16,
}

impl Node {
    pub(super) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        Arc::new(Self { port })
    }
}

impl Kubelet for Node {
    fn logs(
        &self,
        target: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, KubeletError>> {
        async move {
            if options.previous {
                return Err(KubeletError::BadState(
                    "previous terminated container not found".into(),
                ));
            }
            let lines = vec![
                format!("container {}\n", target.container.unwrap_or_default()),
                format!("follow {} tail {:?}\n", options.follow, options.tail_lines),
            ];
            Ok(futures::stream::iter(lines.into_iter().map(|l| Ok(Bytes::from(l)))).boxed())
        }
        .boxed()
    }

    fn attach(&self, _: ContainerRef, _: AttachRequest) -> BoxFuture<'_, Result<(), KubeletError>> {
        async move { Err(KubeletError::BadState("nothing runs here".into())) }.boxed()
    }

    fn exec(&self, _: ContainerRef, mut request: ExecRequest) -> BoxFuture<'_, Result<i32, KubeletError>> {
        async move {
            let mut text = String::new();
            if let Some(mut stdin) = request.stdin.take() {
                stdin.read_to_string(&mut text).await?;
            }
            if let Some(mut stdout) = request.stdout.take() {
                stdout.write_all(text.to_uppercase().as_bytes()).await?;
            }
            if let Some(mut stderr) = request.stderr.take() {
                stderr.write_all(request.command.join(" ").as_bytes()).await?;
            }
            Ok(request.command.len() as i32 - 1)
        }
        .boxed()
    }

    fn summary(&self) -> BoxFuture<'_, serde_json::Value> {
        Box::pin(async { serde_json::json!({"pods": []}) })
    }

    fn connect(&self, _: ContainerRef, port: u16) -> BoxFuture<'_, Result<TcpStream, KubeletError>> {
        async move {
            if port == 1 {
                return Err(KubeletError::NotFound("nothing listens there".into()));
            }
            Ok(TcpStream::connect(("127.0.0.1", self.port)).await?)
        }
        .boxed()
    }
}

/// Gives a server a node and a pod on it.
pub(super) async fn with_pod(server: &Server) -> Api<Pod> {
    server.set_kubelet(Node::start().await);
    let client = server.client(Identity::Admin);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "x"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    pods
}

async fn pods() -> Api<Pod> {
    let server = server();
    account(&server.client(Identity::Admin), "default", "default").await;
    with_pod(&server).await
}

#[tokio::test]
async fn logs_come_as_asked() {
    let pods = pods().await;
    let params = LogParams {
        follow: true,
        tail_lines: Some(3),
        ..LogParams::default()
    };
    assert_eq!(
        pods.logs("p", &params).await.unwrap(),
        "container a\nfollow true tail Some(3)\n"
    );
    let previous = LogParams {
        previous: true,
        ..LogParams::default()
    };
    assert!(
        pods.logs("p", &previous)
            .await
            .unwrap_err()
            .to_string()
            .contains("previous terminated container not found")
    );
    let wrong = LogParams {
        container: Some("zz".into()),
        ..LogParams::default()
    };
    assert!(
        pods.logs("p", &wrong)
            .await
            .unwrap_err()
            .to_string()
            .contains("container zz is not valid for pod p")
    );
}

#[tokio::test]
async fn exec_carries_streams_and_the_exit_code() {
    let pods = pods().await;
    let params = AttachParams::default().stdin(true).stdout(true).stderr(true);
    let mut process = pods.exec("p", ["one", "two"], &params).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let mut out = String::new();
    let mut stdout = process.stdout().unwrap();
    tokio::time::timeout(LIMIT, stdout.read_to_string(&mut out))
        .await
        .unwrap()
        .unwrap();
    let mut err = String::new();
    process.stderr().unwrap().read_to_string(&mut err).await.unwrap();
    let status = process.take_status().unwrap().await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("HELLO", "one two"));
    assert_eq!(status.status.as_deref(), Some("Failure"));
    assert_eq!(
        status.details.unwrap().causes.unwrap()[0].message.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn ports_are_forwarded() {
    let pods = pods().await;
    let mut forwarder = pods.portforward("p", &[8080, 1]).await.unwrap();
    let failed = forwarder.take_error(1).unwrap();
    let mut stream = forwarder.take_stream(8080).unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    tokio::time::timeout(
        LIMIT,
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(&answer, b"ping");
    let said = tokio::time::timeout(LIMIT, failed).await.unwrap();
    assert!(said.unwrap().contains("nothing listens there"));
}
