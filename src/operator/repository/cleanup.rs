//! The end of a Repository: first its Snapshots go, then with `WipeOut` its directory, then the object.
//!
//! The directory stays when its BackupStorage is being deleted as well (that decides about everything in it), when
//! another Repository lies inside it, or when it cannot be reached: an event says so. Nothing holds the object for ever.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, ResourceExt, api::ListParams, core::PartialObjectMeta, runtime::controller::Action};

use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::labels::{self, FINALIZER, component};
use crate::api::storage::{BackupStorage, DeletionPolicy, Repository, Snapshot};
use crate::decide::backup::label;
use crate::decide::naming::{self, join_path};
use crate::decide::plan::SecretData;
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::operator::signals::Signals;
use crate::operator::snapshot::GIVE_UP_AFTER;
use crate::operator::storage_access::{self, SecretFact, full_name, is_local};
use crate::operator::storage_jobs;
use crate::operator::{Context, Error, lookup};

/// Removing a directory may take long.
const WIPE_SECONDS: i64 = 6 * 3600;

/// The last Snapshot that goes wakes the Repository; one held by a foreign finalizer does not, so it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

pub(super) async fn run(repository: &Repository, ctx: &Context, signals: &Signals) -> Result<Action, Error> {
    if !repository.finalizers().iter().any(|name| name == FINALIZER) {
        return Ok(Action::await_change());
    }
    if delete_snapshots(ctx, repository).await? > 0 {
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    if repository.spec.deletion_policy == DeletionPolicy::WipeOut {
        match Box::pin(wipe(ctx, repository)).await {
            Ok(true) => {}
            Ok(false) => return Ok(Action::await_change()),
            Err(error) => {
                if !may_give_up(repository, &error, Timestamp::now()) {
                    return Err(error);
                }
                let note = format!(
                    "directory \"{}\" stays in the backend: {}",
                    repository.spec.path,
                    error.sentence()
                );
                ctx.events
                    .warning(repository, "WipeOut", "DataLeftBehind", &note)
                    .await;
                tracing::warn!(repository = %full_name(repository), "{note}");
            }
        }
    }
    ctx.applier.remove_finalizer(repository, FINALIZER).await?;
    signals.storage_of(repository);
    Ok(Action::await_change())
}

/// Deletes the Snapshots of the Repository; answers how many are still there.
async fn delete_snapshots(ctx: &Context, repository: &Repository) -> Result<usize, Error> {
    let namespace = repository.namespace().unwrap_or_default();
    let api: Api<PartialObjectMeta<Snapshot>> = Api::namespaced(ctx.client.clone(), &namespace);
    let labelled = ListParams::default().labels(&format!(
        "{}={}",
        labels::REPO_NAME,
        label(&repository.name_any())
    ));
    let mut found = lookup::list(&api, labelled).await?;
    let uid = repository.uid();
    found.retain(|snapshot| {
        let owners = snapshot.owner_references();
        owners.is_empty() || owners.iter().any(|owner| Some(&owner.uid) == uid.as_ref())
    });
    for snapshot in found
        .iter()
        .filter(|snapshot| snapshot.metadata.deletion_timestamp.is_none())
    {
        ctx.applier
            .delete::<Snapshot>(&namespace, &snapshot.name_any())
            .await?;
    }
    Ok(found.len())
}

fn may_give_up(repository: &Repository, error: &Error, now: Timestamp) -> bool {
    let since = repository
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    matches!(error, Error::Invalid(_)) || now.duration_since(since) >= GIVE_UP_AFTER
}

/// Removes the directory. `false` while a Job does it. [`Error::Invalid`] when it must or can not be removed.
async fn wipe(ctx: &Context, repository: &Repository) -> Result<bool, Error> {
    let own = repository.namespace().unwrap_or_default();
    let reference = repository.spec.storage_ref.clone().unwrap_or_default();
    let namespace = reference.namespace_or(&own).to_owned();
    let storages: Api<BackupStorage> = Api::namespaced(ctx.client.clone(), &namespace);
    let Some(storage) = storages.get_opt(&reference.name).await? else {
        return Err(Error::Invalid(format!(
            "BackupStorage {namespace}/{} does not exist",
            reference.name
        )));
    };
    if storage.metadata.deletion_timestamp.is_some() {
        return Ok(true);
    }
    let path = join_path([repository.spec.path.as_str()]);
    safe(&path).map_err(Error::Invalid)?;
    if let Some(inside) = other_inside(ctx, repository, &namespace, &reference.name, &path).await? {
        return Err(Error::Invalid(format!(
            "Repository {inside} has its directory inside"
        )));
    }
    let secret = storage_access::secret(&ctx.client, &storage).await?;
    if let SecretFact::Missing(name) = &secret {
        return Err(Error::Invalid(format!(
            "Secret {namespace}/{name} does not exist"
        )));
    }
    if is_local(&storage) {
        return by_job(ctx, repository, &storage, path).await;
    }
    let documents =
        storage_access::documents(&storage, &secret).map_err(|e| Error::Invalid(e.to_string()))?;
    documents
        .delete_prefix(&path)
        .await
        .map_err(|e| Error::Step(e.to_string()))?;
    Ok(true)
}

/// Only a proper directory of its own may be removed.
fn safe(path: &str) -> Result<(), String> {
    if path.is_empty() || path.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("\"{path}\" is no directory of its own"));
    }
    Ok(())
}

/// Another Repository of the same storage whose directory is this one or lies inside it.
async fn other_inside(
    ctx: &Context,
    repository: &Repository,
    storage_namespace: &str,
    storage: &str,
    path: &str,
) -> Result<Option<String>, Error> {
    let all = lookup::list(&Api::<Repository>::all(ctx.client.clone()), ListParams::default()).await?;
    let found = all.iter().find(|other| {
        let own = other.namespace().unwrap_or_default();
        let reference = other.spec.storage_ref.clone().unwrap_or_default();
        let theirs = join_path([other.spec.path.as_str()]);
        other.uid() != repository.uid()
            && reference.name == storage
            && reference.namespace_or(&own) == storage_namespace
            && (theirs == path || theirs.starts_with(&format!("{path}/")))
    });
    Ok(found.map(full_name))
}

async fn by_job(
    ctx: &Context,
    repository: &Repository,
    storage: &BackupStorage,
    path: String,
) -> Result<bool, Error> {
    let mut data = SecretData::new();
    let backend = plan_backend(storage, None, &mut data);
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action: StorageAction::Wipe { path },
        deadline: None,
    });
    let name = naming::cleanup_job(&repository.name_any());
    let mut wanted = Wanted::new(
        name,
        component::CLEANER,
        "Repository",
        repository,
        storage,
        plan,
        data,
    );
    wanted.identity = repository.uid().unwrap_or_default();
    wanted.deadline = WIPE_SECONDS;
    storage_jobs::finish(ctx, &wanted).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_of_its_own_is_removed() {
        assert!(safe("demo/web").is_ok());
        for path in ["", ".", "..", "a/../b"] {
            assert!(safe(path).is_err(), "{path}");
        }
    }
}
