//! What a Job hands back: one [`JobResult`] as JSON in its container's termination message.
//!
//! Kubernetes keeps that message in the pod's status, at most 4096 bytes of it; the operator copies what matters into
//! the session's status, so that reasons outlive the pod. It never holds a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kubernetes keeps this many bytes of a termination message.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;
/// Where the container writes its termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// Environment variable that replaces [`TERMINATION_LOG`].
pub const TERMINATION_LOG_ENV: &str = "KUBESTASH_TERMINATION_LOG";

/// How a Job, or its part for one repository, ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobOutcome {
    /// Everything asked for was done.
    Succeeded,
    /// Done, but source files were skipped; the user allowed that.
    Partial,
    /// Not done.
    #[default]
    Failed,
}

/// Why something failed, told apart so far that each class has its own way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobCause {
    /// The repository's password does not fit.
    WrongPassword,
    /// There is no repository where there should be one.
    RepositoryMissing,
    /// Another process holds a lock.
    Locked,
    /// The storage does not answer.
    Unreachable,
    /// The storage's certificate is not trusted.
    TlsUntrusted,
    /// The storage refuses the credentials or the operation.
    AccessDenied,
    /// The bucket or container does not exist.
    BucketMissing,
    /// No space is left on the target, the storage or the scratch volume.
    NoSpace,
    /// Data in the repository is damaged.
    Corrupt,
    /// A path to back up does not exist.
    SourceMissing,
    /// Some source files could not be read.
    Incomplete,
    /// The deadline passed.
    Timeout,
    /// The process was stopped from outside.
    Killed,
    /// The snapshot to restore holds nothing.
    EmptySnapshot,
    /// The restic snapshot is not in the repository.
    SnapshotMissing,
    /// A Secret lacks a key, a flag is missing or makes no sense, the plan cannot be read.
    Misconfigured,
    /// restic is missing or too old.
    EngineMissing,
    /// The Kubernetes API could not be told the result.
    StatusNotWritten,
    /// Files were restored, but their owners or attributes could not be set, or differ from what the snapshot says.
    RestoreIncomplete,
    /// Anything else.
    Other,
}

impl fmt::Display for JobCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a Job hands back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// The role, for example `workload-backup`.
    pub job: String,
    /// The component, where the role works on one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// How it ended.
    pub outcome: JobOutcome,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<JobCause>,
    /// One sentence for people: what failed, why, and a way out. Empty on success.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Last lines of the log, redacted, at most 2 KiB. Empty on success.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_tail: String,
    /// One entry per repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryResult>,
    /// For storage jobs that print documents: how to know that all of them arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<DocumentsSummary>,
    /// For storage jobs that prove a storage: which steps went well, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven: Vec<ProofStep>,
}

/// A step of the proof that a storage can be used, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProofStep {
    /// The place answers, accepts the credentials and can be listed.
    List,
    /// A document could be written.
    Write,
    /// It reads as it was written, and the listing has it.
    Read,
    /// It could be deleted, and is gone.
    Delete,
}

impl ProofStep {
    /// Every step, in order.
    pub const ALL: [ProofStep; 4] = [Self::List, Self::Write, Self::Read, Self::Delete];

    /// What the step does, for sentences: `list`, `write`.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Write => "write",
            Self::Read => "read",
            Self::Delete => "delete",
        }
    }
}

/// A Job's result for one repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryResult {
    /// Name of the Repository object.
    pub name: String,
    /// Name of the Snapshot object that was written, for backups.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot: String,
    /// How it ended.
    pub outcome: JobOutcome,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<JobCause>,
    /// One sentence for people. Empty on success.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The first source files that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_files: Vec<String>,
    /// How many source files could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_count: u64,
    /// Things worth saying on success: foreign locks seen, owners that could not be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// For retention: restic snapshots forgotten.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgotten: u64,
    /// For retention: whether space was freed too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pruned: bool,
}

/// A document of a storage, printed by storage jobs as one JSON line of standard output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Path below the storage's prefix.
    pub document: String,
    /// Its text.
    pub content: String,
}

