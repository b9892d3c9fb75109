//! `restore`: a RestoreSession from a BackupConfiguration or a Snapshot, checked before it is created: the Snapshot
//! exists and succeeded, has the components, the target is there, the Addon has the task.

mod plan;
pub mod preview;

use std::sync::OnceLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use self::plan::Plan;
use crate::cli::commands::logs::{self, Sink};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::objects::{self, Files};
use crate::cli::{follow, names, report, schemas};
use crate::cluster::{Cluster, Error, kinds};
use crate::output::format::Format;
use crate::output::human;

/// So many names, a second apart, are tried before one that is taken is an error.
const NAMES: i64 = 10;

/// Restore from a Snapshot, the latest by default
///
/// The data goes back to what was backed up, unless --target names something else. Without anything it asks, on a terminal.
///
/// Examples:
///   kubectl kubestash restore
///   kubectl kubestash restore sample-backup --wait
///   kubectl kubestash restore bc/sample-backup --snapshot s3-repo-sample-backup-daily-1700000000
///   kubectl kubestash restore snapshot/s3-repo-sample-backup-daily-1700000000 --target pvc/other --wait --logs
///   kubectl kubestash restore sample-backup --components dump-pod-0
///   kubectl kubestash restore sample-backup --path config/app.yaml --include '*.conf' --plan
///   kubectl kubestash restore sample-backup --target pvc/copy --target-namespace apps --wait
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RestoreArgs {
    /// What to restore from: a BackupConfiguration or a Snapshot, as NAME, KIND/NAME or KIND NAME; - reads its name or
    /// manifest from standard input
    #[arg(value_name = "BACKUPCONFIGURATION|SNAPSHOT")]
    source: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The Snapshot of the BackupConfiguration to restore
    #[arg(long, value_name = "NAME", value_parser = names::of_snapshot, default_value = plan::LATEST)]
    snapshot: String,
    /// The Repository to restore from, where the BackupConfiguration has several
    #[arg(long, visible_alias = "repository", value_name = "NAME", value_parser = names::of_repository)]
    repo: Option<String>,
    /// What to restore into: pvc/NAME, deployment/NAME, statefulset/NAME or daemonset/NAME
    #[arg(long, visible_alias = "to", value_name = "KIND/NAME")]
    target: Option<String>,
    /// Namespace of the target, where it is another one; alone it means the object of the same name there
    #[arg(long, value_name = "NAMESPACE")]
    target_namespace: Option<String>,
    /// Component to restore; may be repeated; all by default
    #[arg(long, visible_alias = "component", value_name = "NAME", value_delimiter = ',')]
    components: Vec<String>,
    /// File or directory to restore, below what was backed up or as a whole path; may be repeated
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<String>,
    /// Only what matches this pattern; may be repeated
    #[arg(long, value_name = "PATTERN", conflicts_with = "exclude")]
    include: Vec<String>,
    /// Not what matches this pattern; may be repeated
    #[arg(long, value_name = "PATTERN", conflicts_with = "paths")]
    exclude: Vec<String>,
    /// Only show what would be done: from when, how much, into what, what is free, who uses it; writes nothing
    #[arg(long)]
    plan: bool,
    /// Restore this Snapshot although something speaks against it: another application's, empty, or much smaller
    #[arg(long, value_name = "SNAPSHOT", value_parser = names::of_snapshot)]
    i_mean: Option<String>,
    /// Name of the RestoreSession to create
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
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

/// Creates the RestoreSession and, if asked to, waits for its end.
///
/// # Errors
/// When source, Snapshot, components, target or task do not exist, or the API server refuses.
pub async fn run(args: &RestoreArgs, context: &Context) -> Result<Exit, CliError> {
    if args.source.is_empty() && args.files.filename.is_empty() {
        return super::create::restore::without_source(context).await;
    }
    let created = OnceLock::new();
    tokio::select! {
        ended = Box::pin(restore(args, context, &created)) => ended,
        _ = tokio::signal::ctrl_c() => {
            if let Some(name) = created.get() {
                let namespace = context.namespace().await?;
                context.ui.warn(&format!(
                    "interrupted; RestoreSession {name} goes on in the cluster; `kubectl kubestash logs restoresession/{name} -f -n {namespace}` follows it."
                ));
            }
            Ok(Exit::Interrupted)
        }
    }
}

/// Creates the RestoreSession; when the name that it is given is taken (another of the same second), under the next one.
async fn create(
    args: &RestoreArgs,
    cluster: &Cluster,
    plan: &Plan,
    namespace: &str,
    now: Timestamp,
) -> Result<Value, CliError> {
    let mut at = now;
    loop {
        let object = plan.object(args, namespace, at);
        let made = cluster
            .create(&kinds::RESTORE_SESSION, Some(namespace), &object)
            .await;
        let next = at.saturating_add(SignedDuration::from_secs(1)).unwrap_or(at);
        match made {
            Err(Error::Exists { .. })
                if args.name.is_none() && next.duration_since(now) < SignedDuration::from_secs(NAMES) =>
            {
                at = next;
            }
            made => return Ok(made?),
        }
    }
}

/// Restores; what was created is in `made` as soon as it is.
async fn restore(args: &RestoreArgs, context: &Context, made: &OnceLock<String>) -> Result<Exit, CliError> {
    let known = [&kinds::BACKUP_CONFIGURATION, &kinds::SNAPSHOT];
    let source = objects::one(context, &args.source, &args.files.filename, &known)?;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let mut plan = Plan::make(args, cluster, namespace, source.named()).await?;
    let include = plan.included(args);
    let preview = Box::pin(preview::make(
        &plan,
        &args.components,
        &include,
        &args.exclude,
        args.plan,
        context,
    ))
    .await?;
    if args.plan {
        return show(&preview, args, context);
    }
    preview.check(args.i_mean.as_deref())?;
    if preview.empty() {
        // Named with --i-mean, or it would not have come so far.
        plan.allow_empty(cluster).await?;
    }
    let created = create(args, cluster, &plan, namespace, context.now).await?;
    let name = created
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let _ = made.set(name.clone());
    context.ui.say(&plan.describe(context.now));
    if !args.wait && !args.logs {
        report::created(context, &args.output, vec![created])?;
        context.ui.say(&format!(
            "Follow it with `kubectl kubestash logs restoresession/{name} -f -n {namespace}`."
        ));
        return Ok(Exit::Ok);
    }
    let progress = context.ui.progress();
    let followed = follow::restore(cluster, namespace, &name, Some(&progress));
    let ended = async {
        if args.logs {
            let target = logs::Target::restore(namespace, &name).also_in(&plan.target.namespace);
            logs::while_running(cluster, &target, Sink::Talk(&progress), followed).await
        } else {
            followed.await
        }
    };
    let outcome = match tokio::time::timeout(args.timeout, ended).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            let limit = human::go_duration(args.timeout);
            return Err(CliError::new(
                Exit::TimedOut,
                format!("{name} did not end within {limit}, and goes on"),
            )
            .hint(format!(
                "`kubectl kubestash logs restoresession/{name} -f -n {namespace}` follows it"
            )));
        }
    };
    drop(progress);
    report::ended(
        context,
        cluster,
        namespace,
        &kinds::RESTORE_SESSION,
        &args.output,
        &[outcome],
    )
    .await
}

/// Prints what would be done. What speaks against it is part of the answer, and of the code.
fn show(preview: &preview::RestorePlan, args: &RestoreArgs, context: &Context) -> Result<Exit, CliError> {
    if args.output.is_table() {
        for line in preview.lines(context.now) {
            context.ui.line(&line)?;
        }
    } else {
        schemas::print(context, &args.output, preview)?;
    }
    preview.check(args.i_mean.as_deref())?;
    Ok(Exit::Ok)
}
