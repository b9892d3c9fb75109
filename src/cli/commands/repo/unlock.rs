//! `repo unlock`: each lock with the pod that took it; those whose pod is gone are removed, and no other.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::ReaderArgs;
use crate::cli::schemas::{self, View};
use crate::cluster::{Cluster, Error, kinds};
use crate::output::format::Format;
use crate::output::human;
use crate::output::table::Table;
use crate::reader::op::{LockLine, Op};
use crate::restic::locks::silent_at;

/// Show the locks of Repositories, and remove those whose pod is gone
///
/// A lock goes only when the cluster says that the very pod that took it has ended or is gone; that of a pod whose node
/// was lost goes when it has not been refreshed for half an hour. All others stay, with the reason: removing the lock of
/// somebody who still works can destroy data.
///
/// Examples:
///   kubectl kubestash repo unlock s3-repo --dry-run
///   kubectl kubestash repo unlock s3-repo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct UnlockArgs {
    #[command(flatten)]
    pub(in crate::cli) repository: super::Named,
    /// Restic repository in it; may be repeated; all by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(in crate::cli) paths: Vec<String>,
    /// Only show
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    pub(in crate::cli) output: Format,
    #[command(flatten)]
    pub(in crate::cli) reader: ReaderArgs,
}

/// The locks of a Repository.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct RepositoryLocks {
    /// The Repository.
    repository: String,
    /// The locks that were found.
    locks: Vec<LockView>,
}

impl View for RepositoryLocks {
    const COMMAND: &'static str = "repo-unlock";
    const KIND: &'static str = "RepositoryLocks";
}

/// One lock.
#[derive(Debug, Serialize, JsonSchema)]
struct LockView {
    /// Path of the restic repository.
    path: String,
    /// restic's id of the lock.
    id: String,
    /// The host that took it: a pod's name.
    host: String,
    /// When it was last refreshed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    time: Option<Timestamp>,
    /// Whether it keeps everybody else out.
    exclusive: bool,
    /// removed, stale (its pod is gone; not removed because of --dry-run), or held.
    state: &'static str,
    /// Why.
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodView {
    metadata: PodMeta,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodMeta {
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    phase: String,
    init_container_statuses: Vec<ContainerView>,
    container_statuses: Vec<ContainerView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerView {
    state: Value,
}

impl PodStatus {
    /// Whether the pod is over and its node said so of its containers; one whose node was lost is declared failed while
    /// they still count as running.
    fn ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
            && !self.container_statuses.is_empty()
            && self
                .init_container_statuses
                .iter()
                .chain(&self.container_statuses)
                .all(|container| container.state["running"].is_null())
    }
}

/// Shows and removes.
///
/// # Errors
/// When the Repository cannot be read.
pub async fn run(args: &UnlockArgs, context: &Context) -> Result<Exit, CliError> {
    let names = args.repository.several(context)?;
    super::each(context, &names, &args.output, async |name| {
        unlock(args, name, &super::prefix(&names, name), context).await
    })
    .await
}

async fn unlock(args: &UnlockArgs, name: &str, prefix: &str, context: &Context) -> Result<Exit, CliError> {
    let (session, paths) = super::opened(context, &args.reader, name, &args.paths).await?;
    let cluster = context.cluster().await?;
    let mut locks = Vec::new();
    for path in paths {
        let text = session.answer(&path, Op::Locks).await?;
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let lock: LockLine = serde_json::from_slice(line).map_err(|e| {
                CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
            })?;
            let pod = match &lock.holder {
                Some(holder) if lock.ours => Some(
                    cluster
                        .find::<PodView>(&kinds::POD, Some(&holder.namespace), &holder.pod)
                        .await,
                ),
                _ => None,
            };
            let (gone, reason) = judge(&lock, pod, context.now);
            let state = match (gone, args.dry_run) {
                (true, true) => "stale",
                (true, false) => {
                    session
                        .answer(&path, Op::LockRemove { id: lock.id.clone() })
                        .await?;
                    "removed"
                }
                (false, _) => "held",
            };
            locks.push(LockView {
                path: path.clone(),
                id: lock.id,
                host: lock.host,
                time: lock.time,
                exclusive: lock.exclusive,
                state,
                reason,
            });
        }
    }
    let held = locks.iter().any(|l| l.state == "held");
    if !args.output.is_table() {
        let view = RepositoryLocks {
            repository: name.to_owned(),
            locks,
        };
        schemas::print(context, &args.output, &view)?;
    } else if locks.is_empty() {
        context.ui.say(&format!("Repository {name} has no locks."));
    } else {
        table(context, prefix, &locks)?;
    }
    Ok(if held && !args.dry_run {
        Exit::Partial
    } else {
        Exit::Ok
    })
}

fn table(context: &Context, prefix: &str, locks: &[LockView]) -> Result<(), CliError> {
    let rows: Vec<Vec<String>> = locks
        .iter()
        .map(|l| {
            vec![
                l.id.chars().take(8).collect(),
                format!("{prefix}{}", l.path),
                l.host.clone(),
                l.time
                    .map(|t| format!("{} ago", human::age(t, context.now)))
                    .unwrap_or_default(),
                if l.exclusive { "yes" } else { "no" }.to_owned(),
                l.state.to_owned(),
                l.reason.clone(),
            ]
        })
        .collect();
    let mut table = Table::new([
        "LOCK",
        "PATH",
        "HOST",
        "REFRESHED",
        "EXCLUSIVE",
        "STATE",
        "REASON",
    ]);
    Ok(context.ui.data(&table.page(&rows))?)
}

/// Whether the holder is proven gone, and why (not).
fn judge(lock: &LockLine, pod: Option<Result<Option<PodView>, Error>>, now: Timestamp) -> (bool, String) {
    let Some(holder) = &lock.holder else {
        return (
            false,
            "no pod of ours left a record of it: another cluster, another program, or a person".to_owned(),
        );
    };
    let name = format!("pod {}/{}", holder.namespace, holder.pod);
    match pod {
        None => (false, "it belongs to another cluster".to_owned()),
        Some(Err(error)) => (false, format!("whether {name} is gone is not known: {error}")),
        Some(Ok(None)) => (true, format!("{name} is gone")),
        Some(Ok(Some(pod))) if pod.metadata.uid != holder.uid => {
            (true, format!("{name} is gone (another has its name now)"))
        }
        Some(Ok(Some(pod))) if pod.status.ended() => (true, format!("{name} has ended")),
        Some(Ok(Some(pod))) if !matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") => {
            (false, format!("{name} is running"))
        }
        // Declared failed with its node: its restic may work where the API does not see it.
        Some(Ok(Some(_))) => match silent_at(lock.time) {
            Some(at) if at <= now => (
                true,
                format!("{name} was lost with its node, and the lock was not refreshed since"),
            ),
            Some(at) => (
                false,
                format!(
                    "{name} was lost with its node and nobody saw it end, so its restic may still write; the lock can go at {at:.0} if it is not refreshed before"
                ),
            ),
            None => (
                false,
                format!("{name} was lost with its node and nobody saw it end"),
            ),
        },
    }
}

