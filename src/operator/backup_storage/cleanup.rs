//! The end of a BackupStorage: the Repositories in it go, with `WipeOut` what it holds goes too, then the object.
//!
//! Only what is ours is wiped: everything below the prefix, but never the place of another BackupStorage that lies inside,
//! and in a bucket that is used without a prefix only the list and the directories of repositories. A storage that cannot
//! be reached (no Secret, wrong credentials, full) does not hold the object: after a bound it is let go, and an event says
//! that the data stays.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::{Api, ResourceExt, api::ListParams, runtime::controller::Action};

use super::{Shared, metadata::backend_error};
use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::labels::{FINALIZER, component};
use crate::api::storage::{BackupStorage, BackupStoragePhase, DeletionPolicy, Repository};
use crate::backend::Documents;
use crate::decide::naming::{self, STORAGE_METADATA, join_path};
use crate::decide::place::Place;
use crate::decide::plan::SecretData;
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::operator::snapshot::GIVE_UP_AFTER;
use crate::operator::storage_access::{self, SecretFact, full_name, is_local};
use crate::operator::storage_jobs;
use crate::operator::{Context, Error, lookup};

/// Removing everything may take long.
const WIPE_SECONDS: i64 = 24 * 3600;

/// The last Repository that goes wakes the storage; one held by a foreign finalizer does not.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Deletions at the same time.
const PARALLEL: usize = 16;

