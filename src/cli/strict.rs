//! The schema of our kinds, checked without a cluster: unknown fields, wrong types, missing fields, enums, limits,
//! patterns and the CEL rules of the definitions, each with the path of the field.

use kube::core::cel::{Validator, compile_schema};
use regex::Regex;
use serde_json::{Map, Value};

use crate::cli::names::nearest;

/// Something that the schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer of the field.
    pub pointer: String,
    /// What is wrong, in one line.
    pub message: String,
}

/// Checks an object against the `openAPIV3Schema` of its definition. `metadata` is left to the API server, but for what
/// everybody gets wrong: it must be there and hold a name.
pub fn check(object: &Value, schema: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    node(object, schema, "", &mut found);
    name(object, &mut found);
    if found.is_empty() {
        // CEL is written for objects of the right shape.
        rules(object, schema, &mut found);
    }
    found
}

fn push(found: &mut Vec<Violation>, pointer: &str, message: impl Into<String>) {
    found.push(Violation {
        pointer: pointer.to_owned(),
        message: message.into(),
    });
}

fn name(object: &Value, found: &mut Vec<Violation>) {
    let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let name = field("/metadata/name");
    if name.is_empty() && field("/metadata/generateName").is_empty() {
        push(found, "/metadata", "metadata.name is missing");
        return;
    }
    let fits = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if !name.is_empty() && (name.len() > 253 || !name.split('.').all(fits)) {
        push(
            found,
            "/metadata/name",
            format!(
                "{name:?} is no name: lower case letters, digits, '-' and '.' are allowed, and letters or digits at both ends"
            ),
        );
    }
}

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn node(value: &Value, schema: &Value, pointer: &str, found: &mut Vec<Violation>) {
    if value.is_null() {
        // As the API server does for fields that are not nullable: a null is dropped.
        return;
    }
    if flag(schema, "x-kubernetes-int-or-string") {
        if !value.is_string() && !value.is_number() {
            push(
                found,
                pointer,
                format!("a number or text is wanted, this is {}", described(value)),
            );
        }
        return;
    }
    if let Some(kind) = schema.get("type").and_then(Value::as_str)
        && !is_a(value, kind)
    {
        push(
            found,
            pointer,
            format!("{} is wanted, this is {}", article(kind), described(value)),
        );
        return;
    }
    limits(value, schema, pointer, found);
    match value {
        Value::Object(map) => fields(map, schema, pointer, found),
        Value::Array(items) => {
            if let Some(item) = schema.get("items") {
                for (index, value) in items.iter().enumerate() {
                    node(value, item, &format!("{pointer}/{index}"), found);
                }
            }
        }
        _ => {}
    }
}

fn fields(map: &Map<String, Value>, schema: &Value, pointer: &str, found: &mut Vec<Violation>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for required in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if map.get(required).is_none_or(Value::is_null) {
            push(found, pointer, format!("{required} is missing"));
        }
    }
    let open = flag(schema, "x-kubernetes-preserve-unknown-fields")
        || (properties.is_none() && schema.get("additionalProperties").is_none());
    for (key, value) in map {
        let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        if let Some(known) = properties.and_then(|p| p.get(key)) {
            node(value, known, &below, found);
        } else if pointer.is_empty() && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
        } else if let Some(other) = schema.get("additionalProperties") {
            if other.is_object() {
                node(value, other, &below, found);
            }
        } else if !open && !pointer.starts_with("/metadata") {
            let hint = properties
                .and_then(|p| nearest(key, p.keys()))
                .map(|n| format!("; did you mean {n}?"))
                .unwrap_or_default();
            push(found, &below, format!("unknown field {key}{hint}"));
        }
    }
}

