//! Strategic merge patch: a merge patch in which lists of Kubernetes' own types merge by key, and in which
//! directives (`$patch`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…`, `$retainKeys`) say what else to do.

use serde_json::{Map, Value};

use crate::sandbox::schema::{ANY, Schema};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch.
pub(crate) fn apply(object: &Value, patch: &Value, schema: &Schema) -> Value {
    match (object, patch) {
        (Value::Object(map), Value::Object(patch)) => merge_maps(map, patch, schema),
        (_, Value::Object(patch)) => merge_maps(&Map::new(), patch, schema),
        _ => patch.clone(),
    }
}

fn merge_maps(original: &Map<String, Value>, patch: &Map<String, Value>, schema: &Schema) -> Value {
    match patch.get(PATCH).and_then(Value::as_str) {
        Some("replace") => return Value::Object(without_directives(patch)),
        Some("delete") => return Value::Object(Map::new()),
        _ => {}
    }
    let mut out = original.clone();
    if let Some(Value::Array(keep)) = patch.get(RETAIN) {
        out.retain(|name, _| keep.iter().any(|k| k == name));
    }
    for (name, change) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_values(&mut out, list, change);
        } else if name.starts_with('$') {
            // Orders are applied after the lists have merged, the rest above.
        } else if change.is_null() {
            out.remove(name);
        } else {
            let field = schema.field(name).unwrap_or(&ANY);
            let merged = merge_value(out.get(name), change, field);
            out.insert(name.clone(), merged);
        }
    }
    for (name, order) in patch {
        if let (Some(list), Value::Array(order)) = (name.strip_prefix(ORDER), order)
            && let Some(Value::Array(items)) = out.get_mut(list)
        {
            sort(items, order, patch_key(schema.field(list).unwrap_or(&ANY)));
        }
    }
    Value::Object(out)
}

fn merge_value(original: Option<&Value>, change: &Value, schema: &Schema) -> Value {
    match change {
        Value::Object(patch) => {
            let empty = Map::new();
            merge_maps(
                original.and_then(Value::as_object).unwrap_or(&empty),
                patch,
                schema,
            )
        }
        Value::Array(items) => {
            let before = original.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            merge_lists(before, items, schema)
        }
        other => other.clone(),
    }
}

fn patch_key(schema: &Schema) -> Option<&str> {
    schema.merging.as_ref().and_then(|m| m.patch_key.as_deref())
}

fn merge_lists(original: &[Value], patch: &[Value], schema: &Schema) -> Value {
    let replaces = patch.iter().any(|item| item[PATCH] == "replace");
    let Some(key) = patch_key(schema).filter(|_| !replaces) else {
        let items = patch.iter().filter(|item| item[PATCH].is_null());
        return Value::Array(items.map(clean).collect());
    };
    let mut out = original.to_vec();
    if key.is_empty() {
        for item in patch {
            if !out.contains(item) {
                out.push(item.clone());
            }
        }
        return Value::Array(out);
    }
    let item_schema = schema.item().unwrap_or(&ANY);
    for item in patch {
        let position = out
            .iter()
            .position(|o| o.get(key).is_some() && o.get(key) == item.get(key));
        if item[PATCH] == "delete" {
            out.retain(|o| o.get(key) != item.get(key));
        } else if let Some(index) = position {
            out[index] = apply(&out[index], item, item_schema);
        } else {
            out.push(clean(item));
        }
    }
    Value::Array(out)
}

/// A value without the directives inside it.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(items) => Value::Array(items.iter().map(clean).collect()),
        other => other.clone(),
    }
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
        .map(|(name, value)| (name.clone(), clean(value)))
        .collect()
}

fn delete_values(map: &mut Map<String, Value>, list: &str, values: &Value) {
    if let (Some(Value::Array(items)), Some(gone)) = (map.get_mut(list), values.as_array()) {
        items.retain(|item| !gone.contains(item));
    }
}

/// Puts items into the order asked for; those not named keep their place behind the one they followed.
fn sort(items: &mut Vec<Value>, order: &[Value], key: Option<&str>) {
    let identity = |item: &Value| match key {
        Some(key) if !key.is_empty() => item.get(key).cloned().unwrap_or(Value::Null),
        _ => item.clone(),
    };
    let place = |item: &Value| order.iter().position(|o| identity(o) == identity(item));
    let mut last = 0;
    let mut keyed: Vec<((usize, usize), Value)> = Vec::with_capacity(items.len());
    for (index, item) in items.drain(..).enumerate() {
        if let Some(position) = place(&item) {
            last = position;
        }
        keyed.push(((last, index), item));
    }
    keyed.sort_by_key(|(rank, _)| *rank);
    items.extend(keyed.into_iter().map(|(_, item)| item));
}
