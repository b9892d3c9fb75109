//! Why an object is not where it should be, in one sentence that says what to do.
//!
//! The controllers put these sentences into conditions, and the CLI (`status`, `why`) says the same. [`why`] follows an
//! object to what it depends on until the broken link: `chain` is the answer as it grows, `facts` what it is made of,
//! and the others know one part of the way each.

pub mod backup;
pub mod chain;
#[cfg(test)]
mod chains;
pub mod facts;
pub mod other;
pub mod pod;
pub mod remedy;
pub mod restore;
pub mod storage;

use kube::ResourceExt;

use crate::{
    api::{
        conditions::{
            backup_configuration::{SCHEDULER_ENSURED, VALIDATION_PASSED},
            backup_session::BACKUP_CANCELLED,
        },
        config::job_result::{JobOutcome, JobResult},
        core::{BackupConfiguration, BackupSessionStatus, RestorePhase, RestoreSessionStatus},
        shared::ConditionStatus,
    },
    decide::{conditions, target, words::counted},
};

/// Why an object is as it is. It is among the facts; an object that is not there has the answer that it is not.
#[must_use]
pub fn why(about: &chain::About, facts: &facts::Facts) -> chain::Answer {
    use self::facts::Seen::Found;
    let (namespace, name) = (about.namespace.as_str(), about.name.as_str());
    let mut chain = chain::Chain::default();
    match about.kind.as_str() {
        "BackupConfiguration" => {
            if let Found(it) = facts.find(&facts.configurations, namespace, name) {
                backup::configuration(&mut chain, facts, it);
            }
        }
        "BackupSession" => {
            if let Found(it) = facts.find(&facts.sessions, namespace, name) {
                backup::session(&mut chain, facts, it);
            }
        }
        "RestoreSession" => {
            if let Found(it) = facts.find(&facts.restores, namespace, name) {
                restore::restore(&mut chain, facts, it);
            }
        }
        "Snapshot" => {
            if let Found(it) = facts.find(&facts.snapshots, namespace, name) {
                restore::snapshot(&mut chain, facts, it);
            }
        }
        "Repository" => {
            if let Found(it) = facts.find(&facts.repositories, namespace, name) {
                storage::repository(&mut chain, facts, it);
            }
        }
        "BackupStorage" => {
            if let Found(it) = facts.find(&facts.storages, namespace, name) {
                storage::storage(&mut chain, facts, it);
            }
        }
        _ => {
            if let Some(it) = &facts.other {
                other::other(&mut chain, facts, about, it);
            }
        }
    }
    chain.answer()
}

/// Why a BackupConfiguration is not Ready, from its status.
#[must_use]
pub fn not_ready(configuration: &BackupConfiguration) -> String {
    let Some(status) = &configuration.status else {
        return "it has not been processed yet; is the operator running?".to_owned();
    };
    if let Some(validation) = conditions::find(&status.conditions, VALIDATION_PASSED)
        && validation.status == ConditionStatus::False
    {
        return validation.message.clone();
    }
    if status.target_found == Some(false) {
        let own = configuration.namespace().unwrap_or_default();
        let reference = target::reference(configuration.spec.target.as_ref(), &own);
        return format!("its target {} does not exist", target::describe(&reference));
    }
    if let Some(backend) = status.backends.iter().find(|backend| backend.ready != Some(true)) {
        let storage = backend
            .storage
            .as_ref()
            .and_then(|storage| storage.reason.clone());
        let policy = backend
            .retention_policy
            .as_ref()
            .and_then(|policy| policy.reason.clone());
        return storage
            .or(policy)
            .unwrap_or_else(|| format!("its backend \"{}\" is not ready", backend.name));
    }
    for session in &status.sessions {
        if let Some(scheduler) = conditions::find(&session.conditions, SCHEDULER_ENSURED)
            && scheduler.status == ConditionStatus::False
        {
            return format!("session \"{}\": {}", session.name, scheduler.message);
        }
    }
    "its status is not complete yet".to_owned()
}

/// What a Job's own words and its container's end say about why it failed. `reason` is Kubernetes' (`Error`,
/// `OOMKilled`, `Evicted`, …).
#[must_use]
pub fn job_failure(
    container: &str,
    exit_code: Option<i32>,
    reason: &str,
    result: Option<&JobResult>,
) -> String {
    let mut text = match exit_code {
        Some(code) => format!(
            "container \"{container}\" exited with {code}. Reason: {}",
            word(reason)
        ),
        None => format!(
            "container \"{container}\" was terminated. Reason: {}",
            word(reason)
        ),
    };
    if reason == "OOMKilled" {
        text.push_str("; give it more memory in addon.jobTemplate.spec.resources");
    }
    if let Some(result) = result {
        if let Some(cause) = result.cause {
            text.push_str(&format!(" ({cause})"));
        }
        if !result.message.is_empty() {
            text.push_str(": ");
            text.push_str(&result.message);
        }
        if !result.log_tail.is_empty() {
            text.push_str("\nLast lines of its log:\n");
            text.push_str(result.log_tail.trim_end());
        }
    }
    text
}

