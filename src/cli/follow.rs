//! Following a BackupSession or RestoreSession to its end: progress while it runs, and at the end what became of it
//! and why. `backup now --wait`, `restore --wait` and `logs -f` use it; each bounds the time.
//!
//! The session and its Snapshots are watched; an [`Observer`] is shown each new state: [`Progress`] draws it,
//! [`events::Events`] writes it as NDJSON, [`Both`] does two things at once.

pub mod events;
pub mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use serde_json::Value;

use self::state::State;
use super::error::{CliError, Exit};
use super::views::{self, BackupSession, RestoreSession, SnapshotDetail};
use crate::cluster::{Cluster, Error, Kind, kinds, watch};
use crate::output::human;
use crate::output::ui::Progress;

/// How often an observer is shown the state although nothing has changed: it tells the time.
const TICK: Duration = Duration::from_secs(1);

/// Is shown a session whenever it changes, and every second.
pub trait Observer {
    /// The state now.
    ///
    /// # Errors
    /// When it cannot be shown to anybody any more; the wait ends with it.
    fn seen(&self, state: &State) -> Result<(), CliError>;
}

impl Observer for Progress<'_> {
    fn seen(&self, state: &State) -> Result<(), CliError> {
        let rows = if matches!(state.phase.as_str(), "Pending" | "") {
            Vec::new()
        } else {
            state.rows()
        };
        let line = state.line();
        let moving = rows
            .iter()
            .any(|r| matches!(r.look, crate::output::progress::Look::Moving(_)));
        self.group(&state.name, &state.doing, &rows, moving.then_some(&line));
        Ok(())
    }
}

/// Shows the state to two observers.
pub struct Both<'o>(pub &'o dyn Observer, pub &'o dyn Observer);

impl Observer for Both<'_> {
    fn seen(&self, state: &State) -> Result<(), CliError> {
        self.0.seen(state)?;
        self.1.seen(state)
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// BackupSession or RestoreSession.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The session of the configuration; empty for restores.
    pub session: String,
    /// Its last phase.
    pub phase: String,
    /// How long it took, as the operator says.
    pub duration: String,
    /// Why it did not succeed, most telling first; each may have several lines.
    pub causes: Vec<String>,
    /// Whether a part of it succeeded although the whole did not.
    pub in_part: bool,
}

impl Outcome {
    /// The code that a command which waited for it ends with.
    pub fn exit(&self) -> Exit {
        match self.phase.as_str() {
            "Succeeded" => Exit::Ok,
            "Skipped" => Exit::Precondition,
            _ if self.in_part => Exit::Partial,
            _ => Exit::Failed,
        }
    }
}

/// Waits until a BackupSession has ended. The caller bounds it.
///
/// # Errors
/// When it disappears, the cluster cannot be asked, or the observer cannot go on.
pub async fn backup(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    observer: Option<&dyn Observer>,
) -> Result<Outcome, CliError> {
    let mut sessions = watch::object(cluster, &kinds::BACKUP_SESSION, namespace, name);
    let mut changes: SelectAll<BoxStream<'static, (String, Option<Value>)>> = SelectAll::new();
    let mut snapshots: BTreeMap<String, SnapshotDetail> = BTreeMap::new();
    let mut followed: Vec<String> = Vec::new();
    let mut session: Option<BackupSession> = None;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            change = sessions.recv() => {
                let seen: BackupSession = seen(change, &kinds::BACKUP_SESSION, namespace, name)?;
                if matches!(seen.status.phase.as_str(), "Succeeded" | "Failed" | "Skipped") {
                    show(observer, &state::backup(&seen, &latest(cluster, namespace, &seen, observer).await))?;
                    return backup_outcome(cluster, namespace, &seen).await;
                }
                if observer.is_some() {
                    for reference in &seen.status.snapshots {
                        if !followed.contains(&reference.name) {
                            followed.push(reference.name.clone());
                            changes.push(stream(cluster, namespace, &reference.name));
                        }
                    }
                }
                session = Some(seen);
            }
            Some((name, object)) = changes.next(), if !changes.is_empty() => {
                if let Some(detail) = object.and_then(|o| serde_json::from_value(o).ok()) {
                    snapshots.insert(name, detail);
                }
            }
            _ = ticks.tick() => {}
        }
        if let Some(session) = &session {
            show(observer, &state::backup(session, &snapshots))?;
        }
    }
}

