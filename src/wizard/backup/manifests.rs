//! The objects that the answers make: the encryption Secret and the RetentionPolicy where they are new, and the
//! BackupConfiguration.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::{State, addon, sessions};
use crate::cluster::kinds;
use crate::wizard::names;
use crate::wizard::retention::{Rules, policy_object};

/// The Secret that is to be made, with how to export its password; `None` where one exists.
pub fn new_secret(state: &State) -> Option<&str> {
    let name = state.answers.encryption_secret.as_deref()?;
    (!state.password.is_empty()).then_some(name)
}

/// The Repository of the answers: named as the configuration, or with a number where another application's Repository
/// has that name.
pub(super) fn repository_name(state: &State) -> Option<String> {
    if let Some(repo) = &state.answers.repo {
        return Some(repo.clone());
    }
    let name = state.answers.name.as_deref()?;
    let target = state.target();
    Some(names::free(name, |candidate| {
        repository(state, candidate).is_some_and(|known| {
            let app = known.spec.app_ref.as_ref();
            let same_app = target.is_some_and(|(kind, name)| {
                app.is_some_and(|app| app.name == name && app.kind.as_deref() == Some(kind.kind))
            });
            !same_app || !same_storage(state, known)
        })
    }))
}

fn repository<'s>(state: &'s State, name: &str) -> Option<&'s crate::api::storage::Repository> {
    state
        .found
        .repositories
        .iter()
        .find(|r| r.name_any() == name && r.namespace().as_deref() == Some(state.found.namespace.as_str()))
}

fn same_storage(state: &State, known: &crate::api::storage::Repository) -> bool {
    let Some(storage) = state.answers.storage.as_deref() else {
        return true;
    };
    let (namespace, name) = names::reference(storage, &state.found.namespace);
    let Some(reference) = &known.spec.storage_ref else {
        return false;
    };
    let own = reference.namespace.as_deref().filter(|n| !n.is_empty());
    reference.name == name && own.unwrap_or(&state.found.namespace) == namespace
}

/// Everything there is to apply, in order; `None` while essential answers are missing.
pub fn manifests(state: &State) -> Option<Vec<Value>> {
    let answers = &state.answers;
    let namespace = &state.found.namespace;
    let mut objects = Vec::new();
    if let Some(name) = new_secret(state) {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "data": state.password.data(),
        }));
    }
    let retention = answers.retention.as_deref()?;
    let (policy_namespace, policy) = names::reference(retention, namespace);
    if answers.keep().says_anything() {
        objects.push(policy_object(
            policy,
            policy_namespace,
            &answers.keep(),
            "same",
            false,
        ));
    }
    objects.push(configuration(state, policy_namespace, policy)?);
    Some(objects)
}

fn configuration(state: &State, policy_namespace: &str, policy: &str) -> Option<Value> {
    let answers = &state.answers;
    let namespace = &state.found.namespace;
    let name = answers.name.as_deref()?;
    let (kind, target) = state.target()?;
    let (storage_namespace, storage) = names::reference(answers.storage.as_deref()?, namespace);
    let repo = repository_name(state)?;
    let directory = answers
        .directory
        .clone()
        .or_else(|| repository(state, &repo).map(|r| r.spec.path.clone()))
        .unwrap_or_else(|| format!("/{namespace}/{repo}"));
    let planned = sessions(answers).ok().filter(|all| !all.is_empty())?;
    let sessions: Vec<Value> = planned
        .iter()
        .map(|(session, schedule)| {
            let mut value = json!({
                "name": session,
                "scheduler": {"schedule": schedule, "jobTemplate": {"backoffLimit": 1}},
                "repositories": [{
                    "name": repo, "backend": storage, "directory": directory,
                    "encryptionSecret": {"name": answers.encryption_secret.as_deref()?, "namespace": namespace},
                }],
                "addon": addon_value(state)?,
            });
            if let Some(timeout) = &answers.backup_timeout {
                let limit = crate::output::human::parse_duration(timeout).ok()?;
                value["backupTimeout"] = json!(crate::output::human::go_duration(limit));
            }
            if let Some(retries) = answers.retries.filter(|r| *r > 0) {
                value["retryConfig"] = json!({"maxRetry": retries, "delay": "1m0s"});
            }
            Some(value)
        })
        .collect::<Option<_>>()?;
    Some(json!({
        "apiVersion": kinds::BACKUP_CONFIGURATION.api_version(),
        "kind": kinds::BACKUP_CONFIGURATION.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "target": {"apiGroup": kind.group, "kind": kind.kind, "namespace": namespace, "name": target},
            "backends": [{
                "name": storage,
                "storageRef": {"name": storage, "namespace": storage_namespace},
                "retentionPolicy": {"name": policy, "namespace": policy_namespace},
            }],
            "sessions": sessions,
        },
    }))
}

fn addon_value(state: &State) -> Option<Value> {
    let (name, task, _) = addon::chosen(state)?;
    let params = addon::params(state).ok()?;
    let mut reference = json!({"name": task});
    if !params.is_empty() {
        reference["params"] = json!(params);
    }
    let mut value = json!({"name": name, "tasks": [reference]});
    if let Some(user) = state.answers.run_as_user {
        value["jobTemplate"] = json!({"spec": {"securityContext": {"runAsUser": user}}});
    }
    Some(value)
}
