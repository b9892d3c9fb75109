//! Condition types and reasons, by kind. Types and reasons are part of the API: scripts wait for them.

/// Conditions of a BackupStorage.
pub mod backup_storage {
    /// The storage can be reached and holds our metadata.
    pub const BACKEND_INITIALIZED: &str = "BackendInitialized";
    /// The Secret with the credentials exists.
    pub const BACKEND_SECRET_FOUND: &str = "BackendSecretFound";

    /// Reasons for the above.
    pub mod reason {
        /// `BackendInitialized` is True.
        pub const BACKEND_INITIALIZATION_SUCCEEDED: &str = "BackendInitializationSucceeded";
        /// `BackendInitialized` is False.
        pub const BACKEND_INITIALIZATION_FAILED: &str = "BackendInitializationFailed";
        /// `BackendSecretFound` is True.
        pub const BACKEND_SECRET_AVAILABLE: &str = "BackendSecretAvailable";
        /// `BackendSecretFound` is False.
        pub const BACKEND_SECRET_NOT_AVAILABLE: &str = "BackendSecretNotAvailable";
    }
}

/// Conditions of a Repository.
pub mod repository {
    /// The directory in the storage is prepared.
    pub const REPOSITORY_INITIALIZED: &str = "RepositoryInitialized";

    /// Reasons for the above.
    pub mod reason {
        /// `RepositoryInitialized` is True.
        pub const REPOSITORY_INITIALIZATION_SUCCEEDED: &str = "RepositoryInitializationSucceeded";
        /// `RepositoryInitialized` is False.
        pub const REPOSITORY_INITIALIZATION_FAILED: &str = "RepositoryInitializationFailed";
    }
}

/// Conditions of a Snapshot.
pub mod snapshot {
    /// The Snapshot object is written into the storage.
    pub const SNAPSHOT_METADATA_UPLOADED: &str = "SnapshotMetadataUploaded";
    /// The Repository's list of recent Snapshots knows it.
    pub const RECENT_SNAPSHOT_LIST_UPDATED: &str = "RecentSnapshotListUpdated";
    /// True is bad: the executor ended before its work was done.
    pub const BACKUP_INCOMPLETE: &str = "BackupIncomplete";

    /// Reasons for the above.
    pub mod reason {
        /// `SnapshotMetadataUploaded` is True.
        pub const SUCCESSFULLY_UPLOADED_SNAPSHOT_METADATA: &str = "SuccessfullyUploadedSnapshotMetadata";
        /// `SnapshotMetadataUploaded` is False.
        pub const FAILED_TO_UPLOAD_SNAPSHOT_METADATA: &str = "FailedToUploadSnapshotMetadata";
        /// `RecentSnapshotListUpdated` is True.
        pub const SUCCESSFULLY_UPDATED_RECENT_SNAPSHOT_LIST: &str = "SuccessfullyUpdatedRecentSnapshotList";
        /// `RecentSnapshotListUpdated` is False.
        pub const FAILED_TO_UPDATE_RECENT_SNAPSHOT_LIST: &str = "FailedToUpdateRecentSnapshotList";
        /// `BackupIncomplete` is True.
        pub const BACKUP_EXECUTOR_TERMINATED_BEFORE_COMPLETION: &str =
            "BackupExecutorTerminatedBeforeCompletion";
    }
}

/// Conditions of a BackupConfiguration and of its sessions.
pub mod backup_configuration {
    /// The object makes sense.
    pub const VALIDATION_PASSED: &str = "ValidationPassed";
    /// Of a session: its CronJob exists as wanted.
    pub const SCHEDULER_ENSURED: &str = "SchedulerEnsured";
    /// Of a session: its first backup was started.
    pub const INITIAL_BACKUP_TRIGGERED: &str = "InitialBackupTriggered";

