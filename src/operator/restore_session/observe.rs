//! How the Jobs end: components whose executor is gone are told, the deadline is kept.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::{Step, status::Run};
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
    let late = deadline.is_some_and(|deadline| run.now >= deadline);
    let active: Vec<&Job> = jobs
        .iter()
        .filter(|job| executor::phase(job) == JobPhase::Active)
        .collect();
    if late {
        for job in &active {
            let place = job.namespace().unwrap_or_default();
            run.ctx.applier.delete::<Job>(&place, &job.name_any()).await?;
        }
    }
    lost(run, &jobs, late).await?;
    match executor::pending(&run.ctx, &jobs, run.now).await? {
        Some(why) => run.set(PENDING, true, PENDING, why),
        None if conditions::is_true(&run.status.conditions, PENDING) => {
            run.set(PENDING, false, PENDING, "the pod has started");
        }
        None => {}
    }
    run.save().await?;
    if active.is_empty() || late {
        return Ok(Step::Done);
    }
    executor::own_secrets(&run.ctx, &jobs).await?;
    let pending = Some(executor::PENDING_TOO_LONG);
    let left = deadline.map(|deadline| deadline.duration_since(run.now));
    let first = pending.into_iter().chain(left).min();
    let seconds = first.map_or(60, |first| u64::try_from(first.as_secs()).unwrap_or(0));
    Ok(Step::Wait(Some(Duration::from_secs(seconds.max(1)))))
}

/// Ends components whose executor will never end them.
async fn lost(run: &mut Run, jobs: &[Job], late: bool) -> Result<(), Error> {
    let mut reasons = Vec::new();
    for (name, component) in &mut run.status.components {
        if matches!(
            component.phase,
            Some(RestorePhase::Succeeded | RestorePhase::Failed)
        ) {
            continue;
        }
        let why = match executor::job_of(jobs, name) {
            _ if late => "deadline exceeded".to_owned(),
            None => "its Job is gone: it was deleted".to_owned(),
            Some(job) => match executor::phase(job) {
                JobPhase::Active => continue,
                JobPhase::Succeeded => format!("Job \"{}\" ended without a result", job.name_any()),
                JobPhase::Failed => executor::why(job, &executor::pods(&run.ctx, job).await?),
            },
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
