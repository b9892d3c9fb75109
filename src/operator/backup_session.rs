//! BackupSession: one run of a session of a BackupConfiguration, from its claim to its last condition.
//!
//! A reconcile takes the session as far as it gets and stops where something else must happen first (a Job, a Snapshot's
//! document, another session, a point in time); an event on that wakes it again. Where it stands is read from its status
//! and from objects with names that follow from its own, so it resumes after an interruption between any two writes.
//!
//! The steps, each in a file of its folder: `claim` (may it run, and not beside another), `execute` (Snapshots, identity,
//! hooks before it, plan Secrets, Jobs), `hooks`, `observe` (how Jobs and Snapshots end, deadline), `retention`, `finish` (history, the last
//! condition, retry, removal). [`fetch`] reads, [`super::session`] writes.

mod cancel;
mod claim;
mod execute;
mod fetch;
mod finish;
mod hooks;
mod observe;
mod retention;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    ResourceExt,
    runtime::{controller::Action, watcher},
};

use super::{Context, Error, lookup, watch};
use crate::{
    api::{
        conditions::backup_session as types,
        core::BackupSession,
        labels::{self, component},
        storage::Snapshot,
    },
    decide::{self, backup, conditions},
};

/// One reconcile of one session.
type Run = super::session::Run<BackupSession>;

/// How a step ended.
enum Step {
    /// Go on with the next one.
    Done,
    /// Something else must happen first; look again after this long at the latest.
    Wait(Option<Duration>),
}

/// Runs the controller until the context stops.
pub async fn run(ctx: Arc<Context>) {
    let wanted = format!(
        "{}={},{} in ({},{},{})",
        labels::MANAGED_BY,
        labels::MANAGED_BY_KUBESTASH,
        labels::COMPONENT,
        component::BACKUP,
        component::RETENTION_POLICY,
        component::HOOK,
    );
    let jobs = watch::metadata::<Job>(&ctx, watcher::Config::default().labels(&wanted));
    let snapshots = watch::metadata::<Snapshot>(&ctx, watcher::Config::default());
    let controller = watch::controller::<BackupSession>(&ctx)
        .watches_stream(jobs, |job| watch::invoker(&job))
        .watches_stream(snapshots, |snapshot| watch::invoker(&snapshot));
    watch::drive("backup-session", controller, ctx, reconcile).await;
}

async fn reconcile(seen: Arc<BackupSession>, ctx: Arc<Context>) -> Result<Action, Error> {
    // A finished session has nothing left to do; not even a read.
    if backup::finished(&seen) && !backup::awaits_retry(&seen) && seen.metadata.deletion_timestamp.is_none() {
        return Ok(Action::await_change());
    }
    let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
    let Some(session) = lookup::get::<BackupSession>(&ctx.client, &namespace, &name).await? else {
        return Ok(Action::await_change());
    };
    if session.metadata.deletion_timestamp.is_some() {
        finish::remove(&ctx, &session).await?;
        return Ok(Action::await_change());
    }
    let session = ctx.applier.add_finalizer(&session, labels::FINALIZER).await?;
    let mut run = Run::new(ctx, session, Timestamp::now());
    match Box::pin(steps(&mut run)).await? {
        Step::Done | Step::Wait(None) => Ok(Action::await_change()),
        Step::Wait(Some(after)) => Ok(Action::requeue(after)),
    }
}

/// Takes the session as far as it gets.
async fn steps(run: &mut Run) -> Result<Step, Error> {
    if backup::finished(&run.session) {
        return finish::retry(run).await;
    }
    if let Some(why) = decide::cancel::requested(&run.session) {
        return Box::pin(cancel::end(run, &why)).await;
    }
    let failed_early = |run: &Run| {
        [types::BACKUP_SKIPPED]
            .iter()
            .any(|type_| conditions::is_true(&run.status.conditions, type_))
            || [
                types::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
                types::SNAPSHOTS_ENSURED,
                types::BACKUP_EXECUTOR_ENSURED,
            ]
            .iter()
            .any(|type_| conditions::is_false(&run.status.conditions, type_))
    };
    if !failed_early(run)
        && !run.executing()
        && let Step::Wait(after) = Box::pin(execute::execute(run)).await?
    {
        return Ok(Step::Wait(after));
    }
    if run.executing()
        && let Step::Wait(after) = observe::observe(run).await?
    {
        return Ok(Step::Wait(after));
    }
    if run.executing()
        && let Step::Wait(after) = Box::pin(retention::apply(run)).await?
    {
        return Ok(Step::Wait(after));
    }
    if let Step::Wait(after) = Box::pin(hooks::post(run)).await? {
        return Ok(Step::Wait(after));
    }
    finish::finish(run).await
}
