//! The plan of a Job: everything that the mover needs, resolved by the operator before the Job starts.
//!
//! The operator writes one Secret per Job, named as the Job, in the Job's namespace and owned by it. Its key
//! [`PLAN_FILE`] holds a [`JobPlan`] as JSON, without any secret; next to it lie the secret values that the plan
//! points at, each under `<credentials prefix>.<KEY>` (for example `backend.AWS_ACCESS_KEY_ID`,
//! `encryption.RESTIC_PASSWORD`). The Secret is mounted read-only at [`PLAN_DIR`], so a Job never reads Secrets
//! through the API.
//!
//! The field names are a contract between one version of the program and itself (operator and Jobs are the same
//! binary), so they may change from release to release.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::{Deserialize, Serialize};

use crate::api::shared::{Handler, TypedObjectReference};

/// Where the plan's Secret is mounted in the Job's containers.
pub const PLAN_DIR: &str = "/var/run/kubestash/plan";
/// The key of the plan inside its Secret, and so the file name inside [`PLAN_DIR`].
pub const PLAN_FILE: &str = "plan.json";
/// Environment variable that replaces [`PLAN_DIR`].
pub const PLAN_DIR_ENV: &str = "KUBESTASH_PLAN_DIR";
/// Environment variable with the name of the component that the container works on.
pub const COMPONENT_ENV: &str = "COMPONENT_NAME";
/// Environment variable (downward API) with the name of the pod: it identifies the holder of a lock.
pub const POD_NAME_ENV: &str = "POD_NAME";
/// Environment variable (downward API) with the namespace of the pod.
pub const POD_NAMESPACE_ENV: &str = "POD_NAMESPACE";
/// Environment variable (downward API) with the UID of the pod.
pub const POD_UID_ENV: &str = "POD_UID";

/// What one Job has to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[allow(clippy::large_enum_variant)] // one plan per process
pub enum JobPlan {
    /// Back one component up into one or more repositories.
    Backup(BackupPlan),
    /// Restore one component.
    Restore(RestorePlan),
    /// Forget restic snapshots that the retention policy gave up, and prune where asked.
    Retention(RetentionPlan),
    /// Work on the documents beside the data, for storages that only a Job can reach (local volumes).
    Storage(StoragePlan),
    /// Stand by for a person who looks into a repository, see [`super::reader`].
    Reader(ReaderPlan),
    /// Carry out the action of a hook.
    Hook(HookPlan),
}

/// A hook's action: what to do, where, and what its templates are rendered over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookPlan {
    /// The hook's name in its session.
    pub hook: String,
    /// What to do. `${…}` is resolved; Go templates in the command and the body are not.
    pub action: Handler,
    /// The pods that carry it out; `None` where the action names its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<HookPods>,
    /// Limit for everything, in seconds.
    pub timeout_seconds: u64,
    /// What is known about the session: data for the Go templates.
    pub summary: HookSummary,
}

/// Which pods a hook is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookPods {
    /// Their namespace.
    pub namespace: String,
    /// Label selector.
    pub selector: String,
    /// Only pods of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerReference>,
    /// All of them, not just one.
    pub all: bool,
}

/// A session as hooks see it; the names are those of the original's template data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookSummary {
    /// Name of the session.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What caused it: the BackupConfiguration, or the RestoreSession itself.
    pub invoker: TypedObjectReference,
    /// What is backed up or restored.
    pub target: TypedObjectReference,
    /// How it went so far.
    pub status: HookSummaryStatus,
}

/// How a session went so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookSummaryStatus {
    /// `Succeeded` or `Failed`.
    pub phase: String,
    /// Since its creation, such as `1m2s`.
    pub duration: String,
    /// Why it failed; empty when it did not.
    pub error: String,
}

/// A repository of restic's and how to reach it. The restic repository of a component lies at
/// `<storage prefix>/<path>/<component path>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRepository {
    /// Name of the Repository object.
    pub name: String,
    /// Namespace of the Repository object.
    pub namespace: String,
    /// `spec.path` of the Repository: a directory below the storage's prefix.
    pub path: String,
    /// The storage that holds it.
    pub backend: PlanBackend,
    /// The encryption Secret's values (`RESTIC_PASSWORD`).
    pub encryption: PlanSecret,
}

