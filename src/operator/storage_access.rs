//! How a controller reaches the documents of a storage: directly over the network, or by Jobs for local volumes.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

use super::Error;
use crate::api::storage::{BackupStorage, Provider};
use crate::backend::{BackendError, Documents, SecretValues, Storage};
use crate::decide::plan;

/// Whether the storage's Secret is there.
pub enum SecretFact {
    /// The storage names none: its identity is ambient, or it is a local volume.
    NotNeeded,
    /// The Secret of that name does not exist in the storage's namespace.
    Missing(String),
    /// It exists.
    Found(Box<Secret>),
}

impl SecretFact {
    /// The Secret, where there is one.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Found(secret) => Some(secret),
            _ => None,
        }
    }

    /// The version that was read; empty without a Secret.
    #[must_use]
    pub fn version(&self) -> String {
        self.secret()
            .and_then(ResourceExt::resource_version)
            .unwrap_or_default()
    }
}

/// Looks the storage's Secret up in its namespace.
///
/// # Errors
/// What the API server answered, but not that the Secret does not exist.
pub async fn secret(client: &Client, storage: &BackupStorage) -> Result<SecretFact, Error> {
    let Some(name) = storage.spec.storage.secret_name() else {
        return Ok(SecretFact::NotNeeded);
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), &storage.namespace().unwrap_or_default());
    Ok(api.get_opt(name).await?.map_or_else(
        || SecretFact::Missing(name.to_owned()),
        |secret| SecretFact::Found(Box::new(secret)),
    ))
}

/// True when only a pod that mounts it can reach the storage.
#[must_use]
pub fn is_local(storage: &BackupStorage) -> bool {
    storage.spec.storage.known_provider() == Some(Provider::Local)
}

/// The documents of a storage that is reached over the network.
///
/// # Errors
/// When the storage or its Secret cannot work as written.
pub fn documents(storage: &BackupStorage, secret: &SecretFact) -> Result<Documents, BackendError> {
    Storage {
        label: format!("BackupStorage {}", full_name(storage)),
        spec: plan::storage(&storage.spec.storage),
        local_root: None,
        credentials: secret.secret().map(SecretValues::from),
    }
    .documents()
}

/// `namespace/name`, for messages.
#[must_use]
pub fn full_name(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// An object as the document of its name: the whole resource as YAML, without the bookkeeping of server-side apply.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn document<K>(object: &K) -> Result<String, Error>
where
    K: kube::Resource<DynamicType = ()> + serde::Serialize + Clone,
{
    let mut object = object.clone();
    object.managed_fields_mut().clear();
    let mut value = serde_json::to_value(&object).map_err(|error| Error::Step(error.to_string()))?;
    value["apiVersion"] = K::api_version(&()).into();
    value["kind"] = K::kind(&()).into();
    crate::yaml::to_string(&value).map_err(|error| Error::Step(error.to_string()))
}
