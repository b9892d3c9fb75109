//! `clone pvc`: a claim with its data into another namespace, by a backup and a restore.
//!
//! Everything that is made on the way has a name of its own and is removed at the end, whatever the end is: after a
//! failure, a timeout and Ctrl-C too. The Repository goes after the restore, never before; a claim that was there before
//! is never touched, and one that the clone made and could not fill is removed.

mod clean;
mod objects;

use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use self::objects::{Names, SESSION};
use crate::api::addons::Addon;
use crate::api::core::BackupConfiguration;
use crate::cli::commands::{copy, reach};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{self, Outcome};
use crate::cluster::{Cluster, Kind, kinds, watch};
use crate::decide::restore::ALLOW_EMPTY;
use crate::decide::trigger;
use crate::output::human;
use crate::output::ui::Progress;

/// Clone a claim into another namespace, by a backup and a restore
#[derive(Debug, clap::Args)]
pub struct CloneArgs {
    #[command(subcommand)]
    command: CloneCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CloneCommand {
    Pvc(PvcArgs),
}

/// Clone a PersistentVolumeClaim with its data into another namespace
///
/// A backup of the claim is restored into a new claim of the same size, modes and class. What is made for that is removed
/// at the end. Needs a BackupStorage (--storage-name), or a bucket to make one for the time of the clone.
///
/// Examples:
///   kubectl kubestash clone pvc data -n demo --to-namespace apps --encrypt-secret key --storage-name s3 --storage-namespace demo
///   kubectl kubestash clone pvc data --to-namespace apps --encrypt-secret key --provider s3 --bucket b --endpoint https://s3.example --storage-secret keys
#[derive(Debug, Default, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PvcArgs {
    /// The claim
    #[arg(value_name = "PVC")]
    name: String,
    /// The namespace to clone it into
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: String,
    /// The name of the new claim; the same by default
    #[arg(long, value_name = "NAME")]
    to_name: Option<String>,
    /// The Secret with the RESTIC_PASSWORD
    #[arg(long, value_name = "SECRET")]
    encrypt_secret: String,
    /// Its namespace; the claim's by default
    #[arg(long, value_name = "NAMESPACE")]
    encrypt_secret_namespace: Option<String>,
    /// A BackupStorage that exists
    #[arg(long, value_name = "NAME", conflicts_with_all = ["provider", "bucket"])]
    storage_name: Option<String>,
    /// Its namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    storage_namespace: String,
    /// Without --storage-name: s3, gcs or azure
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// Its bucket or container
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Its address, for s3
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Its region, for s3
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Its account, for azure
    #[arg(long, value_name = "NAME")]
    storage_account: Option<String>,
    /// A directory in it
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// The Secret with its credentials, in the claim's namespace
    #[arg(long, value_name = "SECRET")]
    storage_secret: Option<String>,
    /// How many connections to it at once; 0 leaves it to the default
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_connections: i64,
    /// How long all of it may take; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "1h")]
    timeout: Duration,
}

/// What was made, to be removed in the reverse order.
#[derive(Debug, Clone)]
struct Made {
    kind: &'static Kind,
    namespace: String,
    name: String,
    /// The value of its label.
    clone: String,
    /// Not known while it is being made.
    uid: Option<String>,
    /// Stays when the clone succeeds.
    result: bool,
}

