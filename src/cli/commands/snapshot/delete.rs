//! `snapshot delete`: the object, and with the policy `WipeOut` its data.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::storage::Snapshot;
use crate::cli::confirm::Confirmation;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::pick;
use crate::cli::objects::{self, Files};
use crate::cluster::kinds;
use crate::output::human;

/// Delete Snapshots, with or without their data
///
/// With the policy Delete only the object goes and the data stays in the storage; with WipeOut the data goes, too, and
/// cannot be brought back.
///
/// Examples:
///   kubectl kubestash snapshot delete s3-repo-sample-backup-daily-1700000000
///   kubectl kubestash snapshot delete s3-repo-sample-backup-daily-1700000000 --policy WipeOut --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DeleteArgs {
    /// The Snapshots: NAME, snapshot/NAME or snapshot NAME; - reads names or manifests from standard input
    #[arg(value_name = "SNAPSHOT", required_unless_present = "filename")]
    snapshots: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// What happens to the data; what the Snapshot says by default
    #[arg(long, value_name = "POLICY", value_parser = ["Delete", "WipeOut"])]
    policy: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How long to wait until they are gone; 0 does not wait
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "10m")]
    timeout: Duration,
}

/// Deletes.
///
/// # Errors
/// When a Snapshot does not exist, nobody confirmed, or it does not go in time.
pub async fn run(args: &DeleteArgs, context: &Context) -> Result<Exit, CliError> {
    let named = objects::several(
        context,
        &args.snapshots,
        &args.files.filename,
        &[&kinds::SNAPSHOT],
    )?;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let mut doomed: Vec<(String, Option<String>, String)> = Vec::new();
    for objects::Typed { name, .. } in named {
        if doomed.iter().any(|(known, ..)| *known == name) {
            continue;
        }
        let found: Snapshot = cluster.get(&kinds::SNAPSHOT, Some(namespace), &name).await?;
        let policy = args
            .policy
            .clone()
            .unwrap_or_else(|| found.spec.deletion_policy.to_string());
        let fate = if policy == "WipeOut" {
            "its data is removed from the storage for good"
        } else {
            "its data stays in the storage"
        };
        let taken = pick::time(&found)
            .map(|t| format!(", taken {} ago", human::age(t, context.now)))
            .unwrap_or_default();
        context.ui.say(&format!(
            "Snapshot {name} of Repository {}{taken}: {fate}.",
            found.spec.repository
        ));
        doomed.push((name, found.metadata.uid, policy));
    }
    // The name, or how many there are, so that nobody confirms by habit.
    let word = match doomed.as_slice() {
        [(name, ..)] => name.clone(),
        several => several.len().to_string(),
    };
    Confirmation {
        word: &word,
        verb: "delete",
        otherwise: "nothing was deleted",
    }
    .ask(args.yes, context)?;
    for (name, uid, policy) in &doomed {
        if args.policy.is_some() {
            let patch = json!({"metadata": {"uid": uid}, "spec": {"deletionPolicy": policy}});
            cluster
                .merge(&kinds::SNAPSHOT, Some(namespace), name, &patch)
                .await?;
        }
        cluster
            .delete_object(&kinds::SNAPSHOT, Some(namespace), name, uid.as_deref())
            .await?;
    }
    for (name, ..) in &doomed {
        if !args.timeout.is_zero() {
            gone(context, namespace, name, args.timeout).await?;
        }
        context
            .ui
            .line(&format!("snapshot.storage.kubestash.com/{name} deleted"))?;
    }
    Ok(Exit::Ok)
}

async fn gone(context: &Context, namespace: &str, name: &str, within: Duration) -> Result<(), CliError> {
    let cluster = context.cluster().await?;
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let found: Option<Value> = cluster.find(&kinds::SNAPSHOT, Some(namespace), name).await?;
        if found.is_none() {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(CliError::new(
                Exit::TimedOut,
                format!(
                    "Snapshot {name} is not gone within {}, and still goes",
                    human::go_duration(within)
                ),
            )
            .hint(format!(
                "`kubectl kubestash snapshot show {name} -n {namespace}` shows what it waits for"
            )));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
