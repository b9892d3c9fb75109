//! The checks: pure, from what was read. Their order is that of dependence, so the first failure is often the cause of
//! the others.

mod installation;
mod objects;

use jiff::Timestamp;
use serde_json::Value;

use super::facts::Facts;
use super::{Check, State};
use crate::cli::report::text;
use crate::cluster::Error;

const INSTALL: &str = "kubectl kubestash install";

/// Makes every check.
pub(super) fn all(facts: &Facts, now: Timestamp) -> Vec<Check> {
    let mut checks = vec![
        installation::server(facts),
        installation::definitions(facts),
        installation::current(facts),
    ];
    checks.push(installation::operator(facts));
    if facts.operators.as_ref().is_ok_and(|found| !found.is_empty()) {
        checks.extend([
            installation::skew(facts),
            installation::restarts(facts),
            installation::operator_rights(facts),
        ]);
    }
    checks.extend([
        installation::webhooks(facts),
        installation::catalog(facts),
        installation::rights(facts),
    ]);
    checks.extend([
        objects::not_ready(
            "storages",
            "BackupStorage",
            &facts.storages,
            "A BackupStorage that is not Ready takes no backups and gives none back.",
        ),
        objects::not_ready(
            "configurations",
            "BackupConfiguration",
            &facts.configurations,
            "Sessions of a BackupConfiguration that is not Ready are skipped.",
        ),
        objects::beside(facts),
        objects::last(facts),
        objects::images(facts),
        objects::long(facts, now),
        objects::stuck(facts, now),
    ]);
    checks
}

/// A check that is being written.
struct Draft {
    name: &'static str,
    why: &'static str,
}

impl Draft {
    fn end(&self, state: State, finding: impl Into<String>, fixes: Vec<String>) -> Check {
        Check {
            name: self.name.to_owned(),
            state,
            finding: finding.into(),
            why: self.why.to_owned(),
            fixes,
        }
    }

    fn passed(&self, finding: impl Into<String>) -> Check {
        self.end(State::Passed, finding, Vec::new())
    }

    fn failed(&self, finding: impl Into<String>, fix: impl Into<String>) -> Check {
        self.end(State::Failed, finding, vec![fix.into()])
    }

    fn warning(&self, finding: impl Into<String>, fix: impl Into<String>) -> Check {
        self.end(State::Warning, finding, vec![fix.into()])
    }

    /// The end of a check whose facts could not be read.
    fn unread(&self, error: &Error) -> Check {
        match error {
            Error::Forbidden { message } => self.end(
                State::Warning,
                format!("could not be checked: {message}"),
                vec!["ask a cluster administrator to run `kubectl kubestash doctor`".to_owned()],
            ),
            Error::UnknownKind { .. } => self.warning(
                "could not be checked: the definitions are missing",
                format!("`{INSTALL}`"),
            ),
            other => self.end(
                State::Warning,
                format!("could not be checked: {other}"),
                Vec::new(),
            ),
        }
    }
}

fn older(time: &str, seconds: i64, now: Timestamp) -> bool {
    time.parse::<Timestamp>()
        .is_ok_and(|then| now.duration_since(then).as_secs() > seconds)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|list| pod.pointer(list).and_then(Value::as_array))
        .flatten()
}

/// Why a pod does not run, if it says so.
fn waits(pod: &Value) -> Option<String> {
    containers(pod).find_map(|c| {
        let (reason, message) = (
            text(c, "/state/waiting/reason"),
            text(c, "/state/waiting/message"),
        );
        let known = !reason.is_empty() && !matches!(reason, "ContainerCreating" | "PodInitializing");
        known.then(|| {
            let image = text(c, "/image");
            format!("{reason} ({image}) {message}").trim_end().to_owned()
        })
    })
}

fn established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Established" && c["status"] == "True")
}

/// `namespace/name`.
fn place(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}

/// The first few names, and how many more there are.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
