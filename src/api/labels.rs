//! Keys and fixed values of labels, annotations and finalizers.

/// Keeps an object until the operator has cleaned up what belongs to it.
pub const FINALIZER: &str = "kubestash.com/cleanup";

/// Label: the name of the application; on every definition and installed object.
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// Value of [`APP_NAME`] on the custom resource definitions.
pub const APP_NAME_KUBESTASH: &str = "kubestash";
/// Label: who made the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] on everything the operator generates.
pub const MANAGED_BY_KUBESTASH: &str = "kubestash.com";
/// Label: what part the object plays; values in [`component`].
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// Values of [`COMPONENT`].
pub mod component {
    /// Backs up the components of a target.
    pub const BACKUP: &str = "kubestash-backup";
    /// Restores components.
    pub const RESTORE: &str = "kubestash-restore";
    /// Prepares a backup storage.
    pub const INITIALIZER: &str = "kubestash-initializer";
    /// Writes metadata into a backup storage.
    pub const UPLOADER: &str = "kubestash-uploader";
    /// Removes data from a backup storage.
    pub const CLEANER: &str = "kubestash-cleaner";
    /// Applies a retention policy.
    pub const RETENTION_POLICY: &str = "kubestash-retention-policy";
    /// Runs a hook as a Job.
    pub const HOOK: &str = "kubestash-hook";
    /// Fills a volume from a Snapshot.
    pub const POPULATOR: &str = "kubestash-populator";
    /// Looks into a repository for a person.
    pub const READER: &str = "kubestash-reader";
    /// Shows a volume as it is now, beside a Snapshot of it.
    pub const LIVE: &str = "kubestash-live";
    /// Verifies a Snapshot.
    pub const BACKUP_VERIFIER: &str = "kubestash-backup-verifier";
}

/// Label: name of the object that caused this one.
pub const INVOKER_NAME: &str = "kubestash.com/invoker-name";
/// Label: namespace of the object that caused this one.
pub const INVOKER_NAMESPACE: &str = "kubestash.com/invoker-namespace";
/// Label: kind of the object that caused this one; only for invokers of the storage group.
pub const INVOKER_KIND: &str = "kubestash.com/invoker-kind";
/// Label: the session of a BackupConfiguration.
pub const SESSION_NAME: &str = "kubestash.com/session-name";
/// Label: the Repository.
pub const REPO_NAME: &str = "kubestash.com/repo-name";
/// Label on Snapshots: kind of what was backed up.
pub const APP_REF_KIND: &str = "kubestash.com/app-ref-kind";
/// Label on Snapshots: namespace of what was backed up.
pub const APP_REF_NAMESPACE: &str = "kubestash.com/app-ref-namespace";
/// Label on Snapshots: name of what was backed up.
pub const APP_REF_NAME: &str = "kubestash.com/app-ref-name";
/// Label on pods that reach network volumes for the CLI.
pub const APP: &str = "kubestash.com/app";
/// Value of [`APP`] on those pods.
pub const APP_NETVOL_ACCESSOR: &str = "kubestash-netvol-accessor";

/// Annotation on a workload: name of the BackupBlueprint to apply.
pub const BLUEPRINT_NAME: &str = "blueprint.kubestash.com/name";
/// Annotation on a workload: namespace of the BackupBlueprint.
pub const BLUEPRINT_NAMESPACE: &str = "blueprint.kubestash.com/namespace";
/// Annotation on a workload: which sessions of the BackupBlueprint to use, separated by commas.
pub const BLUEPRINT_SESSION_NAMES: &str = "blueprint.kubestash.com/session-names";
/// Prefix of annotations on a workload that give values to `${…}` in its BackupBlueprint.
pub const VARIABLES_PREFIX: &str = "variables.kubestash.com/";
/// Annotation on a claim: the Snapshot it was filled from.
pub const POPULATED_FROM: &str = "populator.kubestash.com/populated-from";
/// Annotation on a claim: the workload in the Snapshot that the volume belongs to.
pub const POPULATOR_APP_NAME: &str = "populator.kubestash.com/app-name";
/// Annotation: the RestoreSession that profits from an object.
pub const RESTORE_BENEFICIARY: &str = "restoresession.kubestash.com/beneficiary";
/// Annotation or label on Snapshots of KubeDB databases: version of the database.
pub const DB_VERSION: &str = "kubedb.com/db-version";

/// Annotation on ServiceAccounts: AWS role.
pub const AWS_ROLE_ARN: &str = "eks.amazonaws.com/role-arn";
/// Prefix of annotations on ServiceAccounts: Google service account.
pub const GCP_IAM_PREFIX: &str = "iam.gke.io/";
/// Annotation on ServiceAccounts: Azure client.
pub const AZURE_CLIENT_ID: &str = "azure.workload.identity/client-id";
/// Annotation on ServiceAccounts: Azure tenant.
pub const AZURE_TENANT_ID: &str = "azure.workload.identity/tenant-id";
/// Label on pods (value `true`) that use an Azure identity.
pub const AZURE_USE: &str = "azure.workload.identity/use";

/// Field manager of what the operator writes.
pub const FIELD_MANAGER: &str = "kubestash";
