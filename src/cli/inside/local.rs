//! `--local`: what the operator would mount into a reader, read with the user's own rights into this process' memory.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::api::storage::{BackupStorage, Provider, Repository};
use crate::backend::{SecretText, SecretValues, Storage};
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Error, kinds};
use crate::decide::plan;
use crate::reader::Source;
use crate::restic::Redactor;

/// Everything that opens a Repository. Nothing of it is written to disk but what restic takes from files only (a
/// certificate, Google's key), in a directory of mode 0700 that goes with the command.
///
/// # Errors
/// When a Secret cannot be read, or the storage is a volume of the cluster.
pub(super) async fn source(cluster: &Cluster, repository: &Repository) -> Result<Source, CliError> {
    let (name, own) = (repository.name_any(), repository.namespace().unwrap_or_default());
    let missing = |what: &str| {
        CliError::new(
            Exit::Precondition,
            format!("Repository {name} names no {what}, so it cannot be opened"),
        )
    };
    let storage_ref = repository
        .spec
        .storage_ref
        .as_ref()
        .ok_or_else(|| missing("BackupStorage"))?;
    let place = storage_ref.namespace_or(&own).to_owned();
    let storage: BackupStorage = cluster
        .get(&kinds::BACKUP_STORAGE, Some(&place), &storage_ref.name)
        .await?;
    if storage.spec.storage.known_provider() == Some(Provider::Local) {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "BackupStorage {place}/{} is a volume of the cluster, which this machine cannot reach",
                storage_ref.name
            ),
        )
        .hint("leave --local out: a reader in the cluster mounts the volume"));
    }
    let mut redactor = Redactor::default();
    let credentials = match storage.spec.storage.secret_name() {
        Some(secret) => Some(values(cluster, &place, secret).await?),
        None => None,
    };
    let encryption = repository
        .spec
        .encryption_secret
        .as_ref()
        .ok_or_else(|| missing("encryption Secret"))?;
    let encryption = values(cluster, encryption.namespace_or(&own), &encryption.name).await?;
    let unusable = |e: crate::backend::BackendError| CliError::new(Exit::Precondition, e.message);
    let password = encryption.required("RESTIC_PASSWORD").map_err(unusable)?;
    redactor.learn([password]);
    if let Some(credentials) = &credentials {
        redactor.learn(credentials.texts());
    }
    let scratch = scratch()?;
    Ok(Source {
        storage: Storage {
            label: format!("BackupStorage {place}/{}", storage_ref.name),
            spec: plan::storage(&storage.spec.storage),
            local_root: None,
            credentials,
        },
        path: repository.spec.path.clone(),
        password: SecretText::new(password),
        redactor,
        cluster: crate::cli::commands::repo::unlock::identity(cluster).await,
        scratch,
        lock: false,
        remembers: false,
        natively: true,
    })
}

async fn values(cluster: &Cluster, namespace: &str, name: &str) -> Result<SecretValues, CliError> {
    let secret: Result<Secret, Error> = cluster.get(&kinds::SECRET, Some(namespace), name).await;
    let secret = secret.map_err(|error| match error {
        Error::Forbidden { .. } => {
            CliError::from(error).hint("leave --local out: a reader in the cluster needs no right on Secrets")
        }
        error => error.into(),
    })?;
    let values: BTreeMap<String, Vec<u8>> = secret
        .data
        .into_iter()
        .flatten()
        .map(|(key, value)| (key, value.0))
        .collect();
    Ok(SecretValues::new(namespace, name, values))
}

/// restic's cache and its temporary files: in the user's cache directory, readable to the user alone.
fn scratch() -> Result<std::path::PathBuf, CliError> {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(std::path::PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    let dir = home.join("kubectl-kubestash");
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(&dir)
        .map_err(|e| CliError::file(&dir.display().to_string(), &e))?;
    Ok(dir)
}
