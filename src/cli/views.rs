//! Just the fields that commands show. Reading only these keeps lists of thousands of objects fast, and an object with
//! a field that this version does not know is still shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

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

/// A BackupSession.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupSession {
    /// Metadata.
    pub metadata: Meta,
    /// What to run.
    pub spec: BackupSessionSpec,
    /// What became of it.
    pub status: BackupSessionStatus,
}

/// What a BackupSession runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupSessionSpec {
    /// The configuration.
    pub invoker: Reference,
    /// The session in it.
    pub session: String,
}

/// What became of a BackupSession.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupSessionStatus {
    /// Pending, Running, Succeeded, Failed or Skipped; empty before the operator saw it.
    pub phase: String,
    /// How long it took.
    pub duration: String,
    /// Its Snapshots.
    pub snapshots: Vec<SnapshotReference>,
    /// How retention went.
    pub retention_policy: Vec<Retention>,
    /// When it is tried again.
    pub next_retry: Option<Timestamp>,
    /// Whether it was tried again.
    pub retried: Option<bool>,
    /// When it must have ended.
    pub backup_deadline: Option<Timestamp>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// A Snapshot in a BackupSession's status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotReference {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Its Repository.
    pub repository: String,
    /// What was backed up.
    pub app_ref: Reference,
}

/// How retention went in one Repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// The Repository.
    pub repository: String,
    /// Pending, Applied or FailedToApply.
    pub phase: String,
    /// Why it failed.
    pub error: String,
}

/// A RestoreSession.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RestoreSession {
    /// Metadata.
    pub metadata: Meta,
    /// What to restore.
    pub spec: RestoreSessionSpec,
    /// What became of it.
    pub status: RestoreSessionStatus,
}

/// What a RestoreSession restores.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestoreSessionSpec {
    /// Into what.
    pub target: Reference,
    /// From what.
    pub data_source: DataSource,
}

/// Where a RestoreSession takes its data from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DataSource {
    /// The Repository.
    pub repository: String,
    /// The Snapshot.
    pub snapshot: String,
}

/// What became of a RestoreSession.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestoreSessionStatus {
    /// Pending, Running, Succeeded, Failed, Invalid or Unknown; empty before the operator saw it.
    pub phase: String,
    /// How long it took.
    pub duration: String,
    /// Whether the target exists.
    pub target_found: Option<bool>,
    /// Its components.
    pub components: BTreeMap<String, RestoredComponent>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// One component of a restore.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RestoredComponent {
    /// Its phase.
    pub phase: String,
    /// Why it failed.
    pub error: String,
    /// How far it is.
    pub progress: Progress,
    /// How long it took.
    pub duration: String,
}

/// How far restic is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// `43.20%`.
    pub percent_done: String,
    /// How much is done.
    #[serde(alias = "backupDone", alias = "restoreDone")]
    pub done: String,
    /// How much there is.
    pub total: String,
    /// How many files are done.
    pub files_done: Option<i64>,
    /// How many files there are.
    pub total_files: Option<i64>,
    /// Such as `45.0 MB/s`.
    pub speed: String,
    /// Seconds since it began.
    pub seconds_elapsed: Option<i64>,
}

/// What restic wrote for one path.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResticSummary {
    /// Id of the restic snapshot.
    pub id: String,
    /// The path that was backed up.
    pub host_path: String,
    /// Size of what was backed up.
    pub size: String,
    /// How much new data was written.
    pub uploaded: String,
}

/// A Snapshot as lists show it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Metadata.
    pub metadata: Meta,
    /// What it is of.
    pub spec: SnapshotSpec,
    /// What became of it.
    pub status: SnapshotStatus,
}

/// What a Snapshot is of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSpec {
    /// Its Repository.
    pub repository: String,
    /// Its session.
    pub session: String,
    /// The BackupSession that made it.
    pub backup_session: String,
    /// What was backed up.
    pub app_ref: Reference,
    /// What happens to the data when it is deleted.
    pub deletion_policy: String,
}

/// What became of a Snapshot.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotStatus {
    /// Its phase.
    pub phase: String,
    /// When it was taken.
    pub snapshot_time: Option<Timestamp>,
    /// Its size.
    pub size: String,
    /// Whether the repository was found intact.
    pub integrity: Option<bool>,
    /// Verified, NotVerified or VerificationFailed.
    pub verification_status: String,
    /// How many components it has.
    pub total_components: Option<i64>,
}

/// A Snapshot with its components.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SnapshotDetail {
    /// Metadata.
    pub metadata: Meta,
    /// What it is of.
    pub spec: SnapshotSpec,
    /// Components and conditions.
    pub status: SnapshotDetailStatus,
}

/// Components and conditions of a Snapshot.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotDetailStatus {
    /// Its phase.
    pub phase: String,
    /// When it was taken.
    pub snapshot_time: Option<Timestamp>,
    /// Its size.
    pub size: String,
    /// Whether its data was found intact.
    pub integrity: Option<bool>,
    /// Verified, NotVerified or VerificationFailed.
    pub verification_status: String,
    /// Components by name.
    pub components: BTreeMap<String, Component>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// One component of a Snapshot.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Component {
    /// Its phase.
    pub phase: String,
    /// Why it failed.
    pub error: String,
    /// restic's numbers, one entry per path.
    pub restic_stats: Vec<ResticStats>,
    /// Where its data is, below the Repository's directory.
    pub path: String,
    /// The program that backed it up.
    pub driver: String,
    /// Size of its data in the storage.
    pub size: String,
    /// How long it took.
    pub duration: String,
    /// Whether its data was found intact.
    pub integrity: Option<bool>,
}

/// restic's numbers for one path.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ResticStats {
    /// How far it is.
    pub progress: Progress,
    /// The result, once there is one.
    pub summary: Option<ResticSummary>,
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
