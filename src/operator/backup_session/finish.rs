//! The end of a session: history, the last condition, the retry, and removal.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{Run, Step, execute, fetch};
use crate::{
    api::{
        conditions::backup_session::{self as types, reason},
        core::{BackupSession, BackupSessionPhase},
        labels::{self, component},
        shared,
        storage::{Snapshot, SnapshotPhase},
    },
    decide::{backup, cancel, explain, retention_job, trigger},
    operator::{Context, Error, executor, hooks},
};

/// Cleans the history, then says that the session is over and how it went.
pub(super) async fn finish(run: &mut Run) -> Result<Step, Error> {
    let configuration = fetch::configuration(&run.ctx, &run.session).await?;
    let config = configuration
        .as_ref()
        .and_then(|configuration| trigger::session(configuration, &run.session.spec.session));
    if let Some(config) = config {
        match clean(run, config.session_history_limit).await {
            Ok(()) => run.set(
                types::SESSION_HISTORY_CLEANED,
                true,
                reason::SUCCESSFULLY_CLEANED_SESSION_HISTORY,
                "session history cleaned",
            ),
            Err(error @ Error::Api(_)) if error.is_refusal() => run.set(
                types::SESSION_HISTORY_CLEANED,
                false,
                reason::FAILED_TO_CLEAN_SESSION_HISTORY,
                error.sentence(),
            ),
            Err(error) => return Err(error),
        }
    }
    run.set(
        types::METRICS_PUSHED,
        true,
        reason::SUCCESSFULLY_PUSHED_METRICS,
        "metrics are served on the operator's /metrics",
    );
    let began = run.session.creation_timestamp().map_or(run.now, |time| time.0);
    let took = Timestamp::now().duration_since(began);
    run.status.duration = Some(shared::Duration::from(took).rounded_to_seconds());
    run.status.next_retry = backup::next_retry(&run.session, config, &run.status, Timestamp::now()).map(Time);
    run.save().await?;
    announce(run).await;
    retry(run).await
}

async fn announce(run: &Run) {
    let events = &run.ctx.events;
    match run.status.phase {
        Some(BackupSessionPhase::Succeeded) => {
            let took = run.status.duration.map(|d| d.to_string()).unwrap_or_default();
            let note = format!("backup succeeded after {took}");
            events
                .normal(&run.session, "Backup", "BackupSucceeded", &note)
                .await;
        }
        Some(BackupSessionPhase::Failed) => {
            let why = explain::session_error(&run.status);
            events.warning(&run.session, "Backup", "BackupFailed", &why).await;
        }
        _ => {}
    }
}

async fn clean(run: &Run, limit: i32) -> Result<(), Error> {
    let others = fetch::sessions(&run.ctx, &run.namespace()).await?;
    for old in backup::history(&run.session, limit, &others) {
        run.ctx.applier.delete_object(old).await?;
    }
    Ok(())
}

/// Makes the successor of a failed session once its delay is over. The successor's name follows from the time that is in
/// the status, so it is made once.
pub(super) async fn retry(run: &mut Run) -> Result<Step, Error> {
    let Some(at) = run.status.next_retry.as_ref().map(|time| time.0) else {
        return Ok(Step::Done);
    };
    if run.status.retried == Some(true) {
        return Ok(Step::Done);
    }
    if cancel::requested(&run.session).is_some() {
        run.status.next_retry = None;
        run.save().await?;
        return Ok(Step::Done);
    }
    let left = at.duration_since(Timestamp::now());
    if left.is_positive() {
        let millis = u64::try_from(left.as_millis()).unwrap_or(0);
        return Ok(Step::Wait(Some(Duration::from_millis(millis + 1))));
    }
    let configuration = fetch::configuration(&run.ctx, &run.session).await?;
    let config = configuration
        .as_ref()
        .and_then(|configuration| trigger::session(configuration, &run.session.spec.session));
    if let (Some(configuration), Some(config)) = (&configuration, config)
        && configuration.metadata.deletion_timestamp.is_none()
    {
        let left = run.session.spec.retry_left - 1;
        let next = trigger::backup_session(configuration, config, at.as_second(), left);
        run.ctx.applier.create(&next).await?;
    }
    run.status.retried = Some(true);
    run.save().await?;
    Ok(Step::Done)
}

/// Removes what the session made: its Jobs with all that belongs to them, and Snapshots that never began.
pub(super) async fn remove(ctx: &Context, session: &BackupSession) -> Result<(), Error> {
    if !session.finalizers().iter().any(|f| f == labels::FINALIZER) {
        return Ok(());
    }
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let names: Vec<String> = session
        .status
        .iter()
        .flat_map(|status| &status.snapshots)
        .map(|snapshot| snapshot.name.clone())
        .collect();
    let snapshots = fetch::snapshots(ctx, &namespace, &names).await?;
    let mut jobs = executor::jobs(ctx, &namespace, &name, component::BACKUP).await?;
    jobs.extend(executor::jobs(ctx, &namespace, &name, component::RETENTION_POLICY).await?);
    let of_hooks = executor::jobs(ctx, &namespace, &name, component::HOOK).await?;
    let mut beside: Vec<String> = of_hooks.iter().filter_map(ResourceExt::namespace).collect();
    let claimed = session.status.iter().flat_map(|status| &status.snapshots);
    beside.extend(claimed.filter_map(|entry| entry.app_ref.as_ref()?.namespace.clone()));
    jobs.extend(of_hooks);
    let mut places = executor::places(&namespace, &name, &execute::job_namespaces(&snapshots));
    places.extend(hooks::places("backup", &namespace, &name, &beside));
    places.extend(executor::places(&namespace, &retention_job::name(session), &[]));
    executor::remove(ctx, &namespace, &name, &jobs, &places).await?;
    for snapshot in snapshots.iter().flatten().filter(|s| pending(s)) {
        ctx.applier.delete_object(snapshot).await?;
    }
    ctx.applier.remove_finalizer(session, labels::FINALIZER).await
}

fn pending(snapshot: &Snapshot) -> bool {
    let phase = snapshot.status.as_ref().and_then(|status| status.phase);
    phase.is_none_or(|phase| phase == SnapshotPhase::Pending)
}