/// Clones it.
///
/// # Errors
/// When it does not exist, its name is taken there, or the backup or the restore fails.
pub async fn run(args: &CloneArgs, context: &Context) -> Result<Exit, CliError> {
    let CloneCommand::Pvc(args) = &args.command;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let names = Names::new(args, namespace, context.now.as_second());
    let made: Mutex<Vec<Made>> = Mutex::default();
    let progress = context.ui.progress();
    let limit = if args.timeout.is_zero() {
        Duration::from_secs(366 * 24 * 3600)
    } else {
        args.timeout
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(limit, clone(args, cluster, &names, &made, &progress)) => match ended {
            Ok(ended) => ended.map(|()| Exit::Ok),
            Err(_) => Err(CliError::new(
                Exit::TimedOut,
                format!("the clone of {} was not done within {}", args.name, human::go_duration(limit)),
            )),
        },
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    };
    progress.step("removing what was made for the clone");
    let left = clean::clean(cluster, &made, matches!(ended, Ok(Exit::Ok))).await;
    drop(progress);
    if left.is_empty() && matches!(ended, Ok(Exit::Interrupted)) {
        context.ui.warn(
            "interrupted; what was made for the clone is gone again, and the same command begins anew.",
        );
    }
    for (object, error) in left {
        context.ui.warn(&format!(
            "{} {} in namespace {} is left: {}",
            object.kind.kind, object.name, object.namespace, error.message
        ));
    }
    let exit = ended?;
    if exit == Exit::Ok {
        context.ui.line(&format!(
            "persistentvolumeclaim/{} cloned into namespace {}",
            names.copy.1, names.copy.0
        ))?;
    }
    Ok(exit)
}

async fn clone(
    args: &PvcArgs,
    cluster: &Cluster,
    names: &Names,
    made: &Mutex<Vec<Made>>,
    progress: &Progress<'_>,
) -> Result<(), CliError> {
    let namespace = names.claim.0.as_str();
    if (names.copy.0.as_str(), names.copy.1.as_str()) == (namespace, args.name.as_str()) {
        return Err(CliError::usage(
            "a claim cannot be cloned onto itself; --to-namespace or --to-name names another one",
        ));
    }
    if names.copy.0 != namespace {
        copy::places(cluster, namespace, &names.copy.0).await?;
    }
    let source: Value = cluster.get(&kinds::CLAIM, Some(namespace), &args.name).await?;
    let taken: Option<Value> = cluster
        .find(&kinds::CLAIM, Some(&names.copy.0), &names.copy.1)
        .await?;
    if taken.is_some() {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "PersistentVolumeClaim {} exists already in namespace {}",
                names.copy.1, names.copy.0
            ),
        )
        .hint("--to-name gives the clone another name"));
    }
    if args.storage_name.is_none() {
        progress.step("making a BackupStorage for the clone");
        make(
            cluster,
            made,
            &kinds::BACKUP_STORAGE,
            &objects::storage(args, names)?,
            false,
        )
        .await?;
    }
    progress.step("waiting for the BackupStorage");
    ready(
        cluster,
        &kinds::BACKUP_STORAGE,
        &names.storage.0,
        &names.storage.1,
    )
    .await?;
    let storage = (names.storage.0.as_str(), names.storage.1.as_str());
    for place in [namespace, &names.copy.0] {
        reach::check(cluster, storage, place).await?;
    }
    make(
        cluster,
        made,
        &kinds::RETENTION_POLICY,
        &objects::policy(names),
        false,
    )
    .await?;
    make(
        cluster,
        made,
        &kinds::BACKUP_CONFIGURATION,
        &objects::configuration(args, names),
        false,
    )
    .await?;
    progress.step("waiting for the BackupConfiguration");
    let configuration = ready(cluster, &kinds::BACKUP_CONFIGURATION, namespace, &names.own).await?;
    progress.step("waiting for the Repository");
    ready(cluster, &kinds::REPOSITORY, namespace, &names.own).await?;
    let backup = back_up(cluster, configuration, progress).await?;
    let snapshot = backup.pointer("/status/snapshots/0/name").and_then(Value::as_str);
    let snapshot = snapshot.ok_or_else(|| CliError::new(Exit::Failed, "the backup made no Snapshot"))?;
    make(
        cluster,
        made,
        &kinds::CLAIM,
        &objects::claim(&source, names),
        true,
    )
    .await?;
    make(
        cluster,
        made,
        &kinds::RESTORE_SESSION,
        &objects::restore(names, snapshot, empty_too(cluster).await?),
        false,
    )
    .await?;
    well(follow::restore(cluster, namespace, &names.own, Some(progress)).await?)
}

