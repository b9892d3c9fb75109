//! What is backed up or restored, and which Addon of KubeStash does it.

use serde_json::Value;

use super::known::{Known, TargetKey};
use super::section::Section;
use super::{Scope, text};
use crate::api::shared::TypedObjectReference;

/// The Addons of KubeStash's catalog for databases and the like; the names of Stash's tasks begin with the same words.
const DATABASES: [&str; 18] = [
    "cassandra",
    "clickhouse",
    "druid",
    "elasticsearch",
    "etcd",
    "mariadb",
    "mongodb",
    "mssqlserver",
    "mysql",
    "neo4j",
    "opensearch",
    "postgres",
    "qdrant",
    "redis",
    "singlestore",
    "solr",
    "vault",
    "zookeeper",
];

/// What kind of thing a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nature {
    /// A Deployment, StatefulSet or DaemonSet.
    Workload,
    /// A PersistentVolumeClaim.
    Claim,
    /// A database, or what an AppBinding leads to.
    Database,
    /// The objects of the cluster, or of one namespace.
    Cluster { namespace: Option<String> },
}

/// A target as KubeStash names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) nature: Nature,
    /// Absent for the cluster.
    pub(super) reference: Option<TypedObjectReference>,
    /// As Stash names it.
    pub(super) key: TargetKey,
    /// The Addon, where it is known.
    pub(super) addon: Option<String>,
}

impl Target {
    /// Namespace and name for the directory in the storage.
    pub(super) fn directory(&self, own_namespace: &str) -> (String, String) {
        match (&self.reference, &self.nature) {
            (Some(reference), _) => (
                reference.namespace_or(own_namespace).to_owned(),
                reference.name.clone(),
            ),
            (
                None,
                Nature::Cluster {
                    namespace: Some(name),
                },
            ) => (name.clone(), "manifests".to_owned()),
            (None, _) => ("cluster".to_owned(), "manifests".to_owned()),
        }
    }
}

/// Reads `target.ref` (`target` is taken out of the section only as far as that goes). `None`, with a note, when KubeStash
/// cannot work on it.
pub(super) fn read(
    scope: &Scope,
    target: Option<&mut Section<'_>>,
    task: &str,
    own_namespace: &str,
    known: &Known<'_>,
    to: &str,
) -> Option<Target> {
    let Some(target) = target else {
        return whole_cluster(scope, "/spec/target", task);
    };
    let pointer = target.at("ref");
    target.replace(
        "alias",
        "",
        "KubeStash names components itself (dump, dump-pod-0, …); no alias is needed",
    );
    let Some(mut reference) = target.section("ref") else {
        return whole_cluster(scope, &pointer, task);
    };
    let version = reference.text("apiVersion", "").unwrap_or_default();
    let kind = reference.text("kind", "").unwrap_or_default();
    let name = reference.text("name", "").unwrap_or_default();
    let namespace = reference
        .text("namespace", "")
        .unwrap_or_else(|| own_namespace.to_owned());
    let key = (kind.clone(), namespace.clone(), name.clone());
    let mut made = Target {
        nature: Nature::Workload,
        reference: Some(TypedObjectReference {
            api_group: None,
            kind: Some(kind.clone()),
            namespace: Some(namespace.clone()),
            name: name.clone(),
        }),
        key,
        addon: None,
    };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    match (kind.as_str(), group) {
        ("Deployment" | "StatefulSet" | "DaemonSet", _) => {
            made.reference.as_mut()?.api_group = Some("apps".to_owned());
            made.addon = Some("workload-addon".to_owned());
        }
        ("PersistentVolumeClaim", _) => {
            made.nature = Nature::Claim;
            made.addon = Some("pvc-addon".to_owned());
        }
        ("AppBinding", _) => app_binding(&mut made, task, known),
        ("Namespace", _) => {
            let how = "the Addon kubedump-addon backs up the objects of this namespace";
            scope.changed(&pointer, "", how);
            return Some(cluster(Some(name)));
        }
        _ => {
            scope.not_carried(
                &pointer,
                &format!("KubeStash cannot work on a {kind}"),
                "name a Deployment, StatefulSet, DaemonSet or PersistentVolumeClaim that holds the data, and convert again",
            );
            return None;
        }
    }
    scope.carried(&pointer, to);
    Some(made)
}

