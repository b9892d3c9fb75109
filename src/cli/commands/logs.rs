//! `logs`: what the pods of a BackupSession or RestoreSession said, all of them as one stream; and when the pods are
//! gone, the reason and the last lines that status has kept.

mod stream;

use serde_json::Value;

pub use self::stream::{Sink, Target, while_running};
use self::stream::{drain, readable};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{self, Outcome};
use crate::cli::views::{BackupSession, RestoreSession};
use crate::cli::{names, objects, report, select};
use crate::cluster::logs::Pods;
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds, logs as cluster_logs};
use crate::output::table::printable;

/// Show the logs of a backup or restore, also after its pods are gone
///
/// Examples:
///   kubectl kubestash logs sample-backup-daily-1700000000 -f
///   kubectl kubestash logs restoresession/sample-restore
///   kubectl kubestash logs bc/sample-backup
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct LogsArgs {
    /// The BackupSession or RestoreSession: NAME, KIND/NAME or KIND NAME; bc/NAME is the newest of a BackupConfiguration
    #[arg(value_name = "SESSION", required_unless_present = "filename", num_args = 1..=2)]
    session: Vec<String>,
    /// Manifest that names it, - for standard input
    #[arg(long, value_name = "FILE")]
    filename: Vec<String>,
    /// Go on until it has ended
    #[arg(short, long)]
    follow: bool,
    /// Print lines as the pods wrote them, without reading their JSON
    #[arg(long)]
    raw: bool,
    /// Do not say before each line which component and container it is of
    #[arg(long)]
    no_prefix: bool,
}

/// Shows the logs.
///
/// # Errors
/// When the session does not exist or its logs cannot be read.
pub async fn run(args: &LogsArgs, context: &Context) -> Result<Exit, CliError> {
    let known: [&'static Kind; 3] = [
        &kinds::BACKUP_SESSION,
        &kinds::RESTORE_SESSION,
        &kinds::BACKUP_CONFIGURATION,
    ];
    let typed = objects::one(context, &args.session, &args.filename, &known)?;
    let named = typed.named();
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let newest;
    let named = if named.kind == Some(&kinds::BACKUP_CONFIGURATION) {
        newest = self::newest(cluster, namespace, named.name).await?;
        names::Named {
            kind: Some(&kinds::BACKUP_SESSION),
            name: &newest,
        }
    } else {
        named
    };
    let (kind, object) = find(cluster, namespace, named).await?;
    let target = Target::new(kind, namespace, named.name);
    let elsewhere = target_namespace(cluster, namespace, &object).await;
    let target = target.also_in(&elsewhere);
    let progress = context.ui.progress();
    let sink = Sink::Data {
        progress: &progress,
        raw: args.raw,
        prefix: !args.no_prefix,
    };
    if args.follow {
        context.if_interrupted(format!(
            "{} goes on without you; `kubectl kubestash logs {}/{} -f -n {namespace}` follows it again.",
            named.name,
            kind.kind.to_lowercase(),
            named.name
        ));
        let outcome = if kind == &kinds::BACKUP_SESSION {
            let followed = follow::backup(cluster, namespace, named.name, Some(&progress));
            while_running(cluster, &target, sink, followed).await?
        } else {
            let followed = follow::restore(cluster, namespace, named.name, Some(&progress));
            while_running(cluster, &target, sink, followed).await?
        };
        drop(progress);
        conclude(context, namespace, &outcome);
        return Ok(Exit::Ok);
    }
    let count = drain(cluster, &target, sink).await?;
    drop(progress);
    stored(context, cluster, namespace, kind, object, count).await?;
    Ok(Exit::Ok)
}

/// Prints what the pods of a session said, or what its status has kept.
///
/// # Errors
/// As [`run`].
pub async fn print(context: &Context, kind: &'static Kind, name: &str) -> Result<Exit, CliError> {
    let args = LogsArgs {
        session: vec![format!("{}/{name}", kind.kind)],
        filename: Vec::new(),
        follow: false,
        raw: false,
        no_prefix: false,
    };
    run(&args, context).await
}

/// Prints what pods said, named by their labels.
///
/// # Errors
/// When they cannot be read.
pub async fn print_pods(context: &Context, cluster: &Cluster, pods: Pods) -> Result<Exit, CliError> {
    let mut lines = cluster_logs::read(cluster, pods, None);
    while let Some(line) = lines.recv().await {
        let line = line?;
        context.ui.line(&format!(
            "[{}/{}] {}",
            line.source,
            line.container,
            readable(&line.text)
        ))?;
    }
    Ok(Exit::Ok)
}

