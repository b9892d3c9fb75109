//! Reading the protobuf that kubectl's generators (`create configmap`, `auth can-i`, …) send. Only reading: answers
//! are JSON, which every client accepts.
//!
//! A table of field numbers drives the decoder. Go writes fields without a value as empty ones; what JSON would
//! leave out is left out here too.

mod wire;

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use wire::{Field, Reader};

const MAGIC: &[u8] = b"k8s\0";
const TABLE: &str = include_str!("fields.txt");

/// Fields Go embeds: their own fields belong to the parent.
const EMBEDDED: &[&str] = &[
    "volumeSource",
    "handler",
    "localObjectReference",
    "ephemeralContainerCommon",
];

/// Fields of which an empty value means something, because absent is another state.
const MEANINGFUL: &[&str] = &[
    "replicas",
    "parallelism",
    "completions",
    "backoffLimit",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "value",
    "expirationSeconds",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "terminationGracePeriodSeconds",
    "defaultMode",
    "mode",
    "revisionHistoryLimit",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
    "gracePeriodSeconds",
    "startingDeadlineSeconds",
    "progressDeadlineSeconds",
    "optional",
    "suspend",
    "runAsNonRoot",
    "privileged",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "immutable",
    "controller",
    "blockOwnerDeletion",
    "enableServiceLinks",
    "shareProcessNamespace",
    "orphanDependents",
    "storageClassName",
    "ingressClassName",
    "emptyDir",
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    One,
    Many,
    Keyed,
}

#[derive(Debug, Clone)]
struct Entry {
    name: &'static str,
    kind: &'static str,
    shape: Shape,
}

type Messages = HashMap<&'static str, HashMap<u64, Entry>>;

static MESSAGES: LazyLock<Messages> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|l| !l.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(':').map(|(name, fields)| (name, entries(fields))))
        .collect()
});

fn entries(fields: &'static str) -> HashMap<u64, Entry> {
    let parse = |field: &'static str| {
        let mut words = field.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let name = words.next()?;
        let kind = words.next()?;
        let (kind, shape) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
            (Some(kind), _) => (kind, Shape::Many),
            (_, Some(kind)) => (kind, Shape::Keyed),
            _ => (kind, Shape::One),
        };
        Some((number, Entry { name, kind, shape }))
    };
    fields.split(',').filter_map(parse).collect()
}

