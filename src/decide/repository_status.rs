//! What the Snapshots of a Repository amount to, and what its Repositories amount to for a BackupStorage.
//!
//! A restic repository holds every backup of a component, so its raw size already counts all of them: the size of a
//! Repository is the sum over component paths of the newest known size, never the sum over Snapshots.
//!
//! Called by the Repository and BackupStorage controllers.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::api::storage::{
    BackupStorageStatus, ComponentPhase, RecentSnapshot, Repository, RepositoryStatus, Snapshot,
    SnapshotPhase, StorageRepository,
};
use crate::decide::retention::snapshot_time;
use crate::decide::{naming, phases, size};

/// How many Snapshots `status.recentSnapshots` names.
const RECENT: usize = 5;

/// The part of a Repository's status that follows from its Snapshots. `old` lends the conditions and the phase;
/// `snapshots` must be complete. Snapshots that are being deleted no longer count.
#[must_use]
pub fn of_snapshots(old: &RepositoryStatus, snapshots: &[Snapshot]) -> RepositoryStatus {
    let mut sorted: Vec<&Snapshot> = snapshots
        .iter()
        .filter(|snapshot| snapshot.metadata.deletion_timestamp.is_none())
        .collect();
    sorted.sort_by_cached_key(|snapshot| (snapshot_time(snapshot), snapshot.name_any()));
    let recent = sorted
        .iter()
        .skip(sorted.len().saturating_sub(RECENT))
        .map(|snapshot| recent(snapshot))
        .collect();
    let newest_success = sorted
        .iter()
        .rev()
        .find(|snapshot| phase(snapshot) == Some(SnapshotPhase::Succeeded));
    RepositoryStatus {
        phase: old.phase,
        conditions: old.conditions.clone(),
        last_backup_time: newest_success
            .and_then(|snapshot| snapshot_time(snapshot))
            .map(Time),
        integrity: sorted
            .iter()
            .rev()
            .find_map(|snapshot| snapshot.status.as_ref()?.integrity),
        snapshot_count: i32::try_from(sorted.len()).ok(),
        size: total_size(&sorted),
        recent_snapshots: recent,
        component_paths: component_paths(old, &sorted),
    }
}

/// The entries of a storage's status while a Job reads the documents of those that are to be brought back: `lost` are
/// marked as not synced yet, the others stay.
#[must_use]
pub fn awaited(known: &[StorageRepository], lost: &[StorageRepository]) -> Vec<StorageRepository> {
    let is_lost = |entry: &&StorageRepository| {
        lost.iter()
            .any(|other| other.name == entry.name && other.namespace == entry.namespace)
    };
    let kept = known.iter().filter(|entry| !is_lost(entry)).cloned();
    let waiting = lost.iter().map(|entry| StorageRepository {
        synced: Some(false),
        error: Some("a Job is reading its documents from the storage".to_owned()),
        ..entry.clone()
    });
    kept.chain(waiting).collect()
}

fn phase(snapshot: &Snapshot) -> Option<SnapshotPhase> {
    snapshot.status.as_ref().and_then(|status| status.phase)
}

fn recent(snapshot: &Snapshot) -> RecentSnapshot {
    let status = snapshot.status.as_ref();
    RecentSnapshot {
        name: snapshot.name_any(),
        phase: Some(phase(snapshot).unwrap_or(SnapshotPhase::Pending)),
        session: snapshot.spec.session.clone(),
        size: status.and_then(|status| status.size.clone()),
        snapshot_time: snapshot_time(snapshot).map(Time),
    }
}

/// Component paths with the components of the Snapshots, oldest first.
fn by_path<'a>(sorted: &[&'a Snapshot]) -> Vec<(String, &'a crate::api::storage::Component)> {
    sorted
        .iter()
        .flat_map(|snapshot| {
            let components = snapshot.status.iter().flat_map(|status| &status.components);
            components.map(|(name, component)| {
                let given = component.path.clone().filter(|path| !path.is_empty());
                (
                    given.unwrap_or_else(|| naming::component_path(&snapshot.spec.session, name)),
                    component,
                )
            })
        })
        .collect()
}

fn total_size(sorted: &[&Snapshot]) -> Option<String> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for (path, component) in by_path(sorted) {
        if let Some(bytes) = component.size.as_deref().and_then(size::parse) {
            newest.insert(path, bytes);
        }
    }
    (!newest.is_empty()).then(|| size::format(newest.values().copied().fold(0, u64::saturating_add)))
}

/// Paths where a restic repository is known to be: one whose backup came to an end, now or ever. A path that a failed
/// first backup only meant to use is not among them, so that the next one may still initialise it; and a path never
/// leaves the list, so that a wrong prefix cannot silently start an empty history.
fn component_paths(old: &RepositoryStatus, sorted: &[&Snapshot]) -> Vec<String> {
    let proven = by_path(sorted).into_iter().filter(|(_, component)| {
        let ids = component
            .restic_stats
            .iter()
            .filter_map(|stats| stats.summary.as_ref()?.id.as_deref());
        component.phase == Some(ComponentPhase::Succeeded) || ids.into_iter().any(|id| !id.is_empty())
    });
    let known: BTreeSet<String> = old
        .component_paths
        .iter()
        .cloned()
        .chain(proven.map(|(path, _)| path))
        .collect();
    known.into_iter().collect()
}

