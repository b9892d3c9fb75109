//! What all jobs have in common: identity, bounds, failures, the last lines of the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::kubernetes::Kubernetes;
use super::plan::Secrets;
use crate::api::config::job_plan::{POD_NAME_ENV, POD_NAMESPACE_ENV, POD_UID_ENV};
use crate::api::config::job_result::{JobCause, JobOutcome, JobResult, RepositoryResult};
use crate::backend::BackendError;
use crate::restic::locks::{Holder, LockError};
use crate::restic::{Limits, Outcome, Program, ResticError};

/// restic is stopped this long before the deadline, so that the result can still be written.
const RESERVE: Duration = Duration::from_secs(3);

/// A job and what it works with.
pub struct Job {
    pub(super) name: &'static str,
    pub(super) secrets: Secrets,
    pub(super) program: Option<Program>,
    pub(super) kubernetes: Arc<dyn Kubernetes>,
    pub(super) cancel: CancellationToken,
    /// This pod, as it appears in the records beside the repositories. `None` where the host's name is not the pod's, so
    /// that locks could not be told apart.
    pub(super) holder: Option<Holder>,
    tail: Mutex<String>,
}

/// Why a job, or its part for one repository, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub cause: JobCause,
    /// One sentence with a way out.
    pub message: String,
    /// Source files that could not be read.
    pub skipped: Vec<String>,
    /// How many.
    pub skipped_count: u64,
    /// The last lines that restic printed, redacted.
    pub tail: String,
}

impl Failure {
    /// A failure with its sentence.
    #[must_use]
    pub fn new(cause: JobCause, message: String) -> Self {
        Self {
            cause,
            message,
            skipped: Vec::new(),
            skipped_count: 0,
            tail: String::new(),
        }
    }
}

impl From<ResticError> for Failure {
    fn from(error: ResticError) -> Self {
        Self {
            tail: error.tail.clone(),
            ..Self::new(error.job_cause(), error.to_string())
        }
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::new(error.cause(), error.message)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Storage(error) => error.into(),
            LockError::Restic(error) => error.into(),
        }
    }
}

impl Job {
    pub(super) fn new(
        name: &'static str,
        secrets: Secrets,
        program: Option<Program>,
        kubernetes: Arc<dyn Kubernetes>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            name,
            secrets,
            program,
            kubernetes,
            cancel,
            holder: this_pod(),
            tail: Mutex::default(),
        }
    }

    /// The bounds of restic's runs for a plan with this deadline.
    pub(super) fn limits(&self, deadline: Option<Timestamp>) -> Limits {
        let left = deadline.map(|deadline| {
            let left = deadline.duration_since(Timestamp::now());
            Duration::try_from(left)
                .unwrap_or_default()
                .saturating_sub(RESERVE)
        });
        Limits {
            deadline: left.map(|left| Instant::now() + left),
            cancel: self.cancel.clone(),
            ..Limits::default()
        }
    }

    /// Keeps the last lines of a failed run for the result.
    pub(super) fn keep_tail(&self, outcome: &Outcome) {
        *self.tail.lock().unwrap_or_else(PoisonError::into_inner) = outcome.tail_text();
    }

    /// Keeps the last lines of what failed for the result; of several failures the last that said anything.
    pub(super) fn remember(&self, failure: &Failure) {
        if !failure.tail.is_empty() {
            self.tail
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&failure.tail);
        }
    }

    /// Puts the parts' results together.
    pub(super) fn result(&self, component: &str, repositories: Vec<RepositoryResult>) -> JobResult {
        let worst = repositories
            .iter()
            .max_by_key(|result| match result.outcome {
                JobOutcome::Succeeded => 0,
                JobOutcome::Partial => 1,
                JobOutcome::Failed => 2,
            })
            .cloned()
            .unwrap_or_default();
        let outcome = if repositories.is_empty() {
            JobOutcome::Succeeded
        } else {
            worst.outcome
        };
        let mut result = JobResult {
            job: self.name.to_owned(),
            component: component.to_owned(),
            outcome,
            cause: worst.cause,
            message: match repositories.len() {
                0 | 1 => worst.message,
                _ if worst.message.is_empty() => String::new(),
                _ => format!("Repository {}: {}", worst.name, worst.message),
            },
            repositories,
            ..JobResult::default()
        };
        if outcome == JobOutcome::Failed {
            result.log_tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        result
    }
}

/// The result of a part that failed.
pub(super) fn failed_part(name: &str, snapshot: &str, failure: Failure) -> RepositoryResult {
    RepositoryResult {
        name: name.to_owned(),
        snapshot: snapshot.to_owned(),
        outcome: JobOutcome::Failed,
        cause: Some(failure.cause),
        message: failure.message,
        skipped_files: failure.skipped,
        skipped_count: failure.skipped_count,
        ..RepositoryResult::default()
    }
}

/// This pod, if its host name is its own.
pub(crate) fn this_pod() -> Option<Holder> {
    let host = host_name()?;
    let pod = std::env::var(POD_NAME_ENV).ok().filter(|name| !name.is_empty())?;
    let namespace = std::env::var(POD_NAMESPACE_ENV)
        .ok()
        .filter(|name| !name.is_empty())?;
    identify(
        &host,
        &pod,
        &namespace,
        &std::env::var(POD_UID_ENV).unwrap_or_default(),
    )
}

/// Kubernetes makes the first 63 characters of a pod's name its host name.
fn identify(host: &str, pod: &str, namespace: &str, uid: &str) -> Option<Holder> {
    let own = pod == host || (host.len() >= 60 && pod.starts_with(host));
    (own && !uid.is_empty()).then(|| Holder {
        cluster: String::new(),
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        uid: uid.to_owned(),
        host: host.to_owned(),
    })
}

#[cfg(target_os = "linux")]
fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(not(target_os = "linux"))]
fn host_name() -> Option<String> {
    std::env::var("HOSTNAME").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_name_of_its_own_identifies_a_pod() {
        assert!(identify("pod-a", "pod-a", "demo", "u").is_some());
        assert!(identify("node-1", "pod-a", "demo", "u").is_none());
        assert!(identify("pod", "pod-a", "demo", "u").is_none());
        assert!(identify("pod-a", "pod-a", "demo", "").is_none());
        let long = "a".repeat(80);
        assert!(identify(&long[..63], &long, "demo", "u").is_some());
    }
}
