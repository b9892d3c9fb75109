//! System metadata: what only the server sets, and what it takes from the object that was there before.

use serde_json::{Value, json};

use super::Call;
use crate::sandbox::kinds::{Resource, Source};
use crate::sandbox::object;
use crate::sandbox::status::{ApiError, ApiResult};

/// Fields of metadata that clients cannot change.
const SYSTEM: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];

/// Whether the kind counts changes of its spec.
pub(super) fn has_generation(resource: &Resource) -> bool {
    match resource.source {
        Source::Custom(_) => true,
        Source::Builtin(_) => {
            resource.kind == "Pod"
                || matches!(
                    resource.group.as_str(),
                    "apps"
                        | "batch"
                        | "networking.k8s.io"
                        | "policy"
                        | "admissionregistration.k8s.io"
                        | "apiextensions.k8s.io"
                )
        }
    }
}

/// Gives a new object its name, namespace, uid and time of birth.
pub(super) fn born(call: &mut Call<'_>, object: &mut Value) -> ApiResult<()> {
    place(call, object)?;
    let resource = call.resource.clone();
    let metadata = object::metadata(object);
    for field in SYSTEM.iter().chain(&["resourceVersion"]) {
        metadata.remove(*field);
    }
    let name = metadata
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let prefix = metadata
        .get("generateName")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if name.is_empty() && !prefix.is_empty() {
        let kept: String = prefix.chars().take(58).collect();
        metadata.insert("name".into(), json!(format!("{kept}{}", object::random_suffix())));
    }
    metadata.insert("uid".into(), json!(object::new_uid()));
    metadata.insert("creationTimestamp".into(), json!(object::now()));
    if has_generation(&resource) {
        metadata.insert("generation".into(), json!(1));
    }
    call.name = object::name(object).to_owned();
    Ok(())
}

/// Checks that body and path speak of the same object.
pub(super) fn place(call: &Call<'_>, object: &mut Value) -> ApiResult<()> {
    let metadata = object::metadata(object);
    if call.resource.namespaced {
        let given = metadata
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !given.is_empty() && given != call.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata.insert("namespace".into(), json!(call.namespace));
    } else {
        metadata.remove("namespace");
    }
    if !call.name.is_empty() {
        match metadata.get("name").and_then(Value::as_str) {
            None | Some("") => {
                metadata.insert("name".into(), json!(call.name));
            }
            Some(name) if name != call.name => {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({name}) does not match the name on the URL ({})",
                    call.name
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Carries over what an update cannot change.
pub(super) fn keep_system(object: &mut Value, old: &Value) {
    let metadata = object::metadata(object);
    for field in SYSTEM {
        match old["metadata"].get(*field) {
            Some(value) => metadata.insert((*field).to_owned(), value.clone()),
            None => metadata.remove(*field),
        };
    }
}

/// Everything but metadata and status: what a change of generation is about.
pub(super) fn spec_differs(resource: &Resource, new: &Value, old: &Value) -> bool {
    let counts = |field: &str| match field {
        "metadata" | "apiVersion" | "kind" => false,
        "status" => !resource.status,
        _ => true,
    };
    let part = |object: &Value| {
        object
            .as_object()
            .map_or(0, |m| m.keys().filter(|k| counts(k)).count())
    };
    let same = |name: &String, value: &Value| old.get(name) == Some(value);
    let fields = new
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| counts(name));
    part(new) != part(old) || fields.into_iter().any(|(name, value)| !same(name, value))
}

/// Adds one to the generation.
pub(super) fn next_generation(object: &mut Value) {
    let metadata = object::metadata(object);
    let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or(0);
    metadata.insert("generation".into(), json!(generation + 1));
}
