//! Repositories: their directory in the storage, what their Snapshots amount to, and their end.
//!
//! A Repository waits for its BackupStorage, writes `repository.yaml` into its directory and is Ready. After that it
//! follows its Snapshots: count, size, integrity, the last success and the five newest. It is woken by the Snapshot and
//! BackupStorage controllers (through [`super::signals`]), never by a timer.

mod cleanup;
mod live;
mod reader;
mod upload;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures::Stream;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    core::DeserializeGuard,
    runtime::{controller::Action, reflector::ObjectRef, reflector::Store},
};

use super::{Context, Error, lookup, signals::Signals, storage_access::full_name, storage_jobs, watch};
use crate::api::conditions::repository::{REPOSITORY_INITIALIZED, reason};
use crate::api::conditions::snapshot as snapshot_types;
use crate::api::labels::{self, FINALIZER};
use crate::api::storage::{
    BackupStorage, BackupStoragePhase, Repository, RepositoryStatus, Snapshot, SnapshotPhase,
};
use crate::decide::backup::label;
use crate::decide::conditions::{condition, find, has, is_true, set};
use crate::decide::{phases, repository_status};

/// What the controller knows of all Repositories.
pub type Cache = Store<DeserializeGuard<Repository>>;

/// Repositories (by UID) whose document is older than their status.
type Stale = Mutex<HashSet<String>>;

/// The controller, to be run until the context stops, and its cache.
pub fn controller(
    ctx: Arc<Context>,
    signals: Arc<Signals>,
    woken: impl Stream<Item = ObjectRef<DeserializeGuard<Repository>>> + Send + 'static,
) -> (impl Future<Output = ()> + Send + 'static, Cache) {
    let jobs = watch::metadata::<Job>(&ctx, storage_jobs::watched("Repository"));
    let controller = watch::controller::<Repository>(&ctx)
        .watches_stream(jobs, |job| watch::invoker::<DeserializeGuard<Repository>>(&job))
        .reconcile_on(woken);
    let cache = controller.store();
    let stale: Arc<Stale> = Arc::default();
    let run = watch::drive("repository", controller, ctx, move |repository, ctx| {
        let (signals, stale) = (signals.clone(), stale.clone());
        async move { Box::pin(reconcile(&repository, &ctx, &signals, &stale)).await }
    });
    (run, cache)
}

async fn reconcile(
    cached: &Repository,
    ctx: &Context,
    signals: &Signals,
    stale: &Stale,
) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let api: Api<Repository> = Api::namespaced(ctx.client.clone(), &namespace);
    // The cache may be older than the status that was written last.
    let Some(repository) = api.get_opt(&cached.name_any()).await? else {
        return Ok(Action::await_change());
    };
    if repository.metadata.deletion_timestamp.is_some() {
        return cleanup::run(&repository, ctx, signals).await;
    }
    let repository = ctx.applier.add_finalizer(&repository, FINALIZER).await?;
    let repository = Box::pin(reader::answer(&repository, ctx, Timestamp::now())).await?;
    let repository = Box::pin(live::answer(&repository, ctx, Timestamp::now())).await?;
    if repository.spec.paused {
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let old = repository.status.clone().unwrap_or_default();
    let storage = match ready_storage(ctx, &repository).await? {
        Ok(storage) => storage,
        Err(cause) => {
            if !is_true(&old.conditions, REPOSITORY_INITIALIZED) {
                fail(ctx, &repository, &old, &cause, now).await?;
            }
            return Ok(Action::await_change());
        }
    };
    let snapshots = snapshots(ctx, &repository).await?;
    let new = repository_status::of_snapshots(&old, &snapshots);
    publish(ctx, signals, stale, &repository, &storage, new, now).await?;
    list_updated(ctx, &repository, &snapshots, now).await?;
    Ok(Action::await_change())
}

/// The BackupStorage when it can be used, or why not.
async fn ready_storage(
    ctx: &Context,
    repository: &Repository,
) -> Result<Result<BackupStorage, String>, Error> {
    let own = repository.namespace().unwrap_or_default();
    let Some(reference) = &repository.spec.storage_ref else {
        return Ok(Err("no BackupStorage is named in spec.storageRef".to_owned()));
    };
    let namespace = reference.namespace_or(&own);
    let api: Api<BackupStorage> = Api::namespaced(ctx.client.clone(), namespace);
    let Some(storage) = api.get_opt(&reference.name).await? else {
        return Ok(Err(format!(
            "BackupStorage {namespace}/{} does not exist",
            reference.name
        )));
    };
    let status = storage.status.clone().unwrap_or_default();
    if status.phase == Some(BackupStoragePhase::Ready) {
        return Ok(Ok(storage));
    }
    let failed = status
        .conditions
        .iter()
        .find(|c| c.status == crate::api::shared::ConditionStatus::False);
    let because = failed.map(|c| format!(": {}", c.message)).unwrap_or_default();
    Ok(Err(format!(
        "BackupStorage {} is not Ready{because}",
        full_name(&storage)
    )))
}

