//! How controllers write: through the informer of the kind, which takes in what the API server answers.

use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use serde::Serialize;
use serde_json::{Map, Value};

use super::informer::{Informer, Object};
use super::{Error, Key, is_terminating};

impl<K: Object> Informer<K> {
    /// The API of one namespace (or of the cluster, for kinds without).
    pub(in super::super) fn api(&self, namespace: &str) -> Api<K> {
        (self.open)(namespace)
    }

    /// Reads the object from the API server, past the cache, and takes it in.
    pub(in super::super) async fn fetch(&self, key: &Key) -> Result<Option<Arc<K>>, Error> {
        Ok(self
            .api(&key.namespace)
            .get_opt(&key.name)
            .await?
            .map(|object| self.observe(object)))
    }

    /// Creates the object in the namespace its metadata names.
    pub(in super::super) async fn create(&self, object: &K) -> Result<Arc<K>, Error> {
        let api = self.api(object.meta().namespace.as_deref().unwrap_or_default());
        let created = api.create(&PostParams::default(), object).await?;
        Ok(self.observe(created))
    }

    /// Writes the differences between two states of an object, save its status. Fails with a conflict if the
    /// object has changed since `old`; writes nothing if there is no difference.
    pub(in super::super) async fn update(&self, old: &K, new: &K) -> Result<(), Error> {
        let mut patch = difference(&to_value(old)?, &to_value(new)?);
        if let Value::Object(fields) = &mut patch {
            fields.remove("status");
        }
        self.patch(old, patch, None).await
    }

    /// As [`Informer::update`], for the status alone.
    pub(in super::super) async fn update_status(&self, old: &K, new: &K) -> Result<(), Error> {
        let mut patch = difference(&to_value(old)?, &to_value(new)?);
        if let Value::Object(fields) = &mut patch {
            fields.retain(|field, _| field == "status");
        }
        self.patch(old, patch, Some("status")).await
    }

    async fn patch(&self, old: &K, mut patch: Value, subresource: Option<&str>) -> Result<(), Error> {
        let Value::Object(fields) = &mut patch else {
            return Ok(());
        };
        if fields.is_empty() {
            return Ok(());
        }
        let metadata = fields
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(metadata), Some(version)) = (metadata, old.resource_version()) {
            metadata.insert("resourceVersion".to_owned(), Value::String(version));
        }
        let api = self.api(old.meta().namespace.as_deref().unwrap_or_default());
        let name = old.name_any();
        let params = PatchParams::default();
        let patch = Patch::Merge(&patch);
        let written = match subresource {
            None => api.patch(&name, &params, &patch).await?,
            Some(subresource) => api.patch_subresource(subresource, &name, &params, &patch).await?,
        };
        self.observe(written);
        Ok(())
    }

    /// Deletes exactly this object (never a namesake made since). One that is gone already is no error.
    pub(in super::super) async fn delete(
        &self,
        object: &K,
        propagation: Option<PropagationPolicy>,
    ) -> Result<(), Error> {
        self.delete_with(
            object,
            DeleteParams {
                propagation_policy: propagation,
                ..DeleteParams::default()
            },
        )
        .await
    }

    /// Deletes exactly this object at once, without its grace period.
    pub(in super::super) async fn delete_now(&self, object: &K) -> Result<(), Error> {
        self.delete_with(object, DeleteParams::default().grace_period(0))
            .await
    }

    async fn delete_with(&self, object: &K, params: DeleteParams) -> Result<(), Error> {
        let params = params.preconditions(Preconditions {
            uid: object.uid(),
            resource_version: None,
        });
        let api = self.api(object.meta().namespace.as_deref().unwrap_or_default());
        let left = match api.delete(&object.name_any(), &params).await.map_err(Error::from) {
            Ok(outcome) => outcome.left().filter(is_terminating),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        match left {
            Some(left) => drop(self.observe(left)),
            None => self.forget(&Key::of(object), object.meta().uid.as_deref()),
        }
        Ok(())
    }
}

fn to_value(object: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(object)
        .map_err(|error| Error::Other(format!("could not write an object as JSON: {error}")))
}

/// The JSON merge patch that leads from one value to the other; an empty object where they are equal.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return new.clone();
    };
    let mut patch = Map::new();
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        patch.insert(field.clone(), Value::Null);
    }
    for (field, value) in new {
        match old.get(field) {
            Some(known) if known == value => {}
            Some(known @ Value::Object(_)) if value.is_object() => {
                patch.insert(field.clone(), difference(known, value));
            }
            _ => {
                patch.insert(field.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_sets_changes_and_removes() {
        let old = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        let new = json!({"a": 1, "b": {"c": 4}, "e": [1, 2], "f": "x"});
        let patch = difference(&old, &new);
        assert_eq!(patch, json!({"b": {"c": 4, "d": null}, "e": [1, 2], "f": "x"}));
        let mut patched = old.clone();
        json_patch::merge(&mut patched, &patch);
        assert_eq!(patched, new);
        assert_eq!(difference(&new, &new), json!({}));
    }
}
