//! Snapshot: what one backup left in one Repository.

use super::{Component, DeletionPolicy};
use crate::api::shared::{Condition, TypedObjectReference, is_false};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one backup left in one Repository.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "storage.kubestash.com",
    version = "v1alpha1",
    kind = "Snapshot",
    plural = "snapshots",
    singular = "snapshot",
    category = "kubestash",
    category = "appscode",
    namespaced,
    status = "SnapshotStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "What one backup left in one Repository.",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Session", type_ = "string", json_path = ".spec.session"),
    printcolumn(name = "Snapshot-Time", type_ = "string", json_path = ".status.snapshotTime"),
    printcolumn(
        name = "Deletion-Policy",
        type_ = "string",
        json_path = ".spec.deletionPolicy"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSpec {
    /// A ULID that is the Snapshot's own in all clusters.
    #[serde(default, rename = "snapshotID", skip_serializing_if = "String::is_empty")]
    pub snapshot_id: String,
    /// FullBackup or IncrementalBackup.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<SnapshotType>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Name of the session in the BackupConfiguration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Name of the BackupSession that took it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backup_session: String,
    /// Version of the layout in the storage, e.g. `v1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What was backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ref: Option<TypedObjectReference>,
    /// What happens to the data when the object is deleted: Delete (the default) keeps it, WipeOut removes it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether the operator leaves the object alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
}

string_enum! {
    /// Whether a Snapshot stands for itself.
    #[derive(Default)]
    pub enum SnapshotType {
        /// It stands for itself.
        #[default]
        FullBackup,
        /// It needs the FullBackup before it.
        IncrementalBackup,
    }
}

string_enum! {
    /// How far a Snapshot is.
    #[derive(Default)]
    pub enum SnapshotPhase {
        /// Nothing is known of any component.
        #[default]
        Pending,
        /// Components are being backed up.
        Running,
        /// All components are backed up.
        Succeeded,
        /// A component, or the bookkeeping, failed.
        Failed,
    }
}

string_enum! {
    /// Whether a Snapshot was proven to be restorable.
    #[derive(Default)]
    pub enum VerificationStatus {
        /// It was.
        Verified,
        /// Nobody tried.
        #[default]
        NotVerified,
        /// The proof failed.
        VerificationFailed,
    }
}

/// What is known about the Snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotStatus {
    /// Pending, Running, Succeeded or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SnapshotPhase>,
    /// Verified, NotVerified or VerificationFailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_status: Option<VerificationStatus>,
    /// Name of the last BackupVerificationSession for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_session: Option<String>,
    /// When it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_time: Option<Time>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    /// Size of the data of all components, e.g. `1.500 GiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Whether the data of all components was intact; absent when not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<bool>,
    /// Observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many components there will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_components: Option<i32>,
    /// The parts of the target, by name; each is written by the Job that backs it up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-map-type" = "granular"))]
    pub components: BTreeMap<String, Component>,
}
