//! `logs`: what the pods of a BackupSession or RestoreSession said, all of them as one stream; and when the pods are
//! gone, the reason and the last lines that status has kept.

use std::collections::BTreeSet;
use std::future::Future;

use serde_json::Value;
use tokio::sync::watch;

use crate::api::labels;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::events::{Events, SessionRef};
use crate::cli::follow::{self, Outcome};
use crate::cli::views::{BackupSession, RestoreSession};
use crate::cli::{names, objects, report, select};
use crate::cluster::logs::{Line, Pods};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds, logs as cluster_logs};
use crate::decide::backup::label;
use crate::output::table::printable;
use crate::output::ui::Progress;

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

/// Whose logs are read.
#[derive(Debug, Clone)]
pub struct Target {
    session: SessionRef,
    namespaces: BTreeSet<String>,
}

impl Target {
    /// The pods of a BackupSession.
    pub fn backup(namespace: &str, name: &str) -> Self {
        Target::new(&kinds::BACKUP_SESSION, namespace, name)
    }

    /// The pods of a RestoreSession.
    pub fn restore(namespace: &str, name: &str) -> Self {
        Target::new(&kinds::RESTORE_SESSION, namespace, name)
    }

    fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Target {
            session: SessionRef {
                kind: kind.kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            namespaces: BTreeSet::from([namespace.to_owned()]),
        }
    }

    /// Pods run where the target is, which may be another namespace.
    #[must_use]
    pub fn also_in(mut self, namespace: &str) -> Self {
        if !namespace.is_empty() {
            self.namespaces.insert(namespace.to_owned());
        }
        self
    }

    fn pods(&self) -> Pods {
        Pods {
            namespaces: self.namespaces.clone(),
            labels: format!(
                "{}={},{}={}",
                labels::INVOKER_NAME,
                label(&self.session.name),
                labels::INVOKER_NAMESPACE,
                label(&self.session.namespace)
            ),
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy)]
pub enum Sink<'p, 'u> {
    /// To standard error: the data of the command is something else.
    Talk(&'p Progress<'u>),
    /// To standard output.
    Data {
        /// Keeps what is drawn below the lines.
        progress: &'p Progress<'u>,
        /// As the pods wrote them.
        raw: bool,
        /// Name the source before each line.
        prefix: bool,
    },
    /// To standard output as events.
    Events(&'p Events<'u>),
}

impl Sink<'_, '_> {
    fn write(self, session: &SessionRef, line: &Line) -> Result<(), CliError> {
        match self {
            Sink::Events(events) => events.log(session, line),
            Sink::Talk(progress) => {
                progress.say(&format!(
                    "[{}/{}] {}",
                    line.source,
                    line.container,
                    readable(&line.text)
                ));
                Ok(())
            }
            Sink::Data {
                progress,
                raw,
                prefix,
            } => {
                let text = if raw {
                    line.text.clone()
                } else {
                    readable(&line.text)
                };
                let text = if prefix {
                    format!("[{}/{}] {text}", line.source, line.container)
                } else {
                    text
                };
                Ok(progress.line(&text)?)
            }
        }
    }
}

/// Shows the logs of a session until `followed` says how it ended, and then the lines that are still on their way.
///
/// # Errors
/// When the session or its logs cannot be read, or nobody reads what is written.
pub async fn while_running<F>(
    cluster: &Cluster,
    target: &Target,
    sink: Sink<'_, '_>,
    followed: F,
) -> Result<Outcome, CliError>
where
    F: Future<Output = Result<Outcome, CliError>>,
{
    let (end, ended) = watch::channel(false);
    let mut lines = cluster_logs::read(cluster, target.pods(), Some(ended));
    let followed = async {
        let outcome = followed.await;
        end.send_replace(true);
        outcome
    };
    let shown = async {
        while let Some(line) = lines.recv().await {
            sink.write(&target.session, &line?)?;
        }
        Ok::<(), CliError>(())
    };
    // A reader that went away ends the command at once; the session itself goes on without us.
    tokio::pin!(followed, shown);
    tokio::select! {
        outcome = &mut followed => {
            let outcome = outcome?;
            shown.await?;
            Ok(outcome)
        }
        written = &mut shown => {
            written?;
            followed.await
        }
    }
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

/// Writes the lines that there are, and answers with their number.
async fn drain(cluster: &Cluster, target: &Target, sink: Sink<'_, '_>) -> Result<usize, CliError> {
    let mut lines = cluster_logs::read(cluster, target.pods(), None);
    let mut count = 0_usize;
    while let Some(line) = lines.recv().await {
        sink.write(&target.session, &line?)?;
        count += 1;
    }
    Ok(count)
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

/// A line of our own programs (JSON) as people read it: `WARN message key=value`; any other line as it is, without
/// control characters.
fn readable(text: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(text) else {
        return printable(text);
    };
    let Some(message) = fields
        .remove("message")
        .and_then(|m| m.as_str().map(str::to_owned))
    else {
        return printable(text);
    };
    let level = fields
        .remove("level")
        .and_then(|l| l.as_str().map(str::to_owned))
        .unwrap_or_default();
    for noise in ["timestamp", "target", "span", "spans", "threadId"] {
        fields.remove(noise);
    }
    let mut line = if level.is_empty() || level == "INFO" {
        message
    } else {
        format!("{level} {message}")
    };
    for (key, value) in fields {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.push_str(&format!(" {key}={value}"));
    }
    printable(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_lines_are_made_readable() {
        let line = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"WARN","target":"kubestash::mover","message":"file skipped","path":"/a","count":2}"#;
        assert_eq!(readable(line), "WARN file skipped count=2 path=/a");
        assert_eq!(readable(r#"{"level":"INFO","message":"done"}"#), "done");
        assert_eq!(readable("plain \u{1b}[31mtext"), "plain \\u{1b}[31mtext");
        assert_eq!(readable(r#"{"other":1}"#), r#"{"other":1}"#);
    }

    #[test]
    fn pods_are_found_by_the_session_they_work_for() {
        let target = Target::backup("demo", "b-1").also_in("apps").also_in("");
        assert_eq!(
            target.pods().labels,
            "kubestash.com/invoker-name=b-1,kubestash.com/invoker-namespace=demo"
        );
        assert_eq!(target.pods().namespaces.len(), 2);
    }
}
