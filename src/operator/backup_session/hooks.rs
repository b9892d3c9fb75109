//! The session's hooks: before its work and after it.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Run, Step, fetch};
use crate::{
    api::{
        conditions::backup_session::{self as types, reason},
        config::job_plan::{HookSummary, HookSummaryStatus},
        core::{BackupConfiguration, Session},
        labels,
        shared::{self, TypedObjectReference},
    },
    decide::{
        backup, conditions, explain,
        hooks::{self as decide, HookSession, When},
        target, trigger,
    },
    operator::{
        Error,
        hooks::{self, List, Progress},
    },
};

/// Runs the hooks before the backup; where one fails the condition says so.
pub(super) async fn pre(
    run: &mut Run,
    configuration: &BackupConfiguration,
    config: &Session,
) -> Result<Step, Error> {
    let wanted = config
        .hooks
        .as_ref()
        .map(|hooks| hooks.pre_backup.clone())
        .unwrap_or_default();
    if wanted.is_empty()
        || conditions::has(
            &run.status.conditions,
            types::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
        )
    {
        return Ok(Step::Done);
    }
    let session = session(run, configuration);
    let list = List {
        session: &session,
        when: When::Pre,
        hooks: &wanted,
        failed: false,
    };
    let mut status = run.status.hooks.clone().unwrap_or_default();
    let progress = hooks::run(&run.ctx, &list, &mut status.pre_hooks).await?;
    run.status.hooks = Some(status);
    let type_ = types::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED;
    match progress {
        Progress::Waiting => {
            run.save().await?;
            return Ok(Step::Wait(left(run)));
        }
        Progress::Done => {
            let because = reason::SUCCESSFULLY_EXECUTED_PRE_BACKUP_HOOKS;
            run.set(type_, true, because, format!("{} hooks executed", wanted.len()));
        }
        Progress::Failed(why) => {
            run.set(type_, false, reason::FAILED_TO_EXECUTE_PRE_BACKUP_HOOKS, &why);
            let because = reason::FAILED_TO_EXECUTE_PRE_BACKUP_HOOKS;
            run.ctx
                .events
                .warning(&run.session, "Backup", because, &why)
                .await;
        }
    }
    run.save().await?;
    Ok(Step::Done)
}

/// True when a hook before the backup failed: there is no backup then.
pub(super) fn pre_failed(run: &Run) -> bool {
    conditions::is_false(
        &run.status.conditions,
        types::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
    )
}

/// Runs the hooks after the backup, whatever came of it; one that was skipped has none.
pub(super) async fn post(run: &mut Run) -> Result<Step, Error> {
    let over = [
        types::POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
        types::BACKUP_SKIPPED,
    ];
    if over
        .iter()
        .any(|type_| conditions::has(&run.status.conditions, type_))
        || !run.claimed()
    {
        return Ok(Step::Done);
    }
    let configuration = fetch::configuration(&run.ctx, &run.session).await?;
    let config = configuration
        .as_ref()
        .and_then(|it| trigger::session(it, &run.session.spec.session));
    let (Some(configuration), Some(config)) = (&configuration, config) else {
        return Ok(Step::Done);
    };
    let wanted = config
        .hooks
        .as_ref()
        .map(|hooks| hooks.post_backup.clone())
        .unwrap_or_default();
    if wanted.is_empty() {
        return Ok(Step::Done);
    }
    let session = session(run, configuration);
    let failed = !session.summary.status.error.is_empty();
    let list = List {
        session: &session,
        when: When::Post,
        hooks: &wanted,
        failed,
    };
    let mut status = run.status.hooks.clone().unwrap_or_default();
    let progress = hooks::run(&run.ctx, &list, &mut status.post_hooks).await?;
    run.status.hooks = Some(status);
    let type_ = types::POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED;
    match progress {
        Progress::Waiting => {
            run.save().await?;
            return Ok(Step::Wait(None));
        }
        Progress::Done => {
            let because = reason::SUCCESSFULLY_EXECUTED_POST_BACKUP_HOOKS;
            let count = run
                .status
                .hooks
                .as_ref()
                .map_or(0, |hooks| hooks.post_hooks.len());
            run.set(type_, true, because, format!("{count} hooks executed"));
        }
        Progress::Failed(why) => {
            let because = reason::FAILED_TO_EXECUTE_POST_BACKUP_HOOKS;
            run.set(type_, false, because, &why);
            run.ctx
                .events
                .warning(&run.session, "Backup", because, &why)
                .await;
        }
    }
    run.save().await?;
    Ok(Step::Done)
}

/// Ends hooks that still run when the session's time is over.
pub(super) async fn stop(run: &Run, configuration: Option<&BackupConfiguration>) -> Result<(), Error> {
    match configuration {
        Some(configuration) if run.status.hooks.is_some() => {
            hooks::stop(&run.ctx, &session(run, configuration)).await
        }
        _ => Ok(()),
    }
}

/// Until the deadline, if there is one.
fn left(run: &Run) -> Option<Duration> {
    let deadline = run.status.backup_deadline.as_ref()?.0;
    let seconds = u64::try_from(deadline.duration_since(run.now).as_secs()).unwrap_or(0);
    Some(Duration::from_secs(seconds.max(1)))
}

/// The session as hooks see it.
fn session(run: &Run, configuration: &BackupConfiguration) -> HookSession {
    let (namespace, name) = (run.namespace(), run.name());
    let invoker = configuration.name_any();
    let reference = target::reference(configuration.spec.target.as_ref(), &namespace);
    let target_namespace = reference.namespace_or(&namespace).to_owned();
    let error = explain::session_error(&run.status);
    let began = run.session.creation_timestamp().map_or(run.now, |time| time.0);
    let took = shared::Duration::from(Timestamp::now().duration_since(began)).rounded_to_seconds();
    let inputs = [
        ("namespace", namespace.as_str()),
        ("invokerKind", "BackupConfiguration"),
        ("invokerName", &invoker),
        ("backupSession", &name),
        ("targetKind", reference.kind()),
        ("targetName", &reference.name),
        ("targetNamespace", &target_namespace),
    ];
    HookSession {
        stem: decide::stem("backup", &namespace, &name, &target_namespace),
        labels: backup::offshoot(&run.session, labels::component::HOOK),
        inputs: inputs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        summary: HookSummary {
            name: name.clone(),
            namespace: namespace.clone(),
            invoker: TypedObjectReference {
                api_group: Some(crate::api::core::GROUP.to_owned()),
                kind: Some("BackupConfiguration".to_owned()),
                namespace: Some(namespace.clone()),
                name: invoker.clone(),
            },
            target: reference,
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
                backup::label(&decide::stem("backup", namespace, name, place)),
            )
        })
        .collect()
}
