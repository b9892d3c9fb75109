//! `backup now`: creates BackupSessions as the schedule would, and follows them if asked to.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join_all;
use kube::ResourceExt;
use serde_json::Value;

use crate::api::core::{BackupConfiguration, BackupConfigurationPhase, Session};
use crate::cli::commands::logs::{self, Sink};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{self, Outcome};
use crate::cli::{names, report};
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::decide::{explain, trigger};
use crate::output::format::Format;
use crate::output::human;

/// How many names are tried when BackupSessions of the same second exist already.
const NAMES: i64 = 10;

/// Back up now, as the schedule would
///
/// Creates a BackupSession for each session of the BackupConfiguration, or for those that --session names.
///
/// Examples:
///   kubectl kubestash backup now sample-backup
///   kubectl kubestash backup now bc/sample-backup --session daily --wait
///   kubectl kubestash backup now sample-backup --wait --logs --timeout 2h -n demo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct NowArgs {
    /// The BackupConfiguration: NAME or bc/NAME
    #[arg(value_name = "BACKUPCONFIGURATION")]
    configuration: String,
    /// Session to run; may be repeated; all by default
    #[arg(long, visible_alias = "sessions", value_name = "NAME", value_delimiter = ',')]
    session: Vec<String>,
    /// Wait until it has ended, and end with a code that says how
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "30m")]
    timeout: Duration,
    /// Show the logs of its pods meanwhile (implies --wait)
    #[arg(long)]
    logs: bool,
    /// Form of the output: table, wide, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Creates the BackupSessions and, if asked to, waits for their end.
