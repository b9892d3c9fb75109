//! What `install` applies: the definitions of the kinds, and the files of `manifests/operator` and `manifests/catalog`
//! that are part of this program. The namespace and the image are the user's.

use serde_json::{Value, json};

use crate::cluster::Kind;
use crate::yaml;

/// The namespace that the files name.
pub const NAMESPACE: &str = "kubestash";

/// The operator's files, in the order in which they are applied: an object comes after those it needs.
const OPERATOR: &[&str] = &[
    include_str!("../../manifests/operator/namespace.yaml"),
    include_str!("../../manifests/operator/service-account.yaml"),
    include_str!("../../manifests/operator/job-roles.yaml"),
    include_str!("../../manifests/operator/user-roles.yaml"),
    include_str!("../../manifests/operator/operator-role.yaml"),
    include_str!("../../manifests/operator/services.yaml"),
    include_str!("../../manifests/operator/webhooks.yaml"),
    include_str!("../../manifests/operator/deployment.yaml"),
];

/// The definitions, generated from the types (which a test proves).
const DEFINITIONS: &[&str] = &[
    include_str!("../../manifests/crds/addons.kubestash.com_addons.yaml"),
    include_str!("../../manifests/crds/addons.kubestash.com_functions.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_backupbatches.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_backupblueprints.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_backupconfigurations.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_backupsessions.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_backupverificationsession.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_backupverifier.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_hooktemplates.yaml"),
    include_str!("../../manifests/crds/core.kubestash.com_restoresessions.yaml"),
    include_str!("../../manifests/crds/storage.kubestash.com_backupstorages.yaml"),
    include_str!("../../manifests/crds/storage.kubestash.com_repositories.yaml"),
    include_str!("../../manifests/crds/storage.kubestash.com_retentionpolicies.yaml"),
    include_str!("../../manifests/crds/storage.kubestash.com_snapshots.yaml"),
];

/// The Addons and Functions.
const CATALOG: &[&str] = &[
    include_str!("../../manifests/catalog/workload.yaml"),
    include_str!("../../manifests/catalog/pvc.yaml"),
];

/// Everything there is to apply, in three steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifests {
    /// The definitions; they must be served before anything of their kinds can be stored.
    pub definitions: Vec<Value>,
    /// The catalog: cluster-scoped, and without webhooks, so that it does not wait for the operator.
    pub catalog: Vec<Value>,
    /// The operator and what belongs to it.
    pub operator: Vec<Value>,
}

impl Manifests {
    /// The manifests for a namespace and an image.
    ///
    /// # Errors
    /// When a file of this program is not YAML, which a test rules out.
    pub fn new(namespace: &str, image: &str) -> Result<Self, yaml::Error> {
        let read = |files: &[&str]| -> Result<Vec<Value>, yaml::Error> {
            let mut objects = Vec::new();
            for file in files {
                objects.extend(yaml::values(file)?);
            }
            for object in &mut objects {
                place(object, namespace);
                name_image(object, image);
            }
            Ok(objects)
        };
        Ok(Manifests {
            definitions: read(DEFINITIONS)?,
            catalog: read(CATALOG)?,
            operator: read(OPERATOR)?,
        })
    }

    /// All objects in the order in which they are applied.
    pub fn all(&self) -> Vec<Value> {
        [&self.definitions[..], &self.catalog, &self.operator].concat()
    }
}

/// The schema of a kind of ours, from its definition.
///
/// # Errors
/// When there is no definition of the kind, or it is not YAML, which a test rules out.
pub fn schema(kind: &Kind) -> Result<Value, yaml::Error> {
    let name = format!("{}.{}", kind.plural, kind.group);
    let line = format!("\n  name: {name}\n");
    let file = DEFINITIONS
        .iter()
        .find(|file| file.contains(&line))
        .ok_or_else(|| yaml::Error::Shape(format!("there is no definition {name}")))?;
    let mut definition: Value = yaml::from_str(file)?;
    let schema = definition
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema")
        .map(Value::take);
    schema.ok_or_else(|| yaml::Error::Shape(format!("definition {name} has no schema")))
}

/// Moves an object into the namespace, with everything in it that names the namespace.
fn place(object: &mut Value, namespace: &str) {
    if object["kind"] == "Namespace" {
        object["metadata"]["name"] = json!(namespace);
    }
    if object.pointer("/metadata/namespace").is_some() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    for list in ["subjects", "webhooks"] {
        for item in object
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            for pointer in ["/namespace", "/clientConfig/service/namespace"] {
                if let Some(place) = item.pointer_mut(pointer) {
                    *place = json!(namespace);
                }
            }
        }
    }
}

