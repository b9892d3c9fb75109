//! Storages, Repositories, Secrets and policies: whether what a backup is written to can be used.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::chain::{About, Chain, Health, describe};
use super::facts::{Facts, Operator, Seen};
use super::remedy::{self, Place};
use crate::api::conditions::{backup_storage, repository as repository_types};
use crate::api::shared::{ConditionStatus, ObjectReference};
use crate::api::storage::{Backend, BackupStorage, BackupStoragePhase, Repository, RepositoryPhase};
use crate::decide::conditions;

/// Why an operator that nobody wants to run does not.
pub const SCALED_DOWN: &str = "its Deployment is scaled to 0";

/// The operator's link; true when it runs or could not be looked for.
pub fn operator(chain: &mut Chain, facts: &Facts) -> bool {
    match &facts.operator {
        Operator::Up(namespace, name) => {
            chain.good(About::new("Deployment", namespace, name), "the operator runs");
            true
        }
        Operator::Unknown => true,
        Operator::Missing => {
            chain.root(
                About::new("Deployment", "", "kubestash-operator"),
                "there is no operator",
                "no KubeStash operator is installed in this cluster, so nothing is done about the object",
                vec!["`kubectl kubestash install` installs it".to_owned()],
            );
            false
        }
        Operator::Down(namespace, name, why) if why == SCALED_DOWN => {
            chain.root(
                About::new("Deployment", namespace, name),
                "the operator is scaled to 0",
                format!("the KubeStash operator does not run: {why}"),
                vec![format!(
                    "`kubectl scale deployment {name} -n {namespace} --replicas 1` starts it"
                )],
            );
            false
        }
        Operator::Down(namespace, name, why) => {
            chain.root(
                About::new("Deployment", namespace, name),
                "the operator does not run",
                format!("the KubeStash operator does not run: {why}"),
                vec![
                    format!("`kubectl get pods -n {namespace} -l app.kubernetes.io/name=kubestash-operator` shows its pods"),
                    format!("`kubectl logs deploy/{name} -n {namespace}` shows what it says"),
                ],
            );
            false
        }
    }
}

/// The name of the Secret with the credentials; `None` for storages without.
#[must_use]
pub fn secret_of(backend: &Backend) -> Option<String> {
    let named = backend
        .s3
        .as_ref()
        .and_then(|s3| s3.secret_name.clone())
        .or_else(|| backend.gcs.as_ref().and_then(|gcs| gcs.secret_name.clone()))
        .or_else(|| backend.azure.as_ref().and_then(|azure| azure.secret_name.clone()));
    named.filter(|name| !name.is_empty())
}

/// Follows a BackupStorage that something refers to.
pub fn storage_at(chain: &mut Chain, facts: &Facts, namespace: &str, name: &str, needed_by: &str) {
    let about = About::new("BackupStorage", namespace, name);
    match facts.find(&facts.storages, namespace, name) {
        Seen::Found(found) => storage(chain, facts, found),
        Seen::Unknown => chain.unknown(about, "may not be looked at"),
        Seen::Missing => chain.root(
            about,
            "does not exist",
            format!("{needed_by} uses BackupStorage {namespace}/{name}, which does not exist"),
            vec![
                format!("`kubectl kubestash create storage {name} -n {namespace}` creates it"),
                "`kubectl get backupstorages -A` lists those there are".to_owned(),
            ],
        ),
    }
}

