//! Finding or writing `metadata.yaml`.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::metadata;
use crate::api::conditions::backup_storage::BACKEND_INITIALIZED;
use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::labels::component;
use crate::api::storage::{BackupStorage, BackupStorageStatus, Repository, StorageRepository};
use crate::backend::Problem;
use crate::decide::conditions::{find, is_true};
use crate::decide::naming::{self, STORAGE_METADATA};
use crate::decide::place::mount_refusal;
use crate::decide::plan::SecretData;
use crate::decide::repository_status;
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::operator::storage_access::{self, SecretFact, is_local};
use crate::operator::storage_jobs::{self, Progress};
use crate::operator::{Context, Error};

/// What the storage holds.
pub(super) struct Found {
    /// The repositories in its list.
    pub(super) listed: Vec<StorageRepository>,
    /// Whether the list was there, and not written just now.
    pub(super) existed: bool,
    /// The Job that looked.
    pub(super) job: Option<Box<Job>>,
}

/// Whether the backend has to be reached: never was, differs from what was reached, or (over the network) has not been
/// reached with this Secret by this process.
pub(super) fn is_due(
    storage: &BackupStorage,
    status: &BackupStorageStatus,
    reached: impl FnOnce() -> bool,
) -> bool {
    let known = find(&status.conditions, BACKEND_INITIALIZED);
    !is_true(&status.conditions, BACKEND_INITIALIZED)
        || known.and_then(|c| c.observed_generation) != storage.metadata.generation
        || (!is_local(storage) && !reached())
}

/// Whether this is a new storage: then what its place holds already is brought back. Afterwards the cluster knows better:
/// a Repository that was deleted must not return because the storage was unreachable for a while.
pub(super) fn is_first(status: &BackupStorageStatus) -> bool {
    !is_true(&status.conditions, BACKEND_INITIALIZED) && status.repositories.is_empty()
}

/// Looks for the list and writes one where there is none. `None` while a Job does it. A storage that is new (`first`) makes
/// its bucket where its provider's users expect that.
///
/// # Errors
/// [`Error::Invalid`] when only a change of the spec or the Secret helps, [`Error::Step`] for other failures of the
/// backend; both with a sentence for the status.
pub(super) async fn run(
    ctx: &Context,
    storage: &BackupStorage,
    secret: &SecretFact,
    repositories: &[Repository],
    first: bool,
) -> Result<Option<Found>, Error> {
    let refs: Vec<&Repository> = repositories.iter().collect();
    let known = repository_status::of_repositories(&BackupStorageStatus::default(), &refs, &[]).repositories;
    let fresh = metadata::text(storage, &known)?;
    if is_local(storage) {
        return by_job(ctx, storage, known, fresh).await;
    }
    let documents = storage_access::documents(storage, secret).map_err(metadata::backend_error)?;
    let found = match documents.get(STORAGE_METADATA).await {
        // A bucket that was there and is not any more must be missed, not replaced by an empty one.
        Err(error) if error.problem == Problem::BucketMissing && first => {
            if !documents.make_bucket().await.map_err(metadata::backend_error)? {
                return Err(metadata::backend_error(error));
            }
            documents.get(STORAGE_METADATA).await
        }
        other => other,
    };
    let found = found.map_err(metadata::backend_error)?;
    let existed = found.is_some();
    let listed = match found {
        Some(bytes) => metadata::parse(&bytes)?.repositories,
        None => {
            documents
                .put(STORAGE_METADATA, fresh)
                .await
                .map_err(metadata::backend_error)?;
            known
        }
    };
    Ok(Some(Found {
        listed,
        existed,
        job: None,
    }))
}

async fn by_job(
    ctx: &Context,
    storage: &BackupStorage,
    known: Vec<StorageRepository>,
    metadata: String,
) -> Result<Option<Found>, Error> {
    if storage.spec.storage.local.is_none() {
        return Err(Error::Invalid(
            "spec.storage.local is missing although the provider is local".to_owned(),
        ));
    }
    if let Some(refusal) = mount_refusal(&storage.spec.storage) {
        return Err(Error::Invalid(refusal));
    }
    let mut data = SecretData::new();
    let backend = plan_backend(storage, None, &mut data);
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action: StorageAction::Init { metadata },
        deadline: None,
    });
    let name = naming::init_job(&storage.name_any());
    let mut wanted = Wanted::new(
        name,
        component::INITIALIZER,
        "BackupStorage",
        storage,
        storage,
        plan,
        data,
    );
    wanted.identity = format!(
        "{}/{:?}",
        storage.uid().unwrap_or_default(),
        storage.metadata.generation
    );
    match storage_jobs::run(ctx, &wanted).await? {
        Progress::Running => Ok(None),
        Progress::Failed(job, reason) => {
            storage_jobs::discard(ctx, &job).await?;
            Err(Error::Step(reason))
        }
        Progress::Succeeded(job) => {
            let Some(printed) = storage_jobs::printed(ctx, &job).await? else {
                storage_jobs::discard(ctx, &job).await?;
                return Err(Error::Step(
                    "what the initializing Job printed did not arrive complete".to_owned(),
                ));
            };
            let found = printed
                .iter()
                .find(|document| document.document == STORAGE_METADATA);
            let listed = match found {
                Some(document) => super::metadata::parse(document.content.as_bytes())?.repositories,
                None => known,
            };
            Ok(Some(Found {
                listed,
                existed: found.is_some(),
                job: Some(job),
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn storage(generation: i64) -> BackupStorage {
        serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "demo", "generation": generation}, "spec": {"storage": {"provider": "s3"}}}))
        .unwrap()
    }

    fn status(value: &str, generation: i64, repositories: &[&str]) -> BackupStorageStatus {
        let entries: Vec<_> = repositories
            .iter()
            .map(|name| json!({"name": name, "namespace": "demo", "path": name}))
            .collect();
        serde_json::from_value(
            json!({"repositories": entries, "conditions": [{"type": "BackendInitialized", "status": value,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation}]}),
        )
        .unwrap()
    }

    #[test]
    fn the_backend_is_reached_when_something_is_new() {
        assert!(is_due(&storage(1), &BackupStorageStatus::default(), || true));
        assert!(is_due(&storage(1), &status("False", 1, &[]), || true));
        assert!(is_due(&storage(2), &status("True", 1, &[]), || true));
        assert!(is_due(&storage(1), &status("True", 1, &[]), || false));
        assert!(!is_due(&storage(1), &status("True", 1, &[]), || true));
    }

    #[test]
    fn only_a_new_storage_is_synced_back() {
        assert!(is_first(&BackupStorageStatus::default()));
        assert!(is_first(&status("False", 1, &[])));
        assert!(!is_first(&status("True", 1, &[])));
        assert!(!is_first(&status("False", 1, &["r"])));
    }
}
