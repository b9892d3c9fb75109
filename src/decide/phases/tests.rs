#![allow(clippy::needless_pass_by_value, clippy::type_complexity)] // tables and `json!`

use super::*;
use crate::api::storage::SnapshotStatus;
use proptest::prelude::*;
use serde_json::{Value, json};

fn conditions(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(type_, status)| json!({"type": type_, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}))
        .collect()
}

fn snapshot_of(components: &[(&str, &str)], total: i32, list: &[(&str, &str)]) -> SnapshotStatus {
    let map: serde_json::Map<String, Value> = components
        .iter()
        .map(|(name, phase)| ((*name).to_owned(), json!({"phase": phase})))
        .collect();
    serde_json::from_value(
        json!({"components": map, "totalComponents": total, "conditions": conditions(list)}),
    )
    .unwrap()
}

#[test]
fn a_storage_needs_its_backend_and_if_named_its_secret() {
    let phase = |pairs: &[(&str, &str)]| {
        backup_storage(&serde_json::from_value::<Vec<Condition>>(conditions(pairs)).unwrap())
    };
    assert_eq!(phase(&[]), BackupStoragePhase::NotReady);
    assert_eq!(
        phase(&[("BackendInitialized", "True")]),
        BackupStoragePhase::Ready
    );
    assert_eq!(
        phase(&[("BackendInitialized", "True"), ("BackendSecretFound", "False")]),
        BackupStoragePhase::NotReady
    );
    assert_eq!(
        phase(&[("BackendInitialized", "True"), ("BackendSecretFound", "True")]),
        BackupStoragePhase::Ready
    );
}

#[test]
fn a_snapshot_succeeds_only_with_its_document_uploaded() {
    let up = ("SnapshotMetadataUploaded", "True");
    let cases: &[(&[(&str, &str)], &[(&str, &str)], SnapshotPhase)] = &[
        (&[], &[], SnapshotPhase::Pending),
        (&[("dump", "Succeeded")], &[], SnapshotPhase::Running),
        (&[("dump", "Succeeded")], &[up], SnapshotPhase::Succeeded),
        (
            &[("dump", "Succeeded")],
            &[("SnapshotMetadataUploaded", "False")],
            SnapshotPhase::Failed,
        ),
        (
            &[("dump", "Succeeded")],
            &[up, ("RecentSnapshotListUpdated", "False")],
            SnapshotPhase::Failed,
        ),
        (&[], &[("BackupIncomplete", "True")], SnapshotPhase::Failed),
        (&[("dump", "Failed")], &[], SnapshotPhase::Running),
        (&[("dump", "Failed")], &[up], SnapshotPhase::Failed),
    ];
    for (components, list, want) in cases {
        assert_eq!(
            snapshot(&snapshot_of(components, 1, list)),
            *want,
            "{components:?} {list:?}"
        );
    }
}

#[test]
fn one_failed_component_fails_while_others_run() {
    let status = snapshot_of(&[("a", "Failed"), ("b", "Running")], 2, &[]);
    assert_eq!(snapshot_components(&status), SnapshotPhase::Failed);
    let waiting = snapshot_of(&[("a", "Succeeded")], 2, &[]);
    assert_eq!(snapshot_components(&waiting), SnapshotPhase::Running);
}

#[test]
fn sizes_add_up_once_all_are_known() {
    let components: BTreeMap<String, Component> = serde_json::from_value(json!({
        "a": {"size": "1.000 KiB", "integrity": true, "resticStats": [{}]},
        "b": {"size": "1024 B", "integrity": true, "resticStats": [{}]}}))
    .unwrap();
    assert_eq!(snapshot_size(&components).as_deref(), Some("2.000 KiB"));
    assert_eq!(snapshot_integrity(&components), Some(true));
    let waiting: BTreeMap<String, Component> =
        serde_json::from_value(json!({"a": {"size": "1 B", "integrity": true}, "b": {"resticStats": [{}]}}))
            .unwrap();
    assert_eq!(
        (snapshot_size(&waiting), snapshot_integrity(&waiting)),
        (None, None)
    );
    assert_eq!(
        (
            snapshot_size(&BTreeMap::new()),
            snapshot_integrity(&BTreeMap::new())
        ),
        (None, None)
    );
}

