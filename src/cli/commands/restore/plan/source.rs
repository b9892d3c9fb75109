//! Which Snapshot: the one that was named, or the newest good one of a BackupConfiguration.

use super::LATEST;
use crate::api::core::{BackupConfiguration, Session};
use crate::cli::commands::restore::RestoreArgs;
use crate::cli::error::{CliError, Exit};
use crate::cli::names::Named;
use crate::cli::views::SnapshotDetail;
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::decide::backup::label;

/// The BackupConfiguration that was named; `None` when a Snapshot was.
pub(super) async fn configuration(
    cluster: &Cluster,
    namespace: &str,
    source: Named<'_>,
) -> Result<Option<BackupConfiguration>, CliError> {
    if source.kind == Some(&kinds::SNAPSHOT) {
        return Ok(None);
    }
    match cluster
        .get(&kinds::BACKUP_CONFIGURATION, Some(namespace), source.name)
        .await
    {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) if source.kind.is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn session_of<'c>(configuration: &'c BackupConfiguration, name: &str) -> Option<&'c Session> {
    configuration
        .spec
        .sessions
        .iter()
        .find(|s| s.name == name)
        .or_else(|| configuration.spec.sessions.first())
}

pub(super) async fn of_name(
    args: &RestoreArgs,
    cluster: &Cluster,
    namespace: &str,
    source: Named<'_>,
) -> Result<SnapshotDetail, CliError> {
    if args.snapshot != LATEST && args.snapshot != source.name {
        return Err(CliError::usage(
            "--snapshot goes with a BackupConfiguration; a Snapshot is named already",
        ));
    }
    match cluster.get(&kinds::SNAPSHOT, Some(namespace), source.name).await {
        Err(Error::NotFound { what }) => {
            let what = if source.kind.is_some() {
                what
            } else {
                format!(
                    "BackupConfiguration or Snapshot {} in namespace {namespace}",
                    source.name
                )
            };
            Err(CliError::from(Error::NotFound { what }).hint(format!(
                "`kubectl kubestash snapshot list -n {namespace}` lists what there is to restore"
            )))
        }
        other => Ok(other?),
    }
}

pub(super) async fn of_configuration(
    args: &RestoreArgs,
    cluster: &Cluster,
    namespace: &str,
    configuration: &BackupConfiguration,
) -> Result<SnapshotDetail, CliError> {
    let name = configuration.metadata.name.clone().unwrap_or_default();
    let mut repositories: Vec<&str> = configuration
        .spec
        .sessions
        .iter()
        .flat_map(|s| &s.repositories)
        .map(|r| r.name.as_str())
        .collect();
    repositories.sort_unstable();
    repositories.dedup();
    if args.snapshot != LATEST {
        let found: SnapshotDetail = cluster
            .get(&kinds::SNAPSHOT, Some(namespace), &args.snapshot)
            .await?;
        if !repositories.contains(&found.spec.repository.as_str()) {
            return Err(CliError::new(
                Exit::Precondition,
                format!(
                    "Snapshot {} is in Repository {}, which BackupConfiguration {name} does not use",
                    args.snapshot, found.spec.repository
                ),
            )
            .hint(format!(
                "`kubectl kubestash restore snapshot/{} --target KIND/NAME` restores it all the same",
                args.snapshot
            )));
        }
        return Ok(found);
    }
    let repository = match (&args.repo, repositories.as_slice()) {
        (Some(wanted), known) if known.contains(&wanted.as_str()) => wanted.as_str(),
        (Some(wanted), known) => {
            return Err(CliError::new(
                Exit::NothingMatched,
                format!("BackupConfiguration {name} has no Repository {wanted}"),
            )
            .hint(format!("it has: {}", known.join(", "))));
        }
        (None, [only]) => only,
        (None, []) => {
            return Err(CliError::new(
                Exit::Precondition,
                format!("BackupConfiguration {name} has no Repository"),
            ));
        }
        (None, several) => {
            return Err(
                CliError::usage(format!("BackupConfiguration {name} has several Repositories"))
                    .hint(format!("choose one with --repo: {}", several.join(", "))),
            );
        }
    };
    newest(cluster, namespace, repository, &args.components).await
}

