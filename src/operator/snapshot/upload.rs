//! A Snapshot's document into its storage.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt};

use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::labels::component;
use crate::api::storage::{BackupStorage, Repository, Snapshot, SnapshotStatus};
use crate::decide::naming;
use crate::decide::plan::SecretData;
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::operator::storage_access::{self, SecretFact, full_name, is_local};
use crate::operator::storage_jobs;
use crate::operator::{Context, Error};

/// How far the upload is.
pub(super) enum Uploaded {
    /// The document is there; the Job that wrote it can go.
    Done(Option<Box<Job>>),
    /// A Job writes it.
    Waiting,
}

/// Where a Snapshot's Repository lies.
pub(super) struct Home {
    pub(super) repository: Repository,
    pub(super) storage: BackupStorage,
    pub(super) secret: SecretFact,
}

/// Repository, storage and Secret of a Snapshot.
///
/// # Errors
/// [`Error::Step`] naming what is missing, or what the API server answered.
pub(super) async fn home(ctx: &Context, snapshot: &Snapshot) -> Result<Home, Error> {
    let namespace = snapshot.namespace().unwrap_or_default();
    let repositories: Api<Repository> = Api::namespaced(ctx.client.clone(), &namespace);
    let repository = repositories
        .get_opt(&snapshot.spec.repository)
        .await?
        .ok_or_else(|| {
            Error::Step(format!(
                "Repository {namespace}/{} does not exist",
                snapshot.spec.repository
            ))
        })?;
    let reference = repository.spec.storage_ref.clone().unwrap_or_default();
    let own = reference.namespace_or(&namespace).to_owned();
    let storages: Api<BackupStorage> = Api::namespaced(ctx.client.clone(), &own);
    let storage = storages
        .get_opt(&reference.name)
        .await?
        .ok_or_else(|| Error::Step(format!("BackupStorage {own}/{} does not exist", reference.name)))?;
    let secret = storage_access::secret(&ctx.client, &storage).await?;
    if let SecretFact::Missing(name) = &secret {
        return Err(Error::Step(format!(
            "Secret {own}/{name} of BackupStorage {} does not exist",
            full_name(&storage)
        )));
    }
    Ok(Home {
        repository,
        storage,
        secret,
    })
}

/// Writes the document of `snapshot` as it will be with `status`.
///
/// # Errors
/// Why it cannot be written; [`Error::Step`] sentences are fit for the status.
pub(super) async fn run(
    ctx: &Context,
    snapshot: &Snapshot,
    status: &SnapshotStatus,
) -> Result<Uploaded, Error> {
    let home = home(ctx, snapshot).await?;
    let mut finished = snapshot.clone();
    finished.status = Some(status.clone());
    let text = storage_access::document(&finished)?;
    let path = naming::snapshot_document(&home.repository.spec.path, &snapshot.name_any());
    if is_local(&home.storage) {
        return by_job(ctx, snapshot, &home.storage, path, text).await;
    }
    let documents =
        storage_access::documents(&home.storage, &home.secret).map_err(|e| Error::Step(e.to_string()))?;
    documents
        .put(&path, text)
        .await
        .map_err(|e| Error::Step(e.to_string()))?;
    Ok(Uploaded::Done(None))
}

async fn by_job(
    ctx: &Context,
    snapshot: &Snapshot,
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
    let name = naming::upload_job(&snapshot.name_any());
    let mut wanted = Wanted::new(
        name,
        component::UPLOADER,
        "Snapshot",
        snapshot,
        storage,
        plan,
        data,
    );
    wanted.identity = snapshot.uid().unwrap_or_default();
    let job = storage_jobs::succeeded(ctx, &wanted).await?;
    Ok(job.map_or(Uploaded::Waiting, |job| Uploaded::Done(Some(job))))
}
