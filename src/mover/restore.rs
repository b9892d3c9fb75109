//! Restores one component: every path to where the backup read it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::args::{RestoreFlags, list, switch};
use super::job::{Failure, Job, failed_part};
use super::kubernetes::StatusTarget;
use super::mounts;
use super::progress::{Feed, Reporter, human, percent, speed};
use super::repository::{Opened, Settings, open};
use super::restore_errors::FileErrors;
use crate::api::config::job_plan::{ResticSource, RestorePlan};
use crate::api::config::job_result::{JobCause, JobOutcome, JobResult, RepositoryResult};
use crate::api::core::{ComponentRestoreStatus, GROUP, RestorePhase, RestoreProgress};
use crate::decide::size;
use crate::decide::words::counted;
use crate::restic::errors::{self, Cause};
use crate::restic::messages::{Message, RestoreSummary, Status};
use crate::restic::{Command, Outcome, ResticError};

/// Restores one component and writes its status into the RestoreSession.
pub async fn run(job: &Job, plan: &RestorePlan, flags: &RestoreFlags) -> JobResult {
    let began = Instant::now();
    let target = StatusTarget {
        group: GROUP,
        kind: "RestoreSession",
        namespace: plan.namespace.clone(),
        name: plan.restore_session.clone(),
        component: plan.status_component.clone(),
    };
    let mut status = ComponentRestoreStatus {
        phase: Some(RestorePhase::Running),
        ..ComponentRestoreStatus::default()
    };
    let reporter = Reporter::start(Arc::clone(&job.kubernetes), target, json(&status));
    let done = Box::pin(restore(job, plan, flags, &reporter.feed())).await;
    status.duration = Some(began.elapsed().into());
    if let Err(failure) = &done {
        job.remember(failure);
    }
    let name = &plan.target.repository.name;
    let mut result = match done {
        Ok(warnings) => {
            status.phase = Some(RestorePhase::Succeeded);
            RepositoryResult {
                name: name.clone(),
                outcome: JobOutcome::Succeeded,
                warnings,
                ..RepositoryResult::default()
            }
        }
        Err(failure) => {
            status.phase = Some(RestorePhase::Failed);
            status.error = Some(failure.message.clone());
            failed_part(name, "", failure)
        }
    };
    if let Err(error) = reporter.finish(&json(&status)).await {
        let words = format!(
            "the result could not be written into RestoreSession {}: {}",
            plan.restore_session, error.message
        );
        if result.outcome == JobOutcome::Failed {
            result.warnings.push(words);
        } else {
            result.outcome = JobOutcome::Failed;
            result.cause = Some(JobCause::StatusNotWritten);
            result.message = words;
        }
    }
    job.result(&plan.status_component, vec![result])
}

fn json(status: &ComponentRestoreStatus) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

/// What the flags ask for.
struct Request {
    include: Vec<String>,
    exclude: Vec<String>,
    allow_empty: bool,
    cache: bool,
}

impl Request {
    /// Patterns that match nothing are far more often a slip than a wish, and a restore of nothing is no success.
    fn found(&self, matched: bool, component: &str) -> Result<(), Failure> {
        let (which, patterns) = if self.include.is_empty() {
            ("is left by exclude", &self.exclude)
        } else {
            ("matches include", &self.include)
        };
        if matched || patterns.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            JobCause::SourceMissing,
            format!(
                "nothing in component {component} of the Snapshot {which} {}, so nothing was restored; `kubectl kubestash snapshot ls` shows what there is",
                patterns.join(", ")
            ),
        ))
    }
}

fn read(plan: &RestorePlan, flags: &RestoreFlags) -> Result<Request, Failure> {
    let wrong = |message: String| Err(Failure::new(JobCause::Misconfigured, message));
    let request = Request {
        include: list(&flags.include),
        exclude: list(&flags.exclude),
        allow_empty: switch("allow-empty", &flags.allow_empty, false)?,
        cache: switch("enable-cache", &flags.enable_cache, true)?,
    };
    if !request.include.is_empty() && !request.exclude.is_empty() {
        return wrong(
            "restic takes either include or exclude patterns, not both; remove one of the two parameters"
                .into(),
        );
    }
    if plan.target.restic.is_empty() {
        return wrong(format!(
            "component {} of the Snapshot names no restic snapshot",
            plan.source_component
        ));
    }
    for source in &plan.target.restic {
        if !Path::new(&source.host_path).is_absolute() {
            return wrong(format!(
                "the path {} in the Snapshot is not absolute",
                source.host_path
            ));
        }
        if plan.target.root.is_none() && !mounts::on_a_volume(&source.host_path) {
            return wrong(format!(
                "no volume is mounted at {}, so what is restored there would vanish with this pod; mount the target's volumes at the paths of the backup",
                source.host_path
            ));
        }
    }
    Ok(request)
}

