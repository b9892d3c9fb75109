//! Small accessors over objects as plain JSON. The server is generic: an object is a `serde_json::Value` that is a
//! map with `apiVersion`, `kind` and `metadata`.

use serde_json::{Map, Value, json};

/// Text at a path of fields, or "" if it is absent or no text.
pub(crate) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The value at a path of fields.
pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, field| value.get(field))
}

/// The list at a path of fields; empty if absent.
pub(crate) fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

pub(crate) fn resource_version(object: &Value) -> &str {
    text(object, &["metadata", "resourceVersion"])
}

/// Whether deletion was asked for.
pub(crate) fn is_deleting(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some_and(|v| !v.is_null())
}

pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    list(object, &["metadata", "finalizers"])
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// A label's value.
pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "labels", key]).and_then(Value::as_str)
}

/// The map of `value`, which becomes an empty map if it was something else.
pub(crate) fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        // Unreachable after the lines above; an empty leaked map would be worse than this honest loop.
        _ => map(value),
    }
}

/// The map at a path, made where missing.
pub(crate) fn map_at<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    path.iter().fold(map(object), |current, field| {
        map(current.entry((*field).to_owned()).or_insert_with(|| json!({})))
    })
}

/// `metadata`, made if missing.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    map_at(object, &["metadata"])
}

/// Sets a field unless it has a value already.
pub(crate) fn default(map: &mut Map<String, Value>, field: &str, value: Value) {
    let slot = map.entry(field.to_owned()).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value;
    }
}

/// Removes the value at a path.
pub(crate) fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut current = object;
    for field in parents {
        current = current.get_mut(*field)?;
    }
    current.as_object_mut()?.remove(*last)
}

/// Now, as Kubernetes writes times: whole seconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A fresh UID, an RFC 4122 version 4 UUID made from the system's randomness.
pub(crate) fn new_uid() -> String {
    let mut bytes = ulid::Ulid::generate().0.to_be_bytes();
    let more = ulid::Ulid::generate().0.to_be_bytes();
    // The first six bytes of a ULID are its time: take randomness for them from a second one.
    bytes[..6].copy_from_slice(&more[10..]);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The five random characters `generateName` adds; without vowels, so that no words come out.
pub(crate) fn random_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut number = ulid::Ulid::generate().random();
    (0..5)
        .map(|_| {
            let index = (number % ALPHABET.len() as u128) as usize;
            number /= ALPHABET.len() as u128;
            char::from(ALPHABET[index])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_version_4_and_differ() {
        let (a, b) = (new_uid(), new_uid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
        assert_ne!(random_suffix(), random_suffix());
    }

    #[test]
    fn paths_are_made_and_removed() {
        let mut object = json!({});
        map_at(&mut object, &["a", "b"]).insert("c".into(), json!(1));
        assert_eq!(object, json!({"a": {"b": {"c": 1}}}));
        assert_eq!(remove(&mut object, &["a", "b", "c"]), Some(json!(1)));
        assert_eq!(remove(&mut object, &["x", "y"]), None);
    }
}
