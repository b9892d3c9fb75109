//! Repository: it becomes a BackupStorage, and the password in its Secret an encryption Secret of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::known::{Known, PASSWORD, encryption_secret};
use super::note::Scope;
use super::section::Section;
use super::{backend, manifest};
use crate::api::storage::{self, BackupStorageSpec};

pub(super) fn convert(scope: &Scope, object: &Value, known: &Known<'_>) -> Vec<Value> {
    let own = scope.object().clone();
    let (namespace, name) = (own.namespace.as_str(), own.name.as_str());
    scope.aim("BackupStorage", namespace, name);
    let mut spec = Section::of(scope, object, "/spec");
    let deletion_policy = backend::deletion_policy(&mut spec, true);
    let usage_policy = backend::usage_policy(&mut spec);
    let Some(block) = spec.section("backend") else {
        scope.not_carried("/spec/backend", "a Repository without a backend has no place", "");
        return Vec::new();
    };
    let Some(found) = backend::read(block, namespace, known) else {
        return Vec::new();
    };
    let storage = BackupStorageSpec {
        storage: found.storage,
        usage_policy,
        deletion_policy,
        ..BackupStorageSpec::default()
    };
    let mut made = vec![manifest(
        storage::GROUP,
        "BackupStorage",
        (namespace, name),
        Some(object),
        storage,
    )];
    made.extend(encryption(
        scope,
        (namespace, name),
        found.secret.as_deref(),
        known,
    ));
    scope.to_do(
        "",
        "the backups that Stash made stay where they are, and KubeStash does not read them: the first backup into this storage is a full one",
        "keep Stash, or restic and the old password, until you need the old backups no more",
    );
    made
}

/// The Secret with the password, when the old Secret is among the inputs; otherwise the command that makes it.
pub(super) fn encryption(
    scope: &Scope,
    (namespace, name): (&str, &str),
    secret: Option<&str>,
    known: &Known<'_>,
) -> Option<Value> {
    if known.encryption_is_given() {
        return None;
    }
    let pointer = "/spec/backend/storageSecretName";
    let wanted = encryption_secret(name);
    let old = secret.unwrap_or_default();
    let Some(password) = known.secret_entry(namespace, old, PASSWORD) else {
        let why = format!("{wanted} is the Secret that encrypts the new backups, and it is not made yet");
        let how = if old.is_empty() {
            format!("`kubectl create secret generic {wanted} -n {namespace} --from-file={PASSWORD}=FILE`")
        } else {
            format!(
                "`kubectl get secret {old} -n {namespace} -o jsonpath='{{.data.{PASSWORD}}}' | base64 -d | kubectl create secret generic {wanted} -n {namespace} --from-file={PASSWORD}=/dev/stdin`"
            )
        };
        scope.to_do(pointer, &why, &how);
        return None;
    };
    scope.changed(
        pointer,
        &format!("Secret {namespace}/{wanted} data.{PASSWORD}"),
        &format!(
            "KubeStash reads the password from a Secret of its own; Secret {old} stays for the credentials"
        ),
    );
    Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": wanted, "namespace": namespace},
        "data": {PASSWORD: STANDARD.encode(password)},
    }))
}
