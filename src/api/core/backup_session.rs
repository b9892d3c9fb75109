//! BackupSession: one run of a session of a BackupConfiguration.

use crate::api::shared::{
    Condition, Duration, HookStatus, ObjectReference, TypedLocalObjectReference, TypedObjectReference,
    is_zero,
};
use crate::api::storage::SnapshotPhase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One run of a session of a BackupConfiguration; never changed.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupSession",
    plural = "backupsessions",
    singular = "backupsession",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    status = "BackupSessionStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "One run of a session of a BackupConfiguration; never changed.",
    printcolumn(name = "Invoker-Type", type_ = "string", json_path = ".spec.invoker.kind"),
    printcolumn(name = "Invoker-Name", type_ = "string", json_path = ".spec.invoker.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": "a session can not be changed; make another one" }, { "rule": "has(self.invoker) && has(self.session) && self.session != ''", "message": "invoker and session are needed" }]))]
pub struct BackupSessionSpec {
    /// The BackupConfiguration or BackupBatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub invoker: Option<TypedLocalObjectReference>,
    /// Name of the session in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// How often it is tried again when it fails.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_left: i32,
    /// Limit for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_timeout: Option<Duration>,
}

string_enum! {
    /// How far a BackupSession is.
    #[derive(Default)]
    pub enum BackupSessionPhase {
        /// Not begun.
        #[default]
        Pending,
        /// At work.
        Running,
        /// All is well.
        Succeeded,
        /// Something failed; the conditions say what.
        Failed,
        /// There was no backup; the conditions say why.
        Skipped,
    }
}

/// What is known about the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSessionStatus {
    /// Pending, Running, Succeeded, Failed or Skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupSessionPhase>,
    /// How long it took, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// When it must be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_deadline: Option<Time>,
    /// How many Snapshots there will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_snapshots: Option<i32>,
    /// The Snapshots of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotStatus>,
    /// How the hooks went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HookStatus>,
    /// How the cleaning went, for each Repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retention_policy: Vec<RetentionPolicyApplyStatus>,
    /// Whether another BackupSession was made because this one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
    /// When that will be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry: Option<Time>,
    /// Observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A Snapshot of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotStatus {
    /// Name of the Snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Pending, Running, Succeeded or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SnapshotPhase>,
    /// What it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ref: Option<TypedObjectReference>,
    /// The Repository it is in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
}

string_enum! {
    /// How far the cleaning of a Repository is.
    #[derive(Default)]
    pub enum RetentionPolicyApplyPhase {
        /// Not done.
        #[default]
        Pending,
        /// Done.
        Applied,
        /// It failed; `error` says why.
        FailedToApply,
    }
}

/// How the cleaning of a Repository went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicyApplyStatus {
    /// The RetentionPolicy.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<ObjectReference>,
    /// The Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Pending, Applied or FailedToApply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RetentionPolicyApplyPhase>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
