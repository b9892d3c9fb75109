//! Rule 4: a lock is removed only when the pod that took it is proven gone.
//!
//! A lock of restic's names a host and nothing else that could be looked up: in a pod the host is the pod's name, without
//! its namespace, and a bucket may serve many namespaces and clusters. So a Job leaves a small record beside the
//! repository before restic takes a lock, [`Holder`], at `<repository path>/holders/<host>.json`, and takes it away when
//! restic has ended. A lock whose host has a record of this cluster can be looked up; when the API says that this very pod
//! (by its UID) has ended or is there no more, exactly that lock is deleted. All others (other clusters, laptops, older programs) are reported
//! and left alone; `restic unlock` is never called: in another PID namespace it takes live locks for stale.
//!
//! A pod that was declared failed while its node was lost has not been seen to end: its restic may still write. Its lock
//! goes once it has been silent for [`SILENT`]: restic refreshes a lock every five minutes, and gives up its work when it
//! could not for 22.5 minutes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde::{Deserialize, Serialize};

use super::errors::ResticError;
use super::messages::LockInfo;
use super::repository::Repository;
use crate::backend::{BackendError, Documents, join};

/// Who runs restic on a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Identity of the cluster.
    #[serde(default)]
    pub cluster: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    #[serde(default)]
    pub uid: String,
    /// Host name inside the pod, as restic writes it into locks.
    pub host: String,
}

impl Holder {
    /// Whether the pod is one of this cluster. A cluster whose identity is not known can ask its API about nobody.
    #[must_use]
    pub fn is_of(&self, cluster: &str) -> bool {
        !cluster.is_empty() && self.cluster == cluster
    }
}

/// How long a lock must not have been refreshed before a pod that nobody saw end counts as gone. It is the age at which
/// restic itself calls a lock stale: whoever held it has stopped by then, wherever it runs.
pub const SILENT: SignedDuration = SignedDuration::from_mins(30);

/// Why a lock stays that has no record.
pub const NO_RECORD: &str =
    "no pod of ours left a record of it: another cluster, another program, or a person";
/// Why a lock stays that has the record of another cluster.
pub const ELSEWHERE: &str = "it belongs to another cluster";

/// What the API says about a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderState {
    /// It runs, or may run again.
    Alive,
    /// It was seen to end.
    Ended,
    /// The API does not know it any more.
    Gone,
    /// Another pod has its name now.
    Replaced,
    /// It was declared failed with its node, and nobody saw it end.
    Vanished,
    /// The API did not tell; the words say why.
    Unknown(String),
}

impl HolderState {
    /// Whether it is proven that it does not run and never will again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            HolderState::Ended | HolderState::Gone | HolderState::Replaced
        )
    }
}

/// What the pod that has a holder's name now says about the holder; `None`: there is no such pod.
#[must_use]
pub fn judge(holder: &Holder, pod: Option<&Pod>) -> HolderState {
    let Some(pod) = pod else {
        return HolderState::Gone;
    };
    if pod.metadata.uid.as_deref() != Some(holder.uid.as_str()) {
        return HolderState::Replaced;
    }
    let status = pod.status.as_ref();
    if !matches!(
        status.and_then(|s| s.phase.as_deref()),
        Some("Succeeded" | "Failed")
    ) {
        return HolderState::Alive;
    }
    // The node of a pod that is over says so of its containers. Where it was lost, they still count as running, or nothing
    // was ever said of them.
    let init = status.and_then(|s| s.init_container_statuses.as_ref());
    let main = status.and_then(|s| s.container_statuses.as_ref());
    let running = |container: &ContainerStatus| container.state.as_ref().is_some_and(|s| s.running.is_some());
    let said = main.is_some_and(|all| !all.is_empty());
    if said && !init.into_iter().chain(main).flatten().any(running) {
        HolderState::Ended
    } else {
        HolderState::Vanished
    }
}

/// What happened to the locks of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockReport {
    /// Locks that were removed because their holders are gone: one sentence each.
    pub removed: Vec<String>,
    /// Locks that stay: one sentence each.
    pub left: Vec<String>,
    /// Whether one of those keeps everybody else out.
    pub exclusive_left: bool,
    /// When the last of those whose pods have vanished can be removed; `None` when there are none.
    pub free_at: Option<Timestamp>,
}

/// The moment from which the lock of a pod that has vanished may go; `None` when the lock does not tell its age.
#[must_use]
pub fn silent_at(refreshed: Option<Timestamp>) -> Option<Timestamp> {
    refreshed?.checked_add(SILENT).ok()
}

