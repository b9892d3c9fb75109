//! A storage with what is needed to reach it.

use std::path::PathBuf;

use super::{BackendError, SecretValues};
use crate::api::config::job_plan::PlanStorage;
use crate::api::storage::Provider;

/// A storage with what is needed to reach it.
#[derive(Clone, Debug)]
pub struct Storage {
    /// How people know it, for messages: `BackupStorage demo/s3`.
    pub label: String,
    /// `spec.storage`.
    pub spec: PlanStorage,
    /// For `local`: the directory that holds the content.
    pub local_root: Option<PathBuf>,
    /// The values of the storage's Secret; `None`: the provider's ambient identity counts.
    pub credentials: Option<SecretValues>,
}

impl Storage {
    /// The provider.
    ///
    /// # Errors
    /// When the word is unknown or the provider's block is missing.
    pub fn provider(&self) -> Result<Provider, BackendError> {
        let spec = &self.spec;
        let (provider, present) = match spec.provider.as_str() {
            "local" => (Provider::Local, true),
            "s3" => (Provider::S3, spec.s3.is_some()),
            "gcs" => (Provider::Gcs, spec.gcs.is_some()),
            "azure" => (Provider::Azure, spec.azure.is_some()),
            other => {
                return Err(BackendError::misconfigured(
                    &self.label,
                    &format!("the provider \"{other}\" is not known; use local, s3, gcs or azure"),
                ));
            }
        };
        if present {
            Ok(provider)
        } else {
            Err(BackendError::misconfigured(
                &self.label,
                &format!("spec.storage.{provider} is missing although the provider is {provider}"),
            ))
        }
    }

    /// The directory in the bucket or container, without slashes at its ends; empty for `local`, whose root says it all.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let spec = &self.spec;
        let prefix = match spec.provider.as_str() {
            "s3" => spec.s3.as_ref().map(|s| s.prefix.as_str()),
            "gcs" => spec.gcs.as_ref().map(|s| s.prefix.as_str()),
            "azure" => spec.azure.as_ref().map(|s| s.prefix.as_str()),
            _ => None,
        };
        prefix.unwrap_or_default().trim_matches('/')
    }

    /// The directory of a local storage.
    pub(super) fn root(&self) -> Result<&PathBuf, BackendError> {
        self.local_root.as_ref().ok_or_else(|| {
            BackendError::misconfigured(
                &self.label,
                "its volume is not mounted here, so its content cannot be reached",
            )
        })
    }
}

/// Joins parts of a path with single slashes; empty parts vanish.
#[must_use]
pub fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let segments: Vec<&str> = parts
        .into_iter()
        .flat_map(|part| part.split('/'))
        .filter(|segment| !segment.is_empty())
        .collect();
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_with_single_slashes() {
        assert_eq!(join(["", "/a/", "b//c", ""]), "a/b/c");
        assert_eq!(join(["", "/"]), "");
    }
}
