//! What the inputs say about each other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::note::ObjectName;
use super::{Options, STASH_GROUP, name_of, text};
use crate::api::shared::ObjectReference;
use crate::decide::naming;

/// The key that holds the password of a restic repository.
pub(super) const PASSWORD: &str = "RESTIC_PASSWORD";

/// Names below which restic keeps its own files: a directory of that name must not be made beside an old repository.
const RESTIC_OWN: [&str; 5] = ["data", "index", "keys", "locks", "snapshots"];

/// A Stash Repository by namespace and name.
pub(super) type RepositoryKey = (String, String);

/// What is backed up: kind, namespace, name.
pub(super) type TargetKey = (String, String, String);

/// A configuration, or a member of a batch, that backs up into a Stash Repository.
#[derive(Debug, Clone)]
struct Use {
    namespace: String,
    /// The name that the BackupConfiguration has here.
    name: String,
    target: TargetKey,
}

/// All inputs, by what is asked of them.
pub(super) struct Known<'a> {
    pub(super) options: &'a Options,
    inputs: &'a [Value],
    uses: BTreeMap<RepositoryKey, Vec<Use>>,
    policies: RefCell<BTreeMap<(String, String), Value>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(inputs: &'a [Value], options: &'a Options) -> Self {
        let mut known = Self {
            options,
            inputs,
            uses: BTreeMap::new(),
            policies: RefCell::default(),
        };
        for object in inputs
            .iter()
            .filter(|o| text(o, "/apiVersion").starts_with(STASH_GROUP))
        {
            known.add_uses(object);
        }
        known
    }

    fn add_uses(&mut self, object: &Value) {
        let own = name_of(object, &self.options.namespace);
        let repository = text(object, "/spec/repository/name");
        let parts: Vec<(String, &Value)> = match text(object, "/kind") {
            "BackupConfiguration" => vec![(own.name.clone(), &object["spec"])],
            "BackupBatch" => members(object)
                .iter()
                .map(|member| (member_name(&own.name, member), member))
                .collect(),
            _ => return,
        };
        if repository.is_empty() {
            return;
        }
        let key = (
            or(text(object, "/spec/repository/namespace"), &own.namespace),
            repository.to_owned(),
        );
        let uses = self.uses.entry(key).or_default();
        for (name, part) in parts {
            if !uses
                .iter()
                .any(|u| u.namespace == own.namespace && u.name == name)
            {
                uses.push(Use {
                    namespace: own.namespace.clone(),
                    name,
                    target: target_key(part, &own.namespace),
                });
            }
        }
    }

    /// Whether the same object stands before this index.
    pub(super) fn given_before(&self, index: usize, object: &Value) -> bool {
        let name = name_of(object, &self.options.namespace);
        self.inputs[..index].iter().any(|other| {
            text(other, "/apiVersion") == text(object, "/apiVersion")
                && name_of(other, &self.options.namespace) == name
        })
    }

    /// The object of that kind, whatever its group.
    pub(super) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a Value> {
        let wanted = ObjectName {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.inputs.iter().find(|object| {
            text(object, "/kind") == kind && name_of(object, &self.options.namespace) == wanted
        })
    }

    /// A cluster-scoped object of Stash.
    pub(super) fn of_cluster(&self, kind: &str, name: &str) -> Option<&'a Value> {
        self.inputs
            .iter()
            .find(|o| text(o, "/kind") == kind && text(o, "/metadata/name") == name)
            .filter(|o| text(o, "/apiVersion").starts_with(STASH_GROUP))
    }

    /// An entry of a Secret, as it is before base64.
    pub(super) fn secret_entry(&self, namespace: &str, name: &str, key: &str) -> Option<String> {
        let secret = self.find("Secret", namespace, name)?;
        if let Some(plain) = secret
            .get("stringData")
            .and_then(|d| d.get(key))
            .and_then(Value::as_str)
        {
            return Some(plain.to_owned());
        }
        let encoded = secret.get("data")?.get(key)?.as_str()?;
        String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()
    }

    /// The Secret that encrypts what a configuration writes instead of into a Stash Repository.
    pub(super) fn encryption(&self, repository: &RepositoryKey) -> ObjectReference {
        let options = self.options;
        ObjectReference::new(
            options
                .encryption_secret_name
                .clone()
                .unwrap_or_else(|| encryption_secret(&repository.1)),
            options
                .encryption_secret_namespace
                .clone()
                .unwrap_or_else(|| repository.0.clone()),
        )
    }

    /// Whether the user has a Secret of their own for encryption.
    pub(super) fn encryption_is_given(&self) -> bool {
        self.options.encryption_secret_name.is_some() || self.options.encryption_secret_namespace.is_some()
    }

    /// The Repository and the directory of a configuration. One Repository of KubeStash belongs to one application and
    /// has one directory, so configurations that shared a Stash Repository get one each.
    pub(super) fn place(
        &self,
        repository: &RepositoryKey,
        (namespace, configuration): (&str, &str),
        (target_namespace, target_name): (&str, &str),
    ) -> (String, String) {
        let uses = self.uses.get(repository).map_or(&[][..], Vec::as_slice);
        let mut directory = naming::join_path([target_namespace, target_name]);
        let same = uses
            .iter()
            .filter(|u| (u.target.1.as_str(), u.target.2.as_str()) == (target_namespace, target_name));
        if same.count() > 1 {
            directory = naming::join_path([&directory, configuration]);
        }
        if RESTIC_OWN.contains(&target_namespace) {
            directory = naming::join_path(["kubestash", &directory]);
        }
        let shared = uses.iter().filter(|u| u.namespace == namespace).count() > 1;
        let name = if shared {
            naming::join2(&repository.1, configuration)
        } else {
            repository.1.clone()
        };
        (name, directory)
    }

    /// Namespace and name of the Repository that holds the backups of a target, and whether that is certain.
    pub(super) fn repository_of(
        &self,
        repository: &RepositoryKey,
        target: &TargetKey,
    ) -> Option<ObjectReference> {
        let uses = self.uses.get(repository)?;
        let mut fitting = uses.iter().filter(|u| u.target == *target);
        let ((Some(found), None, _) | (None, _, [found])) = (fitting.next(), fitting.next(), uses.as_slice())
        else {
            return None;
        };
        let target = (found.target.1.as_str(), found.target.2.as_str());
        let (name, _) = self.place(repository, (&found.namespace, &found.name), target);
        Some(ObjectReference::new(name, &found.namespace))
    }

    /// The name for a RetentionPolicy: the wanted one, unless another policy has it already. The second answer says
    /// whether the policy is new.
    pub(super) fn policy_name(
        &self,
        namespace: &str,
        wanted: &str,
        owner: &str,
        spec: &Value,
    ) -> (String, bool) {
        let mut policies = self.policies.borrow_mut();
        for name in [wanted.to_owned(), naming::suffix(owner, wanted)] {
            let key = (namespace.to_owned(), name.clone());
            match policies.get(&key) {
                None => {
                    policies.insert(key, spec.clone());
                    return (name, true);
                }
                Some(known) if known == spec => return (name, false),
                Some(_) => {}
            }
        }
        (naming::suffix(owner, wanted), true)
    }

    /// A selector for the pods of a workload, when its manifest is among the inputs.
    pub(super) fn selector(&self, (kind, namespace, name): &TargetKey) -> Option<String> {
        let workload = self.find(kind, namespace, name)?;
        let selector = workload.pointer("/spec/selector")?;
        if selector
            .get("matchExpressions")
            .and_then(Value::as_array)
            .is_some_and(|e| !e.is_empty())
        {
            return None;
        }
        let labels: Vec<String> = selector
            .get("matchLabels")?
            .as_object()?
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
            .collect();
        (!labels.is_empty()).then(|| labels.join(","))
    }

    /// Where the containers of a workload mount its volumes: volume and path. `None` when the manifest is not there.
    pub(super) fn mounts(&self, (kind, namespace, name): &TargetKey) -> Option<BTreeSet<(String, String)>> {
        let workload = self.find(kind, namespace, name)?;
        let containers = workload.pointer("/spec/template/spec/containers")?.as_array()?;
        Some(
            containers
                .iter()
                .filter_map(|container| container.get("volumeMounts")?.as_array())
                .flatten()
                .map(|mount| {
                    (
                        text(mount, "/name").to_owned(),
                        text(mount, "/mountPath").to_owned(),
                    )
                })
                .collect(),
        )
    }
}

/// The Secret with the password of what was in a Stash Repository.
pub(super) fn encryption_secret(repository: &str) -> String {
    naming::suffix(repository, "encryption-secret")
}

fn members(batch: &Value) -> &[Value] {
    batch
        .pointer("/spec/members")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// What the BackupConfiguration or RestoreSession of a batch's member is called.
pub(super) fn member_name(batch: &str, member: &Value) -> String {
    let alias = text(member, "/target/alias");
    if !alias.is_empty() {
        return naming::join2(batch, alias);
    }
    let kind = text(member, "/target/ref/kind").to_lowercase();
    naming::join3(batch, &kind, text(member, "/target/ref/name"))
}

/// The target of a configuration, a member or a restore, as Stash names it.
pub(super) fn target_key(spec: &Value, namespace: &str) -> TargetKey {
    (
        text(spec, "/target/ref/kind").to_owned(),
        or(text(spec, "/target/ref/namespace"), namespace),
        text(spec, "/target/ref/name").to_owned(),
    )
}

fn or(given: &str, otherwise: &str) -> String {
    if given.is_empty() { otherwise } else { given }.to_owned()
}
