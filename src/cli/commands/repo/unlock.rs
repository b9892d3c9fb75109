//! `repo unlock`: each lock with the pod that took it; those whose pod is gone are removed, and no other.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::ReaderArgs;
use crate::cli::schemas::{self, View};
use crate::cluster::{Cluster, Error, kinds};
use crate::output::format::Format;
use crate::output::human;
use crate::output::table::Table;
use crate::reader::op::{LockLine, Op};
use crate::restic::locks::{self, HolderState, Verdict};

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
                        .find::<Pod>(&kinds::POD, Some(&holder.namespace), &holder.pod)
                        .await,
                ),
                _ => None,
            };
            let (state, reason) = match judge(&lock, pod, context.now) {
                Verdict::Free(why) if args.dry_run => ("stale", why),
                Verdict::Free(why) => {
                    session
                        .answer(&path, Op::LockRemove { id: lock.id.clone() })
                        .await?;
                    ("removed", why)
                }
                Verdict::Later(_, why) | Verdict::Held(why) => ("held", why),
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

/// What is to be done with a lock; `pod`: what the API says of its holder's pod, where it was asked.
fn judge(lock: &LockLine, pod: Option<Result<Option<Pod>, Error>>, now: Timestamp) -> Verdict {
    let (holder, pod) = match (&lock.holder, pod) {
        (None, _) => return Verdict::Held(locks::NO_RECORD.to_owned()),
        (Some(_), None) => return Verdict::Held(locks::ELSEWHERE.to_owned()),
        (Some(holder), Some(pod)) => (holder, pod),
    };
    let state = match pod {
        Ok(pod) => locks::judge(holder, pod.as_ref()),
        Err(error) => HolderState::Unknown(error.to_string()),
    };
    locks::verdict(holder, &state, lock.time, now)
}

/// Identity of the cluster, as records name it; empty where we may not know.
pub(in crate::cli) async fn identity(cluster: &Cluster) -> String {
    let found: Result<Namespace, Error> = cluster.get(&kinds::NAMESPACE, None, "kube-system").await;
    found.ok().and_then(|n| n.metadata.uid).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restic::locks::Holder;

    #[test]
    fn a_lock_goes_only_where_the_api_says_that_its_holder_is_over() {
        let lock = |record: bool| LockLine {
            holder: record.then(|| Holder {
                uid: "u1".into(),
                pod: "p".into(),
                namespace: "demo".into(),
                ..Holder::default()
            }),
            ..LockLine::default()
        };
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        for (lock, pod, said) in [
            (lock(false), None, locks::NO_RECORD),
            (lock(true), None, locks::ELSEWHERE),
            (
                lock(true),
                Some(Err(Error::Gone)),
                "whether pod demo/p is gone is not known",
            ),
        ] {
            let Verdict::Held(why) = judge(&lock, pod, now) else {
                panic!("{said}")
            };
            assert!(why.starts_with(said), "{why}");
        }
        assert_eq!(
            judge(&lock(true), Some(Ok(None)), now),
            Verdict::Free("pod demo/p is gone".into())
        );
    }
}