/// The Snapshots of a session that has ended, where somebody is shown them; trouble in reading them is no trouble of
/// the wait.
async fn latest(
    cluster: &Cluster,
    namespace: &str,
    session: &BackupSession,
    observer: Option<&dyn Observer>,
) -> BTreeMap<String, SnapshotDetail> {
    let mut found = BTreeMap::new();
    if observer.is_some() {
        for reference in &session.status.snapshots {
            if let Ok(detail) = cluster
                .get(&kinds::SNAPSHOT, Some(namespace), &reference.name)
                .await
            {
                found.insert(reference.name.clone(), detail);
            }
        }
    }
    found
}

/// The states of one Snapshot; ends silently when it cannot be followed, as the session itself still is.
fn stream(cluster: &Cluster, namespace: &str, name: &str) -> BoxStream<'static, (String, Option<Value>)> {
    let receiver = watch::object(cluster, &kinds::SNAPSHOT, namespace, name);
    let name = name.to_owned();
    futures::stream::unfold(receiver, move |mut receiver| {
        let name = name.clone();
        async move {
            let object = receiver.recv().await?.ok()?;
            Some(((name, object), receiver))
        }
    })
    .boxed()
}

fn show(observer: Option<&dyn Observer>, state: &State) -> Result<(), CliError> {
    observer.map_or(Ok(()), |o| o.seen(state))
}

/// Waits until a RestoreSession has ended. The caller bounds it.
///
/// # Errors
/// As [`backup`].
pub async fn restore(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    observer: Option<&dyn Observer>,
) -> Result<Outcome, CliError> {
    let mut sessions = watch::object(cluster, &kinds::RESTORE_SESSION, namespace, name);
    let mut session: Option<RestoreSession> = None;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            change = sessions.recv() => {
                let seen: RestoreSession = seen(change, &kinds::RESTORE_SESSION, namespace, name)?;
                let ended = match seen.status.phase.as_str() {
                    "Succeeded" | "Failed" | "Invalid" => true,
                    "Unknown" => seen.status.conditions.iter().any(|c| c.kind == "MetricsPushed"),
                    _ => false,
                };
                if ended {
                    show(observer, &state::restore(&seen))?;
                    return Ok(restore_outcome(&seen));
                }
                session = Some(seen);
            }
            _ = ticks.tick() => {}
        }
        if let Some(session) = &session {
            show(observer, &state::restore(session))?;
        }
    }
}