fn word(reason: &str) -> &str {
    if reason.is_empty() { "unknown" } else { reason }
}

/// What a Job that succeeded warns about: files that were skipped with the user's leave.
#[must_use]
pub fn job_warnings(result: &JobResult) -> Vec<String> {
    let mut all = Vec::new();
    for repository in &result.repositories {
        let skipped = repository.skipped_count > 0 || !repository.skipped_files.is_empty();
        if skipped || repository.outcome == JobOutcome::Partial {
            all.push(format!(
                "Repository \"{}\": {} could not be read and {} not in the backup: {}",
                repository.name,
                counted(repository.skipped_count, "file"),
                if repository.skipped_count == 1 {
                    "is"
                } else {
                    "are"
                },
                repository.skipped_files.join(", ")
            ));
        }
        all.extend(
            repository
                .warnings
                .iter()
                .map(|warning| format!("Repository \"{}\": {warning}", repository.name)),
        );
    }
    if all.is_empty() && result.outcome == JobOutcome::Partial {
        all.push(result.message.clone());
    }
    all
}

/// The error of a session as hooks and events see it: the first condition that is False, else a failed Snapshot, else
/// a failed retention policy; empty when all went well.
#[must_use]
pub fn session_error(status: &BackupSessionStatus) -> String {
    use crate::api::core::RetentionPolicyApplyPhase;
    use crate::api::storage::SnapshotPhase;
    let cancelled = conditions::find(&status.conditions, BACKUP_CANCELLED);
    if let Some(condition) = cancelled.filter(|c| c.status == ConditionStatus::True) {
        return condition.message.clone();
    }
    if let Some(condition) = status
        .conditions
        .iter()
        .find(|c| c.status == ConditionStatus::False)
    {
        return condition.message.clone();
    }
    let incomplete = crate::api::conditions::backup_session::BACKUP_INCOMPLETE;
    if let Some(condition) = conditions::find(&status.conditions, incomplete)
        && condition.status == ConditionStatus::True
    {
        return condition.message.clone();
    }
    if let Some(snapshot) = status
        .snapshots
        .iter()
        .find(|s| s.phase == Some(SnapshotPhase::Failed))
    {
        return format!("Snapshot \"{}\" failed", snapshot.name);
    }
    status
        .retention_policy
        .iter()
        .find(|entry| entry.phase == Some(RetentionPolicyApplyPhase::FailedToApply))
        .map(|entry| format!("retention policy failed for Repository \"{}\"", entry.repository))
        .unwrap_or_default()
}

/// The error of a restore as hooks and events see it: the first condition that is False, else the error of a component;
/// empty when all went well.
#[must_use]
pub fn restore_error(status: &RestoreSessionStatus) -> String {
    let condition = status
        .conditions
        .iter()
        .find(|c| c.status == ConditionStatus::False)
        .map(|c| c.message.clone());
    let component = || {
        status.components.iter().find_map(|(name, c)| {
            let error = c.error.as_ref()?;
            Some(format!("component \"{name}\": {error}"))
        })
    };
    let failed = || {
        let any = status
            .components
            .values()
            .any(|c| c.phase == Some(RestorePhase::Failed));
        any.then(|| "the restore failed".to_owned())
    };
    condition.or_else(component).or_else(failed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::config::job_result::{JobCause, RepositoryResult};

    #[test]
    fn a_missing_target_is_named() {
        let configuration: BackupConfiguration = serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "bc", "namespace": "demo"},
            "spec": {"target": {"apiGroup": "apps", "kind": "StatefulSet", "name": "db"}},
            "status": {"targetFound": false}}))
        .unwrap();
        assert_eq!(
            not_ready(&configuration),
            "its target StatefulSet demo/db does not exist"
        );
    }

    #[test]
    fn a_failure_names_container_code_cause_and_last_lines() {
        let result = JobResult {
            cause: Some(JobCause::WrongPassword),
            message: "wrong password or no key found".into(),
            log_tail: "Fatal: wrong password\n".into(),
            ..JobResult::default()
        };
        let text = job_failure("logical-backup-0", Some(12), "Error", Some(&result));
        for piece in [
            "\"logical-backup-0\" exited with 12",
            "Reason: Error",
            "WrongPassword",
            "Fatal: wrong password",
        ] {
            assert!(text.contains(piece), "{text}");
        }
        assert!(job_failure("c", Some(137), "OOMKilled", None).contains("more memory"));
        assert!(job_failure("c", None, "", None).contains("Reason: unknown"));
    }

    #[test]
    fn skipped_files_are_warned_about() {
        let result = JobResult {
            outcome: JobOutcome::Partial,
            repositories: vec![RepositoryResult {
                name: "repo".into(),
                outcome: JobOutcome::Partial,
                skipped_files: vec!["/data/secret".into()],
                skipped_count: 1,
                ..RepositoryResult::default()
            }],
            ..JobResult::default()
        };
        assert!(job_warnings(&result)[0].contains("/data/secret"));
        assert!(
            job_warnings(&JobResult {
                outcome: JobOutcome::Succeeded,
                ..JobResult::default()
            })
            .is_empty()
        );
    }
}
