//! Which namespaces may use an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

string_enum! {
    /// Where the users of an object may live.
    #[derive(Default)]
    pub enum NamespaceSource {
        /// Any namespace.
        All,
        /// Namespaces whose labels match the selector.
        Selector,
        /// Only the object's own namespace.
        #[default]
        Same,
    }
}

/// Which namespaces may use the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsagePolicy {
    /// The namespaces that may refer to the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// The namespaces that may refer to an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// All, Selector, or Same (the default).
    #[serde(default)]
    pub from: NamespaceSource,
    /// Matched against the labels of a namespace when `from` is Selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: Option<LabelSelector>,
}
