//! Works on the documents of a storage that only a Job can mount: local volumes.

use std::time::Duration;

use super::job::{Failure, Job, failed_part};
use super::report;
use crate::api::config::job_plan::{StorageAction, StoragePlan};
use crate::api::config::job_result::{
    Document, DocumentsSummary, JobCause, JobOutcome, JobResult, ProofStep, RepositoryResult,
};
use crate::backend::Documents;
use crate::restic::Redactor;

/// The document of the storage itself.
const METADATA: &str = "metadata.yaml";

/// Does what the plan says. The one entry of the result's repositories stands for the storage.
pub async fn run(job: &Job, plan: &StoragePlan) -> JobResult {
    if plan.action == StorageAction::Prove {
        return prove(job, plan).await;
    }
    let limits = job.limits(plan.deadline);
    let left = limits
        .deadline
        .map_or(Duration::from_secs(24 * 3600), |deadline| {
            deadline.saturating_duration_since(tokio::time::Instant::now())
        });
    let work = tokio::time::timeout(left, Box::pin(act(job, plan)));
    let done = tokio::select! {
        done = work => done.unwrap_or_else(|_| Err(Failure::new(
            JobCause::Timeout,
            format!("the storage was not done with before the deadline; is {} slow?", plan.backend.name),
        ))),
        () = job.cancel.cancelled() => Err(Failure::new(JobCause::Killed, "asked to stop before the work was done".into())),
    };
    let name = &plan.backend.name;
    match done {
        Ok(documents) => {
            let part = RepositoryResult {
                name: name.clone(),
                outcome: JobOutcome::Succeeded,
                ..RepositoryResult::default()
            };
            JobResult {
                documents,
                ..job.result("", vec![part])
            }
        }
        Err(failure) => job.result("", vec![failed_part(name, "", failure)]),
    }
}

async fn act(job: &Job, plan: &StoragePlan) -> Result<Option<DocumentsSummary>, Failure> {
    let mut redactor = Redactor::default();
    let documents = job.secrets.storage(&plan.backend, &mut redactor)?.documents()?;
    match &plan.action {
        StorageAction::Init { metadata } => {
            if let Some(found) = read(&documents, METADATA).await? {
                return print(&[found]).map(Some);
            }
            documents.put(METADATA, metadata.as_str()).await?;
            print(&[]).map(Some)
        }
        StorageAction::Upload {
            documents: upload,
            remove,
        } => {
            for (path, text) in upload {
                documents.put(path, text.as_str()).await?;
            }
            for path in remove {
                documents.delete(path).await?;
            }
            Ok(None)
        }
        StorageAction::Wipe { path } => {
            let count = documents.delete_prefix(path).await?;
            tracing::info!(count, path, "deleted");
            Ok(None)
        }
        StorageAction::Prove => Ok(None),
        StorageAction::Read { paths } => {
            let mut found = Vec::new();
            for path in paths {
                match read(&documents, path).await {
                    Ok(Some(document)) => found.push(document),
                    // A directory, or nothing at all.
                    Ok(None) | Err(_) => found.extend(read_directory(&documents, path).await?),
                }
            }
            print(&found).map(Some)
        }
    }
}

/// Proves the storage. What went well is in the result even when a later step did not.
async fn prove(job: &Job, plan: &StoragePlan) -> JobResult {
    let limits = job.limits(plan.deadline);
    let left = limits.deadline.map_or(Duration::from_secs(120), |deadline| {
        deadline.saturating_duration_since(tokio::time::Instant::now())
    });
    let mut proven = Vec::new();
    let done = tokio::select! {
        done = tokio::time::timeout(left, Box::pin(steps(job, plan, &mut proven))) => done.unwrap_or_else(|_| Err(Failure::new(
            JobCause::Timeout,
            format!("{} did not answer in time; check the endpoint, the network policies and the proxy settings", plan.backend.name),
        ))),
        () = job.cancel.cancelled() => Err(Failure::new(JobCause::Killed, "asked to stop before the proof was done".into())),
    };
    let part = match done {
        Ok(()) => RepositoryResult {
            name: plan.backend.name.clone(),
            outcome: JobOutcome::Succeeded,
            ..RepositoryResult::default()
        },
        Err(failure) => failed_part(&plan.backend.name, "", failure),
    };
    JobResult {
        proven,
        ..job.result("", vec![part])
    }
}

/// Lists, writes, reads and deletes one document with a name that nothing else has.
async fn steps(job: &Job, plan: &StoragePlan, proven: &mut Vec<ProofStep>) -> Result<(), Failure> {
    let mut redactor = Redactor::default();
    let documents = job.secrets.storage(&plan.backend, &mut redactor)?.documents()?;
    documents.reachable().await?;
    proven.push(ProofStep::List);
    let name = format!(
        "kubestash-proof-{}",
        ulid::Ulid::generate().to_string().to_lowercase()
    );
    let content = format!("KubeStash proves that this place can be used, and removes this file: {name}\n");
    documents.put(&name, content.as_str()).await?;
    proven.push(ProofStep::Write);
    let read = read_back(&documents, &name, &content).await;
    if read.is_ok() {
        proven.push(ProofStep::Read);
    }
    // Also after a failed read: nothing is left behind where it can be helped.
    let deleted = delete(&documents, &name).await;
    if deleted.is_ok() && read.is_ok() {
        proven.push(ProofStep::Delete);
    }
    read.and(deleted)
}

async fn read_back(documents: &Documents, name: &str, content: &str) -> Result<(), Failure> {
    let other = |what: &str| Failure::new(JobCause::Other, format!("{}: {what}", documents.place()));
    match documents.get(name).await? {
        Some(bytes) if bytes == content.as_bytes() => {}
        Some(_) => return Err(other("a file does not read as it was written")),
        None => return Err(other("a file is not there after it was written")),
    }
    let listed = documents.list_directory("").await?;
    if listed.iter().any(|entry| entry.path == name) {
        Ok(())
    } else {
        Err(other("a file that was written is missing in the listing"))
    }
}

async fn delete(documents: &Documents, name: &str) -> Result<(), Failure> {
    let left = |failure: Failure| {
        let note = format!(" (the file {name} of this proof stays behind)");
        Failure::new(failure.cause, failure.message + &note)
    };
    documents.delete(name).await.map_err(|e| left(e.into()))?;
    match documents.get(name).await? {
        None => Ok(()),
        Some(_) => Err(left(Failure::new(
            JobCause::AccessDenied,
            format!(
                "{}: a file is still there after it was deleted",
                documents.place()
            ),
        ))),
    }
}

async fn read(documents: &Documents, path: &str) -> Result<Option<Document>, Failure> {
    let Some(bytes) = documents.get(path).await? else {
        return Ok(None);
    };
    let content = String::from_utf8(bytes).map_err(|_| {
        Failure::new(
            JobCause::Corrupt,
            format!(
                "{path} on {} is no text; restore it or remove it",
                documents.place()
            ),
        )
    })?;
    Ok(Some(Document {
        document: path.to_owned(),
        content,
    }))
}

async fn read_directory(documents: &Documents, dir: &str) -> Result<Vec<Document>, Failure> {
    let mut found = Vec::new();
    for entry in documents.list_directory(dir).await? {
        if entry.path.ends_with(".yaml")
            && let Some(document) = read(documents, &entry.path).await?
        {
            found.push(document);
        }
    }
    Ok(found)
}

fn print(documents: &[Document]) -> Result<DocumentsSummary, Failure> {
    report::print_documents(documents).map_err(|error| {
        Failure::new(
            JobCause::Other,
            format!("the documents could not be printed: {error}"),
        )
    })
}
