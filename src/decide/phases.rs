//! The phase of every kind, as a total function of its status.
//!
//! Controllers never set a phase by hand: they change conditions and the parts of a status, and ask here what that
//! amounts to. The rules are KubeStash's, first match wins, so dashboards and scripts read the same words.

use std::collections::BTreeMap;

use crate::api::conditions as types;
use crate::api::core::{
    BackupConfigurationPhase, BackupConfigurationSpec, BackupConfigurationStatus, BackupSessionPhase,
    BackupSessionStatus, BackupVerificationSessionPhase, RestorePhase, RestoreSessionStatus,
    RetentionPolicyApplyPhase,
};
use crate::api::shared::Condition;
use crate::api::storage::{
    BackupStoragePhase, Component, ComponentPhase, RepositoryPhase, SnapshotPhase, SnapshotStatus,
};
use crate::decide::conditions::{has, is_false, is_true};
use crate::decide::size;

/// Ready when the backend is initialised and its Secret is there or not needed.
pub fn backup_storage(conditions: &[Condition]) -> BackupStoragePhase {
    use types::backup_storage::{BACKEND_INITIALIZED, BACKEND_SECRET_FOUND};
    let secret = !has(conditions, BACKEND_SECRET_FOUND) || is_true(conditions, BACKEND_SECRET_FOUND);
    if is_true(conditions, BACKEND_INITIALIZED) && secret {
        BackupStoragePhase::Ready
    } else {
        BackupStoragePhase::NotReady
    }
}

/// Ready when the directory in the storage is prepared.
pub fn repository(conditions: &[Condition]) -> RepositoryPhase {
    if is_true(conditions, types::repository::REPOSITORY_INITIALIZED) {
        RepositoryPhase::Ready
    } else {
        RepositoryPhase::NotReady
    }
}

/// A Snapshot: what went wrong around it, then its components. It has not Succeeded before its document is uploaded.
pub fn snapshot(status: &SnapshotStatus) -> SnapshotPhase {
    use types::snapshot::{BACKUP_INCOMPLETE, RECENT_SNAPSHOT_LIST_UPDATED, SNAPSHOT_METADATA_UPLOADED};
    let conditions = &status.conditions;
    if is_false(conditions, SNAPSHOT_METADATA_UPLOADED)
        || is_false(conditions, RECENT_SNAPSHOT_LIST_UPDATED)
        || is_true(conditions, BACKUP_INCOMPLETE)
    {
        return SnapshotPhase::Failed;
    }
    let by_components = snapshot_components(status);
    if by_components == SnapshotPhase::Pending || has(conditions, SNAPSHOT_METADATA_UPLOADED) {
        return by_components;
    }
    SnapshotPhase::Running
}

/// What the components of a Snapshot amount to.
pub fn snapshot_components(status: &SnapshotStatus) -> SnapshotPhase {
    let components = &status.components;
    if components.is_empty() {
        return SnapshotPhase::Pending;
    }
    let total = total(status.total_components, components.len());
    let count = |phase| {
        components
            .values()
            .filter(|component| component.phase == Some(phase))
            .count()
    };
    let (succeeded, failed) = (count(ComponentPhase::Succeeded), count(ComponentPhase::Failed));
    if succeeded == total {
        SnapshotPhase::Succeeded
    } else if succeeded + failed == total || failed > 0 {
        SnapshotPhase::Failed
    } else {
        SnapshotPhase::Running
    }
}

/// Whether a Snapshot has come to its end.
pub fn snapshot_completed(phase: Option<SnapshotPhase>) -> bool {
    matches!(phase, Some(SnapshotPhase::Succeeded | SnapshotPhase::Failed))
}

