//! Events about pods, as `kubectl describe` shows them. The same event again raises a count instead of adding another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};

use super::cell::PodCell;

/// Events remembered for counting; beyond that counting starts anew.
const REMEMBERED: usize = 512;

/// Pod, reason and message: the same again is the same event.
type Key = (String, String, String);

/// Writes events, best effort: an event that cannot be written is no reason to do less.
pub(crate) struct Events {
    client: Client,
    node: String,
    seen: Mutex<HashMap<Key, (String, i32)>>,
}

impl Events {
    pub(crate) fn new(client: Client, node: String) -> Self {
        Self {
            client,
            node,
            seen: Mutex::new(HashMap::new()),
        }
    }

    /// Something usual.
    pub(crate) async fn normal(&self, cell: &PodCell, container: Option<&str>, reason: &str, message: &str) {
        self.write(cell, container, "Normal", reason, message).await;
    }

    /// Something a person should see.
    pub(crate) async fn warning(&self, cell: &PodCell, container: Option<&str>, reason: &str, message: &str) {
        self.write(cell, container, "Warning", reason, message).await;
    }

    async fn write(&self, cell: &PodCell, container: Option<&str>, kind: &str, reason: &str, message: &str) {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &cell.namespace);
        let now = Timestamp::now();
        let key = (cell.uid.clone(), reason.to_owned(), message.to_owned());
        let (name, count) = self.count(key, || format!("{}.{:x}", cell.name, now.as_nanosecond()));
        let result = if count > 1 {
            let patch = serde_json::json!({"count": count, "lastTimestamp": Time(now)});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
        } else {
            let event = self.event(cell, container, name, (kind, reason, message), now);
            api.create(&PostParams::default(), &event).await
        };
        if let Err(error) = result {
            tracing::debug!(pod = %cell.name, reason, %error, "an event could not be written");
        }
    }

    fn count(&self, key: Key, fresh: impl FnOnce() -> String) -> (String, i32) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED && !seen.contains_key(&key) {
            seen.clear();
        }
        let entry = seen.entry(key).or_insert_with(|| (fresh(), 0));
        entry.1 += 1;
        entry.clone()
    }

    fn event(
        &self,
        cell: &PodCell,
        container: Option<&str>,
        name: String,
        (kind, reason, message): (&str, &str, &str),
        now: Timestamp,
    ) -> Event {
        let pod = cell.pod();
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(cell.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(cell.name.clone()),
                namespace: Some(cell.namespace.clone()),
                uid: Some(cell.uid.clone()),
                resource_version: pod.metadata.resource_version.clone(),
                field_path: container.map(|c| format!("spec.containers{{{c}}}")),
            },
            type_: Some(kind.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource {
                component: Some("kubelet".to_owned()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node.clone()),
            ..Event::default()
        }
    }
}
