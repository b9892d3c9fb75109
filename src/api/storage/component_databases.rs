//! Statistics of the database drivers. They are part of the API so that objects written elsewhere survive; nothing here
//! writes them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What WAL-G wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WalGStats {
    /// Id of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The databases in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_time: Option<Time>,
}

/// What Medusa wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MedusaStats {
    /// Name of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_name: Option<String>,
    /// The nodes in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backup_nodes: Vec<String>,
    /// Medusa's word for how it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<String>,
}

/// What Solr wrote for one collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SolrStats {
    /// Number of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<i64>,
    /// Name of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_name: Option<String>,
    /// The collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// How many index files it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_file_count: Option<i64>,
    /// Size of the index in megabytes.
    #[serde(default, rename = "indexSizeMB", skip_serializing_if = "Option::is_none")]
    pub index_size_mb: Option<f64>,
    /// Where the backup is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// How much was written, in megabytes.
    #[serde(
        default,
        rename = "uploadedIndexFileMB",
        skip_serializing_if = "Option::is_none"
    )]
    pub uploaded_index_file_mb: Option<f64>,
}

/// What clickhouse-backup wrote on one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClickHouseStats {
    /// Id of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// clickhouse-backup's word for how it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<Time>,
}

/// What neo4j-admin wrote for one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Neo4jStats {
    /// The backup file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Name of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Id of the database.
    #[serde(default, rename = "databaseID", skip_serializing_if = "Option::is_none")]
    pub database_id: Option<String>,
    /// When it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Whether it stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<bool>,
    /// Whether it is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<bool>,
    /// First transaction in it.
    #[serde(default, rename = "lowestTX", skip_serializing_if = "Option::is_none")]
    pub lowest_tx: Option<i64>,
    /// Last transaction in it.
    #[serde(default, rename = "highestTX", skip_serializing_if = "Option::is_none")]
    pub highest_tx: Option<i64>,
    /// Hash of the id of the store.
    #[serde(default, rename = "storeIDHash", skip_serializing_if = "Option::is_none")]
    pub store_id_hash: Option<String>,
    /// Whether it was recovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
}

/// How the archiving of a database's log goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStats {
    /// Where the archived log begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Last position in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
    /// How many runs failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_failed_count: Option<i64>,
    /// The last runs that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_failed_stats: Vec<LogRun>,
    /// How many runs succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_succeeded_count: Option<i64>,
    /// The last runs that succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_succeeded_stats: Vec<LogRun>,
    /// The last cleanings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_log_retention_stats: Vec<LogRetentionStats>,
}

/// A run of the log archiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogRun {
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A cleaning of the archived log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogRetentionStats {
    /// When it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_execution_time: Option<String>,
    /// What was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_period_applied: Option<String>,
    /// How many files went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_log_count: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