/// Proof that all printed documents arrived: count them and hash their contents in the order of the lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DocumentsSummary {
    /// Number of documents printed.
    pub count: u64,
    /// SHA-256 in hexadecimal of all contents, one after the other.
    pub sha256: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl JobResult {
    /// The JSON for the termination message, made to fit [`TERMINATION_MESSAGE_LIMIT`]: what matters least is shortened
    /// first (log lines, file names, warnings, then messages).
    #[must_use]
    pub fn to_termination_message(&self) -> String {
        let mut result = self.clone();
        let steps: &[fn(&mut Self)] = &[
            |_| {},
            |r| keep_last(&mut r.log_tail, 1024),
            |r| r.each(|x| x.skipped_files.truncate(5)),
            |r| r.each(|x| x.warnings.truncate(1)),
            |r| keep_last(&mut r.log_tail, 256),
            |r| r.each(|x| keep_first(&mut x.message, 200)),
            |r| r.each(|x| x.skipped_files.clear()),
            |r| r.each(|x| x.warnings.clear()),
            |r| keep_first(&mut r.message, 1024),
            |r| r.log_tail.clear(),
            |r| r.repositories.truncate(8),
            |r| r.repositories.clear(),
        ];
        let mut text = String::new();
        for step in steps {
            step(&mut result);
            text = serde_json::to_string(&result).unwrap_or_default();
            if text.len() <= TERMINATION_MESSAGE_LIMIT {
                break;
            }
        }
        text
    }

    fn each(&mut self, shorten: fn(&mut RepositoryResult)) {
        self.repositories.iter_mut().for_each(shorten);
    }

    /// Reads a termination message. `None` when it is not one of ours, for example because the process was killed before
    /// it could write.
    #[must_use]
    pub fn from_termination_message(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }
}

/// Keeps the first `limit` bytes, cut at a character.
fn keep_first(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = text.floor_char_boundary(limit);
        text.truncate(end);
        text.push('…');
    }
}

/// Keeps the last `limit` bytes, cut at a character.
fn keep_last(text: &mut String, limit: usize) {
    if text.len() > limit {
        let start = text.ceil_char_boundary(text.len() - limit);
        text.replace_range(..start, "…");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_fits_and_keeps_its_cause() {
        let repository = RepositoryResult {
            name: "repo".into(),
            outcome: JobOutcome::Failed,
            cause: Some(JobCause::Incomplete),
            message: "ü".repeat(900),
            skipped_files: (0..50).map(|n| format!("/data/a long \"name\" {n}")).collect(),
            skipped_count: 50,
            warnings: vec!["w".repeat(300); 4],
            ..RepositoryResult::default()
        };
        let result = JobResult {
            job: "workload-backup".into(),
            outcome: JobOutcome::Failed,
            cause: Some(JobCause::Incomplete),
            message: "50 files could not be read".into(),
            log_tail: "\u{1}line\n".repeat(400),
            repositories: vec![repository; 4],
            ..JobResult::default()
        };
        let text = result.to_termination_message();
        assert!(text.len() <= TERMINATION_MESSAGE_LIMIT, "{}", text.len());
        let back = JobResult::from_termination_message(&text).unwrap();
        assert_eq!(back.cause, Some(JobCause::Incomplete));
        assert_eq!(back.message, "50 files could not be read");
        assert_eq!(back.repositories.len(), 4);
        assert_eq!(back.repositories[0].skipped_count, 50);
    }

    #[test]
    fn a_short_result_is_kept_whole() {
        let result = JobResult {
            job: "retention".into(),
            outcome: JobOutcome::Succeeded,
            log_tail: "one\ntwo".into(),
            ..JobResult::default()
        };
        assert_eq!(
            JobResult::from_termination_message(&result.to_termination_message()),
            Some(result)
        );
    }

    #[test]
    fn other_text_is_no_result() {
        assert_eq!(JobResult::from_termination_message("OOMKilled"), None);
        assert_eq!(JobResult::from_termination_message(""), None);
    }
}