/// All Snapshots of a Repository.
pub(crate) async fn snapshots(ctx: &Context, repository: &Repository) -> Result<Vec<Snapshot>, Error> {
    let name = repository.name_any();
    let api: Api<Snapshot> = Api::namespaced(ctx.client.clone(), &repository.namespace().unwrap_or_default());
    let labelled = ListParams::default().labels(&format!("{}={}", labels::REPO_NAME, label(&name)));
    let mut found = lookup::list(&api, labelled).await?;
    // A label may be shortened; the field is exact.
    found.retain(|snapshot| snapshot.spec.repository == name);
    Ok(found)
}

/// Writes the document where it is due, then the status where it changed.
async fn publish(
    ctx: &Context,
    signals: &Signals,
    stale: &Stale,
    repository: &Repository,
    storage: &BackupStorage,
    mut new: RepositoryStatus,
    now: Timestamp,
) -> Result<(), Error> {
    let old = repository.status.clone().unwrap_or_default();
    let uid = repository.uid().unwrap_or_default();
    let known = find(&old.conditions, REPOSITORY_INITIALIZED);
    let first = !is_true(&old.conditions, REPOSITORY_INITIALIZED)
        || known.and_then(|c| c.observed_generation) != repository.metadata.generation;
    let mut initialized = condition(
        REPOSITORY_INITIALIZED,
        true,
        reason::REPOSITORY_INITIALIZATION_SUCCEEDED,
        "the directory of the Repository is prepared",
        now,
    );
    initialized.observed_generation = repository.metadata.generation;
    set(&mut new.conditions, initialized);
    new.phase = Some(phases::repository(&new.conditions));
    let changed = new != old;
    if changed {
        lock(stale).insert(uid.clone());
    }
    // While a backup runs its phases change; the document waits for the end of it.
    let busy = new
        .recent_snapshots
        .iter()
        .any(|s| matches!(s.phase, Some(SnapshotPhase::Pending | SnapshotPhase::Running)));
    let mut done = None;
    if first || (lock(stale).contains(&uid) && !busy) {
        match upload::run(ctx, repository, &new, storage).await {
            Ok(upload::Uploaded::Done(job)) => {
                lock(stale).remove(&uid);
                done = job;
            }
            Ok(upload::Uploaded::Waiting) if first => return Ok(()),
            Ok(upload::Uploaded::Waiting) => {}
            Err(error) if first => {
                fail(ctx, repository, &old, &error.sentence(), now).await?;
                return Err(error);
            }
            Err(error) => {
                write(ctx, signals, repository, &old, &new).await?;
                return Err(error);
            }
        }
    }
    write(ctx, signals, repository, &old, &new).await?;
    if let Some(job) = done {
        storage_jobs::discard(ctx, &job).await?;
    }
    Ok(())
}

async fn write(
    ctx: &Context,
    signals: &Signals,
    repository: &Repository,
    old: &RepositoryStatus,
    new: &RepositoryStatus,
) -> Result<(), Error> {
    ctx.applier.patch_status(repository, new).await?;
    if old.size != new.size || old.phase != new.phase {
        signals.storage_of(repository);
    }
    Ok(())
}

/// Says that the Repository cannot be initialised.
async fn fail(
    ctx: &Context,
    repository: &Repository,
    old: &RepositoryStatus,
    cause: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let mut new = old.clone();
    set(
        &mut new.conditions,
        condition(
            REPOSITORY_INITIALIZED,
            false,
            reason::REPOSITORY_INITIALIZATION_FAILED,
            cause,
            now,
        ),
    );
    new.phase = Some(phases::repository(&new.conditions));
    if ctx.applier.patch_status(repository, &new).await? {
        ctx.events
            .warning(
                repository,
                "Initialize",
                reason::REPOSITORY_INITIALIZATION_FAILED,
                cause,
            )
            .await;
    }
    Ok(())
}

/// Tells the Snapshots that they have been counted.
async fn list_updated(
    ctx: &Context,
    repository: &Repository,
    snapshots: &[Snapshot],
    now: Timestamp,
) -> Result<(), Error> {
    let told = |snapshot: &&Snapshot| {
        snapshot
            .status
            .as_ref()
            .is_some_and(|s| !has(&s.conditions, snapshot_types::RECENT_SNAPSHOT_LIST_UPDATED))
            && snapshot.metadata.deletion_timestamp.is_none()
    };
    for snapshot in snapshots.iter().filter(told) {
        let mut status = snapshot.status.clone().unwrap_or_default();
        let reason = snapshot_types::reason::SUCCESSFULLY_UPDATED_RECENT_SNAPSHOT_LIST;
        let message = "Recent snapshot list updated successfully";
        set(
            &mut status.conditions,
            condition(
                snapshot_types::RECENT_SNAPSHOT_LIST_UPDATED,
                true,
                reason,
                message,
                now,
            ),
        );
        match ctx.applier.patch_status(snapshot, &status).await {
            Ok(_) => {}
            // Written to by its Job at the same moment, or gone: its own event brings us back here.
            Err(Error::Conflict(_)) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    tracing::trace!(repository = %full_name(repository), "counted");
    Ok(())
}

fn lock(stale: &Stale) -> std::sync::MutexGuard<'_, HashSet<String>> {
    stale.lock().unwrap_or_else(PoisonError::into_inner)
}
