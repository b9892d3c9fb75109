//! What can go wrong with a storage, told apart and said in words for people.

use std::error::Error as _;

use crate::api::config::job_result::JobCause;

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The BackupStorage or its Secret cannot work as written.
    Misconfigured,
    /// The Secret lacks a key.
    SecretKeyMissing,
    /// The bucket or container does not exist.
    BucketMissing,
    /// The access key is unknown, or the secret key or signature is wrong.
    WrongKey,
    /// The credentials are good but not allowed to do this.
    AccessDenied,
    /// Nothing answers.
    Unreachable,
    /// The server's certificate is signed by an unknown authority.
    TlsUntrusted,
    /// The server answers for a bucket in another region.
    WrongRegion,
    /// The volume or bucket is full.
    NoSpace,
    /// A directory or document is not there.
    NotFound,
    /// The provider failed in its own way.
    Other,
}

/// A failure of a storage: one sentence with the storage named, the cause, and a way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// The class.
    pub problem: Problem,
    /// The sentence. Never holds a secret.
    pub message: String,
}

impl BackendError {
    pub(super) fn misconfigured(label: &str, what: &str) -> Self {
        Self {
            problem: Problem::Misconfigured,
            message: format!("{label}: {what}"),
        }
    }

    pub(super) fn secret(namespace: &str, name: &str, what: &str) -> Self {
        Self {
            problem: Problem::SecretKeyMissing,
            message: format!(
                "Secret {namespace}/{name} {what}; add it with kubectl edit secret -n {namespace} {name}"
            ),
        }
    }

    pub(super) fn timeout(label: &str, place: &str, seconds: u64) -> Self {
        Self {
            problem: Problem::Unreachable,
            message: format!(
                "{label}: {place} did not answer within {seconds} s; check the endpoint, the network policies and the proxy settings"
            ),
        }
    }

    /// Classifies what the object store said. `place` is the endpoint, bucket or directory, for the sentence.
    pub(super) fn from_store(label: &str, place: &str, error: &object_store::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            let more = inner.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = inner.source();
        }
        let problem = classify(&text, error);
        Self {
            problem,
            message: format!("{label}: {}", sentence(problem, place, &text)),
        }
    }

    /// The class in the words of Jobs' results.
    #[must_use]
    pub fn cause(&self) -> JobCause {
        match self.problem {
            Problem::Misconfigured | Problem::SecretKeyMissing | Problem::WrongRegion => {
                JobCause::Misconfigured
            }
            Problem::BucketMissing => JobCause::BucketMissing,
            Problem::WrongKey | Problem::AccessDenied => JobCause::AccessDenied,
            Problem::Unreachable => JobCause::Unreachable,
            Problem::TlsUntrusted => JobCause::TlsUntrusted,
            Problem::NoSpace => JobCause::NoSpace,
            Problem::NotFound | Problem::Other => JobCause::Other,
        }
    }
}

/// The class of a provider's words. The order matters: several of them name more than one thing.
fn classify(text: &str, error: &object_store::Error) -> Problem {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "NoSuchBucket",
        "ContainerNotFound",
        "specified bucket does not exist",
    ]) || (text.contains("storage.googleapis.com") && text.contains("bucket does not exist"))
    {
        Problem::BucketMissing
    } else if has(&[
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthenticationFailed",
        // Azure's sentence for a wrong key, with more than one code.
        "Server failed to authenticate the request",
        "InvalidClientTokenId",
        "InvalidToken",
        "ExpiredToken",
        "invalid_grant",
    ]) {
        Problem::WrongKey
    } else if has(&[
        "UnknownIssuer",
        "unknown issuer",
        "invalid peer certificate",
        "certificate verify failed",
        "self-signed certificate",
    ]) {
        Problem::TlsUntrusted
    } else if has(&[
        "BareRedirect",
        "without LOCATION",
        "AuthorizationHeaderMalformed",
        "PermanentRedirect",
    ]) {
        Problem::WrongRegion
    } else if has(&[
        "No space left",
        "os error 28",
        "QuotaExceeded",
        "XMinioStorageFull",
        "InsufficientStorage",
    ]) {
        Problem::NoSpace
    } else if has(&[
        "AccessDenied",
        "status code: 403",
        "403 Forbidden",
        "status code: 401",
        "Permission denied",
        "os error 13",
    ]) || matches!(
        error,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    ) {
        Problem::AccessDenied
    } else if matches!(error, object_store::Error::NotFound { .. }) {
        Problem::NotFound
    } else if has(&[
        "error sending request",
        "tcp connect error",
        "dns error",
        "operation timed out",
        // The library's words around every failed request; without a status the server never answered.
        "Error performing",
    ]) && !has(&["status code: 4", "status code: 5"])
    {
        Problem::Unreachable
    } else {
        Problem::Other
    }
}