/// Puts the image wherever this program's own image stands: containers, environment, Functions.
fn name_image(value: &mut Value, image: &str) {
    match value {
        Value::String(text) if text == crate::IMAGE => image.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| name_image(item, image)),
        Value::Object(map) => map.values_mut().for_each(|item| name_image(item, image)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::addons::{Addon, Function};
    use crate::cluster::kinds;

    fn manifests() -> Manifests {
        Manifests::new("elsewhere", "registry.example/image:tag").unwrap()
    }

    fn text(value: &Value, pointer: &str) -> String {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    }

    #[test]
    fn the_namespace_and_the_image_are_the_users_everywhere() {
        for object in manifests().all() {
            if object["kind"] == "CustomResourceDefinition" {
                continue;
            }
            let shown = object.to_string();
            assert!(!shown.contains("ghcr.io"), "{shown}");
            assert!(!shown.contains("\"namespace\":\"kubestash\""), "{shown}");
        }
    }

    #[test]
    fn every_kind_of_ours_has_a_schema() {
        for kind in kinds::ALL.iter().filter(|k| k.group.ends_with(".kubestash.com")) {
            assert!(
                schema(kind).unwrap()["properties"]["spec"].is_object(),
                "{}",
                kind.kind
            );
        }
    }

    #[test]
    fn every_kind_is_known_and_every_name_is_there_once() {
        let mut seen = BTreeSet::new();
        for object in manifests().all() {
            let (version, kind) = (text(&object, "/apiVersion"), text(&object, "/kind"));
            let known = kinds::of(&version, &kind).unwrap_or_else(|| panic!("{version} {kind}"));
            let namespace = text(&object, "/metadata/namespace");
            assert_eq!(known.namespaced, !namespace.is_empty(), "{object}");
            assert!(seen.insert((kind, text(&object, "/metadata/name"))), "{object}");
        }
    }

    #[test]
    fn the_catalog_is_typed_and_every_task_has_its_function() {
        let (mut functions, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        for object in manifests().catalog {
            if object["kind"] == "Function" {
                let function: Function = serde_json::from_value(object.clone()).unwrap();
                assert_eq!(serde_json::to_value(&function).unwrap(), object);
                functions.insert(text(&object, "/metadata/name"));
            } else {
                let addon: Addon = serde_json::from_value(object.clone()).unwrap();
                assert_eq!(serde_json::to_value(&addon).unwrap(), object);
                wanted.extend(addon.spec.backup_tasks.iter().map(|t| t.function.clone()));
                wanted.extend(addon.spec.restore_tasks.iter().map(|t| t.function.clone()));
            }
        }
        assert_eq!(functions, wanted);
    }

    #[test]
    fn roles_that_can_be_given_away_exist_and_grant_no_secret() {
        let objects = manifests().operator;
        let role = |name: &str| {
            objects
                .iter()
                .find(|o| o["kind"] == "ClusterRole" && text(o, "/metadata/name") == name)
        };
        let operator = role("kubestash-operator").unwrap();
        let given: Vec<Value> = operator["rules"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["verbs"] == json!(["bind"]))
            .flat_map(|r| r["resourceNames"].as_array().unwrap().clone())
            .collect();
        assert_eq!(given.len(), 7);
        for name in given {
            let job = role(name.as_str().unwrap()).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(!job.to_string().contains("secrets"), "{name}");
        }
        assert!(
            !operator.to_string().contains('*'),
            "nothing is granted by wildcard"
        );
    }

    #[test]
    fn webhooks_are_called_under_the_paths_of_their_rules() {
        let mut count = 0;
        for configuration in manifests()
            .operator
            .iter()
            .filter(|o| o.get("webhooks").is_some())
        {
            let verb = if configuration["kind"] == "MutatingWebhookConfiguration" {
                "mutate"
            } else {
                "validate"
            };
            for webhook in configuration["webhooks"].as_array().unwrap() {
                let group = text(webhook, "/rules/0/apiGroups/0").replace('.', "-");
                let kind = text(webhook, "/name")[1..].trim_end_matches(".kb.io").to_owned();
                assert_eq!(
                    text(webhook, "/clientConfig/service/path"),
                    format!("/{verb}-{group}-v1alpha1-{kind}")
                );
                assert_eq!(
                    (
                        webhook["failurePolicy"].as_str(),
                        webhook["timeoutSeconds"].as_i64()
                    ),
                    (Some("Fail"), Some(10))
                );
                count += 1;
            }
        }
        assert_eq!(count, 15);
    }
}