/// A Snapshot's size: the sum over its components as text; `None` while a component with restic data has none, or when
/// no component has one.
pub fn snapshot_size(components: &BTreeMap<String, Component>) -> Option<String> {
    let awaited = components
        .values()
        .any(|c| !c.restic_stats.is_empty() && given(c.size.as_deref()).is_none());
    let known: Vec<&str> = components
        .values()
        .filter_map(|c| given(c.size.as_deref()))
        .collect();
    if awaited || known.is_empty() {
        return None;
    }
    Some(size::format(size::sum(known)))
}

/// A Snapshot's integrity: whether all components that know theirs are whole; `None` while a component with restic data
/// does not know, or when none does.
pub fn snapshot_integrity(components: &BTreeMap<String, Component>) -> Option<bool> {
    if components
        .values()
        .any(|c| !c.restic_stats.is_empty() && c.integrity.is_none())
    {
        return None;
    }
    components
        .values()
        .filter_map(|c| c.integrity)
        .reduce(|all, one| all && one)
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// How many components there will be: what the status says, or as many as there are where it says nothing, so that an
/// unset total is not taken for success.
fn total(stated: Option<i32>, seen: usize) -> usize {
    stated
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .unwrap_or(seen)
}

/// A BackupConfiguration: Invalid, Ready when everything it needs is there, otherwise NotReady.
pub fn backup_configuration(
    spec: &BackupConfigurationSpec,
    status: &BackupConfigurationStatus,
) -> BackupConfigurationPhase {
    use types::backup_configuration::{SCHEDULER_ENSURED, VALIDATION_PASSED};
    if is_false(&status.conditions, VALIDATION_PASSED) {
        return BackupConfigurationPhase::Invalid;
    }
    let backends = status.backends.len() == spec.backends.len()
        && status.backends.iter().all(|backend| backend.ready == Some(true));
    let sessions = status.sessions.len() == spec.sessions.len()
        && status
            .sessions
            .iter()
            .all(|session| is_true(&session.conditions, SCHEDULER_ENSURED));
    if status.target_found == Some(true) && backends && sessions {
        BackupConfigurationPhase::Ready
    } else {
        BackupConfigurationPhase::NotReady
    }
}

/// A BackupSession: its last step is `MetricsPushed`, and only then failures of single steps decide.
pub fn backup_session(status: &BackupSessionStatus) -> BackupSessionPhase {
    use types::backup_session::{BACKUP_SKIPPED, METRICS_PUSHED};
    let conditions = &status.conditions;
    if is_false(conditions, METRICS_PUSHED) {
        return BackupSessionPhase::Failed;
    }
    if is_true(conditions, BACKUP_SKIPPED) {
        return BackupSessionPhase::Skipped;
    }
    if is_true(conditions, METRICS_PUSHED) && session_step_failed(status) {
        return BackupSessionPhase::Failed;
    }
    let by_snapshots = backup_session_snapshots(status);
    if by_snapshots == BackupSessionPhase::Pending || has(conditions, METRICS_PUSHED) {
        return by_snapshots;
    }
    BackupSessionPhase::Running
}

fn session_step_failed(status: &BackupSessionStatus) -> bool {
    use types::backup_session as t;
    let conditions = &status.conditions;
    [
        t::BACKUP_EXECUTOR_ENSURED,
        t::SNAPSHOTS_ENSURED,
        t::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
        t::POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
        t::SESSION_HISTORY_CLEANED,
    ]
    .into_iter()
    .any(|type_| is_false(conditions, type_))
        || is_true(conditions, t::SNAPSHOT_CLEANUP_INCOMPLETE)
        || is_true(conditions, t::BACKUP_CANCELLED)
        || status
            .retention_policy
            .iter()
            .any(|entry| entry.phase == Some(RetentionPolicyApplyPhase::FailedToApply))
}

/// What the Snapshots of a BackupSession amount to.
pub fn backup_session_snapshots(status: &BackupSessionStatus) -> BackupSessionPhase {
    let phases: Vec<SnapshotPhase> = status
        .snapshots
        .iter()
        .map(|snapshot| snapshot.phase.unwrap_or(SnapshotPhase::Pending))
        .collect();
    if phases.iter().all(|phase| *phase == SnapshotPhase::Pending) {
        BackupSessionPhase::Pending
    } else if phases.iter().any(|phase| !snapshot_completed(Some(*phase))) {
        BackupSessionPhase::Running
    } else if phases.contains(&SnapshotPhase::Failed) {
        BackupSessionPhase::Failed
    } else {
        BackupSessionPhase::Succeeded
    }
}

/// Whether a BackupSession has come to its end.
pub fn backup_session_completed(phase: Option<BackupSessionPhase>) -> bool {
    matches!(
        phase,
        Some(BackupSessionPhase::Succeeded | BackupSessionPhase::Failed | BackupSessionPhase::Skipped)
    )
}

/// A BackupVerificationSession: its last step is cleaning the history.
pub fn backup_verification_session(conditions: &[Condition]) -> BackupVerificationSessionPhase {
    use types::backup_verification_session as t;
    let cleaned = t::VERIFICATION_SESSION_HISTORY_CLEANED;
    if is_false(conditions, cleaned) {
        BackupVerificationSessionPhase::Failed
    } else if is_true(conditions, t::BACKUP_VERIFICATION_SKIPPED) {
        BackupVerificationSessionPhase::Skipped
    } else if !is_true(conditions, cleaned) {
        BackupVerificationSessionPhase::Running
    } else if is_false(conditions, t::RESTORE_SUCCEEDED) || is_false(conditions, t::BACKUP_VERIFIED) {
        BackupVerificationSessionPhase::Failed
    } else {
        BackupVerificationSessionPhase::Succeeded
    }
}

/// A RestoreSession: its last step is `MetricsPushed`.
pub fn restore_session(status: &RestoreSessionStatus) -> RestorePhase {
    use types::restore_session as t;
    let conditions = &status.conditions;
    if is_false(conditions, t::METRICS_PUSHED) {
        return RestorePhase::Failed;
    }
    if is_false(conditions, t::VALIDATION_PASSED) {
        return RestorePhase::Invalid;
    }
    let step_failed = is_false(conditions, t::PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED)
        || is_false(conditions, t::POST_RESTORE_HOOKS_EXECUTION_SUCCEEDED)
        || is_false(conditions, t::RESTORE_EXECUTOR_ENSURED)
        || is_true(conditions, t::RESTORE_INCOMPLETE);
    if is_true(conditions, t::METRICS_PUSHED) && step_failed {
        return RestorePhase::Failed;
    }
    let by_components = restore_components(status);
    if by_components == RestorePhase::Pending || has(conditions, t::METRICS_PUSHED) {
        return by_components;
    }
    if by_components == RestorePhase::Unknown {
        RestorePhase::Unknown
    } else {
        RestorePhase::Running
    }
}

/// What the components of a RestoreSession amount to.
pub fn restore_components(status: &RestoreSessionStatus) -> RestorePhase {
    let components = &status.components;
    if components.is_empty() {
        return RestorePhase::Pending;
    }
    let total = total(status.total_components, components.len());
    let count = |phase| {
        components
            .values()
            .filter(|component| component.phase == Some(phase))
            .count()
    };
    let (succeeded, failed, unknown) = (
        count(RestorePhase::Succeeded),
        count(RestorePhase::Failed),
        count(RestorePhase::Unknown),
    );
    if succeeded == total {
        RestorePhase::Succeeded
    } else if failed > 0 {
        RestorePhase::Failed
    } else if succeeded + unknown == total {
        RestorePhase::Unknown
    } else {
        RestorePhase::Running
    }
}

/// Whether a RestoreSession has come to its end.
pub fn restore_session_completed(phase: Option<RestorePhase>) -> bool {
    matches!(
        phase,
        Some(RestorePhase::Succeeded | RestorePhase::Failed | RestorePhase::Invalid)
    )
}

#[cfg(test)]
mod tests;