    /// Reasons for the above.
    pub mod reason {
        /// `ValidationPassed` is True.
        pub const RESOURCE_VALIDATION_PASSED: &str = "ResourceValidationPassed";
        /// `ValidationPassed` is False.
        pub const RESOURCE_VALIDATION_FAILED: &str = "ResourceValidationFailed";
        /// `SchedulerEnsured` is True.
        pub const SCHEDULER_ENSURED: &str = "SchedulerEnsured";
        /// `SchedulerEnsured` is False.
        pub const SCHEDULER_NOT_ENSURED: &str = "SchedulerNotEnsured";
        /// `InitialBackupTriggered` is True.
        pub const SUCCESSFULLY_TRIGGERED_INITIAL_BACKUP: &str = "SuccessfullyTriggeredInitialBackup";
        /// `InitialBackupTriggered` is False.
        pub const FAILED_TO_TRIGGER_INITIAL_BACKUP: &str = "FailedToTriggerInitialBackup";
    }
}

/// Conditions of a BackupSession.
pub mod backup_session {
    /// True: there was no backup.
    pub const BACKUP_SKIPPED: &str = "BackupSkipped";
    /// The Snapshot objects exist.
    pub const SNAPSHOTS_ENSURED: &str = "SnapshotsEnsured";
    /// The backup Jobs exist.
    pub const BACKUP_EXECUTOR_ENSURED: &str = "BackupExecutorEnsured";
    /// The retention Job exists.
    pub const RETENTION_POLICY_EXECUTOR_ENSURED: &str = "RetentionPolicyExecutorEnsured";
    /// The hooks before the backup ran.
    pub const PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED: &str = "PreBackupHooksExecutionSucceeded";
    /// The hooks after the backup ran.
    pub const POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED: &str = "PostBackupHooksExecutionSucceeded";
    /// True is bad: what the Jobs did not get done, and why. Ours; the original says it in the Snapshots alone.
    pub const BACKUP_INCOMPLETE: &str = "BackupIncomplete";
    /// Old BackupSessions are removed.
    pub const SESSION_HISTORY_CLEANED: &str = "SessionHistoryCleaned";
    /// True is bad: the cleaning of Snapshots ended early.
    pub const SNAPSHOT_CLEANUP_INCOMPLETE: &str = "SnapshotCleanupIncomplete";
    /// True is a warning: a pod cannot be scheduled.
    pub const POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED: &str =
        "PodHasBeenInPendingStateForLongerThanExpected";
    /// True is bad: it was ended on request; False while its Jobs are being stopped. Ours, the original has no way to.
    pub const BACKUP_CANCELLED: &str = "BackupCancelled";
    /// Always the last step of a session.
    pub const METRICS_PUSHED: &str = "MetricsPushed";

