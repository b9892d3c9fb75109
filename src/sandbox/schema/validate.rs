//! Checking objects against schemas, with the sentences a real API server uses.

use std::collections::HashSet;

use serde_json::{Number, Value, json};

use super::{Additional, Limits, ListType, Schema, Type};
use crate::sandbox::status::Cause;

/// Everything in `value` that its schema does not allow.
///
/// A number where an integer or a string is wanted must be whole: a fraction (`cpu: 1.5`) is decoded by Kubernetes' own
/// types alone, which are not checked here but in [`wrong_type`].
pub(crate) fn validate(value: &Value, schema: &Schema) -> Vec<Cause> {
    let mut causes = Vec::new();
    node(value, schema.resolved(), &mut String::new(), &mut causes);
    causes
}

/// The first value whose JSON type is wrong: its path, what it is, what it should be. Kubernetes' own types are
/// decoded, not validated, so a wrong type there is a malformed request.
pub(crate) fn wrong_type(value: &Value, schema: &Schema) -> Option<(String, &'static str, &'static str)> {
    mistyped(value, schema.resolved(), "")
}

fn mistyped(value: &Value, schema: &Schema, path: &str) -> Option<(String, &'static str, &'static str)> {
    if value.is_null() {
        return None;
    }
    if !type_matches(value, schema) {
        return Some((path.to_owned(), json_type(value), go_type(schema)));
    }
    match value {
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            let below = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            mistyped(value, schema.field(name)?, &below)
        }),
        Value::Array(items) => {
            let item = schema.item()?;
            items
                .iter()
                .enumerate()
                .find_map(|(i, value)| mistyped(value, item, &format!("{path}[{i}]")))
        }
        _ => None,
    }
}

fn go_type(schema: &Schema) -> &'static str {
    let format = schema.limits.as_ref().map_or("", |l| l.format.as_str());
    match (schema.kind, format) {
        (Type::Integer, "int64") => "int64",
        (Type::Integer, _) => "int32",
        (Type::Boolean, _) => "bool",
        (Type::Array, _) => "slice",
        (Type::Object, _) => "map",
        (Type::Number, _) => "float64",
        _ => "string",
    }
}

/// The name JSON gives a value's type, as Kubernetes' messages do.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn whole(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|f| f.fract() == 0.0)
}

fn type_matches(value: &Value, schema: &Schema) -> bool {
    if schema.int_or_string {
        return match value {
            Value::String(_) => true,
            // Quantities may be written as numbers with a fraction; only Kubernetes' own types have those.
            Value::Number(_) => true,
            _ => false,
        };
    }
    match schema.kind {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Boolean => value.is_boolean(),
        Type::Number => value.is_number(),
        Type::Integer => value.as_number().is_some_and(whole),
    }
}

fn node(value: &Value, schema: &Schema, path: &mut String, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.nullable {
        return;
    }
    let fraction = schema.int_or_string && value.as_number().is_some_and(|n| !whole(n));
    if fraction || !type_matches(value, schema) {
        let expected = if schema.int_or_string {
            "integer,string"
        } else {
            schema.kind.name()
        };
        let got = json!(json_type(value));
        let text = format!("{} in body must be of type {expected}: {got}", shown(path));
        causes.push(Cause::wrong_type(shown(path), &got, text));
        return;
    }
    if let Some(limits) = &schema.limits {
        check_limits(value, limits, path, causes);
    }
    match value {
        Value::Object(map) => {
            for name in schema.required.iter().filter(|n| !map.contains_key(&***n)) {
                causes.push(Cause::required(join(path, name), ""));
            }
            let length = path.len();
            for (name, value) in map {
                if let Some(field) = schema.field(name) {
                    enter(path, name, schema);
                    node(value, field, path, causes);
                    path.truncate(length);
                }
            }
            if schema.embedded {
                for name in ["apiVersion", "kind"].iter().filter(|n| !map.contains_key(**n)) {
                    causes.push(Cause::required(join(path, name), "must not be empty"));
                }
            }
        }
        Value::Array(items) => {
            check_list(items, schema, path, causes);
            if let Some(item) = schema.item() {
                let length = path.len();
                for (index, value) in items.iter().enumerate() {
                    path.push_str(&format!("[{index}]"));
                    node(value, item, path, causes);
                    path.truncate(length);
                }
            }
        }
        _ => {}
    }
}

