//! From documents in a storage back to objects in a cluster.
//!
//! A storage that is created over a place with a `metadata.yaml` gets back the Repositories and Snapshots recorded there:
//! the same names, namespaces, specs and statuses, with the reference to the storage rewritten and without anything that
//! belonged to the old cluster (UIDs, owners, versions).
//!
//! Called by the BackupStorage controller, which reads the documents and creates the objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

use crate::api::labels;
use crate::api::shared::ObjectReference;
use crate::api::storage::{BackupStorage, Repository, Snapshot, StorageRepository};
use crate::decide::naming::join_path;

/// Why an entry cannot be brought back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResyncError {
    /// The entry itself makes no sense.
    #[error("the entry {0} of metadata.yaml has no {1}")]
    Incomplete(String, &'static str),
    /// The document names another object than the list does.
    #[error("{0} is the document of {1}, not of {2}; correct metadata.yaml or remove the file")]
    OtherObject(String, String, String),
    /// An object of that name exists and is used for something else.
    #[error("Repository {0} exists already and uses {1}; delete or rename one of the two")]
    Conflict(String, String),
}

/// Whether an entry of the storage's list can be brought back at all.
///
/// # Errors
/// When it has no name, namespace or path.
pub fn check_entry(entry: &StorageRepository) -> Result<(), ResyncError> {
    let missing = [
        ("name", &entry.name),
        ("namespace", &entry.namespace),
        ("path", &entry.path),
    ]
    .into_iter()
    .find(|(_, value)| join_path([value.as_str()]).is_empty());
    match missing {
        Some((field, _)) => Err(ResyncError::Incomplete(
            format!("{}/{}", entry.namespace, entry.name),
            field,
        )),
        None => Ok(()),
    }
}

/// The Repository to create for an entry, from its document.
///
/// # Errors
/// When the entry is incomplete or the document is another Repository's.
pub fn repository(
    entry: &StorageRepository,
    document: Repository,
    storage: &BackupStorage,
) -> Result<Repository, ResyncError> {
    check_entry(entry)?;
    let recorded = format!(
        "{}/{}",
        document.namespace().unwrap_or_default(),
        document.name_any()
    );
    let listed = format!("{}/{}", entry.namespace, entry.name);
    if recorded != listed {
        return Err(ResyncError::OtherObject(
            format!("{}/repository.yaml", entry.path),
            recorded,
            listed,
        ));
    }
    let mut repository = document;
    repository.metadata = fresh(&repository.metadata);
    repository.spec.storage_ref = Some(ObjectReference::new(
        storage.name_any(),
        storage.namespace().unwrap_or_default(),
    ));
    repository.spec.path.clone_from(&entry.path);
    repository.status = None;
    Ok(repository)
}

/// Whether an existing Repository is the one of the entry.
///
/// # Errors
/// When it uses another storage or directory.
pub fn is_same(
    existing: &Repository,
    entry: &StorageRepository,
    storage: &BackupStorage,
) -> Result<(), ResyncError> {
    let own = existing.namespace().unwrap_or_default();
    let reference = existing.spec.storage_ref.clone().unwrap_or_default();
    let same_storage = reference.name == storage.name_any()
        && reference.namespace_or(&own) == storage.namespace().unwrap_or_default();
    if same_storage && join_path([existing.spec.path.as_str()]) == join_path([entry.path.as_str()]) {
        return Ok(());
    }
    let uses = format!(
        "directory \"{}\" of BackupStorage {}/{}",
        existing.spec.path,
        reference.namespace_or(&own),
        reference.name
    );
    Err(ResyncError::Conflict(
        format!("{own}/{}", existing.name_any()),
        uses,
    ))
}

