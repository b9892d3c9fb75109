//! What the cluster has, as far as the wizards' choices and defaults need it.
//!
//! A list that the user may not read is empty and noted: whoever may create a backup need not be allowed to list
//! everything, and what cannot be offered can still be typed.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::target::{self, Target};
use crate::api::addons::Addon;
use crate::api::core::BackupConfiguration;
use crate::api::storage::{BackupStorage, Repository, RetentionPolicy, Snapshot};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::decide::admission::Facts;

/// A namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A Secret, without its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretKeys {
    /// Its name.
    pub name: String,
    /// The keys that it has.
    pub keys: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The namespace that the wizard works in.
    pub namespace: String,
    /// The moment.
    pub now: Timestamp,
    /// The namespaces of the cluster.
    pub namespaces: Vec<Namespace>,
    /// What can be backed up in the namespace.
    pub targets: Vec<Target>,
    /// BackupStorages of the cluster.
    pub storages: Vec<BackupStorage>,
    /// RetentionPolicies of the cluster.
    pub policies: Vec<RetentionPolicy>,
    /// Addons.
    pub addons: Vec<Addon>,
    /// Repositories of the cluster.
    pub repositories: Vec<Repository>,
    /// Snapshots of the namespace.
    pub snapshots: Vec<Snapshot>,
    /// BackupConfigurations of the namespace.
    pub configurations: Vec<BackupConfiguration>,
    /// Secrets of the namespace.
    pub secrets: Vec<SecretKeys>,
    /// Addresses of Services that look like S3 servers.
    pub endpoints: Vec<String>,
    /// Plurals that may not be read.
    pub unread: Vec<&'static str>,
    pub(super) objects: Vec<Value>,
}

impl Found {
    /// Whether a kind could be read, so that what is not in its list does not exist.
    pub fn read(&self, kind: &Kind) -> bool {
        !self.unread.contains(&kind.plural)
    }

    /// The labels of the wizard's namespace.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let own = self.namespaces.iter().find(|n| n.name == self.namespace);
        own.map(|n| n.labels.clone()).unwrap_or_default()
    }

    /// What admission compares with: everything found, and the new objects in place of older ones of their names.
    pub fn facts(&self, new: &[Value]) -> Facts {
        let key = |o: &Value| {
            let field = |pointer: &str| {
                o.pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            (
                field("/kind"),
                field("/metadata/namespace"),
                field("/metadata/name"),
            )
        };
        let mut facts = Facts::default();
        if self.read(&kinds::ADDON) {
            facts.addons = Some(Vec::new());
        }
        for object in self
            .objects
            .iter()
            .filter(|o| !new.iter().any(|n| key(n) == key(o)))
        {
            facts.add(object);
        }
        for object in new {
            facts.add(object);
        }
        facts
    }

    /// Adds an object of ours as the API server has it.
    pub fn add(&mut self, kind: &Kind, mut object: Value) {
        object["kind"] = json!(kind.kind);
        object["apiVersion"] = json!(kind.api_version());
        match kind.kind {
            "BackupStorage" => put(&mut self.storages, &object),
            "RetentionPolicy" => put(&mut self.policies, &object),
            "Addon" => put(&mut self.addons, &object),
            "Repository" => put(&mut self.repositories, &object),
            "Snapshot" => put(&mut self.snapshots, &object),
            "BackupConfiguration" => put(&mut self.configurations, &object),
            "Secret" => self.secrets.push(secret(&object)),
            "Namespace" => self.namespaces.push(Namespace {
                name: field(&object, "/metadata/name"),
                labels: object
                    .pointer("/metadata/labels")
                    .and_then(|l| serde_json::from_value(l.clone()).ok())
                    .unwrap_or_default(),
            }),
            "Service" => self.endpoints.extend(endpoint(&object)),
            _ => {}
        }
        // Secrets hold values that nothing here needs, and admission compares with none.
        if !matches!(kind.kind, "Secret" | "Service" | "Snapshot") {
            self.objects.push(object);
        }
    }
}

fn put<K: DeserializeOwned>(list: &mut Vec<K>, object: &Value) {
    // An object that this version cannot read is no choice.
    if let Ok(typed) = serde_json::from_value(object.clone()) {
        list.push(typed);
    }
}