/// Whether the Addon's task restores an empty Snapshot when it is told to: an empty claim is cloned as one.
async fn empty_too(cluster: &Cluster) -> Result<bool, CliError> {
    let addon: Option<Addon> = cluster.find(&kinds::ADDON, None, objects::ADDON).await?;
    let tasks = addon.into_iter().flat_map(|addon| addon.spec.restore_tasks);
    Ok(tasks
        .filter(|task| task.name == objects::RESTORE_TASK)
        .any(|task| task.parameters.iter().any(|p| p.name == ALLOW_EMPTY)))
}

async fn back_up(
    cluster: &Cluster,
    configuration: Value,
    progress: &Progress<'_>,
) -> Result<Value, CliError> {
    let unread = |e: serde_json::Error| {
        CliError::new(Exit::Error, "the BackupConfiguration cannot be read").cause(e.to_string())
    };
    let configuration: BackupConfiguration = serde_json::from_value(configuration).map_err(unread)?;
    let namespace = configuration.metadata.namespace.clone().unwrap_or_default();
    let session = trigger::session(&configuration, SESSION)
        .ok_or_else(|| CliError::new(Exit::Error, "the BackupConfiguration lost its session"))?;
    let session = trigger::backup_session(&configuration, session, jiff::Timestamp::now().as_second(), 0);
    let name = session.metadata.name.clone().unwrap_or_default();
    let object = serde_json::to_value(session).map_err(unread)?;
    cluster
        .create(&kinds::BACKUP_SESSION, Some(&namespace), &object)
        .await?;
    well(follow::backup(cluster, &namespace, &name, Some(progress)).await?)?;
    Ok(cluster
        .get(&kinds::BACKUP_SESSION, Some(&namespace), &name)
        .await?)
}

/// A session that did not succeed is the end of the clone.
fn well(outcome: Outcome) -> Result<(), CliError> {
    if outcome.exit() == Exit::Ok {
        return Ok(());
    }
    let error = CliError::new(
        Exit::Failed,
        format!("{} {} is {}", outcome.kind, outcome.name, outcome.phase),
    );
    Err(outcome.causes.into_iter().fold(error, CliError::cause))
}

async fn make(
    cluster: &Cluster,
    made: &Mutex<Vec<Made>>,
    kind: &'static Kind,
    object: &Value,
    result: bool,
) -> Result<(), CliError> {
    let text = |object: &Value, pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let namespace = text(object, "/metadata/namespace");
    // Noted before it is asked for: an interruption may come while the answer is on its way.
    let index = {
        let mut made = made.lock().await;
        made.push(Made {
            kind,
            name: text(object, "/metadata/name"),
            namespace: namespace.clone(),
            clone: text(object, "/metadata/labels/kubestash.com~1clone"),
            uid: None,
            result,
        });
        made.len() - 1
    };
    let stored = cluster.create(kind, Some(&namespace), object).await?;
    if let Some(entry) = made.lock().await.get_mut(index) {
        entry.uid = Some(text(&stored, "/metadata/uid"));
    }
    Ok(())
}

/// Waits until something is Ready; one that can never be is an error at once.
async fn ready(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
) -> Result<Value, CliError> {
    let why = format!(
        "`kubectl kubestash why {}/{name} -n {namespace}` says why",
        kind.kind.to_lowercase()
    );
    let mut states = watch::object(cluster, kind, namespace, name);
    while let Some(state) = states.recv().await {
        let Some(object) = state? else {
            if kind == &kinds::REPOSITORY {
                // The operator makes it for the BackupConfiguration, a moment after that is Ready.
                continue;
            }
            return Err(CliError::new(
                Exit::NothingMatched,
                format!("{} {name} in namespace {namespace} does not exist", kind.kind),
            ));
        };
        match object.pointer("/status/phase").and_then(Value::as_str) {
            Some("Ready") => return Ok(object),
            Some("Invalid") => {
                return Err(
                    CliError::new(Exit::Failed, format!("{} {name} is not valid", kind.kind)).hint(why),
                );
            }
            _ => {}
        }
    }
    Err(CliError::new(
        Exit::Error,
        format!("{} {name} cannot be followed any more", kind.kind),
    )
    .hint(why))
}
