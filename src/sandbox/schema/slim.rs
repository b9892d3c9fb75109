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
            RULES => {
                let rules = value.as_array().into_iter().flatten().map(with_conversions);
                out.insert(key.clone(), rules.collect());
            }
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

/// CEL's functions that make a value of another type of a text.
const CONVERSIONS: [&str; 2] = ["duration", "timestamp"];

/// A rule in which `duration(self.wait)` works although `wait` is one already, by its format: Kubernetes' CEL takes both, ours
/// takes texts alone. What a failure says stays the rule as it was written.
fn with_conversions(rule: &Value) -> Value {
    let mut rule = rule.clone();
    let Some(text) = rule["rule"].as_str() else {
        return rule;
    };
    let (text, through) = (text.to_owned(), through_text(text));
    if through != text {
        if rule.get("message").is_none() && rule.get("messageExpression").is_none() {
            rule["message"] = Value::String(format!("failed rule: {text}"));
        }
        rule["rule"] = Value::String(through);
    }
    rule
}

/// The expression with `duration(x)` as `duration(string(x))`.
fn through_text(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut quote = None;
    // For each open bracket, whether one of ours is closed with it.
    let mut open: Vec<bool> = Vec::new();
    let mut characters = expression.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        out.push(character);
        match (quote, character) {
            (Some(_), '\\') => out.extend(characters.next().map(|(_, escaped)| escaped)),
            (Some(end), _) if end == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(') => {
                let before = expression.get(..at).unwrap_or_default();
                let named = CONVERSIONS.iter().any(|name| {
                    before.strip_suffix(name).is_some_and(|rest| {
                        !rest.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'))
                    })
                });
                // A text needs no detour.
                let text = matches!(characters.peek(), Some((_, '\'' | '"')));
                let ours = named && !text;
                if ours {
                    out.push_str("string(");
                }
                open.push(ours);
            }
            (None, ')') => {
                let ours = open.pop() == Some(true);
                out.extend(ours.then_some(')'));
            }
            _ => {}
        }
    }
    out
}

/// Whether a rule may look into a field of this name. Names that CEL escapes count as mentioned.
fn mentions(text: &str, name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric());
    !plain || Regex::new(&format!(r"\b{name}\b")).map_or(true, |word| word.is_match(text))
}
