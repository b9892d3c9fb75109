//! BackupStorages: the Secret, the backend, the list of Repositories, and the end.
//!
//! A storage is Ready once its Secret is there (where it names one) and its `metadata.yaml` has been found or written. A
//! place that holds one already is re-synced: its Repositories and Snapshots become objects again. From then on the list
//! in the storage follows the cluster. Failures are tried again with growing delays; a new or changed Secret, a changed
//! spec or a finished Job is acted on at once.

mod cleanup;
mod initialize;
mod metadata;
mod resync;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::Stream;
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Namespace, Secret},
};
use kube::{
    Api, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
        watcher,
    },
};

use super::{
    Context, Error,
    repository::Cache,
    signals::Signals,
    storage_access::{self, SecretFact, full_name},
    storage_jobs, watch,
};
use crate::api::conditions::backup_storage::{BACKEND_INITIALIZED, BACKEND_SECRET_FOUND, reason};
use crate::api::labels::FINALIZER;
use crate::api::storage::{
    BackupStorage, BackupStoragePhase, BackupStorageStatus, Repository, StorageRepository,
};
use crate::decide::conditions::{condition, is_true, remove, set};
use crate::decide::{naming, phases, repository_status};

/// The cache of Repositories fills at the start; more than this and something is wrong.
const CACHE_WITHIN: Duration = Duration::from_secs(30);

/// What cannot be brought back is looked at again this often, unless its namespace appears before.
const RESYNC_AGAIN: Duration = Duration::from_secs(300);

/// Reconciles at the same time. They mostly wait for storages, and one that does not answer must not keep the others.
const AT_ONCE: u16 = 16;

type Guarded = DeserializeGuard<BackupStorage>;

/// What the controller shares between reconciles.
pub(super) struct Shared {
    signals: Arc<Signals>,
    repositories: Cache,
    /// The version of the Secret a storage (by UID) was last reached with.
    reached_with: Mutex<HashMap<String, String>>,
}

impl Shared {
    fn reached(&self, storage: &BackupStorage, secret: &SecretFact) -> bool {
        let known = self.reached_with.lock().unwrap_or_else(PoisonError::into_inner);
        storage
            .uid()
            .is_some_and(|uid| known.get(&uid) == Some(&secret.version()))
    }

    fn remember(&self, storage: &BackupStorage, secret: &SecretFact) {
        if let Some(uid) = storage.uid() {
            self.reached_with
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(uid, secret.version());
        }
    }

    fn forget(&self, storage: &BackupStorage) {
        if let Some(uid) = storage.uid() {
            self.reached_with
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&uid);
        }
    }

    /// The Repositories that lie in the storage, as far as the cache knows.
    async fn repositories(&self, storage: &BackupStorage) -> Result<Vec<Repository>, Error> {
        match tokio::time::timeout(CACHE_WITHIN, self.repositories.wait_until_ready()).await {
            Ok(Ok(())) => {}
            // An empty cache must never be taken for an empty cluster.
            _ => return Err(Error::Timeout(CACHE_WITHIN)),
        }
        let (namespace, name) = (storage.namespace().unwrap_or_default(), storage.name_any());
        let lies_here =
            |repository: &Repository| {
                let own = repository.namespace().unwrap_or_default();
                repository.spec.storage_ref.as_ref().is_some_and(|reference| {
                    reference.name == name && reference.namespace_or(&own) == namespace
                })
            };
        let all = self.repositories.state();
        let readable = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
        Ok(readable
            .filter(|repository| lies_here(repository))
            .cloned()
            .collect())
    }
}

/// Runs the controller until the context stops.
pub async fn run(
    ctx: Arc<Context>,
    signals: Arc<Signals>,
    repositories: Cache,
    woken: impl Stream<Item = ObjectRef<Guarded>> + Send + 'static,
) {
    let controller = watch::controller::<BackupStorage>(&ctx);
    let (by_secret, by_namespace) = (controller.store(), controller.store());
    let controller = controller
        .watches_stream(
            watch::metadata::<Secret>(&ctx, watcher::Config::default()),
            move |secret| {
                users_of_secret(
                    &by_secret,
                    &secret.namespace().unwrap_or_default(),
                    &secret.name_any(),
                )
            },
        )
        .watches_stream(
            watch::metadata::<Namespace>(&ctx, watcher::Config::default()),
            move |namespace| waiting_for_namespace(&by_namespace, &namespace.name_any()),
        )
        .watches_stream(
            watch::metadata::<Job>(&ctx, storage_jobs::watched("BackupStorage")),
            |job| watch::invoker::<Guarded>(&job),
        )
        .reconcile_on(woken);
    let shared = Arc::new(Shared {
        signals,
        repositories,
        reached_with: Mutex::default(),
    });
    watch::drive_at_once("backup-storage", AT_ONCE, controller, ctx, move |storage, ctx| {
        let shared = shared.clone();
        async move { Box::pin(reconcile(&storage, &ctx, &shared)).await }
    })
    .await;
}

