//! Every object of the published documentation is read strictly and comes back unchanged.

use super::documents::{Document, documents};
use super::schema::{child, is_free, ours, root, type_of};
use jiff::Timestamp;
use kube::core::cel::Validator;
use kubestash::api::shared::Duration;
use kubestash::api::{addons, core, storage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

#[test]
fn every_published_object_is_read_strictly() {
    let Some(documents) = documents("every_published_object_is_read_strictly") else {
        return;
    };
    let ours = ours();
    let validator = Validator::new();
    for document in &documents {
        let schema = root(&ours[document.kind()]);
        let mut problems = Vec::new();
        for (key, value) in document.value.as_object().unwrap() {
            match key.as_str() {
                "apiVersion" | "kind" | "metadata" => {}
                _ => check(value, child(schema, key), key, &mut problems),
            }
        }
        if let Err(errors) = validator.validate(schema, &document.value, None) {
            problems.push(errors.to_string());
        }
        assert!(problems.is_empty(), "{}: {problems:#?}", document.origin);
    }
}

#[test]
fn every_published_object_survives_a_round_trip() {
    let Some(documents) = documents("every_published_object_survives_a_round_trip") else {
        return;
    };
    let ours = ours();
    for document in &documents {
        let written = round_trip(document);
        let schema = root(&ours[document.kind()]);
        let mut changes = Vec::new();
        for part in ["spec", "status"] {
            let before = document.value.get(part);
            same(
                before,
                written.get(part),
                &schema["properties"][part],
                part,
                &mut changes,
            );
        }
        for part in ["apiVersion", "kind", "metadata"] {
            if document.value[part] != written[part] {
                changes.push(format!(
                    "{part}: {} became {}",
                    document.value[part], written[part]
                ));
            }
        }
        assert!(changes.is_empty(), "{}: {changes:#?}", document.origin);
    }
}

/// Reads the object into its type and writes it again.
fn round_trip(document: &Document) -> Value {
    fn through<T: DeserializeOwned + Serialize>(document: &Document) -> Value {
        let object: T = serde_json::from_value(document.value.clone())
            .unwrap_or_else(|error| panic!("{}: {error}", document.origin));
        serde_json::to_value(object).unwrap()
    }
    match document.kind() {
        "BackupConfiguration" => through::<core::BackupConfiguration>(document),
        "BackupSession" => through::<core::BackupSession>(document),
        "BackupBatch" => through::<core::BackupBatch>(document),
        "BackupBlueprint" => through::<core::BackupBlueprint>(document),
        "BackupVerifier" => through::<core::BackupVerifier>(document),
        "BackupVerificationSession" => through::<core::BackupVerificationSession>(document),
        "RestoreSession" => through::<core::RestoreSession>(document),
        "HookTemplate" => through::<core::HookTemplate>(document),
        "BackupStorage" => through::<storage::BackupStorage>(document),
        "Repository" => through::<storage::Repository>(document),
        "RetentionPolicy" => through::<storage::RetentionPolicy>(document),
        "Snapshot" => through::<storage::Snapshot>(document),
        "Addon" => through::<addons::Addon>(document),
        "Function" => through::<addons::Function>(document),
        other => panic!("{}: nobody knows {other}", document.origin),
    }
}

/// Notes what a strict API server would object to: unknown fields, wrong types, missing fields, unknown words.
fn check(value: &Value, schema: Option<&Value>, path: &str, problems: &mut Vec<String>) {
    let Some(schema) = schema else {
        problems.push(format!("{path} is unknown"));
        return;
    };
    let fits = match type_of(schema) {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "int-or-string" => value.is_i64() || value.is_string(),
        _ => true,
    };
    // An absent object may be written as null: the API server drops it.
    if !fits && !value.is_null() {
        problems.push(format!("{path} is not of type {}: {value}", type_of(schema)));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        problems.push(format!("{path} is none of {words:?}: {value}"));
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                problems.push(format!("{path}.{name} is missing"));
            }
        }
        for (key, inner) in object.iter().filter(|_| !is_free(schema)) {
            let below = child(schema, key).or_else(|| child(schema, "{}"));
            check(inner, below, &format!("{path}.{key}"), problems);
        }
    }
    for (number, inner) in value.as_array().into_iter().flatten().enumerate() {
        check(inner, child(schema, "[]"), &format!("{path}[{number}]"), problems);
    }
}

/// Notes what changed between reading and writing, beyond what means the same.
fn same(
    before: Option<&Value>,
    after: Option<&Value>,
    schema: &Value,
    path: &str,
    changes: &mut Vec<String>,
) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            same_objects(before, after, schema, path, changes);
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (number, (before, after)) in before.iter().zip(after).enumerate() {
                let path = format!("{path}[{number}]");
                same(Some(before), Some(after), &schema["items"], &path, changes);
            }
        }
        (Some(before), Some(after)) if equal(before, after, schema) => {}
        // Left out because absence means the same.
        (Some(before), None) if is_zero(before) && schema["default"].is_null() => {}
        // Filled in as the API server would.
        (None, Some(after)) if *after == schema["default"] => {}
        (None, None) => {}
        _ => changes.push(format!("{path}: {before:?} became {after:?}")),
    }
}

fn same_objects(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    schema: &Value,
    path: &str,
    changes: &mut Vec<String>,
) {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let below = child(schema, key)
            .or_else(|| child(schema, "{}"))
            .unwrap_or(&Value::Null);
        same(
            before.get(key),
            after.get(key),
            below,
            &format!("{path}.{key}"),
            changes,
        );
    }
}

/// Whether both say the same: durations and times may be spelled in several ways.
fn equal(before: &Value, after: &Value, schema: &Value) -> bool {
    if before == after {
        return true;
    }
    let (Some(before), Some(after)) = (before.as_str(), after.as_str()) else {
        return type_of(schema) == "int-or-string" && text(before) == text(after);
    };
    let durations = || {
        before
            .parse::<Duration>()
            .ok()
            .zip(after.parse::<Duration>().ok())
    };
    let times = || {
        before
            .parse::<Timestamp>()
            .ok()
            .zip(after.parse::<Timestamp>().ok())
    };
    (schema["pattern"].is_string() && durations().is_some_and(|(before, after)| before == after))
        || (schema["format"] == "date-time" && times().is_some_and(|(before, after)| before == after))
}

/// A number or a text as text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}
