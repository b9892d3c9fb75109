//! Just the fields that commands show. Reading only these keeps lists of thousands of objects fast, and an object with
//! a field that this version does not know is still shown.

mod sessions;
mod snapshots;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

pub use self::sessions::{
    BackupSession, BackupSessionSpec, BackupSessionStatus, DataSource, RestoreSession, RestoreSessionSpec,
    RestoreSessionStatus, RestoredComponent, Retention, SnapshotReference,
};
pub use self::snapshots::{
    Component, Progress, ResticStats, ResticSummary, Snapshot, SnapshotDetail, SnapshotDetailStatus,
    SnapshotSpec, SnapshotStatus,
};
use crate::api::shared::TypedObjectReference;
use crate::output::human;

/// Metadata.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deletion_timestamp: Option<Timestamp>,
}

impl Meta {
    /// The AGE column.
    pub fn age(&self, now: Timestamp) -> String {
        self.creation_timestamp
            .map_or_else(|| "<unknown>".to_owned(), |then| human::age(then, now))
    }
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word.
    pub reason: String,
    /// Sentences.
    pub message: String,
    /// Error, Warning or Info.
    pub severity: String,
    /// Since when.
    pub last_transition_time: Option<Timestamp>,
}

/// A reference to an object of any kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// API group.
    pub api_group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty means the referring object's own.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Reference {
    /// The namespace, or that of the referring object.
    #[must_use]
    pub fn namespace_or<'n>(&'n self, own: &'n str) -> &'n str {
        if self.namespace.is_empty() {
            own
        } else {
            &self.namespace
        }
    }
}

impl From<&TypedObjectReference> for Reference {
    fn from(typed: &TypedObjectReference) -> Self {
        Reference {
            api_group: typed.group().to_owned(),
            kind: typed.kind().to_owned(),
            namespace: typed.namespace.clone().unwrap_or_default(),
            name: typed.name.clone(),
        }
    }
}

/// A BackupConfiguration as `status` shows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupConfiguration {
    /// Metadata.
    pub metadata: Meta,
    /// What is backed up.
    pub spec: BackupConfigurationSpec,
    /// What became of it.
    pub status: BackupConfigurationStatus,
}

/// What a BackupConfiguration backs up.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupConfigurationSpec {
    /// What is backed up.
    pub target: Reference,
    /// Whether it is paused.
    pub paused: bool,
    /// Its sessions.
    pub sessions: Vec<ConfiguredSession>,
}

/// A session of a BackupConfiguration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConfiguredSession {
    /// Its name.
    pub name: String,
    /// Its schedule.
    pub scheduler: Scheduler,
    /// Where it backs up to.
    pub repositories: Vec<ConfiguredRepository>,
}

/// A Repository that a session backs up to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConfiguredRepository {
    /// The Repository's name.
    pub name: String,
}

/// A Repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Repository {
    /// Metadata.
    pub metadata: Meta,
    /// What became of it.
    pub status: RepositoryStatus,
}

/// What became of a Repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RepositoryStatus {
    /// Ready or NotReady.
    pub phase: String,
    /// When the last successful backup was taken.
    pub last_backup_time: Option<Timestamp>,
    /// Its newest Snapshots, newest last.
    pub recent_snapshots: Vec<RecentSnapshot>,
    /// Whether its data was found intact.
    pub integrity: Option<bool>,
}

/// A Snapshot in a Repository's status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecentSnapshot {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Its session.
    pub session: String,
    /// When it was taken.
    pub snapshot_time: Option<Timestamp>,
}

/// When a session runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// Cron expression.
    pub schedule: String,
    /// Whether it is suspended.
    pub suspend: bool,
}

/// What became of a BackupConfiguration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupConfigurationStatus {
    /// Ready, NotReady or Invalid.
    pub phase: String,
    /// Whether its target exists.
    #[serde(rename = "targetFound")]
    pub target_found: Option<bool>,
    /// What is known of its backends.
    pub backends: Vec<Value>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// A BackupStorage.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupStorage {
    /// Metadata.
    pub metadata: Meta,
    /// What it is.
    pub spec: BackupStorageSpec,
    /// What became of it.
    pub status: BackupStorageStatus,
}

/// What a BackupStorage is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupStorageSpec {
    /// The provider's settings.
    pub storage: Value,
    /// Whether it is the default.
    pub default: bool,
}

/// What became of a BackupStorage.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupStorageStatus {
    /// Ready or NotReady.
    pub phase: String,
    /// The size of everything in it.
    pub total_size: String,
    /// Its Repositories.
    pub repositories: Vec<Value>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// The message of the first condition that says that something is wrong.
pub fn complaint(conditions: &[Condition]) -> Option<String> {
    /// Conditions whose truth is the bad news.
    const BAD_WHEN_TRUE: &[&str] = &[
        "BackupCancelled",
        "BackupSkipped",
        "BackupIncomplete",
        "RestoreIncomplete",
        "SnapshotCleanupIncomplete",
    ];
    conditions
        .iter()
        .find(|c| {
            if BAD_WHEN_TRUE.contains(&c.kind.as_str()) {
                c.status == "True"
            } else {
                c.status == "False"
            }
        })
        .map(|c| {
            if c.message.is_empty() {
                format!("{} ({})", c.kind, c.reason)
            } else {
                c.message.clone()
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_or_unknown_is_no_error() {
        let session: BackupSession = serde_json::from_value(json!({
            "metadata": {"name": "a", "managedFields": [{"x": 1}]},
            "status": {"phase": "Somehow", "later": true},
        }))
        .unwrap();
        assert_eq!(session.status.phase, "Somehow");
        assert_eq!(session.metadata.age(Timestamp::UNIX_EPOCH), "<unknown>");
    }

    #[test]
    fn complaints_know_which_conditions_are_bad_news() {
        let of = |kind: &str, status: &str| Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            message: format!("{kind} is {status}"),
            ..Condition::default()
        };
        assert_eq!(
            complaint(&[of("SnapshotsEnsured", "True"), of("BackupSkipped", "False")]),
            None
        );
        assert_eq!(
            complaint(&[of("BackupSkipped", "True")]).as_deref(),
            Some("BackupSkipped is True")
        );
        assert_eq!(
            complaint(&[of("SnapshotsEnsured", "False")]).as_deref(),
            Some("SnapshotsEnsured is False")
        );
    }
}
