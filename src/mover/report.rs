//! Leaves the result where Kubernetes finds it.

use std::io::Write as _;

use crate::api::config::job_result::{
    Document, DocumentsSummary, JobOutcome, JobResult, TERMINATION_LOG, TERMINATION_LOG_ENV,
};
use crate::backend::SecretText;

/// Logs the result and writes the termination message.
pub(super) fn finish(result: &JobResult) {
    match result.outcome {
        JobOutcome::Succeeded if result.component.is_empty() => tracing::info!(job = result.job, "done"),
        JobOutcome::Succeeded => tracing::info!(job = result.job, component = result.component, "done"),
        JobOutcome::Partial => {
            tracing::warn!(
                job = result.job,
                component = result.component,
                message = result.message,
                "done in part"
            );
        }
        JobOutcome::Failed => tracing::error!(
            job = result.job,
            component = result.component,
            cause = result.cause.map(|cause| cause.to_string()),
            reason = result.message,
            "failed"
        ),
    }
    let path = std::env::var(TERMINATION_LOG_ENV)
        .ok()
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| TERMINATION_LOG.to_owned());
    if let Err(error) = std::fs::write(&path, result.to_termination_message()) {
        // The status has the same; outside Kubernetes there is no such file.
        tracing::debug!(path, %error, "the termination message was not written");
    }
}

/// Prints documents for the operator, which reads them from the container's log, and says how to know that all arrived.
pub(super) fn print_documents(documents: &[Document]) -> std::io::Result<DocumentsSummary> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    let mut out = std::io::stdout().lock();
    for document in documents {
        hash.update(document.content.as_bytes());
        serde_json::to_writer(&mut out, document)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(DocumentsSummary {
        count: documents.len() as u64,
        sha256,
    })
}

/// Writes a file that holds a secret: readable by us alone.
pub(crate) fn write_secret_file(path: &std::path::Path, content: &SecretText) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)?.write_all(content.expose().as_bytes())
}
