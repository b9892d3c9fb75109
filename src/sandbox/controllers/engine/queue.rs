//! A queue of keys: each waits at most once, none is handed out while it is being worked on, failures wait longer
//! and longer. The rules are those of client-go's work queues.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Key;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The keys one controller has to look at.
#[derive(Default)]
pub(in super::super) struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    waiting: HashSet<Key>,
    running: HashSet<Key>,
    /// Keys added while they were running.
    again: HashSet<Key>,
    later: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

impl State {
    fn add(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// The earlier of two appointments for one key is kept.
    fn add_at(&mut self, key: Key, at: Instant) {
        if let Some(due) = self.due.get(&key).copied() {
            if due <= at {
                return;
            }
            self.later.remove(&(due, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    fn take(&mut self, now: Instant) -> Result<Key, Option<Instant>> {
        while let Some((at, key)) = self.later.first().cloned() {
            if at > now {
                break;
            }
            self.later.pop_first();
            self.due.remove(&key);
            self.add(key);
        }
        if let Some(key) = self.ready.pop_front() {
            self.waiting.remove(&key);
            self.running.insert(key.clone());
            return Ok(key);
        }
        Err(self.later.first().map(|(at, _)| *at))
    }

    fn finish(&mut self, key: &Key) {
        self.running.remove(key);
        if self.again.remove(key) {
            self.add(key.clone());
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look at this key as soon as possible.
    pub(in super::super) fn add(&self, key: Key) {
        self.state().add(key);
        self.wake.notify_one();
    }

    /// Waits for the next key. It counts as running until [`Queue::done`] or [`Queue::failed`].
    pub(in super::super) async fn next(&self) -> Key {
        loop {
            let taken = self.state().take(Instant::now());
            match taken {
                Ok(key) => return key,
                Err(Some(at)) => {
                    let _ = tokio::time::timeout_at(at, self.wake.notified()).await;
                }
                Err(None) => self.wake.notified().await,
            }
        }
    }

    /// The key was worked on with success; look again after `next`, if that is given.
    pub(in super::super) fn done(&self, key: Key, next: Option<Duration>) {
        let mut state = self.state();
        state.failures.remove(&key);
        state.finish(&key);
        if let Some(pause) = next {
            state.add_at(key, Instant::now() + pause);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// The work on the key failed: look again after a pause that grows with each failure in a row.
    pub(in super::super) fn failed(&self, key: Key) {
        let mut state = self.state();
        let failures = state.failures.entry(key.clone()).or_default();
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (*failures).min(16))
            .min(LONGEST_PAUSE);
        *failures += 1;
        state.finish(&key);
        state.add_at(key, Instant::now() + pause);
        drop(state);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    #[tokio::test]
    async fn a_key_waits_once_however_often_it_is_added() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(queue.next().await, key("b"));
        assert!(queue.state().ready.is_empty());
    }

    #[tokio::test]
    async fn a_running_key_is_handed_out_again_only_after_it_is_done() {
        let queue = Queue::default();
        queue.add(key("a"));
        let running = queue.next().await;
        queue.add(key("a"));
        assert!(queue.state().ready.is_empty());
        queue.done(running, None);
        assert_eq!(queue.next().await, key("a"));
    }

    #[test]
    fn failures_wait_longer_each_time_and_success_forgets_them() {
        let queue = Queue::default();
        let mut pauses = Vec::new();
        for _ in 0..3 {
            let start = Instant::now();
            queue.failed(key("a"));
            let due = queue.state().due[&key("a")];
            pauses.push(due - start);
            let taken = queue.state().take(due);
            assert_eq!(taken, Ok(key("a")));
        }
        for (pause, expected) in pauses.iter().zip([5, 10, 20]) {
            let expected = Duration::from_millis(expected);
            assert!(*pause >= expected && *pause < expected * 2, "{pauses:?}");
        }
        queue.done(key("a"), None);
        assert!(queue.state().failures.is_empty());
    }

    #[test]
    fn the_earlier_of_two_appointments_is_kept() {
        let queue = Queue::default();
        let start = Instant::now();
        for seconds in [60, 1, 30] {
            queue
                .state()
                .add_at(key("a"), start + Duration::from_secs(seconds));
        }
        let early = start + Duration::from_secs(1);
        assert_eq!(queue.state().take(start), Err(Some(early)));
        assert_eq!(queue.state().take(early), Ok(key("a")));
        assert!(queue.state().later.is_empty());
    }
}
