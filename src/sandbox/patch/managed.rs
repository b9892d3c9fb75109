//! `metadata.managedFields`: who last set which field. Every write keeps it up, so that server-side apply can tell
//! a conflict from a field nobody cares for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fieldset::{self, FieldSet};
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::schema::ANY;

/// Fields of metadata that nobody manages.
const UNMANAGED: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
    "generateName",
];

/// One manager's entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    /// Apply or Update.
    pub(crate) operation: String,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Entry {
    fn parse(value: &Value) -> Self {
        let text = |field: &str| object::text(value, &[field]).to_owned();
        Self {
            manager: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields: FieldSet::parse(&value["fieldsV1"]),
        }
    }

    fn to_value(&self) -> Value {
        let mut out = json!({
            "manager": self.manager, "operation": self.operation, "apiVersion": self.api_version,
            "time": self.time, "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_value(),
        });
        if !self.subresource.is_empty() {
            out["subresource"] = json!(self.subresource);
        }
        out
    }

    fn is(&self, manager: &str, operation: &str, subresource: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource == subresource
    }
}

/// The entries of an object.
pub(crate) fn entries(object: &Value) -> Vec<Entry> {
    object::list(object, &["metadata", "managedFields"])
        .iter()
        .filter(|e| e.as_object().is_some_and(|m| !m.is_empty()))
        .map(Entry::parse)
        .collect()
}

/// Writes the entries, without those that manage nothing.
pub(crate) fn write(object: &mut Value, entries: &[Entry]) {
    let list: Vec<Value> = entries
        .iter()
        .filter(|e| !e.fields.is_empty())
        .map(Entry::to_value)
        .collect();
    let metadata = object::metadata(object);
    if list.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), Value::Array(list));
    }
}

/// Metadata without what nobody manages; `None` if nothing is left.
fn manageable_metadata(object: &Value) -> Option<Value> {
    let mut metadata = object.get("metadata")?.as_object()?.clone();
    metadata.retain(|name, _| !UNMANAGED.contains(&name.as_str()));
    (!metadata.is_empty()).then_some(Value::Object(metadata))
}

/// The top-level fields somebody may manage. Metadata is a copy, all else (it may be large) is not.
fn manageable_fields(object: &Value) -> BTreeMap<&str, Cow<'_, Value>> {
    let mut fields: BTreeMap<&str, Cow<'_, Value>> = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
        .map(|(name, value)| (name.as_str(), Cow::Borrowed(value)))
        .collect();
    if let Some(metadata) = manageable_metadata(object) {
        fields.insert("metadata", Cow::Owned(metadata));
    }
    fields
}

/// Takes out of an object what nobody manages.
pub(crate) fn retain_manageable(object: &mut Value) {
    let metadata = manageable_metadata(object);
    let map = object::map(object);
    for field in ["apiVersion", "kind", "metadata"] {
        map.remove(field);
    }
    if let Some(metadata) = metadata {
        map.insert("metadata".into(), metadata);
    }
}

/// All manageable fields of an object.
pub(crate) fn fields_of(object: &Value, resource: &Resource) -> FieldSet {
    let schema = resource.schema();
    let children = manageable_fields(object).into_iter().map(|(name, value)| {
        (
            format!("f:{name}"),
            fieldset::of(&value, schema.field(name).unwrap_or(&ANY)),
        )
    });
    FieldSet {
        owned: false,
        children: children.collect(),
    }
}

/// The manageable fields that differ: those that are new or have another value, and those that are gone.
pub(crate) fn difference(old: &Value, new: &Value, resource: &Resource) -> (FieldSet, FieldSet) {
    let schema = resource.schema();
    let (before, after) = (manageable_fields(old), manageable_fields(new));
    let (mut changed, mut gone) = (FieldSet::default(), FieldSet::default());
    for name in before
        .keys()
        .chain(after.keys().filter(|n| !before.contains_key(**n)))
    {
        let field = schema.field(name).unwrap_or(&ANY);
        let (a, b) = (before.get(name).map(|v| &**v), after.get(name).map(|v| &**v));
        let (plus, minus) = fieldset::difference(a, b, field);
        for (set, part) in [(&mut changed, plus), (&mut gone, minus)] {
            if !part.is_empty() {
                set.children.insert(format!("f:{name}"), part);
            }
        }
    }
    (changed, gone)
}

