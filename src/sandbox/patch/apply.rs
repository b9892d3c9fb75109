//! Server-side apply: merging one manager's wish into the object. Conflicts are fields that another manager set and
//! this one wants otherwise; fields the manager no longer wants, and nobody else does, go.

use serde_json::{Map, Value, json};

use super::fieldset::{self, FieldSet, Shape, key_step, shape};
use super::managed::{self, Entry};
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::schema::{ANY, ListType, Schema};
use crate::sandbox::status::{ApiError, ApiResult};

/// A manager's wish.
pub(crate) struct Wish<'a> {
    pub(crate) config: &'a Value,
    pub(crate) manager: &'a str,
    /// Take conflicting fields over.
    pub(crate) force: bool,
    /// "status" or "".
    pub(crate) subresource: &'a str,
}

/// The object after the wish is granted; `live` is `None` if there is none yet.
pub(crate) fn apply(live: Option<&Value>, wish: &Wish<'_>, resource: &Resource) -> ApiResult<Value> {
    let schema = resource.schema();
    let config = managed::manageable(&own_part(wish, resource));
    let mut wanted = fieldset::of(&config, schema);
    wanted.owned = false;
    let Some(live) = live else {
        let mut object = wish.config.clone();
        managed::write(
            &mut object,
            &[managed::entry(
                resource,
                wish.manager,
                "Apply",
                wish.subresource,
                wanted,
            )],
        );
        return Ok(object);
    };
    let merged = merge(Some(live), &config, schema);
    let (changed, _) =
        fieldset::difference(&managed::manageable(live), &managed::manageable(&merged), schema);
    let is_own =
        |e: &Entry| e.manager == wish.manager && e.operation == "Apply" && e.subresource == wish.subresource;
    let before = managed::entries(live);
    let conflicts: Vec<(&Entry, FieldSet)> = before
        .iter()
        .filter(|e| !is_own(e))
        .map(|e| (e, e.fields.both(&changed)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect();
    if !conflicts.is_empty() && !wish.force {
        return Err(refuse(&conflicts));
    }
    let taken = conflicts
        .iter()
        .fold(FieldSet::default(), |all, (_, fields)| all.union(fields));
    let own_before = before
        .iter()
        .find(|e| is_own(e))
        .map(|e| e.fields.clone())
        .unwrap_or_default();
    let mut entries: Vec<Entry> = before
        .iter()
        .filter(|e| !is_own(e))
        .map(|e| Entry {
            fields: e.fields.minus(&taken),
            ..e.clone()
        })
        .collect();
    let others = entries
        .iter()
        .fold(FieldSet::default(), |all, e| all.union(&e.fields));
    let dropped = own_before.minus(&wanted).minus(&others);
    let mut object = merged;
    remove(&mut object, &dropped, &wanted.union(&others), schema);
    let time = before
        .iter()
        .find(|e| is_own(e) && e.fields == wanted && changed.is_empty())
        .map_or_else(object::now, |e| e.time.clone());
    let mut own = managed::entry(resource, wish.manager, "Apply", wish.subresource, wanted);
    own.time = time;
    let at = before
        .iter()
        .position(is_own)
        .unwrap_or(entries.len())
        .min(entries.len());
    entries.insert(at, own);
    managed::write(&mut object, &entries);
    Ok(object)
}

/// The part of a configuration its path is about: status through `status`, all else through the object itself.
fn own_part(wish: &Wish<'_>, resource: &Resource) -> Value {
    let mut config = wish.config.clone();
    if !resource.status {
        return config;
    }
    let map = object::map(&mut config);
    if wish.subresource == "status" {
        map.retain(|name, _| name == "status");
    } else {
        map.remove("status");
    }
    config
}

fn refuse(conflicts: &[(&Entry, FieldSet)]) -> ApiError {
    let mut causes = Vec::new();
    let mut parts = Vec::new();
    let mut count = 0;
    for (entry, fields) in conflicts {
        let mut who = format!("\"{}\"", entry.manager);
        if !entry.subresource.is_empty() {
            who.push_str(&format!(" with subresource \"{}\"", entry.subresource));
        }
        if entry.operation == "Update" {
            who.push_str(&format!(" using {}", entry.api_version));
            if !entry.time.is_empty() {
                who.push_str(&format!(" at {}", entry.time));
            }
        }
        let paths = fields.paths();
        count += paths.len();
        for path in &paths {
            causes.push((path.clone(), format!("conflict with {who}")));
        }
        parts.push(match paths.as_slice() {
            [one] => format!("conflict with {who}: {one}"),
            many => format!("conflicts with {who}:\n- {}", many.join("\n- ")),
        });
    }
    let plural = if count == 1 { "conflict" } else { "conflicts" };
    let message = match parts.as_slice() {
        [one] => one.clone(),
        many => many.join("\n"),
    };
    ApiError::apply_conflict(format!("Apply failed with {count} {plural}: {message}"), &causes)
}

/// `live` with the wish merged in.
fn merge(live: Option<&Value>, wish: &Value, schema: &Schema) -> Value {
    let atomic = schema.merging.as_ref().is_some_and(|m| m.atomic_map);
    match wish {
        Value::Object(fields) if !atomic => {
            let mut out: Map<String, Value> = live.and_then(Value::as_object).cloned().unwrap_or_default();
            for (name, value) in fields {
                let field = schema.field(name).unwrap_or(&ANY);
                let merged = merge(out.get(name), value, field);
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        Value::Array(items) => match schema.list_type() {
            ListType::Atomic => wish.clone(),
            ListType::Set => {
                let mut out = live.and_then(Value::as_array).cloned().unwrap_or_default();
                for item in items {
                    if !out.contains(item) {
                        out.push(item.clone());
                    }
                }
                Value::Array(out)
            }
            ListType::Map => merge_keyed(live, items, schema),
        },
        other => other.clone(),
    }
}

/// Items the wish names come in its order; others stay where they were among them.
fn merge_keyed(live: Option<&Value>, items: &[Value], schema: &Schema) -> Value {
    let before = live.and_then(Value::as_array).cloned().unwrap_or_default();
    let item_schema = schema.item().unwrap_or(&ANY);
    let step = |item: &Value| key_step(item, schema);
    let mut out: Vec<Value> = Vec::new();
    let mut rest = before.as_slice();
    for item in items {
        let found = before
            .iter()
            .position(|b| step(b).is_some() && step(b) == step(item));
        if let Some(index) = found {
            // What stood before this item and is not in the wish keeps its place.
            let passed = before.len() - rest.len();
            if index >= passed {
                out.extend(
                    rest[..index - passed]
                        .iter()
                        .filter(|b| !items.iter().any(|i| step(i) == step(b)))
                        .cloned(),
                );
                rest = &rest[index - passed + 1..];
            }
        }
        out.push(merge(found.map(|i| &before[i]), item, item_schema));
    }
    out.extend(
        rest.iter()
            .filter(|b| !items.iter().any(|i| step(i) == step(b)))
            .cloned(),
    );
    Value::Array(out)
}

/// Removes fields nobody wants any longer; `kept` are those somebody does.
fn remove(value: &mut Value, gone: &FieldSet, kept: &FieldSet, schema: &Schema) {
    let steps: Option<Vec<String>> = match shape(value, schema) {
        Shape::Items(items) => Some(items.into_iter().map(|(step, _)| step).collect()),
        _ => None,
    };
    match value {
        Value::Object(map) => {
            for (step, child) in &gone.children {
                let Some(name) = step.strip_prefix("f:") else {
                    continue;
                };
                let still = kept.children.get(step);
                if child.owned && still.is_none() {
                    map.remove(name);
                    continue;
                }
                let Some(below) = map.get_mut(name) else { continue };
                remove(
                    below,
                    child,
                    still.unwrap_or(&FieldSet::default()),
                    schema.field(name).unwrap_or(&ANY),
                );
                if still.is_none() && is_hollow(below) {
                    map.remove(name);
                }
            }
        }
        Value::Array(items) => {
            let Some(steps) = steps else { return };
            let item_schema = schema.item().unwrap_or(&ANY);
            let mut index = 0;
            items.retain_mut(|item| {
                let step = &steps[index];
                index += 1;
                let Some(child) = gone.children.get(step) else {
                    return true;
                };
                let still = kept.children.get(step);
                if child.owned && still.is_none() {
                    return false;
                }
                remove(item, child, still.unwrap_or(&FieldSet::default()), item_schema);
                true
            });
        }
        _ => {}
    }
}

fn is_hollow(value: &Value) -> bool {
    *value == json!({}) || *value == json!([])
}
