//! Ending a BackupSession that is at work. KubeStash has no way to; ours is an annotation, because the spec of a session
//! may not change and its deletion would take the reason with it.
//!
//! `kubectl kubestash backup cancel` sets the annotation; the operator stops the session's Jobs, waits until their pods
//! are gone (so restic has given its lock back), and ends the session as Failed with the condition `BackupCancelled`.
//! A session that waits for its retry does not get one.

use kube::ResourceExt;

use crate::api::conditions::backup_session::BACKUP_CANCELLED;
use crate::api::core::{BackupSession, BackupSessionStatus};
use crate::decide::conditions;

/// Annotation on a BackupSession: somebody wants it to end. Its value is by whom and why, for people.
pub const ANNOTATION: &str = "kubestash.com/cancel";

/// The longest reason that is kept, in characters.
const REASON: usize = 500;

/// Who wants the session to end, and why; `None` when nobody does.
#[must_use]
pub fn requested(session: &BackupSession) -> Option<String> {
    let why: String = session
        .annotations()
        .get(ANNOTATION)?
        .trim()
        .chars()
        .take(REASON)
        .collect();
    Some(if why.is_empty() {
        "cancelled".to_owned()
    } else {
        format!("cancelled {why}")
    })
}

/// True when the session was ended on request.
#[must_use]
pub fn cancelled(status: &BackupSessionStatus) -> bool {
    conditions::is_true(&status.conditions, BACKUP_CANCELLED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::core::BackupSessionPhase;
    use crate::decide::{backup, phases};

    fn session(annotations: &serde_json::Value, status: &serde_json::Value) -> BackupSession {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"name": "b", "namespace": "demo", "annotations": annotations},
            "spec": {"session": "daily", "retryLeft": 2}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_annotation_is_the_request_and_its_value_the_reason() {
        assert_eq!(requested(&session(&json!({}), &json!({}))), None);
        let by = session(&json!({ANNOTATION: "by jane: too slow"}), &json!({}));
        assert_eq!(requested(&by).as_deref(), Some("cancelled by jane: too slow"));
        assert_eq!(
            requested(&session(&json!({ANNOTATION: ""}), &json!({}))).as_deref(),
            Some("cancelled")
        );
        let long = session(&json!({ANNOTATION: "x".repeat(9000)}), &json!({}));
        assert_eq!(requested(&long).unwrap().len(), "cancelled ".len() + REASON);
    }

    #[test]
    fn a_cancelled_session_has_failed_and_is_not_tried_again() {
        let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let ended = session(
            &json!({}),
            &json!({"conditions": [condition("BackupCancelled"), condition("MetricsPushed")]}),
        );
        let status = ended.status.clone().unwrap();
        assert!(cancelled(&status));
        assert_eq!(phases::backup_session(&status), BackupSessionPhase::Failed);
        let config =
            serde_json::from_value(json!({"name": "daily", "retryConfig": {"maxRetry": 2}})).unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(backup::next_retry(&ended, Some(&config), &status, now), None);
        let mut failed = status;
        failed.conditions[0].status = crate::api::shared::ConditionStatus::False;
        failed.snapshots =
            serde_json::from_value(json!([{"name": "s", "phase": "Failed", "repository": "r"}])).unwrap();
        assert!(backup::next_retry(&ended, Some(&config), &failed, now).is_some());
    }
}