/// Follows a BackupStorage.
pub fn storage(chain: &mut Chain, facts: &Facts, storage: &BackupStorage) {
    let (namespace, name) = (storage.namespace().unwrap_or_default(), storage.name_any());
    let about = About::new("BackupStorage", &namespace, &name);
    let secret = secret_of(&storage.spec.storage);
    let place = Place {
        namespace: namespace.clone(),
        storage: (namespace.clone(), name.clone()),
        storage_secret: secret.clone().unwrap_or_default(),
        ..Place::default()
    };
    let Some(status) = storage.status.as_ref().filter(|s| s.phase.is_some()) else {
        chain.waiting(about, "the operator has not looked at it yet");
        if operator(chain, facts) {
            chain.because(
                Health::Waiting,
                format!("BackupStorage {name} is new; the operator is about to look at it"),
                vec![describe(&About::new("BackupStorage", &namespace, &name))],
            );
        }
        return;
    };
    if status.phase == Some(BackupStoragePhase::Ready) {
        let size = status.total_size.clone().unwrap_or_default();
        let size = if size.is_empty() {
            String::new()
        } else {
            format!(", {size}")
        };
        chain.good(about, format!("Ready, {}{size}", storage.spec.storage.provider));
        return;
    }
    chain.broken(about, "NotReady");
    if conditions::is_false(&status.conditions, backup_storage::BACKEND_SECRET_FOUND) {
        let secret = secret.unwrap_or_default();
        chain.root(
            About::new("Secret", &namespace, &secret),
            "does not exist",
            format!("Secret {namespace}/{secret} with the credentials of the storage does not exist"),
            vec![format!(
                "create it: `kubectl create secret generic {secret} -n {namespace} --from-file={}`",
                keys(&storage.spec.storage.provider).join(" --from-file=")
            )],
        );
        return;
    }
    if let Some(secret) = &secret {
        self::secret(
            chain,
            facts,
            &namespace,
            secret,
            &keys(&storage.spec.storage.provider),
        );
    }
    let initialized = conditions::find(&status.conditions, backup_storage::BACKEND_INITIALIZED);
    if let Some(condition) = initialized.filter(|c| c.status == ConditionStatus::False) {
        let mut fixes = remedy::fixes(&condition.message, &place);
        if fixes.is_empty() {
            fixes.push(describe(&About::new("BackupStorage", &namespace, &name)));
        }
        chain.because(Health::Bad, condition.message.clone(), fixes);
    }
}

/// The keys that a provider's Secret must have.
fn keys(provider: &str) -> Vec<&'static str> {
    match provider {
        "s3" => vec!["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        "gcs" => vec!["GOOGLE_SERVICE_ACCOUNT_JSON_KEY"],
        "azure" => vec!["AZURE_ACCOUNT_KEY"],
        _ => Vec::new(),
    }
}

/// Follows a Secret that must have keys. Values are never looked at.
pub fn secret(chain: &mut Chain, facts: &Facts, namespace: &str, name: &str, wanted: &[&str]) {
    let about = About::new("Secret", namespace, name);
    let found: Option<&BTreeSet<String>> = facts.secrets.get(&(namespace.to_owned(), name.to_owned()));
    match found {
        Some(there) => {
            let missing: Vec<&str> = wanted
                .iter()
                .copied()
                .filter(|key| !there.contains(*key))
                .collect();
            if missing.is_empty() {
                chain.good(about, "exists");
            } else {
                chain.root(
                    about,
                    "lacks a key",
                    format!("Secret {namespace}/{name} has no key {}", missing.join(" and ")),
                    vec![format!("add it: `kubectl edit secret {name} -n {namespace}`")],
                );
            }
        }
        None if facts.unseen.contains_key("Secret") => chain.unknown(about, "may not be looked at"),
        None => chain.root(
            about,
            "does not exist",
            format!("Secret {namespace}/{name} does not exist"),
            vec![format!(
                "create it with {}: `kubectl create secret generic {name} -n {namespace} --from-file={}`",
                wanted.join(" and "),
                wanted.join(" --from-file=")
            )],
        ),
    }
}