    /// Reasons for the above.
    pub mod reason {
        /// `BackupCancelled` is False.
        pub const CANCELLING: &str = "Cancelling";
        /// `BackupCancelled` is True.
        pub const CANCELLED_BY_USER: &str = "CancelledByUser";
        /// `BackupSkipped` is True.
        pub const PRE_REQUISITES_NOT_SATISFIED: &str = "PreRequisitesNotSatisfied";
        /// `SnapshotsEnsured` is True.
        pub const SUCCESSFULLY_ENSURED_SNAPSHOTS: &str = "SuccessfullyEnsuredSnapshots";
        /// `SnapshotsEnsured` is False.
        pub const FAILED_TO_ENSURE_SNAPSHOTS: &str = "FailedToEnsureSnapshots";
        /// `BackupExecutorEnsured` is True.
        pub const SUCCESSFULLY_ENSURED_BACKUP_EXECUTOR: &str = "SuccessfullyEnsuredBackupExecutor";
        /// `BackupExecutorEnsured` is False.
        pub const FAILED_TO_ENSURE_BACKUP_EXECUTOR: &str = "FailedToEnsureBackupExecutor";
        /// `RetentionPolicyExecutorEnsured` is True.
        pub const SUCCESSFULLY_ENSURED_RETENTION_POLICY_EXECUTOR: &str =
            "SuccessfullyEnsuredRetentionPolicyExecutor";
        /// `RetentionPolicyExecutorEnsured` is False.
        pub const FAILED_TO_ENSURE_RETENTION_POLICY_EXECUTOR: &str = "FailedToEnsureRetentionPolicyExecutor";
        /// `PreBackupHooksExecutionSucceeded` is True.
        pub const SUCCESSFULLY_EXECUTED_PRE_BACKUP_HOOKS: &str = "SuccessfullyExecutedPreBackupHooks";
        /// `PreBackupHooksExecutionSucceeded` is False.
        pub const FAILED_TO_EXECUTE_PRE_BACKUP_HOOKS: &str = "FailedToExecutePreBackupHooks";
        /// `PostBackupHooksExecutionSucceeded` is True.
        pub const SUCCESSFULLY_EXECUTED_POST_BACKUP_HOOKS: &str = "SuccessfullyExecutedPostBackupHooks";
        /// `PostBackupHooksExecutionSucceeded` is False.
        pub const FAILED_TO_EXECUTE_POST_BACKUP_HOOKS: &str = "FailedToExecutePostBackupHooks";
        /// `BackupIncomplete` is True: a Job ended without a word, or was ended.
        pub const BACKUP_EXECUTOR_TERMINATED_BEFORE_COMPLETION: &str =
            "BackupExecutorTerminatedBeforeCompletion";
        /// `BackupIncomplete` is True: a Job reported that it failed.
        pub const BACKUP_FAILED: &str = "BackupFailed";
        /// `SessionHistoryCleaned` is True.
        pub const SUCCESSFULLY_CLEANED_SESSION_HISTORY: &str = "SuccessfullyCleanedSessionHistory";
        /// `SessionHistoryCleaned` is False.
        pub const FAILED_TO_CLEAN_SESSION_HISTORY: &str = "FailedToCleanSessionHistory";
        /// `SnapshotCleanupIncomplete` is True.
        pub const SNAPSHOT_CLEANUP_TERMINATED_BEFORE_COMPLETION: &str =
            "SnapshotCleanupTerminatedBeforeCompletion";
        /// `PodHasBeenInPendingStateForLongerThanExpected` is True.
        pub const POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED: &str =
            "PodHasBeenInPendingStateForLongerThanExpected";
        /// `MetricsPushed` is True.
        pub const SUCCESSFULLY_PUSHED_METRICS: &str = "SuccessfullyPushedMetrics";
        /// `MetricsPushed` is False.
        pub const FAILED_TO_PUSH_METRICS: &str = "FailedToPushMetrics";
    }
}

/// Conditions of a BackupVerificationSession.
pub mod backup_verification_session {
    /// True: there was no verification.
    pub const BACKUP_VERIFICATION_SKIPPED: &str = "BackupVerificationSkipped";
    /// Old sessions are removed; always the last step.
    pub const VERIFICATION_SESSION_HISTORY_CLEANED: &str = "VerificationSessionHistoryCleaned";
    /// The verification Job exists.
    pub const VERIFICATION_EXECUTOR_ENSURED: &str = "VerificationExecutorEnsured";
    /// The backup could be restored.
    pub const RESTORE_SUCCEEDED: &str = "RestoreSucceeded";
    /// The restored data is as expected.
    pub const BACKUP_VERIFIED: &str = "BackupVerified";

    /// Reasons for the above.
    pub mod reason {
        /// `BackupVerificationSkipped` is True.
        pub const SNAPSHOT_ALREADY_VERIFIED: &str = "SnapshotAlreadyVerified";
        /// `VerificationSessionHistoryCleaned` is True.
        pub const SUCCESSFULLY_CLEANED_VERIFICATION_SESSION_HISTORY: &str =
            "SuccessfullyCleanedVerificationSessionHistory";
        /// `VerificationSessionHistoryCleaned` is False.
        pub const FAILED_TO_CLEAN_VERIFICATION_SESSION_HISTORY: &str =
            "FailedToCleanVerificationSessionHistory";
        /// `VerificationExecutorEnsured` is True.
        pub const SUCCESSFULLY_ENSURED_VERIFICATION_EXECUTOR: &str =
            "SuccessfullyEnsuredVerificationExecutor";
        /// `VerificationExecutorEnsured` is False.
        pub const FAILED_TO_ENSURE_VERIFICATION_EXECUTOR: &str = "FailedToEnsureVerificationExecutor";
        /// `RestoreSucceeded` is True.
        pub const SUCCESSFULLY_RESTORED_BACKUP: &str = "SuccessfullyRestoredBackup";
        /// `RestoreSucceeded` is False.
        pub const FAILED_TO_RESTORE_BACKUP: &str = "FailedToRestoreBackup";
        /// `BackupVerified` is True.
        pub const SUCCESSFULLY_VERIFIED_BACKUP: &str = "SuccessfullyVerifiedBackup";
        /// `BackupVerified` is False.
        pub const FAILED_TO_VERIFY_BACKUP: &str = "FailedToVerifyBackup";
    }
}

