//! Why a reconcile did not finish, and what that means for its next try.

/// A reconcile that did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API refused or could not be reached.
    #[error("{0}")]
    Api(Box<kube::Error>),
    /// Somebody else changed the object between our read and our write: read again and retry soon.
    #[error("{0} was changed meanwhile")]
    Conflict(String),
    /// The object cannot be served as it is; only a change of it helps, so nothing is retried.
    #[error("{0}")]
    Invalid(String),
    /// A step outside the Kubernetes API failed; retried with back-off.
    #[error("{0}")]
    Step(String),
    /// The reconcile took longer than it may.
    #[error("not done after {0:?}")]
    Timeout(std::time::Duration),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict(
                status
                    .details
                    .as_ref()
                    .map_or_else(|| "the object".to_owned(), |d| format!("{} {}", d.kind, d.name)),
            ),
            _ => Self::Api(Box::new(error)),
        }
    }
}

impl Error {
    /// True when the API server said that the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(e) if matches!(&**e, kube::Error::Api(s) if s.is_not_found()))
    }

    /// True when the API server refused the object itself (bad request, invalid, forbidden): telling the user helps
    /// more than trying again at once.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Api(e) if matches!(&**e, kube::Error::Api(s) if [400, 403, 422].contains(&s.code)))
    }

    /// A short word for the metric label `result`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Api(_) => "api",
            Self::Conflict(_) => "conflict",
            Self::Invalid(_) => "invalid",
            Self::Step(_) => "step",
            Self::Timeout(_) => "timeout",
        }
    }

    /// One sentence for status and events: the API server's own message without Rust's wrapping.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Api(e) => match &**e {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            },
            other => other.to_string(),
        }
    }
}
