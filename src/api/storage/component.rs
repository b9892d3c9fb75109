//! A component of a Snapshot: one part of the target, backed up on its own.

use super::component_databases::{ClickHouseStats, LogStats, MedusaStats, Neo4jStats, SolrStats, WalGStats};
use crate::api::shared::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

string_enum! {
    /// The program that backs up a component.
    pub enum Driver {
        /// restic; the data is in a restic repository.
        Restic,
        /// WAL-G, for databases.
        WalG,
        /// Snapshots of the CSI driver.
        VolumeSnapshotter,
        /// Solr's own backup.
        Solr,
        /// Medusa, for Cassandra.
        Medusa,
        /// clickhouse-backup.
        ClickHouseBackup,
        /// neo4j-admin.
        Neo4jAdmin,
    }
}

string_enum! {
    /// How far a component is.
    #[derive(Default)]
    pub enum ComponentPhase {
        /// Not begun.
        #[default]
        Pending,
        /// Being backed up.
        Running,
        /// Backed up.
        Succeeded,
        /// Not backed up; `error` says why.
        Failed,
    }
}

/// One part of the target, backed up on its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Directory of its data, below the Repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Pending, Running, Succeeded or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ComponentPhase>,
    /// Size of its data in the storage, e.g. `1.500 GiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// How long the backup took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Whether its data was intact; absent when not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<bool>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The program that backed it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// What restic wrote, one entry for each path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restic_stats: Vec<ResticStats>,
    /// The volume snapshots taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_snapshotter_stats: Vec<VolumeSnapshotterStats>,
    /// What WAL-G wrote.
    #[serde(default, rename = "walGStats", skip_serializing_if = "Option::is_none")]
    pub wal_g_stats: Option<WalGStats>,
    /// What Medusa wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medusa_stats: Option<MedusaStats>,
    /// What Solr wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub solr_stats: Vec<SolrStats>,
    /// What clickhouse-backup wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub click_house_stats: Vec<ClickHouseStats>,
    /// What neo4j-admin wrote.
    #[serde(default, rename = "neo4jStats", skip_serializing_if = "Vec::is_empty")]
    pub neo4j_stats: Vec<Neo4jStats>,
    /// How the archiving of a database's log goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stats: Option<LogStats>,
}

/// What restic wrote for one path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResticStats {
    /// The result, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ResticSummary>,
    /// How far it is, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<BackupProgress>,
}

impl<'de> Deserialize<'de> for ResticStats {
    /// Also reads the older shape, in which the fields of the summary stand in the entry itself.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Either {
            summary: Option<ResticSummary>,
            progress: Option<BackupProgress>,
            #[serde(flatten)]
            older: ResticSummary,
        }
        let either = Either::deserialize(deserializer)?;
        let older = Some(either.older).filter(|older| *older != ResticSummary::default());
        Ok(Self {
            summary: either.summary.or(older),
            progress: either.progress,
        })
    }
}

/// The result of one `restic backup`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResticSummary {
    /// Id of the restic snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How much new data was written, e.g. `1.500 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<String>,
    /// The path that was backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Size of what was backed up, e.g. `1.500 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
}

/// How far a backup is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupProgress {
    /// Seconds since it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_elapsed: Option<i64>,
    /// How much is done, e.g. `42.00%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_done: Option<String>,
    /// How many files there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_files: Option<i64>,
    /// How many files are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_done: Option<i64>,
    /// How much data is done, e.g. `1.500 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_done: Option<String>,
    /// How much data there is, e.g. `1.500 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// How fast it goes, e.g. `1.500 MiB/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
}

/// A volume snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotterStats {
    /// Name of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc_name: Option<String>,
    /// Where the volume was mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Name of the VolumeSnapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_name: Option<String>,
    /// When it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_time: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restic_stats_are_read_in_both_shapes() {
        let newer: ResticStats =
            serde_json::from_str(r#"{"summary":{"id":"abc","hostPath":"/data"}}"#).unwrap();
        let older: ResticStats = serde_json::from_str(r#"{"id":"abc","hostPath":"/data"}"#).unwrap();
        assert_eq!(newer, older);
        let running: ResticStats = serde_json::from_str(r#"{"progress":{"totalFiles":3}}"#).unwrap();
        assert_eq!(running.summary, None);
    }
}
