//! What a restore will do, found out and checked before anything is created.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::RestoreArgs;
use crate::api::addons::Addon;
use crate::api::core::{BackupConfiguration, Session};
use crate::api::shared::TaskReference;
use crate::cli::error::{CliError, Exit};
use crate::cli::names::{self, Named};
use crate::cli::views::{Reference, SnapshotDetail};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::decide::backup::label;
use crate::decide::naming;
use crate::output::human;

/// The word for the newest Snapshot that succeeded.
pub(super) const LATEST: &str = "latest";

/// What can be restored into.
const TARGETS: [&Kind; 4] = [
    &kinds::CLAIM,
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
];

/// A checked restore.
pub(super) struct Plan {
    /// The Snapshot.
    pub(super) snapshot: SnapshotDetail,
    /// What the data goes into.
    pub(super) target: Reference,
    addon: String,
    task: TaskReference,
    source: String,
}

impl Plan {
    pub(super) async fn make(
        args: &RestoreArgs,
        cluster: &Cluster,
        namespace: &str,
        source: Named<'_>,
    ) -> Result<Self, CliError> {
        let configuration = configuration(cluster, namespace, source).await?;
        let snapshot = match &configuration {
            Some(found) => of_configuration(args, cluster, namespace, found).await?,
            None => of_name(args, cluster, namespace, source).await?,
        };
        check_snapshot(&snapshot, &args.components)?;
        let target = target(args, cluster, namespace, &snapshot, configuration.as_ref()).await?;
        let session = configuration
            .as_ref()
            .and_then(|c| session_of(c, &snapshot.spec.session));
        let same_target = args.target.is_none();
        let (addon, mut task) = task(cluster, &target, session.filter(|_| same_target)).await?;
        let include = patterns(&snapshot, args);
        for (name, values) in [("include", &include), ("exclude", &args.exclude)] {
            if !values.is_empty() {
                takes(cluster, &addon, &task.name, name).await?;
                let params = task.params.get_or_insert_default();
                params.insert(name.to_owned(), Value::String(listed(values)));
            }
        }
        Ok(Plan {
            snapshot,
            target,
            addon,
            task,
            source: source.name.to_owned(),
        })
    }

    /// What restic is to include: the paths, made whole, and the patterns.
    pub(super) fn included(&self, args: &RestoreArgs) -> Vec<String> {
        patterns(&self.snapshot, args)
    }

    /// The Addon and its task.
    pub(super) fn task_name(&self) -> String {
        format!("{} of {}", self.task.name, self.addon)
    }

    /// The RestoreSession to create.
    pub(super) fn object(&self, args: &RestoreArgs, namespace: &str, now: Timestamp) -> Value {
        let name = args.name.clone();
        let name =
            name.unwrap_or_else(|| naming::join3(&self.source, "restore", &now.as_second().to_string()));
        let mut source =
            json!({"repository": self.snapshot.spec.repository, "snapshot": self.snapshot.metadata.name});
        if !args.components.is_empty() {
            source["components"] = json!(args.components);
        }
        let mut target =
            json!({"apiGroup": self.target.api_group, "kind": self.target.kind, "name": self.target.name});
        if !self.target.namespace.is_empty() {
            target["namespace"] = json!(self.target.namespace);
        }
        json!({
            "apiVersion": kinds::RESTORE_SESSION.api_version(),
            "kind": kinds::RESTORE_SESSION.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "target": target,
                "dataSource": source,
                "addon": {"name": self.addon, "tasks": [serde_json::to_value(&self.task).unwrap_or_default()]},
            },
        })
    }

    /// What will happen, in one line.
    pub(super) fn describe(&self, now: Timestamp) -> String {
        let taken = self
            .snapshot
            .status
            .snapshot_time
            .or(self.snapshot.metadata.creation_timestamp);
        let age = taken
            .map(|t| format!(", taken {} ago", human::age(t, now)))
            .unwrap_or_default();
        format!(
            "Restoring {} {} from Snapshot {}{age}.",
            self.target.kind, self.target.name, self.snapshot.metadata.name
        )
    }
}

/// What restic is to include. A path that is not whole is meant below each path that was backed up; characters with a
/// meaning in patterns stand for themselves in it.
fn patterns(snapshot: &SnapshotDetail, args: &RestoreArgs) -> Vec<String> {
    let mut tops: Vec<&str> = snapshot
        .status
        .components
        .iter()
        .filter(|(name, _)| args.components.is_empty() || args.components.contains(name))
        .flat_map(|(_, component)| &component.restic_stats)
        .filter_map(|stats| stats.summary.as_ref())
        .map(|summary| summary.host_path.as_str())
        .collect();
    tops.sort_unstable();
    tops.dedup();
    let mut all = Vec::new();
    for path in &args.paths {
        let literal: String = path
            .trim_end_matches('/')
            .chars()
            .flat_map(|c| {
                let escaped = matches!(c, '*' | '?' | '[' | ']' | '\\');
                escaped.then_some('\\').into_iter().chain([c])
            })
            .collect();
        if path.starts_with('/') {
            all.push(literal);
        } else {
            let literal = literal.trim_start_matches("./");
            all.extend(
                tops.iter()
                    .map(|top| format!("/{}/{literal}", top.trim_matches('/'))),
            );
        }
    }
    all.extend(args.include.iter().cloned());
    all
}

/// A list as tasks take it: separated by commas, with commas in names escaped.
fn listed(values: &[String]) -> String {
    let escaped: Vec<String> = values.iter().map(|v| v.replace(',', "\\,")).collect();
    escaped.join(",")
}

