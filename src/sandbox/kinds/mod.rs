//! Which kinds there are: the built-in ones and those that CustomResourceDefinitions add and remove at run time.

mod builtin;
mod custom;
pub(crate) mod definition;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

pub(crate) use custom::{Column, Custom};

use super::schema::{Schema, definitions};
use super::store::GroupResource;

/// Verbs of an ordinary stored kind.
pub(crate) const STORED_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// The newer group of Events, a second view of the core ones.
pub(crate) const EVENTS_GROUP: &str = "events.k8s.io";

/// Where a kind's schema comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A Kubernetes type, by its OpenAPI name such as `io.k8s.api.core.v1.Pod`.
    Builtin(&'static str),
    /// A version of a CRD.
    Custom(Arc<Custom>),
}

/// Paths of the scale subresource (`.spec.replicas`).
#[derive(Debug, Clone)]
pub(crate) struct ScalePaths {
    pub(crate) spec: Vec<String>,
    pub(crate) status: Vec<String>,
    /// Path of the selector's text, for CRDs that have one.
    pub(crate) selector: Option<Vec<String>>,
}

/// A kind of object in one version.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// The status subresource exists.
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// Empty for kinds that are not stored (reviews); these can only be created.
    pub(crate) verbs: &'static [&'static str],
    pub(crate) source: Source,
}

impl Resource {
    /// `apps/v1`, or `v1` for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The storage all versions of the kind share.
    pub(crate) fn storage(&self) -> GroupResource {
        // Events of both groups are the same objects, kept in the core form.
        let group = if self.group == EVENTS_GROUP {
            ""
        } else {
            &self.group
        };
        GroupResource::new(group, &self.plural)
    }

    /// The schema objects of this kind follow.
    pub(crate) fn schema(&self) -> &Schema {
        match &self.source {
            Source::Builtin(name) => definitions::get(name),
            Source::Custom(custom) => &custom.schema,
        }
    }

    /// The CRD version behind the kind, if it is not built in.
    pub(crate) fn custom(&self) -> Option<&Custom> {
        match &self.source {
            Source::Builtin(_) => None,
            Source::Custom(custom) => Some(custom),
        }
    }

    /// Whether this is the built-in kind of that group and name.
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        matches!(self.source, Source::Builtin(_)) && self.group == group && self.kind == kind
    }
}

/// All kinds, by group, version and plural name.
#[derive(Default)]
pub(crate) struct Registry {
    kinds: RwLock<BTreeMap<(String, String, String), Arc<Resource>>>,
}

impl Registry {
    /// The built-in kinds.
    pub(crate) fn new() -> Self {
        let kinds = builtin::all().map(|r| (key(&r), Arc::new(r))).collect();
        Self {
            kinds: RwLock::new(kinds),
        }
    }

    /// The kind served at a path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// All kinds in order of group, version and plural name.
    pub(crate) fn all(&self) -> Vec<Arc<Resource>> {
        self.kinds
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Serves what a CRD declares, and no longer what an older state of it declared.
    pub(crate) fn register(&self, crd: &Value) {
        let resources = custom::resources(crd);
        let (group, plural) = custom::names(crd);
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|(g, _, p), _| !(*g == group && *p == plural));
        for resource in resources {
            kinds.insert(key(&resource), Arc::new(resource));
        }
    }

    /// No longer serves what a CRD declared.
    pub(crate) fn unregister(&self, crd: &Value) {
        let (group, plural) = custom::names(crd);
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|(g, _, p), r| !(*g == group && *p == plural && r.custom().is_some()));
    }
}

fn key(resource: &Resource) -> (String, String, String) {
    (
        resource.group.clone(),
        resource.version.clone(),
        resource.plural.clone(),
    )
}