/// A storage and how to reach it from the Job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanBackend {
    /// Name of the BackupStorage object.
    pub name: String,
    /// Namespace of the BackupStorage object.
    pub namespace: String,
    /// `spec.storage` of the BackupStorage.
    pub spec: PlanStorage,
    /// For `local`: the directory in the Job's containers that holds the storage's content (the mount path, with
    /// the sub path where the mount does not apply it already). Ignored for the other providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_root: Option<String>,
    /// The storage Secret's values. `None` where the storage names no Secret: the provider's ambient identity counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PlanSecret>,
}

/// A Secret whose values lie beside the plan, and its name for messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanSecret {
    /// Files `<prefix>.<KEY>` beside the plan hold the values.
    pub prefix: String,
    /// Name of the Secret that people know.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// `spec.storage` of a BackupStorage, as far as the mover needs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStorage {
    /// `local`, `s3`, `gcs` or `azure`.
    pub provider: String,
    /// Set for `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<PlanLocal>,
    /// Set for `s3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<PlanS3>,
    /// Set for `gcs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<PlanGcs>,
    /// Set for `azure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<PlanAzure>,
}

/// A local volume. Which volume it is does not matter here: [`PlanBackend::local_root`] says where it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanLocal {
    /// Upper bound of parallel operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
}

/// An S3 bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanS3 {
    /// Host or URL; empty: Amazon's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// The bucket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Directory inside the bucket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Region; empty: the server's default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Upper bound of parallel requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
    /// Do not verify the server's certificate.
    #[serde(default, rename = "insecureTLS", skip_serializing_if = "std::ops::Not::not")]
    pub insecure_tls: bool,
}

/// A Google Cloud Storage bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanGcs {
    /// The bucket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Directory inside the bucket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Upper bound of parallel requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
}

/// An Azure blob container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanAzure {
    /// Name of the storage account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub storage_account: String,
    /// The container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Directory inside the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Upper bound of parallel requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
}

/// Back one component up. Paths, excludes and switches come as flags from the Function's arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupPlan {
    /// Namespace of the BackupSession and of its Snapshots.
    pub namespace: String,
    /// Name of the BackupSession.
    pub backup_session: String,
    /// The component that this Job writes; restic's `--host`, so it must be the same in every session.
    pub component: String,
    /// When everything must be over. `None`: no limit but the mover's own bounds on single steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Where to: one entry per Repository of the session.
    pub targets: Vec<BackupTarget>,
    /// Identity of the cluster (UID of the namespace `kube-system`): locks of other clusters are never removed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// One Repository that a backup goes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupTarget {
    /// The repository.
    pub repository: PlanRepository,
    /// Name of the Snapshot object whose component is written.
    pub snapshot: String,
    /// Directory of the restic repository below the Repository's path, for example `repository/v1/daily/dump`.
    pub component_path: String,
    /// True once any Snapshot of this component path existed: the restic repository must then be there, and is never
    /// initialised again.
    #[serde(default)]
    pub initialized: bool,
}

/// Restore one component. Includes and excludes come as flags from the Function's arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePlan {
    /// Namespace of the RestoreSession.
    pub namespace: String,
    /// Name of the RestoreSession.
    pub restore_session: String,
    /// The component of the Snapshot that is read.
    pub source_component: String,
    /// The key in the RestoreSession's `status.components` that is written.
    pub status_component: String,
    /// What to restore.
    pub target: RestoreTarget,
    /// When everything must be over. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Identity of the cluster, see [`BackupPlan::cluster`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// The data of one component of one Snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTarget {
    /// The repository.
    pub repository: PlanRepository,
    /// Directory of the restic repository below the Repository's path.
    pub component_path: String,
    /// The restic snapshots, from `status.components[c].resticStats[].summary`.
    pub restic: Vec<ResticSource>,
    /// Directory that stands for `/`: files land at `<root>/<path they were read from>`. `None`: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// One restic snapshot of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResticSource {
    /// restic's snapshot id.
    pub id: String,
    /// The path that the backup read.
    pub host_path: String,
    /// Bytes that the backup read, where the Snapshot records them: zero marks an empty snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// Forget and prune, after a retention policy (or a deletion) decided which restic snapshots go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPlan {
    /// Namespace of the session (or of the Repository, for deletions).
    pub namespace: String,
    /// Name of the BackupSession; empty for deletions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backup_session: String,
    /// The repositories to work on.
    pub repositories: Vec<RetentionRepository>,
    /// When everything must be over. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Identity of the cluster, see [`BackupPlan::cluster`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// What to forget in one Repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionRepository {
    /// The repository.
    pub repository: PlanRepository,
    /// What goes, per restic repository.
    pub components: Vec<RetentionComponent>,
    /// Free the space too. Slow and exclusive, so asked for rarely.
    #[serde(default)]
    pub prune: bool,
    /// Documents (paths below the Repository's path, for example `snapshots/x.yaml`) to remove once the data is
    /// forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
}

