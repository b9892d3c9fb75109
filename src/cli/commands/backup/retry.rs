//! `backup retry`: what failed or was skipped, once more.

use kube::ResourceExt;

use super::now;
use super::run::{self, RunArgs, Wanted};
use crate::api::core::{BackupSession, BackupSessionPhase};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{objects, select};
use crate::cluster::{Cluster, Kind, ListOptions, kinds};
use crate::decide::backup;

/// Run again what failed or was skipped
///
/// For a BackupSession, its session runs once more; for a BackupConfiguration, every session whose last run did not
/// succeed.
///
/// Examples:
///   kubectl kubestash backup retry sample-backup-daily-1700000000 --wait
///   kubectl kubestash backup retry bc/sample-backup --wait --logs
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RetryArgs {
    /// What to run again: a BackupSession (NAME) or a BackupConfiguration (bc/NAME or bc NAME)
    #[arg(value_name = "BACKUPSESSION", required_unless_present = "filename", num_args = 1..=2)]
    session: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    #[command(flatten)]
    run: RunArgs,
}

/// Creates the BackupSessions and, if asked to, waits for their end.
///
/// # Errors
/// When it does not exist, has not failed, or cannot be run again.
pub async fn run(args: &RetryArgs, context: &Context) -> Result<Exit, CliError> {
    let wanted = async {
        let known: [&'static Kind; 2] = [&kinds::BACKUP_SESSION, &kinds::BACKUP_CONFIGURATION];
        let named = objects::one(context, &args.session, &args.files.filename, &known)?;
        let namespace = context.namespace().await?;
        let cluster = context.cluster().await?;
        if named.kind == Some(&kinds::BACKUP_CONFIGURATION) {
            of_configuration(cluster, namespace, &named.name).await
        } else {
            of_session(context, cluster, namespace, &named.name).await
        }
    };
    run::perform(context, &args.run, "kubectl kubestash backup retry", wanted).await
}

async fn of_session(
    context: &Context,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Wanted, CliError> {
    let session: BackupSession = cluster
        .get(&kinds::BACKUP_SESSION, Some(namespace), name)
        .await
        .map_err(|e| {
            CliError::from(e).hint(format!(
                "`kubectl kubestash backup list -n {namespace}` lists the backups that ran"
            ))
        })?;
    let configuration = session.spec.invoker.clone().unwrap_or_default().name;
    match session.status.as_ref().and_then(|s| s.phase) {
        Some(BackupSessionPhase::Failed | BackupSessionPhase::Skipped) => {}
        Some(BackupSessionPhase::Succeeded) => {
            return Err(CliError::new(
                Exit::Precondition,
                format!("BackupSession {name} succeeded; there is nothing to run again"),
            )
            .hint(format!(
                "`kubectl kubestash backup now {configuration} --session {} -n {namespace}` makes another backup",
                session.spec.session
            )));
        }
        _ => {
            return Err(CliError::new(
                Exit::Precondition,
                format!("BackupSession {name} has not ended yet"),
            )
            .hint(format!(
                "`kubectl kubestash logs {name} -f -n {namespace}` follows it, `kubectl kubestash backup cancel {name} -n {namespace}` ends it"
            )));
        }
    }
    if backup::awaits_retry(&session) {
        let when = session.status.as_ref().and_then(|s| s.next_retry.as_ref());
        context.ui.say(&format!(
            "The operator would have run it again by itself{}; cancel that with `kubectl kubestash backup cancel {name} -n {namespace}`.",
            when.map_or_else(String::new, |t| format!(" at {}", t.0))
        ));
    }
    let configuration = select::configuration(cluster, namespace, &configuration).await?;
    now::wanted(
        vec![configuration],
        std::slice::from_ref(&session.spec.session),
        true,
    )
}

/// The sessions of a configuration whose newest run did not succeed.
async fn of_configuration(cluster: &Cluster, namespace: &str, name: &str) -> Result<Wanted, CliError> {
    let configuration = select::configuration(cluster, namespace, name).await?;
    let ran: Vec<BackupSession> = cluster
        .list(&kinds::BACKUP_SESSION, &ListOptions::of(namespace))
        .await?;
    let failed: Vec<String> = configuration
        .spec
        .sessions
        .iter()
        .map(|s| s.name.clone())
        .filter(|session| last_failed(&ran, name, session))
        .collect();
    if failed.is_empty() {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!("no session of BackupConfiguration {name} has failed last"),
        )
        .hint(format!(
            "`kubectl kubestash backup now {name} -n {namespace}` makes another backup"
        )));
    }
    now::wanted(vec![configuration], &failed, true)
}

fn last_failed(ran: &[BackupSession], configuration: &str, session: &str) -> bool {
    let last = ran
        .iter()
        .filter(|r| r.spec.session == session)
        .filter(|r| r.spec.invoker.as_ref().is_some_and(|i| i.name == configuration))
        .max_by_key(|r| r.creation_timestamp().map(|t| t.0));
    let phase = last.and_then(|r| r.status.as_ref()).and_then(|s| s.phase);
    matches!(
        phase,
        Some(BackupSessionPhase::Failed | BackupSessionPhase::Skipped)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_run_counts() {
        let run = |created: &str, phase: &str| -> BackupSession {
            serde_json::from_value(
                json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
                "metadata": {"name": created, "creationTimestamp": created},
                "spec": {"session": "daily", "invoker": {"kind": "BackupConfiguration", "name": "b"}},
                "status": {"phase": phase}}),
            )
            .unwrap()
        };
        let failed = [
            run("2026-01-01T00:00:00Z", "Succeeded"),
            run("2026-01-02T00:00:00Z", "Failed"),
        ];
        assert!(last_failed(&failed, "b", "daily"));
        assert!(!last_failed(&failed, "b", "other") && !last_failed(&failed, "c", "daily"));
        let mended = [
            run("2026-01-03T00:00:00Z", "Succeeded"),
            run("2026-01-02T00:00:00Z", "Failed"),
        ];
        assert!(!last_failed(&mended, "b", "daily"));
    }
}
