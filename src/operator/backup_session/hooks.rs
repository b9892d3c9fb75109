//! The session's hooks: before its work and after it.

use kube::ResourceExt;

use super::{Run, Step, fetch};
use crate::{
    api::{
        conditions::backup_session::{self as types, reason},
        core::{BackupConfiguration, Session},
        labels,
    },
    decide::{
        backup, conditions, explain,
        hooks::{HookSession, When},
        target, trigger,
        words::counted,
    },
    operator::{
        Error,
        hooks::{self, List, Progress, Seen},
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
            return Ok(Step::Wait(hooks::left(
                run.status.backup_deadline.as_ref(),
                run.now,
            )));
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
            run.set(
                type_,
                true,
                because,
                format!("{} executed", counted(count, "hook")),
            );
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

/// The session as hooks see it.
fn session(run: &Run, configuration: &BackupConfiguration) -> HookSession {
    let namespace = run.namespace();
    hooks::session(Seen {
        word: "backup",
        name: run.name(),
        invoker: ("BackupConfiguration", configuration.name_any()),
        target: target::reference(configuration.spec.target.as_ref(), &namespace),
        labels: backup::offshoot(&run.session, labels::component::HOOK),
        error: explain::session_error(&run.status),
        began: run.session.creation_timestamp().map_or(run.now, |time| time.0),
        namespace,
    })
}
