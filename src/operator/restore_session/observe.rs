//! How the Jobs end: components whose executor is gone are told, the deadline is kept.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::{Run, Step};
use crate::{
    api::{
        conditions::restore_session::{self as types, reason},
        core::{RestorePhase, RestoreSession},
        labels::component,
    },
    decide::conditions,
    operator::{
        Error,
        executor::{self, JobPhase},
        lookup,
    },
};

/// A warning condition: a pod waits for a node. The type is that of BackupSessions.
const PENDING: &str =
    crate::api::conditions::backup_session::POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED;

/// Done when every Job has ended and every component has an end.
pub(super) async fn observe(run: &mut Run) -> Result<Step, Error> {
    let (namespace, name) = (run.namespace(), run.name());
    // Jobs first, then the status: a Job that is seen to have ended has written its last status before that is read.
    let jobs = executor::jobs(&run.ctx, &namespace, &name, component::RESTORE).await?;
    if let Some(fresh) = lookup::get::<RestoreSession>(&run.ctx.client, &namespace, &name).await? {
        run.status = fresh.status.clone().unwrap_or_default();
        run.session = fresh;
    }
    let deadline = run.status.restore_deadline.as_ref().map(|time| time.0);
    let late = deadline.filter(|deadline| run.now >= *deadline);
    let active: Vec<&Job> = jobs
        .iter()
        .filter(|job| executor::phase(job) == JobPhase::Active)
        .collect();
    let late = match late {
        Some(deadline) => Some(stop(run, &active, deadline).await?),
        None => None,
    };
    lost(run, &jobs, late.as_ref()).await?;
    match executor::pending(&run.ctx, &jobs, run.now).await? {
        Some(why) => run.set(PENDING, true, PENDING, why),
        None if conditions::is_true(&run.status.conditions, PENDING) => {
            run.set(PENDING, false, PENDING, "the pod has started");
        }
        None => {}
    }
    if active.is_empty() || late.is_some() {
        blame(run, &jobs).await?;
        executor::own_secrets(&run.ctx, &jobs).await?;
        run.save().await?;
        return Ok(Step::Done);
    }
    run.save().await?;
    executor::own_secrets(&run.ctx, &jobs).await?;
    let pending = Some(executor::PENDING_TOO_LONG);
    let left = deadline.map(|deadline| deadline.duration_since(run.now));
    let first = pending.into_iter().chain(left).min();
    let seconds = first.map_or(60, |first| u64::try_from(first.as_secs()).unwrap_or(0));
    Ok(Step::Wait(Some(Duration::from_secs(seconds.max(1)))))
}

/// Ends the Jobs that still run, after their last words were taken down; answers why.
async fn stop(run: &Run, active: &[&Job], deadline: Timestamp) -> Result<String, Error> {
    let limit = run.session.spec.restore_timeout;
    let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    let mut why = format!(
        "deadline exceeded: the restore did not end before {deadline}; raise its restoreTimeout{limit}, or look for what \
         slows it down"
    );
    for job in active {
        let pods = executor::pods(&run.ctx, job).await?;
        why.push_str(&executor::last_lines(&run.ctx, &pods).await);
        let place = job.namespace().unwrap_or_default();
        run.ctx.applier.delete::<Job>(&place, &job.name_any()).await?;
    }
    Ok(why)
}

/// Says what the Jobs themselves reported, with their last lines; the Jobs and their logs go, this stays.
async fn blame(run: &mut Run, jobs: &[Job]) -> Result<(), Error> {
    let failed = run
        .status
        .components
        .values()
        .any(|component| component.phase == Some(RestorePhase::Failed));
    if !failed || conditions::is_true(&run.status.conditions, types::RESTORE_INCOMPLETE) {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for job in jobs.iter().filter(|job| executor::phase(job) == JobPhase::Failed) {
        reasons.push(executor::told(&run.ctx, job).await?);
    }
    if !reasons.is_empty() {
        let message = reasons.join("\n");
        run.set(types::RESTORE_INCOMPLETE, true, reason::RESTORE_FAILED, message);
    }
    Ok(())
}

/// Ends components whose executor will never end them.
async fn lost(run: &mut Run, jobs: &[Job], late: Option<&String>) -> Result<(), Error> {
    let mut reasons = Vec::new();
    for (name, component) in &mut run.status.components {
        if matches!(
            component.phase,
            Some(RestorePhase::Succeeded | RestorePhase::Failed)
        ) {
            continue;
        }
        let job = executor::job_of(jobs, name);
        let why = match (late, job, job.map(executor::phase)) {
            (_, Some(job), Some(JobPhase::Failed)) => executor::told(&run.ctx, job).await?,
            (Some(late), _, _) => late.clone(),
            (None, Some(_), Some(JobPhase::Active)) => continue,
            (None, Some(job), _) => format!("Job \"{}\" ended without a result", job.name_any()),
            (None, None, _) => "its Job is gone: it was deleted".to_owned(),
        };
        component.phase = Some(RestorePhase::Failed);
        component.error = Some(why.clone());
        reasons.push(format!("component \"{name}\": {why}"));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let message = reasons.join("\n");
    let because = reason::RESTORE_EXECUTOR_TERMINATED_BEFORE_COMPLETION;
    run.set(types::RESTORE_INCOMPLETE, true, because, &message);
    run.ctx
        .events
        .warning(&run.session, "Restore", types::RESTORE_INCOMPLETE, &message)
        .await;
    // Written at once, so that what the Jobs wrote is merged with it and not replaced by it.
    let components = run.status.components.clone();
    let status = run.status.clone();
    run.session = Box::pin(run.ctx.applier.write_status(&run.session, &status)).await?;
    run.status.components = components;
    Ok(())
}
