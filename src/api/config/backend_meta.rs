//! `metadata.yaml` at the root of a backup storage: who uses the storage, readable without the cluster.

use crate::api::storage::StorageRepository;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, Serialize};

/// The content of `metadata.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendMeta {
    /// Always [`BackendMeta::API_VERSION`] when we write it.
    #[serde(default)]
    pub api_version: String,
    /// Always [`BackendMeta::KIND`] when we write it.
    #[serde(default)]
    pub kind: String,
    /// When the storage was first initialised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// Version of the operator that wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// The repositories in the storage, in the shape of the BackupStorage's status.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub repositories: Vec<StorageRepository>,
}

impl BackendMeta {
    /// The only version there is.
    pub const API_VERSION: &'static str = "config.kubestash.com/v1alpha1";
    /// The kind written into the file.
    pub const KIND: &'static str = "BackendMeta";
}

impl Default for BackendMeta {
    fn default() -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            creation_timestamp: None,
            operator_version: None,
            repositories: Vec::new(),
        }
    }
}

/// Go writes an empty list without `omitempty` as `null`.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StorageRepository>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        let meta: BackendMeta = serde_json::from_str(
            r#"{"apiVersion":"config.kubestash.com/v1alpha1","kind":"BackendMeta","creationTimestamp":null,"repositories":null}"#,
        )
        .unwrap();
        assert_eq!(meta, BackendMeta::default());
    }
}
