//! Holds outputs to the published schemas. A small validator for what our schemas are made of, stricter than the
//! standard: a field that a schema does not name is an error (unless it says `additionalProperties`), and so is a
//! keyword that this validator does not know.

use serde_json::Value;

use super::world::World;

impl World {
    /// Fails unless every document in the text (JSON, one after the other) is what the command's schema promises.
    #[track_caller]
    pub(crate) fn valid(&self, command: &str, text: &str) -> Vec<Value> {
        valid(command, text)
    }
}

/// As [`World::valid`].
#[track_caller]
pub(crate) fn valid(command: &str, text: &str) -> Vec<Value> {
    let path = format!(
        "{}/docs/reference/schemas/{command}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let documents: Vec<Value> = serde_json::Deserializer::from_str(text)
        .into_iter()
        .map(|d| d.unwrap_or_else(|e| panic!("not JSON: {e}\n{text}")))
        .collect();
    assert!(!documents.is_empty(), "nothing was printed");
    for document in &documents {
        let mut wrong = Vec::new();
        check(&schema, &schema, document, "$", &mut wrong);
        assert!(
            wrong.is_empty(),
            "{command}: {wrong:#?}\nin {}",
            serde_json::to_string_pretty(document).unwrap()
        );
    }
    documents
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let Some(schema) = schema.as_object() else {
        if schema == &Value::Bool(false) {
            wrong.push(format!("{at}: nothing is allowed here"));
        }
        return;
    };
    for (keyword, wanted) in schema {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" | "default" | "examples" | "minimum"
            | "maximum" => {}
            "properties" | "required" | "additionalProperties" => {}
            "$ref" => {
                let pointer = wanted.as_str().unwrap().trim_start_matches('#');
                let target = root.pointer(pointer).unwrap_or_else(|| panic!("no {wanted}"));
                check(root, target, value, at, wrong);
            }
            "const" if value != wanted => wrong.push(format!("{at}: {value} is not {wanted}")),
            "enum" if !wanted.as_array().unwrap().contains(value) => {
                wrong.push(format!("{at}: {value} is none of {wanted}"));
            }
            "const" | "enum" => {}
            "type" if !has_type(wanted, value) => wrong.push(format!("{at}: {value} is no {wanted}")),
            "type" => {}
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, wanted, item, &format!("{at}[{index}]"), wrong);
                }
            }
            "anyOf" | "oneOf" => {
                let attempts: Vec<Vec<String>> = wanted
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| {
                        let mut wrong = Vec::new();
                        check(root, one, value, at, &mut wrong);
                        wrong
                    })
                    .collect();
                let fitting = attempts.iter().filter(|a| a.is_empty()).count();
                if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                    wrong.push(format!("{at}: {fitting} alternatives fit: {attempts:?}"));
                }
            }
            "allOf" => {
                for one in wanted.as_array().unwrap() {
                    check(root, one, value, at, wrong);
                }
            }
            other => panic!("the validator does not know {other:?} at {at}"),
        }
    }
    fields(root, schema, value, at, wrong);
}

fn fields(
    root: &Value,
    schema: &serde_json::Map<String, Value>,
    value: &Value,
    at: &str,
    wrong: &mut Vec<String>,
) {
    let Some(fields) = value.as_object() else { return };
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if !fields.contains_key(name.as_str().unwrap()) {
            wrong.push(format!("{at}: {name} is missing"));
        }
    }
    let known = schema.get("properties").and_then(Value::as_object);
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        match known.and_then(|k| k.get(name)) {
            Some(schema) => check(root, schema, field, &at, wrong),
            None => match schema.get("additionalProperties") {
                Some(schema) => check(root, schema, field, &at, wrong),
                None if known.is_some() => wrong.push(format!("{at} is not in the schema")),
                None => {}
            },
        }
    }
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("no type {other}"),
    };
    match wanted {
        Value::String(name) => is(name),
        names => names.as_array().unwrap().iter().any(|n| is(n.as_str().unwrap())),
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": ["integer", "null"]}},
        "$defs": {"A": {"enum": ["x", "y"]}},
    });
    let wrong = |value: Value| {
        let mut wrong = Vec::new();
        check(&schema, &schema, &value, "$", &mut wrong);
        wrong.len()
    };
    assert_eq!(wrong(serde_json::json!({"a": "x", "b": null})), 0);
    assert_eq!(wrong(serde_json::json!({"a": "z"})), 1);
    assert_eq!(wrong(serde_json::json!({"b": 1.5, "c": 1})), 3);
}
