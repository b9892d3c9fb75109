//! A Snapshot's status from its components. Pure.

use jiff::Timestamp;

use crate::api::conditions::snapshot as types;
use crate::api::conditions::snapshot::reason;
use crate::api::storage::{ComponentPhase, SnapshotPhase, SnapshotStatus};
use crate::decide::conditions::{condition, has, is_true, set};
use crate::decide::phases;

/// Size, integrity and phase as they follow from the rest.
pub(super) fn derived(old: &SnapshotStatus) -> SnapshotStatus {
    let mut new = old.clone();
    new.size = phases::snapshot_size(&new.components).or(new.size);
    new.integrity = phases::snapshot_integrity(&new.components).or(new.integrity);
    new.phase = Some(phases::snapshot(&new));
    new
}

/// Whether the document is due: everything has ended and it is not in the storage.
pub(super) fn wants_upload(status: &SnapshotStatus) -> bool {
    if is_true(&status.conditions, types::SNAPSHOT_METADATA_UPLOADED) {
        return false;
    }
    if is_true(&status.conditions, types::BACKUP_INCOMPLETE) {
        return true;
    }
    let ended = |phase| matches!(phase, Some(ComponentPhase::Succeeded | ComponentPhase::Failed));
    let count = status
        .components
        .values()
        .filter(|component| ended(component.phase))
        .count();
    let total = status
        .total_components
        .and_then(|total| usize::try_from(total).ok())
        .filter(|total| *total > 0);
    count > 0 && count == status.components.len() && total.is_none_or(|total| count >= total)
}

/// The status once the document is in the storage; the document says the same.
pub(super) fn uploaded(status: &SnapshotStatus, now: Timestamp) -> SnapshotStatus {
    let mut new = status.clone();
    let message = "Metadata uploaded to backend successfully";
    set(
        &mut new.conditions,
        condition(
            types::SNAPSHOT_METADATA_UPLOADED,
            true,
            reason::SUCCESSFULLY_UPLOADED_SNAPSHOT_METADATA,
            message,
            now,
        ),
    );
    new.phase = Some(phases::snapshot(&new));
    new
}

/// The status while the document cannot be written.
pub(super) fn not_uploaded(status: &SnapshotStatus, cause: &str, now: Timestamp) -> SnapshotStatus {
    let mut new = status.clone();
    let message = format!("the Snapshot's document cannot be written to the backend: {cause}");
    set(
        &mut new.conditions,
        condition(
            types::SNAPSHOT_METADATA_UPLOADED,
            false,
            reason::FAILED_TO_UPLOAD_SNAPSHOT_METADATA,
            message,
            now,
        ),
    );
    new.phase = Some(phases::snapshot(&new));
    new
}

/// Whether the Repository must count again: the Snapshot is not in its list yet, or looks different there.
pub(super) fn concerns_repository(old: &SnapshotStatus, new: &SnapshotStatus) -> bool {
    let completed = phases::snapshot_completed(new.phase);
    !has(&new.conditions, types::RECENT_SNAPSHOT_LIST_UPDATED)
        || old.phase != new.phase
        || (completed && (old.size != new.size || old.integrity != new.integrity))
        || (new.phase == Some(SnapshotPhase::Succeeded) && old.conditions != new.conditions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(value: serde_json::Value) -> SnapshotStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_document_is_due_when_all_components_have_ended() {
        assert!(!wants_upload(&status(json!({"totalComponents": 1}))));
        assert!(!wants_upload(&status(
            json!({"totalComponents": 2, "components": {"a": {"phase": "Succeeded"}}})
        )));
        let one_runs = json!({"totalComponents": 2, "components": {"a": {"phase": "Failed"}, "b": {"phase": "Running"}}});
        assert!(!wants_upload(&status(one_runs)));
        let ended = status(
            json!({"totalComponents": 2, "components": {"a": {"phase": "Failed"}, "b": {"phase": "Succeeded"}}}),
        );
        assert!(wants_upload(&ended));
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert!(!wants_upload(&uploaded(&ended, now)));
        assert!(wants_upload(&not_uploaded(&ended, "x", now)));
    }

    #[test]
    fn success_needs_the_document() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let ended = derived(&status(
            json!({"totalComponents": 1, "components": {"a": {"phase": "Succeeded", "size": "3 B"}}}),
        ));
        assert_eq!(
            (ended.phase, ended.size.as_deref()),
            (Some(SnapshotPhase::Running), Some("3 B"))
        );
        assert_eq!(uploaded(&ended, now).phase, Some(SnapshotPhase::Succeeded));
        assert_eq!(not_uploaded(&ended, "x", now).phase, Some(SnapshotPhase::Failed));
    }
}
