//! A session that somebody wants to end: its Jobs are stopped, their pods awaited (restic gives its lock back while it
//! ends), and what was not done is said to be cancelled. The last step is [`super::finish`], as for any other end.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};

use super::{Run, Step, execute, fetch, finish, hooks};
use crate::{
    api::{
        conditions::{
            backup_session::{self as types, reason},
            snapshot as snapshot_types,
        },
        core::RetentionPolicyApplyPhase,
        labels::{self, component},
        storage::{ComponentPhase, Snapshot, SnapshotPhase},
    },
    decide::{backup::label, conditions, phases},
    operator::{
        Error,
        executor::{self, JobPhase},
        lookup,
    },
};

/// How often the pods are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long pods may take to end; the pod of a node that is gone never does.
const STOP_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// Ends the session; `why` says who wanted it.
pub(super) async fn end(run: &mut Run, why: &str) -> Result<Step, Error> {
    if !conditions::has(&run.status.conditions, types::BACKUP_CANCELLED) {
        let message = format!("{why}; its Jobs are being stopped");
        run.set(types::BACKUP_CANCELLED, false, reason::CANCELLING, message);
        run.save().await?;
    }
    let (namespace, name) = (run.namespace(), run.name());
    let mut jobs = executor::jobs(&run.ctx, &namespace, &name, component::BACKUP).await?;
    jobs.extend(executor::jobs(&run.ctx, &namespace, &name, component::RETENTION_POLICY).await?);
    // Hooks after the backup still run, or an application that was put to rest before it would stay so.
    let after = run
        .status
        .hooks
        .as_ref()
        .map_or(0, |hooks| hooks.post_hooks.len());
    if after == 0 {
        jobs.extend(executor::jobs(&run.ctx, &namespace, &name, component::HOOK).await?);
    }
    for job in jobs.iter().filter(|job| executor::phase(job) == JobPhase::Active) {
        run.ctx.applier.delete_object(job).await?;
    }
    let names: Vec<String> = run.status.snapshots.iter().map(|s| s.name.clone()).collect();
    let snapshots = fetch::snapshots(&run.ctx, &namespace, &names).await?;
    let since = conditions::find(&run.status.conditions, types::BACKUP_CANCELLED)
        .map_or(run.now, |condition| condition.last_transition_time.0);
    if run.now.duration_since(since) < STOP_WITHIN && at_work(run, &snapshots).await? {
        return Ok(Step::Wait(Some(LOOK_AGAIN)));
    }
    // Read again: the movers wrote their last words while they ended.
    let snapshots = fetch::snapshots(&run.ctx, &namespace, &names).await?;
    for (index, snapshot) in snapshots.iter().enumerate() {
        let phase = match snapshot {
            Some(snapshot) => close(run, snapshot, why).await?,
            None => SnapshotPhase::Failed,
        };
        if let Some(entry) = run.status.snapshots.get_mut(index) {
            entry.phase = Some(phase);
        }
    }
    for entry in &mut run.status.retention_policy {
        if entry.phase == Some(RetentionPolicyApplyPhase::Pending) {
            entry.phase = Some(RetentionPolicyApplyPhase::FailedToApply);
            entry.error = Some(why.to_owned());
        }
    }
    run.set(types::BACKUP_CANCELLED, true, reason::CANCELLED_BY_USER, why);
    run.save().await?;
    if let Step::Wait(after) = Box::pin(hooks::post(run)).await? {
        return Ok(Step::Wait(after));
    }
    finish::finish(run).await
}

/// True while a pod of the session has not ended.
async fn at_work(run: &Run, snapshots: &[Option<Snapshot>]) -> Result<bool, Error> {
    let mut places: BTreeSet<String> = execute::job_namespaces(snapshots).into_iter().collect();
    places.insert(run.namespace());
    let wanted = format!(
        "{}={},{}={}",
        labels::INVOKER_NAME,
        label(&run.name()),
        labels::INVOKER_NAMESPACE,
        label(&run.namespace())
    );
    for place in places {
        let api: Api<Pod> = Api::namespaced(run.ctx.client.clone(), &place);
        let pods: Vec<Pod> = lookup::list(&api, ListParams::default().labels(&wanted)).await?;
        let ended = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        if pods.iter().any(|pod| !ended(pod)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says in a Snapshot what will not be done any more, and answers how the Snapshot ends.
async fn close(run: &Run, snapshot: &Snapshot, why: &str) -> Result<SnapshotPhase, Error> {
    let mut status = snapshot.status.clone().unwrap_or_default();
    if phases::snapshot_completed(status.phase) {
        return Ok(status.phase.unwrap_or_default());
    }
    for component in status.components.values_mut() {
        if !matches!(
            component.phase,
            Some(ComponentPhase::Succeeded | ComponentPhase::Failed)
        ) {
            component.phase = Some(ComponentPhase::Failed);
            component.error = Some(why.to_owned());
        }
    }
    let condition = conditions::condition(
        snapshot_types::BACKUP_INCOMPLETE,
        true,
        snapshot_types::reason::BACKUP_EXECUTOR_TERMINATED_BEFORE_COMPLETION,
        why,
        run.now,
    );
    conditions::set(&mut status.conditions, condition);
    status.phase = Some(phases::snapshot(&status));
    run.ctx.applier.write_status(snapshot, &status).await?;
    Ok(status.phase.unwrap_or_default())
}
