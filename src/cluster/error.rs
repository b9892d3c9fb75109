//! What can go wrong between here and the API server, told apart by what a person can do about it.

use std::error::Error as _;
use std::time::Duration;

use super::Kind;
use crate::output::human;

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No kubeconfig, and not inside a pod.
    #[error("no cluster is configured: there is no kubeconfig")]
    NoConfiguration,
    /// The kubeconfig lacks what was asked for or cannot be read.
    #[error("{message}")]
    BadConfiguration {
        /// One sentence without its period.
        message: String,
        /// What lies behind it, or empty.
        cause: String,
        /// The names that do exist, where a name was wrong.
        known: Vec<String>,
    },
    /// Nobody answers at the address.
    #[error("the API server {server} cannot be reached")]
    Unreachable {
        /// Its address.
        server: String,
        /// The innermost cause.
        cause: String,
    },
    /// Something took longer than its bound.
    #[error("{what} within {}", human::go_duration(*after))]
    TimedOut {
        /// What was awaited.
        what: String,
        /// The bound.
        after: Duration,
    },
    /// 401.
    #[error("the API server does not accept the credentials")]
    Unauthorized {
        /// The server's words.
        message: String,
    },
    /// 403 by RBAC.
    #[error("{message}")]
    Forbidden {
        /// The server's words: who may not do what.
        message: String,
    },
    /// 404 for one object.
    #[error("{what} not found")]
    NotFound {
        /// Kind, name and namespace.
        what: String,
    },
    /// The server does not know the kind.
    #[error("the API server does not know the kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// 409: the name is taken.
    #[error("{what} exists already")]
    Exists {
        /// Kind, name and namespace.
        what: String,
    },
    /// A webhook or validation refused the object.
    #[error("{message}")]
    Refused {
        /// The reasons, without the server's preamble.
        message: String,
    },
    /// A webhook could not be called.
    #[error("the API server cannot call the operator's webhook")]
    WebhookDown {
        /// The server's words.
        message: String,
    },
    /// 410: the continue token or resource version is too old.
    #[error("the list changed while it was read")]
    Gone,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The first line of a parser's complaint: the others quote the file, which may hold tokens and keys.
pub(super) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Error {
    /// Sorts an error of the client library.
    pub fn from_kube(error: kube::Error, server: &str) -> Self {
        match error {
            kube::Error::Api(status) => Error::from_status(&status),
            kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => {
                Error::Unreachable {
                    server: server.to_owned(),
                    cause: innermost(&error),
                }
            }
            kube::Error::Auth(_) => Error::Unauthorized {
                message: innermost(&error),
            },
            kube::Error::InferKubeconfig(_) | kube::Error::InferConfig(_) | kube::Error::RustlsTls(_) => {
                Error::BadConfiguration {
                    message: "the kubeconfig cannot be used".to_owned(),
                    cause: first_line(&innermost(&error)),
                    known: Vec::new(),
                }
            }
            other => Error::Other(other.to_string()),
        }
    }

    fn from_status(status: &kube::core::Status) -> Self {
        let message = status.message.clone();
        let name = status.details.as_ref().map_or("", |d| d.name.as_str());
        if message.contains("failed calling webhook") {
            return Error::WebhookDown { message };
        }
        if let Some((_, reason)) = message.split_once("denied the request: ") {
            return Error::Refused {
                message: reason.to_owned(),
            };
        }
        match status.code {
            401 => Error::Unauthorized { message },
            403 => Error::Forbidden { message },
            404 if name.is_empty() => Error::UnknownKind { kind: String::new() },
            404 => Error::NotFound {
                what: name.to_owned(),
            },
            409 if status.reason == "AlreadyExists" => Error::Exists {
                what: name.to_owned(),
            },
            410 => Error::Gone,
            400 | 422 => Error::Refused { message },
            504 => Error::TimedOut {
                what: message,
                after: Duration::ZERO,
            },
            _ if message.is_empty() => {
                Error::Other(format!("the API server answered with HTTP {}", status.code))
            }
            _ => Error::Other(message),
        }
    }

    /// Whether the same request may succeed a moment later: the server is away, busy, or restarting.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. } | Error::TimedOut { .. } | Error::Gone | Error::Other(_)
        )
    }

    /// Names the object that the request was about.
    #[must_use]
    pub fn about(self, kind: &Kind, namespace: Option<&str>, name: Option<&str>) -> Self {
        let what = || match (name, namespace.filter(|_| kind.namespaced)) {
            (Some(name), Some(namespace)) => format!("{} {name} in namespace {namespace}", kind.kind),
            (Some(name), None) => format!("{} {name}", kind.kind),
            (None, _) => kind.kind.to_owned(),
        };
        match self {
            Error::NotFound { what: missing } if name.is_none_or(|n| n == missing) => {
                Error::NotFound { what: what() }
            }
            Error::UnknownKind { .. } => Error::UnknownKind {
                kind: kind.kind.to_owned(),
            },
            Error::Exists { .. } => Error::Exists { what: what() },
            other => other,
        }
    }
}

/// The last cause of a chain: the one that names the reason ("Connection refused").
fn innermost(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text = next.to_string();
        source = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;
    use crate::cluster::kinds::{BACKUP_CONFIGURATION, SNAPSHOT};

    fn status(value: serde_json::Value) -> Error {
        let status: Status = serde_json::from_value(value).unwrap();
        Error::from_kube(kube::Error::Api(Box::new(status)), "https://x")
    }

    #[test]
    fn answers_are_told_apart() {
        let missing = status(
            json!({"code": 404, "reason": "NotFound", "details": {"name": "a", "kind": "backupconfigurations"}}),
        );
        assert_eq!(
            missing
                .about(&BACKUP_CONFIGURATION, Some("demo"), Some("a"))
                .to_string(),
            "BackupConfiguration a in namespace demo not found"
        );
        let unknown = status(json!({"code": 404, "message": "404 page not found"}));
        assert_eq!(
            unknown.about(&SNAPSHOT, None, None),
            Error::UnknownKind {
                kind: "Snapshot".to_owned()
            }
        );
        let denied = status(
            json!({"code": 400, "message": "admission webhook \"v.kb.io\" denied the request: no sessions"}),
        );
        assert_eq!(denied.to_string(), "no sessions");
        let down = status(
            json!({"code": 500, "message": "Internal error occurred: failed calling webhook \"x\": refused"}),
        );
        assert!(matches!(down, Error::WebhookDown { .. }));
        assert!(matches!(
            status(json!({"code": 403, "message": "no"})),
            Error::Forbidden { .. }
        ));
        assert!(matches!(status(json!({"code": 503, "message": ""})), Error::Other(m) if m.contains("503")));
    }

    #[test]
    fn a_missing_namespace_is_not_taken_for_the_object() {
        let error = status(
            json!({"code": 404, "reason": "NotFound", "details": {"name": "nowhere", "kind": "namespaces"}}),
        );
        assert_eq!(
            error.about(&SNAPSHOT, Some("nowhere"), Some("a")).to_string(),
            "nowhere not found"
        );
    }
}
