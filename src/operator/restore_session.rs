//! RestoreSession: one restore, from its validation to its last condition.
//!
//! Like a BackupSession's, a reconcile goes as far as it can and resumes from status and objects with names of their own.
//! The BackupConfigurations it pauses are in its status before they are paused, and it resumes exactly those, also when
//! it fails, is deleted, or the operator was killed in between. Steps: [`fetch`] resolves and validates, `execute` pauses,
//! runs the hooks before it and makes the Jobs, `observe` watches them, `finish` resumes and closes; [`super::session`] writes.

mod execute;
mod fetch;
mod finish;
mod hooks;
mod observe;

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
        conditions::restore_session as types,
        core::RestoreSession,
        labels::{self, component},
    },
    decide::{conditions, restore},
};

/// One reconcile of one session.
type Run = super::session::Run<RestoreSession>;

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
        "{}={},{} in ({},{})",
        labels::MANAGED_BY,
        labels::MANAGED_BY_KUBESTASH,
        labels::COMPONENT,
        component::RESTORE,
        component::HOOK,
    );
    let jobs = watch::metadata::<Job>(&ctx, watcher::Config::default().labels(&wanted));
    let controller =
        watch::controller::<RestoreSession>(&ctx).watches_stream(jobs, |job| watch::invoker(&job));
    watch::drive("restore-session", controller, ctx, reconcile).await;
}

async fn reconcile(seen: Arc<RestoreSession>, ctx: Arc<Context>) -> Result<Action, Error> {
    if restore::finished(&seen) && seen.metadata.deletion_timestamp.is_none() {
        return Ok(Action::await_change());
    }
    let namespace = seen.namespace().unwrap_or_default();
    let Some(session) = lookup::get::<RestoreSession>(&ctx.client, &namespace, &seen.name_any()).await?
    else {
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
    if restore::finished(&run.session) {
        return Ok(Step::Done);
    }
    let refused = [
        types::VALIDATION_PASSED,
        types::PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED,
        types::RESTORE_EXECUTOR_ENSURED,
    ];
    let failed = |run: &Run| {
        refused
            .iter()
            .any(|type_| conditions::is_false(&run.status.conditions, type_))
    };
    if !failed(run)
        && !run.executing()
        && let Step::Wait(after) = Box::pin(execute::execute(run)).await?
    {
        return Ok(Step::Wait(after));
    }
    if run.executing()
        && let Step::Wait(after) = Box::pin(observe::observe(run)).await?
    {
        return Ok(Step::Wait(after));
    }
    if let Step::Wait(after) = Box::pin(hooks::post(run)).await? {
        return Ok(Step::Wait(after));
    }
    finish::finish(run).await?;
    Ok(Step::Done)
}
