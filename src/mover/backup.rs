//! Backs one component up: every path into every repository of the session.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::args::{BackupFlags, list, switch};
use super::backup_status::{Shared, begun, hear, json, summarize};
use super::job::{Failure, Job, failed_part};
use super::kubernetes::StatusTarget;
use super::progress::Reporter;
use super::repository::{Opened, Settings, open};
use crate::api::config::job_plan::{BackupPlan, BackupTarget};
use crate::api::config::job_result::{JobCause, JobOutcome, JobResult, RepositoryResult};
use crate::api::storage::{Component, ComponentPhase, GROUP, ResticStats};
use crate::decide::size;
use crate::restic::errors::Cause;
use crate::restic::messages::Message;
use crate::restic::repository::NeverInitialized;
use crate::restic::{Outcome, ResticError};

/// How long the size of a repository may be looked up; a backup does not fail for it.
const SIZING: Duration = Duration::from_secs(60);
/// How many skipped files are named in a result.
const NAMED: usize = 20;

/// What the flags ask for.
struct Request {
    paths: Vec<String>,
    exclude: Vec<String>,
    allow_partial: bool,
    cache: bool,
}

/// Backs one component up and writes its status into every Snapshot of the plan.
pub async fn run(job: &Job, plan: &BackupPlan, flags: &BackupFlags) -> JobResult {
    let request = read(flags);
    let mut results = Vec::new();
    for target in &plan.targets {
        let result = match &request {
            Ok(request) => Box::pin(one_target(job, plan, target, request, flags)).await,
            Err(failure) => refuse(job, plan, target, failure.clone()).await,
        };
        results.push(result);
    }
    job.result(&plan.component, results)
}

fn read(flags: &BackupFlags) -> Result<Request, Failure> {
    let request = Request {
        paths: list(&flags.paths),
        exclude: list(&flags.exclude),
        allow_partial: switch("allow-partial", &flags.allow_partial, false)?,
        cache: switch("enable-cache", &flags.enable_cache, true)?,
    };
    if request.paths.is_empty() {
        return Err(Failure::new(
            JobCause::Misconfigured,
            "no paths to back up are named; set the task's parameter \"paths\"".into(),
        ));
    }
    for path in &request.paths {
        if !Path::new(path).is_absolute() {
            return Err(Failure::new(
                JobCause::Misconfigured,
                format!(
                    "the path {path} to back up does not begin with /; correct the task's parameter \"paths\""
                ),
            ));
        }
        // restic would end with 0 when another path of the list exists.
        if let Err(error) = std::fs::symlink_metadata(path) {
            return Err(Failure::new(
                JobCause::SourceMissing,
                format!(
                    "the path {path} to back up cannot be found in the container ({error}); correct the task's parameter \"paths\" or the volume mounts"
                ),
            ));
        }
    }
    Ok(request)
}

fn status_target(plan: &BackupPlan, target: &BackupTarget) -> StatusTarget {
    StatusTarget {
        group: GROUP,
        kind: "Snapshot",
        namespace: plan.namespace.clone(),
        name: target.snapshot.clone(),
        component: plan.component.clone(),
    }
}

/// Writes a failure that was known before anything began.
async fn refuse(job: &Job, plan: &BackupPlan, target: &BackupTarget, failure: Failure) -> RepositoryResult {
    let mut component = begun(target);
    component.phase = Some(ComponentPhase::Failed);
    component.error = Some(failure.message.clone());
    let reporter = Reporter::start(
        Arc::clone(&job.kubernetes),
        status_target(plan, target),
        Value::Null,
    );
    let result = failed_part(&target.repository.name, &target.snapshot, failure);
    written(reporter.finish(&json(&component)).await, result)
}

/// A result whose status could not be written is no success: nobody would know of the backup.
fn written(
    answer: Result<(), super::kubernetes::PatchError>,
    mut result: RepositoryResult,
) -> RepositoryResult {
    if let Err(error) = answer {
        let words = format!(
            "the result could not be written into Snapshot {}: {}",
            result.snapshot, error.message
        );
        if result.outcome == JobOutcome::Failed {
            result.warnings.push(words);
        } else {
            result.outcome = JobOutcome::Failed;
            result.cause = Some(JobCause::StatusNotWritten);
            result.message = words;
        }
    }
    result
}

