//! Reading a mapping so that nothing in it is lost in silence.
//!
//! Fields are taken out one by one, and each getter notes where its value goes. What is left when the section is dropped
//! was asked for by nobody, and is noted as not carried. A value of the wrong type is noted in the same way.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::note::Scope;
use crate::api::shared::Duration;

/// A mapping of a Stash object and where it stands.
pub(super) struct Section<'s> {
    scope: &'s Scope,
    pointer: String,
    fields: Map<String, Value>,
}

impl<'s> Section<'s> {
    /// The mapping at a pointer of an object; empty when there is none.
    pub(super) fn of(scope: &'s Scope, object: &Value, pointer: &str) -> Self {
        let fields = match object.pointer(pointer) {
            Some(Value::Object(fields)) => fields.clone(),
            None | Some(Value::Null) => Map::new(),
            Some(_) => {
                scope.not_carried(pointer, "a mapping is wanted here", "");
                Map::new()
            }
        };
        Self::with(scope, pointer.to_owned(), fields)
    }

    fn with(scope: &'s Scope, pointer: String, mut fields: Map<String, Value>) -> Self {
        fields.retain(|_, value| !value.is_null());
        Self {
            scope,
            pointer,
            fields,
        }
    }

    pub(super) fn scope(&self) -> &'s Scope {
        self.scope
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// The pointer of a field.
    pub(super) fn at(&self, key: &str) -> String {
        format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"))
    }

    /// Takes a field out; whoever does so says what becomes of it.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.fields.remove(key)
    }

    /// What is left, as a value.
    pub(super) fn value(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// The names of the fields that are left.
    pub(super) fn keys(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    fn read<T>(
        &mut self,
        key: &str,
        to: &str,
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let found = read(&value);
        match found {
            Some(_) if to.is_empty() => {}
            Some(_) => self.scope.carried(&self.at(key), to),
            None => self
                .scope
                .not_carried(&self.at(key), &format!("{wanted} is wanted here"), ""),
        }
        found
    }

    /// A text that is not empty. With an empty `to` nothing is noted, here and below.
    pub(super) fn text(&mut self, key: &str, to: &str) -> Option<String> {
        self.read(key, to, "text", |value| value.as_str().map(str::to_owned))
            .filter(|text| !text.is_empty())
    }

    pub(super) fn flag(&mut self, key: &str, to: &str) -> Option<bool> {
        self.read(key, to, "true or false", Value::as_bool)
    }

    pub(super) fn number(&mut self, key: &str, to: &str) -> Option<i64> {
        self.read(key, to, "a whole number", Value::as_i64)
    }

    /// A list of texts; empty when there is none.
    pub(super) fn texts(&mut self, key: &str, to: &str) -> Vec<String> {
        self.read(key, to, "a list of texts", |value| {
            value
                .as_array()?
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
    }

    pub(super) fn duration(&mut self, key: &str, to: &str) -> Option<Duration> {
        self.read(key, to, "a duration such as 30m", |value| {
            value.as_str()?.parse().ok()
        })
    }

    /// A mapping below this one.
    pub(super) fn section(&mut self, key: &str) -> Option<Section<'s>> {
        let pointer = self.at(key);
        match self.take(key)? {
            Value::Object(fields) => Some(Self::with(self.scope, pointer, fields)),
            _ => {
                self.scope.not_carried(&pointer, "a mapping is wanted here", "");
                None
            }
        }
    }

    /// A list of mappings.
    pub(super) fn sections(&mut self, key: &str) -> Vec<Section<'s>> {
        let pointer = self.at(key);
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let Value::Array(items) = value else {
            self.scope.not_carried(&pointer, "a list is wanted here", "");
            return Vec::new();
        };
        let mut found = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            match item {
                Value::Object(fields) => found.push(Self::with(self.scope, pointer, fields)),
                _ => self.scope.not_carried(&pointer, "a mapping is wanted here", ""),
            }
        }
        found
    }

    /// A value of a type of ours or of Kubernetes; fields that the type does not know are noted.
    pub(super) fn typed<T: DeserializeOwned + Serialize>(&mut self, key: &str, to: &str) -> Option<T> {
        let pointer = self.at(key);
        let value = self.take(key)?;
        typed(self.scope, &value, &pointer, to)
    }

    /// Everything that is left, as one value of a type.
    pub(super) fn rest<T: DeserializeOwned + Serialize>(&mut self, to: &str) -> Option<T> {
        let value = Value::Object(std::mem::take(&mut self.fields));
        typed(self.scope, &value, &self.pointer, to)
    }

    /// Passes over what is left: a note about the whole says why.
    pub(super) fn abandon(mut self) {
        self.fields.clear();
    }

    /// Takes a field that has no place.
    pub(super) fn refuse(&mut self, key: &str, why: &str, way_out: &str) {
        if self.take(key).is_some_and(|value| !is_nothing(&value)) {
            self.scope.not_carried(&self.at(key), why, way_out);
        }
    }

    /// Takes a field whose work is done in another way.
    pub(super) fn replace(&mut self, key: &str, to: &str, how: &str) {
        if self.take(key).is_some_and(|value| !is_nothing(&value)) {
            self.scope.changed(&self.at(key), to, how);
        }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        for key in self.keys() {
            self.scope.not_carried(
                &self.at(&key),
                "Stash has no such field, as far as this program knows",
                "check its spelling; Stash ignores what it does not know",
            );
        }
    }
}

fn typed<T: DeserializeOwned + Serialize>(
    scope: &Scope,
    value: &Value,
    pointer: &str,
    to: &str,
) -> Option<T> {
    let read: T = match serde_json::from_value(value.clone()) {
        Ok(read) => read,
        Err(error) => {
            scope.not_carried(pointer, &format!("it cannot be read: {error}"), "");
            return None;
        }
    };
    if !to.is_empty() {
        scope.carried(pointer, to);
    }
    let mut lost = Vec::new();
    missing(
        value,
        &serde_json::to_value(&read).unwrap_or_default(),
        pointer,
        &mut lost,
    );
    for pointer in lost {
        scope.not_carried(
            &pointer,
            "the type that holds it has no such field",
            "check its spelling",
        );
    }
    Some(read)
}

/// The fields of `given` that `kept` does not have.
fn missing(given: &Value, kept: &Value, pointer: &str, lost: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), _) => {
            for (key, value) in given.iter().filter(|(_, value)| !is_nothing(value)) {
                let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match kept.get(key) {
                    Some(kept) => missing(value, kept, &below, lost),
                    None => lost.push(below),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                missing(given, kept, &format!("{pointer}/{index}"), lost);
            }
        }
        _ => {}
    }
}

/// A value that says nothing: types leave such fields out.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(true) => false,
    }
}
