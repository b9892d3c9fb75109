//! Forgets what retention gave up, and prunes where the plan says so.
//!
//! Forgetting is cheap and happens with every run; pruning is rare, bounded, and never done while anybody else has a lock
//! on the repository. Which snapshots go is not decided here.

use super::job::{Failure, Job, failed_part};
use super::repository::{Opened, Settings, open};
use crate::api::config::job_plan::{RetentionComponent, RetentionPlan, RetentionRepository};
use crate::api::config::job_result::{JobCause, JobOutcome, JobResult, RepositoryResult};
use crate::backend::join;
use crate::restic::errors::Cause;

/// How much a prune may repack, so that it ends in reasonable time; the next one goes on.
const MAX_REPACK: &str = "20G";
/// How many ids one run of restic is given.
const BATCH: usize = 200;

/// Works through the repositories of the plan; a failure in one does not stop the others.
pub async fn run(job: &Job, plan: &RetentionPlan) -> JobResult {
    let mut results = Vec::new();
    for repository in &plan.repositories {
        let mut result = RepositoryResult {
            name: repository.repository.name.clone(),
            outcome: JobOutcome::Succeeded,
            ..RepositoryResult::default()
        };
        if let Err(failure) = Box::pin(one_repository(job, plan, repository, &mut result)).await {
            job.remember(&failure);
            result = RepositoryResult {
                forgotten: result.forgotten,
                pruned: result.pruned,
                warnings: result.warnings,
                ..failed_part(&repository.repository.name, "", failure)
            };
        }
        results.push(result);
    }
    job.result("", results)
}

async fn one_repository(
    job: &Job,
    plan: &RetentionPlan,
    repository: &RetentionRepository,
    result: &mut RepositoryResult,
) -> Result<(), Failure> {
    let mut settings = Settings {
        scratch: "",
        // Forget and prune read the index once; a cache would be thrown away with the pod.
        cache: false,
        deadline: plan.deadline,
        cluster: &plan.cluster,
        alone: false,
    };
    let mut failed = None;
    for component in &repository.components {
        if component.forget.is_empty() && !repository.prune {
            continue;
        }
        settings.alone = !component.forget.is_empty();
        let mut opened = open(job, &repository.repository, &component.component_path, &settings).await?;
        let done = Box::pin(one_component(
            job,
            component,
            repository.prune,
            &mut opened,
            result,
        ))
        .await;
        opened.close(job.kubernetes.as_ref()).await;
        if let Err(failure) = done {
            tracing::error!(component = component.component_path, "{}", failure.message);
            failed.get_or_insert(failure);
        }
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    remove_documents(job, repository).await
}

async fn one_component(
    job: &Job,
    component: &RetentionComponent,
    prune: bool,
    opened: &mut Opened,
    result: &mut RepositoryResult,
) -> Result<(), Failure> {
    match opened.announce(job.holder.as_ref()).await {
        // Deleting must work on a full storage, where no record fits.
        Err(failure) if failure.cause == JobCause::NoSpace => {}
        other => {
            other?;
        }
    }
    for ids in component.forget.chunks(BATCH) {
        forget(ids, opened).await?;
        result.forgotten += ids.len() as u64;
    }
    tracing::info!(dir = opened.dir, count = component.forget.len(), "forgotten");
    if !prune {
        return Ok(());
    }
    if !opened.locks.left.is_empty() {
        result.warnings.push(format!(
            "space was not freed in {} because the repository is in use ({}); the next run tries again",
            opened.dir,
            opened.locks.left.join("; ")
        ));
        return Ok(());
    }
    // Whoever comes first works; a prune never queues behind a backup.
    opened.restic.retry_lock = std::time::Duration::ZERO;
    match opened.restic.prune(MAX_REPACK).await {
        Ok(()) => {
            tracing::info!(dir = opened.dir, "space that nothing uses is freed");
            result.pruned = true;
        }
        Err(error) if matches!(error.cause, Cause::Locked { .. }) => {
            result
                .warnings
                .push(format!("space was not freed in {}: {error}", opened.dir));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn forget(ids: &[String], opened: &Opened) -> Result<(), Failure> {
    let Err(mut error) = opened.restic.forget(ids).await else {
        return Ok(());
    };
    match &mut error.cause {
        Cause::NoSpace { .. } => return forget_on_full_storage(ids, opened).await,
        Cause::Locked { by } if !opened.locks.left.is_empty() => *by = opened.locks.left.join("; "),
        _ => {}
    }
    Err(error.into())
}

/// restic cannot even write its lock on a full storage. What it would do under it is to delete one small file per snapshot,
/// which harms nobody who reads or writes the repository meanwhile; the data itself is left for a prune.
async fn forget_on_full_storage(ids: &[String], opened: &Opened) -> Result<(), Failure> {
    tracing::warn!("the storage is full: the snapshots are forgotten without a lock");
    for id in ids {
        if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let path = join([opened.dir.as_str(), "snapshots", id]);
            opened.documents.delete(&path).await?;
        }
    }
    Ok(())
}

/// Documents go last: as long as a Snapshot's document is there, its data can be found.
async fn remove_documents(job: &Job, repository: &RetentionRepository) -> Result<(), Failure> {
    if repository.documents.is_empty() {
        return Ok(());
    }
    let mut redactor = crate::restic::Redactor::default();
    let storage = job
        .secrets
        .storage(&repository.repository.backend, &mut redactor)?;
    let documents = storage.documents()?;
    for path in &repository.documents {
        documents
            .delete(&join([repository.repository.path.as_str(), path]))
            .await?;
    }
    Ok(())
}