pub(super) async fn run(storage: &BackupStorage, ctx: &Context, shared: &Shared) -> Result<Action, Error> {
    if !storage.finalizers().iter().any(|name| name == FINALIZER) {
        return Ok(Action::await_change());
    }
    if delete_repositories(ctx, storage).await? > 0 {
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    if storage.spec.deletion_policy == DeletionPolicy::WipeOut {
        match Box::pin(wipe(ctx, storage)).await {
            Ok(true) => {}
            Ok(false) => return Ok(Action::await_change()),
            Err(error) => {
                if !may_give_up(storage, &error, Timestamp::now()) {
                    return Err(error);
                }
                let note = format!("its data stays in the backend: {}", error.sentence());
                ctx.events
                    .warning(storage, "WipeOut", "DataLeftBehind", &note)
                    .await;
                tracing::warn!(storage = %full_name(storage), "{note}");
            }
        }
    }
    shared.forget(storage);
    ctx.applier.remove_finalizer(storage, FINALIZER).await?;
    Ok(Action::await_change())
}

/// Deletes the Repositories that lie in the storage; answers how many are still there. They are read from the API server
/// and not from the cache: nothing may be overlooked here.
async fn delete_repositories(ctx: &Context, storage: &BackupStorage) -> Result<usize, Error> {
    let all = lookup::list(&Api::<Repository>::all(ctx.client.clone()), ListParams::default()).await?;
    let (namespace, name) = (storage.namespace().unwrap_or_default(), storage.name_any());
    let lies_here = |repository: &&Repository| {
        let own = repository.namespace().unwrap_or_default();
        let reference = repository.spec.storage_ref.as_ref();
        reference.is_some_and(|reference| reference.name == name && reference.namespace_or(&own) == namespace)
    };
    // One made after the deletion began (a BackupConfiguration still asks for it) finds no storage; it must not hold this
    // one for ever.
    let going_since = storage.metadata.deletion_timestamp.clone();
    let earlier = |repository: &&Repository| repository.creation_timestamp() <= going_since;
    let found: Vec<&Repository> = all.iter().filter(lies_here).filter(earlier).collect();
    for repository in found
        .iter()
        .filter(|repository| repository.metadata.deletion_timestamp.is_none())
    {
        ctx.applier.delete_object(*repository).await?;
    }
    Ok(found.len())
}

/// A storage that did not work before is not waited for; one that did gets its time.
fn may_give_up(storage: &BackupStorage, error: &Error, now: Timestamp) -> bool {
    let since = storage
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    let worked = storage.status.as_ref().and_then(|status| status.phase) == Some(BackupStoragePhase::Ready);
    let of_backend = matches!(error, Error::Step(_));
    matches!(error, Error::Invalid(_))
        || (of_backend && !worked)
        || now.duration_since(since) >= GIVE_UP_AFTER
}

/// Removes what the storage holds. `false` while a Job does it.
async fn wipe(ctx: &Context, storage: &BackupStorage) -> Result<bool, Error> {
    let secret = storage_access::secret(&ctx.client, storage).await?;
    if let SecretFact::Missing(name) = &secret {
        let namespace = storage.namespace().unwrap_or_default();
        return Err(Error::Invalid(format!(
            "Secret {namespace}/{name} does not exist"
        )));
    }
    let others = lookup::list(
        &Api::<BackupStorage>::all(ctx.client.clone()),
        ListParams::default(),
    )
    .await?;
    let others: Vec<&BackupStorage> = others
        .iter()
        .filter(|other| other.uid() != storage.uid())
        .collect();
    if is_local(storage) {
        if let Some(inside) = others.iter().find(|other| lies_inside(storage, other)) {
            return Err(Error::Invalid(format!(
                "BackupStorage {} uses the same volume",
                full_name(*inside)
            )));
        }
        return by_job(ctx, storage).await;
    }
    let documents = storage_access::documents(storage, &secret).map_err(backend_error)?;
    let place = Place::of(&storage.spec.storage);
    let prefix = place.as_ref().map_or("", Place::prefix);
    let nested: Vec<String> = others
        .iter()
        .filter_map(|other| place.as_ref()?.contains(&Place::of(&other.spec.storage)?))
        .collect();
    if !prefix.is_empty() && nested.is_empty() {
        documents.delete_prefix("").await.map_err(backend_error)?;
        return Ok(true);
    }
    selectively(&documents, prefix.is_empty(), &nested).await?;
    Ok(true)
}

/// Removes objects one by one: none below a nested place, and in a bucket of which we own no prefix only our own.
async fn selectively(documents: &Documents, whole_bucket: bool, nested: &[String]) -> Result<(), Error> {
    let all: Vec<String> = documents
        .list("")
        .await
        .map_err(backend_error)?
        .into_iter()
        .map(|e| e.path)
        .collect();
    let going = ours(&all, whole_bucket, nested);
    stream::iter(going)
        .map(|path| async move { documents.delete(&path).await.map_err(backend_error) })
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await
}

/// Which of these objects are ours to remove.
fn ours(all: &[String], whole_bucket: bool, nested: &[String]) -> Vec<String> {
    let below = |path: &str, directory: &str| {
        path.strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let directories: Vec<&str> = all
        .iter()
        .filter_map(|path| path.strip_suffix("/repository.yaml"))
        .collect();
    all.iter()
        .filter(|path| !nested.iter().any(|directory| below(path, directory)))
        .filter(|path| {
            !whole_bucket
                || *path == STORAGE_METADATA
                || directories.iter().any(|directory| below(path, directory))
        })
        .cloned()
        .collect()
}

/// Whether another local storage is on the same volume, at our directory or inside it.
fn lies_inside(storage: &BackupStorage, other: &BackupStorage) -> bool {
    let (Some(ours), Some(theirs)) = (&storage.spec.storage.local, &other.spec.storage.local) else {
        return false;
    };
    // A claim is one volume only inside its namespace.
    if ours.source != theirs.source || storage.namespace() != other.namespace() {
        return false;
    }
    let path = |sub: &Option<String>| join_path([sub.as_deref().unwrap_or_default()]);
    let (ours, theirs) = (path(&ours.sub_path), path(&theirs.sub_path));
    ours.is_empty() || ours == theirs || theirs.starts_with(&format!("{ours}/"))
}

async fn by_job(ctx: &Context, storage: &BackupStorage) -> Result<bool, Error> {
    let mut data = SecretData::new();
    let backend = plan_backend(storage, None, &mut data);
    let action = StorageAction::Wipe { path: String::new() };
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action,
        deadline: None,
    });
    let name = naming::cleanup_job(&storage.name_any());
    let mut wanted = Wanted::new(
        name,
        component::CLEANER,
        "BackupStorage",
        storage,
        storage,
        plan,
        data,
    );
    wanted.identity = storage.uid().unwrap_or_default();
    wanted.deadline = WIPE_SECONDS;
    storage_jobs::finish(ctx, &wanted).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(list: &[&str]) -> Vec<String> {
        list.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn nested_storages_are_spared() {
        let all = paths(&[
            "metadata.yaml",
            "a/repository.yaml",
            "inner/metadata.yaml",
            "inner/x",
            "innermost",
        ]);
        assert_eq!(
            ours(&all, false, &paths(&["inner"])),
            ["metadata.yaml", "a/repository.yaml", "innermost"]
        );
    }

    #[test]
    fn without_a_prefix_only_our_own_objects_go() {
        let all = paths(&[
            "metadata.yaml",
            "demo/web/repository.yaml",
            "demo/web/repository/v1/d/dump/config",
            "photos/cat.png",
        ]);
        assert_eq!(
            ours(&all, true, &[]),
            [
                "metadata.yaml",
                "demo/web/repository.yaml",
                "demo/web/repository/v1/d/dump/config"
            ]
        );
    }

    fn storage(phase: &str, sub: &str) -> BackupStorage {
        serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "demo", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"storage": {"provider": "local", "local": {"persistentVolumeClaim": {"claimName": "c"}, "mountPath": "/x", "subPath": sub}}},
            "status": {"phase": phase}}))
        .unwrap()
    }

    #[test]
    fn storages_on_one_volume_protect_each_other() {
        assert!(lies_inside(&storage("Ready", "a"), &storage("Ready", "a/b")));
        assert!(lies_inside(&storage("Ready", ""), &storage("Ready", "a")));
        assert!(!lies_inside(&storage("Ready", "a"), &storage("Ready", "ab")));
        assert!(!lies_inside(&storage("Ready", "a/b"), &storage("Ready", "a")));
    }

    #[test]
    fn a_storage_that_never_worked_is_let_go_at_once() {
        let now = "2026-01-01T00:00:01Z".parse().unwrap();
        assert!(may_give_up(
            &storage("NotReady", ""),
            &Error::Step("unreachable".into()),
            now
        ));
        assert!(!may_give_up(
            &storage("Ready", ""),
            &Error::Step("unreachable".into()),
            now
        ));
        assert!(may_give_up(
            &storage("Ready", ""),
            &Error::Step("x".into()),
            "2026-01-01T00:06:00Z".parse().unwrap()
        ));
    }
}
