//! Builds the object store of a storage.
//!
//! Retries are few and time limits short: whoever asks has a person or a reconcile waiting, and an endpoint that does not
//! answer has to be named within about twenty seconds.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::{BackendError, Storage};
use crate::api::storage::Provider;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take, its body included.
const REQUEST: Duration = Duration::from_secs(60);

/// An object store and the words for it in messages.
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The endpoint and bucket, or the directory.
    pub(super) place: String,
}

impl Storage {
    /// Builds the object store. Nothing is asked of the provider yet.
    pub(super) fn store(&self) -> Result<Opened, BackendError> {
        crate::install_crypto_provider();
        match self.provider()? {
            Provider::Local => self.local_store(),
            Provider::S3 => self.s3_store(),
            Provider::Gcs => self.gcs_store(),
            Provider::Azure => self.azure_store(),
        }
    }

    fn local_store(&self) -> Result<Opened, BackendError> {
        let root = self.root()?;
        let place = root.display().to_string();
        let store = LocalFileSystem::new_with_prefix(root)
            .map_err(|error| BackendError::from_store(&self.label, &place, &error))?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        Ok(Opened {
            store: Arc::new(store),
            place,
        })
    }

    fn s3_store(&self) -> Result<Opened, BackendError> {
        let s3 = self.spec.s3.clone().unwrap_or_default();
        let host = self.s3_endpoint();
        let url = if host.contains("://") {
            host
        } else {
            format!("https://{host}")
        };
        let amazon = s3.endpoint.is_empty();
        let mut options = client().with_allow_http(url.starts_with("http://"));
        let mut builder = match &self.credentials {
            None => AmazonS3Builder::from_env(),
            Some(secret) => {
                if let Some(authority) = secret.optional("CA_CERT_DATA")? {
                    for certificate in self.certificates(authority)? {
                        options = options.with_root_certificate(certificate);
                    }
                }
                let builder = AmazonS3Builder::new()
                    .with_access_key_id(secret.required("AWS_ACCESS_KEY_ID")?)
                    .with_secret_access_key(secret.required("AWS_SECRET_ACCESS_KEY")?);
                match secret.optional("AWS_SESSION_TOKEN")? {
                    Some(token) => builder.with_token(token),
                    None => builder,
                }
            }
        };
        if s3.insecure_tls {
            options = options.with_allow_invalid_certificates(true);
        }
        let place = format!("{url}/{}", s3.bucket);
        if !s3.region.is_empty() {
            builder = builder.with_region(s3.region);
        }
        let store = builder
            .with_endpoint(url)
            .with_bucket_name(s3.bucket)
            .with_virtual_hosted_style_request(false)
            // Only Amazon's own servers are sure to know bulk deletion.
            .with_disable_bulk_delete(!amazon)
            .with_client_options(options)
            .with_retry(retry())
            .build()
            .map_err(|error| BackendError::from_store(&self.label, &place, &error))?;
        Ok(Opened {
            store: Arc::new(store),
            place,
        })
    }

    fn certificates(&self, pem: &str) -> Result<Vec<Certificate>, BackendError> {
        let wrong = |_| {
            BackendError::misconfigured(
                &self.label,
                "the key CA_CERT_DATA of the storage Secret holds no PEM certificate",
            )
        };
        Certificate::from_pem_bundle(pem.as_bytes()).map_err(wrong)
    }

    fn gcs_store(&self) -> Result<Opened, BackendError> {
        let gcs = self.spec.gcs.clone().unwrap_or_default();
        let place = format!("https://storage.googleapis.com/{}", gcs.bucket);
        let builder = match &self.credentials {
            None => GoogleCloudStorageBuilder::from_env(),
            Some(secret) => GoogleCloudStorageBuilder::new()
                .with_service_account_key(secret.required("GOOGLE_SERVICE_ACCOUNT_JSON_KEY")?),
        };
        let store = builder
            .with_bucket_name(gcs.bucket)
            .with_client_options(client())
            .with_retry(retry())
            .build()
            .map_err(|error| BackendError::from_store(&self.label, &place, &error))?;
        Ok(Opened {
            store: Arc::new(store),
            place,
        })
    }

    fn azure_store(&self) -> Result<Opened, BackendError> {
        let azure = self.spec.azure.clone().unwrap_or_default();
        let account = self.azure_account()?;
        let place = format!("https://{account}.blob.core.windows.net/{}", azure.container);
        let builder = match &self.credentials {
            None => MicrosoftAzureBuilder::from_env(),
            Some(secret) => {
                MicrosoftAzureBuilder::new().with_access_key(secret.required("AZURE_ACCOUNT_KEY")?)
            }
        };
        let store = builder
            .with_account(account)
            .with_container_name(azure.container)
            .with_client_options(client())
            .with_retry(retry())
            .build()
            .map_err(|error| BackendError::from_store(&self.label, &place, &error))?;
        Ok(Opened {
            store: Arc::new(store),
            place,
        })
    }
}

fn client() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_pool_max_idle_per_host(2)
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(3),
            base: 2.,
        },
        max_retries: 3,
        retry_timeout: Duration::from_secs(12),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecretValues;
    use super::*;

    fn storage(spec: &str, secret: &[(&str, &str)]) -> Storage {
        Storage {
            label: "BackupStorage demo/s".into(),
            spec: serde_json::from_str(spec).unwrap(),
            local_root: None,
            credentials: Some(SecretValues::new(
                "demo",
                "secret",
                secret
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())),
            )),
        }
    }

    #[test]
    fn every_provider_can_be_built_and_names_its_place() {
        let keys = &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let s3 = storage(
            r#"{"provider":"s3","s3":{"endpoint":"minio:9000","bucket":"b"}}"#,
            keys,
        );
        assert_eq!(s3.store().unwrap().place, "https://minio:9000/b");
        let azure = storage(
            r#"{"provider":"azure","azure":{"storageAccount":"acc","container":"c"}}"#,
            &[("AZURE_ACCOUNT_KEY", "a2V5")],
        );
        assert_eq!(
            azure.store().unwrap().place,
            "https://acc.blob.core.windows.net/c"
        );
    }

    #[test]
    fn broken_credentials_are_refused_without_showing_them() {
        let gcs = storage(
            r#"{"provider":"gcs","gcs":{"bucket":"b"}}"#,
            &[("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", "hunter2")],
        );
        let error = gcs.store().err().unwrap().to_string();
        assert!(
            error.starts_with("BackupStorage demo/s: ") && !error.contains("hunter2"),
            "{error}"
        );
        let s3 = storage(
            r#"{"provider":"s3","s3":{"bucket":"b"}}"#,
            &[
                ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"),
                (
                    "CA_CERT_DATA",
                    "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
                ),
            ],
        );
        assert!(s3.store().err().unwrap().to_string().contains("CA_CERT_DATA"));
    }
}
