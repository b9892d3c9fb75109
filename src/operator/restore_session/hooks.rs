//! The session's hooks: before its work and after it.

use kube::ResourceExt;

use super::{Run, Step};
use crate::{
    api::{
        conditions::restore_session::{self as types, reason},
        shared::TypedObjectReference,
    },
    decide::{
        conditions, explain,
        hooks::{HookSession, When},
        restore, target,
        words::counted,
    },
    operator::{
        Error,
        hooks::{self, List, Progress, Seen},
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
            return Ok(Step::Wait(hooks::left(
                run.status.restore_deadline.as_ref(),
                run.now,
            )));
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
            run.set(
                type_,
                true,
                because,
                format!("{} executed", counted(count, "hook")),
            );
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

/// The session as hooks see it.
fn session(run: &Run, target: &TypedObjectReference) -> HookSession {
    hooks::session(Seen {
        word: "restore",
        namespace: run.namespace(),
        name: run.name(),
        invoker: ("RestoreSession", run.name()),
        target: target.clone(),
        labels: restore::offshoot(&run.session),
        error: explain::restore_error(&run.status),
        began: run.session.creation_timestamp().map_or(run.now, |time| time.0),
    })
}
