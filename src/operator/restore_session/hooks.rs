//! The session's hooks: before its work and after it.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Run, Step};
use crate::{
    api::{
        conditions::restore_session::{self as types, reason},
        config::job_plan::{HookSummary, HookSummaryStatus},
        shared::{self, TypedObjectReference},
    },
    decide::{
        backup, conditions, explain,
        hooks::{self as decide, HookSession, When},
        restore, target,
    },
    operator::{
        Error,
        hooks::{self, List, Progress},
    },
};

/// Runs the hooks before the restore; where one fails the condition says so.
pub(super) async fn pre(run: &mut Run, target: &TypedObjectReference) -> Result<Step, Error> {
    let hooks = run.session.spec.hooks.clone().unwrap_or_default();
    let type_ = types::PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED;
    if hooks.pre_restore.is_empty() || conditions::has(&run.status.conditions, type_) {
        return Ok(Step::Done);
    }
    let session = session(run, target);
    let list = List {
        session: &session,
        when: When::Pre,
        hooks: &hooks.pre_restore,
        failed: false,
    };
    let mut status = run.status.hooks.clone().unwrap_or_default();
    let progress = hooks::run(&run.ctx, &list, &mut status.pre_hooks).await?;
    run.status.hooks = Some(status);
    match progress {
        Progress::Waiting => {
            run.save().await?;
            return Ok(Step::Wait(left(run)));
        }
        Progress::Done => {
            let because = reason::SUCCESSFULLY_EXECUTED_PRE_RESTORE_HOOKS;
            run.set(
                type_,
                true,
                because,
                format!("{} hooks executed", hooks.pre_restore.len()),
            );
        }
        Progress::Failed(why) => {
            let because = reason::FAILED_TO_EXECUTE_PRE_RESTORE_HOOKS;
            run.set(type_, false, because, &why);
            run.ctx
                .events
                .warning(&run.session, "Restore", because, &why)
                .await;
        }
    }
    run.save().await?;
    Ok(Step::Done)
}

/// True when a hook before the restore failed: nothing is restored then.
pub(super) fn pre_failed(run: &Run) -> bool {
    conditions::is_false(
        &run.status.conditions,
        types::PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED,
    )
}

/// Runs the hooks after the restore, whatever came of it; one that was refused has none.
pub(super) async fn post(run: &mut Run) -> Result<Step, Error> {
    let hooks = run.session.spec.hooks.clone().unwrap_or_default();
    let type_ = types::POST_RESTORE_HOOKS_EXECUTION_SUCCEEDED;
    let invalid = conditions::is_false(&run.status.conditions, types::VALIDATION_PASSED);
    if hooks.post_restore.is_empty() || invalid || conditions::has(&run.status.conditions, type_) {
        return Ok(Step::Done);
    }
    let namespace = run.namespace();
    let target = target::reference(run.session.spec.target.as_ref(), &namespace);
    let session = session(run, &target);
    let failed = !session.summary.status.error.is_empty();
    let list = List {
        session: &session,
        when: When::Post,
        hooks: &hooks.post_restore,
        failed,
    };
    let mut status = run.status.hooks.clone().unwrap_or_default();
    let progress = hooks::run(&run.ctx, &list, &mut status.post_hooks).await?;
    let count = status.post_hooks.len();
    run.status.hooks = Some(status);
    match progress {
        Progress::Waiting => {
            run.save().await?;
            return Ok(Step::Wait(None));
        }
        Progress::Done => {
            let because = reason::SUCCESSFULLY_EXECUTED_POST_RESTORE_HOOKS;
            run.set(type_, true, because, format!("{count} hooks executed"));
        }
        Progress::Failed(why) => {
            let because = reason::FAILED_TO_EXECUTE_POST_RESTORE_HOOKS;
            run.set(type_, false, because, &why);
            run.ctx
                .events
                .warning(&run.session, "Restore", because, &why)
                .await;
        }
    }
    run.save().await?;
    Ok(Step::Done)
}

/// Ends hooks that still run when the session's time is over.
pub(super) async fn stop(run: &Run) -> Result<(), Error> {
    if run.status.hooks.is_none() {
        return Ok(());
    }
    let target = target::reference(run.session.spec.target.as_ref(), &run.namespace());
    hooks::stop(&run.ctx, &session(run, &target)).await
}

/// Until the deadline, if there is one.
fn left(run: &Run) -> Option<Duration> {
    let deadline = run.status.restore_deadline.as_ref()?.0;
    let seconds = u64::try_from(deadline.duration_since(run.now).as_secs()).unwrap_or(0);
    Some(Duration::from_secs(seconds.max(1)))
}

/// The session as hooks see it.
fn session(run: &Run, target: &TypedObjectReference) -> HookSession {
    let (namespace, name) = (run.namespace(), run.name());
    let target_namespace = target.namespace_or(&namespace).to_owned();
    let error = explain::restore_error(&run.status);
    let began = run.session.creation_timestamp().map_or(run.now, |time| time.0);
    let took = shared::Duration::from(Timestamp::now().duration_since(began)).rounded_to_seconds();
    let inputs = [
        ("namespace", namespace.as_str()),
        ("invokerKind", "RestoreSession"),
        ("invokerName", &name),
        ("restoreSession", &name),
        ("targetKind", target.kind()),
        ("targetName", &target.name),
        ("targetNamespace", &target_namespace),
    ];
    HookSession {
        stem: decide::stem("restore", &namespace, &name, &target_namespace),
        labels: restore::offshoot(&run.session),
        inputs: inputs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        summary: HookSummary {
            name: name.clone(),
            namespace: namespace.clone(),
            invoker: TypedObjectReference {
                api_group: Some(crate::api::core::GROUP.to_owned()),
                kind: Some("RestoreSession".to_owned()),
                namespace: Some(namespace.clone()),
                name: name.clone(),
            },
            target: target.clone(),
            status: HookSummaryStatus {
                phase: if error.is_empty() { "Succeeded" } else { "Failed" }.to_owned(),
                duration: took.to_string(),
                error,
            },
        },
        target_namespace,
        namespace,
        name,
    }
}

/// Where the ServiceAccount and RoleBinding of the session's hooks may be: beside each of its Jobs.
pub(super) fn places(namespace: &str, name: &str, job_namespaces: &[String]) -> Vec<(String, String)> {
    job_namespaces
        .iter()
        .map(|place| {
            (
                place.clone(),
                backup::label(&decide::stem("restore", namespace, name, place)),
            )
        })
        .collect()
}