fn field(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn secret(object: &Value) -> SecretKeys {
    let keys = object.get("data").and_then(Value::as_object);
    SecretKeys {
        name: field(object, "/metadata/name"),
        keys: keys
            .map(|data| data.keys().cloned().collect())
            .unwrap_or_default(),
    }
}

/// The address of a Service whose name or labels say that it speaks S3.
fn endpoint(service: &Value) -> Option<String> {
    let name = field(service, "/metadata/name");
    let namespace = field(service, "/metadata/namespace");
    let said = format!(
        "{name} {}",
        service
            .pointer("/metadata/labels")
            .map(ToString::to_string)
            .unwrap_or_default()
    );
    let known = ["minio", "rook-ceph-rgw", "seaweedfs-s3", "garage", "s3gateway"];
    if !known.iter().any(|word| said.contains(word)) || name.ends_with("console") || name.ends_with("-hl") {
        return None;
    }
    let ports = service.pointer("/spec/ports")?.as_array()?;
    let port = ports.first()?.get("port")?.as_u64()?;
    let (scheme, shown) = match port {
        443 => ("https", String::new()),
        80 => ("http", String::new()),
        other => ("http", format!(":{other}")),
    };
    Some(format!("{scheme}://{name}.{namespace}.svc{shown}"))
}

/// Reads what a wizard needs. Kinds of ours are read in the whole cluster where that is allowed, else in the namespace.
///
/// # Errors
/// When KubeStash is not installed, or the API server cannot be asked; a forbidden list is not an error.
pub async fn fetch(
    cluster: &Cluster,
    namespace: &str,
    now: Timestamp,
    ours: &[&'static Kind],
    builtin: &[&'static Kind],
) -> Result<Found, Error> {
    let mut found = Found {
        namespace: namespace.to_owned(),
        now,
        ..Found::default()
    };
    let wide = ours.iter().map(|kind| {
        (
            *kind,
            kind.kind != "Snapshot" && kind.kind != "BackupConfiguration",
        )
    });
    let narrow = builtin
        .iter()
        .map(|kind| (*kind, *kind == &kinds::SERVICE || !kind.namespaced));
    let lists = try_join_all(
        wide.chain(narrow)
            .map(|(kind, everywhere)| list(cluster, kind, namespace, everywhere)),
    )
    .await?;
    let mut claims = Vec::new();
    let (mut workloads, mut others) = (Vec::new(), Vec::new());
    for (kind, objects) in lists {
        match objects {
            None => found.unread.push(kind.plural),
            Some(objects) if kind == &kinds::CLAIM => claims = objects,
            Some(objects) if target::KINDS.contains(&kind) => workloads.push((kind, objects)),
            Some(objects) if target::USERS.contains(&kind) => others.push((kind, objects)),
            Some(objects) => objects.into_iter().for_each(|object| found.add(kind, object)),
        }
    }
    found.targets = target::all(&claims, &workloads, &others);
    Ok(found)
}

type Listed = (&'static Kind, Option<Vec<Value>>);

async fn list(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    everywhere: bool,
) -> Result<Listed, Error> {
    let own = ListOptions::of(namespace);
    let first = if everywhere {
        ListOptions::default()
    } else {
        own.clone()
    };
    match cluster.list(kind, &first).await {
        Ok(objects) => Ok((kind, Some(objects))),
        Err(Error::Forbidden { .. }) if everywhere && kind.namespaced => match cluster.list(kind, &own).await
        {
            Ok(objects) => Ok((kind, Some(objects))),
            Err(Error::Forbidden { .. }) => Ok((kind, None)),
            Err(error) => Err(error),
        },
        Err(Error::Forbidden { .. }) => Ok((kind, None)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_servers_in_the_cluster_are_offered() {
        let service = |name: &str, port: u16| json!({"metadata": {"name": name, "namespace": "storage", "labels": {"app": "x"}}, "spec": {"ports": [{"port": port}]}});
        assert_eq!(
            endpoint(&service("minio", 9000)).as_deref(),
            Some("http://minio.storage.svc:9000")
        );
        assert_eq!(
            endpoint(&service("minio", 80)).as_deref(),
            Some("http://minio.storage.svc")
        );
        assert_eq!(endpoint(&service("minio-console", 9001)), None);
        assert_eq!(endpoint(&service("web", 80)), None);
    }

    #[test]
    fn secrets_are_known_by_their_keys_alone() {
        let mut found = Found::default();
        found.add(
            &kinds::SECRET,
            json!({"metadata": {"name": "s"}, "data": {"RESTIC_PASSWORD": "aHVudGVyMg=="}}),
        );
        assert_eq!(found.secrets[0].keys, ["RESTIC_PASSWORD"]);
        assert!(!format!("{found:?}").contains("aHVudGVyMg"));
    }
}
