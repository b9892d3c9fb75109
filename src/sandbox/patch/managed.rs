//! `metadata.managedFields`: who last set which field. Every write keeps it up, so that server-side apply can tell
//! a conflict from a field nobody cares for.

use serde_json::{Map, Value, json};

use super::fieldset::{self, FieldSet};
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;

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

/// The object without what nobody manages.
pub(crate) fn manageable(object: &Value) -> Value {
    let mut map: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    map.remove("apiVersion");
    map.remove("kind");
    if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
        UNMANAGED.iter().for_each(|field| {
            metadata.remove(*field);
        });
        if metadata.is_empty() {
            map.remove("metadata");
        }
    }
    Value::Object(map)
}

/// All manageable fields of an object.
pub(crate) fn fields_of(object: &Value, resource: &Resource) -> FieldSet {
    let mut set = fieldset::of(&manageable(object), resource.schema());
    set.owned = false;
    set
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
    let (changed, gone) = fieldset::difference(&manageable(old), &manageable(object), resource.schema());
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
    let strip = |object: &Value| {
        let mut copy = object.clone();
        let metadata = object::metadata(&mut copy);
        metadata.remove("resourceVersion");
        if let Some(Value::Array(list)) = metadata.get_mut("managedFields") {
            list.iter_mut().for_each(|e| {
                object::map(e).remove("time");
            });
        }
        copy
    };
    strip(a) == strip(b)
}
