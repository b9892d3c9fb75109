//! restic's failures, told apart and said in words for people.

use std::fmt;

use crate::api::config::job_result::JobCause;

/// Why restic failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Exit 12.
    WrongPassword,
    /// Exit 10: there is no repository at the place.
    RepositoryMissing,
    /// Exit 11: somebody holds a lock.
    Locked {
        /// Who, as far as restic or the locks say.
        by: String,
    },
    /// The storage does not answer.
    Unreachable,
    /// The certificate of the storage is not trusted.
    TlsUntrusted,
    /// The storage refuses the credentials or the operation.
    AccessDenied,
    /// The bucket or container does not exist.
    BucketMissing,
    /// No space is left.
    NoSpace {
        /// Where, if restic says so.
        place: String,
    },
    /// Data in the repository is damaged.
    Corrupt,
    /// The path to back up is not there.
    SourceMissing,
    /// The snapshot id is not in the repository.
    SnapshotMissing,
    /// Exit 3: some source files could not be read.
    Incomplete {
        /// The first of them.
        files: Vec<String>,
        /// How many.
        count: u64,
    },
    /// Our deadline passed.
    Timeout,
    /// Stopped from outside.
    Killed {
        /// By a signal, or by our own termination.
        how: String,
    },
    /// restic is not there, or too old.
    Program,
    /// Anything else.
    Other,
}

/// A failure of restic: what was tried, why it failed, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResticError {
    /// The class.
    pub cause: Cause,
    /// What was tried: `backup`, `restore` …
    pub action: String,
    /// restic's own words, redacted, one line.
    pub detail: String,
    /// The last lines that it printed, redacted, oldest first.
    pub tail: String,
}

impl std::error::Error for ResticError {}

impl fmt::Display for ResticError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = if self.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.detail)
        };
        match &self.cause {
            Cause::WrongPassword => f.write_str(
                "the repository does not open with this RESTIC_PASSWORD; put the password it was created with back into the encryption Secret",
            ),
            Cause::RepositoryMissing => write!(
                f,
                "there is no restic repository at this place, although earlier backups should be there; check bucket, prefix and path before anything is written{detail}"
            ),
            Cause::Locked { by } if by.is_empty() => write!(
                f,
                "the repository is locked by another process; it is free again when that process ends{detail}"
            ),
            Cause::Locked { by } => write!(f, "the repository is locked by {by}; it is free again when that ends"),
            Cause::Unreachable => write!(
                f,
                "the storage cannot be reached; check the endpoint, the network policies and the proxy settings{detail}"
            ),
            Cause::TlsUntrusted => write!(
                f,
                "the certificate of the storage is not trusted; put the authority's certificate into the storage Secret as CA_CERT_DATA{detail}"
            ),
            // The words of a file system: no server says them so.
            Cause::AccessDenied if self.detail.contains(": permission denied") => write!(
                f,
                "the user that the Job runs as may not write to the storage's volume; set spec.runtimeSettings.pod.securityContext of the BackupStorage (fsGroup where the volume honours it, otherwise runAsUser){detail}"
            ),
            Cause::AccessDenied => write!(
                f,
                "access is refused; give the storage's credentials the right to list, read, write and delete{detail}"
            ),
            Cause::BucketMissing => write!(f, "the bucket does not exist; create it, or correct the BackupStorage{detail}"),
            Cause::NoSpace { place } if place.is_empty() => {
                write!(f, "no space is left; free some or enlarge the volume{detail}")
            }
            Cause::NoSpace { place } => write!(f, "{place} is full; free some space or enlarge it{detail}"),
            Cause::Corrupt => write!(
                f,
                "data in the repository is damaged; run restic check --read-data and see restic's repair commands{detail}"
            ),
            Cause::SourceMissing => write!(
                f,
                "a path to back up does not exist in the container; correct the paths of the task or the volume mounts{detail}"
            ),
            Cause::SnapshotMissing => write!(
                f,
                "the restic snapshot is not in the repository; it was forgotten, or the repository is another one{detail}"
            ),
            Cause::Incomplete { files, count } => {
                let named = files.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                let more = if *count > 3 { ", …" } else { "" };
                let what = if *count == 1 { "file" } else { "files" };
                write!(
                    f,
                    "{count} source {what} could not be read: {named}{more}; run the backup as a user that may read them, exclude them, or set allowPartial: \"true\""
                )
            }
            Cause::Timeout => write!(
                f,
                "the deadline passed while restic {} was running; raise the timeout, or look for what slows it down{detail}",
                self.action
            ),
            Cause::Killed { how } => write!(f, "restic {} was stopped ({how}); run it again{detail}", self.action),
            Cause::Program => f.write_str(&self.detail),
            Cause::Other => write!(f, "restic {} failed{detail}", self.action),
        }
    }
}

