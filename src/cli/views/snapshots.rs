//! Snapshots, with their components where one is looked at closely.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Condition, Meta, Reference};

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