fn users_of_secret(store: &Store<Guarded>, namespace: &str, name: &str) -> Vec<ObjectRef<Guarded>> {
    find(store, |storage| {
        storage.namespace().as_deref() == Some(namespace) && storage.spec.storage.secret_name() == Some(name)
    })
}

fn waiting_for_namespace(store: &Store<Guarded>, namespace: &str) -> Vec<ObjectRef<Guarded>> {
    find(store, |storage| {
        let entries = storage.status.iter().flat_map(|status| &status.repositories);
        entries
            .into_iter()
            .any(|entry| entry.synced == Some(false) && entry.namespace == namespace)
    })
}

fn find(store: &Store<Guarded>, wanted: impl Fn(&BackupStorage) -> bool) -> Vec<ObjectRef<Guarded>> {
    let all = store.state();
    all.iter()
        .filter(|guarded| guarded.0.as_ref().is_ok_and(&wanted))
        .map(|guarded| ObjectRef::from_obj(guarded.as_ref()))
        .collect()
}

async fn reconcile(cached: &BackupStorage, ctx: &Context, shared: &Shared) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let api: Api<BackupStorage> = Api::namespaced(ctx.client.clone(), &namespace);
    // The cache may be older than the status that was written last.
    let Some(storage) = api.get_opt(&cached.name_any()).await? else {
        return Ok(Action::await_change());
    };
    if storage.metadata.deletion_timestamp.is_some() {
        return cleanup::run(&storage, ctx, shared).await;
    }
    let storage = ctx.applier.add_finalizer(&storage, FINALIZER).await?;
    let old = storage.status.clone().unwrap_or_default();
    let now = Timestamp::now();
    let mut new = old.clone();
    let secret = storage_access::secret(&ctx.client, &storage).await?;
    secret_condition(&mut new, &storage, &secret, now);
    if matches!(secret, SecretFact::Missing(_)) {
        write(ctx, shared, &storage, &old, new).await?;
        return Ok(Action::await_change());
    }
    match follow(ctx, shared, &storage, &secret, &mut new, now).await {
        Ok(Followed::Waiting) => {
            let again = stalled(ctx, &storage, &mut new, now).await?;
            write(ctx, shared, &storage, &old, new).await?;
            Ok(again)
        }
        Ok(Followed::Done(jobs)) => {
            let lost = new.repositories.iter().any(|entry| entry.synced == Some(false));
            write(ctx, shared, &storage, &old, new).await?;
            for job in &jobs {
                storage_jobs::discard(ctx, job).await?;
            }
            Ok(if lost {
                Action::requeue(RESYNC_AGAIN)
            } else {
                Action::await_change()
            })
        }
        Err(error @ (Error::Step(_) | Error::Invalid(_))) => {
            shared.forget(&storage);
            let mut failed = condition(
                BACKEND_INITIALIZED,
                false,
                reason::BACKEND_INITIALIZATION_FAILED,
                error.sentence(),
                now,
            );
            failed.observed_generation = storage.metadata.generation;
            set(&mut new.conditions, failed);
            write(ctx, shared, &storage, &old, new).await?;
            match error {
                // Only a change of the spec or the Secret helps, and both wake us.
                Error::Invalid(_) => Ok(Action::await_change()),
                other => Err(other),
            }
        }
        Err(error) => Err(error),
    }
}

/// Says in the status why the Job of a new storage does not start. Its controller wakes us when it is over; what its pod
/// waits for is looked at again until then.
async fn stalled(
    ctx: &Context,
    storage: &BackupStorage,
    new: &mut BackupStorageStatus,
    now: Timestamp,
) -> Result<Action, Error> {
    if is_true(&new.conditions, BACKEND_INITIALIZED) {
        return Ok(Action::await_change());
    }
    let namespace = storage.namespace().unwrap_or_default();
    let job = naming::init_job(&storage.name_any());
    if let Some(why) = storage_jobs::stalled(ctx, &namespace, &job, now).await? {
        let name = reason::BACKEND_INITIALIZATION_FAILED;
        let mut waiting = condition(BACKEND_INITIALIZED, false, name, why, now);
        waiting.observed_generation = storage.metadata.generation;
        set(&mut new.conditions, waiting);
    }
    Ok(Action::requeue(storage_jobs::STALLED_AFTER.unsigned_abs()))
}

/// How far the storage has got.
enum Followed {
    /// A Job has to finish first.
    Waiting,
    /// Everything is as it should be; these Jobs have done their part.
    Done(Vec<Job>),
}

