//! `metadata.yaml`: its text, and keeping it in step.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use crate::api::config::BackendMeta;
use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::labels::component;
use crate::api::storage::{BackupStorage, StorageRepository};
use crate::backend::{BackendError, Problem};
use crate::decide::naming::{self, STORAGE_METADATA};
use crate::decide::plan::SecretData;
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::operator::storage_access::{self, SecretFact, is_local};
use crate::operator::storage_jobs::{self, Progress};
use crate::operator::{Context, Error};

/// How far the writing is.
pub(super) enum Written {
    /// A Job writes.
    Waiting,
    /// The list is in the storage; the Job that wrote it can go.
    Done(Option<Box<Job>>),
}

/// A failure of the backend as one of ours: some can only be mended by a person.
pub(super) fn backend_error(error: BackendError) -> Error {
    match error.problem {
        Problem::Misconfigured | Problem::SecretKeyMissing => Error::Invalid(error.message),
        _ => Error::Step(error.message),
    }
}

/// The document with this list.
///
/// # Errors
/// When it cannot be written as YAML.
pub(super) fn text(storage: &BackupStorage, list: &[StorageRepository]) -> Result<String, Error> {
    let repositories = list
        .iter()
        .map(|entry| StorageRepository {
            synced: None,
            error: None,
            ..entry.clone()
        })
        .collect();
    let meta = BackendMeta {
        // The storage's own age, so that writing it again gives the same text.
        creation_timestamp: storage.metadata.creation_timestamp.clone(),
        operator_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        repositories,
        ..BackendMeta::default()
    };
    crate::yaml::to_string(&meta).map_err(|error| Error::Step(error.to_string()))
}

/// Reads the document.
///
/// # Errors
/// [`Error::Invalid`] when it is no list: it is never overwritten then.
pub(super) fn parse(bytes: &[u8]) -> Result<BackendMeta, Error> {
    let unreadable = |cause: String| {
        Error::Invalid(format!(
            "{STORAGE_METADATA} in the backend cannot be read ({cause}); mend it, or move it away if nothing else lies there"
        ))
    };
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
    crate::yaml::from_str(text).map_err(|error| unreadable(error.to_string()))
}

/// The list to write: ours, and what others (another cluster that shares the place) have put there since. What we knew
/// and no longer have goes.
fn merged(
    remote: Vec<StorageRepository>,
    before: &[StorageRepository],
    now: &[StorageRepository],
) -> Vec<StorageRepository> {
    let same = |a: &StorageRepository, b: &StorageRepository| a.name == b.name && a.namespace == b.namespace;
    let mut list = now.to_vec();
    list.extend(remote.into_iter().filter(|entry| {
        !before.iter().any(|known| same(known, entry)) && !now.iter().any(|known| same(known, entry))
    }));
    list
}

/// Brings the list in the storage in step with `now`; `before` is what it was when we last wrote it.
///
/// # Errors
/// As [`backend_error`].
pub(super) async fn write(
    ctx: &Context,
    storage: &BackupStorage,
    secret: &SecretFact,
    before: &[StorageRepository],
    now: &[StorageRepository],
) -> Result<Written, Error> {
    if is_local(storage) {
        return by_job(ctx, storage, now).await;
    }
    let documents = storage_access::documents(storage, secret).map_err(backend_error)?;
    let remote = match documents.get(STORAGE_METADATA).await.map_err(backend_error)? {
        Some(bytes) => parse(&bytes)?.repositories,
        None => Vec::new(),
    };
    let list = text(storage, &merged(remote, before, now))?;
    documents
        .put(STORAGE_METADATA, list)
        .await
        .map_err(backend_error)?;
    Ok(Written::Done(None))
}

async fn by_job(ctx: &Context, storage: &BackupStorage, now: &[StorageRepository]) -> Result<Written, Error> {
    let mut data = SecretData::new();
    let backend = plan_backend(storage, None, &mut data);
    let text = text(storage, now)?;
    let action = StorageAction::Upload {
        documents: [(STORAGE_METADATA.to_owned(), text)].into(),
        remove: Vec::new(),
    };
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action,
        deadline: None,
    });
    let name = naming::upload_job(&storage.name_any());
    let mut wanted = Wanted::new(
        name,
        component::UPLOADER,
        "BackupStorage",
        storage,
        storage,
        plan,
        data,
    );
    let keys: Vec<_> = now
        .iter()
        .map(|entry| (&entry.namespace, &entry.name, &entry.path))
        .collect();
    let keys = serde_json::to_string(&keys).map_err(|error| Error::Step(error.to_string()))?;
    wanted.identity = format!("{}/{keys}", storage.uid().unwrap_or_default());
    match storage_jobs::run(ctx, &wanted).await? {
        Progress::Running => Ok(Written::Waiting),
        Progress::Succeeded(job) => Ok(Written::Done(Some(job))),
        Progress::Failed(job, reason) => {
            storage_jobs::discard(ctx, &job).await?;
            Err(Error::Step(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> StorageRepository {
        StorageRepository {
            name: name.into(),
            namespace: "demo".into(),
            path: name.into(),
            ..StorageRepository::default()
        }
    }

    #[test]
    fn others_entries_stay_and_our_deleted_ones_go() {
        let remote = vec![entry("kept"), entry("deleted"), entry("theirs")];
        let list = merged(
            remote,
            &[entry("kept"), entry("deleted")],
            &[entry("kept"), entry("new")],
        );
        let names: Vec<_> = list.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["kept", "new", "theirs"]);
    }

    #[test]
    fn the_document_round_trips_and_a_spoilt_one_is_refused() {
        let storage = BackupStorage::default();
        let written = text(&storage, &[entry("r")]).unwrap();
        assert_eq!(parse(written.as_bytes()).unwrap().repositories, [entry("r")]);
        assert!(matches!(parse(b"\xff"), Err(Error::Invalid(_))));
        assert!(matches!(parse(b"repositories: 7"), Err(Error::Invalid(_))));
    }
}
