//! Rule 4: a lock is removed only when the pod that took it is proven gone.
//!
//! A lock of restic's names a host and nothing else that could be looked up: in a pod the host is the pod's name, without
//! its namespace, and a bucket may serve many namespaces and clusters. So a Job leaves a small record beside the
//! repository before restic takes a lock, [`Holder`], at `<repository path>/holders/<host>.json`, and takes it away when
//! restic has ended. A lock whose host has a record of this cluster can be looked up; when the API says that this very pod
//! (by its UID) is gone or has ended, exactly that lock is deleted. All others (other clusters, laptops, older programs)
//! are reported and left alone; `restic unlock` is never called: in another PID namespace it takes live locks for stale.

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

/// What the API says about a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderState {
    /// It runs, or may run again.
    Alive,
    /// It is gone for good.
    Gone,
    /// The API did not tell; the words say why.
    Unknown(String),
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

/// Removes the locks `ids` whose holders are proven gone by `state`, and reports the others.
///
/// # Errors
/// When the storage or restic fails.
pub async fn free_stale(
    place: Place<'_>,
    repository: &Repository,
    ids: &[String],
    state: impl AsyncFn(&Holder) -> HolderState,
) -> Result<LockReport, LockError> {
    let mut report = LockReport::default();
    for id in ids {
        let Some(lock) = repository.lock(id).await? else {
            continue;
        };
        let words = describe(&lock);
        match judge(place, &lock, &state).await? {
            None => {
                place.documents.delete(&join([place.dir, "locks", id])).await?;
                report.removed.push(format!("{words}: its pod is gone"));
            }
            Some(why) => {
                report.exclusive_left |= lock.exclusive;
                report.left.push(format!("{words}: {why}"));
            }
        }
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

/// `None`: the holder is proven gone. Otherwise why the lock stays.
async fn judge(
    place: Place<'_>,
    lock: &LockInfo,
    state: &impl AsyncFn(&Holder) -> HolderState,
) -> Result<Option<String>, LockError> {
    // A host name is a file name of ours only if it is a plain one.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if lock.hostname.is_empty() || !lock.hostname.chars().all(plain) {
        return Ok(Some("its host is none of ours".into()));
    }
    let path = record_path(place.repository_path, &lock.hostname);
    let Some(record) = place.documents.get(&path).await? else {
        return Ok(Some(
            "no Job of ours left a record of it, so it is not touched".into(),
        ));
    };
    let Ok(holder) = serde_json::from_slice::<Holder>(&record) else {
        return Ok(Some("its record cannot be read".into()));
    };
    if holder.cluster != place.cluster || holder.host != lock.hostname {
        return Ok(Some("it belongs to another cluster".into()));
    }
    Ok(match state(&holder).await {
        HolderState::Gone => None,
        HolderState::Alive => Some(format!("pod {}/{} is running", holder.namespace, holder.pod)),
        HolderState::Unknown(why) => Some(format!(
            "whether pod {}/{} is gone is not known: {why}",
            holder.namespace, holder.pod
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
