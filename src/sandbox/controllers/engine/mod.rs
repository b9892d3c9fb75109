//! What every controller stands on: one watched cache per kind ([`Informer`]), one queue of keys per controller
//! ([`Queue`]), and the loop that drives them ([`drive`]). The shape is client-go's, because the controllers behave
//! as Kubernetes' own do and their rules are written in those terms.
//!
//! Promises: the same key is never reconciled twice at once; a failing key is retried with growing pauses; nothing
//! runs while nothing changes; a controller sees its own writes in the cache at once, so that it never creates or
//! deletes a second time what it has just created or deleted.

mod events;
mod informer;
mod queue;
mod write;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

pub(super) use events::Recorder;
pub(super) use informer::{Informer, Object};
pub(super) use queue::Queue;

/// No single reconcile may take longer. Copying a big volume is the slowest thing any of them does.
const RECONCILE_LIMIT: Duration = Duration::from_secs(1800);

/// How many keys of one controller are worked on at once.
const CONCURRENCY: usize = 8;

/// The name of one object. The namespace is empty where the kind has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// Namespace, or empty.
    pub(super) namespace: String,
    /// Name.
    pub(super) name: String,
}

impl Key {
    /// The key of an object of that namespace and name.
    pub(super) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of this object.
    pub(super) fn of(object: &impl Resource) -> Self {
        Self::new(
            object.meta().namespace.clone().unwrap_or_default(),
            object.meta().name.clone().unwrap_or_default(),
        )
    }

    /// The key of the object this one names as its controller, if that is of the given kind.
    pub(super) fn of_controller(object: &impl Resource, kind: &str) -> Option<Self> {
        controller_of(object)
            .filter(|owner| owner.kind == kind)
            .map(|owner| Self::new(object.meta().namespace.clone().unwrap_or_default(), &owner.name))
    }
}

/// Why a reconcile did not reach its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server refused or could not be reached.
    #[error("{}", told(.0))]
    Api(#[source] Box<kube::Error>),
    /// The file system refused.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// Anything else, as a sentence.
    #[error("{0}")]
    Other(String),
}

/// The server's own sentence where it gave one, as events of a cluster have it.
fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

impl Error {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }

    /// Somebody else was faster (HTTP 409 on an update): look again.
    pub(super) fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// The object is not there (any more).
    pub(super) fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
}

/// What a reconcile wants next: nothing until something changes, or another look after a while.
pub(super) type Next = Option<Duration>;

/// One controller: brings the world nearer to what the object with this key asks for.
pub(super) trait Controller: Send + Sync + 'static {
    /// How it is called in logs.
    const NAME: &'static str;

    /// Looks at one object and does what is to be done. Must be safe to repeat at any time.
    fn reconcile(&self, key: &Key) -> impl Future<Output = Result<Next, Error>> + Send;
}

/// Takes keys from the queue and reconciles them until told to stop.
pub(super) async fn drive<C: Controller>(controller: C, queue: Arc<Queue>, stop: CancellationToken) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            key = queue.next(), if running.len() < CONCURRENCY => {
                let controller = &controller;
                running.push(async move {
                    let outcome = tokio::time::timeout(RECONCILE_LIMIT, Box::pin(controller.reconcile(&key))).await;
                    let outcome = outcome.unwrap_or_else(|_| Err(Error::Other("took too long".to_owned())));
                    (key, outcome)
                });
            }
            Some((key, outcome)) = running.next(), if !running.is_empty() => settle(C::NAME, &queue, key, outcome),
        }
    }
}

fn settle(name: &str, queue: &Queue, key: Key, outcome: Result<Next, Error>) {
    match outcome {
        Ok(next) => queue.done(key, next),
        Err(error) => {
            if !(error.is_conflict() || error.is_not_found()) {
                tracing::debug!(controller = name, namespace = key.namespace, name = key.name, %error, "will retry");
            }
            queue.failed(key);
        }
    }
}

/// The owner that controls this object, if it has one.
pub(super) fn controller_of(object: &impl Resource) -> Option<&OwnerReference> {
    object
        .meta()
        .owner_references
        .as_deref()
        .unwrap_or_default()
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// The reference that makes `owner` the controller of a new object.
pub(super) fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The present, in whole seconds as Kubernetes writes its times.
pub(super) fn now() -> Time {
    let now = jiff::Timestamp::now();
    Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Whether somebody has asked for this object's deletion.
pub(super) fn is_terminating(object: &impl Resource) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// How long it is from `now` until `then`; zero if that is past.
pub(super) fn until(then: jiff::Timestamp, now: jiff::Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}
