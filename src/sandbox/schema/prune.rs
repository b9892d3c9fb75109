//! Removing what a schema does not know, filling in its defaults, and finding out which fields were unknown.

use serde_json::{Map, Value};

use super::{Additional, Schema, Type};

/// Removes unknown fields and answers their paths (`spec.containers[0].imagee`).
pub(crate) fn prune(value: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(value, schema.resolved(), &mut String::new(), &mut unknown);
    unknown
}

fn walk(value: &mut Value, schema: &Schema, path: &mut String, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => walk_map(map, schema, path, unknown),
        Value::Array(items) => {
            let Some(item) = schema.item() else { return };
            let length = path.len();
            for (index, value) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(value, item, path, unknown);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn walk_map(map: &mut Map<String, Value>, schema: &Schema, path: &mut String, unknown: &mut Vec<String>) {
    let open = schema.open() || (schema.kind == Type::Any && schema.properties.is_empty());
    let length = path.len();
    map.retain(|name, value| {
        if length > 0 {
            path.push('.');
        }
        path.push_str(name);
        let keep = match schema.field(name) {
            Some(field) => {
                walk(value, field, path, unknown);
                true
            }
            None if schema.embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") => true,
            None => {
                if !open {
                    unknown.push(path.clone());
                }
                open
            }
        };
        path.truncate(length);
        keep
    });
}

/// Fills in defaults. A `null` where none is allowed gives way to the default, as on a real server.
pub(crate) fn fill_defaults(value: &mut Value, schema: &Schema) {
    let schema = schema.resolved();
    if !schema.has_defaults {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, field) in &schema.properties {
                if let Some(default) = &field.default {
                    let absent = match map.get(&**name) {
                        None => true,
                        Some(Value::Null) => !field.nullable,
                        Some(_) => false,
                    };
                    if absent {
                        map.insert(name.to_string(), (**default).clone());
                    }
                }
                if let Some(value) = map.get_mut(&**name) {
                    fill_defaults(value, field);
                }
            }
            if let Additional::Schema(other) = &schema.additional {
                for (name, value) in map.iter_mut().filter(|(n, _)| !schema.declares(n)) {
                    let _ = name;
                    fill_defaults(value, other);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = &schema.items {
                items.iter_mut().for_each(|value| fill_defaults(value, item));
            }
        }
        _ => {}
    }
}

/// Removes fields that are `null` where their schema allows none and has no default: a custom resource loses them
/// before it is defaulted and validated.
pub(crate) fn drop_forbidden_nulls(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => map.retain(|name, value| {
            let Some(field) = schema.field(name) else {
                return true;
            };
            if value.is_null() {
                return field.nullable || field.default.is_some();
            }
            drop_forbidden_nulls(value, field);
            true
        }),
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                items
                    .iter_mut()
                    .for_each(|value| drop_forbidden_nulls(value, item));
            }
        }
        _ => {}
    }
}

/// Removes fields that are `null`: a Kubernetes type treats them as absent.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
