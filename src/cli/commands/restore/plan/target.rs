//! Into what, and by which task: the target that was named or the backup's own, and an Addon that can restore into it.

use serde_json::Value;

use crate::api::addons::Addon;
use crate::api::core::{BackupConfiguration, Session};
use crate::api::shared::TaskReference;
use crate::api::storage::Repository;
use crate::cli::commands::reach;
use crate::cli::commands::restore::RestoreArgs;
use crate::cli::error::{CliError, Exit};
use crate::cli::names;
use crate::cli::views::{Reference, SnapshotDetail};
use crate::cluster::{Cluster, Error, Kind, kinds};

/// What can be restored into.
const TARGETS: [&Kind; 4] = [
    &kinds::CLAIM,
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
];

/// The target that was named, else what was backed up; it must exist.
pub(super) async fn target(
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
            namespace: String::new(),
            name: named.name.to_owned(),
        };
    } else if let Some(own) = configuration.and_then(|c| c.spec.target.as_ref()) {
        target = Reference::from(own);
    }
    if let Some(place) = &args.target_namespace {
        target.namespace.clone_from(place);
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
    let place = target.namespace_or(namespace);
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

/// Jobs in the target's namespace must reach the storage of the Snapshot.
pub(super) async fn in_reach(
    cluster: &Cluster,
    namespace: &str,
    snapshot: &SnapshotDetail,
    target: &Reference,
) -> Result<(), CliError> {
    let place = target.namespace_or(namespace);
    if place == namespace {
        return Ok(());
    }
    let repository =
        cluster.get::<Repository>(&kinds::REPOSITORY, Some(namespace), &snapshot.spec.repository);
    // What cannot be read is found out by the operator.
    if let Ok(repository) = repository.await
        && let Some(storage) = &repository.spec.storage_ref
    {
        let storage = (storage.namespace_or(namespace), storage.name.as_str());
        reach::check(cluster, storage, place).await?;
    }
    Ok(())
}

/// Data of one kind of application does not fit another, unless the backup itself names the volumes; the operator refuses
/// it, too, but here nothing has been created yet.
pub(super) fn same_kind(
    snapshot: &SnapshotDetail,
    target: &Reference,
    configuration: Option<&BackupConfiguration>,
) -> Result<(), CliError> {
    let told = configuration.is_some_and(|c| {
        let tasks = c
            .spec
            .sessions
            .iter()
            .filter_map(|s| s.addon.as_ref())
            .flat_map(|a| &a.tasks);
        tasks.into_iter().any(|t| t.target_volumes.is_some())
    });
    if told {
        return Ok(());
    }
    alike(&snapshot.metadata.name, &snapshot.spec.app_ref, target)
}

/// Refuses a target of another kind than what was backed up.
pub(in crate::cli::commands::restore) fn alike(
    snapshot: &str,
    source: &Reference,
    target: &Reference,
) -> Result<(), CliError> {
    let known = |kind: &str| TARGETS.iter().any(|k| k.kind == kind);
    if source.kind == target.kind || !known(&source.kind) || !known(&target.kind) {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Precondition,
        format!(
            "Snapshot {snapshot} is of {} {}, and {} {} is another kind of application: paths and owners differ",
            source.kind, source.name, target.kind, target.name
        ),
    )
    .hint(format!("restore it into a {}", source.kind))
    .hint("`kubectl kubestash snapshot download` fetches files, to be copied wherever they belong"))
}

/// The Addon and its task for a target: the configuration's own Addon where it has a task that restores, else the one
/// that the catalog has for the kind.
pub(super) async fn task(
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
    let backup = configured.and_then(|a| a.tasks.first());
    let wanted = backup.map_or_else(
        || "logical-backup-restore".to_owned(),
        |t| format!("{}-restore", t.name),
    );
    // Volumes that the user named for the backup are those to restore into.
    let reference = TaskReference {
        name: wanted.clone(),
        target_volumes: backup.and_then(|t| t.target_volumes.clone()),
        ..TaskReference::default()
    };
    let addon: Addon = match cluster.get(&kinds::ADDON, None, name).await {
        Ok(addon) => addon,
        // Rights in one namespace do not reach the catalog, which has none; the operator looks there.
        Err(Error::Forbidden { .. }) => return Ok((name.to_owned(), reference)),
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
    let known: Vec<&str> = addon.spec.restore_tasks.iter().map(|t| t.name.as_str()).collect();
    if !known.contains(&wanted.as_str()) {
        return Err(
            CliError::new(Exit::Precondition, format!("Addon {name} has no task {wanted}")).hint(format!(
                "it restores with: {}; write the RestoreSession yourself to use one of them",
                known.join(", ")
            )),
        );
    }
    Ok((name.to_owned(), reference))
}

/// Whether a task has a parameter; the catalog in the cluster may be older. Who may not look there is believed.
pub(super) async fn takes(
    cluster: &Cluster,
    addon: &str,
    task: &str,
    parameter: &str,
) -> Result<(), CliError> {
    let found: Addon = match cluster.get(&kinds::ADDON, None, addon).await {
        Err(Error::Forbidden { .. }) => return Ok(()),
        found => found?,
    };
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
