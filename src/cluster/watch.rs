//! Objects as they change. One watch per object, resumed after whatever ends it; where the user may not watch, the
//! object is read every few seconds instead. A server that is away for a moment is no error; away for longer is one.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use http::Request;
use kube::Api;
use kube::api::ApiResource;
use kube::core::{DynamicObject, GroupVersionKind, PartialObjectMeta, WatchEvent};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::kinds::escape;
use super::{Cluster, Error, Kind, kinds};

/// How long the server may be away before that is an error.
const AWAY_AT_MOST: Duration = Duration::from_secs(90);
/// How long to wait before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the object is read where it may not be watched.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How long the server keeps one watch open, in seconds.
const OPEN_SECONDS: u64 = 240;

/// Follows one object: its state now, then each new one; `None` while it does not exist. The receiver closes after an
/// error, which comes last. Dropping the receiver ends the watch.
pub fn object(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
) -> mpsc::Receiver<Result<Option<Value>, Error>> {
    let (sender, receiver) = mpsc::channel(16);
    let (cluster, namespace, name) = (cluster.clone(), namespace.to_owned(), name.to_owned());
    tokio::spawn(async move {
        tokio::select! {
            ended = follow(&cluster, kind, &namespace, &name, &sender) => {
                if let Err(error) = ended {
                    // A reader that is gone wants no errors either.
                    let _ = sender.send(Err(error)).await;
                }
            }
            () = sender.closed() => {}
        }
    });
    receiver
}

/// Says whenever an object of these kinds appears, changes or goes; several at once are said once. Trouble is waited
/// out silently: the caller reads again by itself and learns of it there.
pub fn touched(cluster: &Cluster, kinds: &[&'static Kind], namespace: Option<&str>) -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(1);
    for kind in kinds {
        poke(
            cluster,
            kind,
            namespace,
            watcher::Config::default(),
            sender.clone(),
        );
    }
    receiver
}

/// Says whenever a pod with these labels appears, changes or goes, in any of the namespaces.
pub fn pods(cluster: &Cluster, namespaces: &BTreeSet<String>, labels: &str) -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(1);
    for namespace in namespaces {
        let config = watcher::Config::default().labels(labels);
        poke(cluster, &kinds::POD, Some(namespace), config, sender.clone());
    }
    receiver
}

/// Says through the sender whenever something changes, until nobody listens any more.
fn poke(
    cluster: &Cluster,
    kind: &Kind,
    namespace: Option<&str>,
    config: watcher::Config,
    sender: mpsc::Sender<()>,
) {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
        kind.plural,
    );
    let api: Api<PartialObjectMeta<DynamicObject>> = match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client().clone(), namespace, &resource),
        None => Api::all_with(cluster.client().clone(), &resource),
    };
    tokio::spawn(async move {
        let mut events = watcher(api, config).default_backoff().boxed();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(_)) => { let _ = sender.try_send(()); }
                    Some(Err(_)) => {}
                    None => return,
                },
                () = sender.closed() => return,
            }
        }
    });
}

async fn follow(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    sender: &mpsc::Sender<Result<Option<Value>, Error>>,
) -> Result<(), Error> {
    let mut since: Option<Instant> = None;
    loop {
        let object: Option<Value> = match cluster.find(kind, Some(namespace), name).await {
            Ok(object) => object,
            Err(error) if error.may_pass() => {
                if since.get_or_insert_with(Instant::now).elapsed() > AWAY_AT_MOST {
                    return Err(error);
                }
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        since = None;
        let version = object
            .as_ref()
            .and_then(|o| o.pointer("/metadata/resourceVersion"))
            .and_then(Value::as_str)
            .unwrap_or("0")
            .to_owned();
        if sender.send(Ok(object)).await.is_err() {
            return Ok(());
        }
        match changes(cluster, kind, namespace, name, &version, sender).await {
            Ok(()) => {}
            Err(Error::Forbidden { .. } | Error::Refused { .. }) => tokio::time::sleep(READ_EVERY).await,
            Err(error) if error.may_pass() => tokio::time::sleep(AGAIN).await,
            Err(error) => return Err(error),
        }
    }
}

/// Passes changes on until the server ends the watch.
async fn changes(
    cluster: &Cluster,
    kind: &Kind,
    namespace: &str,
    name: &str,
    version: &str,
    sender: &mpsc::Sender<Result<Option<Value>, Error>>,
) -> Result<(), Error> {
    let path = format!(
        "{}?watch=true&fieldSelector={}&resourceVersion={}&timeoutSeconds={OPEN_SECONDS}",
        kind.path(Some(namespace), None),
        escape(&format!("metadata.name={name}")),
        escape(version),
    );
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(|e| Error::Other(e.to_string()))?;
    let sorted = |error| Error::from_kube(error, cluster.server());
    let opened =
        tokio::time::timeout(cluster.timeout, cluster.client().request_events::<Value>(request)).await;
    let events = match opened {
        Ok(events) => events.map_err(sorted)?,
        // Nothing has happened yet: some servers answer only then.
        Err(_) => return Ok(()),
    };
    let mut events = std::pin::pin!(events);
    loop {
        let next = tokio::time::timeout(Duration::from_secs(OPEN_SECONDS + 30), events.next()).await;
        let state = match next {
            Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => Some(object),
            Ok(Some(Ok(WatchEvent::Deleted(_)))) => None,
            Ok(Some(Ok(WatchEvent::Bookmark(_)))) => continue,
            // An expired version, a closed connection: reading again tells what is.
            Ok(Some(Ok(WatchEvent::Error(_))) | None) | Err(_) => return Ok(()),
            Ok(Some(Err(error))) => return Err(sorted(error)),
        };
        if sender.send(Ok(state)).await.is_err() {
            return Ok(());
        }
    }
}