/// The Snapshot to create, with its status beside it, from its document. `None` when the document belongs to another
/// Repository or is no finished Snapshot: a backup that was running in the old cluster does not run here.
#[must_use]
pub fn snapshot(document: Snapshot, repository: &Repository) -> Option<Snapshot> {
    let finished =
        crate::decide::phases::snapshot_completed(document.status.as_ref().and_then(|status| status.phase));
    if document.spec.repository != repository.name_any() || !finished {
        return None;
    }
    let mut snapshot = document;
    snapshot.metadata = fresh(&snapshot.metadata);
    snapshot.metadata.namespace = repository.namespace();
    snapshot.metadata.owner_references = repository.metadata.uid.as_ref().map(|uid| {
        vec![OwnerReference {
            api_version: Repository::api_version(&()).into_owned(),
            kind: Repository::kind(&()).into_owned(),
            name: repository.name_any(),
            uid: uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]
    });
    snapshot.metadata.finalizers = Some(vec![labels::FINALIZER.to_owned()]);
    Some(snapshot)
}

/// Name, namespace, labels and annotations; nothing that the old cluster gave.
fn fresh(old: &ObjectMeta) -> ObjectMeta {
    let mut annotations = old.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    ObjectMeta {
        name: old.name.clone(),
        namespace: old.namespace.clone(),
        labels: old.labels.clone(),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn storage() -> BackupStorage {
        serde_json::from_value(
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "new", "namespace": "ops"}, "spec": {"storage": {"provider": "s3"}}}),
        )
        .unwrap()
    }

    fn document() -> Repository {
        serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "r", "namespace": "demo", "uid": "old", "resourceVersion": "9", "finalizers": ["kubestash.com/cleanup"],
                "labels": {"a": "b"}},
            "spec": {"path": "demo/r", "storageRef": {"name": "old", "namespace": "old"}, "encryptionSecret": {"name": "e"}},
            "status": {"phase": "Ready"}}))
        .unwrap()
    }

    fn entry() -> StorageRepository {
        StorageRepository {
            name: "r".into(),
            namespace: "demo".into(),
            path: "demo/r".into(),
            ..StorageRepository::default()
        }
    }

    #[test]
    fn a_repository_comes_back_under_the_new_storage() {
        let repository = repository(&entry(), document(), &storage()).unwrap();
        assert_eq!(
            repository.spec.storage_ref,
            Some(ObjectReference::new("new", "ops"))
        );
        assert_eq!(repository.spec.encryption_secret.as_ref().unwrap().name, "e");
        assert_eq!(
            (
                repository.metadata.uid,
                repository.metadata.resource_version,
                repository.metadata.finalizers
            ),
            (None, None, None)
        );
        assert_eq!(repository.metadata.labels.unwrap()["a"], "b");
    }

    #[test]
    fn entries_that_make_no_sense_are_told() {
        let nowhere = StorageRepository {
            path: "/".into(),
            ..entry()
        };
        assert!(matches!(
            check_entry(&nowhere),
            Err(ResyncError::Incomplete(_, "path"))
        ));
        let other = StorageRepository {
            name: "x".into(),
            ..entry()
        };
        assert!(matches!(
            super::repository(&other, document(), &storage()),
            Err(ResyncError::OtherObject(..))
        ));
        assert!(matches!(
            is_same(&document(), &entry(), &storage()),
            Err(ResyncError::Conflict(..))
        ));
        let own = super::repository(&entry(), document(), &storage()).unwrap();
        assert_eq!(is_same(&own, &entry(), &storage()), Ok(()));
    }

    #[test]
    fn snapshots_get_the_new_owner_and_only_finished_ones_return() {
        let mut owner = repository(&entry(), document(), &storage()).unwrap();
        owner.metadata.uid = Some("new".into());
        let recorded = |phase: &str| -> Snapshot {
            serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
                "metadata": {"name": "s", "namespace": "demo", "uid": "old", "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "old"}]},
                "spec": {"snapshotID": "x", "repository": "r", "session": "daily", "backupSession": "b", "version": "v1"},
                "status": {"phase": phase}}))
            .unwrap()
        };
        let back = snapshot(recorded("Succeeded"), &owner).unwrap();
        assert_eq!(back.metadata.owner_references.unwrap()[0].uid, "new");
        assert_eq!(back.status.unwrap().phase.unwrap().as_str(), "Succeeded");
        assert!(snapshot(recorded("Running"), &owner).is_none());
    }
}
