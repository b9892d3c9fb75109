//! Making a bucket that is not there, as users of KubeStash know it from Google Cloud Storage: a new BackupStorage makes
//! its bucket when the credentials may. Of the other providers a missing bucket is an error and nothing else.
//!
//! The caller decides when: only a storage that was never reached before may make one. A bucket that has vanished since
//! must be missed, not replaced by an empty one.

use std::fmt;
use std::time::Duration;

use object_store::gcp::GcpCredentialProvider;
use serde_json::json;

use super::{BackendError, Problem};

/// How long the one request may take.
const REQUEST: Duration = Duration::from_secs(20);

/// What is needed to make a bucket of Google's.
pub(super) struct Maker {
    pub(super) credentials: GcpCredentialProvider,
    /// `https://storage.googleapis.com`, or where the service account's key says.
    pub(super) base: String,
    pub(super) bucket: String,
    /// The project that will own the bucket; `None` when nothing names one.
    pub(super) project: Option<String>,
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Maker({})", self.bucket)
    }
}

impl Maker {
    /// Makes the bucket. That somebody else was faster is no error: whose it is shows when it is used.
    pub(super) async fn make(&self, label: &str) -> Result<(), BackendError> {
        let Some(project) = &self.project else {
            return Err(self.missing(
                label,
                "and no project is named in which it could be made; create it, correct the name in spec.storage, or add GOOGLE_PROJECT_ID to the storage Secret",
            ));
        };
        crate::install_crypto_provider();
        let credential = self
            .credentials
            .get_credential()
            .await
            .map_err(|error| BackendError::from_store(label, &self.place(), &error))?;
        let failed =
            |error: reqwest::Error| self.missing(label, &format!("and could not be made: {}", cause(&error)));
        let client = reqwest::Client::builder()
            .timeout(REQUEST)
            .build()
            .map_err(failed)?;
        let address = format!("{}/storage/v1/b", self.base);
        let address = reqwest::Url::parse_with_params(&address, [("project", project)])
            .map_err(|error| self.missing(label, &format!("and {address} is no URL: {error}")))?;
        let mut request = client
            .post(address)
            // Backups are nobody's web pages.
            .json(&json!({"name": self.bucket, "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": true}, "publicAccessPrevention": "enforced"}}));
        if !credential.bearer.is_empty() {
            request = request.bearer_auth(&credential.bearer);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        if answer.status().is_success() || status == 409 {
            tracing::info!(bucket = self.bucket, project, status, "made the bucket");
            return Ok(());
        }
        let said: serde_json::Value = answer.json().await.unwrap_or_default();
        let said = said["error"]["message"].as_str().unwrap_or("no reason given");
        Err(self.missing(
            label,
            &format!(
                "and could not be made in the project {project} ({status}: {said}); create it, correct the name in spec.storage, or give the service account storage.buckets.create"
            ),
        ))
    }

    fn place(&self) -> String {
        format!("{}/{}", self.base, self.bucket)
    }

    fn missing(&self, label: &str, what: &str) -> BackendError {
        BackendError {
            problem: Problem::BucketMissing,
            message: format!("{label}: the bucket of {} does not exist {what}", self.place()),
        }
    }
}

/// The innermost cause; the words around it repeat the address.
fn cause(error: &reqwest::Error) -> String {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        why = inner.to_string();
        source = inner.source();
    }
    why
}