fn sentence(problem: Problem, place: &str, text: &str) -> String {
    match problem {
        Problem::BucketMissing if text.contains("ContainerNotFound") => {
            format!("the container of {place} does not exist; create it, or correct the name in spec.storage")
        }
        Problem::BucketMissing => {
            format!("the bucket of {place} does not exist; create it, or correct the name in spec.storage")
        }
        Problem::WrongKey => format!(
            "{place} does not accept the credentials (unknown access key, wrong secret key or expired token); correct the storage Secret"
        ),
        Problem::TlsUntrusted => format!(
            "the certificate of {place} is not trusted; put the authority's certificate into the storage Secret as CA_CERT_DATA (or set insecureTLS): {}",
            short(text)
        ),
        Problem::WrongRegion => {
            format!("{place} lies in another region; set spec.storage.s3.region to the bucket's region")
        }
        Problem::NoSpace => format!("no space is left at {place}; free some or enlarge it"),
        Problem::AccessDenied if text.contains("os error 13") => format!(
            "the user that the Job runs as may not write at {place}; give the directory to that user, or set spec.runtimeSettings.pod.securityContext of the BackupStorage (fsGroup where the volume honours it, otherwise runAsUser): {}",
            short(text)
        ),
        Problem::AccessDenied => {
            format!(
                "{place} refuses access; give the credentials the right to list, read, write and delete there: {}",
                short(text)
            )
        }
        Problem::Unreachable if text.contains("InvalidContentType") => {
            format!(
                "{place} cannot be reached: the server there speaks no TLS; is its address http:// instead of https://?"
            )
        }
        Problem::Unreachable => {
            format!(
                "{place} cannot be reached; check the endpoint, the network policies and the proxy settings: {}",
                short(text)
            )
        }
        _ => format!("{place} failed: {}", short(text)),
    }
}

/// The end of a chain of causes says most; provider bodies can be pages long.
fn short(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    // What the library says around a request that never got an answer (URL, time, retries) helps nobody.
    let line = match line.rsplit_once("HTTP error: ") {
        Some((_, inner)) => inner.to_owned(),
        None => line,
    };
    // Of a provider's XML only its code and its sentence say something.
    if let Some(said) = said_in_xml(&line) {
        return said;
    }
    if line.len() <= 300 {
        return line;
    }
    let start = line.ceil_char_boundary(line.len() - 300);
    format!("…{}", &line[start..])
}

/// `Code: Message` of an error body.
fn said_in_xml(text: &str) -> Option<String> {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
    };
    Some(format!("{}: {}", element("Code")?, element("Message")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> BackendError {
        let error = object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        };
        BackendError::from_store("BackupStorage demo/s3", "https://minio:9000/bucket", &error)
    }

    #[test]
    fn a_directory_of_another_user_is_no_matter_of_credentials() {
        let refused = said("Unable to open file /backups/metadata.yaml#1: Permission denied (os error 13)");
        assert_eq!(refused.problem, Problem::AccessDenied);
        assert!(refused.message.contains("securityContext"), "{refused}");
        assert!(!refused.message.contains("credentials"), "{refused}");
    }

    #[test]
    fn of_long_answers_only_what_matters_is_repeated() {
        let refused = said(
            "status code: 403: <?xml version=\"1.0\"?> <Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>x</RequestId></Error>",
        );
        assert!(
            refused
                .message
                .ends_with("delete there: AccessDenied: Access Denied"),
            "{refused}"
        );
        let silent = said(
            "Error performing GET http://x in 7s, after 3 retries - HTTP error: error sending request: tcp connect error: Connection refused",
        );
        assert!(
            silent
                .message
                .ends_with("settings: error sending request: tcp connect error: Connection refused"),
            "{silent}"
        );
    }

    #[test]
    fn providers_words_are_told_apart() {
        for (text, problem) in [
            ("<Error><Code>NoSuchBucket</Code></Error>", Problem::BucketMissing),
            (
                "<Error><Code>InvalidAccessKeyId</Code></Error>",
                Problem::WrongKey,
            ),
            (
                "status code: 403: <Code>SignatureDoesNotMatch</Code>",
                Problem::WrongKey,
            ),
            (
                "status code: 403: <Code>AccessDenied</Code>",
                Problem::AccessDenied,
            ),
            (
                "error sending request: invalid peer certificate: UnknownIssuer",
                Problem::TlsUntrusted,
            ),
            (
                "error sending request: tcp connect error: Connection refused",
                Problem::Unreachable,
            ),
            (
                "dns error: failed to lookup address information",
                Problem::Unreachable,
            ),
            ("Received redirect without LOCATION", Problem::WrongRegion),
            ("<Code>ContainerNotFound</Code>", Problem::BucketMissing),
            ("<Code>AuthenticationFailed</Code>", Problem::WrongKey),
            (
                "status code: 403: <Code>AuthorizationFailure</Code><Message>Server failed to authenticate the request. Make sure",
                Problem::WrongKey,
            ),
            (
                "status code: 403: <Code>AuthorizationFailure</Code><Message>This request is not authorized to perform this operation.",
                Problem::AccessDenied,
            ),
            ("No space left on device (os error 28)", Problem::NoSpace),
            ("status code: 500: Internal", Problem::Other),
            // Words in addresses and names mean nothing.
            (
                "status code: 500: http://minio:40301/certificates",
                Problem::Other,
            ),
        ] {
            let error = said(text);
            assert_eq!(error.problem, problem, "{text}");
            assert!(error.message.starts_with("BackupStorage demo/s3: "), "{error}");
        }
    }
}
