//! Writes a component's status: progress at most every two seconds, the last state always.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::kubernetes::{Kubernetes, PatchError, StatusTarget};

/// How often status is written.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The shortest time between two writes.
    pause: Duration,
    /// How long the last write is retried.
    last: Duration,
}

const PACE: Pace = Pace {
    pause: Duration::from_secs(2),
    last: Duration::from_secs(60),
};

/// Writes the status of one component.
pub(super) struct Reporter {
    kubernetes: Arc<dyn Kubernetes>,
    target: StatusTarget,
    latest: watch::Sender<Value>,
    writer: JoinHandle<()>,
    pace: Pace,
}

/// Hands new states to a [`Reporter`] from wherever they arise.
#[derive(Clone)]
pub(super) struct Feed(watch::Sender<Value>);

impl Feed {
    /// A new state; it replaces one that is not written yet.
    pub(super) fn set(&self, state: Value) {
        self.0.send_replace(state);
    }
}

impl Reporter {
    /// Starts writing with a first state.
    pub(super) fn start(kubernetes: Arc<dyn Kubernetes>, target: StatusTarget, first: Value) -> Self {
        Self::paced(kubernetes, target, first, PACE)
    }

    fn paced(kubernetes: Arc<dyn Kubernetes>, target: StatusTarget, first: Value, pace: Pace) -> Self {
        let (latest, mut states) = watch::channel(first);
        states.mark_changed();
        let writer = {
            let (kubernetes, target) = (Arc::clone(&kubernetes), target.clone());
            tokio::spawn(async move {
                while states.changed().await.is_ok() {
                    let state = states.borrow_and_update().clone();
                    if state.is_null() {
                        return;
                    }
                    if let Err(error) = kubernetes.write(&target, &state).await {
                        // The next one will tell; only the last must arrive.
                        tracing::warn!(
                            object = target.name,
                            error = error.message,
                            "progress was not written"
                        );
                    }
                    let mut ending = states.clone();
                    tokio::select! {
                        () = tokio::time::sleep(pace.pause) => {}
                        _ = ending.wait_for(Value::is_null) => return,
                    }
                }
            })
        };
        Self {
            kubernetes,
            target,
            latest,
            writer,
            pace,
        }
    }

    /// Where new states go.
    pub(super) fn feed(&self) -> Feed {
        Feed(self.latest.clone())
    }

    /// Ends the progress and writes the last state, retrying what may pass.
    ///
    /// # Errors
    /// When the API server refuses it, or does not take it within a minute.
    pub(super) async fn finish(self, last: &Value) -> Result<(), PatchError> {
        // The writer must be over before the last write, or a late older state could win.
        self.latest.send_replace(Value::Null);
        let mut writer = self.writer;
        if tokio::time::timeout(Duration::from_secs(15), &mut writer)
            .await
            .is_err()
        {
            writer.abort();
        }
        let end = Instant::now() + self.pace.last;
        let mut pause = Duration::from_millis(250);
        loop {
            match self.kubernetes.write(&self.target, last).await {
                Ok(()) => return Ok(()),
                Err(error) if error.transient && Instant::now() + pause < end => {
                    tracing::warn!(
                        object = self.target.name,
                        error = error.message,
                        "the result was not written, trying again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A size as progress shows it: units of 1000.
#[must_use]
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss)] // three digits are shown
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A share of 1 as progress shows it.
#[must_use]
pub(super) fn percent(share: f64) -> String {
    format!("{:.2}%", share.clamp(0.0, 1.0) * 100.0)
}

/// Bytes per second as progress shows it; nothing before the first second is over.
#[must_use]
pub(super) fn speed(bytes: u64, seconds: u64) -> Option<String> {
    (seconds > 0).then(|| format!("{}/s", human(bytes / seconds)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::BoxFuture;
    use serde_json::json;

    use super::*;
    use crate::restic::locks::{Holder, HolderState};

    /// Remembers what was written; fails the first `failing` writes.
    struct Fake {
        written: Mutex<Vec<Value>>,
        failing: Mutex<u32>,
        transient: bool,
    }

    impl Kubernetes for Fake {
        fn write<'a>(
            &'a self,
            _: &'a StatusTarget,
            state: &'a Value,
        ) -> BoxFuture<'a, Result<(), PatchError>> {
            Box::pin(async move {
                let mut failing = self.failing.lock().unwrap();
                if *failing > 0 {
                    *failing -= 1;
                    return Err(PatchError {
                        transient: self.transient,
                        message: "no".into(),
                    });
                }
                self.written.lock().unwrap().push(state.clone());
                Ok(())
            })
        }

        fn state<'a>(&'a self, _: &'a Holder) -> BoxFuture<'a, HolderState> {
            Box::pin(async { HolderState::Alive })
        }
    }

    fn fake(failing: u32, transient: bool) -> Arc<Fake> {
        Arc::new(Fake {
            written: Mutex::default(),
            failing: Mutex::new(failing),
            transient,
        })
    }

    fn target() -> StatusTarget {
        StatusTarget {
            group: "g",
            kind: "k",
            namespace: "n".into(),
            name: "o".into(),
            component: "c".into(),
        }
    }

    /// Fast enough for a test, in the same proportions.
    const FAST: Pace = Pace {
        pause: Duration::from_millis(200),
        last: Duration::from_millis(1500),
    };

    #[tokio::test]
    async fn progress_is_thinned_out_and_the_last_state_is_always_written() {
        let fake = fake(0, true);
        let reporter = Reporter::paced(fake.clone(), target(), json!(0), FAST);
        let feed = reporter.feed();
        let began = Instant::now();
        for n in 1..=100 {
            feed.set(json!(n));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = began.elapsed();
        reporter.finish(&json!("last")).await.unwrap();
        let written = fake.written.lock().unwrap();
        let most = took.as_millis() / FAST.pause.as_millis() + 2;
        assert!(
            written.len() >= 3 && written.len() as u128 <= most,
            "{most}: {written:?}"
        );
        assert_eq!(written.last(), Some(&json!("last")));
    }

    #[tokio::test]
    async fn the_last_state_is_retried_when_that_may_help_and_only_then() {
        let passing = fake(2, true);
        let reporter = Reporter::paced(passing.clone(), target(), Value::Null, FAST);
        reporter.finish(&json!("last")).await.unwrap();
        assert_eq!(passing.written.lock().unwrap().as_slice(), [json!("last")]);
        let refusing = fake(1000, false);
        let reporter = Reporter::paced(refusing.clone(), target(), Value::Null, FAST);
        assert!(reporter.finish(&json!("last")).await.is_err());
        assert_eq!(
            *refusing.failing.lock().unwrap(),
            999,
            "what cannot pass is tried once"
        );
        let silent = fake(u32::MAX, true);
        let began = Instant::now();
        let reporter = Reporter::paced(silent, target(), Value::Null, FAST);
        assert!(reporter.finish(&json!("last")).await.is_err());
        assert!(began.elapsed() < FAST.last + Duration::from_secs(5));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(human(999), "999 B");
        assert_eq!(human(1000), "1.0 kB");
        assert_eq!(human(999_950), "1.0 MB");
        assert_eq!(human(12_345_678_901), "12.3 GB");
        assert_eq!(percent(0.123_456), "12.35%");
        assert_eq!(percent(7.0), "100.00%");
        assert_eq!(speed(10_000, 0), None);
        assert_eq!(speed(10_000_000, 4).unwrap(), "2.5 MB/s");
    }
}
