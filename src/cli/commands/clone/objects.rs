//! The objects of a clone: pure, all with names of their own and one label, so that what a clone made is known as its own.

use serde_json::{Value, json};

use super::PvcArgs;
use crate::cli::error::{CliError, Exit};
use crate::decide::naming;
use crate::decide::restore::ALLOW_EMPTY;

/// Label of everything that a clone makes, with the clone's name.
pub(super) const LABEL: &str = "kubestash.com/clone";

/// The session and the addon's tasks.
pub(super) const SESSION: &str = "clone";
pub(super) const ADDON: &str = "pvc-addon";
const BACKUP_TASK: &str = "logical-backup";
pub(super) const RESTORE_TASK: &str = "logical-backup-restore";

/// The names of one clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Of everything it makes beside the claim.
    pub(super) own: String,
    /// The claim and its namespace.
    pub(super) claim: (String, String),
    /// The new claim and its namespace.
    pub(super) copy: (String, String),
    /// The BackupStorage and its namespace.
    pub(super) storage: (String, String),
}

impl Names {
    /// Names that nothing else has: they end with the second in which the clone began.
    pub(super) fn new(args: &PvcArgs, namespace: &str, unix: i64) -> Self {
        let own = naming::bounded(&format!("clone-{}-{unix}", args.name), 50);
        let storage = match &args.storage_name {
            Some(name) => (args.storage_namespace.clone(), name.clone()),
            None => (namespace.to_owned(), own.clone()),
        };
        Names {
            claim: (namespace.to_owned(), args.name.clone()),
            copy: (
                args.to_namespace.clone(),
                args.to_name.clone().unwrap_or_else(|| args.name.clone()),
            ),
            own,
            storage,
        }
    }

    fn metadata(&self, namespace: &str, name: &str) -> Value {
        json!({"name": name, "namespace": namespace, "labels": {LABEL: self.own}})
    }
}

/// The BackupStorage; only where none is named.
pub(super) fn storage(args: &PvcArgs, names: &Names) -> Result<Value, CliError> {
    let needs = |flag: &str, value: &Option<String>| {
        value.clone().filter(|v| !v.is_empty()).ok_or_else(|| {
            CliError::new(
                Exit::Usage,
                format!("{flag} is needed, as no --storage-name is given"),
            )
            .hint("`kubectl get backupstorages -A` lists the storages there are")
        })
    };
    let provider = needs("--provider", &args.provider)?;
    let bucket = needs("--bucket", &args.bucket)?;
    let mut place = json!({});
    for (field, value) in [("prefix", &args.prefix), ("secretName", &args.storage_secret)] {
        if let Some(value) = value {
            place[field] = json!(value);
        }
    }
    if args.max_connections > 0 {
        place["maxConnections"] = json!(args.max_connections);
    }
    match provider.as_str() {
        "s3" => {
            place["bucket"] = json!(bucket);
            place["endpoint"] = json!(needs("--endpoint", &args.endpoint)?);
            if let Some(region) = &args.region {
                place["region"] = json!(region);
            }
        }
        "gcs" => place["bucket"] = json!(bucket),
        "azure" => {
            place["container"] = json!(bucket);
            place["storageAccount"] = json!(needs("--storage-account", &args.storage_account)?);
        }
        other => {
            return Err(CliError::usage(format!(
                "--provider {other}: there are s3, gcs and azure"
            )));
        }
    }
    Ok(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": names.metadata(&names.storage.0, &names.storage.1),
        "spec": {
            "storage": {"provider": provider, provider.as_str(): place},
            "usagePolicy": {"allowedNamespaces": {"from": "Same"}},
            "deletionPolicy": "WipeOut",
        },
    }))
}

/// The RetentionPolicy: everything is removed at the end anyway.
pub(super) fn policy(names: &Names) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
        "metadata": names.metadata(&names.claim.0, &names.own),
        "spec": {"maxRetentionPeriod": "1d", "successfulSnapshots": {"last": 2}, "failedSnapshots": {"last": 2},
            "usagePolicy": {"allowedNamespaces": {"from": "Same"}}},
    })
}