/// The newest Snapshot that succeeded and has the components.
async fn newest(
    cluster: &Cluster,
    namespace: &str,
    repository: &str,
    components: &[String],
) -> Result<SnapshotDetail, CliError> {
    let selector = format!("{}={}", crate::api::labels::REPO_NAME, label(repository));
    let all: Vec<SnapshotDetail> = cluster
        .list(&kinds::SNAPSHOT, &ListOptions::of(namespace).labelled(selector))
        .await?;
    let count = all.len();
    let newest = all
        .iter()
        .filter(|s| s.spec.repository == repository && s.status.phase == "Succeeded")
        .max_by_key(|s| s.status.snapshot_time.or(s.metadata.creation_timestamp));
    let known: Vec<String> = newest
        .map(|s| s.status.components.keys().cloned().collect())
        .unwrap_or_default();
    all.into_iter()
        .filter(|s| s.spec.repository == repository && s.status.phase == "Succeeded")
        .filter(|s| components.iter().all(|c| s.status.components.contains_key(c)))
        .max_by_key(|s| s.status.snapshot_time.or(s.metadata.creation_timestamp))
        .ok_or_else(|| {
            let with = if components.is_empty() {
                String::new()
            } else {
                format!(" with {}", components.join(", "))
            };
            let error = CliError::new(
                Exit::NothingMatched,
                format!("Repository {repository} has no Snapshot{with} that succeeded (of {count})"),
            );
            let error = if known.is_empty() || components.is_empty() {
                error
            } else {
                error.hint(format!("the newest has: {}", known.join(", ")))
            };
            error.hint(format!(
                "`kubectl kubestash snapshot list --repo {repository} -n {namespace}` lists them"
            ))
        })
}

pub(super) fn check_snapshot(snapshot: &SnapshotDetail, components: &[String]) -> Result<(), CliError> {
    let name = &snapshot.metadata.name;
    if snapshot.status.phase != "Succeeded" && components.is_empty() {
        let phase = if snapshot.status.phase.is_empty() {
            "Pending"
        } else {
            &snapshot.status.phase
        };
        return Err(CliError::new(
            Exit::Precondition,
            format!("Snapshot {name} is {phase}; only one that succeeded can be restored as a whole"),
        )
        .hint("`--components NAME` restores single components that succeeded"));
    }
    for wanted in components {
        match snapshot.status.components.get(wanted) {
            None => {
                let known: Vec<&str> = snapshot.status.components.keys().map(String::as_str).collect();
                return Err(CliError::new(
                    Exit::NothingMatched,
                    format!("Snapshot {name} has no component {wanted}"),
                )
                .hint(format!("it has: {}", known.join(", "))));
            }
            Some(component) if component.phase != "Succeeded" => {
                return Err(CliError::new(
                    Exit::Precondition,
                    format!("component {wanted} of Snapshot {name} did not succeed"),
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(phase: &str) -> SnapshotDetail {
        serde_json::from_value(json!({
            "metadata": {"name": "s"},
            "status": {"phase": phase, "components": {"a": {"phase": "Succeeded"}, "b": {"phase": "Failed"}}},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_succeeded_is_restored() {
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert!(check_snapshot(&snapshot("Succeeded"), &[]).is_ok());
        assert_eq!(
            check_snapshot(&snapshot("Failed"), &[]).unwrap_err().exit,
            Exit::Precondition
        );
        assert!(check_snapshot(&snapshot("Failed"), &names(&["a"])).is_ok());
        assert_eq!(
            check_snapshot(&snapshot("Failed"), &names(&["b"]))
                .unwrap_err()
                .exit,
            Exit::Precondition
        );
        let missing = check_snapshot(&snapshot("Succeeded"), &names(&["c"])).unwrap_err();
        assert_eq!(
            (missing.exit, missing.hints[0].as_str()),
            (Exit::NothingMatched, "it has: a, b")
        );
    }
}
