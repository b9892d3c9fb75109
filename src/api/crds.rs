//! The custom resource definitions to install, made from the Rust types.
//!
//! The derive gives schemas; this module makes them what an API server and its users want: no `nullable` (the published
//! definitions have none, and Go programs never write nulls), no copies of Kubernetes' own documentation (it would make
//! the definitions too large for a client-side `kubectl apply`), and the label by which they are found.

use super::labels::{APP_NAME, APP_NAME_KUBESTASH};
use super::{addons, core, storage};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Every definition, by group and kind as in the API documentation.
///
/// # Errors
/// Only when a definition cannot be written as JSON and read back, which a test excludes.
pub fn all() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    let mut collected = Collected::default();
    collected.add::<core::BackupConfiguration>();
    collected.add::<core::BackupSession>();
    collected.add::<core::BackupBatch>();
    collected.add::<core::BackupBlueprint>();
    collected.add::<core::BackupVerifier>();
    collected.add::<core::BackupVerificationSession>();
    collected.add::<core::RestoreSession>();
    collected.add::<core::HookTemplate>();
    collected.add::<storage::BackupStorage>();
    collected.add::<storage::Repository>();
    collected.add::<storage::RetentionPolicy>();
    collected.add::<storage::Snapshot>();
    collected.add::<addons::Addon>();
    collected.add::<addons::Function>();
    collected.finish()
}

/// The file name of a definition below `manifests/crds`, e.g. `core.kubestash.com_backupsessions.yaml`.
#[must_use]
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

/// Definitions as derived, and the generator that has seen all their types.
struct Collected {
    derived: Vec<CustomResourceDefinition>,
    types: SchemaGenerator,
}

impl Default for Collected {
    fn default() -> Self {
        Self {
            derived: Vec::new(),
            types: SchemaSettings::draft2020_12().into_generator(),
        }
    }
}

impl Collected {
    fn add<K: CustomResourceExt + JsonSchema>(&mut self) {
        self.derived.push(K::crd());
        // Only for its side effect: the generator learns the types in it.
        let _ = self.types.subschema_for::<K>();
    }

    fn finish(self) -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
        let borrowed = borrowed_descriptions(&self.types);
        self.derived
            .into_iter()
            .map(|mut crd| {
                crd.metadata.labels = Some(BTreeMap::from([(
                    APP_NAME.to_owned(),
                    APP_NAME_KUBESTASH.to_owned(),
                )]));
                for version in &mut crd.spec.versions {
                    if let Some(schema) = version.schema.as_mut() {
                        let mut value = serde_json::to_value(&*schema)?;
                        polish(&mut value, &borrowed);
                        *schema = serde_json::from_value(value)?;
                    }
                }
                Ok(crd)
            })
            .collect()
    }
}

/// The descriptions that stand in the schemas of Kubernetes' own types.
fn borrowed_descriptions(types: &SchemaGenerator) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, schema) in types.definitions() {
        if name.starts_with("io.k8s.") {
            collect_descriptions(schema, &mut found);
        }
    }
    found
}

fn collect_descriptions(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get("description") {
                found.insert(text.clone());
            }
            object
                .values()
                .for_each(|inner| collect_descriptions(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect_descriptions(inner, found)),
        _ => {}
    }
}

/// Removes `nullable`, the nulls in enums, and descriptions that are not ours.
fn polish(value: &mut Value, borrowed: &BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            // A property may itself be called `description`; that one is an object, not a text.
            if matches!(object.get("description"), Some(Value::String(text)) if borrowed.contains(text)) {
                object.remove("description");
            }
            // "Absent" is not the same as an empty object with its own defaults.
            if object
                .get("default")
                .is_some_and(|default| *default == serde_json::json!({}))
            {
                object.remove("default");
            }
            if object.get("nullable").is_some_and(Value::is_boolean) {
                object.remove("nullable");
            }
            if let Some(Value::Array(words)) = object.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            object.values_mut().for_each(|inner| polish(inner, borrowed));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| polish(inner, borrowed)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client-side `kubectl apply` keeps the object in an annotation of at most this size.
    const ANNOTATION_LIMIT: usize = 256 * 1024;

    #[test]
    fn every_definition_is_small_enough_for_a_client_side_apply() {
        let definitions = all().unwrap();
        assert_eq!(definitions.len(), 14);
        for crd in definitions {
            let size = serde_json::to_string(&crd).unwrap().len();
            // The annotation must leave room for others.
            assert!(size < ANNOTATION_LIMIT - 16 * 1024, "{}: {size}", file_name(&crd));
        }
    }

    #[test]
    fn every_schema_is_structural() {
        for crd in all().unwrap() {
            for version in &crd.spec.versions {
                let schema = version
                    .schema
                    .as_ref()
                    .and_then(|s| s.open_api_v3_schema.as_ref());
                structural(&serde_json::to_value(schema).unwrap(), &file_name(&crd));
            }
        }
    }

    /// The rules of the API server: every node has a type, and nothing that it refuses or that changes its meaning.
    fn structural(schema: &Value, path: &str) {
        let node = schema
            .as_object()
            .unwrap_or_else(|| panic!("{path} is not a schema: {schema}"));
        assert!(
            node.contains_key("type") || node.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)),
            "{path} has no type"
        );
        for refused in [
            "$ref",
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "nullable",
            "definitions",
            "$defs",
        ] {
            assert!(!node.contains_key(refused), "{path} has {refused}");
        }
        if let Some(format) = node.get("format").and_then(Value::as_str) {
            assert!(
                ["int32", "int64", "double", "date-time", "byte"].contains(&format),
                "{path}: {format}"
            );
        }
        assert!(
            !(node.contains_key("properties") && node.contains_key("additionalProperties")),
            "{path} has both properties and additionalProperties"
        );
        for (name, inner) in node
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            structural(inner, &format!("{path}.{name}"));
        }
        if let Some(inner) = node.get("items") {
            structural(inner, &format!("{path}[]"));
        }
        if let Some(inner) = node.get("additionalProperties") {
            structural(inner, &format!("{path}{{}}"));
        }
    }
}
