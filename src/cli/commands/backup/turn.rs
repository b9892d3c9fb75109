//! Whose turn it is. Backups of one configuration that share a Repository never run side by side: the operator skips the
//! one that comes second. Whoever asks by hand wants a backup and not a skipped one, so a command that waits begins it
//! when the other has ended, and a command that does not wait says so instead of making an object that comes to nothing.

use kube::ResourceExt;

use crate::api::core::{BackupConfiguration, BackupSession, Session};
use crate::api::labels;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, ListOptions, kinds};
use crate::decide::backup::{label, started};

/// What must end first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// A BackupSession that is at work, by its name, and the Repository that both use.
    Running(String, String),
    /// An earlier session of this same command, by its name in the configuration, and the Repository that both use.
    Own(String, String),
}

impl Before {
    /// The error for whoever does not wait.
    pub(super) fn refusal(&self, configuration: &BackupConfiguration, session: &str) -> CliError {
        let (name, namespace) = (
            configuration.name_any(),
            configuration.namespace().unwrap_or_default(),
        );
        let (message, other) = match self {
            Before::Running(other, repository) => (
                format!("BackupSession {other} is still running and uses the same Repository {repository}"),
                Some(other),
            ),
            Before::Own(other, repository) => (
                format!(
                    "session {session} of BackupConfiguration {name} cannot run beside session {other}: both use the Repository {repository}"
                ),
                None,
            ),
        };
        let error = CliError::new(Exit::Precondition, message).hint(format!(
            "`kubectl kubestash backup now {name} --session {session} --wait -n {namespace}` begins when the other has ended"
        ));
        match other {
            Some(other) => error.hint(format!(
                "`kubectl kubestash logs {other} -f -n {namespace}` follows it"
            )),
            None => error,
        }
    }
}

/// What must end before this session can begin: a BackupSession at work, or one of the sessions that begin before it.
pub(super) fn before(
    configuration: &BackupConfiguration,
    session: &Session,
    at_work: &[BackupSession],
    own: &[&Session],
) -> Option<Before> {
    let shared = |other: &Session| {
        other
            .repositories
            .iter()
            .map(|r| &r.name)
            .find(|name| session.repositories.iter().any(|r| r.name == **name))
            .cloned()
    };
    let running = at_work.iter().filter(|s| started(s)).find_map(|running| {
        let theirs = configuration
            .spec
            .sessions
            .iter()
            .find(|s| s.name == running.spec.session)?;
        Some(Before::Running(running.name_any(), shared(theirs)?))
    });
    running.or_else(|| {
        own.iter()
            .find_map(|other| Some(Before::Own(other.name.clone(), shared(other)?)))
    })
}

/// The BackupSessions of a configuration.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn of(
    cluster: &Cluster,
    configuration: &BackupConfiguration,
) -> Result<Vec<BackupSession>, CliError> {
    let name = configuration.name_any();
    let namespace = configuration.namespace().unwrap_or_default();
    let options = ListOptions::of(&namespace).labelled(format!("{}={}", labels::INVOKER_NAME, label(&name)));
    let mut all: Vec<BackupSession> = cluster.list(&kinds::BACKUP_SESSION, &options).await?;
    all.retain(|s| s.spec.invoker.as_ref().is_some_and(|i| i.name == name));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration() -> BackupConfiguration {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "b", "namespace": "demo"},
            "spec": {"sessions": [
                {"name": "daily", "repositories": [{"name": "one"}, {"name": "two"}]},
                {"name": "weekly", "repositories": [{"name": "two"}]},
                {"name": "other", "repositories": [{"name": "three"}]},
            ]},
        }))
        .unwrap()
    }

    fn run(session: &str, phase: &str) -> BackupSession {
        serde_json::from_value(json!({
            "metadata": {"name": format!("b-{session}-1")},
            "spec": {"session": session, "invoker": {"kind": "BackupConfiguration", "name": "b"}},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn sessions_that_share_a_repository_run_one_after_the_other() {
        let b = configuration();
        let [daily, weekly, other] = b.spec.sessions.as_slice() else {
            panic!("three sessions")
        };
        let running = [run("daily", "Running")];
        assert_eq!(
            before(&b, weekly, &running, &[]),
            Some(Before::Running("b-daily-1".to_owned(), "two".to_owned()))
        );
        assert_eq!(before(&b, other, &running, &[daily, weekly]), None);
        assert_eq!(before(&b, weekly, &[run("daily", "Skipped")], &[]), None);
        assert_eq!(
            before(&b, weekly, &[], &[daily]),
            Some(Before::Own("daily".to_owned(), "two".to_owned()))
        );
        let refusal = before(&b, weekly, &running, &[]).unwrap().refusal(&b, "weekly");
        assert_eq!(refusal.exit, Exit::Precondition);
        assert!(refusal.hints[0].contains("backup now b --session weekly --wait -n demo"));
    }
}