///
/// # Errors
/// When the configuration or a session does not exist, or it is not ready to be backed up.
pub async fn run(args: &NowArgs, context: &Context) -> Result<Exit, CliError> {
    let named = names::parse(&args.configuration, &[&kinds::BACKUP_CONFIGURATION])?;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let configuration = configuration(cluster, namespace, named.name).await?;
    let sessions = chosen(&configuration, &args.session)?;
    ready(&configuration, namespace)?;
    let mut created = Vec::new();
    for session in sessions {
        created.push(create(cluster, &configuration, session, context.now.as_second()).await?);
    }
    if !args.wait && !args.logs {
        let first = created
            .first()
            .and_then(|o| o.pointer("/metadata/name"))
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        report::created(context, &args.output, created)?;
        context.ui.say(&format!(
            "Follow it with `kubectl kubestash logs {first} -f -n {namespace}`."
        ));
        return Ok(Exit::Ok);
    }
    let names: Vec<String> = created
        .iter()
        .filter_map(|o| {
            o.pointer("/metadata/name")
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .collect();
    let elsewhere = configuration
        .spec
        .target
        .as_ref()
        .and_then(|t| t.namespace.clone())
        .unwrap_or_default();
    let outcomes = wait(args, context, cluster, namespace, &names, &elsewhere).await?;
    report::ended(
        context,
        cluster,
        namespace,
        &kinds::BACKUP_SESSION,
        &args.output,
        &outcomes,
    )
    .await
}

async fn configuration(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<BackupConfiguration, CliError> {
    match cluster
        .get(&kinds::BACKUP_CONFIGURATION, Some(namespace), name)
        .await
    {
        Ok(found) => Ok(found),
        Err(error @ Error::NotFound { .. }) => {
            let others: Vec<crate::cli::views::BackupConfiguration> = cluster
                .list(&kinds::BACKUP_CONFIGURATION, &ListOptions::of(namespace))
                .await
                .unwrap_or_default();
            let others: Vec<String> = others.into_iter().map(|o| o.metadata.name).collect();
            Err(CliError::from(error).hint(match others.len() {
                0 => format!(
                    "namespace {namespace} has none; `kubectl get bc -A` lists those of all namespaces"
                ),
                1..=12 => format!("namespace {namespace} has: {}", others.join(", ")),
                _ => format!("`kubectl get bc -n {namespace}` lists them"),
            }))
        }
        Err(error) => Err(error.into()),
    }
}

/// The sessions asked for, each once; all of them when none is named.
fn chosen<'c>(
    configuration: &'c BackupConfiguration,
    asked: &[String],
) -> Result<Vec<&'c Session>, CliError> {
    let name = configuration.name_any();
    let known: Vec<&str> = configuration
        .spec
        .sessions
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    if known.is_empty() {
        return Err(CliError::new(
            Exit::Precondition,
            format!("BackupConfiguration {name} has no sessions"),
        ));
    }
    if asked.is_empty() {
        return Ok(configuration.spec.sessions.iter().collect());
    }
    let mut seen = BTreeSet::new();
    let mut sessions = Vec::new();
    for wanted in asked {
        let Some(session) = trigger::session(configuration, wanted) else {
            return Err(CliError::new(
                Exit::NothingMatched,
                format!("BackupConfiguration {name} has no session {wanted:?}"),
            )
            .hint(format!("it has: {}", known.join(", "))));
        };
        if seen.insert(wanted) {
            sessions.push(session);
        }
    }
    Ok(sessions)
}

/// A backup that would only be skipped is refused here, with the reason and the way out.
fn ready(configuration: &BackupConfiguration, namespace: &str) -> Result<(), CliError> {
    let name = configuration.name_any();
    if configuration.metadata.deletion_timestamp.is_some() {
        return Err(CliError::new(
            Exit::Precondition,
            format!("BackupConfiguration {name} is being deleted"),
        ));
    }
    if configuration.spec.paused {
        return Err(CliError::new(Exit::Precondition, format!("BackupConfiguration {name} is paused")).hint(format!(
            "`kubectl patch bc {name} -n {namespace} --type merge -p '{{\"spec\":{{\"paused\":false}}}}'` resumes it"
        )));
    }
    let phase = configuration.status.as_ref().and_then(|s| s.phase);
    if phase == Some(BackupConfigurationPhase::Ready) {
        return Ok(());
    }
    let state = phase.map_or("not ready yet".to_owned(), |p| match p {
        BackupConfigurationPhase::Invalid => "not valid".to_owned(),
        _ => "not ready".to_owned(),
    });
    Err(CliError::new(Exit::Precondition, format!("BackupConfiguration {name} is {state}"))
        .cause(explain::not_ready(configuration))
        .hint(format!("`kubectl describe bc {name} -n {namespace}` shows its conditions; `kubectl kubestash status` the storages")))
}

/// Creates one BackupSession; when its name is taken (another of the same second), under the next one.
async fn create(
    cluster: &Cluster,
    configuration: &BackupConfiguration,
    session: &Session,
    second: i64,
) -> Result<Value, CliError> {
    let namespace = configuration.namespace();
    let mut last = None;
    for unix in second..second + NAMES {
        // Retries are for schedules: whoever asks by hand looks at the result.
        let made = trigger::backup_session(configuration, session, unix, 0);
        let made = serde_json::to_value(made).map_err(|e| {
            CliError::new(Exit::Error, "the BackupSession cannot be written").cause(e.to_string())
        })?;
        match cluster
            .create(&kinds::BACKUP_SESSION, namespace.as_deref(), &made)
            .await
        {
            Err(error @ Error::Exists { .. }) => last = Some(error),
            Ok(object) => return Ok(object),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.map_or_else(
        || CliError::new(Exit::Error, "no BackupSession was created"),
        CliError::from,
    ))
}

async fn wait(
    args: &NowArgs,
    context: &Context,
    cluster: &Cluster,
    namespace: &str,
    names: &[String],
    elsewhere: &str,
) -> Result<Vec<Outcome>, CliError> {
    let progress = context.ui.progress();
    let all = try_join_all(names.iter().map(|name| async {
        let followed = follow::backup(cluster, namespace, name, Some(&progress));
        if args.logs {
            let target = logs::Target::backup(namespace, name).also_in(elsewhere);
            logs::while_running(cluster, &target, Sink::Talk(&progress), followed).await
        } else {
            followed.await
        }
    }));
    match tokio::time::timeout(args.timeout, all).await {
        Ok(outcomes) => outcomes,
        Err(_) => {
            let limit = human::go_duration(args.timeout);
            Err(CliError::new(
                Exit::TimedOut,
                format!("{} did not end within {limit}, and goes on", names.join(", ")),
            )
            .hint(format!(
                "`kubectl kubestash logs {} -f -n {namespace}` follows it",
                names.first().map_or("", String::as_str)
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration(spec: &Value, status: &Value) -> BackupConfiguration {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "b", "namespace": "demo"}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn unknown_sessions_are_named_with_those_that_exist() {
        let b = configuration(&json!({"sessions": [{"name": "x"}, {"name": "y"}]}), &json!({}));
        assert_eq!(chosen(&b, &[]).unwrap().len(), 2);
        assert_eq!(chosen(&b, &["y".to_owned(), "y".to_owned()]).unwrap().len(), 1);
        let error = chosen(&b, &["z".to_owned()]).unwrap_err();
        assert_eq!(
            (error.exit, error.hints[0].as_str()),
            (Exit::NothingMatched, "it has: x, y")
        );
    }

    #[test]
    fn what_would_be_skipped_is_refused() {
        let spec = json!({"sessions": [{"name": "x"}]});
        assert!(ready(&configuration(&spec, &json!({"phase": "Ready"})), "demo").is_ok());
        let paused = configuration(&json!({"paused": true}), &json!({"phase": "Ready"}));
        let error = ready(&paused, "demo").unwrap_err();
        assert_eq!(
            (error.exit, error.message.as_str()),
            (Exit::Precondition, "BackupConfiguration b is paused.")
        );
        let missing = configuration(&spec, &json!({"phase": "NotReady", "targetFound": false}));
        assert!(ready(&missing, "demo").unwrap_err().causes[0].contains("does not exist"));
        assert!(ready(&configuration(&spec, &json!({})), "demo").is_err());
    }
}