/// Something went wrong on the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The storage.
    #[error(transparent)]
    Storage(#[from] BackendError),
    /// restic.
    #[error(transparent)]
    Restic(#[from] ResticError),
}

/// The record of a holder.
#[must_use]
pub fn record_path(repository_path: &str, host: &str) -> String {
    join([repository_path, "holders", &format!("{host}.json")])
}

/// The locks of a restic repository in directory `dir`; also the cheapest proof that the storage answers.
///
/// # Errors
/// When the storage fails.
pub async fn list(documents: &Documents, dir: &str) -> Result<Vec<String>, BackendError> {
    let entries = documents.list_directory(&join([dir, "locks"])).await?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| entry.path.rsplit('/').next().map(str::to_owned))
        .filter(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect())
}

/// Whether a lock of this host lies in the restic repository: a restic that was killed has not given its lock back, and
/// only the record of the host can prove later that nobody holds it any more.
///
/// # Errors
/// When the storage or restic fails.
pub async fn held_by(
    documents: &Documents,
    repository: &Repository,
    dir: &str,
    host: &str,
) -> Result<bool, LockError> {
    for id in list(documents, dir).await? {
        if let Some(lock) = repository.lock(&id).await?
            && lock.hostname == host
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the locks and the records of a repository are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The storage.
    pub documents: &'a Documents,
    /// Path of the Repository below the storage's prefix.
    pub repository_path: &'a str,
    /// Directory of the restic repository below the storage's prefix.
    pub dir: &'a str,
    /// Identity of our cluster.
    pub cluster: &'a str,
}

/// Removes the locks `ids` whose holders are proven gone by `state` at the time `now`, and reports the others.
///
/// # Errors
/// When the storage or restic fails.
pub async fn free_stale(
    place: Place<'_>,
    repository: &Repository,
    ids: &[String],
    now: Timestamp,
    state: impl AsyncFn(&Holder) -> HolderState,
) -> Result<LockReport, LockError> {
    let mut report = LockReport::default();
    for id in ids {
        let Some(lock) = repository.lock(id).await? else {
            continue;
        };
        let words = describe(&lock);
        let why = match holder_of(place, &lock).await? {
            Err(why) => why,
            Ok(holder) => match verdict(&holder, &state(&holder).await, lock.time, now) {
                Verdict::Free(why) => {
                    place.documents.delete(&join([place.dir, "locks", id])).await?;
                    report.removed.push(format!("{words}: {why}"));
                    continue;
                }
                Verdict::Later(at, why) => {
                    report.free_at = report.free_at.max(Some(at));
                    why
                }
                Verdict::Held(why) => why,
            },
        };
        report.exclusive_left |= lock.exclusive;
        report.left.push(format!("{words}: {why}"));
    }
    Ok(report)
}

fn describe(lock: &LockInfo) -> String {
    let kind = if lock.exclusive { "exclusive lock" } else { "lock" };
    let since = lock
        .time
        .map(|time| format!(" since {time:.0}"))
        .unwrap_or_default();
    format!("{kind} of {}{since}", lock.hostname)
}

/// What is to be done with a lock, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes: its holder is proven gone.
    Free(String),
    /// It will be, unless the lock is refreshed before.
    Later(Timestamp, String),
    /// Why it stays.
    Held(String),
}

/// Whether a lock that was last refreshed at `refreshed` may go, whose holder is in this state.
#[must_use]
pub fn verdict(
    holder: &Holder,
    state: &HolderState,
    refreshed: Option<Timestamp>,
    now: Timestamp,
) -> Verdict {
    let pod = format!("pod {}/{}", holder.namespace, holder.pod);
    match state {
        HolderState::Ended => Verdict::Free(format!("{pod} has ended")),
        HolderState::Gone => Verdict::Free(format!("{pod} is gone")),
        HolderState::Replaced => Verdict::Free(format!("{pod} is gone (another has its name now)")),
        HolderState::Alive => Verdict::Held(format!("{pod} is running")),
        HolderState::Unknown(why) => Verdict::Held(format!("whether {pod} is gone is not known: {why}")),
        HolderState::Vanished => match silent_at(refreshed) {
            Some(at) if at <= now => Verdict::Free(format!(
                "{pod} was lost with its node, and the lock was not refreshed since"
            )),
            Some(at) => Verdict::Later(
                at,
                format!(
                    "{pod} was lost with its node and nobody saw it end, so its restic may still write; the lock can go at {at:.0} if it is not refreshed before"
                ),
            ),
            None => Verdict::Held(format!("{pod} was lost with its node and nobody saw it end")),
        },
    }
}

