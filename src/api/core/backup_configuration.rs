//! BackupConfiguration: what to back up, when, and where to.

use super::BackupConfigurationStatus;
use crate::api::shared::{
    AddonInfo, Duration, HookInfo, ObjectReference, RetryConfig, Scheduler, TypedObjectReference, is_false,
    one,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to back up, when, and where to.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupConfiguration",
    plural = "backupconfigurations",
    singular = "backupconfiguration",
    shortname = "bc",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    status = "BackupConfigurationStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "What to back up, when, and where to.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackupConfigurationSpec {
    /// What to back up; absent for whole clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TypedObjectReference>,
    /// Where backups go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendReference>,
    /// What is done when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
    /// Whether no backups are made.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
}

/// A place for backups and its rule for keeping them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendReference {
    /// Name by which repositories refer to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The BackupStorage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_ref: Option<ObjectReference>,
    /// The RetentionPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<ObjectReference>,
}

/// A way of backing up the target: a schedule, tasks and repositories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
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
    /// What does the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<AddonInfo>,
    /// Where the data goes; each gets all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryInfo>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            name: String::new(),
            scheduler: None,
            hooks: None,
            retry_config: None,
            backup_timeout: None,
            session_history_limit: one(),
            addon: None,
            repositories: Vec::new(),
        }
    }
}

/// What runs before and after a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupHooks {
    /// Before; a failure stops the backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_backup: Vec<HookInfo>,
    /// After.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_backup: Vec<HookInfo>,
}

/// A Repository to make and use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryInfo {
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Name of the backend it is in; may be empty when there is only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backend: String,
    /// The BackupVerifier that tests its Snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_verifier: Option<ObjectReference>,
    /// Its directory below the storage's prefix.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// Secret whose RESTIC_PASSWORD encrypts the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_secret: Option<ObjectReference>,
    /// What happens to the Repository when the BackupConfiguration is deleted; it stays when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<RepositoryDeletionPolicy>,
}

string_enum! {
    /// What happens to a Repository when its BackupConfiguration is deleted.
    pub enum RepositoryDeletionPolicy {
        /// The Repository object goes; the data stays.
        Delete,
        /// The Repository and the data go.
        WipeOut,
        /// Nothing goes.
        Retain,
    }
}
