//! Hooks as used by sessions: what to run before and after, and how it went.

use super::{Duration, FreeObject, ObjectReference, RuntimeSettings, is_zero, preserve_object};
use k8s_openapi::api::core::v1::{EnvVar, Volume, VolumeMount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

string_enum! {
    /// When a hook that comes after the work runs.
    #[derive(Default)]
    pub enum HookExecutionPolicy {
        /// Whatever happened.
        #[default]
        Always,
        /// Only when nothing failed before.
        OnSuccess,
        /// Only when something failed before.
        OnFailure,
    }
}

/// A hook template put to use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookInfo {
    /// Name of this use, shown in the status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The HookTemplate to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_template: Option<ObjectReference>,
    /// Values for the template's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "preserve_object")]
    pub params: Option<FreeObject>,
    /// How often a failed try is repeated; 0 by default.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("minimum" = 0))]
    pub max_retry: i32,
    /// Limit for each try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Always (the default), OnSuccess or OnFailure.
    #[serde(default)]
    pub execution_policy: HookExecutionPolicy,
    /// Environment variables for the hook, and inputs for `${…}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<EnvVar>,
    /// Volumes for a hook that runs as a Job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Where those volumes are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Pod and container settings for a hook that runs as a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_settings: Option<RuntimeSettings>,
}

string_enum! {
    /// How far a hook is.
    #[derive(Default)]
    pub enum HookExecutionPhase {
        /// It ran and succeeded.
        Succeeded,
        /// It ran and failed.
        Failed,
        /// It has not run.
        #[default]
        Pending,
    }
}

/// How the hooks of a session went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookStatus {
    /// Hooks that run before the work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_hooks: Vec<HookExecution>,
    /// Hooks that run after the work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_hooks: Vec<HookExecution>,
}

/// How one hook went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookExecution {
    /// Name of the hook in the session's list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Succeeded, Failed or Pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<HookExecutionPhase>,
}
