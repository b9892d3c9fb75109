//! HookTemplate: something to do before or after a backup or restore.

use crate::api::shared::{Handler, ParameterDefinition, UsagePolicy};
use k8s_openapi::api::core::v1::{EnvVar, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something to do before or after a backup or restore.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "HookTemplate",
    plural = "hooktemplates",
    singular = "hooktemplate",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    doc = "Something to do before or after a backup or restore.",
    printcolumn(name = "Executor", type_ = "string", json_path = ".spec.executor.type"),
    printcolumn(name = "Timeout", type_ = "string", json_path = ".spec.timeout"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HookTemplateSpec {
    /// Which namespaces may use it; only the own one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_policy: Option<UsagePolicy>,
    /// Inputs it understands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<ParameterDefinition>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Handler>,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<HookExecutor>,
}

string_enum! {
    /// Who executes a hook.
    pub enum ExecutorType {
        /// A Job made from a Function.
        Function,
        /// Pods of the application.
        Pod,
        /// The operator itself.
        Operator,
    }
}

/// Who executes a hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookExecutor {
    /// Function, Pod or Operator.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ExecutorType>,
    /// The Function, for type Function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionExecutor>,
    /// The pods, for type Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodExecutor>,
}

/// A Job made from a Function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunctionExecutor {
    /// Name of the Function.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Where volumes are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// Pods of the application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodExecutor {
    /// Label selector, e.g. `app=web,tier=front`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Only pods of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub owner: Option<OwnerReference>,
    /// ExecuteOnOne (the default) or ExecuteOnAll.
    #[serde(default)]
    pub strategy: ExecutionStrategy,
}

string_enum! {
    /// Which of the selected pods execute a hook.
    #[derive(Default)]
    pub enum ExecutionStrategy {
        /// One that is ready.
        #[default]
        ExecuteOnOne,
        /// Every one.
        ExecuteOnAll,
    }
}