/// A new object belongs to who made it.
pub(crate) fn track_create(object: &mut Value, resource: &Resource, manager: &str) {
    let given = entries(object);
    if !given.is_empty() {
        return;
    }
    let fields = fields_of(object, resource);
    write(object, &[entry(resource, manager, "Update", "", fields)]);
}

/// An entry as of now.
pub(crate) fn entry(
    resource: &Resource,
    manager: &str,
    operation: &str,
    subresource: &str,
    fields: FieldSet,
) -> Entry {
    Entry {
        manager: manager.to_owned(),
        operation: operation.to_owned(),
        api_version: resource.api_version(),
        subresource: subresource.to_owned(),
        time: object::now(),
        fields,
    }
}

/// Gives the fields an update changed to its manager and takes them from everybody else. A client that sent other
/// managed fields than it read (as kubectl does when it takes over from client-side apply) is believed.
pub(crate) fn track_update(
    object: &mut Value,
    old: &Value,
    resource: &Resource,
    manager: &str,
    subresource: &str,
) {
    let cleared = object["metadata"].get("managedFields").is_some_and(|m| {
        m.as_array()
            .is_some_and(|list| list.len() == 1 && list[0] == json!({}))
    });
    let given = entries(object);
    let base = if given.is_empty() && !cleared {
        entries(old)
    } else {
        given
    };
    let (changed, gone) = difference(old, object, resource);
    if changed.is_empty() && gone.is_empty() {
        write(object, &base);
        return;
    }
    let mut entries = take_from_all(base, &changed, &gone);
    let own = entries.iter_mut().find(|e| e.is(manager, "Update", subresource));
    match own {
        Some(own) => {
            own.fields = own.fields.union(&changed);
            own.time = object::now();
        }
        None if changed.is_empty() => {}
        None => entries.push(entry(resource, manager, "Update", subresource, changed)),
    }
    write(object, &entries);
}

/// Nobody keeps fields that changed hands or are gone.
fn take_from_all(entries: Vec<Entry>, changed: &FieldSet, gone: &FieldSet) -> Vec<Entry> {
    entries
        .into_iter()
        .map(|mut e| {
            e.fields = e.fields.minus(changed).minus(gone);
            e
        })
        .collect()
}

/// Whether two states of an object say the same, apart from when managers last wrote.
pub(crate) fn equal_but_times(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    let same_fields = |a: &Map<String, Value>, b: &Map<String, Value>, except: &[&str]| {
        let rest = |map: &Map<String, Value>| map.keys().filter(|k| !except.contains(&k.as_str())).count();
        rest(a) == rest(b)
            && a.iter()
                .filter(|(k, _)| !except.contains(&k.as_str()))
                .all(|(k, v)| b.get(k) == Some(v))
    };
    let empty = Map::new();
    let metadata =
        |object: &'_ Map<String, Value>| object.get("metadata").and_then(Value::as_object).cloned();
    let (own, other) = (
        metadata(a).unwrap_or_else(|| empty.clone()),
        metadata(b).unwrap_or(empty),
    );
    let managers = |metadata: &Map<String, Value>| -> Vec<Value> {
        let mut list = metadata
            .get("managedFields")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        list.iter_mut().for_each(|entry| {
            object::map(entry).remove("time");
        });
        list
    };
    same_fields(a, b, &["metadata"])
        && same_fields(&own, &other, &["managedFields", "resourceVersion"])
        && managers(&own) == managers(&other)
}