fn enter(path: &mut String, name: &str, schema: &Schema) {
    // Keys of maps are shown in brackets where they could be mistaken for a path.
    if matches!(schema.additional, Additional::Schema(_)) && name.contains('.') {
        path.push_str(&format!("[{name}]"));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

/// Two items of a set, or two with the same keys.
fn check_list(items: &[Value], schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let key = match schema.list_type() {
            ListType::Atomic => return,
            ListType::Set => item.clone(),
            ListType::Map => {
                let fields = schema
                    .list_keys()
                    .iter()
                    .filter_map(|k| Some((k.clone(), item.get(k)?.clone())));
                Value::Object(fields.collect())
            }
        };
        if !seen.insert(key.to_string()) {
            let field = format!("{path}[{index}]");
            let mut cause = Cause::duplicate(field, &key);
            if schema.list_type() == ListType::Map {
                cause.message = format!("Duplicate value: map[string]interface {{}}{key}");
            }
            causes.push(cause);
        }
    }
}

fn check_limits(value: &Value, limits: &Limits, path: &str, causes: &mut Vec<Cause>) {
    if !limits.allowed.is_empty() && !limits.allowed.contains(value) {
        let allowed: Vec<String> = limits
            .allowed
            .iter()
            .filter(|a| !a.is_null())
            .map(|a| a.as_str().map_or_else(|| a.to_string(), str::to_owned))
            .collect();
        causes.push(Cause::unsupported(path, value, &allowed));
    }
    let mut bad = |text: String| causes.push(Cause::invalid(path, value, format!("{path} in body {text}")));
    match value {
        Value::String(text) => check_text(text, limits, &mut bad),
        Value::Number(number) => check_number(number, limits, &mut bad),
        Value::Array(items) => {
            let length = items.len() as u64;
            if limits.min_items.is_some_and(|m| length < m) {
                bad(format!(
                    "should have at least {} items",
                    limits.min_items.unwrap_or_default()
                ));
            }
            if let Some(max) = limits.max_items.filter(|m| length > *m) {
                bad(format!("should have at most {max} items"));
            }
            if limits.unique_items
                && items.iter().map(Value::to_string).collect::<HashSet<_>>().len() < items.len()
            {
                bad("shouldn't contain duplicates".to_owned());
            }
        }
        Value::Object(map) => {
            let length = map.len() as u64;
            if let Some(min) = limits.min_properties.filter(|m| length < *m) {
                bad(format!("should have at least {min} properties"));
            }
            if let Some(max) = limits.max_properties.filter(|m| length > *m) {
                bad(format!("should have at most {max} properties"));
            }
        }
        _ => {}
    }
    check_combinations(value, limits, path, causes);
}

fn check_text(text: &str, limits: &Limits, bad: &mut impl FnMut(String)) {
    let length = text.chars().count() as u64;
    if let Some(min) = limits.min_length.filter(|m| length < *m) {
        bad(format!("should be at least {min} chars long"));
    }
    if let Some(max) = limits.max_length.filter(|m| length > *m) {
        bad(format!("should be at most {max} chars long"));
    }
    if let Some((pattern, Some(regex))) = &limits.pattern
        && !regex.is_match(text)
    {
        bad(format!("should match '{pattern}'"));
    }
    let known = match limits.format.as_str() {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-'),
        _ => true,
    };
    if !known {
        bad(format!("must be of type {}: \"{text}\"", limits.format));
    }
}

fn check_number(number: &Number, limits: &Limits, bad: &mut impl FnMut(String)) {
    let Some(value) = number.as_f64() else { return };
    if let Some(min) = limits.minimum {
        if limits.exclusive_minimum && value <= min {
            bad(format!("should be greater than {min}"));
        } else if value < min {
            bad(format!("should be greater than or equal to {min}"));
        }
    }
    if let Some(max) = limits.maximum {
        if limits.exclusive_maximum && value >= max {
            bad(format!("should be less than {max}"));
        } else if value > max {
            bad(format!("should be less than or equal to {max}"));
        }
    }
    if let Some(step) = limits
        .multiple_of
        .filter(|s| *s > 0.0 && (value / s).fract().abs() > 1e-9)
    {
        bad(format!("should be a multiple of {step}"));
    }
    if limits.format == "int32" && number.as_i64().is_some_and(|n| i32::try_from(n).is_err()) {
        bad(format!("must be of type int32: {number}"));
    }
}

fn check_combinations(value: &Value, limits: &Limits, path: &str, causes: &mut Vec<Cause>) {
    let fits = |schema: &Schema| {
        let mut found = Vec::new();
        node(value, schema.resolved(), &mut path.to_owned(), &mut found);
        found.is_empty()
    };
    for schema in &limits.all_of {
        node(value, schema.resolved(), &mut path.to_owned(), causes);
    }
    if !limits.any_of.is_empty() && !limits.any_of.iter().any(fits) {
        let text = format!(
            "{} in body must validate at least one schema (anyOf)",
            shown(path)
        );
        causes.push(Cause::invalid(shown(path), value, text));
    }
    if !limits.one_of.is_empty() && limits.one_of.iter().filter(|s| fits(s)).count() != 1 {
        let text = format!(
            "{} in body must validate one and only one schema (oneOf)",
            shown(path)
        );
        causes.push(Cause::invalid(shown(path), value, text));
    }
    if limits.not.as_ref().is_some_and(|s| fits(s)) {
        let text = format!("{} in body must not validate the schema (not)", shown(path));
        causes.push(Cause::invalid(shown(path), value, text));
    }
}