/// The record of who holds a lock, or why there is none that counts.
async fn holder_of(place: Place<'_>, lock: &LockInfo) -> Result<Result<Holder, String>, LockError> {
    // A host name is a file name of ours only if it is a plain one.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if lock.hostname.is_empty() || !lock.hostname.chars().all(plain) {
        return Ok(Err("its host is none of ours".into()));
    }
    let path = record_path(place.repository_path, &lock.hostname);
    let Some(record) = place.documents.get(&path).await? else {
        return Ok(Err(NO_RECORD.into()));
    };
    let Ok(holder) = serde_json::from_slice::<Holder>(&record) else {
        return Ok(Err("its record cannot be read".into()));
    };
    if !holder.is_of(place.cluster) || holder.host != lock.hostname {
        return Ok(Err(ELSEWHERE.into()));
    }
    Ok(Ok(holder))
}

/// Removes the records of this cluster's pods that are gone, once no lock is left in any restic repository of the
/// Repository: nobody will ask for them any more. A pod that has vanished may be about to take a lock, so its record stays
/// until it is as old as a silent lock. Answers how many went.
///
/// # Errors
/// When the storage fails.
pub async fn sweep(
    place: Place<'_>,
    now: Timestamp,
    state: impl AsyncFn(&Holder) -> HolderState,
) -> Result<usize, BackendError> {
    let holders = join([place.repository_path, "holders"]);
    let mut over = Vec::new();
    for entry in place.documents.list_directory(&holders).await? {
        let Some(text) = place.documents.get(&entry.path).await? else {
            continue;
        };
        let holder = serde_json::from_slice::<Holder>(&text).unwrap_or_default();
        if !holder.is_of(place.cluster) {
            continue;
        }
        let state = state(&holder).await;
        let silent = || silent_at(entry.modified).is_some_and(|at| at <= now);
        if state.is_over() || (state == HolderState::Vanished && silent()) {
            over.push(entry.path);
        }
    }
    if over.is_empty() || any_lock(place).await? {
        return Ok(0);
    }
    for record in &over {
        place.documents.delete(record).await?;
    }
    Ok(over.len())
}

