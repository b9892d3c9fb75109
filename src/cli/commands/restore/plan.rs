//! What a restore will do, found out and checked before anything is created.

mod paths;
mod source;
pub(super) mod target;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::RestoreArgs;
use crate::api::shared::TaskReference;
use crate::cli::error::CliError;
use crate::cli::names::Named;
use crate::cli::views::{Reference, SnapshotDetail};
use crate::cluster::{Cluster, kinds};
use crate::decide::naming;
use crate::decide::restore::ALLOW_EMPTY;
use crate::output::human;

/// The word for the newest Snapshot that succeeded.
pub(super) const LATEST: &str = "latest";

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
        let configuration = source::configuration(cluster, namespace, source).await?;
        let snapshot = match &configuration {
            Some(found) => source::of_configuration(args, cluster, namespace, found).await?,
            None => source::of_name(args, cluster, namespace, source).await?,
        };
        source::check_snapshot(&snapshot, &args.components)?;
        let target = target::target(args, cluster, namespace, &snapshot, configuration.as_ref()).await?;
        target::same_kind(&snapshot, &target, configuration.as_ref())?;
        target::in_reach(cluster, namespace, &snapshot, &target).await?;
        let session = configuration
            .as_ref()
            .and_then(|c| source::session_of(c, &snapshot.spec.session));
        let same_target = args.target.is_none() && args.target_namespace.is_none();
        let (addon, mut task) = target::task(cluster, &target, session.filter(|_| same_target)).await?;
        let include = paths::patterns(&snapshot, args)?;
        for (name, values) in [("include", &include), ("exclude", &args.exclude)] {
            if !values.is_empty() {
                target::takes(cluster, &addon, &task.name, name).await?;
                let params = task.params.get_or_insert_default();
                params.insert(name.to_owned(), Value::String(paths::listed(values)));
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
        paths::patterns(&self.snapshot, args).unwrap_or_default()
    }

    /// Lets an empty Snapshot be restored, which tasks refuse unless they are told.
    ///
    /// # Errors
    /// When the task has no parameter for it.
    pub(super) async fn allow_empty(&mut self, cluster: &Cluster) -> Result<(), CliError> {
        target::takes(cluster, &self.addon, &self.task.name, ALLOW_EMPTY).await?;
        let params = self.task.params.get_or_insert_default();
        params.insert(ALLOW_EMPTY.to_owned(), Value::String("true".to_owned()));
        Ok(())
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
