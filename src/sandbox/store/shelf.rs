//! One kind's objects and the bounded history of their changes.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::watch;

use super::{Change, ObjectKey, Stored};

/// How many changes per resource a watch may lie in the past.
pub(super) const HISTORY_EVENTS: usize = 1000;
/// How many bytes (as JSON) of changes per resource are remembered.
const HISTORY_BYTES: usize = 4 << 20;

/// The objects of one kind and their latest changes.
pub(super) struct Shelf {
    pub(super) objects: BTreeMap<ObjectKey, Stored>,
    pub(super) history: VecDeque<Change>,
    history_bytes: usize,
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
        self.news.send_replace(version);
    }
}
