//! JSON objects whose keys the API does not know.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Any JSON object, e.g. the parameters of a task.
pub type FreeObject = serde_json::Map<String, serde_json::Value>;

/// The schema of a [`FreeObject`]: an object whose content the API server keeps.
pub(crate) fn preserve_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