fn session(list: &[(&str, &str)], snapshots: &[&str], retention: Value) -> BackupSessionPhase {
    let snapshots: Vec<Value> = snapshots
        .iter()
        .map(|p| json!({"name": "s", "repository": "r", "phase": p}))
        .collect();
    let status: BackupSessionStatus = serde_json::from_value(
        json!({"conditions": conditions(list), "snapshots": snapshots, "retentionPolicy": retention}),
    )
    .unwrap();
    backup_session(&status)
}

#[test]
fn a_backup_session_ends_with_its_last_step() {
    use BackupSessionPhase as P;
    let pushed = ("MetricsPushed", "True");
    assert_eq!(session(&[], &[], json!([])), P::Pending);
    assert_eq!(session(&[], &["Pending"], json!([])), P::Pending);
    assert_eq!(session(&[], &["Pending", "Running"], json!([])), P::Running);
    assert_eq!(session(&[], &["Succeeded"], json!([])), P::Running);
    assert_eq!(session(&[pushed], &["Succeeded"], json!([])), P::Succeeded);
    assert_eq!(session(&[pushed], &["Succeeded", "Failed"], json!([])), P::Failed);
    assert_eq!(session(&[("BackupSkipped", "True")], &[], json!([])), P::Skipped);
    assert_eq!(
        session(
            &[("BackupSkipped", "True"), ("MetricsPushed", "False")],
            &[],
            json!([])
        ),
        P::Failed
    );
    assert_eq!(
        session(&[("BackupExecutorEnsured", "False")], &[], json!([])),
        P::Pending
    );
    assert_eq!(
        session(&[pushed, ("BackupExecutorEnsured", "False")], &[], json!([])),
        P::Failed
    );
    let failed = json!([{"repository": "r", "phase": "FailedToApply"}]);
    assert_eq!(session(&[pushed], &["Succeeded"], failed), P::Failed);
    assert_eq!(
        session(
            &[pushed, ("RetentionPolicyExecutorEnsured", "False")],
            &["Succeeded"],
            json!([])
        ),
        P::Succeeded
    );
}

fn restore(list: &[(&str, &str)], components: &[(&str, &str)], total: i32) -> RestorePhase {
    let map: serde_json::Map<String, Value> = components
        .iter()
        .map(|(name, phase)| ((*name).to_owned(), json!({"phase": phase})))
        .collect();
    let status: RestoreSessionStatus = serde_json::from_value(
        json!({"conditions": conditions(list), "components": map, "totalComponents": total}),
    )
    .unwrap();
    restore_session(&status)
}

#[test]
fn a_restore_ends_with_its_last_step() {
    use RestorePhase as P;
    let pushed = ("MetricsPushed", "True");
    assert_eq!(restore(&[], &[], 0), P::Pending);
    assert_eq!(restore(&[("ValidationPassed", "False")], &[], 0), P::Invalid);
    assert_eq!(restore(&[], &[("dump", "Succeeded")], 1), P::Running);
    assert_eq!(restore(&[pushed], &[("dump", "Succeeded")], 1), P::Succeeded);
    assert_eq!(
        restore(
            &[pushed, ("RestoreIncomplete", "True")],
            &[("dump", "Running")],
            1
        ),
        P::Failed
    );
    assert_eq!(restore(&[], &[("dump", "Unknown")], 1), P::Unknown);
    assert_eq!(
        restore(&[pushed], &[("a", "Failed"), ("b", "Unknown")], 2),
        P::Failed
    );
}

proptest! {
    #[test]
    fn order_of_conditions_does_not_matter(mask in 0u8..64, total in 0i32..3, flip in any::<bool>()) {
        let names = ["SnapshotMetadataUploaded", "RecentSnapshotListUpdated", "BackupIncomplete"];
        let mut list: Vec<(&str, &str)> = names.iter().enumerate().filter_map(|(i, name)| match mask >> (2 * i) & 3 {
            0 | 3 => None,
            1 => Some((*name, "True")),
            _ => Some((*name, "False")),
        }).collect();
        let one = snapshot(&snapshot_of(&[("dump", "Succeeded")], total, &list));
        if flip { list.reverse(); }
        prop_assert_eq!(one, snapshot(&snapshot_of(&[("dump", "Succeeded")], total, &list)));
    }
}
