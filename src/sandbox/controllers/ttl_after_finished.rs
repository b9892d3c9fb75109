//! Deletes finished Jobs when their `ttlSecondsAfterFinished` has passed.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use kube::api::PropagationPolicy;

use super::engine::{Controller, Error, Informer, Key, Next, Queue, is_terminating, now, until};
use super::job::ended;

/// The controller of finished Jobs.
pub(super) struct TtlAfterFinished {
    jobs: Arc<Informer<Job>>,
}

impl TtlAfterFinished {
    /// Listens to Jobs; returns the controller and its queue.
    pub(super) fn new(jobs: &Arc<Informer<Job>>) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        jobs.on_change(move |_, new| {
            if let Some(job) = new.filter(|job| expires(job).is_some()) {
                inbox.add(Key::of(job.as_ref()));
            }
        });
        (
            Self {
                jobs: Arc::clone(jobs),
            },
            queue,
        )
    }
}

/// When the Job is to be deleted, if it is over and has such a limit.
fn expires(job: &Job) -> Option<jiff::Timestamp> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let end = ended(job)?.last_transition_time.as_ref()?.0;
    Some(end + jiff::SignedDuration::from_secs(ttl.into()))
}

impl Controller for TtlAfterFinished {
    const NAME: &'static str = "ttl-after-finished";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(job) = self.jobs.get(key).filter(|job| !is_terminating(job.as_ref())) else {
            return Ok(None);
        };
        let Some(expires) = expires(&job) else {
            return Ok(None);
        };
        let now = now().0;
        if expires > now {
            return Ok(Some(until(expires, now)));
        }
        self.jobs
            .delete(&job, Some(PropagationPolicy::Foreground))
            .await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_finished_job_with_a_limit_expires() {
        let mut job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j"}, "spec": {"template": {}, "ttlSecondsAfterFinished": 60},
        }))
        .unwrap();
        assert_eq!(expires(&job), None);
        job.status = serde_json::from_value(json!({"conditions": [
            {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
        .unwrap();
        assert_eq!(expires(&job), Some("2026-01-01T00:01:00Z".parse().unwrap()));
    }
}