/// A session that is gone while it is followed is an error of its own.
fn seen<T: serde::de::DeserializeOwned>(
    change: Option<Result<Option<Value>, Error>>,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<T, CliError> {
    match change {
        Some(Ok(Some(object))) => serde_json::from_value(object)
            .map_err(|e| CliError::new(Exit::Error, "the session cannot be read").cause(e.to_string())),
        Some(Ok(None)) => Err(CliError::new(
            Exit::Failed,
            format!(
                "{} {name} in namespace {namespace} was deleted while it was followed",
                kind.kind
            ),
        )),
        Some(Err(error)) => Err(error.into()),
        None => Err(CliError::new(
            Exit::Error,
            format!("{} {name} cannot be followed any more", kind.kind),
        )),
    }
}

/// What a BackupSession is doing, in a few words.
pub fn backup_state(session: &BackupSession) -> String {
    match session.status.phase.as_str() {
        "" => "waiting for the operator".to_owned(),
        _ if pending_long(session).is_some() => format!(
            "its pod cannot start: {}",
            pending_long(session).unwrap_or_default()
        ),
        "Running" if !session.status.snapshots.is_empty() => {
            let done = session
                .status
                .snapshots
                .iter()
                .filter(|s| s.phase == "Succeeded" || s.phase == "Failed")
                .count();
            let all = human::counted(session.status.snapshots.len(), "Snapshot");
            if done == session.status.snapshots.len() {
                format!("finishing ({all})")
            } else {
                format!("backing up ({all})")
            }
        }
        phase => phase.to_lowercase(),
    }
}

/// Why its pod has been waiting for long.
fn pending_long(session: &BackupSession) -> Option<&str> {
    let pending = |c: &&views::Condition| {
        c.kind == "PodHasBeenInPendingStateForLongerThanExpected" && c.status == "True"
    };
    session
        .status
        .conditions
        .iter()
        .find(pending)
        .map(|c| c.message.as_str())
}

/// What a RestoreSession is doing, in a few words.
pub fn restore_state(session: &RestoreSession) -> String {
    match session.status.phase.as_str() {
        "" => "waiting for the operator".to_owned(),
        _ if session.status.target_found == Some(false) => "waiting for the target to exist".to_owned(),
        "Running" if !session.status.components.is_empty() => {
            format!(
                "restoring ({})",
                human::counted(session.status.components.len(), "component")
            )
        }
        phase => phase.to_lowercase(),
    }
}

/// What became of a BackupSession that has ended, with the reasons from it and from its Snapshots.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn backup_outcome(
    cluster: &Cluster,
    namespace: &str,
    session: &BackupSession,
) -> Result<Outcome, CliError> {
    let mut causes = Vec::new();
    let mut in_part = false;
    if session.status.phase != "Succeeded" {
        // Whoever ended it is the reason; what the Jobs said while they were ended comes after.
        let cancelled = session
            .status
            .conditions
            .iter()
            .find(|c| c.kind == "BackupCancelled" && c.status == "True");
        causes.extend(cancelled.map(|c| c.message.clone()));
        for reference in &session.status.snapshots {
            in_part |= reference.phase == "Succeeded";
            let found: Option<SnapshotDetail> = cluster
                .find(&kinds::SNAPSHOT, Some(namespace), &reference.name)
                .await?;
            let Some(snapshot) = found else { continue };
            in_part |= snapshot
                .status
                .components
                .values()
                .any(|c| c.phase == "Succeeded");
            push_component_errors(
                &mut causes,
                snapshot
                    .status
                    .components
                    .iter()
                    .map(|(name, c)| (name.as_str(), c.error.as_str())),
            );
            causes.extend(views::complaint(&snapshot.status.conditions));
        }
        causes.extend(views::complaint(&session.status.conditions));
        for retention in session
            .status
            .retention_policy
            .iter()
            .filter(|r| r.phase == "FailedToApply")
        {
            causes.push(format!(
                "retention in Repository {}: {}",
                retention.repository, retention.error
            ));
        }
    }
    Ok(Outcome {
        kind: "BackupSession",
        name: session.metadata.name.clone(),
        session: session.spec.session.clone(),
        phase: session.status.phase.clone(),
        duration: session.status.duration.clone(),
        causes: distinct(causes),
        in_part,
    })
}

/// What became of a RestoreSession that has ended.
pub fn restore_outcome(session: &RestoreSession) -> Outcome {
    let mut causes = Vec::new();
    if session.status.phase != "Succeeded" {
        push_component_errors(
            &mut causes,
            session
                .status
                .components
                .iter()
                .map(|(name, c)| (name.as_str(), c.error.as_str())),
        );
        causes.extend(views::complaint(&session.status.conditions));
    }
    Outcome {
        kind: "RestoreSession",
        name: session.metadata.name.clone(),
        session: String::new(),
        phase: session.status.phase.clone(),
        duration: session.status.duration.clone(),
        causes: distinct(causes),
        in_part: session.status.phase != "Succeeded"
            && session.status.components.values().any(|c| c.phase == "Succeeded"),
    }
}

fn push_component_errors<'c>(causes: &mut Vec<String>, components: impl Iterator<Item = (&'c str, &'c str)>) {
    for (name, error) in components.filter(|(_, error)| !error.is_empty()) {
        causes.push(format!("component {name}: {error}"));
    }
}

/// Each cause once: an object's condition often repeats what its component says.
fn distinct(causes: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for cause in causes {
        let cause = cause.trim().to_owned();
        if !cause.is_empty() && !kept.iter().any(|k| k.contains(&cause)) {
            kept.push(cause);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
