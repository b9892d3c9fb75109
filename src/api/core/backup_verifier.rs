//! BackupVerifier: how to test Snapshots.

use crate::api::shared::{
    AddonInfo, FreeObject, RetryConfig, RuntimeSettings, Scheduler, TypedObjectReference, one,
    preserve_object,
};
use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to test Snapshots.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupVerifier",
    plural = "backupverifier",
    singular = "backupverifier",
    category = "kubestash",
    category = "appscode",
    category = "all",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    doc = "How to test Snapshots.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "!has(self.type) || self.type != 'Query' || (has(self.query) && has(self.__function__) && self.__function__ != '')", "message": "query and function are needed for type Query" }, { "rule": "!has(self.type) || self.type != 'Script' || (has(self.script) && has(self.script.location) && self.script.location != '' && has(self.__function__) && self.__function__ != '')", "message": "script.location and function are needed for type Script" }]))]
pub struct BackupVerifierSpec {
    /// How to restore a Snapshot for the test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_option: Option<RestoreOption>,
    /// When tests run by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// The Function that does the test after the restore.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// Volumes for the test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Where they are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// RestoreOnly, Query or Script.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<VerificationType>,
    /// What to ask the restored database, and what it must answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "preserve_object")]
    pub query: Option<FreeObject>,
    /// The script to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<VerifierScript>,
    /// How often a failed test is tried again; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_config: Option<RetryConfig>,
    /// How many finished sessions of each outcome are kept; 1 by default.
    #[serde(default = "one")]
    #[schemars(extend("minimum" = 0))]
    pub session_history_limit: i32,
    /// Settings for the test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_settings: Option<RuntimeSettings>,
}

impl Default for BackupVerifierSpec {
    fn default() -> Self {
        Self {
            restore_option: None,
            scheduler: None,
            function: String::new(),
            volumes: Vec::new(),
            volume_mounts: Vec::new(),
            type_: None,
            query: None,
            script: None,
            retry_config: None,
            session_history_limit: one(),
            runtime_settings: None,
        }
    }
}

string_enum! {
    /// What a test consists of.
    pub enum VerificationType {
        /// The restore.
        RestoreOnly,
        /// The restore, and questions to the database.
        Query,
        /// The restore, and a script.
        Script,
    }
}

/// How to restore a Snapshot for a test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreOption {
    /// What to restore into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TypedObjectReference>,
    /// What does the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon_info: Option<AddonInfo>,
}

/// A script that proves a restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifierScript {
    /// Where it is, in one of the volumes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}
