//! The try of a BackupStorage: KubeStash's `debug backupstorage` writes a file and deletes it from the workstation, with
//! credentials there; this does it, and lists and reads, from where backups run.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use crate::api::config::job_result::{JobOutcome, JobResult, ProofStep};
use crate::api::storage::BackupStorage;
use crate::cli::commands::create::prove::{self, Proof};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Error, kinds};

/// Tries it, step by step.
///
/// # Errors
/// When the credentials cannot be read or no Job can run; the step that failed, with the storage's reason.
pub(super) async fn try_it(context: &Context, name: &str, limit: Duration) -> Result<Exit, CliError> {
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let object: Value = cluster.get(&kinds::BACKUP_STORAGE, Some(namespace), name).await?;
    let storage: BackupStorage = serde_json::from_value(object.clone())
        .map_err(|e| CliError::new(Exit::Error, "the BackupStorage cannot be read").cause(e.to_string()))?;
    let secret = secret(cluster, namespace, &storage).await?;
    let proof = Proof {
        storage: &object,
        secret,
        image: "",
        limit,
    };
    let result = Box::pin(prove::attempt(context, cluster, &proof))
        .await
        .map_err(|mut error| {
            // Nothing is created here that the proof could be left out of.
            error.hints.retain(|hint| !hint.contains("--skip-check"));
            error
        })?;
    context.ui.line("")?;
    for line in lines(context, &result) {
        context.ui.line(&line)?;
    }
    if result.outcome == JobOutcome::Succeeded {
        return Ok(Exit::Ok);
    }
    Err(failure(name, namespace, &result))
}

/// The Secret with the storage's credentials, where it names one.
async fn secret(
    cluster: &Cluster,
    namespace: &str,
    storage: &BackupStorage,
) -> Result<Option<Secret>, CliError> {
    let Some(name) = storage.spec.storage.secret_name() else {
        return Ok(None);
    };
    match cluster.get(&kinds::SECRET, Some(namespace), name).await {
        Ok(found) => Ok(Some(found)),
        Err(error @ Error::Forbidden { .. }) => Err(CliError::from(error)
            .cause("trying the storage takes the right to read its Secret and to create Jobs beside it")
            .hint(format!(
                "`kubectl kubestash why backupstorage/{} -n {namespace}` shows what the operator found out",
                storage.metadata.name.as_deref().unwrap_or_default()
            ))),
        Err(error @ Error::NotFound { .. }) => Err(CliError {
            exit: Exit::Precondition,
            ..CliError::from(error)
        }
        .cause("the BackupStorage takes its credentials from it")),
        Err(error) => Err(error.into()),
    }
}

/// The first step that did not go well.
fn broken(result: &JobResult) -> Option<ProofStep> {
    ProofStep::ALL
        .into_iter()
        .find(|step| !result.proven.contains(step))
}

fn lines(context: &Context, result: &JobResult) -> Vec<String> {
    let style = context.ui.data_style();
    let broken = broken(result);
    let mut lines = vec![style.strong("Tried from inside the cluster")];
    lines.extend(ProofStep::ALL.into_iter().map(|step| {
        let mark = if result.proven.contains(&step) {
            style.good("✓")
        } else if broken == Some(step) {
            style.bad("✗")
        } else {
            style.faint("·")
        };
        format!("  {mark} {}", step.verb())
    }));
    lines
}

fn failure(name: &str, namespace: &str, result: &JobResult) -> CliError {
    let step = broken(result).map_or("use", ProofStep::verb);
    let error = CliError::new(
        Exit::Failed,
        format!("BackupStorage {namespace}/{name} does not pass the step {step}"),
    );
    match result.cause {
        Some(cause) => error.cause(format!("{cause}: {}", result.message)),
        None => error.cause(result.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::config::job_result::JobCause;

    #[test]
    fn the_first_step_that_failed_is_named() {
        let result = JobResult {
            outcome: JobOutcome::Failed,
            cause: Some(JobCause::AccessDenied),
            message: "the bucket refuses access".into(),
            proven: vec![ProofStep::List],
            ..JobResult::default()
        };
        let error = failure("s3", "demo", &result);
        assert_eq!(error.exit, Exit::Failed);
        assert!(error.message.contains("demo/s3"), "{}", error.message);
        assert_eq!(broken(&result), Some(ProofStep::Write));
        assert_eq!(error.causes, ["AccessDenied: the bucket refuses access"]);
    }
}