/// Conditions of a RestoreSession.
pub mod restore_session {
    /// The object makes sense.
    pub const VALIDATION_PASSED: &str = "ValidationPassed";
    /// The target exists.
    pub const RESTORE_TARGET_FOUND: &str = "RestoreTargetFound";
    /// The restore Jobs exist.
    pub const RESTORE_EXECUTOR_ENSURED: &str = "RestoreExecutorEnsured";
    /// The hooks before the restore ran.
    pub const PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED: &str = "PreRestoreHooksExecutionSucceeded";
    /// The hooks after the restore ran.
    pub const POST_RESTORE_HOOKS_EXECUTION_SUCCEEDED: &str = "PostRestoreHooksExecutionSucceeded";
    /// True is bad: the executor ended before its work was done.
    pub const RESTORE_INCOMPLETE: &str = "RestoreIncomplete";
    /// Always the last step of a session.
    pub const METRICS_PUSHED: &str = "MetricsPushed";

    /// Reasons for the above.
    pub mod reason {
        /// `ValidationPassed` is True.
        pub const RESOURCE_VALIDATION_PASSED: &str = "ResourceValidationPassed";
        /// `ValidationPassed` is False.
        pub const RESOURCE_VALIDATION_FAILED: &str = "ResourceValidationFailed";
        /// `RestoreTargetFound` is True.
        pub const SUCCESSFULLY_FOUND_RESTORE_TARGET: &str = "SuccessfullyFoundRestoreTarget";
        /// `RestoreTargetFound` is False.
        pub const UNABLE_TO_CHECK_TARGET_AVAILABILITY: &str = "UnableToCheckTargetAvailability";
        /// `RestoreExecutorEnsured` is True.
        pub const SUCCESSFULLY_ENSURED_RESTORE_EXECUTOR: &str = "SuccessfullyEnsuredRestoreExecutor";
        /// `RestoreExecutorEnsured` is False.
        pub const FAILED_TO_ENSURE_RESTORE_EXECUTOR: &str = "FailedToEnsureRestoreExecutor";
        /// `PreRestoreHooksExecutionSucceeded` is True.
        pub const SUCCESSFULLY_EXECUTED_PRE_RESTORE_HOOKS: &str = "SuccessfullyExecutedPreRestoreHooks";
        /// `PreRestoreHooksExecutionSucceeded` is False.
        pub const FAILED_TO_EXECUTE_PRE_RESTORE_HOOKS: &str = "FailedToExecutePreRestoreHooks";
        /// `PostRestoreHooksExecutionSucceeded` is True.
        pub const SUCCESSFULLY_EXECUTED_POST_RESTORE_HOOKS: &str = "SuccessfullyExecutedPostRestoreHooks";
        /// `PostRestoreHooksExecutionSucceeded` is False.
        pub const FAILED_TO_EXECUTE_POST_RESTORE_HOOKS: &str = "FailedToExecutePostRestoreHooks";
        /// `RestoreIncomplete` is True.
        pub const RESTORE_EXECUTOR_TERMINATED_BEFORE_COMPLETION: &str =
            "RestoreExecutorTerminatedBeforeCompletion";
        /// `RestoreIncomplete` is True: a Job reported that it failed.
        pub const RESTORE_FAILED: &str = "RestoreFailed";
        /// `MetricsPushed` is True.
        pub const SUCCESSFULLY_PUSHED_METRICS: &str = "SuccessfullyPushedMetrics";
        /// `MetricsPushed` is False.
        pub const FAILED_TO_PUSH_METRICS: &str = "FailedToPushMetrics";
    }
}