/// The object in a body. Errors are sentences.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes
        .strip_prefix(MAGIC)
        .ok_or("it does not begin as Kubernetes' protobuf does")?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(bytes) {
        match field? {
            (1, Field::Bytes(meta)) => {
                for field in Reader::new(meta) {
                    match field? {
                        (1, Field::Bytes(text)) => version = String::from_utf8_lossy(text).into_owned(),
                        (2, Field::Bytes(text)) => kind = String::from_utf8_lossy(text).into_owned(),
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(object)) => raw = object,
            _ => {}
        }
    }
    let group = version
        .split_once('/')
        .map_or("core", |(group, _)| group.split('.').next().unwrap_or(group));
    let group = if kind.ends_with("Options") { "meta" } else { group };
    let name = format!("{group}.{kind}");
    let fields = MESSAGES
        .get(name.as_str())
        .ok_or_else(|| format!("{version} {kind} is not known in protobuf"))?;
    let mut object = message(raw, fields)?;
    object.insert("apiVersion".into(), json!(version));
    object.insert("kind".into(), json!(kind));
    Ok(Value::Object(object))
}

fn message(bytes: &[u8], fields: &HashMap<u64, Entry>) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for field in Reader::new(bytes) {
        let (number, field) = field?;
        let Some(entry) = fields.get(&number) else {
            continue;
        };
        let slot = || entry.name.to_owned();
        match entry.shape {
            Shape::Keyed => {
                let Field::Bytes(pair) = field else {
                    return Err(format!("{} is no map", entry.name));
                };
                let (key, value) = pair_of(pair, entry.kind)?;
                if let Value::Object(map) = out.entry(slot()).or_insert_with(|| json!({})) {
                    map.insert(key, value);
                }
            }
            Shape::Many => {
                let value = value(&field, entry)?;
                if let Value::Array(list) = out.entry(slot()).or_insert_with(|| json!([])) {
                    list.push(value);
                }
            }
            Shape::One => {
                let value = value(&field, entry)?;
                if EMBEDDED.contains(&entry.name) {
                    if let Value::Object(inner) = value {
                        out.extend(inner);
                    }
                } else if !is_empty(&value) || (MEANINGFUL.contains(&entry.name) && !value.is_null()) {
                    out.insert(slot(), value);
                }
            }
        }
    }
    Ok(out)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn pair_of(bytes: &[u8], kind: &'static str) -> Result<(String, Value), String> {
    let (mut key, mut found) = (String::new(), None);
    let entry = Entry {
        name: "value",
        kind,
        shape: Shape::One,
    };
    for field in Reader::new(bytes) {
        match field? {
            (1, Field::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
            (2, field) => found = Some(value(&field, &entry)?),
            _ => {}
        }
    }
    Ok((key, found.unwrap_or_else(|| json!(""))))
}

fn value(field: &Field<'_>, entry: &Entry) -> Result<Value, String> {
    Ok(match (entry.kind, field) {
        ("string", Field::Bytes(text)) => json!(String::from_utf8_lossy(text)),
        ("bytes", Field::Bytes(bytes)) => json!(BASE64.encode(bytes)),
        ("bool", Field::Number(number)) => json!(*number != 0),
        // Negative numbers are written as 64 bits, whatever their type.
        ("int32" | "int64", Field::Number(number)) => json!(number.cast_signed()),
        ("Time", Field::Bytes(bytes)) => time(bytes)?,
        ("Quantity", Field::Bytes(bytes)) => first_text(bytes)?.map_or(Value::Null, |t| json!(t)),
        ("IntOrString", Field::Bytes(bytes)) => int_or_string(bytes)?,
        ("Raw", Field::Bytes(bytes)) => first_text(bytes)?
            .and_then(|t| serde_json::from_str(&t).ok())
            .unwrap_or_default(),
        (kind, Field::Bytes(bytes)) => {
            let fields = MESSAGES.get(kind).ok_or_else(|| format!("{kind} is not known"))?;
            let inner = message(bytes, fields)?;
            // `ExtraValue` is a list that protobuf has to wrap.
            if kind.ends_with("ExtraValue") {
                inner.get("items").cloned().unwrap_or_else(|| json!([]))
            } else {
                Value::Object(inner)
            }
        }
        (kind, Field::Number(_)) => return Err(format!("{} should be {kind}", entry.name)),
    })
}

fn first_text(bytes: &[u8]) -> Result<Option<String>, String> {
    for field in Reader::new(bytes) {
        if let (1, Field::Bytes(text)) = field? {
            return Ok(Some(String::from_utf8_lossy(text).into_owned()));
        }
    }
    Ok(None)
}

fn time(bytes: &[u8]) -> Result<Value, String> {
    for field in Reader::new(bytes) {
        if let (1, Field::Number(seconds)) = field? {
            let time = jiff::Timestamp::from_second(seconds.cast_signed()).map_err(|e| e.to_string())?;
            return Ok(json!(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
        }
    }
    Ok(Value::Null)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in Reader::new(bytes) {
        match field? {
            (1, Field::Number(kind)) => is_text = kind == 1,
            (2, Field::Number(value)) => number = value.cast_signed(),
            (3, Field::Bytes(value)) => text = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
    Ok(if is_text { json!(text) } else { json!(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_table_is_known() {
        const SCALARS: &[&str] = &[
            "string",
            "bytes",
            "bool",
            "int32",
            "int64",
            "Time",
            "Quantity",
            "IntOrString",
            "Raw",
        ];
        assert!(MESSAGES.len() > 100);
        for (name, fields) in MESSAGES.iter() {
            for entry in fields.values() {
                assert!(
                    SCALARS.contains(&entry.kind) || MESSAGES.contains_key(entry.kind),
                    "{name}.{}",
                    entry.name
                );
            }
        }
    }

    #[test]
    fn a_config_map_as_kubectl_sends_it() {
        let body = b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01a\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00\"\x00";
        assert_eq!(
            decode(body).unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}})
        );
        assert!(decode(b"k8s\x00\n\x0f\n\x02v1\x12\tConfigNap").is_err());
        assert!(decode(b"{}").is_err());
    }
}