/// The newest BackupSession of a configuration.
async fn newest(cluster: &Cluster, namespace: &str, configuration: &str) -> Result<String, CliError> {
    let all: Vec<BackupSession> = cluster
        .list(&kinds::BACKUP_SESSION, &ListOptions::of(namespace))
        .await?;
    let newest = all
        .into_iter()
        .filter(|s| s.spec.invoker.name == configuration)
        .max_by_key(|s| s.metadata.creation_timestamp);
    match newest {
        Some(session) => Ok(session.metadata.name),
        None => {
            select::configuration(cluster, namespace, configuration).await?;
            Err(CliError::new(
                Exit::NothingMatched,
                format!("no backup of BackupConfiguration {configuration} has run yet"),
            )
            .hint(format!(
                "`kubectl kubestash backup now {configuration} -n {namespace} --logs` runs one"
            )))
        }
    }
}

/// The session: a BackupSession of that name, else a RestoreSession.
async fn find(
    cluster: &Cluster,
    namespace: &str,
    named: names::Named<'_>,
) -> Result<(&'static Kind, Value), CliError> {
    let tried: &[&'static Kind] = match named.kind {
        Some(kind) => &[kind],
        None => &[&kinds::BACKUP_SESSION, &kinds::RESTORE_SESSION],
    };
    for kind in tried {
        if let Some(object) = cluster.find(kind, Some(namespace), named.name).await? {
            return Ok((kind, object));
        }
    }
    let what = match tried {
        [only] => format!("{} {} in namespace {namespace}", only.kind, named.name),
        _ => format!(
            "BackupSession or RestoreSession {} in namespace {namespace}",
            named.name
        ),
    };
    let error = CliError::from(Error::NotFound { what });
    let restores =
        format!("`kubectl get restoresessions.core.kubestash.com -n {namespace}` lists the restores");
    if named.kind == Some(&kinds::RESTORE_SESSION) {
        return Err(error.hint(restores));
    }
    let error = error.hint(format!(
        "`kubectl kubestash backup list -n {namespace}` lists the backups that ran"
    ));
    Err(if named.kind.is_none() {
        error.hint(restores)
    } else {
        error
    })
}

/// The namespace of what a session backs up or restores, where that says so; there its pods run.
async fn target_namespace(cluster: &Cluster, namespace: &str, session: &Value) -> String {
    let named =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if let Some(own) = named(session, "/spec/target/namespace") {
        return own;
    }
    let Some(invoker) = named(session, "/spec/invoker/name") else {
        return String::new();
    };
    // A configuration that is gone or may not be read leaves the session's own namespace to look in.
    let found: Result<Value, Error> = cluster
        .get(&kinds::BACKUP_CONFIGURATION, Some(namespace), &invoker)
        .await;
    found
        .ok()
        .and_then(|c| named(&c, "/spec/target/namespace"))
        .unwrap_or_default()
}

/// Says how a session ended, where that is not simply well.
fn conclude(context: &Context, namespace: &str, outcome: &Outcome) {
    if outcome.exit() == Exit::Ok {
        let took = if outcome.duration.is_empty() {
            String::new()
        } else {
            format!(" in {}", outcome.duration)
        };
        context
            .ui
            .say(&format!("{} {} succeeded{took}.", outcome.kind, outcome.name));
    } else {
        report::explain(context, namespace, outcome);
    }
}

/// What status has kept, when no pod is left to ask (or to say why, when there is).
async fn stored(
    context: &Context,
    cluster: &Cluster,
    namespace: &str,
    kind: &Kind,
    object: Value,
    lines: usize,
) -> Result<(), CliError> {
    let unread =
        |e: serde_json::Error| CliError::new(Exit::Error, "the session cannot be read").cause(e.to_string());
    let (state, outcome) = if kind == &kinds::BACKUP_SESSION {
        let session: BackupSession = serde_json::from_value(object).map_err(unread)?;
        let outcome = follow::backup_outcome(cluster, namespace, &session).await?;
        (follow::backup_state(&session), outcome)
    } else {
        let session: RestoreSession = serde_json::from_value(object).map_err(unread)?;
        (follow::restore_state(&session), follow::restore_outcome(&session))
    };
    let ended = matches!(
        outcome.phase.as_str(),
        "Succeeded" | "Failed" | "Skipped" | "Invalid"
    );
    if !ended {
        if lines == 0 {
            context.ui.say(&format!(
                "No pod of {} has begun yet: {state}. -f waits for it.",
                outcome.name
            ));
        }
        return Ok(());
    }
    if lines == 0 {
        context.ui.say(&format!(
            "The pods of {} are gone; this is what its status has kept.",
            outcome.name
        ));
        for cause in &outcome.causes {
            for line in cause.lines() {
                context.ui.line(&printable(line))?;
            }
        }
        context.ui.flush()?;
    }
    if lines > 0 || outcome.exit() == Exit::Ok {
        conclude(context, namespace, &outcome);
    } else {
        context
            .ui
            .say(&format!("{} {}: {}.", outcome.kind, outcome.name, outcome.phase));
    }
    Ok(())
}
