//! Builds the object store of a storage.
//!
//! Retries are few and time limits short: whoever asks has a person or a reconcile waiting, and an endpoint that does not
//! answer has to be named within about twenty seconds.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::bucket::Maker;
use super::{BackendError, SecretValues, Storage};
use crate::api::storage::Provider;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take, its body included.
const REQUEST: Duration = Duration::from_secs(60);

/// Where Google's buckets are.
const GOOGLE: &str = "https://storage.googleapis.com";
/// The end of the addresses of Azure's public cloud.
const AZURE: &str = "core.windows.net";

/// An object store and the words for it in messages.
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Where a bucket that is missing can be made.
    pub(super) maker: Option<Arc<Maker>>,
    /// The endpoint and bucket, or the directory.
    pub(super) place: String,
}

impl Storage {
    /// Builds the object store. Nothing is asked of the provider yet. `endpoint`: the address of an Azure account that has
    /// another than Azure's.
    pub(super) fn store(&self, endpoint: Option<&str>) -> Result<Opened, BackendError> {
        crate::install_crypto_provider();
        match self.provider()? {
            Provider::Local => self.local_store(),
            Provider::S3 => self.s3_store(),
            Provider::Gcs => self.gcs_store(),
            Provider::Azure => self.azure_store(endpoint),
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
            maker: None,
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
                options = self.trusting(options, secret)?;
                let builder = AmazonS3Builder::new()
                    .with_access_key_id(secret.word("AWS_ACCESS_KEY_ID")?)
                    .with_secret_access_key(secret.word("AWS_SECRET_ACCESS_KEY")?);
                match secret.optional_word("AWS_SESSION_TOKEN")? {
                    Some(token) => builder.with_token(token),
                    None => builder,
                }
            }
        };
        if s3.insecure_tls {
            options = options.with_allow_invalid_certificates(true);
        }
        let place = self.place(("spec.storage.s3.endpoint", &url), ("s3.bucket", &s3.bucket))?;
        self.header_word("spec.storage.s3.region", &s3.region)?;
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
            maker: None,
            place,
        })
    }

    /// Where the Secret names an authority, its certificate is trusted too.
    fn trusting(&self, options: ClientOptions, secret: &SecretValues) -> Result<ClientOptions, BackendError> {
        let Some(pem) = secret.optional("CA_CERT_DATA")? else {
            return Ok(options);
        };
        let wrong = || {
            BackendError::misconfigured(
                &self.label,
                "the key CA_CERT_DATA of the storage Secret holds no PEM certificate",
            )
        };
        let all = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| wrong())?;
        if all.is_empty() {
            return Err(wrong());
        }
        Ok(all
            .into_iter()
            .fold(options, ClientOptions::with_root_certificate))
    }

    fn gcs_store(&self) -> Result<Opened, BackendError> {
        let gcs = self.spec.gcs.clone().unwrap_or_default();
        let account = match &self.credentials {
            None => None,
            Some(secret) => Some(GoogleAccount::of(secret)?),
        };
        let base = account
            .as_ref()
            .and_then(|it| it.base.clone())
            .unwrap_or_else(|| GOOGLE.to_owned());
        let named = ("gcs_base_url in GOOGLE_SERVICE_ACCOUNT_JSON_KEY", base.as_str());
        let place = self.place(named, ("gcs.bucket", &gcs.bucket))?;
        let mut options = client();
        let builder = match &account {
            None => GoogleCloudStorageBuilder::from_env(),
            Some(account) => {
                options = options.with_allow_http(base.starts_with("http://"));
                GoogleCloudStorageBuilder::new().with_service_account_key(account.key)
            }
        };
        let store = builder
            .with_bucket_name(gcs.bucket.clone())
            .with_client_options(options)
            .with_retry(retry())
            .build()
            .map_err(|error| BackendError::from_store(&self.label, &place, &error))?;
        let named = || std::env::var("GOOGLE_PROJECT_ID").ok();
        let project = account.as_ref().map_or_else(named, |it| it.project.clone());
        let maker = Maker {
            credentials: store.credentials().clone(),
            base,
            bucket: gcs.bucket,
            project,
        };
        Ok(Opened {
            store: Arc::new(store),
            maker: Some(Arc::new(maker)),
            place,
        })
    }

    fn azure_store(&self, endpoint: Option<&str>) -> Result<Opened, BackendError> {
        let azure = self.spec.azure.clone().unwrap_or_default();
        let account = self.azure_account()?;
        let mut options = client();
        let (builder, suffix) = match &self.credentials {
            // restic's word for it, so that both find the same place.
            None => (
                MicrosoftAzureBuilder::from_env(),
                std::env::var("AZURE_ENDPOINT_SUFFIX").ok(),
            ),
            Some(secret) => {
                let key = secret.word("AZURE_ACCOUNT_KEY")?;
                if BASE64_STANDARD.decode(key).is_err() {
                    return Err(secret.unusable(
                        "AZURE_ACCOUNT_KEY",
                        "is no account key (those are base64 from end to end)",
                    ));
                }
                options = self.trusting(options, secret)?;
                let suffix = secret.optional_word("AZURE_ENDPOINT_SUFFIX")?;
                (
                    MicrosoftAzureBuilder::new().with_access_key(key),
                    suffix.map(str::to_owned),
                )
            }
        };
        let suffix = suffix.unwrap_or_else(|| AZURE.to_owned());
        let url = endpoint.map_or_else(|| format!("https://{account}.blob.{suffix}"), str::to_owned);
        let named = ("the address of spec.storage.azure.storageAccount", url.as_str());
        let place = self.place(named, ("azure.container", &azure.container))?;
        let store = builder
            .with_account(account)
            .with_container_name(azure.container)
            .with_client_options(options.with_allow_http(url.starts_with("http://")))
            .with_endpoint(url)
            .with_retry(retry())
            .build()
            .map_err(|error| BackendError::from_store(&self.label, &place, &error))?;
        Ok(Opened {
            store: Arc::new(store),
            maker: None,
            place,
        })
    }
}

