//! How the Jobs and Snapshots end: progress mirrored, lost executors told, the deadline kept.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::{Step, fetch, status::Run};
use crate::{
    api::{
        conditions::{
            backup_session::{self as types, reason},
            snapshot as snapshot_types,
        },
        labels::component,
        shared::ConditionSeverity,
        storage::{ComponentPhase, Snapshot, SnapshotPhase},
    },
    decide::{conditions, explain, phases},
    operator::{
        Error,
        executor::{self, JobPhase},
    },
};

/// A warning condition of ours: the backup succeeded without some files, as the user allowed.
pub(super) const FILES_SKIPPED: &str = "FilesSkipped";

/// The message of a session that ran out of time.
const DEADLINE_EXCEEDED: &str = "deadline exceeded";

/// Mirrors what Jobs and Snapshots say. Done when every Snapshot is complete and every Job has ended.
pub(super) async fn observe(run: &mut Run) -> Result<Step, Error> {
    if done(run) {
        return Ok(Step::Done);
    }
    let (namespace, name) = (run.namespace(), run.name());
    // Jobs first: a Job that is seen to have ended has written its last status before the Snapshots are read.
    let jobs = executor::jobs(&run.ctx, &namespace, &name, component::BACKUP).await?;
    let names: Vec<String> = run.status.snapshots.iter().map(|s| s.name.clone()).collect();
    let mut snapshots = fetch::snapshots(&run.ctx, &namespace, &names).await?;
    let active = jobs.iter().any(|job| executor::phase(job) == JobPhase::Active);

    let deadline = run.status.backup_deadline.as_ref().map(|time| time.0);
    let late = deadline.is_some_and(|deadline| run.now >= deadline);
    if late && active {
        for job in jobs.iter().filter(|job| executor::phase(job) == JobPhase::Active) {
            let place = job.namespace().unwrap_or_default();
            run.ctx.applier.delete::<Job>(&place, &job.name_any()).await?;
        }
    }
    for snapshot in snapshots.iter_mut().flatten() {
        *snapshot = lost(run, snapshot, &jobs, late).await?;
    }
    mirror(run, &snapshots);
    warn_pending(run, &jobs).await?;
    let complete = snapshots.iter().all(|snapshot| {
        snapshot
            .as_ref()
            .is_none_or(|s| phases::snapshot_completed(s.status.as_ref().and_then(|status| status.phase)))
    });
    if complete && (!active || late) {
        warn_skipped(run, &jobs).await?;
        run.save().await?;
        return Ok(Step::Done);
    }
    run.save().await?;
    executor::own_secrets(&run.ctx, &jobs).await?;
    Ok(Step::Wait(next_look(run.now, deadline, active)))
}

/// True when what there was to observe is in the status already.
fn done(run: &Run) -> bool {
    !run.status.retention_policy.is_empty()
        || conditions::has(&run.status.conditions, types::RETENTION_POLICY_EXECUTOR_ENSURED)
}

/// The next moment at which something must happen although no event tells: the deadline, a pod pending too long.
fn next_look(now: Timestamp, deadline: Option<Timestamp>, active: bool) -> Option<Duration> {
    let pending = active.then_some(executor::PENDING_TOO_LONG);
    let left = deadline.map(|deadline| deadline.duration_since(now));
    let first = match (pending, left) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }?;
    let seconds = u64::try_from(first.as_secs()).unwrap_or(0);
    Some(Duration::from_secs(seconds.max(1)))
}

