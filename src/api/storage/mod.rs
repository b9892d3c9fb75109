//! `storage.kubestash.com/v1alpha1`: where backups are, and what is in there.

mod backup_storage;
mod component;
mod component_databases;
mod repository;
mod retention_policy;
mod snapshot;

pub use backup_storage::{
    AzureBackend, Backend, BackupStorage, BackupStoragePhase, BackupStorageSpec, BackupStorageStatus,
    DeletionPolicy, GcsBackend, LocalBackend, Provider, S3Backend, StorageRepository,
};
pub use component::{
    BackupProgress, Component, ComponentPhase, Driver, ResticStats, ResticSummary, VolumeSnapshotterStats,
};
pub use component_databases::{
    ClickHouseStats, LogRetentionStats, LogRun, LogStats, MedusaStats, Neo4jStats, SolrStats, WalGStats,
};
pub use repository::{RecentSnapshot, Repository, RepositoryPhase, RepositorySpec, RepositoryStatus};
pub use retention_policy::{FailedSnapshots, RetentionPolicy, RetentionPolicySpec, SuccessfulSnapshots};
pub use snapshot::{Snapshot, SnapshotPhase, SnapshotSpec, SnapshotStatus, SnapshotType, VerificationStatus};

/// The API group of the kinds in this module.
pub const GROUP: &str = "storage.kubestash.com";
