//! `repository.yaml` into the storage.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::labels::component;
use crate::api::storage::{BackupStorage, Repository, RepositoryStatus};
use crate::decide::naming;
use crate::decide::plan::SecretData;
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::operator::storage_access::{self, is_local};
use crate::operator::storage_jobs;
use crate::operator::{Context, Error};

/// How far the upload is.
pub(super) enum Uploaded {
    /// The document is there; the Job that wrote it can go.
    Done(Option<Box<Job>>),
    /// A Job writes it.
    Waiting,
}

/// Writes the document of `repository` as it will be with `status`.
///
/// # Errors
/// Why it cannot be written.
pub(super) async fn run(
    ctx: &Context,
    repository: &Repository,
    status: &RepositoryStatus,
    storage: &BackupStorage,
) -> Result<Uploaded, Error> {
    let path = naming::repository_document(&repository.spec.path);
    let mut finished = repository.clone();
    finished.status = Some(status.clone());
    let text = storage_access::document(&finished)?;
    if is_local(storage) {
        return by_job(ctx, repository, status, storage, path, text).await;
    }
    let secret = storage_access::secret(&ctx.client, storage).await?;
    let documents = storage_access::documents(storage, &secret).map_err(|e| Error::Step(e.to_string()))?;
    documents
        .put(&path, text)
        .await
        .map_err(|e| Error::Step(e.to_string()))?;
    Ok(Uploaded::Done(None))
}

async fn by_job(
    ctx: &Context,
    repository: &Repository,
    status: &RepositoryStatus,
    storage: &BackupStorage,
    path: String,
    text: String,
) -> Result<Uploaded, Error> {
    let mut data = SecretData::new();
    let backend = plan_backend(storage, None, &mut data);
    let action = StorageAction::Upload {
        documents: BTreeMap::from([(path, text)]),
        remove: Vec::new(),
    };
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action,
        deadline: None,
    });
    let name = naming::upload_job(&repository.name_any());
    let mut wanted = Wanted::new(
        name,
        component::UPLOADER,
        "Repository",
        repository,
        storage,
        plan,
        data,
    );
    // Without the conditions, whose times differ from try to try.
    let counted = RepositoryStatus {
        conditions: Vec::new(),
        ..status.clone()
    };
    let counted = serde_json::to_string(&counted).map_err(|e| Error::Step(e.to_string()))?;
    wanted.identity = format!(
        "{}/{}/{counted}",
        repository.uid().unwrap_or_default(),
        repository.metadata.generation.unwrap_or(0)
    );
    let job = storage_jobs::succeeded(ctx, &wanted).await?;
    Ok(job.map_or(Uploaded::Waiting, |job| Uploaded::Done(Some(job))))
}