/// No target: a task of Stash that backs up the objects of the cluster, or a mistake.
fn whole_cluster(scope: &Scope, pointer: &str, task: &str) -> Option<Target> {
    if task.starts_with("kubedump") {
        return Some(cluster(None));
    }
    let why = "nothing says what to back up or restore";
    scope.not_carried(pointer, why, "name it in spec.target.ref and convert again");
    None
}

fn cluster(namespace: Option<String>) -> Target {
    Target {
        key: (
            "Namespace".to_owned(),
            String::new(),
            namespace.clone().unwrap_or_default(),
        ),
        nature: Nature::Cluster { namespace },
        reference: None,
        addon: Some("kubedump-addon".to_owned()),
    }
}

/// The database behind an AppBinding, when the AppBinding is among the inputs and says so; otherwise the AppBinding,
/// which KubeStash takes as a target too.
fn app_binding(made: &mut Target, task: &str, known: &Known<'_>) {
    made.nature = Nature::Database;
    let (_, namespace, name) = &made.key;
    let binding = known.find("AppBinding", namespace, name);
    let Some(reference) = made.reference.as_mut() else {
        return;
    };
    reference.api_group = Some("appcatalog.appscode.com".to_owned());
    let type_ = binding.map_or("", |binding| text(binding, "/spec/type"));
    made.addon = addon_of_task(task).or_else(|| addon_of_word(type_));
    let Some(app) = binding
        .and_then(|binding| binding.pointer("/spec/appRef"))
        .filter(|app| !text(app, "/kind").is_empty() && !text(app, "/name").is_empty())
    else {
        return;
    };
    let given = |pointer: &str| Some(text(app, pointer).to_owned()).filter(|text| !text.is_empty());
    *reference = TypedObjectReference {
        api_group: given("/apiGroup"),
        kind: given("/kind"),
        namespace: given("/namespace").or_else(|| Some(namespace.clone())),
        name: text(app, "/name").to_owned(),
    };
    made.addon = made.addon.take().or_else(|| addon_of_word(reference.kind()));
}

/// The Addon for a task of Stash's catalog such as `postgres-backup-14.0`.
pub(super) fn addon_of_task(task: &str) -> Option<String> {
    let word = task.split("-backup").next()?.split("-restore").next()?;
    match word {
        "pvc" if task != word => Some("pvc-addon".to_owned()),
        "kubedump" => Some("kubedump-addon".to_owned()),
        _ => addon_of_word(word),
    }
}

/// `postgres`, `Postgres` and `kubedb.com/postgres` are all one.
fn addon_of_word(word: &str) -> Option<String> {
    let word = word.rsplit('/').next()?.to_lowercase();
    DATABASES
        .contains(&word.as_str())
        .then(|| format!("{word}-addon"))
}

/// A task of Stash and its parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Task {
    pub(super) name: String,
    /// Pointer of the name.
    pub(super) pointer: String,
    /// Name, value and pointer.
    pub(super) params: Vec<(String, String, String)>,
}

/// Reads `task`.
pub(super) fn task(spec: &mut Section<'_>) -> Task {
    let mut found = Task {
        pointer: spec.at("task"),
        ..Task::default()
    };
    let Some(mut task) = spec.section("task") else {
        return found;
    };
    found.name = task.text("name", "").unwrap_or_default();
    for mut param in task.sections("params") {
        let pointer = param.at("value");
        let name = param.text("name", "").unwrap_or_default();
        let value = match param.take("value") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        found.params.push((name, value, pointer));
    }
    found
}