/// Tells a Snapshot whose components will never end that their executor is gone.
async fn lost(run: &Run, snapshot: &Snapshot, jobs: &[Job], late: bool) -> Result<Snapshot, Error> {
    let mut status = snapshot.status.clone().unwrap_or_default();
    let mut reasons = Vec::new();
    for (name, component) in &mut status.components {
        if matches!(
            component.phase,
            Some(ComponentPhase::Succeeded | ComponentPhase::Failed)
        ) {
            continue;
        }
        let why = match executor::job_of(jobs, name) {
            _ if late => DEADLINE_EXCEEDED.to_owned(),
            None => "its Job is gone: it was deleted".to_owned(),
            Some(job) => match executor::phase(job) {
                JobPhase::Active => continue,
                JobPhase::Succeeded => format!("Job \"{}\" ended without a result", job.name_any()),
                JobPhase::Failed => executor::why(job, &executor::pods(&run.ctx, job).await?),
            },
        };
        component.phase = Some(ComponentPhase::Failed);
        component.error = Some(why.clone());
        reasons.push(format!("component \"{name}\": {why}"));
    }
    if reasons.is_empty() {
        return Ok(snapshot.clone());
    }
    let message = reasons.join("\n");
    let condition = conditions::condition(
        snapshot_types::BACKUP_INCOMPLETE,
        true,
        snapshot_types::reason::BACKUP_EXECUTOR_TERMINATED_BEFORE_COMPLETION,
        &message,
        run.now,
    );
    conditions::set(&mut status.conditions, condition);
    status.phase = Some(phases::snapshot(&status));
    let written = run.ctx.applier.write_status(snapshot, &status).await?;
    let because = snapshot_types::BACKUP_INCOMPLETE;
    run.ctx
        .events
        .warning(&run.session, "Backup", because, &message)
        .await;
    Ok(written)
}

/// Copies the Snapshots' phases; one that is gone counts as failed.
fn mirror(run: &mut Run, snapshots: &[Option<Snapshot>]) {
    for (entry, snapshot) in run.status.snapshots.iter_mut().zip(snapshots) {
        entry.phase = Some(match snapshot {
            Some(snapshot) => snapshot
                .status
                .as_ref()
                .and_then(|status| status.phase)
                .unwrap_or(SnapshotPhase::Pending),
            None => SnapshotPhase::Failed,
        });
    }
}

async fn warn_pending(run: &mut Run, jobs: &[Job]) -> Result<(), Error> {
    let type_ = types::POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED;
    let because = reason::POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED;
    match executor::pending(&run.ctx, jobs, run.now).await? {
        Some(why) => {
            run.set(type_, true, because, &why);
            run.ctx
                .events
                .warning(&run.session, "Backup", because, &why)
                .await;
        }
        None if conditions::is_true(&run.status.conditions, type_) => {
            run.set(type_, false, because, "the pod has started");
        }
        None => {}
    }
    Ok(())
}

/// Copies what Jobs that succeeded warn about into a condition.
async fn warn_skipped(run: &mut Run, jobs: &[Job]) -> Result<(), Error> {
    let succeeded = jobs
        .iter()
        .filter(|job| executor::phase(job) == JobPhase::Succeeded);
    let pods = try_join_all(succeeded.map(|job| executor::pods(&run.ctx, job))).await?;
    let warnings: Vec<String> = pods
        .iter()
        .flat_map(|pods| executor::ends(pods))
        .filter_map(|end| end.result)
        .flat_map(|result| explain::job_warnings(&result))
        .collect();
    if !warnings.is_empty() {
        let message = warnings.join("\n");
        let mut condition =
            conditions::condition(FILES_SKIPPED, true, "SomeFilesCouldNotBeRead", &message, run.now);
        condition.severity = Some(ConditionSeverity::Warning);
        conditions::set(&mut run.status.conditions, condition);
        run.ctx
            .events
            .warning(&run.session, "Backup", FILES_SKIPPED, &message)
            .await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_and_a_pending_pod_wake_the_session() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |seconds| Timestamp::from_second(seconds).ok();
        assert_eq!(next_look(now, at(30), true), Some(Duration::from_secs(30)));
        assert_eq!(next_look(now, at(6000), true), Some(Duration::from_secs(600)));
        assert_eq!(next_look(now, None, false), None);
        assert_eq!(next_look(now, at(-5), false), Some(Duration::from_secs(1)));
    }
}
