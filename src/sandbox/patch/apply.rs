//! Server-side apply: merging one manager's wish into the object. Conflicts are fields that another manager set and
//! this one wants otherwise; fields the manager no longer wants, and nobody else does, go.

use serde_json::{Map, Value, json};

use super::fieldset::{FieldSet, Shape, key_step, shape};
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
    let config = own_part(wish, resource);
    let wanted = managed::fields_of(&config, resource);
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
    let merged = merge(Some(live.clone()), config, schema);
    let (changed, _) = managed::difference(live, &merged, resource);
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
    if resource.status {
        let map = object::map(&mut config);
        if wish.subresource == "status" {
            map.retain(|name, _| name == "status");
        } else {
            map.remove("status");
        }
    }
    managed::retain_manageable(&mut config);
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

/// `live` with the wish merged in. Both are taken apart, not copied: objects may be large.
fn merge(live: Option<Value>, wish: Value, schema: &Schema) -> Value {
    let atomic = schema.merging.as_ref().is_some_and(|m| m.atomic_map);
    match wish {
        Value::Object(fields) if !atomic => {
            let mut out = match live {
                Some(Value::Object(map)) => map,
                _ => Map::new(),
            };
            for (name, value) in fields {
                let field = schema.field(&name).unwrap_or(&ANY);
                let merged = merge(out.remove(&name), value, field);
                out.insert(name, merged);
            }
            Value::Object(out)
        }
        Value::Array(items) if schema.list_type() != ListType::Atomic => {
            let before = match live {
                Some(Value::Array(list)) => list,
                _ => Vec::new(),
            };
            if schema.list_type() == ListType::Map {
                merge_keyed(before, items, schema)
            } else {
                union(before, items)
            }
        }
        other => other,
    }
}

fn union(mut before: Vec<Value>, items: Vec<Value>) -> Value {
    for item in items {
        if !before.contains(&item) {
            before.push(item);
        }
    }
    Value::Array(before)
}

/// Items the wish names come in its order; others stay where they were among them.
fn merge_keyed(before: Vec<Value>, items: Vec<Value>, schema: &Schema) -> Value {
    let item_schema = schema.item().unwrap_or(&ANY);
    let step = |item: &Value| key_step(item, schema);
    let wanted: Vec<Option<String>> = items.iter().map(step).collect();
    let mut before: Vec<(Option<String>, Option<Value>)> =
        before.into_iter().map(|b| (step(&b), Some(b))).collect();
    let mut out: Vec<Value> = Vec::new();
    let mut passed = 0;
    for (item, key) in items.into_iter().zip(&wanted) {
        let found = before.iter().position(|(b, _)| b.is_some() && b == key);
        if let Some(index) = found.filter(|i| *i >= passed) {
            // What stood before this item and is not in the wish keeps its place.
            for (other, value) in &mut before[passed..index] {
                if !wanted.contains(other) {
                    out.extend(value.take());
                }
            }
            passed = index + 1;
        }
        let live = found.and_then(|i| before[i].1.take());
        out.push(merge(live, item, item_schema));
    }
    for (other, value) in &mut before[passed..] {
        if !wanted.contains(other) {
            out.extend(value.take());
        }
    }
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