/// Follows a RetentionPolicy that something refers to.
pub fn policy_at(chain: &mut Chain, facts: &Facts, namespace: &str, name: &str, needed_by: &str) {
    let about = About::new("RetentionPolicy", namespace, name);
    match facts.find(&facts.policies, namespace, name) {
        Seen::Found(_) => chain.good(about, "exists"),
        Seen::Unknown => chain.unknown(about, "may not be looked at"),
        Seen::Missing => chain.root(
            about,
            "does not exist",
            format!("{needed_by} uses RetentionPolicy {namespace}/{name}, which does not exist"),
            vec![
                format!("`kubectl kubestash create retention {name} -n {namespace}` creates it"),
                "`kubectl get retentionpolicies -A` lists those there are".to_owned(),
            ],
        ),
    }
}

/// Follows a Repository to its storage and its encryption Secret.
pub fn repository(chain: &mut Chain, facts: &Facts, repository: &Repository) {
    let (namespace, name) = (repository.namespace().unwrap_or_default(), repository.name_any());
    let about = About::new("Repository", &namespace, &name);
    let status = repository.status.clone().unwrap_or_default();
    let damaged = status.integrity == Some(false);
    match status.phase {
        Some(RepositoryPhase::Ready) if damaged => chain.root(
            about,
            "its data is damaged",
            format!("the last check found damaged data in Repository {name}"),
            remedy::fixes("is damaged", &place_of(facts, repository)),
        ),
        Some(RepositoryPhase::Ready) if repository.spec.paused => {
            chain.waiting(about, "is paused");
            chain.because(
                Health::Waiting,
                format!("Repository {name} is paused: nothing is written to it"),
                vec![format!("`kubectl patch repository {name} -n {namespace} --type merge -p '{{\"spec\":{{\"paused\":false}}}}'` resumes it")],
            );
        }
        Some(RepositoryPhase::Ready) => {
            let count = status.snapshot_count.unwrap_or(0);
            let size = status.size.clone().unwrap_or_default();
            chain.good(
                about,
                format!(
                    "Ready, {count} {}, {size}",
                    if count == 1 { "Snapshot" } else { "Snapshots" }
                )
                .trim_end_matches(", ")
                .to_owned(),
            );
        }
        Some(_) => chain.broken(about, "NotReady"),
        None => chain.waiting(about, "the operator has not looked at it yet"),
    }
    let storage_ref = repository.spec.storage_ref.clone().unwrap_or_default();
    let whose = format!("Repository {name}");
    storage_at(
        chain,
        facts,
        storage_ref.namespace_or(&namespace),
        &storage_ref.name,
        &whose,
    );
    if let Some(secret_ref) = &repository.spec.encryption_secret {
        secret(
            chain,
            facts,
            secret_ref.namespace_or(&namespace),
            &secret_ref.name,
            &["RESTIC_PASSWORD"],
        );
    }
    if status.phase == Some(RepositoryPhase::NotReady)
        && !chain.explained()
        && let Some(condition) =
            conditions::find(&status.conditions, repository_types::REPOSITORY_INITIALIZED)
    {
        let fixes = remedy::fixes(&condition.message, &place_of(facts, repository));
        chain.because(Health::Bad, condition.message.clone(), fixes);
    }
}

/// Names for the commands, as far as a Repository leads to them.
#[must_use]
pub fn place_of(facts: &Facts, repository: &Repository) -> Place {
    let namespace = repository.namespace().unwrap_or_default();
    let pair = |reference: &ObjectReference| {
        (
            reference.namespace_or(&namespace).to_owned(),
            reference.name.clone(),
        )
    };
    let storage = repository.spec.storage_ref.as_ref().map(pair).unwrap_or_default();
    let secret = match facts.find(&facts.storages, &storage.0, &storage.1) {
        Seen::Found(found) => secret_of(&found.spec.storage).unwrap_or_default(),
        _ => String::new(),
    };
    Place {
        encryption: repository
            .spec
            .encryption_secret
            .as_ref()
            .map(pair)
            .unwrap_or_default(),
        repository: repository.name_any(),
        storage_secret: secret,
        namespace,
        storage,
        configuration: String::new(),
        hooks: Vec::new(),
    }
}
