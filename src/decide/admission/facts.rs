//! The other objects that admission compares with.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::addons::Addon;
use crate::api::core::HookTemplate;
use crate::api::storage::{BackupStorage, Repository, RetentionPolicy};
use crate::decide::usage_policy::Labels;

/// The other objects that the rules of admission compare with, as far as the caller knows them. An object that is
/// missing here is treated as one that does not exist, which most rules allow.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Of the whole cluster.
    pub storages: Vec<Arc<BackupStorage>>,
    /// Of the whole cluster.
    pub retention_policies: Vec<Arc<RetentionPolicy>>,
    /// Of the whole cluster.
    pub repositories: Vec<Arc<Repository>>,
    /// Of the whole cluster.
    pub hook_templates: Vec<Arc<HookTemplate>>,
    /// `None` when nobody looked: then nothing is said about missing Addons and tasks.
    pub addons: Option<Vec<Arc<Addon>>>,
    /// Labels by name of namespace.
    pub namespaces: BTreeMap<String, Labels>,
}

fn put<K: DeserializeOwned>(list: &mut Vec<Arc<K>>, object: &Value) -> bool {
    let Ok(typed) = serde_json::from_value::<K>(object.clone()) else {
        return false;
    };
    list.push(Arc::new(typed));
    true
}

impl Facts {
    /// Adds an object given as JSON, whatever its kind; kinds that no rule compares with are passed over. Answers whether
    /// it was taken. Give every object once.
    pub fn add(&mut self, object: &Value) -> bool {
        match object.get("kind").and_then(Value::as_str) {
            Some("BackupStorage") => put(&mut self.storages, object),
            Some("RetentionPolicy") => put(&mut self.retention_policies, object),
            Some("Repository") => put(&mut self.repositories, object),
            Some("HookTemplate") => put(&mut self.hook_templates, object),
            Some("Addon") => put(self.addons.get_or_insert_default(), object),
            Some("Namespace") => {
                let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str) else {
                    return false;
                };
                let labels = object.pointer("/metadata/labels").cloned().unwrap_or_default();
                self.namespaces.insert(
                    name.to_owned(),
                    serde_json::from_value(labels).unwrap_or_default(),
                );
                true
            }
            _ => false,
        }
    }

    /// The labels of a namespace; none when it is not known.
    pub(super) fn labels(&self, namespace: &str) -> &Labels {
        static NONE: Labels = BTreeMap::new();
        self.namespaces.get(namespace).unwrap_or(&NONE)
    }
}

/// The object of that namespace and name.
pub(super) fn find<'a, K: kube::ResourceExt>(
    list: &'a [Arc<K>],
    namespace: &str,
    name: &str,
) -> Option<&'a K> {
    list.iter()
        .find(|object| {
            object.meta().name.as_deref() == Some(name)
                && object.meta().namespace.as_deref() == Some(namespace)
        })
        .map(AsRef::as_ref)
}
