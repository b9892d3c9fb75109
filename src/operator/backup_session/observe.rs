//! How the Jobs and Snapshots end: progress mirrored, lost executors told, the deadline kept.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::{Run, Step, fetch};
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

/// Beginning of the message of a session that ran out of time.
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
    let late = deadline.filter(|deadline| run.now >= *deadline);
    let late = match late {
        Some(deadline) => Some(stop(run, &jobs, deadline).await?),
        None => None,
    };
    for snapshot in snapshots.iter_mut().flatten() {
        *snapshot = lost(run, snapshot, &jobs, late.as_ref()).await?;
    }
    mirror(run, &snapshots);
    warn_pending(run, &jobs).await?;
    let complete = snapshots.iter().all(|snapshot| {
        snapshot
            .as_ref()
            .is_none_or(|s| phases::snapshot_completed(s.status.as_ref().and_then(|status| status.phase)))
    });
    if complete && (!active || late.is_some()) {
        warn_skipped(run, &jobs).await?;
        blame(run, &jobs, &snapshots).await?;
        executor::own_secrets(&run.ctx, &jobs).await?;
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

/// What was said to the Jobs that were still at work when the deadline passed.
struct Late {
    /// Why they were stopped.
    why: String,
    /// The last lines of their logs, by name of the Job.
    last_lines: BTreeMap<String, String>,
}

impl Late {
    fn reason(&self, job: Option<&Job>) -> String {
        let lines = job.and_then(|job| self.last_lines.get(&job.name_any()));
        format!("{}{}", self.why, lines.map_or("", String::as_str))
    }
}

/// Ends the Jobs that still run, after their last words were taken down.
async fn stop(run: &Run, jobs: &[Job], deadline: Timestamp) -> Result<Late, Error> {
    let limit = run.session.spec.backup_timeout;
    let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    let mut late = Late {
        why: format!(
            "{DEADLINE_EXCEEDED}: the backup did not end before {deadline}; raise the session's backupTimeout{limit}, or \
             look for what slows it down"
        ),
        last_lines: BTreeMap::new(),
    };
    for job in jobs.iter().filter(|job| executor::phase(job) == JobPhase::Active) {
        let pods = executor::pods(&run.ctx, job).await?;
        let lines = executor::last_lines(&run.ctx, &pods).await;
        late.last_lines.insert(job.name_any(), lines);
        let place = job.namespace().unwrap_or_default();
        run.ctx.applier.delete::<Job>(&place, &job.name_any()).await?;
    }
    Ok(late)
}

/// Tells a Snapshot whose components will never end that their executor is gone.
async fn lost(run: &Run, snapshot: &Snapshot, jobs: &[Job], late: Option<&Late>) -> Result<Snapshot, Error> {
    let mut status = snapshot.status.clone().unwrap_or_default();
    let mut reasons = Vec::new();
    for (name, component) in &mut status.components {
        if matches!(
            component.phase,
            Some(ComponentPhase::Succeeded | ComponentPhase::Failed)
        ) {
            continue;
        }
        let job = executor::job_of(jobs, name);
        let why = match (late, job, job.map(executor::phase)) {
            (_, Some(job), Some(JobPhase::Failed)) => executor::told(&run.ctx, job).await?,
            (Some(late), job, _) => late.reason(job),
            (None, Some(_), Some(JobPhase::Active)) => continue,
            (None, Some(job), _) => format!("Job \"{}\" ended without a result", job.name_any()),
            (None, None, _) => "its Job is gone: it was deleted".to_owned(),
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

/// Says in the session itself what its Jobs did not get done and why; the Jobs and their logs go, this stays.
async fn blame(run: &mut Run, jobs: &[Job], snapshots: &[Option<Snapshot>]) -> Result<(), Error> {
    let all_well = run
        .status
        .snapshots
        .iter()
        .all(|entry| entry.phase == Some(SnapshotPhase::Succeeded));
    if all_well {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for job in jobs.iter().filter(|job| executor::phase(job) == JobPhase::Failed) {
        reasons.push(executor::told(&run.ctx, job).await?);
    }
    let mut because = reason::BACKUP_FAILED;
    for (entry, snapshot) in run.status.snapshots.iter().zip(snapshots) {
        let Some(status) = snapshot.as_ref().and_then(|it| it.status.as_ref()) else {
            reasons.push(format!(
                "Snapshot \"{}\" was deleted while it was written",
                entry.name
            ));
            continue;
        };
        if conditions::is_true(&status.conditions, snapshot_types::BACKUP_INCOMPLETE) {
            because = reason::BACKUP_EXECUTOR_TERMINATED_BEFORE_COMPLETION;
        }
        let errors = status.components.iter().filter_map(|(name, component)| {
            let error = component.error.as_ref()?;
            // A Job that ended by itself has said so above, with more than this.
            let told = reasons.iter().any(|reason| reason.contains(error));
            (!told).then(|| format!("component \"{name}\": {error}"))
        });
        reasons.extend(errors.collect::<Vec<_>>());
    }
    reasons.dedup();
    if reasons.is_empty() {
        return Ok(());
    }
    let mut condition = conditions::condition(
        types::BACKUP_INCOMPLETE,
        true,
        because,
        reasons.join("\n"),
        run.now,
    );
    condition.severity = Some(ConditionSeverity::Error);
    conditions::set(&mut run.status.conditions, condition);
    Ok(())
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
