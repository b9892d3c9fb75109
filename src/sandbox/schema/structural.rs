//! Reading schemas: from a CRD's `openAPIV3Schema` and from the JSON schemas of Kubernetes types.

use regex::Regex;
use serde_json::Value;

use super::{Additional, Limits, ListType, Merging, Schema, Type, definitions};
use crate::sandbox::object;

impl Schema {
    /// A CRD's root schema. `metadata` follows the built-in ObjectMeta, `apiVersion` and `kind` are always known.
    pub(crate) fn of_crd(raw: &Value) -> Self {
        let mut schema = Self::parse(raw);
        schema.kind = Type::Object;
        for name in ["apiVersion", "kind"] {
            if !schema.declares(name) {
                schema.insert(
                    name,
                    Self {
                        kind: Type::String,
                        ..Self::default()
                    },
                );
            }
        }
        let metadata = Self {
            reference: Some(definitions::OBJECT_META.into()),
            ..Self::default()
        };
        schema.insert("metadata", metadata);
        schema
    }

    pub(super) fn insert(&mut self, name: &str, schema: Self) {
        match self.properties.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(index) => self.properties[index].1 = schema,
            Err(index) => self.properties.insert(index, (name.into(), schema)),
        }
    }

    /// A node and all below it.
    pub(crate) fn parse(raw: &Value) -> Self {
        let mut schema = Self {
            kind: kind_of(raw),
            nullable: flag(raw, "nullable"),
            preserve: flag(raw, "x-kubernetes-preserve-unknown-fields"),
            int_or_string: flag(raw, "x-kubernetes-int-or-string"),
            embedded: flag(raw, "x-kubernetes-embedded-resource"),
            items: raw.get("items").map(|i| Box::new(Self::parse(i))),
            required: object::list(raw, &["required"])
                .iter()
                .filter_map(Value::as_str)
                .map(Into::into)
                .collect(),
            default: raw.get("default").map(|d| Box::new(d.clone())),
            limits: limits(raw).map(Box::new),
            merging: merging(raw).map(Box::new),
            reference: raw["$ref"]
                .as_str()
                .map(|r| r.rsplit('/').next().unwrap_or_default().into()),
            ..Self::default()
        };
        if let Some(properties) = raw["properties"].as_object() {
            // A JSON map here is ordered by key already, which the lookup relies on.
            schema.properties = properties
                .iter()
                .map(|(n, s)| (n.as_str().into(), Self::parse(s)))
                .collect();
        }
        schema.additional = match raw.get("additionalProperties") {
            None | Some(Value::Bool(false)) => Additional::None,
            Some(Value::Bool(true)) => Additional::Any,
            Some(other) => Additional::Schema(Box::new(Self::parse(other))),
        };
        schema.has_defaults = schema.default.is_some()
            || schema.properties.iter().any(|(_, s)| s.has_defaults)
            || schema.items.as_ref().is_some_and(|i| i.has_defaults)
            || matches!(&schema.additional, Additional::Schema(s) if s.has_defaults);
        schema
    }
}

fn kind_of(raw: &Value) -> Type {
    match &raw["type"] {
        Value::String(name) => Type::of(name),
        // JSON schema's way to say nullable.
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|n| *n != "null")
            .map_or(Type::Any, Type::of),
        _ => Type::Any,
    }
}

fn flag(raw: &Value, name: &str) -> bool {
    raw[name] == Value::Bool(true)
}

fn merging(raw: &Value) -> Option<Merging> {
    let list = match raw["x-kubernetes-list-type"].as_str() {
        Some("map") => ListType::Map,
        Some("set") => ListType::Set,
        _ => ListType::Atomic,
    };
    let atomic_map = raw["x-kubernetes-map-type"] == "atomic";
    if list == ListType::Atomic && !atomic_map {
        return None;
    }
    let keys = object::list(raw, &["x-kubernetes-list-map-keys"]);
    Some(Merging {
        list,
        keys: keys.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        atomic_map,
        ..Merging::default()
    })
}

fn limits(raw: &Value) -> Option<Limits> {
    const NAMES: &[&str] = &[
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "format",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
    ];
    let fields = raw.as_object()?;
    if !NAMES.iter().any(|n| fields.contains_key(*n)) {
        return None;
    }
    let number = |name: &str| raw[name].as_f64();
    let count = |name: &str| raw[name].as_u64();
    let schemas = |name: &str| object::list(raw, &[name]).iter().map(Schema::parse).collect();
    Some(Limits {
        allowed: object::list(raw, &["enum"]).to_vec(),
        pattern: raw["pattern"]
            .as_str()
            .map(|p| (p.to_owned(), Regex::new(p).ok())),
        minimum: number("minimum"),
        maximum: number("maximum"),
        exclusive_minimum: flag(raw, "exclusiveMinimum"),
        exclusive_maximum: flag(raw, "exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        unique_items: flag(raw, "uniqueItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        format: object::text(raw, &["format"]).to_owned(),
        all_of: schemas("allOf"),
        any_of: schemas("anyOf"),
        one_of: schemas("oneOf"),
        not: raw.get("not").map(|n| Box::new(Schema::parse(n))),
    })
}
