//! RetentionPolicy: which Snapshots to keep.

use crate::api::shared::{UsagePolicy, is_false};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which Snapshots to keep.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "storage.kubestash.com",
    version = "v1alpha1",
    kind = "RetentionPolicy",
    plural = "retentionpolicies",
    singular = "retentionpolicy",
    category = "kubestash",
    category = "appscode",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    doc = "Which Snapshots to keep.",
    printcolumn(
        name = "Max-Retention-Period",
        type_ = "string",
        json_path = ".spec.maxRetentionPeriod"
    ),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicySpec {
    /// Snapshots older than this go, e.g. `1mo2w` (units y, mo, w, d, h, m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retention_period: Option<String>,
    /// Which namespaces may use the policy; only the own one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_policy: Option<UsagePolicy>,
    /// How many Snapshots that succeeded are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successful_snapshots: Option<SuccessfulSnapshots>,
    /// How many Snapshots that failed are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_snapshots: Option<FailedSnapshots>,
    /// Whether backends that name no policy use this one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub default: bool,
}

/// How many Snapshots that succeeded are kept: the union of all the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuccessfulSnapshots {
    /// The newest n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub last: Option<i32>,
    /// The newest of each of the newest n hours that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub hourly: Option<i32>,
    /// The newest of each of the newest n days that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub daily: Option<i32>,
    /// The newest of each of the newest n weeks that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub weekly: Option<i32>,
    /// The newest of each of the newest n months that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub monthly: Option<i32>,
    /// The newest of each of the newest n years that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub yearly: Option<i32>,
}

/// How many Snapshots that failed are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedSnapshots {
    /// The newest n; 1 by default.
    #[serde(default = "crate::api::shared::one")]
    #[schemars(extend("minimum" = 0))]
    pub last: i32,
}

impl Default for FailedSnapshots {
    fn default() -> Self {
        Self {
            last: crate::api::shared::one(),
        }
    }
}