fn limits(value: &Value, schema: &Value, pointer: &str, found: &mut Vec<Violation>) {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let words: Vec<String> = allowed.iter().map(crate::output::jsonpath::text).collect();
        push(
            found,
            pointer,
            format!(
                "{} is not one of {}",
                crate::output::jsonpath::text(value),
                words.join(", ")
            ),
        );
    }
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(actual) = value.as_f64() {
        if number("minimum").is_some_and(|least| actual < least) {
            push(
                found,
                pointer,
                format!("{value} is less than {}", schema["minimum"]),
            );
        }
        if number("maximum").is_some_and(|most| actual > most) {
            push(
                found,
                pointer,
                format!("{value} is more than {}", schema["maximum"]),
            );
        }
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "minLength", "maxLength", "characters")),
        Value::Array(items) => Some((items.len(), "minItems", "maxItems", "items")),
        Value::Object(map) => Some((map.len(), "minProperties", "maxProperties", "fields")),
        _ => None,
    };
    if let Some((size, least, most, what)) = size {
        let bound = |key: &str| {
            schema
                .get(key)
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok())
        };
        if let Some(least) = bound(least).filter(|least| size < *least) {
            push(
                found,
                pointer,
                format!("at least {least} {what} are wanted, there are {size}"),
            );
        }
        if let Some(most) = bound(most).filter(|most| size > *most) {
            push(
                found,
                pointer,
                format!("at most {most} {what} are allowed, there are {size}"),
            );
        }
    }
    if let (Some(text), Some(pattern)) = (value.as_str(), schema.get("pattern").and_then(Value::as_str))
        && Regex::new(pattern).is_ok_and(|r| !r.is_match(text))
    {
        push(found, pointer, format!("{text:?} does not match {pattern}"));
    }
}

fn rules(object: &Value, schema: &Value, found: &mut Vec<Violation>) {
    let compiled = compile_schema(schema);
    if let Err(errors) = Validator::new().validate_compiled(&compiled, object, None) {
        for error in errors.into_vec() {
            if !error.message.is_empty() {
                push(found, &pointer(&error.field_path), error.message.clone());
            }
        }
    }
}

/// A path such as `spec.sessions[0].name` as a JSON pointer.
pub fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    for part in path.split(['.', '[']).filter(|p| !p.is_empty()) {
        pointer.push('/');
        pointer.push_str(part.trim_end_matches(']'));
    }
    pointer
}

/// A JSON pointer as people write paths: `spec.sessions[0].name`.
pub fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').filter(|p| !p.is_empty()) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part);
        }
    }
    path
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        _ => true,
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "object" => "a mapping",
        "array" => "a list",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "text",
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Object(_) => "a mapping".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("the text {text:?}"),
        Value::Bool(_) => format!("{value} (quote it to mean text)"),
        Value::Number(_) => format!("the number {value}"),
        Value::Null => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(object: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "minLength": 1},
                "count": {"type": "integer", "minimum": 1},
                "mode": {"type": "string", "enum": ["A", "B"]},
                "port": {"x-kubernetes-int-or-string": true},
                "list": {"type": "array", "items": {"type": "object", "properties": {"key": {"type": "string"}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }, "x-kubernetes-validations": [{"rule": "!has(self.count) || self.count < 10", "message": "count must be below 10"}]},
        }});
        check(object, &schema)
            .into_iter()
            .map(|v| format!("{}: {}", path(&v.pointer), v.message))
            .collect()
    }

    fn object(spec: &Value) -> Value {
        json!({"apiVersion": "x/v1", "kind": "K", "metadata": {"name": "a", "whatever": 1}, "spec": spec})
    }

    #[test]
    fn what_fits_passes() {
        let spec = json!({"name": "n", "count": 2, "mode": "A", "port": "http", "list": [{"key": "k"}], "labels": {"a/b": "c"}, "free": {"x": [1]}});
        assert_eq!(messages(&object(&spec)), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_named_with_its_path() {
        let spec = json!({"nme": "x", "count": 0, "mode": "C", "port": [], "list": [{"kee": 1}], "labels": {"a": true}});
        assert_eq!(
            messages(&object(&spec)),
            [
                "spec: name is missing",
                "spec.count: 0 is less than 1",
                "spec.labels.a: text is wanted, this is true (quote it to mean text)",
                "spec.list[0].kee: unknown field kee; did you mean key?",
                "spec.mode: C is not one of A, B",
                "spec.nme: unknown field nme; did you mean name?",
                "spec.port: a number or text is wanted, this is a list",
            ]
        );
        assert_eq!(
            messages(&object(&json!({"name": "n", "count": 11}))),
            ["spec: count must be below 10"]
        );
        assert_eq!(
            messages(&json!({"metadata": {"name": "A_b"}}))[0]
                .split(':')
                .next(),
            Some("metadata.name")
        );
        assert_eq!(messages(&json!({})), ["metadata: metadata.name is missing"]);
    }

    #[test]
    fn paths_and_pointers_are_two_spellings() {
        assert_eq!(pointer("spec.sessions[0].name"), "/spec/sessions/0/name");
        assert_eq!(path("/spec/sessions/0/name"), "spec.sessions[0].name");
    }
}
