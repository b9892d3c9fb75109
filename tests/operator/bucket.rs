//! A small S3 on loopback: buckets in memory, as much of the protocol as the documents client speaks, and switches for
//! the faults that tests need; on request with Google's words, which are almost the same. Real servers are for the end-to-end suite.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, Request, Response, StatusCode};

pub(super) const KEY_ID: &str = "test-key";

#[derive(Default)]
struct Inner {
    buckets: BTreeMap<String, BTreeMap<String, Bytes>>,
    broken: bool,
    writes: usize,
    /// Speak as Google does: no keys, and buckets can be made.
    google: bool,
    /// The projects in which buckets may be made.
    projects: Vec<String>,
}

#[derive(Clone)]
pub(super) struct Bucket {
    inner: Arc<Mutex<Inner>>,
    pub(super) endpoint: String,
}

impl Bucket {
    /// Serves the bucket `backups` until the test's runtime ends.
    pub(super) async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        inner
            .lock()
            .unwrap()
            .buckets
            .insert("backups".to_owned(), BTreeMap::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, endpoint }
    }

    /// The same with Google's words and without any bucket; buckets may be made in the project `ours`.
    pub(super) async fn google() -> Self {
        let bucket = Self::start().await;
        {
            let mut inner = bucket.inner.lock().unwrap();
            inner.google = true;
            inner.buckets.clear();
            inner.projects.push("ours".to_owned());
        }
        bucket
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.inner.lock().unwrap().buckets.contains_key(name)
    }

    pub(super) fn drop_bucket(&self, name: &str) {
        self.inner.lock().unwrap().buckets.remove(name).unwrap();
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        let inner = self.inner.lock().unwrap();
        inner.buckets["backups"]
            .get(key)
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    pub(super) fn put(&self, key: &str, text: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner
            .buckets
            .get_mut("backups")
            .unwrap()
            .insert(key.to_owned(), Bytes::copy_from_slice(text.as_bytes()));
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.inner.lock().unwrap().buckets["backups"]
            .keys()
            .cloned()
            .collect()
    }

    /// From now on every request ends with 500 (or works again).
    pub(super) fn break_down(&self, broken: bool) {
        self.inner.lock().unwrap().broken = broken;
    }

    pub(super) fn writes(&self) -> usize {
        self.inner.lock().unwrap().writes
    }
}

/// Google's JSON way to make a bucket.
fn make(inner: &mut Inner, query: &str, body: &[u8]) -> Response<Body> {
    let allowed = inner
        .projects
        .iter()
        .any(|project| query == format!("project={project}"));
    let wanted: serde_json::Value = serde_json::from_slice(body).unwrap();
    let (status, said) = if allowed {
        inner
            .buckets
            .insert(wanted["name"].as_str().unwrap().to_owned(), BTreeMap::new());
        (StatusCode::OK, wanted.to_string())
    } else {
        let said =
            r#"{"error": {"code": 403, "message": "backup@x does not have storage.buckets.create access"}}"#;
        (StatusCode::FORBIDDEN, said.to_owned())
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(said))
        .unwrap()
}

fn xml(status: StatusCode, body: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/xml")
        .body(Body::from(body))
        .unwrap()
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    xml(
        status,
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"),
    )
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 26).await.unwrap();
    let mut inner = inner.lock().unwrap();
    if inner.broken {
        return error(StatusCode::BAD_REQUEST, "InternalTrouble");
    }
    let credential = parts
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if inner.google && parts.method == Method::POST && parts.uri.path() == "/storage/v1/b" {
        return make(&mut inner, parts.uri.query().unwrap_or_default(), &body);
    }
    if !inner.google && !credential.contains(&format!("Credential={KEY_ID}/")) {
        return error(StatusCode::FORBIDDEN, "InvalidAccessKeyId");
    }
    let path = decoded(parts.uri.path().trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let query: BTreeMap<String, String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    if parts.method != Method::GET && parts.method != Method::HEAD {
        inner.writes += 1;
    }
    let Some(objects) = inner.buckets.get_mut(bucket) else {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    match (&parts.method, key) {
        (&Method::GET, "") => list(objects, &query),
        (&Method::POST, "") => delete_many(objects, std::str::from_utf8(&body).unwrap()),
        (&Method::GET | &Method::HEAD, _) => match objects.get(key) {
            None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
            Some(bytes) => Response::builder()
                .header("etag", "\"x\"")
                .header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                .header("content-length", bytes.len())
                .body(if parts.method == Method::HEAD {
                    Body::empty()
                } else {
                    Body::from(bytes.clone())
                })
                .unwrap(),
        },
        (&Method::PUT, _) => {
            objects.insert(key.to_owned(), body);
            Response::builder()
                .header("etag", "\"x\"")
                .body(Body::empty())
                .unwrap()
        }
        (&Method::DELETE, _) => {
            objects.remove(key);
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .body(Body::empty())
                .unwrap()
        }
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn list(objects: &BTreeMap<String, Bytes>, query: &BTreeMap<String, String>) -> Response<Body> {
    let prefix = query.get("prefix").map_or("", String::as_str);
    let delimited = query.get("delimiter").is_some_and(|delimiter| delimiter == "/");
    let mut contents = String::new();
    let mut directories = std::collections::BTreeSet::new();
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
        if delimited && let Some((directory, _)) = key[prefix.len()..].split_once('/') {
            directories.insert(format!("{prefix}{directory}/"));
            continue;
        }
        contents.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag><Size>{}</Size></Contents>",
            bytes.len()
        ));
    }
    let common: String = directories
        .iter()
        .map(|directory| format!("<CommonPrefixes><Prefix>{directory}</Prefix></CommonPrefixes>"))
        .collect();
    xml(
        StatusCode::OK,
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>"
        ),
    )
}

fn delete_many(objects: &mut BTreeMap<String, Bytes>, body: &str) -> Response<Body> {
    let mut gone = String::new();
    for part in body.split("<Key>").skip(1) {
        let key = part.split_once("</Key>").unwrap().0;
        objects.remove(key);
        gone.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
    }
    xml(
        StatusCode::OK,
        format!("<?xml version=\"1.0\"?><DeleteResult>{gone}</DeleteResult>"),
    )
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            out.push(if byte == b'+' { b' ' } else { byte });
        }
    }
    String::from_utf8(out).unwrap()
}
