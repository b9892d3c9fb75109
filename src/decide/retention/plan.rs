//! From a RetentionPolicy and Snapshots to the work of one retention Job.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{Candidate, Decision, PeriodError, Rules, apply, parse_period};
use crate::api::config::job_plan::RetentionComponent;
use crate::api::core::{BackupVerificationSession, BackupVerificationSessionPhase, RestoreSession};
use crate::api::storage::{Repository, RetentionPolicySpec, Snapshot, SnapshotPhase, SnapshotType};
use crate::decide::{naming, phases};

/// Marks a Snapshot whose restic data and document a retention Job has removed already: the Snapshot controller then
/// only lets the object go.
pub const FORGOTTEN_ANNOTATION: &str = "kubestash.com/forgotten";

/// On a Repository: when its restic repositories were last pruned (RFC 3339).
pub const PRUNED_AT_ANNOTATION: &str = "kubestash.com/pruned-at";

/// On a Repository: how many Snapshots were forgotten since then.
pub const FORGOTTEN_COUNT_ANNOTATION: &str = "kubestash.com/forgotten-since-prune";

/// Pruning waits at least this long after the last time.
const PRUNE_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Unless as many Snapshots as these were forgotten since.
const PRUNE_AFTER: u64 = 20;

/// What a retention run does to one Repository.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Names of the Snapshots to let go, newest first.
    pub stale: Vec<String>,
    /// Every Snapshot with the reasons for its fate, newest first.
    pub decisions: Vec<Decision>,
    /// The restic snapshots to forget. Empty when no stale Snapshot left data: then no Job is needed, unless `prune`.
    pub components: Vec<RetentionComponent>,
    /// Documents to remove, below the Repository's path.
    pub documents: Vec<String>,
    /// Whether the Job should prune as well.
    pub prune: bool,
    /// What to annotate the Repository with once the Job has succeeded.
    pub annotations: BTreeMap<String, String>,
}

impl Rules {
    /// The rules of a policy.
    ///
    /// # Errors
    /// When `maxRetentionPeriod` cannot be read.
    pub fn of(policy: &RetentionPolicySpec) -> Result<Self, PeriodError> {
        let success = policy.successful_snapshots.clone().unwrap_or_default();
        let period = policy
            .max_retention_period
            .as_deref()
            .filter(|text| !text.is_empty());
        Ok(Self {
            last: success.last,
            hourly: success.hourly,
            daily: success.daily,
            weekly: success.weekly,
            monthly: success.monthly,
            yearly: success.yearly,
            failed_last: policy.failed_snapshots.as_ref().map(|failed| failed.last),
            max_age: period.map(parse_period).transpose()?,
        })
    }
}

/// Decides about the Snapshots of `repository` (others are passed over) and lays out the work.
///
/// `current_session` is the BackupSession the run belongs to (empty: none), `in_use` names Snapshots that must not be
/// touched and why (see [`in_use`]). The list of Snapshots must be complete: never call this with a truncated one.
///
/// # Errors
/// When the policy's period cannot be read.
pub fn plan(
    repository: &Repository,
    snapshots: &[Snapshot],
    policy: &RetentionPolicySpec,
    current_session: &str,
    in_use: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Plan, PeriodError> {
    let rules = Rules::of(policy)?;
    let name = repository.name_any();
    let own: Vec<&Snapshot> = snapshots
        .iter()
        .filter(|snapshot| snapshot.spec.repository == name && snapshot.metadata.deletion_timestamp.is_none())
        .collect();
    let candidates: Vec<Candidate> = own
        .iter()
        .map(|snapshot| candidate(snapshot, current_session, in_use, now))
        .collect();
    let decisions = apply(&candidates, &rules, now);
    let stale: Vec<String> = decisions
        .iter()
        .filter(|d| !d.keep)
        .map(|d| d.name.clone())
        .collect();
    let gone: BTreeSet<&str> = stale.iter().map(String::as_str).collect();
    let (going, staying): (Vec<&Snapshot>, Vec<&Snapshot>) = own
        .into_iter()
        .partition(|snapshot| gone.contains(snapshot.name_any().as_str()));
    let components = to_forget(&going, &staying);
    let (prune, annotations) = pruning(repository, u64::try_from(stale.len()).unwrap_or(u64::MAX), now);
    let documents = stale
        .iter()
        .map(|name| naming::snapshot_document("", name))
        .collect();
    Ok(Plan {
        prune: prune && !components.is_empty(),
        stale,
        decisions,
        components,
        documents,
        annotations,
    })
}

fn candidate(
    snapshot: &Snapshot,
    current_session: &str,
    in_use: &BTreeMap<String, String>,
    now: Timestamp,
) -> Candidate {
    let name = snapshot.name_any();
    let protected = if snapshot.spec.paused {
        Some("paused".to_owned())
    } else if !current_session.is_empty() && snapshot.spec.backup_session == current_session {
        Some("made by this session".to_owned())
    } else {
        in_use.get(&name).cloned()
    };
    Candidate {
        session: snapshot.spec.session.clone(),
        phase: snapshot
            .status
            .as_ref()
            .and_then(|status| status.phase)
            .unwrap_or(SnapshotPhase::Pending),
        time: snapshot_time(snapshot).unwrap_or(now),
        incremental: snapshot.spec.type_ == Some(SnapshotType::IncrementalBackup),
        protected,
        name,
    }
}

/// When a Snapshot was taken: `status.snapshotTime`, or else its creation.
pub fn snapshot_time(snapshot: &Snapshot) -> Option<Timestamp> {
    let stated = snapshot
        .status
        .as_ref()
        .and_then(|status| status.snapshot_time.as_ref());
    stated
        .or(snapshot.metadata.creation_timestamp.as_ref())
        .map(|time| time.0)
}

/// The restic snapshot ids of a Snapshot, by the path of their restic repository below the Repository's directory.
pub fn restic_ids(snapshot: &Snapshot) -> BTreeMap<String, BTreeSet<String>> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, component) in snapshot.status.iter().flat_map(|status| &status.components) {
        let path = component
            .path
            .clone()
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| naming::component_path(&snapshot.spec.session, name));
        for stats in &component.restic_stats {
            if let Some(id) = stats
                .summary
                .as_ref()
                .and_then(|summary| summary.id.clone())
                .filter(|id| !id.is_empty())
            {
                ids.entry(path.clone()).or_default().insert(id);
            }
        }
    }
    ids
}

