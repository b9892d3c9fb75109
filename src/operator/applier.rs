//! The one writer of the operator.
//!
//! Promises: objects are written by server-side apply under the field manager `kubestash`; a status equal to the one
//! that was read is not written; a status is written as the difference to what was read and, where it replaces a list,
//! only onto the version that was read, so nobody's update is lost; creating what exists and deleting what is gone are
//! no errors. Every method is idempotent, so a reconcile killed between two writes repeats them without harm.

use std::fmt::Debug;

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::Error;

/// The field manager of everything the operator writes.
pub const FIELD_MANAGER: &str = "kubestash";

/// Writes objects, statuses and finalizers.
#[derive(Clone)]
pub struct Applier {
    client: Client,
}

/// What the applier needs of a namespaced kind.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

impl Applier {
    /// A writer that uses `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api<K: Kind>(&self, object: &K) -> Api<K> {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }

    /// Server-side applies `object` (which must have name and namespace) and returns it as stored.
    ///
    /// # Errors
    /// What the API server answered.
    pub async fn apply<K: Kind>(&self, object: &K) -> Result<K, Error> {
        let mut body = typed(object)?;
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
        }
        // An empty status would take ownership of fields other writers fill in.
        if let Some(body) = body.as_object_mut() {
            body.remove("status");
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        Ok(self
            .api(object)
            .patch(&object.name_any(), &params, &Patch::Apply(&body))
            .await?)
    }