async fn restore(
    job: &Job,
    plan: &RestorePlan,
    flags: &RestoreFlags,
    feed: &Feed,
) -> Result<Vec<String>, Failure> {
    let request = read(plan, flags)?;
    let settings = Settings {
        scratch: &flags.scratch_dir,
        cache: request.cache,
        deadline: plan.deadline,
        cluster: &plan.cluster,
        alone: false,
    };
    let mut opened = open(
        job,
        &plan.target.repository,
        &plan.target.component_path,
        &settings,
    )
    .await?;
    let writable = opened.announce(job.holder.as_ref()).await;
    let done = match writable {
        Ok(writable) => {
            let mut warnings = Vec::new();
            let mut matched = false;
            let mut done = Ok(());
            for source in &plan.target.restic {
                let path = Box::pin(one_path(
                    job,
                    plan,
                    source,
                    &request,
                    &opened,
                    !writable,
                    feed,
                    &mut warnings,
                ))
                .await;
                match path {
                    Ok(any) => matched |= any,
                    Err(failure) => {
                        done = Err(failure);
                        break;
                    }
                }
            }
            done.and_then(|()| request.found(matched, &plan.source_component))
                .map(|()| warnings)
        }
        Err(failure) => Err(failure),
    };
    opened.close(job.kubernetes.as_ref()).await;
    done
}

#[allow(clippy::too_many_arguments)] // one path of one job, called once
async fn one_path(
    job: &Job,
    plan: &RestorePlan,
    source: &ResticSource,
    request: &Request,
    opened: &Opened,
    no_lock: bool,
    feed: &Feed,
    warnings: &mut Vec<String>,
) -> Result<bool, Failure> {
    if source.size.unwrap_or(0) == 0 && !request.allow_empty {
        refuse_empty(source, opened).await?;
    }
    let root = plan.target.root.as_deref().unwrap_or("/");
    let command = command(source, root, request, no_lock);
    let mut errors = FileErrors::default();
    let mut on_message = |message: &Message| match message {
        Message::Status(status) => feed.set(json(&running(status))),
        Message::Error(error) => {
            tracing::warn!(file = error.item, "{}", error.message);
            errors.take(error);
        }
        Message::Text(line) if !line.trim().is_empty() => tracing::info!("restic: {line}"),
        _ => {}
    };
    tracing::info!(
        repository = plan.target.repository.name,
        "restoring {}",
        source.host_path
    );
    let (summary, outcome) = opened.restic.restore(command, &mut on_message).await?;
    if let Some(summary) = &summary {
        tracing::info!(
            files = summary.files_restored,
            size = size::format(summary.bytes_restored),
            unchanged = summary.files_skipped,
            "restored {}",
            source.host_path
        );
    }
    if outcome.failure("restore").is_some() {
        job.keep_tail(&outcome);
    }
    judge(source, summary.as_ref(), &outcome, &errors)?;
    if let Some(warning) = errors.warning() {
        warnings.push(warning);
    }
    Ok(summary.is_some_and(|s| s.total_files > 0 || s.files_restored > 0 || s.files_skipped > 0))
}

/// A snapshot without any file is restored only when told so: it is far more often a mistake than a wish.
async fn refuse_empty(source: &ResticSource, opened: &Opened) -> Result<(), Failure> {
    let info = opened.restic.snapshot(&source.id).await?;
    match info.summary {
        Some(counts) if counts.total_files_processed == 0 => Err(Failure::new(
            JobCause::EmptySnapshot,
            format!(
                "the snapshot of {} holds no file; choose another Snapshot, or set the parameter allowEmpty: \"true\" to restore it all the same",
                source.host_path
            ),
        )),
        _ => Ok(()),
    }
}

/// restic restores the attributes of every directory above the path too, which are the container's own here. So the part
/// below the parent is restored into the parent: the path itself gets its attributes, its parents are left alone.
fn command(source: &ResticSource, root: &str, request: &Request, no_lock: bool) -> Command {
    let path = source.host_path.trim_end_matches('/');
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let id = if parent.is_empty() {
        source.id.clone()
    } else {
        format!("{}:{parent}", source.id)
    };
    let under = |patterns: &[String]| -> Vec<String> {
        patterns
            .iter()
            .map(|pattern| match pattern.strip_prefix(parent) {
                // Patterns that begin with / are paths; they are relative to the restored part.
                Some(rest) if pattern.starts_with('/') && rest.starts_with('/') => rest.to_owned(),
                _ => pattern.clone(),
            })
            .collect()
    };
    Command::Restore {
        id,
        target: format!("{}{parent}/", root.trim_end_matches('/')),
        no_lock,
        include: under(&request.include),
        exclude: under(&request.exclude),
    }
}

fn running(status: &Status) -> ComponentRestoreStatus {
    ComponentRestoreStatus {
        phase: Some(RestorePhase::Running),
        progress: Some(RestoreProgress {
            seconds_elapsed: i64::try_from(status.seconds_elapsed).ok(),
            percent_done: Some(percent(status.percent_done)),
            total_files: i64::try_from(status.total_files).ok(),
            files_done: i64::try_from(status.files_done).ok(),
            restore_done: Some(human(status.bytes_done)),
            total: Some(human(status.total_bytes)),
            speed: speed(status.bytes_done, status.seconds_elapsed),
        }),
        ..ComponentRestoreStatus::default()
    }
}

