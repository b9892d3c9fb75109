//! Documents in a storage become objects in the cluster again.
//!
//! Every step finds out first what is there already, so an interrupted re-sync goes on where it stopped. What cannot be
//! brought back is remembered in `status.repositories` with its reason and tried again.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt, api::ListParams, core::PartialObjectMeta};
use sha2::{Digest, Sha256};

use super::metadata::backend_error;
use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::labels::component;
use crate::api::storage::{BackupStorage, Repository, Snapshot, StorageRepository};
use crate::backend::Documents;
use crate::decide::plan::SecretData;
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::decide::{naming, resync};
use crate::operator::storage_access::{self, SecretFact, full_name, is_local};
use crate::operator::storage_jobs::{self, Progress};
use crate::operator::{Context, Error, lookup};

/// How many Snapshots are created at the same time.
const PARALLEL: usize = 8;

/// What came back.
pub(super) struct Back {
    /// The entries, marked synced or with the reason why not.
    pub(super) entries: Vec<StorageRepository>,
    /// The Job that read the documents.
    pub(super) job: Option<Box<Job>>,
}

/// Where the documents come from.
enum Source {
    Direct(Documents),
    Printed(BTreeMap<String, String>),
}

impl Source {
    async fn get(&self, path: &str) -> Result<Option<String>, Error> {
        match self {
            Self::Printed(all) => Ok(all.get(path).cloned()),
            Self::Direct(documents) => {
                let found = documents.get(path).await.map_err(backend_error)?;
                found
                    .map(|bytes| {
                        String::from_utf8(bytes).map_err(|_| Error::Step(format!("{path} is not text")))
                    })
                    .transpose()
            }
        }
    }

    /// The YAML documents directly in a directory.
    async fn list(&self, directory: &str) -> Result<Vec<String>, Error> {
        let inside = format!("{directory}/");
        let mut paths: Vec<String> = match self {
            Self::Printed(all) => all
                .keys()
                .filter(|path| path.starts_with(&inside))
                .cloned()
                .collect(),
            Self::Direct(documents) => {
                let entries = documents.list_directory(directory).await.map_err(backend_error)?;
                entries.into_iter().map(|entry| entry.path).collect()
            }
        };
        paths.retain(|path| path.ends_with(".yaml"));
        Ok(paths)
    }
}

/// Brings the Repositories of these entries back with their Snapshots. `None` while a Job reads the documents.
///
/// # Errors
/// When the storage cannot be read. What concerns one entry alone is told in that entry.
pub(super) async fn run(
    ctx: &Context,
    storage: &BackupStorage,
    secret: &SecretFact,
    lost: &[StorageRepository],
) -> Result<Option<Back>, Error> {
    let (source, job) = if is_local(storage) {
        let Some((documents, job)) = by_job(ctx, storage, lost).await? else {
            return Ok(None);
        };
        (Source::Printed(documents), Some(job))
    } else {
        (
            Source::Direct(storage_access::documents(storage, secret).map_err(backend_error)?),
            None,
        )
    };
    let mut entries = Vec::new();
    for entry in lost {
        let result = one(ctx, storage, &source, entry).await;
        let error = match result {
            Ok(()) => None,
            // Somebody else writes the same objects: do it again, rather than note it.
            Err(error @ Error::Conflict(_)) => return Err(error),
            Err(error) => Some(error.sentence()),
        };
        if let Some(error) = &error {
            let what = format!("{}/{}", entry.namespace, entry.name);
            tracing::warn!(storage = %full_name(storage), repository = %what, %error, "a repository was not brought back");
        }
        entries.push(StorageRepository {
            synced: Some(error.is_none()),
            error,
            ..entry.clone()
        });
    }
    Ok(Some(Back { entries, job }))
}

