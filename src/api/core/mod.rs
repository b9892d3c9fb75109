//! `core.kubestash.com/v1alpha1`: what to back up and restore, and each run of it.

mod backup_batch;
mod backup_blueprint;
mod backup_configuration;
mod backup_configuration_status;
mod backup_session;
mod backup_verification_session;
mod backup_verifier;
mod hook_template;
mod manifest_options;
mod restore_session;

pub use backup_batch::{
    BackupBatch, BackupBatchSpec, BackupBatchStatus, BatchSession, BatchTarget, BatchTargetSession,
};
pub use backup_blueprint::{
    BackupBlueprint, BackupBlueprintSpec, BackupConfigurationTemplate, BlueprintDeletionPolicy, Subject,
};
pub use backup_configuration::{
    BackendReference, BackupConfiguration, BackupConfigurationSpec, BackupHooks, RepositoryDeletionPolicy,
    RepositoryInfo, Session,
};
pub use backup_configuration_status::{
    BackendStatus, BackupConfigurationPhase, BackupConfigurationStatus, RepositoryStatus,
    RetentionPolicyStatus, SessionStatus, StorageStatus,
};
pub use backup_session::{
    BackupSession, BackupSessionPhase, BackupSessionSpec, BackupSessionStatus, RetentionPolicyApplyPhase,
    RetentionPolicyApplyStatus, SnapshotStatus,
};
pub use backup_verification_session::{
    BackupVerificationSession, BackupVerificationSessionPhase, BackupVerificationSessionSpec,
    BackupVerificationSessionStatus,
};
pub use backup_verifier::{
    BackupVerifier, BackupVerifierSpec, RestoreOption, VerificationType, VerifierScript,
};
pub use hook_template::{
    ExecutionStrategy, ExecutorType, FunctionExecutor, HookExecutor, HookTemplate, HookTemplateSpec,
    PodExecutor,
};
pub use manifest_options::{
    DatabaseOptions, DruidOptions, ManifestOptions, RedisSentinelOptions, SqlServerOptions, WorkloadOptions,
};
pub use restore_session::{
    ComponentRestoreStatus, PointInTime, RestoreDataSource, RestoreHooks, RestorePhase, RestoreProgress,
    RestoreSession, RestoreSessionSpec, RestoreSessionStatus,
};

/// The API group of the kinds in this module.
pub const GROUP: &str = "core.kubestash.com";
