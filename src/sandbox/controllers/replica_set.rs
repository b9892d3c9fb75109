//! ReplicaSets: as many pods as asked for, and which of them are ready.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::claim::claim;
use super::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, controller_reference, is_terminating, now,
};
use super::pods::{from_template, is_active, is_available, is_finished, is_ready, name_prefix, phase};

/// No more pods are made or deleted for one ReplicaSet at once.
const MOST_AT_ONCE: usize = 500;

/// The controller of ReplicaSets.
pub(super) struct ReplicaSets {
    sets: Arc<Informer<ReplicaSet>>,
    pods: Arc<Informer<Pod>>,
    events: Recorder,
}

impl ReplicaSets {
    /// Listens to ReplicaSets and pods; returns the controller and its queue.
    pub(super) fn new(
        sets: &Arc<Informer<ReplicaSet>>,
        pods: &Arc<Informer<Pod>>,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        sets.on_change(move |old, new| {
            if let Some(set) = new.or(old) {
                inbox.add(Key::of(set.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        let known = Arc::clone(sets);
        pods.on_change(move |old, new| {
            for pod in [old, new].into_iter().flatten() {
                if let Some(key) = Key::of_controller(pod.as_ref(), "ReplicaSet") {
                    inbox.add(key);
                } else if super::engine::controller_of(pod.as_ref()).is_none() {
                    let namespace = pod.namespace().unwrap_or_default();
                    for set in known.in_namespace(&namespace) {
                        let selector = Some(&set.spec.selector);
                        if selector.is_some_and(|selector| super::pods::selects(selector, pod.labels())) {
                            inbox.add(Key::of(set.as_ref()));
                        }
                    }
                }
            }
        });
        let controller = Self {
            sets: Arc::clone(sets),
            pods: Arc::clone(pods),
            events: events.of("replicaset-controller"),
        };
        (controller, queue)
    }

    async fn scale(&self, set: &ReplicaSet, active: &[Arc<Pod>]) -> Result<(), Error> {
        let wanted = usize::try_from(replicas(set)).unwrap_or(0);
        if active.len() < wanted {
            let Some(template) = set.spec.template.as_ref() else {
                return Ok(());
            };
            let namespace = set.namespace().unwrap_or_default();
            let mut pod = from_template(template, &namespace, controller_reference(set));
            pod.metadata.generate_name = Some(name_prefix(&set.name_any()));
            let missing = (wanted - active.len()).min(MOST_AT_ONCE);
            let made = futures::future::join_all((0..missing).map(|_| self.pods.create(&pod))).await;
            for result in made {
                match result {
                    Ok(pod) => {
                        let message = format!("Created pod: {}", pod.name_any());
                        self.events.normal(set, "SuccessfulCreate", message);
                    }
                    Err(error) => {
                        self.events
                            .warning(set, "FailedCreate", format!("Error creating: {error}"));
                        return Err(error);
                    }
                }
            }
        }
        for pod in surplus(active, wanted).into_iter().take(MOST_AT_ONCE) {
            self.pods.delete(&pod, None).await?;
            let message = format!("Deleted pod: {}", pod.name_any());
            self.events.normal(set, "SuccessfulDelete", message);
        }
        Ok(())
    }
}

impl Controller for ReplicaSets {
    const NAME: &'static str = "replicaset";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(set) = self.sets.get(key) else {
            return Ok(None);
        };
        let selector = Some(&set.spec.selector);
        let reference = controller_reference(set.as_ref());
        let terminating = is_terminating(set.as_ref());
        let own = claim(&self.pods, &key.namespace, selector, &reference, terminating).await?;
        let active: Vec<_> = own.iter().filter(|pod| is_active(pod)).cloned().collect();
        let scaled = if terminating {
            Ok(())
        } else {
            self.scale(&set, &active).await
        };
        // What was just made or deleted counts: the cache knows it already.
        let own = self.pods.controlled_by(&reference.uid);
        let (status, next) = status(&set, &own, scaled.as_ref().err(), &now());
        let mut written = set.as_ref().clone();
        written.status = Some(status);
        self.sets.update_status(&set, &written).await?;
        scaled.map(|()| next)
    }
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// The pods to delete when there are too many: those that have done and promise the least first, in Kubernetes'
/// order.
fn surplus(active: &[Arc<Pod>], wanted: usize) -> Vec<Arc<Pod>> {
    let mut ranked = active.to_vec();
    ranked.sort_by_cached_key(|pod| {
        let assigned = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let stage = match phase(pod) {
            "Pending" => 0,
            "Running" => 2,
            _ => 1,
        };
        let cost: i64 = pod
            .annotations()
            .get("controller.kubernetes.io/pod-deletion-cost")
            .and_then(|cost| cost.parse().ok())
            .unwrap_or(0);
        let age = std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0));
        (assigned, stage, is_ready(pod), cost, age, pod.name_any())
    });
    ranked.truncate(active.len().saturating_sub(wanted));
    ranked
}

fn count<'a>(pods: impl Iterator<Item = &'a Arc<Pod>>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

/// The status, and when it will change although nothing happens (pods that become available).
fn status(
    set: &ReplicaSet,
    own: &[Arc<Pod>],
    failure: Option<&Error>,
    now: &Time,
) -> (ReplicaSetStatus, Option<Duration>) {
    let active: Vec<_> = own.iter().filter(|pod| is_active(pod)).collect();
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let mut available = 0;
    let mut next: Option<Duration> = None;
    for pod in &active {
        match is_available(pod, minimum, now) {
            Ok(()) => available += 1,
            Err(Some(wait)) => next = Some(next.map_or(wait, |next| next.min(wait))),
            Err(None) => {}
        }
    }
    let template = set.spec.template.as_ref();
    let labels = template
        .and_then(|template| template.metadata.as_ref()?.labels.clone())
        .unwrap_or_default();
    let labelled = |pod: &&&Arc<Pod>| {
        labels
            .iter()
            .all(|(key, value)| pod.labels().get(key) == Some(value))
    };
    let some = |count: i32| Some(count).filter(|count| *count > 0);
    let terminating = own
        .iter()
        .filter(|pod| is_terminating(pod.as_ref()) && !is_finished(pod));
    let status = ReplicaSetStatus {
        replicas: i32::try_from(active.len()).unwrap_or(i32::MAX),
        fully_labeled_replicas: some(count(active.iter().filter(labelled).copied())),
        ready_replicas: some(count(active.iter().filter(|pod| is_ready(pod)).copied())),
        available_replicas: some(available),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, failure, now),
    };
    (status, next)
}

/// `ReplicaFailure` while pods cannot be made; no condition otherwise.
fn conditions(set: &ReplicaSet, failure: Option<&Error>, now: &Time) -> Option<Vec<ReplicaSetCondition>> {
    let failure = failure.filter(|error| !error.is_conflict())?;
    let message = failure.to_string();
    let known = set.status.as_ref().and_then(|status| status.conditions.as_ref());
    if let Some(known) = known.filter(|known| known.iter().any(|c| c.message.as_deref() == Some(&message))) {
        return Some(known.clone());
    }
    Some(vec![ReplicaSetCondition {
        type_: Some("ReplicaFailure".to_owned()),
        status: Some("True".to_owned()),
        reason: Some("FailedCreate".to_owned()),
        message: Some(message),
        last_transition_time: Some(now.clone()),
    }])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::controllers::pods::tests::pod;

    fn names(pods: &[Arc<Pod>]) -> Vec<String> {
        pods.iter().map(|pod| pod.name_any()).collect()
    }

    #[test]
    fn pods_that_promise_least_go_first() {
        let mut unassigned = pod("unassigned", "Pending");
        unassigned.spec.as_mut().unwrap().node_name = None;
        let mut cheap = pod("cheap", "Running");
        cheap.annotations_mut().insert(
            "controller.kubernetes.io/pod-deletion-cost".to_owned(),
            "-5".to_owned(),
        );
        let pods: Vec<_> = [
            pod("running", "Running"),
            cheap,
            pod("pending", "Pending"),
            unassigned,
        ]
        .into_iter()
        .map(Arc::new)
        .collect();
        assert_eq!(names(&surplus(&pods, 1)), ["unassigned", "pending", "cheap"]);
        assert!(surplus(&pods, 9).is_empty());
    }

    #[test]
    fn the_status_counts_ready_and_available_pods_apart() {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"name": "s", "generation": 4},
            "spec": {"replicas": 2, "minReadySeconds": 60, "selector": {}},
        }))
        .unwrap();
        let pods = [Arc::new(pod("a", "Running")), Arc::new(pod("b", "Pending"))];
        let now = Time("2026-01-01T00:00:20Z".parse().unwrap());
        let (status, next) = status(&set, &pods, None, &now);
        assert_eq!(
            (status.replicas, status.ready_replicas, status.available_replicas),
            (2, Some(1), None)
        );
        assert_eq!(status.observed_generation, Some(4));
        assert_eq!(next, Some(Duration::from_secs(50)));
    }
}