/// Identity of the cluster, as records name it; empty where we may not know.
pub(in crate::cli) async fn identity(cluster: &Cluster) -> String {
    let found: Result<PodView, Error> = cluster.get(&kinds::NAMESPACE, None, "kube-system").await;
    found.map(|n| n.metadata.uid).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restic::locks::Holder;

    fn lock(holder: bool) -> LockLine {
        LockLine {
            holder: holder.then(|| Holder {
                uid: "u1".into(),
                pod: "p".into(),
                namespace: "demo".into(),
                ..Holder::default()
            }),
            ours: holder,
            ..LockLine::default()
        }
    }

    fn pod(uid: &str, phase: &str) -> Option<Result<Option<PodView>, Error>> {
        let state = if phase == "Running" || phase == "Lost" {
            "running"
        } else {
            "terminated"
        };
        let phase = if phase == "Lost" { "Failed" } else { phase };
        Some(Ok(Some(PodView {
            metadata: PodMeta { uid: uid.into() },
            status: PodStatus {
                phase: phase.into(),
                container_statuses: vec![ContainerView {
                    state: serde_json::json!({state: {}}),
                }],
                ..PodStatus::default()
            },
        })))
    }

    fn refreshed(minutes_ago: i64) -> LockLine {
        LockLine {
            time: Some(now() - jiff::SignedDuration::from_mins(minutes_ago)),
            ..lock(true)
        }
    }

    fn now() -> Timestamp {
        "2026-11-21T08:00:00Z".parse().unwrap()
    }

    #[test]
    fn only_locks_of_pods_that_are_proven_gone_go() {
        for (lock, pod, gone) in [
            (lock(true), Some(Ok(None)), true),
            (refreshed(5), pod("u2", "Running"), true),
            (refreshed(31), pod("u1", "Lost"), true),
            // A restic that is cut off from the API alone goes on refreshing its lock.
            (refreshed(5), pod("u1", "Lost"), false),
            (lock(true), pod("u1", "Lost"), false),
            (refreshed(0), pod("u1", "Failed"), true),
            (lock(true), pod("u1", "Running"), false),
            (lock(true), pod("u1", "Pending"), false),
            (lock(true), Some(Err(Error::Gone)), false),
            (lock(true), None, false),
            (lock(false), None, false),
        ] {
            let (judged, reason) = judge(&lock, pod, now());
            assert_eq!(judged, gone, "{reason}");
        }
    }
}