/// The repositories of a storage and their size. `remembered` are entries that stand in the storage's own list without
/// an object in the cluster (not synced); they stay, sorted in by namespace and name.
#[must_use]
pub fn of_repositories(
    old: &BackupStorageStatus,
    repositories: &[&Repository],
    remembered: &[StorageRepository],
) -> BackupStorageStatus {
    let mut entries: BTreeMap<(String, String), StorageRepository> = BTreeMap::new();
    for entry in remembered {
        entries.insert((entry.namespace.clone(), entry.name.clone()), entry.clone());
    }
    for repository in repositories {
        let key = (repository.namespace().unwrap_or_default(), repository.name_any());
        let known = old
            .repositories
            .iter()
            .find(|entry| (&entry.namespace, &entry.name) == (&key.0, &key.1));
        let entry = StorageRepository {
            name: key.1.clone(),
            namespace: key.0.clone(),
            path: repository.spec.path.clone(),
            size: repository.status.as_ref().and_then(|status| status.size.clone()),
            // Once found again by a re-sync it stays marked as that.
            synced: known.and_then(|known| known.synced).map(|_| true),
            error: None,
        };
        entries.insert(key, entry);
    }
    let repositories: Vec<StorageRepository> = entries.into_values().collect();
    let sizes: Vec<&str> = repositories
        .iter()
        .filter_map(|entry| entry.size.as_deref())
        .collect();
    BackupStorageStatus {
        phase: Some(phases::backup_storage(&old.conditions)),
        total_size: (!sizes.is_empty()).then(|| size::format(size::sum(sizes))),
        repositories,
        conditions: old.conditions.clone(),
    }
}

/// Whether two lists name the same repositories at the same paths: sizes change with every backup and are no reason to
/// write the list again.
#[must_use]
pub fn same_list(a: &[StorageRepository], b: &[StorageRepository]) -> bool {
    fn keys(list: &[StorageRepository]) -> BTreeSet<(&str, &str, &str)> {
        list.iter()
            .map(|entry| (entry.namespace.as_str(), entry.name.as_str(), entry.path.as_str()))
            .collect()
    }
    keys(a) == keys(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn snapshot(index: u8, phase: &str, size: &str, integrity: Option<bool>) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": format!("s{index}"), "namespace": "demo"},
            "spec": {"snapshotID": "x", "repository": "r", "session": "daily", "backupSession": "b", "version": "v1"},
            "status": {"phase": phase, "snapshotTime": format!("2026-01-0{index}T00:00:00Z"), "integrity": integrity,
                "components": {"dump": {"phase": phase, "path": "repository/v1/daily/dump", "size": size}}},
        }))
        .unwrap()
    }

    #[test]
    fn what_a_job_is_reading_is_not_forgotten() {
        let entry = |name: &str, synced: Option<bool>| StorageRepository {
            name: name.into(),
            namespace: "demo".into(),
            synced,
            ..StorageRepository::default()
        };
        let known = [entry("a", None), entry("b", Some(false))];
        let lost = [entry("b", None), entry("c", None)];
        let awaited = awaited(&known, &lost);
        let names: Vec<_> = awaited.iter().map(|e| (e.name.as_str(), e.synced)).collect();
        assert_eq!(names, [("a", None), ("b", Some(false)), ("c", Some(false))]);
        assert!(awaited[2].error.as_ref().unwrap().contains("reading"));
    }

    #[test]
    fn the_newest_size_counts_once_per_component_path() {
        let all = [
            snapshot(2, "Succeeded", "3.000 MiB", Some(true)),
            snapshot(1, "Succeeded", "2.000 MiB", Some(false)),
        ];
        let status = of_snapshots(&RepositoryStatus::default(), &all);
        assert_eq!(status.size.as_deref(), Some("3.000 MiB"));
        assert_eq!(status.integrity, Some(true));
        assert_eq!(status.snapshot_count, Some(2));
        assert_eq!(status.component_paths, ["repository/v1/daily/dump"]);
    }

    #[test]
    fn recent_snapshots_are_the_five_newest_oldest_first() {
        let all: Vec<Snapshot> = (1..=7)
            .rev()
            .map(|index| snapshot(index, if index == 7 { "Failed" } else { "Succeeded" }, "", None))
            .collect();
        let status = of_snapshots(&RepositoryStatus::default(), &all);
        let names: Vec<_> = status
            .recent_snapshots
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        assert_eq!(names, ["s3", "s4", "s5", "s6", "s7"]);
        assert_eq!(
            status.last_backup_time.unwrap().0.to_string(),
            "2026-01-06T00:00:00Z"
        );
        assert_eq!((status.size, status.integrity), (None, None));
    }

    #[test]
    fn component_paths_are_proven_and_never_forgotten() {
        let failed = of_snapshots(&RepositoryStatus::default(), &[snapshot(1, "Failed", "", None)]);
        assert!(failed.component_paths.is_empty());
        let known = of_snapshots(
            &RepositoryStatus::default(),
            &[snapshot(1, "Succeeded", "", None)],
        );
        assert_eq!(
            of_snapshots(&known, &[]).component_paths,
            ["repository/v1/daily/dump"]
        );
    }

    #[test]
    fn a_storage_lists_its_repositories_and_what_could_not_be_synced() {
        let repository: Repository = serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "r", "namespace": "demo"}, "spec": {"path": "demo/r"}, "status": {"size": "2.000 MiB"}}))
        .unwrap();
        let lost = StorageRepository {
            name: "x".into(),
            namespace: "gone".into(),
            path: "x".into(),
            size: None,
            synced: Some(false),
            error: Some("no namespace".into()),
        };
        let status = of_repositories(
            &BackupStorageStatus::default(),
            &[&repository],
            std::slice::from_ref(&lost),
        );
        assert_eq!(status.repositories.len(), 2);
        assert_eq!(status.repositories[1], lost);
        assert_eq!(status.total_size.as_deref(), Some("2.000 MiB"));
        let mut grown = status.repositories.clone();
        grown[0].size = Some("9.000 MiB".into());
        assert!(same_list(&status.repositories, &grown));
        assert!(!same_list(&status.repositories, &grown[..1]));
    }
}
