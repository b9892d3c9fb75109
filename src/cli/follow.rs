//! Following a BackupSession or RestoreSession to its end: progress while it runs, and at the end what became of it
//! and why. `backup now --wait`, `restore --wait` and `logs -f` use it; each bounds the time.

use std::time::Duration;

use super::error::{CliError, Exit};
use super::views::{self, BackupSession, RestoreSession, SnapshotDetail};
use crate::cluster::{Cluster, Error, kinds};
use crate::output::human;
use crate::output::ui::Progress;

/// How often the session is looked at.
const EVERY: Duration = Duration::from_millis(500);

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
/// When it disappears or the cluster cannot be asked.
pub async fn backup(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    progress: Option<&Progress<'_>>,
) -> Result<Outcome, CliError> {
    loop {
        let session: BackupSession = seen(cluster.get(&kinds::BACKUP_SESSION, Some(namespace), name).await)?;
        match session.status.phase.as_str() {
            "Succeeded" | "Failed" | "Skipped" => return backup_outcome(cluster, namespace, &session).await,
            _ => {}
        }
        if let Some(progress) = progress {
            progress.step(&format!("{name}: {}", backup_state(&session)));
            if let Some(moving) = backup_progress(cluster, namespace, &session).await {
                progress.tick(&format!("{name}: {moving}"));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits until a RestoreSession has ended. The caller bounds it.
///
/// # Errors
/// When it disappears or the cluster cannot be asked.
pub async fn restore(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    progress: Option<&Progress<'_>>,
) -> Result<Outcome, CliError> {
    loop {
        let session: RestoreSession =
            seen(cluster.get(&kinds::RESTORE_SESSION, Some(namespace), name).await)?;
        let ended = match session.status.phase.as_str() {
            "Succeeded" | "Failed" | "Invalid" => true,
            "Unknown" => session
                .status
                .conditions
                .iter()
                .any(|c| c.kind == "MetricsPushed"),
            _ => false,
        };
        if ended {
            return Ok(restore_outcome(&session));
        }
        if let Some(progress) = progress {
            progress.step(&format!("{name}: {}", restore_state(&session)));
            let moving: Vec<String> = session
                .status
                .components
                .iter()
                .filter(|(_, c)| !c.progress.percent_done.is_empty() && c.phase == "Running")
                .map(|(component, c)| format!("{component} {}", c.progress.percent_done))
                .collect();
            if !moving.is_empty() {
                progress.tick(&format!("{name}: {}", moving.join(", ")));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// A session that is gone while it is followed is an error of its own.
fn seen<T>(read: Result<T, Error>) -> Result<T, CliError> {
    read.map_err(|error| match error {
        Error::NotFound { what } => {
            CliError::new(Exit::Failed, format!("{what} was deleted while it was followed"))
        }
        other => other.into(),
    })
}

/// What a BackupSession is doing, in a few words.
pub fn backup_state(session: &BackupSession) -> String {
    match session.status.phase.as_str() {
        "" => "waiting for the operator".to_owned(),
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

/// How far the components are, where somebody watches; trouble in reading it is no trouble of the wait.
async fn backup_progress(cluster: &Cluster, namespace: &str, session: &BackupSession) -> Option<String> {
    let running = session.status.snapshots.iter().find(|s| s.phase == "Running")?;
    let snapshot: SnapshotDetail = cluster
        .get(&kinds::SNAPSHOT, Some(namespace), &running.name)
        .await
        .ok()?;
    let moving: Vec<String> = snapshot
        .status
        .components
        .iter()
        .filter(|(_, c)| c.phase == "Running")
        .filter_map(|(name, c)| {
            let percent = &c
                .restic_stats
                .iter()
                .find(|s| !s.progress.percent_done.is_empty())?
                .progress
                .percent_done;
            Some(format!("{name} {percent}"))
        })
        .collect();
    Some(moving.join(", ")).filter(|m| !m.is_empty())
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
mod tests {
    use serde_json::json;

    use super::*;

    fn restored(phase: &str, components: &serde_json::Value) -> Outcome {
        let session: RestoreSession = serde_json::from_value(json!({
            "metadata": {"name": "r"},
            "status": {"phase": phase, "components": components, "conditions": [
                {"type": "RestoreExecutorEnsured", "status": "False", "message": "no such task"},
            ]},
        }))
        .unwrap();
        restore_outcome(&session)
    }

    #[test]
    fn ends_have_their_codes() {
        assert_eq!(restored("Succeeded", &json!({})).exit(), Exit::Ok);
        assert_eq!(restored("Failed", &json!({})).exit(), Exit::Failed);
        assert_eq!(restored("Invalid", &json!({})).exit(), Exit::Failed);
        let part = restored(
            "Failed",
            &json!({"a": {"phase": "Succeeded"}, "b": {"phase": "Failed", "error": "disk full"}}),
        );
        assert_eq!(part.exit(), Exit::Partial);
        assert_eq!(part.causes, ["component b: disk full", "no such task"]);
    }

    #[test]
    fn a_cause_is_said_once() {
        assert_eq!(
            distinct(vec!["component a: no".to_owned(), "no".to_owned(), String::new()]),
            ["component a: no"]
        );
    }
}
