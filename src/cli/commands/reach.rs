//! Whether the Jobs of a namespace reach a storage: a claim can only be mounted in its own namespace.

use serde_json::Value;

use crate::api::storage::BackupStorage;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Error, kinds};
use crate::decide::volumes;

/// Refuses a storage on a claim that pods in `namespace` do not have. Whoever may not look is not kept from trying.
///
/// # Errors
/// [`Exit::Precondition`] with the reason.
pub(super) async fn check(
    cluster: &Cluster,
    (storage_namespace, storage): (&str, &str),
    namespace: &str,
) -> Result<(), CliError> {
    if storage_namespace == namespace {
        return Ok(());
    }
    let found = cluster.get::<BackupStorage>(&kinds::BACKUP_STORAGE, Some(storage_namespace), storage);
    let Ok(found) = found.await else { return Ok(()) };
    let Some((claim, why)) = volumes::foreign_claim(&found, namespace) else {
        return Ok(());
    };
    match cluster.get::<Value>(&kinds::CLAIM, Some(namespace), &claim).await {
        Err(Error::NotFound { .. }) => Err(CliError::new(Exit::Precondition, format!("{why}."))
            .hint("`kubectl kubestash snapshot download` fetches the files of a Snapshot from any storage")),
        _ => Ok(()),
    }
}
