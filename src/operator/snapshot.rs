//! Snapshots: what their components amount to, their document in the storage, and their end.
//!
//! The components are written by the backup Jobs. This controller derives size, integrity and phase from them, writes the
//! Snapshot's document into the storage once all components have ended, and, when a Snapshot with WipeOut is deleted,
//! has its data forgotten. Snapshots are many and large, so they are watched as metadata and read when something changed.
//!
//! It tells the Repository (through [`super::signals`]) when a Snapshot appears, changes its phase or goes.

mod cleanup;
mod status;
mod upload;

pub(crate) use cleanup::GIVE_UP_AFTER;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Controller, WatchStreamExt,
        controller::Action,
        reflector,
        watcher::{self, Event},
    },
};

use super::{Context, Error, signals::Signals, storage_jobs, watch};
use crate::api::labels::FINALIZER;
use crate::api::storage::{Snapshot, SnapshotStatus};

/// A document that cannot be written for this long makes the Snapshot Failed. It is tried again even then.
const UPLOAD_WITHIN: SignedDuration = SignedDuration::from_secs(60);

type Meta = DeserializeGuard<PartialObjectMeta<Snapshot>>;

/// When the first upload of a Snapshot (by UID) failed.
type Failing = Mutex<HashMap<String, Timestamp>>;

/// Runs the controller until the context stops.
pub async fn run(ctx: Arc<Context>, signals: Arc<Signals>) {
    let failing: Arc<Failing> = Arc::default();
    let jobs = watch::metadata::<Job>(&ctx, storage_jobs::watched("Snapshot"));
    let controller = controller(&ctx).watches_stream(jobs, |job| watch::invoker::<Meta>(&job));
    watch::drive("snapshot", controller, ctx, move |meta, ctx| {
        let (signals, failing) = (signals.clone(), failing.clone());
        async move { Box::pin(reconcile(&meta, &ctx, &signals, &failing)).await }
    })
    .await;
}

/// Like [`watch::controller`], but over metadata: every change wakes, because the components change in the status.
fn controller(ctx: &Context) -> Controller<Meta> {
    let api: Api<PartialObjectMeta<Snapshot>> = Api::all(ctx.client.clone());
    let (reader, writer) = reflector::store();
    let stream = watcher::watcher(api, watcher::Config::default().page_size(500))
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .map(|event| event.map(guarded))
        .reflect(writer)
        .applied_objects();
    Controller::for_stream(stream, reader)
}

fn guarded(event: Event<PartialObjectMeta<Snapshot>>) -> Event<Meta> {
    let guard = |object| DeserializeGuard(Ok(object));
    match event {
        Event::Apply(object) => Event::Apply(guard(object)),
        Event::Delete(object) => Event::Delete(guard(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(guard(object)),
        Event::InitDone => Event::InitDone,
    }
}

async fn reconcile(
    meta: &PartialObjectMeta<Snapshot>,
    ctx: &Context,
    signals: &Signals,
    failing: &Failing,
) -> Result<Action, Error> {
    let namespace = meta.namespace().unwrap_or_default();
    let api: Api<Snapshot> = Api::namespaced(ctx.client.clone(), &namespace);
    let Some(snapshot) = api.get_opt(&meta.name_any()).await? else {
        return Ok(Action::await_change());
    };
    if snapshot.metadata.deletion_timestamp.is_some() {
        return cleanup::run(&snapshot, ctx, signals).await;
    }
    let snapshot = ctx.applier.add_finalizer(&snapshot, FINALIZER).await?;
    let Some(old) = snapshot.status.clone().filter(|_| !snapshot.spec.paused) else {
        return Ok(Action::await_change());
    };
    let now = Timestamp::now();
    let mut new = status::derived(&old);
    let mut done = None;
    let mut retry = None;
    if status::wants_upload(&new) {
        let finished = status::uploaded(&new, now);
        match Box::pin(upload::run(ctx, &snapshot, &finished)).await {
            Ok(upload::Uploaded::Done(job)) => {
                forget_failure(failing, &snapshot);
                (new, done) = (finished, job);
            }
            Ok(upload::Uploaded::Waiting) => {}
            Err(error) => {
                if failing_since(failing, &snapshot, now)
                    .is_some_and(|since| now.duration_since(since) >= UPLOAD_WITHIN)
                {
                    new = status::not_uploaded(&new, &error.sentence(), now);
                }
                retry = Some(error);
            }
        }
    }
    write(ctx, signals, &snapshot, &old, new, now).await?;
    if let Some(job) = done {
        storage_jobs::discard(ctx, &job).await?;
    }
    retry.map_or_else(|| Ok(Action::await_change()), Err)
}

/// Writes the status where it changed, and tells the Repository what concerns it.
async fn write(
    ctx: &Context,
    signals: &Signals,
    snapshot: &Snapshot,
    old: &SnapshotStatus,
    mut new: SnapshotStatus,
    now: Timestamp,
) -> Result<(), Error> {
    if new != *old {
        new.last_update_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
        ctx.applier.patch_status(snapshot, &new).await?;
    }
    if status::concerns_repository(old, &new) {
        signals.repository(
            &snapshot.namespace().unwrap_or_default(),
            &snapshot.spec.repository,
        );
    }
    Ok(())
}

fn failing_since(failing: &Failing, snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    let mut failing = failing.lock().unwrap_or_else(PoisonError::into_inner);
    Some(*failing.entry(snapshot.uid()?).or_insert(now))
}

fn forget_failure(failing: &Failing, snapshot: &Snapshot) {
    if let Some(uid) = snapshot.uid() {
        failing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&uid);
    }
}
