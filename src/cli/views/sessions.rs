//! Backups and restores that run or ran.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Condition, Meta, Progress, Reference};

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
