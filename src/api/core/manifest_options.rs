//! How the objects that a restore creates differ from those that were backed up.

use crate::api::shared::{ObjectReference, TypedLocalObjectReference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How restored objects differ from the originals; one block for each sort of target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestOptions {
    /// Workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadOptions>,
    /// MongoDB.
    #[serde(default, rename = "mongoDB", skip_serializing_if = "Option::is_none")]
    pub mongo_db: Option<DatabaseOptions>,
    /// PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<DatabaseOptions>,
    /// MySQL.
    #[serde(default, rename = "mySQL", skip_serializing_if = "Option::is_none")]
    pub my_sql: Option<DatabaseOptions>,
    /// ClickHouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse: Option<DatabaseOptions>,
    /// MariaDB.
    #[serde(default, rename = "mariaDB", skip_serializing_if = "Option::is_none")]
    pub maria_db: Option<DatabaseOptions>,
    /// Microsoft SQL Server.
    #[serde(default, rename = "msSQLServer", skip_serializing_if = "Option::is_none")]
    pub ms_sql_server: Option<SqlServerOptions>,
    /// ZooKeeper.
    #[serde(default, rename = "zooKeeper", skip_serializing_if = "Option::is_none")]
    pub zoo_keeper: Option<DatabaseOptions>,
    /// SingleStore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub singlestore: Option<DatabaseOptions>,
    /// Druid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub druid: Option<DruidOptions>,
    /// Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<DatabaseOptions>,
    /// Redis Sentinel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_sentinel: Option<RedisSentinelOptions>,
}

/// How to restore workloads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadOptions {
    /// Namespace to restore into; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
}

/// How to restore the objects of a KubeDB database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseOptions {
    /// Namespace to restore into; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
    /// Whether to restore the database object.
    #[serde(default = "yes")]
    pub db: bool,
    /// Name for the database object; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// Whether to restore the Secret with the credentials.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for that Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Whether to restore the archiver settings.
    #[serde(default = "no")]
    pub archiver: bool,
    /// The archiver to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archiver_ref: Option<ObjectReference>,
    /// Whether to restore the Secret with the configuration.
    #[serde(default = "yes")]
    pub config_secret: bool,
    /// Name for that Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret_name: Option<String>,
    /// Whether to restore the initial script.
    #[serde(default = "yes")]
    pub init_script: bool,
    /// The issuer of certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub tls_issuer_ref: Option<TypedLocalObjectReference>,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            restore_namespace: None,
            db: true,
            db_name: None,
            auth_secret: true,
            auth_secret_name: None,
            archiver: false,
            archiver_ref: None,
            config_secret: true,
            config_secret_name: None,
            init_script: true,
            tls_issuer_ref: None,
        }
    }
}

/// How to restore the objects of a Microsoft SQL Server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SqlServerOptions {
    /// Namespace to restore into; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
    /// Whether to restore the database object.
    #[serde(default = "yes")]
    pub db: bool,
    /// Name for the database object; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// Whether to restore the Secret with the credentials.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for that Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Whether to restore the archiver settings.
    #[serde(default = "no")]
    pub archiver: bool,
    /// The archiver to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archiver_ref: Option<ObjectReference>,
    /// Whether to restore the initial script.
    #[serde(default = "yes")]
    pub init_script: bool,
    /// The issuer of certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub tls_issuer_ref: Option<TypedLocalObjectReference>,
}

impl Default for SqlServerOptions {
    fn default() -> Self {
        Self {
            restore_namespace: None,
            db: true,
            db_name: None,
            auth_secret: true,
            auth_secret_name: None,
            archiver: false,
            archiver_ref: None,
            init_script: true,
            tls_issuer_ref: None,
        }
    }
}

/// How to restore the objects of a Druid cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DruidOptions {
    /// Namespace to restore into; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
    /// Whether to restore the database object.
    #[serde(default = "yes")]
    pub db: bool,
    /// Name for the database object; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// Whether to restore the Secret with the credentials.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for that Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Whether to restore the Secret with the configuration.
    #[serde(default = "yes")]
    pub config_secret: bool,
    /// Name for that Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret_name: Option<String>,
    /// Whether to restore the Secret of the deep storage.
    #[serde(default = "yes")]
    pub deep_storage_secret: bool,
}

impl Default for DruidOptions {
    fn default() -> Self {
        Self {
            restore_namespace: None,
            db: true,
            db_name: None,
            auth_secret: true,
            auth_secret_name: None,
            config_secret: true,
            config_secret_name: None,
            deep_storage_secret: true,
        }
    }
}

/// How to restore the objects of a Redis Sentinel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisSentinelOptions {
    /// Namespace to restore into; the original one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
    /// Whether to restore the sentinel object.
    #[serde(default = "yes")]
    pub sentinel: bool,
    /// Name for the sentinel object.
    #[serde(default, rename = "SentinelName", skip_serializing_if = "Option::is_none")]
    pub sentinel_name: Option<String>,
    /// Whether to restore the Secret with the credentials.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for that Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// The issuer of certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub tls_issuer_ref: Option<TypedLocalObjectReference>,
}

impl Default for RedisSentinelOptions {
    fn default() -> Self {
        Self {
            restore_namespace: None,
            sentinel: true,
            sentinel_name: None,
            auth_secret: true,
            auth_secret_name: None,
            tls_issuer_ref: None,
        }
    }
}

/// The default of most switches.
fn yes() -> bool {
    true
}

/// The default of the other switches; spelled out so that it stands in the schema.
fn no() -> bool {
    false
}