impl ResticError {
    /// A failure with restic's words, cut to one bounded line.
    #[must_use]
    pub fn new(cause: Cause, action: &str, detail: &str) -> Self {
        let mut detail = detail
            .trim()
            .trim_start_matches("Fatal: ")
            .replace(['\n', '\r'], " ");
        if detail.len() > 400 {
            detail.truncate(detail.floor_char_boundary(400));
            detail.push('…');
        }
        Self {
            cause,
            action: action.to_owned(),
            detail,
            tail: String::new(),
        }
    }

    /// The same with the last lines that restic printed.
    #[must_use]
    pub fn with_tail(mut self, tail: String) -> Self {
        self.tail = tail;
        self
    }

    /// The class in the words of Jobs' results.
    #[must_use]
    pub fn job_cause(&self) -> JobCause {
        match self.cause {
            Cause::WrongPassword => JobCause::WrongPassword,
            Cause::RepositoryMissing => JobCause::RepositoryMissing,
            Cause::Locked { .. } => JobCause::Locked,
            Cause::Unreachable => JobCause::Unreachable,
            Cause::TlsUntrusted => JobCause::TlsUntrusted,
            Cause::AccessDenied => JobCause::AccessDenied,
            Cause::BucketMissing => JobCause::BucketMissing,
            Cause::NoSpace { .. } => JobCause::NoSpace,
            Cause::Corrupt => JobCause::Corrupt,
            Cause::SourceMissing => JobCause::SourceMissing,
            Cause::SnapshotMissing => JobCause::SnapshotMissing,
            Cause::Incomplete { .. } => JobCause::Incomplete,
            Cause::Timeout => JobCause::Timeout,
            Cause::Killed { .. } => JobCause::Killed,
            Cause::Program => JobCause::EngineMissing,
            Cause::Other => JobCause::Other,
        }
    }
}

/// The class of a failure, from restic's exit code and its words (the exit error first, then the last lines).
#[must_use]
pub fn classify(code: Option<i32>, words: &str) -> Cause {
    match code {
        Some(12) => return Cause::WrongPassword,
        // Exit 10 is also what a missing bucket gives where the provider says so at once.
        Some(10) => {
            return if says_bucket_missing(words) {
                Cause::BucketMissing
            } else {
                Cause::RepositoryMissing
            };
        }
        Some(11) => {
            return Cause::Locked {
                by: lock_holder(words).unwrap_or_default(),
            };
        }
        Some(130) => {
            return Cause::Killed {
                how: "interrupted".into(),
            };
        }
        _ => {}
    }
    of_words(words).unwrap_or(Cause::Other)
}

fn says_bucket_missing(words: &str) -> bool {
    [
        "bucket does not exist",
        "NoSuchBucket",
        "ContainerNotFound",
        "container does not exist",
    ]
    .iter()
    .any(|phrase| words.contains(phrase))
}

