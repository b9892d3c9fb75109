//! A schema reduced to what its CEL rules need. Compiled rules hang in a tree as large as the schema; a schema that
//! embeds a pod spec and has one rule at the top would cost megabytes for nothing.

use regex::Regex;
use serde_json::{Map, Value};

const RULES: &str = "x-kubernetes-validations";

/// The schema without the branches no rule looks into; `None` if there is no rule at all.
pub(crate) fn with_rules(schema: &Value) -> Option<Value> {
    has_rules(schema).then(|| reduce(schema, &mut Vec::new()))
}

fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.contains_key(RULES) || map.values().any(has_rules),
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

/// `words` are the texts of the rules above: a field they mention keeps its type.
fn reduce(schema: &Value, words: &mut Vec<String>) -> Value {
    let Value::Object(map) = schema else {
        return schema.clone();
    };
    let before = words.len();
    if let Some(rules) = map.get(RULES) {
        words.push(rules.to_string());
    }
    let mut out = Map::new();
    for (key, value) in map {
        match key.as_str() {
            "description" | "default" | "example" | "externalDocs" => {}
            "properties" => {
                let kept = value.as_object().into_iter().flatten().filter(|(name, field)| {
                    has_rules(field) || words.iter().any(|text| mentions(text, name))
                });
                let kept = kept
                    .map(|(name, field)| (name.clone(), field.clone()))
                    .collect::<Vec<_>>();
                let fields = kept
                    .into_iter()
                    .map(|(name, field)| (name, reduce(&field, words)))
                    .collect();
                out.insert(key.clone(), Value::Object(fields));
            }
            "items" | "additionalProperties" | "not" => {
                out.insert(key.clone(), reduce(value, words));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let list = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|s| reduce(s, words))
                    .collect();
                out.insert(key.clone(), Value::Array(list));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    words.truncate(before);
    Value::Object(out)
}

/// Whether a rule may look into a field of this name. Names that CEL escapes count as mentioned.
fn mentions(text: &str, name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric());
    !plain || Regex::new(&format!(r"\b{name}\b")).map_or(true, |word| word.is_match(text))
}
