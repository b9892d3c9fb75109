//! Which tasks of which Addon a session runs, and with what.

use super::{
    ContainerRuntimeSettings, FreeObject, PersistentVolumeClaim, PodTemplateSpec, VolumeSource,
    preserve_object,
};
use k8s_openapi::api::core::v1::{EnvVar, Volume, VolumeMount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Addon of a session and the tasks to run from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddonInfo {
    /// Name of the (cluster-scoped) Addon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Tasks of the Addon to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskReference>,
    /// Settings for the containers that run the tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_runtime_settings: Option<ContainerRuntimeSettings>,
    /// Template for the Job that runs the tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<PodTemplateSpec>,
}

/// A task of the Addon and its inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskReference {
    /// Name of the task in the Addon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Environment variables for the task, and inputs for `${…}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<EnvVar>,
    /// Values for the task's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "preserve_object")]
    pub params: Option<FreeObject>,
    /// Volumes to back up or restore, when they do not come from the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_volumes: Option<TargetVolumes>,
    /// Sources for the Addon's volume templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addon_volumes: Vec<AddonVolume>,
}

/// Volumes that hold the data of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetVolumes {
    /// The volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Where they are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Claims to create, e.g. from volume snapshots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_claim_templates: Vec<PersistentVolumeClaim>,
}

/// The source for one of the Addon's volume templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddonVolume {
    /// Name of the volume template in the Addon's task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What the volume is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<VolumeSource>,
}
