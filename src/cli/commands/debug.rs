//! `debug`: all that helps to understand a failure, in one go: the chain of `why`, then what the pods said. KubeStash's
//! command, without its need for kubectl, Docker or flags.

mod storage;

use std::time::Duration;

use kube::ResourceExt;

use crate::api::core::BackupSession;
use crate::cli::commands::{logs, why};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{objects, select};
use crate::cluster::logs::Pods;
use crate::cluster::{Kind, ListOptions, kinds};
use crate::output::human;

/// How the operator's objects are found.
const OPERATOR: &str = "app.kubernetes.io/name=kubestash-operator";

/// Show all that helps to understand a failure
#[derive(Debug, clap::Args)]
pub struct DebugArgs {
    #[command(subcommand)]
    command: DebugCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DebugCommand {
    Backup(BackupArgs),
    Restore(RestoreArgs),
    Operator(OperatorArgs),
    #[command(name = "backupstorage", visible_alias = "storage")]
    Storage(StorageArgs),
}

/// Explain a BackupConfiguration and its last runs, with their logs
///
/// Examples:
///   kubectl kubestash debug backup sample-backup
///   kubectl kubestash debug backup sample-backup --sessions=daily --latest -n demo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct BackupArgs {
    /// The BackupConfiguration: NAME, bc/NAME or bc NAME
    #[arg(value_name = "BACKUPCONFIGURATION", required_unless_present = "filename", num_args = 1..=2)]
    configuration: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    /// Only these sessions, separated by commas
    #[arg(long, visible_alias = "session", value_name = "NAME", value_delimiter = ',')]
    sessions: Vec<String>,
    /// Only the newest run of each session, which is the default without --sessions
    #[arg(long)]
    latest: bool,
}

/// Explain a RestoreSession, with its logs
///
/// Examples:
///   kubectl kubestash debug restore sample-restore
///   kubectl kubestash debug restore restoresession/sample-restore -n demo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct RestoreArgs {
    /// The RestoreSession: NAME, restoresession/NAME or restoresession NAME
    #[arg(value_name = "RESTORESESSION", required_unless_present = "filename", num_args = 1..=2)]
    session: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
}

/// Show the operator's pods and logs
///
/// Examples:
///   kubectl kubestash debug operator
///   kubectl kubestash debug operator --context production
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct OperatorArgs {}

/// Explain a BackupStorage, and try it: list, write, read and delete a file in it
///
/// The try is a short Job in the cluster, in the namespace of the BackupStorage, with its credentials: what works there
/// works for backups. It leaves nothing behind. Ends with 3 when a step fails.
///
/// Examples:
///   kubectl kubestash debug backupstorage s3-storage
///   kubectl kubestash debug backupstorage s3-storage -n demo --timeout 30s
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct StorageArgs {
    /// The BackupStorage: NAME, backupstorage/NAME or backupstorage NAME
    #[arg(value_name = "BACKUPSTORAGE", required_unless_present = "filename", num_args = 1..=2)]
    storage: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    /// How long the try may take
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "90s")]
    timeout: Duration,
}

impl DebugArgs {
    /// Whether an interruption is dealt with inside: a Job is removed first.
    pub fn ends_by_itself(&self) -> bool {
        matches!(self.command, DebugCommand::Storage(_))
    }
}

/// Shows it.
///
/// # Errors
/// When the object does not exist or cannot be read.
pub async fn run(args: &DebugArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        DebugCommand::Backup(args) => backup(args, context).await,
        DebugCommand::Restore(args) => {
            let kind = &kinds::RESTORE_SESSION;
            let name = objects::one(context, &args.session, &args.files.filename, &[kind])?.name;
            explain(context, kind, &name).await?;
            said(context, kind, &name).await
        }
        DebugCommand::Operator(_) => operator(context).await,
        DebugCommand::Storage(args) => {
            let kind = &kinds::BACKUP_STORAGE;
            let name = objects::one(context, &args.storage, &args.files.filename, &[kind])?.name;
            explain(context, kind, &name).await?;
            Box::pin(storage::try_it(context, &name, args.timeout)).await
        }
    }
}

async fn backup(args: &BackupArgs, context: &Context) -> Result<Exit, CliError> {
    let kind = &kinds::BACKUP_CONFIGURATION;
    let name = objects::one(context, &args.configuration, &args.files.filename, &[kind])?.name;
    let name = name.as_str();
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let configuration = select::configuration(cluster, namespace, name).await?;
    let known: Vec<&str> = configuration
        .spec
        .sessions
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    if let Some(unknown) = args.sessions.iter().find(|s| !known.contains(&s.as_str())) {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!("BackupConfiguration {name} has no session {unknown:?}"),
        )
        .hint(format!("it has: {}", known.join(", "))));
    }
    explain(context, &kinds::BACKUP_CONFIGURATION, name).await?;
    let all: Vec<BackupSession> = cluster
        .list(&kinds::BACKUP_SESSION, &ListOptions::of(namespace))
        .await?;
    let latest = args.latest || args.sessions.is_empty();
    let runs = chosen(all, name, &known, &args.sessions, latest);
    if runs.is_empty() {
        context
            .ui
            .say(&format!("No backup of BackupConfiguration {name} has run yet."));
    }
    for run in runs {
        context.ui.line("")?;
        explain(context, &kinds::BACKUP_SESSION, &run).await?;
        said(context, &kinds::BACKUP_SESSION, &run).await?;
    }
    Ok(Exit::Ok)
}

