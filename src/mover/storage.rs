//! Works on the documents of a storage that only a Job can mount: local volumes.

use std::time::Duration;

use super::job::{Failure, Job, failed_part};
use super::report;
use crate::api::config::job_plan::{StorageAction, StoragePlan};
use crate::api::config::job_result::{
    Document, DocumentsSummary, JobCause, JobOutcome, JobResult, RepositoryResult,
};
use crate::backend::Documents;
use crate::restic::Redactor;

/// The document of the storage itself.
const METADATA: &str = "metadata.yaml";

/// Does what the plan says. The one entry of the result's repositories stands for the storage.
pub async fn run(job: &Job, plan: &StoragePlan) -> JobResult {
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
