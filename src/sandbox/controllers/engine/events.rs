//! Events as Kubernetes' own controllers write them: core/v1, repeated ones counted in place. Written by a task of
//! its own so that no controller waits for them, and dropped rather than queued without end.

use std::collections::{HashMap, VecDeque};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::now;

const WAITING: usize = 256;
const COUNTED: usize = 512;

/// What a controller says about an object.
struct Note {
    component: &'static str,
    about: ObjectReference,
    kind: &'static str,
    reason: String,
    message: String,
}

/// Says things about objects in the name of one component. Cheap to clone.
#[derive(Clone)]
pub(in super::super) struct Recorder {
    component: &'static str,
    notes: mpsc::Sender<Note>,
}

impl Recorder {
    /// Starts the writer; it ends when told to stop.
    pub(in super::super) fn start(client: Client, stop: CancellationToken) -> Self {
        let (notes, inbox) = mpsc::channel(WAITING);
        tokio::spawn(write(client, inbox, stop));
        Self {
            component: "controllers",
            notes,
        }
    }

    /// The same recorder in another component's name.
    pub(in super::super) fn of(&self, component: &'static str) -> Self {
        Self {
            component,
            notes: self.notes.clone(),
        }
    }

    /// Says that something went as it should.
    pub(in super::super) fn normal<K>(&self, object: &K, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.note(object, "Normal", reason, message.into());
    }

    /// Says that something needs attention.
    pub(in super::super) fn warning<K>(&self, object: &K, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.note(object, "Warning", reason, message.into());
    }

    fn note<K>(&self, object: &K, kind: &'static str, reason: &str, message: String)
    where
        K: Resource<DynamicType = ()>,
    {
        // A full channel means nobody can keep up with the events: losing one is better than waiting.
        let _ = self.notes.try_send(Note {
            component: self.component,
            about: object.object_ref(&()),
            kind,
            reason: reason.to_owned(),
            message,
        });
    }
}

type Repeat = (String, String, String, &'static str);

async fn write(client: Client, mut inbox: mpsc::Receiver<Note>, stop: CancellationToken) {
    let mut written: HashMap<Repeat, (String, i32)> = HashMap::new();
    let mut order = VecDeque::new();
    loop {
        let note = tokio::select! {
            () = stop.cancelled() => return,
            note = inbox.recv() => note,
        };
        let Some(note) = note else { return };
        let namespace = note
            .about
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let repeat = (
            note.about.uid.clone().unwrap_or_default(),
            note.reason.clone(),
            note.message.clone(),
            note.component,
        );
        if let Some((name, count)) = written.get_mut(&repeat) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": now()});
            let patched = events
                .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            if patched.is_ok() {
                continue;
            }
        }
        match events
            .create(&PostParams::default(), &event(note, namespace))
            .await
        {
            Ok(event) => {
                if written.insert(repeat.clone(), (event.name_any(), 1)).is_none() {
                    order.push_back(repeat);
                }
                if order.len() > COUNTED
                    && let Some(oldest) = order.pop_front()
                {
                    written.remove(&oldest);
                }
            }
            Err(error) => tracing::trace!(%error, "an event was not written"),
        }
    }
}

fn event(note: Note, namespace: String) -> Event {
    let time = now();
    let suffix = jiff::Timestamp::now().as_nanosecond();
    Event {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}.{suffix:x}",
                note.about.name.as_deref().unwrap_or_default()
            )),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        involved_object: note.about,
        type_: Some(note.kind.to_owned()),
        reason: Some(note.reason),
        message: Some(note.message),
        source: Some(EventSource {
            component: Some(note.component.to_owned()),
            host: None,
        }),
        reporting_component: Some(note.component.to_owned()),
        reporting_instance: Some(String::new()),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        count: Some(1),
        ..Event::default()
    }
}
