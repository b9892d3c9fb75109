//! Addon: the tasks that back up and restore one sort of target.

use crate::api::shared::{ParameterDefinition, VolumeSource, is_false};
use crate::api::storage::Driver;
use k8s_openapi::api::core::v1::VolumeMount;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tasks that back up and restore one sort of target.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "addons.kubestash.com",
    version = "v1alpha1",
    kind = "Addon",
    plural = "addons",
    singular = "addon",
    category = "kubestash",
    category = "appscode",
    category = "all",
    derive = "Default",
    derive = "PartialEq",
    doc = "The tasks that back up and restore one sort of target.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AddonSpec {
    /// Tasks for backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backup_tasks: Vec<Task>,
    /// Tasks for restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore_tasks: Vec<Task>,
}

string_enum! {
    /// Where a task runs.
    #[derive(Default)]
    pub enum TaskExecutor {
        /// In a Job.
        #[default]
        Job,
        /// In a container beside the target's.
        Sidecar,
        /// In an ephemeral container of the target's pod.
        EphemeralContainer,
        /// In a Job that makes Jobs.
        MultiLevelJob,
    }
}

/// A way to back up or restore a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Name by which sessions ask for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The Function that does it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// The program it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// Where it runs; a Job when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<TaskExecutor>,
    /// Whether it runs once for the target, not once for each of its pods.
    #[serde(default, skip_serializing_if = "is_false")]
    pub singleton: bool,
    /// Inputs it understands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterDefinition>,
    /// Volumes it needs, to be given by the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_template: Vec<VolumeTemplate>,
    /// Where those volumes are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
}

/// A volume that a task needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeTemplate {
    /// Name of the volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub usage: String,
    /// What it is when the session gives nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<VolumeSource>,
}