/// Reaches the backend where that is due, brings back what it holds, and keeps its list in step with the cluster.
async fn follow(
    ctx: &Context,
    shared: &Shared,
    storage: &BackupStorage,
    secret: &SecretFact,
    new: &mut BackupStorageStatus,
    now: Timestamp,
) -> Result<Followed, Error> {
    let repositories = shared.repositories(storage).await?;
    let mut jobs = Vec::new();
    let mut listed = new.repositories.clone();
    let mut lost: Vec<StorageRepository> = listed
        .iter()
        .filter(|entry| entry.synced == Some(false))
        .cloned()
        .collect();
    if initialize::is_due(storage, new, || shared.reached(storage, secret)) {
        let first = initialize::is_first(new);
        let Some(found) = initialize::run(ctx, storage, secret, &repositories, first).await? else {
            return Ok(Followed::Waiting);
        };
        jobs.extend(found.job.map(|job| *job));
        listed = found.listed;
        // A Repository may be there before its storage (whoever applies all manifests at once has a BackupConfiguration
        // make it); its Snapshots lie in the storage all the same.
        if first && found.existed {
            lost.clone_from(&listed);
        }
        shared.remember(storage, secret);
        let mut initialized = condition(
            BACKEND_INITIALIZED,
            true,
            reason::BACKEND_INITIALIZATION_SUCCEEDED,
            "the backend is reachable and initialized",
            now,
        );
        initialized.observed_generation = storage.metadata.generation;
        set(&mut new.conditions, initialized);
    }
    let back = if lost.is_empty() {
        Vec::new()
    } else {
        let Some(back) = resync::run(ctx, storage, secret, &lost).await? else {
            // The next reconcile no longer looks into the list of the storage: it goes on with what the status misses.
            new.repositories = repository_status::awaited(&new.repositories, &lost);
            return Ok(Followed::Waiting);
        };
        jobs.extend(back.job.map(|job| *job));
        back.entries
    };
    let known: Vec<&Repository> = repositories
        .iter()
        .filter(|repository| repository.metadata.deletion_timestamp.is_none())
        .collect();
    let before = std::mem::take(new);
    *new = repository_status::of_repositories(&before, &known, &back);
    if !repository_status::same_list(&listed, &new.repositories) {
        match metadata::write(ctx, storage, secret, &before.repositories, &new.repositories).await? {
            metadata::Written::Waiting => {
                // The status may not run ahead of the list in the storage: it is what the next difference is taken to.
                new.repositories = before.repositories;
                return Ok(Followed::Waiting);
            }
            metadata::Written::Done(job) => jobs.extend(job.map(|job| *job)),
        }
    }
    Ok(Followed::Done(jobs))
}

fn secret_condition(
    new: &mut BackupStorageStatus,
    storage: &BackupStorage,
    secret: &SecretFact,
    now: Timestamp,
) {
    let namespace = storage.namespace().unwrap_or_default();
    let found = match secret {
        SecretFact::NotNeeded => {
            remove(&mut new.conditions, BACKEND_SECRET_FOUND);
            return;
        }
        SecretFact::Missing(name) => condition(
            BACKEND_SECRET_FOUND,
            false,
            reason::BACKEND_SECRET_NOT_AVAILABLE,
            format!("Secret {namespace}/{name} does not exist; create it with the keys of the provider"),
            now,
        ),
        SecretFact::Found(secret) => condition(
            BACKEND_SECRET_FOUND,
            true,
            reason::BACKEND_SECRET_AVAILABLE,
            format!("Secret {namespace}/{} is available", secret.name_any()),
            now,
        ),
    };
    set(&mut new.conditions, found);
}

/// Writes the status where it changed; Repositories hear when the storage becomes usable or stops being it.
async fn write(
    ctx: &Context,
    shared: &Shared,
    storage: &BackupStorage,
    old: &BackupStorageStatus,
    mut new: BackupStorageStatus,
) -> Result<(), Error> {
    new.phase = Some(phases::backup_storage(&new.conditions));
    if !ctx.applier.patch_status(storage, &new).await? {
        return Ok(());
    }
    if old.phase == new.phase {
        return Ok(());
    }
    tracing::info!(storage = %full_name(storage), phase = ?new.phase, "the storage's phase changed");
    if new.phase == Some(BackupStoragePhase::NotReady) {
        let failed = new
            .conditions
            .iter()
            .find(|c| c.status == crate::api::shared::ConditionStatus::False);
        if let Some(failed) = failed {
            ctx.events
                .warning(storage, "Initialize", &failed.reason, &failed.message)
                .await;
        }
    }
    for repository in shared.repositories(storage).await? {
        shared.signals.repository(
            &repository.namespace().unwrap_or_default(),
            &repository.name_any(),
        );
    }
    Ok(())
}
