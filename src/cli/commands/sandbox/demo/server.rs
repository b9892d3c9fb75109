//! The S3 server of the demo: a program of this computer on a free loopback port, ended with the demo.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

/// The bucket that is made.
pub(super) const BUCKET: &str = "demo-backups";
/// Its keys: the server takes any.
pub(super) const KEY: &str = "demo";
/// Its keys: the server takes any.
pub(super) const SECRET: &str = "demo-secret";

/// A running server.
pub(super) struct ObjectServer {
    endpoint: String,
    // Ends the server when the demo ends, however that happens.
    _child: Child,
}

impl ObjectServer {
    /// Starts the server if there is one, and makes the bucket; `None` when there is none or it does not answer in time.
    pub(super) async fn start(logs: &Path) -> Option<Self> {
        let program = std::env::var("KUBESTASH_S3_SERVER").unwrap_or_else(|_| "moto_server".to_owned());
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .ok()?
            .local_addr()
            .ok()?
            .port();
        let log = std::fs::File::create(logs.join("s3.log")).ok()?;
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().ok()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let server = ObjectServer {
            endpoint: format!("http://127.0.0.1:{port}"),
            _child: child,
        };
        server
            .make_bucket(Duration::from_secs(30))
            .await
            .then_some(server)
    }

    /// Where it listens, as a URL.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    async fn make_bucket(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let url = format!("{}/{BUCKET}", self.endpoint);
        while Instant::now() < end {
            if let Ok(answer) = reqwest::Client::new().put(&url).send().await {
                return answer.status().is_success();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}
