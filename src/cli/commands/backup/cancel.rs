//! `backup cancel`: ends a BackupSession that is at work. The operator does it (see [`crate::decide::cancel`]): it stops
//! the Jobs, waits until restic has given its lock back, and ends the session as Failed with the reason.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::views::BackupSession;
use crate::cli::{follow, names, objects, report, select};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::decide::cancel::ANNOTATION;
use crate::output::format::{Format, Shape};
use crate::output::human;

/// Who the API server takes us for.
const SELF: Kind = Kind {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    namespaced: false,
    short: &[],
};

/// End backups that are running
///
/// Their Jobs are stopped, locks are given back, and the BackupSessions end as Failed with the reason. What was uploaded
/// stays in the repository until retention prunes it, and makes the next backup faster.
///
/// Examples:
///   kubectl kubestash backup cancel sample-backup-daily-1700000000
///   kubectl kubestash backup cancel bc/sample-backup --reason 'maintenance of the storage'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CancelArgs {
    /// What to end: BackupSessions (NAME), or all running ones of a BackupConfiguration (bc/NAME or bc NAME); - reads
    /// names or manifests from standard input
    #[arg(value_name = "BACKUPSESSION", required_unless_present = "filename")]
    sessions: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    /// Why, for those who read the status later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not wait until they have ended
    #[arg(long)]
    no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "6m")]
    timeout: Duration,
    /// Form of the output: table, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Asks the operator to end them, and waits for it.
///
/// # Errors
/// When one does not exist or has ended, or the operator does not react in time.
pub async fn run(args: &CancelArgs, context: &Context) -> Result<Exit, CliError> {
    let known: [&'static Kind; 2] = [&kinds::BACKUP_SESSION, &kinds::BACKUP_CONFIGURATION];
    let typed = objects::several(context, &args.sessions, &args.files.filename, &known)?;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let mut found: Vec<BackupSession> = Vec::new();
    for typed in &typed {
        for session in running(cluster, namespace, typed.named()).await? {
            if !found.iter().any(|f| f.metadata.name == session.metadata.name) {
                found.push(session);
            }
        }
    }
    let by = user(cluster).await;
    let why = match &args.reason {
        Some(reason) => format!("by {by}: {reason}"),
        None => format!("by {by}"),
    };
    for session in &found {
        let patch = json!({"metadata": {"annotations": {ANNOTATION: why}}});
        cluster
            .merge(
                &kinds::BACKUP_SESSION,
                Some(namespace),
                &session.metadata.name,
                &patch,
            )
            .await?;
    }
    let names: Vec<&str> = found.iter().map(|s| s.metadata.name.as_str()).collect();
    context.if_interrupted(format!(
        "the operator still ends {}; `kubectl kubestash backup list -n {namespace}` shows when it has.",
        names.join(", ")
    ));
    let mut exit = Exit::Ok;
    let mut objects = Vec::new();
    let deadline = tokio::time::Instant::now() + args.timeout;
    for session in &found {
        let name = &session.metadata.name;
        if !args.no_wait {
            exit = worse(exit, await_end(args, context, cluster, session, deadline).await?);
        }
        let object: Value = cluster.get(&kinds::BACKUP_SESSION, Some(namespace), name).await?;
        objects.push(report::tidy(object));
    }
    if !args.output.is_table() {
        args.output.print(&context.ui, &Shape::of(objects))?;
        return Ok(exit);
    }
    let word = if args.no_wait {
        "is being cancelled"
    } else {
        "cancelled"
    };
    for (object, session) in objects.iter().zip(&found) {
        if args.no_wait || object.pointer("/status/phase") == Some(&json!("Failed")) {
            context
                .ui
                .line(&format!("{} {word}", crate::output::format::name(object)))?;
        } else {
            context.ui.warn(&format!(
                "BackupSession {} had come to its end before it could be cancelled.",
                session.metadata.name
            ));
        }
    }
    Ok(exit)
}

fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Ok { other } else { one }
}

/// The sessions that are meant, none of which has ended.
async fn running(
    cluster: &Cluster,
    namespace: &str,
    named: names::Named<'_>,
) -> Result<Vec<BackupSession>, CliError> {
    if named.kind == Some(&kinds::BACKUP_CONFIGURATION) {
        let mut all: Vec<BackupSession> = cluster
            .list(&kinds::BACKUP_SESSION, &ListOptions::of(namespace))
            .await?;
        all.retain(|s| s.spec.invoker.name == named.name && !ended(s));
        if all.is_empty() {
            select::configuration(cluster, namespace, named.name).await?;
            return Err(CliError::new(
                Exit::NothingMatched,
                format!("no backup of BackupConfiguration {} is running", named.name),
            ));
        }
        return Ok(all);
    }
    let session: BackupSession = cluster
        .get(&kinds::BACKUP_SESSION, Some(namespace), named.name)
        .await
        .map_err(|error| {
            let missing = matches!(error, Error::NotFound { .. });
            let error = CliError::from(error);
            if missing {
                error.hint(format!(
                    "`kubectl kubestash backup list -n {namespace}` lists them; bc/{} means those of a BackupConfiguration",
                    named.name
                ))
            } else {
                error
            }
        })?;
    if ended(&session) {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "BackupSession {} has ended already: it is {}",
                named.name, session.status.phase
            ),
        ));
    }
    Ok(vec![session])
}

/// True when nothing is left to cancel: it has ended, and no retry is to come.
fn ended(session: &BackupSession) -> bool {
    let retry = session.status.next_retry.is_some() && session.status.retried != Some(true);
    matches!(session.status.phase.as_str(), "Succeeded" | "Failed" | "Skipped") && !retry
}

async fn await_end(
    args: &CancelArgs,
    context: &Context,
    cluster: &Cluster,
    session: &BackupSession,
    deadline: tokio::time::Instant,
) -> Result<Exit, CliError> {
    let (name, namespace) = (&session.metadata.name, &session.metadata.namespace);
    let progress = context.ui.progress();
    let followed = follow::backup(cluster, namespace, name, Some(&progress));
    match tokio::time::timeout_at(deadline, followed).await {
        Ok(outcome) => Ok(match outcome?.phase.as_str() {
            "Failed" => Exit::Ok,
            _ => Exit::Precondition,
        }),
        Err(_) => Err(CliError::new(
            Exit::TimedOut,
            format!(
                "BackupSession {name} did not end within {}",
                human::go_duration(args.timeout)
            ),
        )
        .hint("the operator ends it; `kubectl get pods -A -l app.kubernetes.io/name=kubestash-operator` shows whether it runs")
        .hint(format!("`kubectl kubestash why backupsession/{name} -n {namespace}` says what it waits for"))),
    }
}

/// The name that the API server knows us by, or words for one who may not ask.
async fn user(cluster: &Cluster) -> String {
    let question = json!({"apiVersion": SELF.api_version(), "kind": SELF.kind});
    let answer: Result<Value, Error> = cluster.create(&SELF, None, &question).await;
    answer
        .ok()
        .and_then(|a| {
            a.pointer("/status/userInfo/username")
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .unwrap_or_else(|| "its user".to_owned())
}
