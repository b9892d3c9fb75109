//! A Stash backend becomes the storage of a BackupStorage.

use super::known::Known;
use super::section::Section;
use crate::api::shared::{AllowedNamespaces, NamespaceSource, UsagePolicy};
use crate::api::storage::{
    AzureBackend, Backend, DeletionPolicy, GcsBackend, LocalBackend, Provider, S3Backend,
};

/// The backends of Stash that KubeStash does not have.
const OTHERS: [(&str, &str, &str); 3] = [
    (
        "b2",
        "Backblaze B2 is no provider of KubeStash",
        "buckets of B2 speak S3: use provider s3 with endpoint https://s3.<region>.backblazeb2.com and an application key as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        "swift",
        "OpenStack Swift is no provider of KubeStash",
        "use an object store that speaks S3, or Swift's own S3 interface where it is switched on, with provider s3",
    ),
    (
        "rest",
        "restic's REST server is no provider of KubeStash",
        "use a bucket, or put the data on a volume (NFS, a claim) with provider local",
    ),
];

/// A storage and the Secret that Stash keeps its credentials and its password in.
pub(super) struct Found {
    pub(super) storage: Backend,
    pub(super) secret: Option<String>,
}

/// Reads `backend`. `None` when KubeStash has no such provider; the notes say so.
pub(super) fn read(mut backend: Section<'_>, namespace: &str, known: &Known<'_>) -> Option<Found> {
    let secret_at = backend.at("storageSecretName");
    let secret = backend.text("storageSecretName", "");
    let scope = backend.scope();
    for (field, why, way_out) in OTHERS {
        backend.refuse(field, why, way_out);
    }
    let given: Vec<&str> = ["local", "s3", "gcs", "azure"]
        .into_iter()
        .filter(|provider| backend.has(provider))
        .collect();
    let [provider] = given[..] else {
        let why = if given.is_empty() {
            "there is no backend that KubeStash has"
        } else {
            "there are several backends; a BackupStorage has one"
        };
        for provider in given {
            backend.take(provider);
        }
        scope.not_carried("/spec/backend", why, "");
        return None;
    };
    let block = backend.section(provider)?;
    let mut storage = Backend {
        provider: provider.to_owned(),
        ..Backend::default()
    };
    match storage.known_provider()? {
        Provider::S3 => storage.s3 = Some(s3(block, secret.clone())),
        Provider::Gcs => storage.gcs = Some(gcs(block, secret.clone())),
        Provider::Azure => storage.azure = Some(azure(block, secret.clone(), namespace, known)),
        Provider::Local => storage.local = local(block),
    }
    if secret.is_some() {
        match provider {
            "local" => scope.changed(
                &secret_at,
                "",
                "a volume has no credentials; the Secret's password goes into the encryption Secret",
            ),
            _ => scope.carried(&secret_at, &format!("spec.storage.{provider}.secretName")),
        }
    }
    Some(Found { storage, secret })
}

fn s3(mut block: Section<'_>, secret_name: Option<String>) -> S3Backend {
    let to = |field: &str| format!("spec.storage.s3.{field}");
    let endpoint = block.text("endpoint", &to("endpoint")).map(|endpoint| {
        if endpoint.starts_with("http") {
            endpoint
        } else {
            format!("https://{endpoint}")
        }
    });
    S3Backend {
        endpoint,
        bucket: block.text("bucket", &to("bucket")).unwrap_or_default(),
        prefix: block.text("prefix", &to("prefix")),
        region: block.text("region", &to("region")),
        insecure_tls: block.flag("insecureTLS", &to("insecureTLS")).unwrap_or_default(),
        secret_name,
        max_connections: None,
    }
}

fn gcs(mut block: Section<'_>, secret_name: Option<String>) -> GcsBackend {
    let to = |field: &str| format!("spec.storage.gcs.{field}");
    GcsBackend {
        bucket: block.text("bucket", &to("bucket")).unwrap_or_default(),
        prefix: block.text("prefix", &to("prefix")),
        max_connections: block.number("maxConnections", &to("maxConnections")),
        secret_name,
    }
}

fn azure(
    mut block: Section<'_>,
    secret_name: Option<String>,
    namespace: &str,
    known: &Known<'_>,
) -> AzureBackend {
    const ACCOUNT: &str = "AZURE_ACCOUNT_NAME";
    let to = |field: &str| format!("spec.storage.azure.{field}");
    let secret = secret_name.as_deref().unwrap_or_default();
    let account = known.secret_entry(namespace, secret, ACCOUNT);
    let scope = block.scope();
    if account.is_some() {
        scope.changed(
            "/spec/backend/storageSecretName",
            &to("storageAccount"),
            "the account is named in the manifest; Stash had it in the Secret as AZURE_ACCOUNT_NAME",
        );
    } else {
        scope.to_fill_in(
            "/spec/backend/storageSecretName",
            &to("storageAccount"),
            "the account stands in a Secret that was not given",
            &format!("`kubectl get secret {secret} -n {namespace} -o jsonpath='{{.data.{ACCOUNT}}}' | base64 -d` shows it"),
        );
    }
    AzureBackend {
        storage_account: account,
        container: block.text("container", &to("container")).unwrap_or_default(),
        prefix: block.text("prefix", &to("prefix")),
        max_connections: block.number("maxConnections", &to("maxConnections")),
        secret_name,
    }
}

fn local(mut block: Section<'_>) -> Option<LocalBackend> {
    let scope = block.scope();
    let pointer = block.at("mountPath");
    let local: LocalBackend = block.rest("spec.storage.local")?;
    if local.mount_path.is_none() {
        scope.to_fill_in(
            &pointer,
            "spec.storage.local.mountPath",
            "it says where the volume is mounted in the Jobs",
            "any path that nothing else uses will do, such as /backups",
        );
    }
    Some(local)
}

/// `usagePolicy`; the meaning is the same.
pub(super) fn usage_policy(spec: &mut Section<'_>) -> Option<UsagePolicy> {
    spec.typed("usagePolicy", "spec.usagePolicy")
}

/// A policy for the users in one other namespace.
pub(super) fn only(namespace: &str) -> UsagePolicy {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
    UsagePolicy {
        allowed_namespaces: Some(AllowedNamespaces {
            from: NamespaceSource::Selector,
            selector: Some(LabelSelector {
                match_labels: Some([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())].into()),
                ..LabelSelector::default()
            }),
        }),
    }
}

/// `wipeOut`. It is worth a word that the old repository would go with the new ones.
pub(super) fn deletion_policy(spec: &mut Section<'_>, holds_old: bool) -> DeletionPolicy {
    let pointer = spec.at("wipeOut");
    let to = "spec.deletionPolicy";
    match spec.flag("wipeOut", "") {
        Some(true) if holds_old => {
            spec.scope().changed(
                &pointer,
                to,
                "deleting the BackupStorage wipes everything below its prefix, the old backups of Stash too",
            );
            DeletionPolicy::WipeOut
        }
        Some(wipe) => {
            spec.scope().carried(&pointer, to);
            if wipe {
                DeletionPolicy::WipeOut
            } else {
                DeletionPolicy::Delete
            }
        }
        None => DeletionPolicy::Delete,
    }
}