/// Whether everything that was chosen is there.
fn judge(
    source: &ResticSource,
    summary: Option<&RestoreSummary>,
    outcome: &Outcome,
    errors: &FileErrors,
) -> Result<(), Failure> {
    if errors.content > 0 && outcome.stopped.is_none() {
        let words = errors.content_files.join("\n");
        let mut error = ResticError::new(
            errors::of_words(&words).unwrap_or(Cause::Other),
            "restore",
            errors.content_files.first().map_or("", String::as_str),
        );
        if let Cause::NoSpace { place } = &mut error.cause {
            *place = "the target volume".into();
        }
        let mut failure = Failure::from(error);
        failure.message = format!(
            "{} could not be restored: {}",
            counted(errors.content, "file"),
            failure.message
        );
        return Err(failure);
    }
    match outcome.failure("restore") {
        // Nothing but attributes went wrong: restic ends with 1 for that too.
        Some(error) if errors.attributes > 0 && matches!(error.cause, Cause::Other | Cause::AccessDenied) => {
        }
        Some(mut error) => {
            if let Cause::NoSpace { place } = &mut error.cause {
                *place = "the target volume".into();
            }
            return Err(error.into());
        }
        None => {}
    }
    let complete = summary.is_some_and(|summary| {
        summary.files_restored + summary.files_skipped >= summary.total_files
            && summary.bytes_restored + summary.bytes_skipped >= summary.total_bytes
    });
    if complete || errors.attributes > 0 {
        return Ok(());
    }
    let done = summary.cloned().unwrap_or_default();
    Err(Failure::new(
        JobCause::RestoreIncomplete,
        format!(
            "only {} of {} ({} of {} bytes) came back from {} although restic reported no error; restore again",
            done.files_restored,
            counted(done.total_files, "file"),
            done.bytes_restored,
            done.total_bytes,
            source.host_path
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str) -> ResticSource {
        ResticSource {
            id: "abc".into(),
            host_path: path.into(),
            size: Some(1),
        }
    }

    fn request(include: &[&str], exclude: &[&str]) -> Request {
        Request {
            include: include.iter().map(|s| (*s).to_owned()).collect(),
            exclude: exclude.iter().map(|s| (*s).to_owned()).collect(),
            allow_empty: false,
            cache: false,
        }
    }

    #[test]
    fn parents_of_the_path_are_left_alone() {
        let nothing = request(&[], &[]);
        for (path, root, id, target) in [
            ("/source/data", "/", "abc:/source", "/source/"),
            ("/data", "/", "abc", "/"),
            ("/data/", "/mnt", "abc", "/mnt/"),
            ("/a/b/c", "/mnt/", "abc:/a/b", "/mnt/a/b/"),
            ("/", "/mnt", "abc", "/mnt/"),
        ] {
            let Command::Restore { id: i, target: t, .. } = command(&source(path), root, &nothing, false)
            else {
                panic!()
            };
            assert_eq!((i.as_str(), t.as_str()), (id, target), "{path}");
        }
    }

    #[test]
    fn absolute_patterns_follow_the_part_that_is_restored() {
        let asked = request(&["/source/data/x", "*.txt", "/sourcery"], &[]);
        let Command::Restore { include, .. } = command(&source("/source/data"), "/", &asked, false) else {
            panic!()
        };
        assert_eq!(include, ["/data/x", "*.txt", "/sourcery"]);
    }

    #[test]
    fn patterns_that_match_nothing_are_no_success() {
        request(&[], &[]).found(false, "dump").unwrap();
        request(&["/data/x"], &[]).found(true, "dump").unwrap();
        let missed = request(&["/data/x", "*.y"], &[])
            .found(false, "dump")
            .unwrap_err();
        assert_eq!(missed.cause, JobCause::SourceMissing);
        assert!(
            missed.message.contains("matches include /data/x, *.y"),
            "{}",
            missed.message
        );
        let left = request(&[], &["*"]).found(false, "dump").unwrap_err();
        assert!(left.message.contains("is left by exclude *"), "{}", left.message);
    }

    #[test]
    fn a_restore_that_is_short_of_files_is_no_success() {
        let outcome = Outcome {
            code: Some(0),
            ..Outcome::default()
        };
        let summary = RestoreSummary {
            total_files: 3,
            files_restored: 2,
            files_skipped: 1,
            ..RestoreSummary::default()
        };
        let none = FileErrors::default();
        judge(&source("/d"), Some(&summary), &outcome, &none).unwrap();
        let short = RestoreSummary {
            files_skipped: 0,
            ..summary
        };
        let failure = judge(&source("/d"), Some(&short), &outcome, &none).unwrap_err();
        assert_eq!(failure.cause, JobCause::RestoreIncomplete);
        assert!(judge(&source("/d"), None, &outcome, &none).is_err());
    }

    #[test]
    fn both_kinds_of_patterns_are_refused() {
        let plan = RestorePlan::default();
        let flags = RestoreFlags {
            include: "a".into(),
            exclude: "b".into(),
            ..RestoreFlags::default()
        };
        assert!(read(&plan, &flags).err().unwrap().message.contains("not both"));
    }
}
