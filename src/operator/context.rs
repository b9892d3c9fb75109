//! What every reconcile is handed: the client, the one writer, events, metrics, options, back-off and the stop signal.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio::sync::watch;

use super::{Options, applier::Applier, events::Events, metrics::Metrics};

/// Shared by all controllers and servers of one operator process.
pub struct Context {
    /// Reads go through this; writes through [`Context::applier`].
    pub client: Client,
    /// The only writer.
    pub applier: Applier,
    /// Tells users what happened to their objects.
    pub events: Events,
    /// Counters of the reconciles.
    pub metrics: Metrics,
    /// Flags and environment.
    pub options: Options,
    /// What must be up before `/readyz` says so.
    pub ready: Ready,
    /// Delays of objects whose reconcile failed.
    pub backoff: Backoff,
    /// UID of the namespace `kube-system`, read once: it tells clusters apart.
    pub cluster: tokio::sync::OnceCell<String>,
    stop: watch::Sender<bool>,
}

impl Context {
    /// A context around a client; nothing runs yet.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Arc<Self> {
        Arc::new(Self {
            applier: Applier::new(client.clone()),
            events: Events::new(client.clone(), &options.pod_name),
            metrics: Metrics::default(),
            ready: Ready::new(&["crds"]),
            backoff: Backoff::default(),
            cluster: tokio::sync::OnceCell::new(),
            stop: watch::Sender::new(false),
            client,
            options,
        })
    }

    /// Tells every controller and server to finish what it does and end. Repeating it changes nothing.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// True once [`Context::stop`] was called.
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ends when [`Context::stop`] is called.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let mut receiver = self.stop.subscribe();
        async move {
            // The sender lives in the context; when it is gone everything is being dropped anyway.
            let _ = receiver.wait_for(|stop| *stop).await;
        }
    }
}

/// Names of what must be up before the operator is ready, and which of them are.
pub struct Ready {
    waiting: Mutex<BTreeSet<&'static str>>,
}

impl Ready {
    /// Nothing of `gates` is up yet.
    #[must_use]
    pub fn new(gates: &[&'static str]) -> Self {
        Self {
            waiting: Mutex::new(gates.iter().copied().collect()),
        }
    }

    /// Adds something that must be up; call it before the server starts.
    pub fn expect(&self, gate: &'static str) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(gate);
    }

    /// Says that `gate` is up.
    pub fn set(&self, gate: &'static str) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(gate);
    }

    /// What is still awaited; empty means ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect()
    }
}

/// Exponential back-off with jitter, one count per object.
#[derive(Default)]
pub struct Backoff {
    attempts: Mutex<HashMap<String, u32>>,
}

/// The first delay after a failure; it doubles with every further one.
const FIRST: Duration = Duration::from_millis(200);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(300);

impl Backoff {
    /// The delay before the next try of `key` (`controller/namespace/name`), and one more failure on its count.
    pub fn next(&self, key: &str) -> Duration {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = attempts.entry(key.to_owned()).or_insert(0);
        let delay = delay(key, *count);
        *count = count.saturating_add(1);
        delay
    }

    /// Forgets the failures of `key`.
    pub fn reset(&self, key: &str) {
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

/// 200 ms · 2ⁿ up to five minutes, spread by ±20 % so that objects that failed together do not return together.
fn delay(key: &str, attempt: u32) -> Duration {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let base = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
    let mut hasher = DefaultHasher::new();
    (key, attempt).hash(&mut hasher);
    let spread = f64::from(u16::try_from(hasher.finish() % 1000).unwrap_or(0)) / 1000.0;
    base.mul_f64(0.8 + 0.4 * spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_is_bounded_and_resets() {
        let backoff = Backoff::default();
        let delays: Vec<_> = (0..14).map(|_| backoff.next("a/b/c")).collect();
        assert!(delays[0] >= FIRST.mul_f64(0.8) && delays[0] <= FIRST.mul_f64(1.2));
        assert!(delays[5] > delays[0] * 10);
        assert!(delays.iter().all(|d| *d <= LONGEST.mul_f64(1.2)));
        backoff.reset("a/b/c");
        assert!(backoff.next("a/b/c") <= FIRST.mul_f64(1.2));
    }

    #[test]
    fn objects_that_fail_together_do_not_return_together() {
        let delays: BTreeSet<_> = (0..20).map(|n| delay(&format!("k/ns/{n}"), 3)).collect();
        assert!(delays.len() > 15, "{delays:?}");
    }

    #[test]
    fn ready_only_when_everything_is_up() {
        let ready = Ready::new(&["crds"]);
        ready.expect("webhook");
        assert_eq!(ready.missing(), ["crds", "webhook"]);
        ready.set("crds");
        ready.set("webhook");
        assert!(ready.missing().is_empty());
    }
}
