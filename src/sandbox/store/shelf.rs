//! One kind's objects and the bounded history of their changes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::{Change, ObjectKey, Stored};

/// How many changes per resource a watch may lie in the past.
pub(super) const HISTORY_EVENTS: usize = 1000;
/// How many bytes (as JSON) of changes per resource are remembered.
const HISTORY_BYTES: usize = 4 << 20;
/// So many changes are kept parsed: watches that follow read them at once.
const RECENT: usize = 64;

/// The objects of one kind and their latest changes.
pub(super) struct Shelf {
    pub(super) objects: BTreeMap<ObjectKey, Stored>,
    pub(super) history: VecDeque<Change>,
    history_bytes: usize,
    /// Changes since older ones were packed.
    unpacked: usize,
    /// Changes up to and including this version are forgotten.
    pub(super) floor: u64,
    pub(super) news: watch::Sender<u64>,
}

impl Shelf {
    /// An empty shelf whose history begins after `floor`.
    pub(super) fn new(floor: u64) -> Self {
        let (news, _) = watch::channel(floor);
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            unpacked: 0,
            floor,
            news,
        }
    }

    /// Adds a change, forgets the oldest ones beyond the limits, and tells who waits.
    pub(super) fn remember(&mut self, change: Change) {
        let version = change.version;
        self.history_bytes += change.size;
        self.history.push_back(change);
        while self.history.len() > HISTORY_EVENTS
            || (self.history_bytes > HISTORY_BYTES && self.history.len() > 1)
        {
            if let Some(old) = self.history.pop_front() {
                self.history_bytes -= old.size;
                self.floor = old.version;
            }
        }
        self.unpacked += 1;
        if self.unpacked >= RECENT {
            self.unpacked = 0;
            self.pack();
        }
        self.news.send_replace(version);
    }

    /// Keeps older states as text, unless they are what the object still is: parsed they take ten times the room.
    fn pack(&mut self) {
        let old = self.history.len().saturating_sub(RECENT);
        // A state is the object of one change and what was before the next.
        let mut packed: HashMap<*const Value, Stored> = HashMap::new();
        for (at, change) in self.history.iter_mut().enumerate() {
            let key = (change.namespace.clone(), change.name.clone());
            let current = self.objects.get(&key).and_then(Stored::parsed).map(Arc::as_ptr);
            for stored in [Some(&mut change.object), change.previous.as_mut()]
                .into_iter()
                .flatten()
            {
                let Some(value) = stored.parsed() else { continue };
                let place = Arc::as_ptr(value);
                if let Some(text) = packed.get(&place) {
                    *stored = text.clone();
                } else if at < old && Some(place) != current {
                    let text = stored.packed();
                    *stored = text.clone();
                    packed.insert(place, text);
                }
            }
        }
    }
}