/// Whether a lock is left in any restic repository of the Repository.
async fn any_lock(place: Place<'_>) -> Result<bool, BackendError> {
    let mut level = vec![join([place.repository_path, "repository"])];
    // repository/VERSION/SESSION/COMPONENT, and one level less in what was written before there were versions.
    for _ in 0..4 {
        let mut below = Vec::new();
        for dir in level {
            let inner = place.documents.directories(&dir).await?;
            let is_restic = |name: &str| inner.iter().any(|path| path.rsplit('/').next() == Some(name));
            if !is_restic("keys") && !is_restic("locks") {
                below.extend(inner);
            } else if !list(place.documents, &dir).await?.is_empty() {
                return Ok(true);
            }
        }
        level = below;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        "2026-11-21T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    #[test]
    fn a_lock_goes_at_once_with_a_pod_that_ended_and_late_with_one_that_vanished() {
        let holder = Holder {
            namespace: "demo".into(),
            pod: "p".into(),
            ..Holder::default()
        };
        let judged =
            |state: HolderState, refreshed: Option<i64>| verdict(&holder, &state, refreshed.map(at), at(100));
        for (state, refreshed, why) in [
            (HolderState::Ended, 100, "pod demo/p has ended"),
            (HolderState::Gone, 100, "pod demo/p is gone"),
            (
                HolderState::Replaced,
                100,
                "pod demo/p is gone (another has its name now)",
            ),
            (
                HolderState::Vanished,
                70,
                "pod demo/p was lost with its node, and the lock was not refreshed since",
            ),
        ] {
            assert_eq!(judged(state, Some(refreshed)), Verdict::Free(why.into()));
        }
        // A restic that is cut off from the API alone goes on refreshing its lock every five minutes.
        let Verdict::Later(when, why) = judged(HolderState::Vanished, Some(94)) else {
            panic!("a lock of a restic that may still write was given away")
        };
        assert_eq!(when, at(124));
        assert!(
            why.contains("pod demo/p was lost") && why.contains("T10:04:00Z"),
            "{why}"
        );
        for state in [
            HolderState::Alive,
            HolderState::Unknown("no answer".into()),
            HolderState::Vanished,
        ] {
            let kept = judged(state, None);
            assert!(
                matches!(&kept, Verdict::Held(why) if why.contains("demo/p")),
                "{kept:?}"
            );
        }
        assert!(matches!(judged(HolderState::Alive, Some(0)), Verdict::Held(_)));
    }

    fn pod(uid: &str, phase: &str) -> Pod {
        let ended = json!([{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137}}}]);
        serde_json::from_value(json!({"metadata": {"name": "p", "uid": uid},
            "status": {"phase": phase, "containerStatuses": ended}}))
        .unwrap()
    }

    #[test]
    fn a_pod_is_gone_only_when_proven() {
        let holder = Holder {
            uid: "u1".into(),
            ..Holder::default()
        };
        assert_eq!(judge(&holder, None), HolderState::Gone);
        assert_eq!(judge(&holder, Some(&pod("u2", "Running"))), HolderState::Replaced);
        for phase in ["Failed", "Succeeded"] {
            assert_eq!(judge(&holder, Some(&pod("u2", phase))), HolderState::Replaced);
            assert_eq!(judge(&holder, Some(&pod("u1", phase))), HolderState::Ended);
        }
        // As Kubernetes leaves a pod whose node was lost: failed by decree, its container last seen at work.
        let mut lost = pod("u1", "Failed");
        let running = json!([{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {}}}]);
        let running: Option<Vec<ContainerStatus>> = serde_json::from_value(running).unwrap();
        lost.status.as_mut().unwrap().container_statuses = running.clone();
        assert_eq!(judge(&holder, Some(&lost)), HolderState::Vanished);
        lost.status.as_mut().unwrap().container_statuses = None;
        assert_eq!(judge(&holder, Some(&lost)), HolderState::Vanished);
        let mut still = pod("u1", "Failed");
        still.status.as_mut().unwrap().init_container_statuses = running;
        assert_eq!(judge(&holder, Some(&still)), HolderState::Vanished);
        for alive in ["Running", "Pending", "Unknown"] {
            assert_eq!(judge(&holder, Some(&pod("u1", alive))), HolderState::Alive);
        }
    }

    #[tokio::test]
    async fn records_go_when_no_lock_needs_them_and_their_pods_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let storage = crate::backend::Storage {
            label: "BackupStorage demo/local".into(),
            spec: serde_json::from_str(r#"{"provider":"local"}"#).unwrap(),
            local_root: Some(dir.path().to_owned()),
            credentials: None,
        };
        let documents = storage.documents().unwrap();
        let record = async |host: &str, cluster: &str| {
            let holder = Holder {
                cluster: cluster.into(),
                host: host.into(),
                pod: host.into(),
                ..Holder::default()
            };
            let text = serde_json::to_vec(&holder).unwrap();
            documents.put(&record_path("repo", host), text).await.unwrap();
        };
        for host in ["ended", "vanished", "alive", "asked"] {
            record(host, "ours").await;
        }
        record("ended-far", "theirs").await;
        let state = async |holder: &Holder| match holder.pod.as_str() {
            "alive" => HolderState::Alive,
            "asked" => HolderState::Unknown("no answer".into()),
            "vanished" => HolderState::Vanished,
            _ => HolderState::Ended,
        };
        let place = Place {
            documents: &documents,
            repository_path: "repo",
            dir: "repo/repository/v1/daily/dump",
            cluster: "ours",
        };
        for restic in ["v1/daily/dump", "v1/daily/manifest", "old/dump"] {
            let key = format!("repo/repository/{restic}/keys/k");
            documents.put(&key, "x").await.unwrap();
        }
        let lock = format!("repo/repository/v1/daily/manifest/locks/{}", "a".repeat(64));
        documents.put(&lock, "x").await.unwrap();
        let now = Timestamp::now();
        assert_eq!(sweep(place, now, &state).await.unwrap(), 0, "a lock is left");
        documents.delete(&lock).await.unwrap();
        assert_eq!(sweep(place, now, &state).await.unwrap(), 1);
        let left = async || {
            let all = documents.list_directory("repo/holders").await.unwrap();
            all.into_iter()
                .map(|entry| entry.path.trim_start_matches("repo/holders/").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            left().await,
            ["alive.json", "asked.json", "ended-far.json", "vanished.json"]
        );
        let later = now + SILENT + SignedDuration::from_secs(5);
        assert_eq!(sweep(place, later, &state).await.unwrap(), 1);
        assert_eq!(left().await, ["alive.json", "asked.json", "ended-far.json"]);
    }

    #[test]
    fn a_cluster_without_identity_owns_no_record() {
        let of = |cluster: &str| Holder {
            cluster: cluster.into(),
            ..Holder::default()
        };
        assert!(of("a").is_of("a") && !of("a").is_of("b"));
        assert!(!of("").is_of("") && !of("a").is_of(""));
    }

    #[test]
    fn records_lie_beside_the_repository() {
        assert_eq!(
            record_path("/demo/repo/", "pod-a"),
            "demo/repo/holders/pod-a.json"
        );
    }

    #[test]
    fn a_lock_is_described_for_people() {
        let lock = LockInfo {
            time: Some("2026-11-21T08:44:19.76Z".parse().unwrap()),
            exclusive: true,
            hostname: "pod-a".into(),
            ..LockInfo::default()
        };
        assert_eq!(
            describe(&lock),
            "exclusive lock of pod-a since 2026-11-21T08:44:19Z"
        );
    }
}
