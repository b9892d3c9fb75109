//! Azure's protocol, as azurite (npm) speaks it, against our own storage code. The restic of distributions is built
//! without Azure, so what restic is given is proved by assertion beside the code.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kubestash::api::config::job_plan::{PlanAzure, PlanStorage};
use kubestash::backend::{Documents, Problem, SecretValues, Storage};

use super::fixture::await_that;
use super::s3::free_port;

const ACCOUNT: &str = "backups1";
const KEY: &str = "a2V5LW9mLXRlc3RzLWFuZC1ub3RoaW5nLWVsc2U=";

/// Signs and sends the request that makes a container: our own code has none. Arguments: port, account, key, name.
const MAKE_CONTAINER: &str = r"
const crypto = require('crypto'), http = require('http');
const [port, account, key, name] = process.argv.slice(1);
const date = new Date().toUTCString(), version = '2021-10-04';
const text = 'PUT' + '\n'.repeat(12) + `x-ms-date:${date}\nx-ms-version:${version}\n/${account}/${account}/${name}\nrestype:container`;
const signature = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(text).digest('base64');
http.request({host: '127.0.0.1', port, method: 'PUT', path: `/${account}/${name}?restype=container`, headers: {
  'x-ms-date': date, 'x-ms-version': version, 'Content-Length': 0, Authorization: `SharedKey ${account}:${signature}`}},
  answer => process.exit(answer.statusCode === 201 ? 0 : 1)).end();
";

/// azurite, ended when dropped.
struct Azurite {
    child: Child,
    port: u16,
}

impl Azurite {
    fn start() -> Option<Self> {
        let program = std::env::var_os("KUBESTASH_AZURITE").map_or_else(
            || {
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("target/tools/azure/node_modules/.bin/azurite-blob")
            },
            PathBuf::from,
        );
        let port = free_port();
        let started = Command::new(&program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .args([
                "--inMemoryPersistence",
                "--skipApiVersionCheck",
                "--silent",
                "--disableTelemetry",
            ])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            eprintln!("SKIPPED: azurite (npm) is not installed; scripts/need azure installs it");
            return None;
        };
        let azurite = Self { child, port };
        await_that("the start of azurite", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(azurite)
    }

    fn make_container(&self, name: &str) {
        let made = Command::new("node")
            .args(["-e", MAKE_CONTAINER, &self.port.to_string(), ACCOUNT, KEY, name])
            .status()
            .unwrap();
        assert!(made.success());
    }

    fn documents(&self, container: &str, key: &str) -> Documents {
        let storage = Storage {
            label: "BackupStorage demo/azure".into(),
            spec: PlanStorage {
                provider: "azure".into(),
                azure: Some(PlanAzure {
                    storage_account: ACCOUNT.into(),
                    container: container.into(),
                    prefix: "some/prefix".into(),
                    ..PlanAzure::default()
                }),
                ..PlanStorage::default()
            },
            local_root: None,
            credentials: Some(SecretValues::new(
                "demo",
                "secret",
                [("AZURE_ACCOUNT_KEY".to_owned(), key.as_bytes().to_vec())],
            )),
        };
        let endpoint = format!("http://127.0.0.1:{}/{ACCOUNT}", self.port);
        storage.documents_at(&endpoint).unwrap()
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn documents_in_azure() {
    let Some(azurite) = Azurite::start() else { return };
    let missing = azurite.documents("nothing", KEY);
    for error in [
        missing.exists("metadata.yaml").await.unwrap_err(),
        missing.get("metadata.yaml").await.unwrap_err(),
        missing.put("metadata.yaml", "x").await.unwrap_err(),
        missing.list("").await.unwrap_err(),
        missing.list_directory("").await.unwrap_err(),
        missing.size("", Duration::from_secs(9)).await.unwrap_err(),
        missing.delete_prefix("").await.unwrap_err(),
        missing.reachable().await.unwrap_err(),
    ] {
        assert_eq!(error.problem, Problem::BucketMissing, "{error}");
        assert!(error.message.contains("the container of"), "{error}");
    }
    assert!(!missing.make_bucket().await.unwrap(), "people make containers");

    azurite.make_container("backups");
    // The end of the line that `echo` leaves in a Secret is no part of the key.
    let documents = azurite.documents("backups", &format!("{KEY}\n"));
    documents.reachable().await.unwrap();
    assert!(!documents.exists("metadata.yaml").await.unwrap());
    assert_eq!(documents.get("metadata.yaml").await.unwrap(), None);
    assert!(documents.list("").await.unwrap().is_empty());
    assert_eq!(documents.size("r", Duration::from_secs(9)).await.unwrap(), 0);
    documents.put("metadata.yaml", "one").await.unwrap();
    documents.put("metadata.yaml", "three").await.unwrap();
    assert_eq!(documents.get("metadata.yaml").await.unwrap().unwrap(), b"three");
    assert_eq!(
        &documents.read("metadata.yaml", Some(1..4)).await.unwrap()[..],
        b"hre"
    );
    assert!(documents.exists("metadata.yaml").await.unwrap());
    // More than one batch of deletions, and names that need escaping.
    for n in 0..270 {
        documents
            .put(&format!("r/snapshots/ä {n}+#%.yaml"), "xy")
            .await
            .unwrap();
    }
    let listed = documents.list("r").await.unwrap();
    assert_eq!(listed.len(), 270);
    assert!(
        listed
            .iter()
            .any(|it| it.path == "r/snapshots/ä 7+#%.yaml" && it.size == 2),
        "{listed:?}"
    );
    let beside = documents.list_directory("").await.unwrap();
    assert_eq!(
        beside
            .iter()
            .map(|it| (it.path.as_str(), it.size))
            .collect::<Vec<_>>(),
        [("metadata.yaml", 5)]
    );
    assert_eq!(documents.size("r", Duration::from_secs(9)).await.unwrap(), 540);
    assert_eq!(documents.delete_prefix("r").await.unwrap(), 270);
    assert_eq!(documents.delete_prefix("r").await.unwrap(), 0);
    assert!(
        documents.exists("metadata.yaml").await.unwrap(),
        "the rest is left alone"
    );
    documents.delete("metadata.yaml").await.unwrap();
    documents.delete("metadata.yaml").await.unwrap();
    assert!(documents.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_key_of_azure_is_told_from_a_missing_container() {
    let Some(azurite) = Azurite::start() else { return };
    azurite.make_container("backups");
    let stranger = "bm90LXRoZS1rZXktb2YtdGhpcy1hY2NvdW50";
    for container in ["backups", "nothing"] {
        let documents = azurite.documents(container, stranger);
        for error in [
            documents.exists("metadata.yaml").await.unwrap_err(),
            documents.get("metadata.yaml").await.unwrap_err(),
            documents.put("metadata.yaml", "x").await.unwrap_err(),
            documents.delete("metadata.yaml").await.unwrap_err(),
            documents.list("").await.unwrap_err(),
            documents.reachable().await.unwrap_err(),
        ] {
            assert_eq!(error.problem, Problem::WrongKey, "{error}");
            assert!(!error.message.contains(stranger), "{error}");
        }
    }
}
