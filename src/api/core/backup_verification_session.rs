//! BackupVerificationSession: one test of a Snapshot.

use crate::api::shared::{Condition, Duration, TypedLocalObjectReference, is_zero};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One test of a Snapshot; never changed.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupVerificationSession",
    plural = "backupverificationsession",
    singular = "backupverificationsession",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    status = "BackupVerificationSessionStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "One test of a Snapshot; never changed.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "self == oldSelf", "message": "a session can not be changed; make another one" }]))]
pub struct BackupVerificationSessionSpec {
    /// The BackupConfiguration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub invoker: Option<TypedLocalObjectReference>,
    /// Name of the session in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// The Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The Snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot: String,
    /// How often it is tried again when it fails.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_left: i32,
}

string_enum! {
    /// How far a test is.
    #[derive(Default)]
    pub enum BackupVerificationSessionPhase {
        /// At work.
        #[default]
        Running,
        /// The Snapshot is good.
        Succeeded,
        /// It is not, or the test failed; the conditions say which.
        Failed,
        /// There was no test.
        Skipped,
    }
}

/// What is known about the test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerificationSessionStatus {
    /// Running, Succeeded, Failed or Skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupVerificationSessionPhase>,
    /// How long it took, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Whether another session was made because this one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
    /// Observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
