//! BackupStorage: a place that can hold repositories.

use crate::api::shared::{Condition, RuntimeSettings, UsagePolicy, VolumeSource, is_false};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place that can hold repositories: a bucket, a container, or a volume.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "storage.kubestash.com",
    version = "v1alpha1",
    kind = "BackupStorage",
    plural = "backupstorages",
    singular = "backupstorage",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    status = "BackupStorageStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A place that can hold repositories: a bucket, a container, or a volume.",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.storage.provider"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(
        name = "Deletion-Policy",
        type_ = "string",
        json_path = ".spec.deletionPolicy"
    ),
    printcolumn(name = "Total-Size", type_ = "string", json_path = ".status.totalSize"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.storage)", "message": "storage is needed" }]))]
pub struct BackupStorageSpec {
    /// Where the data goes.
    #[serde(default)]
    pub storage: Backend,
    /// Which namespaces may use the storage; only the own one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_policy: Option<UsagePolicy>,
    /// Whether BackupConfigurations that name no storage use this one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub default: bool,
    /// What happens to the data when the object is deleted: Delete (the default) keeps it, WipeOut removes it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Settings for the Jobs that work on the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_settings: Option<RuntimeSettings>,
}

string_enum! {
    /// What happens to the data when its object is deleted.
    #[derive(Default)]
    pub enum DeletionPolicy {
        /// Only the object goes; the data stays.
        #[default]
        Delete,
        /// The data goes too.
        WipeOut,
    }
}

/// A storage provider that we know how to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// A volume.
    Local,
    /// Amazon S3, or anything that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Provider; 4] = [Self::Local, Self::S3, Self::Gcs, Self::Azure];

    /// The word in `spec.storage.provider`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A provider and its settings: the block named like the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.provider) && has(self.local) == (self.provider == 'local') && has(self.s3) == (self.provider == 's3') && has(self.gcs) == (self.provider == 'gcs') && has(self.azure) == (self.provider == 'azure')", "message": "provider is needed, and exactly the block of that name: local, s3, gcs or azure" }]))]
pub struct Backend {
    /// local, s3, gcs or azure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["local", "s3", "gcs", "azure"]))]
    pub provider: String,
    /// A volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalBackend>,
    /// A bucket of Amazon S3, or of anything that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Backend>,
    /// A bucket of Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsBackend>,
    /// A container of Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureBackend>,
}

impl Backend {
    /// The provider, or `None` when the word is not one of ours.
    #[must_use]
    pub fn known_provider(&self) -> Option<Provider> {
        Provider::ALL
            .into_iter()
            .find(|provider| provider.as_str() == self.provider)
    }

    /// The Secret with the credentials, in the namespace of the BackupStorage; `None` when there is none to read.
    #[must_use]
    pub fn secret_name(&self) -> Option<&str> {
        let name = match self.known_provider()? {
            Provider::Local => None,
            Provider::S3 => self.s3.as_ref()?.secret_name.as_deref(),
            Provider::Gcs => self.gcs.as_ref()?.secret_name.as_deref(),
            Provider::Azure => self.azure.as_ref()?.secret_name.as_deref(),
        };
        name.filter(|name| !name.is_empty())
    }
}

/// A volume as a storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalBackend {
    /// What the volume is.
    #[serde(flatten)]
    pub source: VolumeSource,
    /// Where the volume is mounted in the Jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// Directory in the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// How many connections may be open at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub max_connections: Option<i64>,
}

/// A bucket of Amazon S3, or of anything that speaks its protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.bucket) && self.bucket != ''", "message": "bucket is needed" }]))]
pub struct S3Backend {
    /// Host, with or without a scheme; absent means Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Name of the bucket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Directory in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Secret with the credentials; absent means the identity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// How many connections may be open at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub max_connections: Option<i64>,
    /// Whether the server's certificate is not checked.
    #[serde(default, rename = "insecureTLS", skip_serializing_if = "is_false")]
    pub insecure_tls: bool,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.bucket) && self.bucket != ''", "message": "bucket is needed" }]))]
pub struct GcsBackend {
    /// Name of the bucket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Directory in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How many connections may be open at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub max_connections: Option<i64>,
    /// Secret with the credentials; absent means the identity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.container) && self.container != ''", "message": "container is needed" }]))]
pub struct AzureBackend {
    /// The storage account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_account: Option<String>,
    /// Name of the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Directory in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How many connections may be open at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub max_connections: Option<i64>,
    /// Secret with the credentials; absent means the identity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

string_enum! {
    /// Whether a BackupStorage can be used.
    #[derive(Default)]
    pub enum BackupStoragePhase {
        /// It can be used.
        Ready,
        /// It cannot be used (yet); the conditions say why.
        #[default]
        NotReady,
    }
}

/// What is known about the storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageStatus {
    /// Ready or NotReady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupStoragePhase>,
    /// Size of all repositories, e.g. `1.500 GiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<String>,
    /// The repositories in the storage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<StorageRepository>,
    /// Observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A repository in the storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageRepository {
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Directory of the repository below the storage's prefix.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Size of the repository, e.g. `1.500 GiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Whether the cluster has the objects that the storage's metadata speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
    /// Why it is not synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