/// What the going Snapshots leave behind, without anything that one of the staying ones needs, too.
pub fn to_forget(going: &[&Snapshot], staying: &[&Snapshot]) -> Vec<RetentionComponent> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, found) in going.iter().flat_map(|snapshot| restic_ids(snapshot)) {
        ids.entry(path).or_default().extend(found);
    }
    for (path, needed) in staying.iter().flat_map(|snapshot| restic_ids(snapshot)) {
        if let Some(found) = ids.get_mut(&path) {
            found.retain(|id| !needed.contains(id));
        }
    }
    ids.into_iter()
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(component_path, ids)| RetentionComponent {
            component_path,
            forget: ids.into_iter().collect(),
        })
        .collect()
}

/// Whether pruning is due once `stale` more Snapshots are forgotten, and what to remember on the Repository.
fn pruning(repository: &Repository, stale: u64, now: Timestamp) -> (bool, BTreeMap<String, String>) {
    let annotations = repository.annotations();
    let last: Option<Timestamp> = annotations
        .get(PRUNED_AT_ANNOTATION)
        .and_then(|text| text.parse().ok());
    let before: u64 = annotations
        .get(FORGOTTEN_COUNT_ANNOTATION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let forgotten = before.saturating_add(stale);
    let waited = last.is_none_or(|last| now.duration_since(last) >= PRUNE_EVERY);
    let due = stale > 0 && (waited || forgotten >= PRUNE_AFTER);
    let mut remember = BTreeMap::new();
    if due {
        remember.insert(PRUNED_AT_ANNOTATION.to_owned(), now.to_string());
        remember.insert(FORGOTTEN_COUNT_ANNOTATION.to_owned(), "0".to_owned());
    } else if stale > 0 {
        remember.insert(FORGOTTEN_COUNT_ANNOTATION.to_owned(), forgotten.to_string());
    }
    (due, remember)
}

/// The Snapshots of `repository` that unfinished restores and verifications use, with the reason. A restore of `latest`
/// or of a point in time holds every Snapshot of the Repository, because which one it reads is not recorded.
pub fn in_use(
    repository: &Repository,
    snapshots: &[Snapshot],
    restores: &[RestoreSession],
    verifications: &[BackupVerificationSession],
) -> BTreeMap<String, String> {
    let (name, namespace) = (repository.name_any(), repository.namespace().unwrap_or_default());
    let mut used = BTreeMap::new();
    for restore in restores {
        let Some(source) = &restore.spec.data_source else {
            continue;
        };
        let finished =
            phases::restore_session_completed(restore.status.as_ref().and_then(|status| status.phase));
        let own = restore.namespace().unwrap_or_default();
        let from = source
            .namespace
            .as_deref()
            .filter(|text| !text.is_empty())
            .unwrap_or(&own);
        if finished || from != namespace {
            continue;
        }
        let reason = format!("in use by RestoreSession {own}/{}", restore.name_any());
        let any = source.pitr.is_some() || source.snapshot == "latest";
        if any && source.repository == name {
            used.extend(
                snapshots
                    .iter()
                    .map(|snapshot| (snapshot.name_any(), reason.clone())),
            );
        } else if !any {
            used.insert(source.snapshot.clone(), reason);
        }
    }
    for verification in verifications {
        let phase = verification.status.as_ref().and_then(|status| status.phase);
        let finished = phase.is_some_and(|phase| phase != BackupVerificationSessionPhase::Running);
        if !finished && verification.namespace().as_deref() == Some(namespace.as_str()) {
            let reason = format!("in use by BackupVerificationSession {}", verification.name_any());
            used.insert(verification.spec.snapshot.clone(), reason);
        }
    }
    used
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)] // `json!` makes values
mod tests {
    use super::*;
    use serde_json::json;