async fn one(
    ctx: &Context,
    storage: &BackupStorage,
    source: &Source,
    entry: &StorageRepository,
) -> Result<(), Error> {
    let refuse = |error: resync::ResyncError| Error::Invalid(error.to_string());
    resync::check_entry(entry).map_err(refuse)?;
    let api: Api<Repository> = Api::namespaced(ctx.client.clone(), &entry.namespace);
    let repository = match api.get_opt(&entry.name).await? {
        Some(existing) => {
            resync::is_same(&existing, entry, storage).map_err(refuse)?;
            existing
        }
        None => {
            let path = naming::repository_document(&entry.path);
            let text = source
                .get(&path)
                .await?
                .ok_or_else(|| Error::Invalid(format!("{path} is not there")))?;
            let document: Repository = crate::yaml::from_str(&text)
                .map_err(|error| Error::Invalid(format!("{path} cannot be read: {error}")))?;
            let wanted = resync::repository(entry, document, storage).map_err(refuse)?;
            ctx.applier.create_if_absent(&wanted).await?.0
        }
    };
    snapshots(ctx, source, entry, &repository).await
}

/// Creates the Snapshots that are missing, then their status.
async fn snapshots(
    ctx: &Context,
    source: &Source,
    entry: &StorageRepository,
    repository: &Repository,
) -> Result<(), Error> {
    let namespace = repository.namespace().unwrap_or_default();
    let api: Api<PartialObjectMeta<Snapshot>> = Api::namespaced(ctx.client.clone(), &namespace);
    let existing: HashSet<String> = lookup::list(&api, ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let paths = source.list(&naming::snapshots_directory(&entry.path)).await?;
    let missing = paths.into_iter().filter(|path| {
        // The name of the file is that of the object in our layout; another name is looked into.
        let name = path
            .rsplit('/')
            .next()
            .and_then(|file| file.strip_suffix(".yaml"))
            .unwrap_or_default();
        !existing.contains(name)
    });
    stream::iter(missing)
        .map(|path| async move {
            let Some(text) = source.get(&path).await? else {
                return Ok(());
            };
            let document: Snapshot = match crate::yaml::from_str(&text) {
                Ok(document) => document,
                Err(error) => {
                    tracing::warn!(%path, %error, "a Snapshot's document cannot be read and is passed over");
                    return Ok(());
                }
            };
            match resync::snapshot(document, repository) {
                Some(wanted) => create(ctx, &wanted).await,
                None => Ok(()),
            }
        })
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await
}

async fn create(ctx: &Context, wanted: &Snapshot) -> Result<(), Error> {
    let mut bare = wanted.clone();
    let status = bare.status.take();
    let (stored, _) = ctx.applier.create_if_absent(&bare).await?;
    if stored.status.is_none()
        && let Some(status) = status
    {
        ctx.applier.patch_status(&stored, &status).await?;
    }
    Ok(())
}

type Printed = (BTreeMap<String, String>, Box<Job>);

async fn by_job(
    ctx: &Context,
    storage: &BackupStorage,
    lost: &[StorageRepository],
) -> Result<Option<Printed>, Error> {
    let mut paths: Vec<String> = lost
        .iter()
        .filter(|entry| resync::check_entry(entry).is_ok())
        .flat_map(|entry| {
            [
                naming::repository_document(&entry.path),
                naming::snapshots_directory(&entry.path),
            ]
        })
        .collect();
    paths.sort();
    let mut data = SecretData::new();
    let backend = plan_backend(storage, None, &mut data);
    let digest = Sha256::digest(paths.join("\n").as_bytes());
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action: StorageAction::Read { paths },
        deadline: None,
    });
    let name = naming::read_job(&storage.name_any());
    let mut wanted = Wanted::new(
        name,
        component::INITIALIZER,
        "BackupStorage",
        storage,
        storage,
        plan,
        data,
    );
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    wanted.identity = format!("{}/{hash}", storage.uid().unwrap_or_default());
    match storage_jobs::run(ctx, &wanted).await? {
        Progress::Running => Ok(None),
        Progress::Failed(job, reason) => {
            storage_jobs::discard(ctx, &job).await?;
            Err(Error::Step(reason))
        }
        Progress::Succeeded(job) => match storage_jobs::printed(ctx, &job).await? {
            Some(printed) => Ok(Some((
                printed.into_iter().map(|d| (d.document, d.content)).collect(),
                job,
            ))),
            None => {
                storage_jobs::discard(ctx, &job).await?;
                Err(Error::Step(
                    "what the reading Job printed did not arrive complete".to_owned(),
                ))
            }
        },
    }
}
