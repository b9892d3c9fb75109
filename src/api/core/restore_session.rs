//! RestoreSession: one restore.

use super::ManifestOptions;
use crate::api::shared::{
    AddonInfo, Condition, DependencyReference, Duration, HookInfo, HookStatus, ObjectReference,
    TypedObjectReference, is_false,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One restore.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "RestoreSession",
    plural = "restoresessions",
    singular = "restoresession",
    shortname = "restore",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    status = "RestoreSessionStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "One restore.",
    printcolumn(
        name = "Repository",
        type_ = "string",
        json_path = ".spec.dataSource.repository"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.dataSource)", "message": "dataSource is needed" }]))]
pub struct RestoreSessionSpec {
    /// What to restore into; absent when the restore creates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TypedObjectReference>,
    /// What to restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_source: Option<RestoreDataSource>,
    /// What does the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<AddonInfo>,
    /// What runs before and after the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<RestoreHooks>,
    /// Limit for the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_timeout: Option<Duration>,
    /// How restored objects differ from the originals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_options: Option<ManifestOptions>,
}

/// What to restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.pitr) || (has(self.snapshot) && self.snapshot != '')", "message": "snapshot is needed: a name, or latest" }, { "rule": "(!has(self.pitr) && (!has(self.snapshot) || self.snapshot != 'latest')) || (has(self.repository) && self.repository != '')", "message": "repository is needed for the latest snapshot and for a point in time" }]))]
pub struct RestoreDataSource {
    /// Namespace of the Repository and the Snapshot; the own one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The Repository; needed for `latest` and for a point in time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The Snapshot, or `latest`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot: String,
    /// The point in time to restore, for databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pitr: Option<PointInTime>,
    /// The components to restore; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// Secret whose RESTIC_PASSWORD decrypts the data; the Repository's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_secret: Option<ObjectReference>,
}

/// A point in time to restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "has(self.targetTime)", "message": "targetTime is needed" }]))]
pub struct PointInTime {
    /// The time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_time: Option<Time>,
    /// Whether to stop just before it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclusive: bool,
}

/// What runs before and after a restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreHooks {
    /// Before; a failure stops the restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_restore: Vec<HookInfo>,
    /// After.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_restore: Vec<HookInfo>,
}

string_enum! {
    /// How far a restore, or a component of it, is.
    #[derive(Default)]
    pub enum RestorePhase {
        /// Not begun.
        #[default]
        Pending,
        /// At work.
        Running,
        /// Something failed; the status says what.
        Failed,
        /// All is well.
        Succeeded,
        /// The object makes no sense.
        Invalid,
        /// Nobody can say.
        Unknown,
    }
}

/// What is known about the restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSessionStatus {
    /// Pending, Running, Failed, Succeeded, Invalid or Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,
    /// Whether the target exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_found: Option<bool>,
    /// How long it took, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// When it must be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_deadline: Option<Time>,
    /// How many components there will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_components: Option<i32>,
    /// The components, by name; each is written by the Job that restores it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-map-type" = "granular"))]
    pub components: BTreeMap<String, ComponentRestoreStatus>,
    /// How the hooks went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HookStatus>,
    /// What is needed, and whether it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<DependencyReference>,
    /// BackupConfigurations that the restore paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused_backups: Vec<TypedObjectReference>,
    /// Observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How the restore of a component goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentRestoreStatus {
    /// Pending, Running, Failed, Succeeded or Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RestoreProgress>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far a restore is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreProgress {
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
    pub restore_done: Option<String>,
    /// How much data there is, e.g. `1.500 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// How fast it goes, e.g. `1.500 MiB/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
}