/// Whether a task has a parameter; the catalog in the cluster may be older.
async fn takes(cluster: &Cluster, addon: &str, task: &str, parameter: &str) -> Result<(), CliError> {
    let found: Addon = cluster.get(&kinds::ADDON, None, addon).await?;
    let task_found = found.spec.restore_tasks.iter().find(|t| t.name == task);
    if task_found.is_some_and(|t| t.parameters.iter().any(|p| p.name == parameter)) {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Precondition,
        format!(
            "task {task} of Addon {addon} has no parameter {parameter}, so it restores everything or nothing"
        ),
    )
    .hint("`kubectl kubestash install` brings the catalog of this version")
    .hint("`kubectl kubestash snapshot download SNAPSHOT PATH --to DIR` fetches single files"))
}

/// The BackupConfiguration that was named; `None` when a Snapshot was.
async fn configuration(
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

fn session_of<'c>(configuration: &'c BackupConfiguration, name: &str) -> Option<&'c Session> {
    configuration
        .spec
        .sessions
        .iter()
        .find(|s| s.name == name)
        .or_else(|| configuration.spec.sessions.first())
}

async fn of_name(
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

async fn of_configuration(
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
            CliError::new(
                Exit::NothingMatched,
                format!("Repository {repository} has no Snapshot{with} that succeeded (of {count})"),
            )
            .hint(format!(
                "`kubectl kubestash snapshot list --repo {repository} -n {namespace}` lists them"
            ))
        })
}

fn check_snapshot(snapshot: &SnapshotDetail, components: &[String]) -> Result<(), CliError> {
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

/// The target that was named, else what was backed up; it must exist.
async fn target(
    args: &RestoreArgs,
    cluster: &Cluster,
    namespace: &str,
    snapshot: &SnapshotDetail,
    configuration: Option<&BackupConfiguration>,
) -> Result<Reference, CliError> {
    let mut target = snapshot.spec.app_ref.clone();
    if let Some(typed) = &args.target {
        let named = names::parse(typed, &TARGETS)?;
        let Some(kind) = named.kind else {
            return Err(CliError::usage(format!(
                "--target {typed}: say of which kind it is, for example pvc/{typed}"
            )));
        };
        target = Reference {
            api_group: kind.group.to_owned(),
            kind: kind.kind.to_owned(),
            namespace: args.target_namespace.clone().unwrap_or_default(),
            name: named.name.to_owned(),
        };
    } else if let Some(own) = configuration.and_then(|c| c.spec.target.as_ref()) {
        target = Reference {
            api_group: own.api_group.clone().unwrap_or_default(),
            kind: own.kind.clone().unwrap_or_default(),
            namespace: own.namespace.clone().unwrap_or_default(),
            name: own.name.clone(),
        };
    }
    let Some(kind) = TARGETS
        .into_iter()
        .find(|k| k.kind == target.kind && k.group == target.api_group)
    else {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "Snapshot {} is of {} {}, which this command cannot restore into",
                snapshot.metadata.name, target.kind, target.name
            ),
        )
        .hint("name a target with --target KIND/NAME"));
    };
    let place = if target.namespace.is_empty() {
        namespace
    } else {
        &target.namespace
    };
    match cluster.get::<Value>(kind, Some(place), &target.name).await {
        Ok(_) => Ok(target),
        Err(error @ Error::NotFound { .. }) => Err(CliError {
            exit: Exit::Precondition,
            ..CliError::from(error)
        }
        .hint("create it first, or name another with --target KIND/NAME")),
        // Whoever may restore need not be allowed to read workloads; the operator looks too.
        Err(Error::Forbidden { .. }) => Ok(target),
        Err(error) => Err(error.into()),
    }
}

/// The Addon and its task for a target: the configuration's own Addon where it has a task that restores, else the one
/// that the catalog has for the kind.
async fn task(
    cluster: &Cluster,
    target: &Reference,
    session: Option<&Session>,
) -> Result<(String, TaskReference), CliError> {
    let by_kind = if target.kind == kinds::CLAIM.kind {
        "pvc-addon"
    } else {
        "workload-addon"
    };
    let configured = session.and_then(|s| s.addon.as_ref());
    let name = configured.map_or(by_kind, |a| a.name.as_str());
    let addon: Addon = match cluster.get(&kinds::ADDON, None, name).await {
        Ok(addon) => addon,
        Err(error @ Error::NotFound { .. }) => {
            return Err(CliError {
                exit: Exit::Precondition,
                ..CliError::from(error)
            }
            .hint(
                "`kubectl kubestash install` installs the catalog; `kubectl get addons` lists what there is",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let backup = configured.and_then(|a| a.tasks.first());
    let wanted = backup.map_or_else(
        || "logical-backup-restore".to_owned(),
        |t| format!("{}-restore", t.name),
    );
    let known: Vec<&str> = addon.spec.restore_tasks.iter().map(|t| t.name.as_str()).collect();
    if !known.contains(&wanted.as_str()) {
        return Err(
            CliError::new(Exit::Precondition, format!("Addon {name} has no task {wanted}")).hint(format!(
                "it restores with: {}; write the RestoreSession yourself to use one of them",
                known.join(", ")
            )),
        );
    }
    // Volumes that the user named for the backup are those to restore into.
    let target_volumes = backup.and_then(|t| t.target_volumes.clone());
    Ok((
        name.to_owned(),
        TaskReference {
            name: wanted,
            target_volumes,
            ..TaskReference::default()
        },
    ))
}

#[cfg(test)]
mod tests {
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