    fn snapshot(name: &str, day: u8, id: &str) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": name, "namespace": "demo", "creationTimestamp": format!("2026-01-{day:02}T00:00:00Z")},
            "spec": {"snapshotID": "x", "repository": "r", "session": "daily", "backupSession": format!("bc-daily-{day}"), "version": "v1",
                "appRef": {"name": "web"}},
            "status": {"phase": "Succeeded", "components": {"dump": {"path": "repository/v1/daily/dump",
                "resticStats": [{"summary": {"id": id}}]}}},
        }))
        .unwrap()
    }

    fn repository(annotations: serde_json::Value) -> Repository {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "r", "namespace": "demo", "annotations": annotations},
            "spec": {"path": "demo/r", "appRef": {"name": "web"}, "storageRef": {"name": "s"}},
        }))
        .unwrap()
    }

    fn run(repository: &Repository, snapshots: &[Snapshot], in_use: &BTreeMap<String, String>) -> Plan {
        let policy = serde_json::from_value(json!({"successfulSnapshots": {"last": 1}})).unwrap();
        plan(
            repository,
            snapshots,
            &policy,
            "bc-daily-3",
            in_use,
            "2026-01-03T01:00:00Z".parse().unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn stale_snapshots_become_ids_and_documents() {
        let all = [
            snapshot("a", 1, "id-a"),
            snapshot("b", 2, "id-b"),
            snapshot("c", 3, "id-c"),
        ];
        let plan = run(&repository(json!({})), &all, &BTreeMap::new());
        assert_eq!(plan.stale, ["b", "a"]);
        assert_eq!(plan.components[0].component_path, "repository/v1/daily/dump");
        assert_eq!(plan.components[0].forget, ["id-a", "id-b"]);
        assert_eq!(plan.documents, ["snapshots/b.yaml", "snapshots/a.yaml"]);
        assert!(plan.prune);
        assert_eq!(plan.annotations[FORGOTTEN_COUNT_ANNOTATION], "0");
    }

    #[test]
    fn an_id_that_a_kept_snapshot_has_too_is_not_forgotten() {
        let all = [snapshot("a", 1, "same"), snapshot("c", 3, "same")];
        let plan = run(&repository(json!({})), &all, &BTreeMap::new());
        assert_eq!(plan.stale, ["a"]);
        assert!(plan.components.is_empty() && !plan.prune);
    }

    #[test]
    fn pruning_is_rarer_than_forgetting() {
        let all = [snapshot("b", 2, "id-b"), snapshot("c", 3, "id-c")];
        let recent = json!({PRUNED_AT_ANNOTATION: "2026-01-03T00:00:00Z", FORGOTTEN_COUNT_ANNOTATION: "4"});
        let plan = run(&repository(recent), &all, &BTreeMap::new());
        assert!(!plan.prune);
        assert_eq!(
            plan.annotations,
            BTreeMap::from([(FORGOTTEN_COUNT_ANNOTATION.to_owned(), "5".to_owned())])
        );
        let many = json!({PRUNED_AT_ANNOTATION: "2026-01-03T00:00:00Z", FORGOTTEN_COUNT_ANNOTATION: "19"});
        assert!(run(&repository(many), &all, &BTreeMap::new()).prune);
        let long_ago = json!({PRUNED_AT_ANNOTATION: "2026-01-01T00:00:00Z"});
        assert!(run(&repository(long_ago), &all, &BTreeMap::new()).prune);
    }

    #[test]
    fn unfinished_restores_hold_what_they_read() {
        let all = [
            snapshot("a", 1, "id-a"),
            snapshot("b", 2, "id-b"),
            snapshot("c", 3, "id-c"),
        ];
        let restore = |source: serde_json::Value, phase: &str| -> RestoreSession {
            serde_json::from_value(json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
                "metadata": {"name": "x", "namespace": "demo"}, "spec": {"dataSource": source}, "status": {"phase": phase}}))
            .unwrap()
        };
        let repository = repository(json!({}));
        let held = in_use(
            &repository,
            &all,
            &[restore(json!({"snapshot": "a"}), "Running")],
            &[],
        );
        assert_eq!(run(&repository, &all, &held).stale, ["b"]);
        let latest = restore(json!({"repository": "r", "snapshot": "latest"}), "Pending");
        assert!(
            run(&repository, &all, &in_use(&repository, &all, &[latest], &[]))
                .stale
                .is_empty()
        );
        let done = restore(json!({"snapshot": "a"}), "Succeeded");
        assert!(in_use(&repository, &all, &[done], &[]).is_empty());
    }
}