async fn one_target(
    job: &Job,
    plan: &BackupPlan,
    target: &BackupTarget,
    request: &Request,
    flags: &BackupFlags,
) -> RepositoryResult {
    let began = Instant::now();
    let component = Arc::new(Mutex::new(begun(target)));
    let reporter = Reporter::start(
        Arc::clone(&job.kubernetes),
        status_target(plan, target),
        json(&begun(target)),
    );
    let shared = Shared {
        component: Arc::clone(&component),
        feed: reporter.feed(),
    };
    let settings = Settings {
        scratch: &flags.scratch_dir,
        cache: request.cache,
        deadline: plan.deadline,
        cluster: &plan.cluster,
        alone: false,
    };
    let done = match open(job, &target.repository, &target.component_path, &settings).await {
        Ok(mut opened) => {
            let done = Box::pin(all_paths(job, plan, target, request, &mut opened, &shared)).await;
            let warnings = opened.locks.left.clone();
            opened.close(job.kubernetes.as_ref()).await;
            done.map(|skipped| (skipped, warnings))
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &done {
        job.remember(failure);
    }
    let mut component = component.lock().unwrap_or_else(PoisonError::into_inner).clone();
    component.duration = Some(began.elapsed().into());
    let result = conclude(target, request, &mut component, done);
    written(reporter.finish(&json(&component)).await, result)
}

/// What was skipped: the first files, and how many.
#[derive(Default)]
struct Skipped {
    files: Vec<String>,
    count: u64,
}

/// Fills the last state of the component and the result.
fn conclude(
    target: &BackupTarget,
    request: &Request,
    component: &mut Component,
    done: Result<(Skipped, Vec<String>), Failure>,
) -> RepositoryResult {
    for stats in &mut component.restic_stats {
        stats.progress = None;
    }
    component.restic_stats.retain(|stats| stats.summary.is_some());
    match done {
        Ok((skipped, warnings)) if skipped.count == 0 => {
            component.phase = Some(ComponentPhase::Succeeded);
            component.integrity = Some(true);
            RepositoryResult {
                name: target.repository.name.clone(),
                snapshot: target.snapshot.clone(),
                outcome: JobOutcome::Succeeded,
                warnings,
                ..RepositoryResult::default()
            }
        }
        Ok((skipped, warnings)) => {
            let cause = Cause::Incomplete {
                files: skipped.files.clone(),
                count: skipped.count,
            };
            let message = ResticError::new(cause, "backup", "").to_string();
            let outcome = if request.allow_partial {
                component.phase = Some(ComponentPhase::Succeeded);
                component.integrity = Some(true);
                JobOutcome::Partial
            } else {
                component.phase = Some(ComponentPhase::Failed);
                component.error = Some(message.clone());
                JobOutcome::Failed
            };
            RepositoryResult {
                name: target.repository.name.clone(),
                snapshot: target.snapshot.clone(),
                outcome,
                cause: Some(JobCause::Incomplete),
                message,
                skipped_files: skipped.files,
                skipped_count: skipped.count,
                warnings,
                ..RepositoryResult::default()
            }
        }
        Err(failure) => {
            component.phase = Some(ComponentPhase::Failed);
            component.error = Some(failure.message.clone());
            failed_part(&target.repository.name, &target.snapshot, failure)
        }
    }
}

async fn all_paths(
    job: &Job,
    plan: &BackupPlan,
    target: &BackupTarget,
    request: &Request,
    opened: &mut Opened,
    shared: &Shared,
) -> Result<Skipped, Failure> {
    opened.announce(job.holder.as_ref()).await?;
    let mut skipped = Skipped::default();
    let mut initialized = target.initialized;
    for (index, path) in request.paths.iter().enumerate() {
        shared.change(|component| component.restic_stats.push(ResticStats::default()));
        tracing::info!(repository = target.repository.name, "backing up {path}");
        let mut on_message = |message: &Message| hear(message, index, shared);
        let mut answer = opened
            .restic
            .backup(path, &plan.component, &request.exclude, &mut on_message)
            .await;
        if let Err(error) = &answer
            && error.cause == Cause::RepositoryMissing
            && let Some(proof) = NeverInitialized::from_metadata(initialized)
        {
            tracing::info!(
                repository = target.repository.name,
                dir = opened.dir,
                "creating the restic repository"
            );
            opened.restic.init(proof).await?;
            answer = opened
                .restic
                .backup(path, &plan.component, &request.exclude, &mut on_message)
                .await;
        }
        initialized = true;
        let (summary, outcome) = answer.map_err(|error| locate(error, opened))?;
        collect(job, &mut skipped, &outcome);
        tracing::info!(
            repository = target.repository.name,
            files = summary.total_files_processed,
            size = size::format(summary.total_bytes_processed),
            uploaded = size::format(summary.data_added_packed),
            "saved {path}"
        );
        shared.change(|component| {
            if let Some(stats) = component.restic_stats.get_mut(index) {
                stats.progress = None;
                stats.summary = Some(summarize(path, &summary));
            }
        });
    }
    let data = crate::backend::join([opened.dir.as_str(), "data"]);
    match opened.documents.size(&data, SIZING).await {
        Ok(bytes) => shared.change(|component| component.size = Some(size::format(bytes))),
        Err(error) => tracing::warn!(error = error.message, "the size of the repository is not known"),
    }
    Ok(skipped)
}

/// Says which volume is full, and who holds a lock, where we know more than restic.
fn locate(mut error: ResticError, opened: &Opened) -> Failure {
    match &mut error.cause {
        Cause::NoSpace { place } if place.is_empty() => {
            let scratch = opened.scratch().to_string_lossy().into_owned();
            *place = if error.detail.contains(&scratch) {
                "the scratch volume (restic writes every pack there before it uploads it)".into()
            } else {
                "the storage or the scratch volume".into()
            };
        }
        Cause::Locked { by } if !opened.locks.left.is_empty() => *by = opened.locks.left.join("; "),
        _ => {}
    }
    error.into()
}

fn collect(job: &Job, skipped: &mut Skipped, outcome: &Outcome) {
    if outcome.error_count == 0 {
        return;
    }
    job.keep_tail(outcome);
    skipped.count += outcome.error_count;
    let room = NAMED.saturating_sub(skipped.files.len());
    let named = outcome.errors.iter().take(room);
    skipped.files.extend(named.map(|error| {
        if error.item.is_empty() {
            error.message.clone()
        } else {
            error.item.clone()
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(paths: &str) -> BackupFlags {
        BackupFlags {
            paths: paths.into(),
            ..BackupFlags::default()
        }
    }

    #[test]
    fn paths_are_checked_before_anything_begins() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().to_str().unwrap();
        assert_eq!(
            read(&flags(&format!("{good}, {good}"))).unwrap().paths,
            [good, good]
        );
        for (paths, cause, words) in [
            ("", JobCause::Misconfigured, "no paths to back up"),
            ("data", JobCause::Misconfigured, "does not begin with /"),
            ("/nowhere/at/all", JobCause::SourceMissing, "/nowhere/at/all"),
        ] {
            let failure = read(&flags(paths)).err().unwrap();
            assert_eq!(failure.cause, cause);
            assert!(failure.message.contains(words), "{}", failure.message);
        }
    }

    #[test]
    fn a_partial_backup_fails_unless_allowed() {
        let target = BackupTarget::default();
        for (allow_partial, phase, outcome) in [
            (false, ComponentPhase::Failed, JobOutcome::Failed),
            (true, ComponentPhase::Succeeded, JobOutcome::Partial),
        ] {
            let request = Request {
                paths: Vec::new(),
                exclude: Vec::new(),
                allow_partial,
                cache: true,
            };
            let mut component = begun(&target);
            let skipped = Skipped {
                files: vec!["/data/secret".into()],
                count: 1,
            };
            let result = conclude(&target, &request, &mut component, Ok((skipped, Vec::new())));
            assert_eq!((component.phase, result.outcome), (Some(phase), outcome));
            assert_eq!(component.error.is_some(), !allow_partial);
            assert!(result.message.contains("/data/secret"));
        }
    }
}
