//! The three kinds of `snapshot.storage.k8s.io/v1`, as far as a snapshotter of directories needs them. Their CRDs
//! are made from these types.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The API group.
pub(in super::super) const GROUP: &str = "snapshot.storage.k8s.io";

/// A picture of a claim's volume, as its user sees it.
// Printer columns repeat their keys by nature.
#[allow(clippy::duplicated_attributes)]
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "snapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeSnapshot",
    namespaced,
    status = "VolumeSnapshotStatus",
    shortname = "vs",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "ReadyToUse", type_ = "boolean", json_path = ".status.readyToUse"),
    printcolumn(
        name = "SourcePVC",
        type_ = "string",
        json_path = ".spec.source.persistentVolumeClaimName"
    ),
    printcolumn(
        name = "SourceSnapshotContent",
        type_ = "string",
        json_path = ".spec.source.volumeSnapshotContentName"
    ),
    printcolumn(name = "RestoreSize", type_ = "string", json_path = ".status.restoreSize"),
    printcolumn(
        name = "SnapshotClass",
        type_ = "string",
        json_path = ".spec.volumeSnapshotClassName"
    ),
    printcolumn(
        name = "SnapshotContent",
        type_ = "string",
        json_path = ".status.boundVolumeSnapshotContentName"
    ),
    printcolumn(name = "CreationTime", type_ = "date", json_path = ".status.creationTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub(in super::super) struct VolumeSnapshotSpec {
    /// What the picture is taken of.
    pub(in super::super) source: SnapshotSource,
    /// The class; the default one where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) volume_snapshot_class_name: Option<String>,
}

/// Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct SnapshotSource {
    /// A claim of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) persistent_volume_claim_name: Option<String>,
    /// A picture that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) volume_snapshot_content_name: Option<String>,
}

/// What has become of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct VolumeSnapshotStatus {
    /// The content it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) bound_volume_snapshot_content_name: Option<String>,
    /// The moment the picture shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) creation_time: Option<Time>,
    /// Whether a claim can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) ready_to_use: Option<bool>,
    /// The least size of a claim made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) restore_size: Option<Quantity>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) error: Option<SnapshotError>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub(in super::super) struct SnapshotError {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) message: Option<String>,
    /// And when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) time: Option<Time>,
}

/// Where the picture is.
// Printer columns repeat their keys by nature.
#[allow(clippy::duplicated_attributes)]
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "snapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeSnapshotContent",
    status = "VolumeSnapshotContentStatus",
    shortname = "vsc",
    shortname = "vscs",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "ReadyToUse", type_ = "boolean", json_path = ".status.readyToUse"),
    printcolumn(name = "RestoreSize", type_ = "integer", json_path = ".status.restoreSize"),
    printcolumn(name = "DeletionPolicy", type_ = "string", json_path = ".spec.deletionPolicy"),
    printcolumn(name = "Driver", type_ = "string", json_path = ".spec.driver"),
    printcolumn(
        name = "VolumeSnapshotClass",
        type_ = "string",
        json_path = ".spec.volumeSnapshotClassName"
    ),
    printcolumn(
        name = "VolumeSnapshot",
        type_ = "string",
        json_path = ".spec.volumeSnapshotRef.name"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub(in super::super) struct VolumeSnapshotContentSpec {
    /// `Delete` or `Retain`: what happens to the picture when its VolumeSnapshot goes.
    pub(in super::super) deletion_policy: String,
    /// Who keeps the picture.
    pub(in super::super) driver: String,
    /// What it was taken of, or where it was found.
    pub(in super::super) source: ContentSource,
    /// The mode of the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) source_volume_mode: Option<String>,
    /// The class it was made by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) volume_snapshot_class_name: Option<String>,
    /// The VolumeSnapshot it belongs to.
    #[schemars(schema_with = "any_object")]
    pub(in super::super) volume_snapshot_ref: ObjectReference,
}

/// Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ContentSource {
    /// A picture that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) snapshot_handle: Option<String>,
    /// The volume to take a picture of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) volume_handle: Option<String>,
}

/// What has become of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct VolumeSnapshotContentStatus {
    /// The moment the picture shows, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) creation_time: Option<i64>,
    /// Whether the picture is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) ready_to_use: Option<bool>,
    /// The size of the volume in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) restore_size: Option<i64>,
    /// The picture's name with its driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) snapshot_handle: Option<String>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) error: Option<SnapshotError>,
}

/// How pictures are taken. The fields stand beside the metadata: this kind has no spec.
// Printer columns repeat their keys by nature.
#[allow(clippy::duplicated_attributes)]
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "snapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeSnapshotClass",
    no_spec,
    shortname = "vsclass",
    shortname = "vsclasses",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Driver", type_ = "string", json_path = ".driver"),
    printcolumn(name = "DeletionPolicy", type_ = "string", json_path = ".deletionPolicy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct VolumeSnapshotClassFields {
    /// What happens to pictures when their VolumeSnapshots go.
    pub(in super::super) deletion_policy: String,
    /// Who takes them.
    pub(in super::super) driver: String,
    /// The driver's own settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in super::super) parameters: BTreeMap<String, String>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// The CRDs of the three kinds.
pub(in super::super) fn crds() -> [CustomResourceDefinition; 3] {
    let mut crds = [
        VolumeSnapshot::crd(),
        VolumeSnapshotContent::crd(),
        VolumeSnapshotClass::crd(),
    ];
    for crd in &mut crds {
        // The group is protected in Kubernetes: its CRDs carry the note of the review that accepted them.
        let note = (
            "api-approved.kubernetes.io",
            "https://github.com/kubernetes-csi/external-snapshotter/pull/814",
        );
        let annotations = crd.metadata.annotations.get_or_insert_default();
        annotations.insert(note.0.to_owned(), note.1.to_owned());
    }
    crds
}
