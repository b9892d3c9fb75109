//! A real S3 server on loopback: the same Jobs, and every way to be wrong about a bucket.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kubestash::api::config::job_plan::{JobPlan, PlanS3, PlanStorage};
use kubestash::api::config::job_result::JobCause;
use kubestash::backend::{Problem, SecretValues, Storage};

use super::fixture::{Fixture, await_that};
use super::tree;

/// moto's server, ended when dropped.
pub(super) struct Moto {
    child: Child,
    pub(super) port: u16,
}

impl Moto {
    fn start() -> Option<Self> {
        // The same server as everywhere: see `scripts/need s3`.
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/s3/bin/moto_server");
        let program = match std::env::var_os("KUBESTASH_S3_SERVER") {
            Some(program) => PathBuf::from(program),
            None if installed.exists() => installed,
            None => PathBuf::from("moto_server"),
        };
        let port = free_port();
        let started = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            eprintln!(
                "SKIPPED: {} (PyPI: moto[server]) is not installed",
                program.display()
            );
            return None;
        };
        let moto = Self { child, port };
        await_that("the start of the S3 server", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(moto)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn make_bucket(&self, name: &str) {
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: AWS a:b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn spec(endpoint: &str, bucket: &str) -> PlanStorage {
    PlanStorage {
        provider: "s3".into(),
        s3: Some(PlanS3 {
            endpoint: endpoint.into(),
            bucket: bucket.into(),
            prefix: "some/prefix".into(),
            region: "us-east-1".into(),
            ..PlanS3::default()
        }),
        ..PlanStorage::default()
    }
}

fn keys() -> Vec<(String, String)> {
    vec![
        ("AWS_ACCESS_KEY_ID".into(), "access-key-1".into()),
        ("AWS_SECRET_ACCESS_KEY".into(), "secret-key-1".into()),
    ]
}

fn storage(endpoint: &str, bucket: &str) -> Storage {
    Storage {
        label: "BackupStorage demo/s3".into(),
        spec: spec(endpoint, bucket),
        local_root: None,
        credentials: Some(SecretValues::new(
            "demo",
            "secret",
            keys().into_iter().map(|(key, value)| (key, value.into_bytes())),
        )),
    }
}

#[test]
fn backup_restore_and_sizes_with_s3() {
    let Some(mut fixture) = Fixture::local() else {
        return;
    };
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket("backups");
    fixture.storage = spec(&moto.endpoint(), "backups");
    fixture.credentials = keys();
    tree::make(&fixture.data());
    let before = tree::describe(&fixture.data());
    fixture.good_backup("s-1", false);
    let id = fixture.good_backup("s-2", true);
    assert!(
        fixture.last_state("s-2")["size"]
            .as_str()
            .unwrap()
            .ends_with(" MiB")
    );
    let root = fixture.path("out");
    let ended = fixture.restore(&id, &root, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let restored = root.join(fixture.data().strip_prefix("/").unwrap());
    tree::assert_same(&before, &tree::describe(&restored));
}

#[test]
fn a_bucket_that_is_not_there_is_named_at_once_and_not_created() {
    let Some(mut fixture) = Fixture::local() else {
        return;
    };
    let Some(moto) = Moto::start() else { return };
    fixture.storage = spec(&moto.endpoint(), "no-such-bucket");
    fixture.credentials = keys();
    fs::write(fixture.data().join("f"), "x").unwrap();
    let began = Instant::now();
    let ended = fixture.back_up("s", false);
    assert_eq!(
        ended.result.cause,
        Some(JobCause::BucketMissing),
        "{:?}",
        ended.result
    );
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(ended.result.message.contains("does not exist"));
}

#[test]
fn an_endpoint_that_does_not_answer_is_named_in_time() {
    let Some(mut fixture) = Fixture::local() else {
        return;
    };
    fixture.storage = spec(&format!("http://127.0.0.1:{}", free_port()), "b");
    fixture.credentials = keys();
    fs::write(fixture.data().join("f"), "x").unwrap();
    let began = Instant::now();
    let ended = fixture.back_up("s", false);
    assert_eq!(
        ended.result.cause,
        Some(JobCause::Unreachable),
        "{:?}",
        ended.result
    );
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    for (_, secret) in keys() {
        assert!(!ended.log.contains(&secret) && !ended.result.message.contains(&secret));
    }
}

#[test]
fn a_missing_key_of_the_storage_secret_is_named() {
    let Some(mut fixture) = Fixture::local() else {
        return;
    };
    fixture.storage = spec("http://127.0.0.1:1", "b");
    fixture.credentials = keys()[..1].to_vec();
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s", false)));
    let ended = fixture.job(&fixture.backup_arguments(fixture.data().to_str().unwrap()));
    assert!(
        ended
            .result
            .message
            .contains("Secret demo/storage-secret has no key AWS_SECRET_ACCESS_KEY"),
        "{:?}",
        ended.result
    );
}

#[tokio::test]
async fn documents_in_s3() {
    let Some(moto) = Moto::start() else { return };
    let missing = storage(&moto.endpoint(), "nothing").documents().unwrap();
    for problem in [
        missing.exists("metadata.yaml").await.unwrap_err().problem,
        missing.get("metadata.yaml").await.unwrap_err().problem,
        missing.put("metadata.yaml", "x").await.unwrap_err().problem,
        missing.list("").await.unwrap_err().problem,
        missing.reachable().await.unwrap_err().problem,
    ] {
        assert_eq!(problem, Problem::BucketMissing);
    }
    moto.make_bucket("docs");
    let documents = storage(&moto.endpoint(), "docs").documents().unwrap();
    assert!(!documents.exists("metadata.yaml").await.unwrap());
    assert_eq!(documents.get("metadata.yaml").await.unwrap(), None);
    documents.put("metadata.yaml", "one").await.unwrap();
    for n in 0..1200 {
        if n % 400 == 0 {
            documents
                .put(&format!("r/snapshots/{n}.yaml"), "x")
                .await
                .unwrap();
        }
    }
    assert!(documents.exists("metadata.yaml").await.unwrap());
    assert_eq!(documents.list("r").await.unwrap().len(), 3);
    assert_eq!(documents.list_directory("").await.unwrap().len(), 1);
    assert_eq!(documents.delete_prefix("r").await.unwrap(), 3);
    documents.delete("metadata.yaml").await.unwrap();
    documents.delete("metadata.yaml").await.unwrap();
    assert!(documents.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_with_an_unknown_certificate_is_not_trusted_unless_its_authority_is_named() {
    use std::sync::Arc;
    let authority =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = authority.cert.der().clone();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(authority.signing_key.serialize_der().into());
    kubestash::install_crypto_provider();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let body = "<Error><Code>AccessDenied</Code></Error>";
                let answer = format!(
                    "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    let stranger = storage(&endpoint, "b")
        .documents()
        .unwrap()
        .reachable()
        .await
        .unwrap_err();
    assert_eq!(stranger.problem, Problem::TlsUntrusted, "{stranger}");
    assert!(stranger.message.contains("CA_CERT_DATA"));
    let mut known = storage(&endpoint, "b");
    let mut values: Vec<_> = keys()
        .into_iter()
        .map(|(key, value)| (key, value.into_bytes()))
        .collect();
    values.push(("CA_CERT_DATA".into(), authority.cert.pem().into_bytes()));
    known.credentials = Some(SecretValues::new("demo", "secret", values));
    let answered = known.documents().unwrap().reachable().await.unwrap_err();
    assert_eq!(
        answered.problem,
        Problem::AccessDenied,
        "the server was reached: {answered}"
    );
    let mut careless = storage(&endpoint, "b");
    careless.spec.s3.as_mut().unwrap().insecure_tls = true;
    let answered = careless.documents().unwrap().reachable().await.unwrap_err();
    assert_eq!(answered.problem, Problem::AccessDenied, "{answered}");
}
