//! Reading schemas: what the other tests here have in common.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Our definitions as JSON, by kind.
pub(crate) fn ours() -> &'static BTreeMap<String, Value> {
    // Made once: without optimisation it takes seconds.
    static OURS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        definitions()
            .iter()
            .map(|crd| (crd.spec.names.kind.clone(), serde_json::to_value(crd).unwrap()))
            .collect()
    });
    &OURS
}

/// Our definitions.
pub(crate) fn definitions() -> &'static [CustomResourceDefinition] {
    static DEFINITIONS: LazyLock<Vec<CustomResourceDefinition>> =
        LazyLock::new(|| kubestash::api::crds::all().unwrap());
    &DEFINITIONS
}

/// The schema of a definition's only version.
pub(crate) fn root(crd: &Value) -> &Value {
    let versions = crd["spec"]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1, "{}", crd["metadata"]["name"]);
    &versions[0]["schema"]["openAPIV3Schema"]
}

/// The type of a node in words that can be compared.
pub(crate) fn type_of(schema: &Value) -> &str {
    if schema["x-kubernetes-int-or-string"] == true {
        return "int-or-string";
    }
    schema["type"].as_str().unwrap_or("any")
}

/// Whether the node takes keys that it does not list.
pub(crate) fn is_free(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// The nodes below this one: properties as `.name`, the items of a list as `[]`, the values of a map as `{}`.
pub(crate) fn children(schema: &Value) -> Vec<(String, &Value)> {
    let mut found: Vec<(String, &Value)> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, inner)| (format!(".{name}"), inner))
        .collect();
    if schema["items"].is_object() {
        found.push(("[]".to_owned(), &schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        found.push(("{}".to_owned(), &schema["additionalProperties"]));
    }
    found
}

/// The node below this one, addressed as [`children`] does.
pub(crate) fn child<'a>(schema: &'a Value, step: &str) -> Option<&'a Value> {
    let inner = match step {
        "[]" => &schema["items"],
        "{}" => &schema["additionalProperties"],
        name => &schema["properties"][name.trim_start_matches('.')],
    };
    inner.is_object().then_some(inner)
}
