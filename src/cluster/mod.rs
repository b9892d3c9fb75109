//! The CLI's only door to Kubernetes: kubectl's flags to a client, typed reads of just the fields a command shows,
//! lists in pages, waits with a bound, merged logs, and errors that say what to do.
//!
//! Nothing here runs discovery: the kinds are known. Every request has a time limit.

mod change;
mod connect;
pub mod dynamic;
pub mod error;
pub mod exec;
pub mod flags;
pub mod kinds;
mod list;
pub mod logs;
pub mod watch;

use std::time::Duration;

use http::Request;
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::error::Error;
pub use self::flags::Flags;
pub use self::kinds::Kind;
pub use self::list::{ListOptions, Page};

/// Who writes, as server-side apply records it.
pub const FIELD_MANAGER: &str = "kubectl-kubestash";

/// A connection to one cluster, as one user, with a namespace to default to.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    server: String,
    timeout: Duration,
}

/// How server-side apply is to be done.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// Let the server check everything and store nothing.
    pub dry_run: bool,
}

impl Cluster {
    /// Reads the kubeconfig that the flags name and prepares a client. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no configuration, or it cannot be used.
    pub async fn connect(flags: &Flags) -> Result<Self, Error> {
        connect::connect(flags).await
    }

    /// A connection over a given client (a test's own transport).
    pub fn with_client(client: Client, namespace: &str, timeout: Duration) -> Self {
        Cluster {
            client,
            namespace: namespace.to_owned(),
            server: "in process".to_owned(),
            timeout,
        }
    }

    /// The client itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The namespace that applies where none is named.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The address of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Reads one object.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it does not exist; see [`Error`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<T, Error> {
        let path = kind.path(namespace, Some(name));
        self.request("GET", &path, Vec::new())
            .await
            .map_err(|e| e.about(kind, namespace, Some(name)))
    }

    /// Reads one object, or nothing when it does not exist.
    ///
    /// # Errors
    /// As [`Cluster::get`], but for a missing object.
    pub async fn find<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<T>, Error> {
        match self.get(kind, namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object; unknown fields are errors.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken; see [`Error`].
    pub async fn create(&self, kind: &Kind, namespace: Option<&str>, object: &Value) -> Result<Value, Error> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict",
            kind.path(namespace, None)
        );
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        self.request("POST", &path, body(object)?)
            .await
            .map_err(|e| e.about(kind, namespace, name))
    }

    /// Lets the server (and its webhooks) judge a new object without storing it.
    ///
    /// # Errors
    /// As [`Cluster::create`].
    pub async fn dry_run(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Value, Error> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&dryRun=All",
            kind.path(namespace, None)
        );
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        self.request("POST", &path, body(object)?)
            .await
            .map_err(|e| e.about(kind, namespace, name))
    }

    /// Server-side apply by force: what the object names becomes ours, everything else stays.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        object: &Value,
        options: ApplyOptions,
    ) -> Result<Value, Error> {
        let dry_run = if options.dry_run { "&dryRun=All" } else { "" };
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force=true{dry_run}",
            kind.path(namespace, Some(name))
        );
        self.request("PATCH", &path, body(object)?)
            .await
            .map_err(|e| e.about(kind, namespace, Some(name)))
    }

    /// One request with the time limit of `--request-timeout`.
    async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Error> {
        let content = if method == "PATCH" {
            "application/apply-patch+yaml"
        } else {
            "application/json"
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, content)
            .body(body)
            .map_err(|e| Error::Other(e.to_string()))?;
        self.send(request).await
    }

    async fn send<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|e| Error::from_kube(e, &self.server)),
            Err(_) => Err(Error::TimedOut {
                what: format!("the API server {} did not answer", self.server),
                after: self.timeout,
            }),
        }
    }
}

fn body(object: &Value) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(object).map_err(|e| Error::Other(e.to_string()))
}
