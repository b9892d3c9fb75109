//! The plan Secret of a Job: where each repository is and the values that open it.
//!
//! Jobs never read Secrets through the API: the operator copies exactly the values a Job needs into one Secret of the
//! Job's name in the Job's namespace, owned by the Job. The plan itself holds no secret.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt, api::ObjectMeta};

use super::volumes;
use crate::api::{
    config::job_plan::{
        JobPlan, PLAN_FILE, PlanAzure, PlanBackend, PlanGcs, PlanLocal, PlanRepository, PlanS3, PlanSecret,
        PlanStorage,
    },
    storage::{Backend, BackupStorage, Repository},
};

/// A Repository with its storage and the Secrets that open both.
#[derive(Debug, Clone)]
pub struct RepositoryFacts {
    /// The Repository.
    pub repository: Repository,
    /// Its BackupStorage.
    pub storage: BackupStorage,
    /// The storage's Secret; `None` where it names none.
    pub credentials: Option<Secret>,
    /// The encryption Secret.
    pub encryption: Secret,
}

/// Values of a plan Secret by key.
pub type SecretData = BTreeMap<String, ByteString>;

/// The plan's view of a repository, and the Secret values it refers to under prefixes with `index`.
#[must_use]
pub fn repository(
    facts: &RepositoryFacts,
    index: usize,
    several_local: bool,
) -> (PlanRepository, SecretData) {
    let mut data = SecretData::new();
    let encryption = copied(&facts.encryption, &format!("encryption-{index}"), &mut data);
    let backend = backend(
        &facts.storage,
        facts.credentials.as_ref(),
        index,
        several_local,
        &mut data,
    );
    let plan = PlanRepository {
        name: facts.repository.name_any(),
        namespace: facts.repository.namespace().unwrap_or_default(),
        path: facts.repository.spec.path.clone(),
        backend,
        encryption,
    };
    (plan, data)
}

/// The plan's view of a storage; its Secret's values go into `data`.
#[must_use]
pub fn backend(
    storage: &BackupStorage,
    credentials: Option<&Secret>,
    index: usize,
    several_local: bool,
    data: &mut SecretData,
) -> PlanBackend {
    PlanBackend {
        name: storage.name_any(),
        namespace: storage.namespace().unwrap_or_default(),
        spec: self::storage(&storage.spec.storage),
        local_root: volumes::of_storage(storage, several_local).map(|(_, _, root)| root),
        credentials: credentials.map(|secret| copied(secret, &format!("backend-{index}"), data)),
    }
}

fn copied(secret: &Secret, prefix: &str, data: &mut SecretData) -> PlanSecret {
    for (key, value) in secret.data.iter().flatten() {
        data.insert(format!("{prefix}.{key}"), value.clone());
    }
    PlanSecret {
        prefix: prefix.to_owned(),
        name: secret.name_any(),
        namespace: secret.namespace().unwrap_or_default(),
    }
}

/// `spec.storage` as the plan writes it.
#[must_use]
pub fn storage(backend: &Backend) -> PlanStorage {
    PlanStorage {
        provider: backend.provider.clone(),
        local: backend.local.as_ref().map(|local| PlanLocal {
            max_connections: local.max_connections,
        }),
        s3: backend.s3.as_ref().map(|s3| PlanS3 {
            endpoint: s3.endpoint.clone().unwrap_or_default(),
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone().unwrap_or_default(),
            region: s3.region.clone().unwrap_or_default(),
            max_connections: s3.max_connections,
            insecure_tls: s3.insecure_tls,
        }),
        gcs: backend.gcs.as_ref().map(|gcs| PlanGcs {
            bucket: gcs.bucket.clone(),
            prefix: gcs.prefix.clone().unwrap_or_default(),
            max_connections: gcs.max_connections,
        }),
        azure: backend.azure.as_ref().map(|azure| PlanAzure {
            storage_account: azure.storage_account.clone().unwrap_or_default(),
            container: azure.container.clone(),
            prefix: azure.prefix.clone().unwrap_or_default(),
            max_connections: azure.max_connections,
        }),
    }
}

/// The key of the plan of the container with this index.
#[must_use]
pub fn key(index: usize) -> String {
    if index == 0 {
        PLAN_FILE.to_owned()
    } else {
        format!("plan-{index}.json")
    }
}

/// The Secret with one plan per container and the values they refer to; without an owner yet.
///
/// # Errors
/// When a plan cannot be written as JSON.
pub fn secret(
    metadata: ObjectMeta,
    plans: &[JobPlan],
    mut data: SecretData,
) -> Result<Secret, serde_json::Error> {
    for (index, plan) in plans.iter().enumerate() {
        data.insert(key(index), ByteString(serde_json::to_vec(plan)?));
    }
    Ok(Secret {
        metadata,
        data: Some(data),
        type_: Some("Opaque".into()),
        ..Secret::default()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn facts(name: &str) -> RepositoryFacts {
        RepositoryFacts {
            repository: serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
                "metadata": {"name": name, "namespace": "demo", "uid": format!("uid-{name}")},
                "spec": {"path": format!("/{name}"), "storageRef": {"name": "s3", "namespace": "ops"},
                         "encryptionSecret": {"name": "encrypt"}}}))
            .unwrap(),
            storage: serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
                "metadata": {"name": "s3", "namespace": "ops"},
                "spec": {"storage": {"provider": "s3", "s3": {"bucket": "b", "prefix": "p", "secretName": "keys"}}}}))
            .unwrap(),
            credentials: Some(serde_json::from_value(json!({"metadata": {"name": "keys", "namespace": "ops"},
                "data": {"AWS_ACCESS_KEY_ID": "aWQ=", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}}))
            .unwrap()),
            encryption: serde_json::from_value(json!({"metadata": {"name": "encrypt", "namespace": "demo"},
                "data": {"RESTIC_PASSWORD": "aHVudGVyMg=="}}))
            .unwrap(),
        }
    }

    #[test]
    fn the_plan_points_at_values_and_holds_none() {
        let (plan, data) = repository(&facts("repo"), 1, false);
        assert_eq!(plan.backend.credentials.as_ref().unwrap().prefix, "backend-1");
        assert_eq!(data["backend-1.AWS_SECRET_ACCESS_KEY"].0, b"secret");
        assert_eq!(data["encryption-1.RESTIC_PASSWORD"].0, b"hunter2");
        let text = serde_json::to_string(&plan).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("c2VjcmV0"), "{text}");
        assert_eq!(plan.backend.spec.s3.unwrap().prefix, "p");
    }
}