/// What a storage Secret says about a Google service account.
struct GoogleAccount<'a> {
    key: &'a str,
    /// Another address than Google's: that of an emulator.
    base: Option<String>,
    project: Option<String>,
}

impl<'a> GoogleAccount<'a> {
    fn of(secret: &'a SecretValues) -> Result<Self, BackendError> {
        let name = "GOOGLE_SERVICE_ACCOUNT_JSON_KEY";
        let key = secret.required(name)?;
        let all: serde_json::Value = serde_json::from_str(key)
            .map_err(|_| secret.unusable(name, "is no JSON; put the key file of a service account there"))?;
        if !all["private_key"].is_string() {
            return Err(secret.unusable(
                name,
                "holds no private_key; put the key file of a service account there",
            ));
        }
        let text = |field: &str| all[field].as_str().map(str::to_owned);
        let project = secret.optional_word("GOOGLE_PROJECT_ID")?.map(str::to_owned);
        Ok(Self {
            key,
            base: text("gcs_base_url").map(|base| base.trim_end_matches('/').to_owned()),
            project: project.or_else(|| text("project_id")),
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
        assert_eq!(s3.store(None).unwrap().place, "https://minio:9000/b");
        let azure = storage(
            r#"{"provider":"azure","azure":{"storageAccount":"acc","container":"c"}}"#,
            &[("AZURE_ACCOUNT_KEY", "a2V5")],
        );
        assert_eq!(
            azure.store(None).unwrap().place,
            "https://acc.blob.core.windows.net/c"
        );
    }

    #[test]
    fn azure_of_another_cloud_is_named_by_its_suffix() {
        let azure = storage(
            r#"{"provider":"azure","azure":{"storageAccount":"acc","container":"c"}}"#,
            &[
                ("AZURE_ACCOUNT_KEY", "a2V5\n"),
                ("AZURE_ENDPOINT_SUFFIX", "core.usgovcloudapi.net"),
            ],
        );
        let place = azure.store(None).unwrap().place;
        assert_eq!(place, "https://acc.blob.core.usgovcloudapi.net/c");
        let wrong = storage(
            r#"{"provider":"azure","azure":{"storageAccount":"acc","container":"c"}}"#,
            &[("AZURE_ACCOUNT_KEY", "no-key-of-azure")],
        );
        let error = wrong.store(None).err().unwrap().to_string();
        assert!(
            error.contains("AZURE_ACCOUNT_KEY of Secret demo/secret is no account key"),
            "{error}"
        );
        assert!(!error.contains("no-key-of"), "{error}");
    }

    #[test]
    fn a_bucket_is_made_in_the_project_that_is_named() {
        let project = |more: &[(&str, &str)]| {
            let key = r#"{"private_key":"k","private_key_id":"i","client_email":"e","disable_oauth":true,"project_id":"of-the-key"}"#;
            let mut keys = vec![("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", key)];
            keys.extend_from_slice(more);
            let opened = storage(r#"{"provider":"gcs","gcs":{"bucket":"b"}}"#, &keys)
                .store(None)
                .unwrap();
            opened.maker.unwrap().project.clone().unwrap()
        };
        assert_eq!(project(&[]), "of-the-key");
        assert_eq!(project(&[("GOOGLE_PROJECT_ID", "mine\n")]), "mine");
    }

    #[test]
    fn broken_credentials_are_refused_without_showing_them() {
        let gcs = storage(
            r#"{"provider":"gcs","gcs":{"bucket":"b"}}"#,
            &[("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", "hunter2")],
        );
        let error = gcs.store(None).err().unwrap().to_string();
        assert!(
            error.contains("GOOGLE_SERVICE_ACCOUNT_JSON_KEY of Secret demo/secret is no JSON")
                && !error.contains("hunter2"),
            "{error}"
        );
        for junk in [
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
            "junk",
        ] {
            let keys = [
                ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"),
                ("CA_CERT_DATA", junk),
            ];
            let s3 = storage(r#"{"provider":"s3","s3":{"bucket":"b"}}"#, &keys);
            assert!(s3.store(None).err().unwrap().to_string().contains("CA_CERT_DATA"));
        }
    }
}
