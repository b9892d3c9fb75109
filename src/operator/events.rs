//! Events on users' objects, through events.k8s.io, each said once.
//!
//! A reconcile may repeat itself many times; an equal event about the same object within [`AGAIN_AFTER`] is not written
//! again. Callers must never put secrets into a note.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

/// An equal event is written again only after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// More remembered events than this and the old ones are forgotten.
const REMEMBERED: usize = 10_000;
/// events.k8s.io allows 1024 bytes of note.
const NOTE_BYTES: usize = 1000;

/// Writes events, each once.
pub struct Events {
    recorder: Recorder,
    said: Mutex<HashMap<(String, String, String), Instant>>,
}

impl Events {
    /// A recorder that reports as `kubestash`, from the pod `instance` if there is one.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter {
            controller: "kubestash".to_owned(),
            instance: (!instance.is_empty()).then(|| instance.to_owned()),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            said: Mutex::new(HashMap::new()),
        }
    }

    /// Something went as it should.
    pub async fn normal<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        action: &str,
        reason: &str,
        note: &str,
    ) {
        self.publish(object, EventType::Normal, action, reason, note)
            .await;
    }

    /// Something needs the user's attention.
    pub async fn warning<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        action: &str,
        reason: &str,
        note: &str,
    ) {
        self.publish(object, EventType::Warning, action, reason, note)
            .await;
    }

    async fn publish<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        type_: EventType,
        action: &str,
        reason: &str,
        note: &str,
    ) {
        let uid = object.meta().uid.clone().unwrap_or_default();
        if !self.first_time(uid, reason, note) {
            return;
        }
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(shortened(note)),
            action: action.to_owned(),
            secondary: None,
        };
        // An event is a courtesy: failing to write one must not fail the reconcile.
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, reason, "event not written");
        }
    }

    fn first_time(&self, uid: String, reason: &str, note: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() > REMEMBERED {
            said.retain(|_, at| at.elapsed() < AGAIN_AFTER);
            if said.len() > REMEMBERED {
                said.clear();
            }
        }
        let key = (uid, reason.to_owned(), note.to_owned());
        let fresh = said.get(&key).is_none_or(|at| at.elapsed() >= AGAIN_AFTER);
        if fresh {
            said.insert(key, Instant::now());
        }
        fresh
    }
}

/// The note cut to what events.k8s.io accepts, at a character boundary.
fn shortened(note: &str) -> String {
    if note.len() <= NOTE_BYTES {
        return note.to_owned();
    }
    let end = (0..=NOTE_BYTES)
        .rev()
        .find(|i| note.is_char_boundary(*i))
        .unwrap_or(0);
    format!("{}…", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_between_characters() {
        let note = "é".repeat(2000);
        let short = shortened(&note);
        assert!(short.len() <= NOTE_BYTES + '…'.len_utf8());
        assert!(short.ends_with('…'));
        assert_eq!(shortened("short"), "short");
    }
}