/// What the words of restic or of a provider's library mean, whatever the exit code.
#[must_use]
pub fn of_words(words: &str) -> Option<Cause> {
    let lower = words.to_ascii_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says_bucket_missing(words) {
        return Some(Cause::BucketMissing);
    }
    if has(&[
        "no space left on device",
        "disk quota exceeded",
        "enospc",
        "storage full",
    ]) {
        return Some(Cause::NoSpace { place: String::new() });
    }
    if has(&["x509:", "certificate signed by unknown", "tls: failed to verify"]) {
        return Some(Cause::TlsUntrusted);
    }
    if has(&[
        "access denied",
        "accessdenied",
        "access key id you provided does not exist",
        "invalidaccesskeyid",
        "signaturedoesnotmatch",
        "signature we calculated does not match",
        "authenticationfailed",
        "authorizationfailure",
        "403 forbidden",
        "status code 403",
        "invalid_grant",
    ]) {
        return Some(Cause::AccessDenied);
    }
    if has(&[
        "all source directories/files do not exist",
        "source directories/files do not exist",
    ]) {
        return Some(Cause::SourceMissing);
    }
    if has(&[
        "no matching id found",
        "failed to find snapshot",
        "no snapshot found",
    ]) {
        return Some(Cause::SnapshotMissing);
    }
    if has(&["wrong password or no key found"]) {
        return Some(Cause::WrongPassword);
    }
    if has(&[
        "ciphertext verification failed",
        "hash mismatch",
        "data seems to have changed",
        "invalid data returned",
        "is not in the index",
        "not found in index",
        "blob not found",
        "index is damaged",
        "repository contains errors",
        "pack header",
        "not found in repository",
    ]) {
        return Some(Cause::Corrupt);
    }
    if has(&["already locked", "unable to create lock"]) {
        return Some(Cause::Locked {
            by: lock_holder(words).unwrap_or_default(),
        });
    }
    if has(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "connection reset",
        "network is unreachable",
        "no route to host",
        "context deadline exceeded",
        "server misbehaving",
        "tls handshake timeout",
        "stale nfs",
        "transport endpoint is not connected",
    ]) {
        return Some(Cause::Unreachable);
    }
    if has(&["permission denied"]) {
        return Some(Cause::AccessDenied);
    }
    None
}

/// `… already locked exclusively by PID 12 on pod-a by root (UID 0, GID 0)` → `process 12 on pod-a`.
fn lock_holder(words: &str) -> Option<String> {
    let (_, rest) = words.split_once("by PID ")?;
    let mut parts = rest.split_whitespace();
    let pid = parts.next()?;
    if parts.next()? != "on" {
        return None;
    }
    Some(format!("process {pid} on {}", parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_come_first() {
        assert_eq!(
            classify(Some(12), "no space left on device"),
            Cause::WrongPassword
        );
        assert_eq!(
            classify(
                Some(10),
                "Fatal: repository does not exist: unable to open config file"
            ),
            Cause::RepositoryMissing
        );
        assert_eq!(
            classify(
                Some(10),
                "repository does not exist: Stat: The specified bucket does not exist"
            ),
            Cause::BucketMissing
        );
        assert_eq!(
            classify(
                Some(11),
                "unable to create lock in backend: repository is already locked exclusively by PID 12 on pod-a by root (UID 0, GID 0)"
            ),
            Cause::Locked {
                by: "process 12 on pod-a".into()
            }
        );
        assert!(matches!(classify(Some(130), ""), Cause::Killed { .. }));
    }

    #[test]
    fn words_tell_the_rest() {
        for (words, cause) in [
            (
                "write /kubestash-tmp/x: no space left on device",
                Cause::NoSpace { place: String::new() },
            ),
            (
                "Get https://x/: x509: certificate signed by unknown authority",
                Cause::TlsUntrusted,
            ),
            (
                "Stat: The Access Key Id you provided does not exist in our records.",
                Cause::AccessDenied,
            ),
            (
                "dial tcp 127.0.0.1:1: connect: connection refused",
                Cause::Unreachable,
            ),
            ("lookup minio on 10.0.0.10:53: no such host", Cause::Unreachable),
            ("all source directories/files do not exist", Cause::SourceMissing),
            (
                "failed to find snapshot: no matching ID found for prefix \"dead\"",
                Cause::SnapshotMissing,
            ),
            ("Load(<data/12>): ciphertext verification failed", Cause::Corrupt),
            ("something new", Cause::Other),
        ] {
            assert_eq!(classify(Some(1), words), cause, "{words}");
        }
    }

    #[test]
    fn every_cause_is_one_sentence_with_a_way_out() {
        let incomplete = Cause::Incomplete {
            files: vec!["/a".into(), "/b".into()],
            count: 2,
        };
        let text = ResticError::new(incomplete, "backup", "").to_string();
        assert!(
            text.starts_with("2 source files could not be read: /a, /b;"),
            "{text}"
        );
        let other = ResticError::new(Cause::Other, "prune", "Fatal: odd\nthing").to_string();
        assert_eq!(other, "restic prune failed (odd thing)");
    }
}