/// What to forget in one restic repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionComponent {
    /// Directory of the restic repository below the Repository's path.
    pub component_path: String,
    /// restic snapshot ids. An id that is gone already is not an error.
    pub forget: Vec<String>,
}

/// Stand by for a person who looks into a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderPlan {
    /// The repository.
    pub repository: PlanRepository,
    /// Identity of the cluster, see [`BackupPlan::cluster`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// Work on the documents of a storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoragePlan {
    /// The storage.
    pub backend: PlanBackend,
    /// What to do.
    pub action: StorageAction,
    /// When everything must be over. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// What to do with the documents of a storage. All paths are relative to the storage's prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StorageAction {
    /// Write `metadata.yaml` where it is absent; where it is present leave it and print it, as [`StorageAction::Read`]
    /// does.
    Init {
        /// The text of `metadata.yaml` to write where there is none.
        metadata: String,
    },
    /// Write documents, then remove others.
    Upload {
        /// Text by path.
        documents: BTreeMap<String, String>,
        /// Paths to remove; one that is gone already is not an error.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remove: Vec<String>,
    },
    /// Delete everything below a directory; an empty path means everything below the storage's prefix.
    Wipe {
        /// The directory.
        path: String,
    },
    /// Prove that the storage can be listed, written, read and deleted from, with one small document that is gone
    /// afterwards.
    Prove,
    /// Print documents to standard output, one [`super::job_result::Document`] as a JSON line each: the file itself where
    /// a path names a file, all `.yaml` files directly in it where it names a directory.
    Read {
        /// Files and directories.
        paths: Vec<String>,
    },
}

impl Default for StorageAction {
    fn default() -> Self {
        Self::Read { paths: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_own_json() {
        let plan = JobPlan::Backup(BackupPlan {
            namespace: "demo".into(),
            backup_session: "bc-daily-1".into(),
            component: "dump-pod-0".into(),
            deadline: Some("2026-11-21T10:00:00Z".parse().unwrap()),
            targets: vec![BackupTarget {
                repository: PlanRepository {
                    name: "r".into(),
                    namespace: "demo".into(),
                    path: "demo/r".into(),
                    ..PlanRepository::default()
                },
                snapshot: "r-1".into(),
                component_path: "repository/v1/daily/dump-pod-0".into(),
                initialized: true,
            }],
            cluster: String::new(),
        });
        let json = serde_json::to_string(&plan).unwrap();
        assert!(
            json.starts_with(r#"{"kind":"Backup","namespace":"demo","backupSession":"bc-daily-1""#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<JobPlan>(&json).unwrap(), plan);
    }

    #[test]
    fn a_repository_counts_as_not_initialised_only_when_the_plan_is_silent() {
        let target: BackupTarget = serde_json::from_str(
            r#"{"repository":{"name":"r","namespace":"n","path":"p","backend":{"name":"s","namespace":"n",
            "spec":{"provider":"s3","s3":{"bucket":"b","insecureTLS":true}}},
            "encryption":{"prefix":"encryption","name":"e","namespace":"n"}},"snapshot":"x","componentPath":"c"}"#,
        )
        .unwrap();
        assert!(!target.initialized);
        assert!(target.repository.backend.spec.s3.unwrap().insecure_tls);
    }
}
