//! What runs inside Jobs: `kubestash job …`, and the trigger that the CronJobs run.
//!
//! A Job is given everything it needs in its plan ([`crate::api::config::job_plan`]), works with restic and the storage,
//! writes its progress and result into the status of one component (server-side apply, so that many Jobs can write
//! into one object), and leaves a [`crate::api::config::job_result::JobResult`] in its termination message, from which the
//! operator learns reasons even when the status could not be written. It ends with 0 only when what was asked for is done
//! (a partial backup that the user allowed counts), with 143 when it was told to stop, with 1 otherwise.
//!
//! A kill at any point loses nothing: restic's repositories stay consistent, the lock that stays behind is removed by a
//! later Job once this pod is proven gone, and the operator sees that the component never ended.

pub mod args;
pub mod backup;
mod backup_status;
mod hook;
pub mod job;
pub mod kubernetes;
mod mounts;
pub(crate) mod plan;
mod progress;
pub(crate) mod report;
mod repository;
pub mod restore;
mod restore_errors;
pub mod retention;
pub mod storage;
pub mod trigger;

use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use args::Options;
use args::Task;
use job::{Failure, Job};
use kubernetes::{ApiServer, Kubernetes};

use crate::api::config::job_plan::JobPlan;
use crate::api::config::job_result::{JobCause, JobOutcome, JobResult};
use crate::restic::Program;

/// The exit code of a process that was told to stop by SIGTERM.
const TERMINATED: u8 = 143;

/// Runs one Job to its end.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    crate::telemetry::start();
    crate::install_crypto_provider();
    // One thread is enough beside restic, and the cheapest in memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let cancel = CancellationToken::new();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(watched(&options.job, &cancel)),
        Err(error) => failed(
            &options.job,
            JobCause::Other,
            &format!("the program cannot start: {error}"),
        ),
    };
    report::finish(&result);
    match result.outcome {
        JobOutcome::Succeeded | JobOutcome::Partial => ExitCode::SUCCESS,
        JobOutcome::Failed if cancel.is_cancelled() => ExitCode::from(TERMINATED),
        JobOutcome::Failed => ExitCode::FAILURE,
    }
}

/// Runs the job while a task of its own waits for the order to stop.
async fn watched(task: &Task, cancel: &CancellationToken) -> JobResult {
    let stop = cancel.clone();
    tokio::spawn(async move {
        if asked_to_stop().await {
            tracing::warn!("asked to stop");
            stop.cancel();
        }
    });
    match Box::pin(start(task, cancel.clone())).await {
        Ok(result) => result,
        Err(failure) => failed(task, failure.cause, &failure.message),
    }
}

/// Loads the plan and runs the job that it is for.
async fn start(task: &Task, cancel: CancellationToken) -> Result<JobResult, Failure> {
    let loaded = plan::Loaded::from_environment()?;
    if let (Task::Hook, JobPlan::Hook(plan)) = (task, &loaded.plan) {
        return Ok(Box::pin(hook::run(plan, &cancel)).await);
    }
    let needs_api = !matches!(loaded.plan, JobPlan::Storage(_));
    let kubernetes: Arc<dyn Kubernetes> = if needs_api {
        Arc::new(ApiServer::connect().await?)
    } else {
        Arc::new(kubernetes::Nobody)
    };
    let program = match &loaded.plan {
        JobPlan::Storage(_) => None,
        _ => Some(Program::find().await?),
    };
    let job = Job::new(task.name(), loaded.secrets, program, kubernetes, cancel);
    match (task, &loaded.plan) {
        (Task::WorkloadBackup(flags) | Task::PvcBackup(flags), JobPlan::Backup(plan)) => {
            Ok(Box::pin(backup::run(&job, plan, flags)).await)
        }
        (Task::WorkloadRestore(flags) | Task::PvcRestore(flags), JobPlan::Restore(plan)) => {
            Ok(Box::pin(restore::run(&job, plan, flags)).await)
        }
        (Task::Retention, JobPlan::Retention(plan)) => Ok(Box::pin(retention::run(&job, plan)).await),
        (Task::Storage, JobPlan::Storage(plan)) => Ok(Box::pin(storage::run(&job, plan)).await),
        (task, _) => Err(Failure::new(
            JobCause::Misconfigured,
            format!("the plan of this Job is not for {}", task.name()),
        )),
    }
}

fn failed(task: &Task, cause: JobCause, message: &str) -> JobResult {
    JobResult {
        job: task.name().to_owned(),
        outcome: JobOutcome::Failed,
        cause: Some(cause),
        message: message.to_owned(),
        ..JobResult::default()
    }
}

#[cfg(unix)]
pub(crate) async fn asked_to_stop() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return false;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    true
}

#[cfg(not(unix))]
pub(crate) async fn asked_to_stop() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}