    /// Creates `object` unless one of its name exists; returns the stored object and whether this call created it.
    ///
    /// # Errors
    /// What the API server answered, but not that the object exists.
    pub async fn create_if_absent<K: Kind>(&self, object: &K) -> Result<(K, bool), Error> {
        let api = self.api(object);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match api.create(&params, object).await {
            Ok(created) => Ok((created, true)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                Ok((api.get(&object.name_any()).await?, false))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates `object` unless one of its name exists, whatever that one looks like; returns whether this call created it.
    ///
    /// # Errors
    /// What the API server answered, but not that the object exists.
    pub async fn create<K: Kind>(&self, object: &K) -> Result<bool, Error> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.api(object).create(&params, object).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Server-side applies `object` unless the stored one says (by its [`APPLIED`] annotation) that it is the result of
    /// exactly this. Costs a read where it saves a write.
    ///
    /// # Errors
    /// What the API server answered.
    pub async fn ensure<K: Kind>(&self, object: &K) -> Result<K, Error> {
        let mark = fingerprint(object)?;
        if let Some(stored) = self.api(object).get_opt(&object.name_any()).await?
            && stored.annotations().get(APPLIED) == Some(&mark)
            && stored.meta().deletion_timestamp.is_none()
        {
            return Ok(stored);
        }
        let mut marked = object.clone();
        marked.annotations_mut().insert(APPLIED.to_owned(), mark);
        self.apply(&marked).await
    }

    /// Writes `status` as [`Applier::patch_status`] does and returns the object as it is then.
    ///
    /// # Errors
    /// [`Error::Conflict`], or what the API server answered.
    pub async fn write_status<K: Kind, S: Serialize>(&self, object: &K, status: &S) -> Result<K, Error> {
        let Some(body) = status_patch(object, status)? else {
            return Ok(object.clone());
        };
        Ok(self
            .api(object)
            .patch_status(&object.name_any(), &manager(), &Patch::Merge(&body))
            .await?)
    }

    /// Writes the difference between the status in `object` and `status`; returns whether anything was written.
    ///
    /// `object` is the object as it was read. When the difference replaces a list, the write carries the version that
    /// was read and fails with [`Error::Conflict`] if the object has changed since.
    ///
    /// # Errors
    /// [`Error::Conflict`], or what the API server answered.
    pub async fn patch_status<K: Kind, S: Serialize>(&self, object: &K, status: &S) -> Result<bool, Error> {
        let Some(body) = status_patch(object, status)? else {
            return Ok(false);
        };
        self.api(object)
            .patch_status(&object.name_any(), &manager(), &Patch::Merge(&body))
            .await?;
        Ok(true)
    }

    /// Merge-patches `patch` into `object`, onto the version that was read.
    ///
    /// # Errors
    /// [`Error::Conflict`], or what the API server answered.
    pub async fn merge<K: Kind>(&self, object: &K, mut patch: Value) -> Result<K, Error> {
        if let Some(version) = object.resource_version() {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        Ok(self
            .api(object)
            .patch(&object.name_any(), &manager(), &Patch::Merge(&patch))
            .await?)
    }

    /// Adds `finalizer` if it is missing; returns the object as stored.
    ///
    /// # Errors
    /// [`Error::Conflict`], or what the API server answered.
    pub async fn add_finalizer<K: Kind>(&self, object: &K, finalizer: &str) -> Result<K, Error> {
        if object.finalizers().iter().any(|f| f == finalizer) {
            return Ok(object.clone());
        }
        let mut all = object.finalizers().to_vec();
        all.push(finalizer.to_owned());
        self.merge(object, json!({ "metadata": { "finalizers": all } }))
            .await
    }

    /// Removes `finalizer` if it is there. That the object is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Conflict`], or what the API server answered.
    pub async fn remove_finalizer<K: Kind>(&self, object: &K, finalizer: &str) -> Result<(), Error> {
        if !object.finalizers().iter().any(|f| f == finalizer) {
            return Ok(());
        }
        let rest: Vec<_> = object.finalizers().iter().filter(|f| *f != finalizer).collect();
        match self
            .merge(object, json!({ "metadata": { "finalizers": rest } }))
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the object of that name with everything it owns, in the background. That it is gone is no error.
    ///
    /// # Errors
    /// What the API server answered.
    pub async fn delete<K: Kind>(&self, namespace: &str, name: &str) -> Result<(), Error> {
        self.delete_with::<K>(namespace, name, None).await
    }

    /// Deletes exactly the object that was read: one of the same name made since is left alone.
    ///
    /// # Errors
    /// What the API server answered.
    pub async fn delete_object<K: Kind>(&self, object: &K) -> Result<(), Error> {
        let namespace = object.namespace().unwrap_or_default();
        self.delete_with::<K>(&namespace, &object.name_any(), object.uid())
            .await
    }

    async fn delete_with<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<String>,
    ) -> Result<(), Error> {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(name, &params).await {
            Ok(_) => Ok(()),
            // 409: the precondition names another UID, so the object that was meant is gone.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Annotation with the fingerprint of what was applied last.
pub const APPLIED: &str = "kubestash.com/applied";

/// A short hash over everything that is applied.
fn fingerprint<K: Kind>(object: &K) -> Result<String, Error> {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(typed(object)?.to_string().as_bytes());
    Ok(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// The body that turns the object's status into `status`; nothing when it is that already.
fn status_patch<K: Kind, S: Serialize>(object: &K, status: &S) -> Result<Option<Value>, Error> {
    let old = typed(object)?.get("status").cloned().unwrap_or(Value::Null);
    let new = serde_json::to_value(status).map_err(|e| Error::Step(e.to_string()))?;
    let Some(difference) = difference(&old, &new) else {
        return Ok(None);
    };
    let mut body = json!({ "status": difference });
    if replaces_a_list(&difference)
        && let Some(version) = object.resource_version()
    {
        body["metadata"] = json!({ "resourceVersion": version });
    }
    Ok(Some(body))
}

fn manager() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// The object as JSON with apiVersion and kind.
fn typed<K: Kind>(object: &K) -> Result<Value, Error> {
    let mut body = serde_json::to_value(object).map_err(|e| Error::Step(e.to_string()))?;
    body["apiVersion"] = json!(K::api_version(&()));
    body["kind"] = json!(K::kind(&()));
    Ok(body)
}

/// The JSON merge patch that turns `old` into `new`; nothing when they are equal.
#[must_use]
pub fn difference(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (old, new) if old == new => None,
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (key, value) in new {
                match old.get(key) {
                    Some(before) => {
                        if let Some(change) = difference(before, value) {
                            patch.insert(key.clone(), change);
                        }
                    }
                    None => {
                        patch.insert(key.clone(), value.clone());
                    }
                }
            }
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            Some(Value::Object(patch))
        }
        (_, new) => Some(new.clone()),
    }
}

/// A merge patch replaces lists whole; such a patch must not land on a version other than the one it was made from.
fn replaces_a_list(patch: &Value) -> bool {
    match patch {
        Value::Array(_) => true,
        Value::Object(map) => map.values().any(replaces_a_list),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_difference_turns_one_into_the_other(old in json_value(), new in json_value()) {
            match difference(&old, &new) {
                None => prop_assert_eq!(old, new),
                Some(patch) => {
                    let mut patched = old.clone();
                    json_patch::merge(&mut patched, &patch);
                    prop_assert_eq!(patched, new);
                }
            }
        }
    }

    #[test]
    fn untouched_fields_stay_out_of_the_patch() {
        let old = json!({"phase": "Running", "components": {"a": {"phase": "Running"}}});
        let new = json!({"phase": "Failed", "components": {"a": {"phase": "Running"}}});
        assert_eq!(difference(&old, &new), Some(json!({"phase": "Failed"})));
    }

    #[test]
    fn only_lists_need_the_version_that_was_read() {
        assert!(replaces_a_list(&json!({"a": {"conditions": []}})));
        assert!(!replaces_a_list(&json!({"phase": "Ready", "gone": null})));
    }
}
