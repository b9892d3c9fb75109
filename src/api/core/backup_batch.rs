//! BackupBatch: several targets backed up together. Declared by the API; the operator does not act on it.

use super::{
    BackendReference, BackendStatus, BackupConfigurationPhase, BackupHooks, RepositoryInfo, RepositoryStatus,
    SessionStatus,
};
use crate::api::shared::{
    AddonInfo, Condition, DependencyReference, Duration, RetryConfig, Scheduler, TypedObjectReference,
    is_false, one,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Several targets backed up together. Kept for compatibility: the operator does not act on it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupBatch",
    plural = "backupbatches",
    singular = "backupbatch",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    status = "BackupBatchStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Several targets backed up together. Kept for compatibility: the operator does not act on it.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackupBatchSpec {
    /// Where backups go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendReference>,
    /// What to back up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<BatchTarget>,
    /// What is done when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<BatchSession>,
    /// Whether no backups are made.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
}

/// A target of the batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchTarget {
    /// Name by which sessions refer to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ref: Option<TypedObjectReference>,
}

/// A way of backing up the targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchSession {
    /// Name of the session, unique in its list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When it runs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// What runs before and after the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<BackupHooks>,
    /// How often a failed backup is tried again; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_config: Option<RetryConfig>,
    /// Limit for each backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_timeout: Option<Duration>,
    /// How many finished BackupSessions of each outcome are kept; 1 by default.
    #[serde(default = "one")]
    #[schemars(extend("minimum" = 0))]
    pub session_history_limit: i32,
    /// How each target is backed up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<BatchTargetSession>,
}

impl Default for BatchSession {
    fn default() -> Self {
        Self {
            name: String::new(),
            scheduler: None,
            hooks: None,
            retry_config: None,
            backup_timeout: None,
            session_history_limit: one(),
            targets: Vec::new(),
        }
    }
}

/// How a target is backed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchTargetSession {
    /// Name of the target.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What does the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<AddonInfo>,
    /// Where the data goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryInfo>,
}

/// What is known about the BackupBatch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupBatchStatus {
    /// Whether the backends can be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendStatus>,
    /// Whether the Repositories can be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryStatus>,
    /// What is needed, and whether it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<DependencyReference>,
    /// How the sessions are set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionStatus>,
    /// NotReady, Ready or Invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupConfigurationPhase>,
    /// The targets, and whether they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<DependencyReference>,
    /// Observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
