//! The end of a restore: resume what was paused, say how it went, and removal.

use jiff::Timestamp;
use kube::{Api, ResourceExt, api::ListParams};

use super::{Run, execute::set_paused};
use crate::{
    api::{
        conditions::restore_session::{self as types, reason},
        core::{RestorePhase, RestoreSession},
        labels::{self, component},
        shared,
    },
    decide::{explain, restore},
    operator::{Context, Error, executor, hooks, lookup},
};

/// Resumes the BackupConfigurations, then says that the session is over and how it went.
pub(super) async fn finish(run: &mut Run) -> Result<(), Error> {
    resume(run).await?;
    run.set(
        types::METRICS_PUSHED,
        true,
        reason::SUCCESSFULLY_PUSHED_METRICS,
        "metrics are served on the operator's /metrics",
    );
    let began = run.session.creation_timestamp().map_or(run.now, |time| time.0);
    let took = Timestamp::now().duration_since(began);
    run.status.duration = Some(shared::Duration::from(took).rounded_to_seconds());
    run.save().await?;
    let events = &run.ctx.events;
    if run.status.phase == Some(RestorePhase::Succeeded) {
        let took = run.status.duration.map(|d| d.to_string()).unwrap_or_default();
        let note = format!("restore succeeded after {took}");
        events
            .normal(&run.session, "Restore", "RestoreSucceeded", &note)
            .await;
    } else {
        events
            .warning(
                &run.session,
                "Restore",
                "RestoreFailed",
                &explain::restore_error(&run.status),
            )
            .await;
    }
    Ok(())
}

/// Resumes what this session paused, unless another unfinished restore holds it, too; that one will then resume it.
async fn resume(run: &Run) -> Result<(), Error> {
    if run.status.paused_backups.is_empty() {
        return Ok(());
    }
    let api: Api<RestoreSession> = Api::all(run.ctx.client.clone());
    let others = lookup::list(&api, ListParams::default()).await?;
    for reference in &run.status.paused_backups {
        if !restore::held_by_another(&run.session, reference, &others) {
            set_paused(run, reference, false).await?;
        }
    }
    Ok(())
}

/// Removes what the session made, and resumes what it still holds.
pub(super) async fn remove(ctx: &std::sync::Arc<Context>, session: &RestoreSession) -> Result<(), Error> {
    if !session.finalizers().iter().any(|f| f == labels::FINALIZER) {
        return Ok(());
    }
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let mut jobs = executor::jobs(ctx, &namespace, &name, component::RESTORE).await?;
    jobs.extend(executor::jobs(ctx, &namespace, &name, component::HOOK).await?);
    let mut job_namespaces: Vec<String> = jobs.iter().filter_map(ResourceExt::namespace).collect();
    if let Some(target) = &session.spec.target {
        job_namespaces.push(target.namespace_or(&namespace).to_owned());
    }
    job_namespaces.push(namespace.clone());
    let mut places = executor::places(&namespace, &name, &job_namespaces);
    places.extend(hooks::places("restore", &namespace, &name, &job_namespaces));
    executor::remove(ctx, &namespace, &name, &jobs, &places).await?;
    if !restore::finished(session) {
        resume(&Run::new(ctx.clone(), session.clone(), Timestamp::now())).await?;
    }
    ctx.applier.remove_finalizer(session, labels::FINALIZER).await
}