/// The BackupConfiguration. Its schedule rests: only the clone runs it.
pub(super) fn configuration(args: &PvcArgs, names: &Names) -> Value {
    let encryption_namespace = args.encrypt_secret_namespace.as_deref().unwrap_or(&names.claim.0);
    json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": names.metadata(&names.claim.0, &names.own),
        "spec": {
            "target": {"kind": "PersistentVolumeClaim", "name": names.claim.1, "namespace": names.claim.0},
            "backends": [{"name": "clone",
                "storageRef": {"name": names.storage.1, "namespace": names.storage.0},
                "retentionPolicy": {"name": names.own, "namespace": names.claim.0}}],
            "sessions": [{
                "name": SESSION,
                "scheduler": {"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"backoffLimit": 1}},
                "repositories": [{"name": names.own, "backend": "clone", "directory": format!("/clone/{}", names.own),
                    "encryptionSecret": {"name": args.encrypt_secret, "namespace": encryption_namespace},
                    "deletionPolicy": "WipeOut"}],
                "addon": {"name": ADDON, "tasks": [{"name": BACKUP_TASK}]},
            }],
        },
    })
}

/// The new claim: the old one's size, modes and class, and none of what binds it to its volume.
pub(super) fn claim(source: &Value, names: &Names) -> Value {
    let mut spec = json!({});
    for field in ["accessModes", "resources", "storageClassName", "volumeMode"] {
        if let Some(value) = source.pointer(&format!("/spec/{field}")) {
            spec[field] = value.clone();
        }
    }
    let mut metadata = names.metadata(&names.copy.0, &names.copy.1);
    if let Some(labels) = source.pointer("/metadata/labels").and_then(Value::as_object) {
        for (key, value) in labels {
            metadata["labels"][key] = value.clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
}

/// The RestoreSession of one Snapshot; with `empty_too`, also of one without a file.
pub(super) fn restore(names: &Names, snapshot: &str, empty_too: bool) -> Value {
    let mut task = json!({"name": RESTORE_TASK});
    if empty_too {
        task["params"] = json!({ALLOW_EMPTY: "true"});
    }
    json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": names.metadata(&names.claim.0, &names.own),
        "spec": {
            "target": {"kind": "PersistentVolumeClaim", "name": names.copy.1, "namespace": names.copy.0},
            "dataSource": {"namespace": names.claim.0, "repository": names.own, "snapshot": snapshot},
            "addon": {"name": ADDON, "tasks": [task]},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> PvcArgs {
        PvcArgs {
            name: "data".to_owned(),
            to_namespace: "other".to_owned(),
            encrypt_secret: "key".to_owned(),
            storage_namespace: "default".to_owned(),
            ..PvcArgs::default()
        }
    }

    #[test]
    fn a_claim_is_cloned_without_what_binds_it() {
        let names = Names::new(&args(), "demo", 1);
        let source = json!({"metadata": {"name": "data", "labels": {"app": "db"}}, "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Block",
            "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "fast", "volumeName": "pv-1", "dataSource": {"name": "x"}}});
        let claim = claim(&source, &names);
        assert_eq!(
            claim["metadata"]["labels"],
            json!({"app": "db", LABEL: "clone-data-1"})
        );
        assert_eq!(claim["metadata"]["namespace"], "other");
        assert_eq!(claim["spec"]["volumeMode"], "Block");
        assert!(claim["spec"].get("volumeName").is_none() && claim["spec"].get("dataSource").is_none());
    }

    #[test]
    fn a_storage_says_which_flag_it_lacks() {
        let names = Names::new(&args(), "demo", 1);
        let lacks = |args: &PvcArgs| storage(args, &names).unwrap_err().message;
        assert!(lacks(&args()).contains("--provider"));
        let some = |text: &str| Some(text.to_owned());
        let s3 = PvcArgs {
            provider: some("s3"),
            bucket: some("b"),
            ..args()
        };
        assert!(lacks(&s3).contains("--endpoint"));
        let azure = PvcArgs {
            provider: some("azure"),
            bucket: some("b"),
            ..args()
        };
        assert!(lacks(&azure).contains("--storage-account"));
        let other = PvcArgs {
            provider: some("b2"),
            bucket: some("b"),
            ..args()
        };
        assert!(lacks(&other).contains("s3, gcs and azure"));
        let whole = PvcArgs {
            endpoint: some("http://x"),
            ..s3
        };
        assert_eq!(
            storage(&whole, &names).unwrap()["spec"]["storage"]["s3"]["bucket"],
            "b"
        );
    }

    #[test]
    fn the_schedule_rests_and_the_repository_goes_with_its_data() {
        let configuration = configuration(&args(), &Names::new(&args(), "demo", 1));
        let session = &configuration["spec"]["sessions"][0];
        assert_eq!(session["scheduler"]["suspend"], true);
        assert_eq!(session["repositories"][0]["deletionPolicy"], "WipeOut");
        assert_eq!(
            session["repositories"][0]["encryptionSecret"],
            json!({"name": "key", "namespace": "demo"})
        );
    }
}