/// The runs to show: of each session the newest, or all that did not succeed.
fn chosen(
    mut all: Vec<BackupSession>,
    configuration: &str,
    known: &[&str],
    asked: &[String],
    latest: bool,
) -> Vec<String> {
    all.sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp().map(|t| t.0)));
    let mut names = Vec::new();
    for session in known
        .iter()
        .filter(|s| asked.is_empty() || asked.iter().any(|a| a == *s))
    {
        let runs = all.iter().filter(|run| {
            run.spec.session == *session && run.spec.invoker.as_ref().is_some_and(|i| i.name == configuration)
        });
        if latest {
            names.extend(runs.take(1).map(ResourceExt::name_any));
        } else {
            let failed = |run: &&BackupSession| {
                let phase = run.status.as_ref().and_then(|s| s.phase);
                phase != Some(crate::api::core::BackupSessionPhase::Succeeded)
            };
            names.extend(runs.filter(failed).map(ResourceExt::name_any));
        }
    }
    names
}

async fn explain(context: &Context, kind: &'static Kind, name: &str) -> Result<(), CliError> {
    Box::pin(why::explain(context, kind, name)).await
}

/// What the pods of a session said, or what status has kept of it.
async fn said(context: &Context, kind: &'static Kind, name: &str) -> Result<Exit, CliError> {
    context.ui.line("")?;
    let style = context.ui.data_style();
    context
        .ui
        .line(&style.strong(&format!("Logs of {} {name}", kind.kind)))?;
    Box::pin(logs::print(context, kind, name)).await
}

async fn operator(context: &Context) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let options = ListOptions::default().labelled(OPERATOR);
    let deployments: Vec<serde_json::Value> = cluster.list(&kinds::DEPLOYMENT, &options).await?;
    if deployments.is_empty() {
        return Err(CliError::new(
            Exit::Precondition,
            "no KubeStash operator is installed in this cluster",
        )
        .hint("`kubectl kubestash install` installs it"));
    }
    let text = |object: &serde_json::Value, pointer: &str| {
        object
            .pointer(pointer)
            .and_then(serde_json::Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let style = context.ui.data_style();
    let mut places = std::collections::BTreeSet::new();
    for deployment in &deployments {
        let namespace = text(deployment, "/metadata/namespace");
        let count = |pointer: &str| {
            deployment
                .pointer(pointer)
                .and_then(serde_json::Value::as_i64)
                .unwrap_or(0)
        };
        context.ui.line(&style.strong(&format!(
            "Deployment {namespace}/{}",
            text(deployment, "/metadata/name")
        )))?;
        context.ui.line(&format!(
            "  image      {}",
            text(deployment, "/spec/template/spec/containers/0/image")
        ))?;
        context.ui.line(&format!(
            "  available  {} of {}",
            count("/status/availableReplicas"),
            count("/spec/replicas")
        ))?;
        context
            .ui
            .line(&format!("  client     {}", env!("CARGO_PKG_VERSION")))?;
        places.insert(namespace);
    }
    for namespace in &places {
        let pods: Vec<serde_json::Value> = cluster
            .list(&kinds::POD, &ListOptions::of(namespace).labelled(OPERATOR))
            .await?;
        for pod in &pods {
            let restarts = pod
                .pointer("/status/containerStatuses/0/restartCount")
                .and_then(serde_json::Value::as_i64)
                .unwrap_or(0);
            context.ui.line(&format!(
                "  pod        {}: {}, {restarts} restarts",
                text(pod, "/metadata/name"),
                text(pod, "/status/phase")
            ))?;
        }
    }
    context.ui.line("")?;
    context.ui.line(&style.strong("Logs of the operator"))?;
    let pods = Pods {
        namespaces: places,
        labels: OPERATOR.to_owned(),
    };
    logs::print_pods(context, cluster, pods).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_run_of_each_session_is_shown_unless_sessions_are_named() {
        let run = |name: &str, session: &str, created: &str, phase: &str| -> BackupSession {
            serde_json::from_value(json!({"metadata": {"name": name, "creationTimestamp": created},
                "spec": {"session": session, "invoker": {"kind": "BackupConfiguration", "name": "b"}}, "status": {"phase": phase}}))
            .unwrap()
        };
        let all = || {
            vec![
                run("a1", "a", "2026-01-01T00:00:00Z", "Failed"),
                run("a2", "a", "2026-01-02T00:00:00Z", "Succeeded"),
                run("a3", "a", "2026-01-01T12:00:00Z", "Failed"),
                run("c1", "c", "2026-01-01T00:00:00Z", "Failed"),
            ]
        };
        assert_eq!(chosen(all(), "b", &["a", "c"], &[], true), ["a2", "c1"]);
        assert_eq!(
            chosen(all(), "b", &["a", "c"], &["a".to_owned()], false),
            ["a3", "a1"]
        );
        assert!(chosen(all(), "other", &["a", "c"], &[], true).is_empty());
    }
}
