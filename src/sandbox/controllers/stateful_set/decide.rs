//! What a StatefulSet needs next, as a pure function of the set, its pods, its revisions and the time. The rules
//! are Kubernetes' own (pkg/controller/statefulset/stateful_set_control.go).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::sandbox::controllers::engine::is_terminating;
use crate::sandbox::controllers::pods::{is_available, is_finished, is_ready, label, phase};
use crate::sandbox::controllers::revisions::LABEL;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Make the claims and the pod of this ordinal from the named revision.
    Create {
        /// Which pod.
        ordinal: i32,
        /// The name of the revision it is made from.
        revision: String,
    },
    /// Delete this pod.
    Delete(Arc<Pod>),
}

/// The names of the revisions the set moves between.
#[derive(Debug, Clone)]
pub(super) struct Revisions {
    /// Where it comes from.
    pub(super) current: String,
    /// Where it goes.
    pub(super) update: String,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// In this order.
    pub(super) actions: Vec<Action>,
    /// The next status, as if nothing were done; what is done changes it in the next pass.
    pub(super) status: StatefulSetStatus,
    /// When to look again even if nothing changes.
    pub(super) next: Option<Duration>,
}

/// The number at the end of a pod's name, if the pod is one of the set's.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i32> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}

/// The first ordinal and the one after the last.
pub(super) fn range(spec: &StatefulSetSpec) -> std::ops::Range<i32> {
    let start = spec
        .ordinals
        .as_ref()
        .and_then(|ordinals| ordinals.start)
        .unwrap_or(0);
    start..start + spec.replicas.unwrap_or(1)
}

fn partition(spec: &StatefulSetSpec) -> Option<i32> {
    let strategy = spec.update_strategy.as_ref()?;
    strategy.rolling_update.as_ref()?.partition
}

fn updates_on_delete(spec: &StatefulSetSpec) -> bool {
    let strategy = spec.update_strategy.as_ref();
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
}

fn is_healthy(pod: &Pod) -> bool {
    phase(pod) == "Running" && is_ready(pod) && !is_terminating(pod)
}

/// The revision's name a pod was made from, as its label carries it.
fn is_of(pod: &Pod, revision: &str) -> bool {
    label(pod, LABEL) == revision
}

struct View<'a> {
    spec: &'a StatefulSetSpec,
    replicas: BTreeMap<i32, Arc<Pod>>,
    /// Pods beyond the range, the highest ordinal first.
    condemned: Vec<Arc<Pod>>,
    revisions: &'a Revisions,
    current: i32,
    now: &'a Time,
}

impl View<'_> {
    /// Which revision a new pod of this ordinal is made from.
    fn revision(&self, ordinal: i32) -> String {
        let start = range(self.spec).start;
        let keeps = match partition(self.spec) {
            _ if updates_on_delete(self.spec) => false,
            Some(partition) if partition > 0 => ordinal < start + partition,
            _ => ordinal < start + self.current,
        };
        if keeps {
            self.revisions.current.clone()
        } else {
            self.revisions.update.clone()
        }
    }

    /// Whether the pod has been ready long enough, or how long that takes.
    fn wait(&self, pod: &Pod) -> Result<(), Option<Duration>> {
        if is_healthy(pod) {
            is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
        } else {
            Err(None)
        }
    }

    fn decide(&self, parallel: bool) -> (Vec<Action>, Option<Duration>) {
        let mut actions = Vec::new();
        let mut next: Option<Duration> = None;
        for ordinal in range(self.spec) {
            let step = match self.replicas.get(&ordinal) {
                None => {
                    actions.push(Action::Create {
                        ordinal,
                        revision: self.revision(ordinal),
                    });
                    Err(None)
                }
                Some(pod) if is_finished(pod) && !is_terminating(pod.as_ref()) => {
                    actions.push(Action::Delete(Arc::clone(pod)));
                    Err(None)
                }
                Some(pod) => self.wait(pod),
            };
            if let Err(wait) = step {
                next = wait.map(|wait| next.map_or(wait, |next| next.min(wait))).or(next);
                if !parallel {
                    return (actions, next);
                }
            }
        }
        for pod in &self.condemned {
            if !is_terminating(pod.as_ref()) {
                actions.push(Action::Delete(Arc::clone(pod)));
            }
            if !parallel {
                return (actions, next);
            }
        }
        if actions.is_empty() && !updates_on_delete(self.spec) {
            actions.extend(self.update(&mut next));
        }
        (actions, next)
    }

    /// The one pod that has to make room for its new revision now: the highest ordinal first, each only when those
    /// above it are healthy.
    fn update(&self, next: &mut Option<Duration>) -> Option<Action> {
        let first = range(self.spec).start + partition(self.spec).unwrap_or(0);
        for (_, pod) in self.replicas.range(first..).rev() {
            if !is_of(pod, &self.revisions.update) && !is_terminating(pod.as_ref()) {
                return Some(Action::Delete(Arc::clone(pod)));
            }
            if let Err(wait) = self.wait(pod) {
                *next = wait.or(*next);
                return None;
            }
        }
        None
    }
}

fn count<'a>(pods: impl Iterator<Item = &'a Arc<Pod>>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

fn next_status(set: &StatefulSet, pods: &[Arc<Pod>], revisions: &Revisions, now: &Time) -> StatefulSetStatus {
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let some = |count: i32| Some(count).filter(|count| *count > 0);
    let live = || pods.iter().filter(|pod| !is_terminating(pod.as_ref()));
    let healthy = || pods.iter().filter(|pod| is_healthy(pod));
    let before = set.status.clone().unwrap_or_default();
    let mut status = StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: count(pods.iter()),
        ready_replicas: some(count(healthy())),
        available_replicas: Some(count(
            healthy().filter(|pod| is_available(pod, minimum, now).is_ok()),
        )),
        current_replicas: some(count(live().filter(|pod| is_of(pod, &revisions.current)))),
        updated_replicas: some(count(live().filter(|pod| is_of(pod, &revisions.update)))),
        current_revision: Some(revisions.current.clone()),
        update_revision: Some(revisions.update.clone()),
        collision_count: before.collision_count.or(Some(0)),
        conditions: before.conditions,
    };
    let rolls = !updates_on_delete(&set.spec);
    let all = some(status.replicas);
    if rolls && status.updated_replicas == all && status.ready_replicas == all {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
    status
}

/// Decides. `pods` are all of the set's own.
pub(super) fn decide(set: &StatefulSet, pods: &[Arc<Pod>], revisions: &Revisions, now: &Time) -> Plan {
    let status = next_status(set, pods, revisions, now);
    let spec = &set.spec;
    if is_terminating(set) {
        return Plan {
            actions: Vec::new(),
            status,
            next: None,
        };
    }
    let name = set.name_any();
    let mut replicas = BTreeMap::new();
    let mut condemned = BTreeMap::new();
    for pod in pods {
        if let Some(ordinal) = ordinal(&name, &pod.name_any()) {
            let side = if range(spec).contains(&ordinal) {
                &mut replicas
            } else {
                &mut condemned
            };
            side.insert(ordinal, Arc::clone(pod));
        }
    }
    let view = View {
        spec,
        replicas,
        condemned: condemned.into_values().rev().collect(),
        revisions,
        current: set
            .status
            .as_ref()
            .and_then(|status| status.current_replicas)
            .unwrap_or(0),
        now,
    };
    let (actions, next) = view.decide(spec.pod_management_policy.as_deref() == Some("Parallel"));
    Plan {
        actions,
        status,
        next,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sandbox::controllers::pods::tests::pod;

    fn set(replicas: i32, extra: &Value) -> StatefulSet {
        let mut spec = json!({"replicas": replicas, "selector": {}, "template": {}, "serviceName": "s"});
        json_patch::merge(&mut spec, extra);
        serde_json::from_value(
            json!({"metadata": {"name": "db", "namespace": "ns", "generation": 2}, "spec": spec}),
        )
        .unwrap()
    }

    fn member(ordinal: i32, phase: &str, revision: &str) -> Arc<Pod> {
        let mut pod = pod(&format!("db-{ordinal}"), phase);
        pod.labels_mut().insert(LABEL.to_owned(), revision.to_owned());
        Arc::new(pod)
    }

    fn plan(set: &StatefulSet, pods: &[Arc<Pod>]) -> Plan {
        let revisions = Revisions {
            current: "r1".to_owned(),
            update: "r2".to_owned(),
        };
        decide(
            set,
            pods,
            &revisions,
            &Time("2026-01-01T01:00:00Z".parse().unwrap()),
        )
    }

    fn said(plan: &Plan) -> Vec<String> {
        let say = |action: &Action| match action {
            Action::Create { ordinal, revision } => format!("create {ordinal} {revision}"),
            Action::Delete(pod) => format!("delete {}", pod.name_any()),
        };
        plan.actions.iter().map(say).collect()
    }

    #[test]
    fn pods_are_made_one_after_the_other() {
        let set = set(3, &json!({}));
        assert_eq!(said(&plan(&set, &[])), ["create 0 r2"]);
        assert!(said(&plan(&set, &[member(0, "Pending", "r2")])).is_empty());
        assert_eq!(said(&plan(&set, &[member(0, "Running", "r2")])), ["create 1 r2"]);
    }

    #[test]
    fn in_parallel_they_are_made_at_once() {
        let set = set(
            2,
            &json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 5}}),
        );
        assert_eq!(said(&plan(&set, &[])), ["create 5 r2", "create 6 r2"]);
    }

    #[test]
    fn scaling_down_takes_the_highest_first_and_one_at_a_time() {
        let set = set(1, &json!({}));
        let pods: Vec<_> = (0..3).map(|ordinal| member(ordinal, "Running", "r2")).collect();
        assert_eq!(said(&plan(&set, &pods)), ["delete db-2"]);
    }

    #[test]
    fn an_update_goes_from_the_highest_down_to_the_partition() {
        let held = set(3, &json!({"updateStrategy": {"rollingUpdate": {"partition": 1}}}));
        let old: Vec<_> = (0..3).map(|ordinal| member(ordinal, "Running", "r1")).collect();
        assert_eq!(said(&plan(&held, &old)), ["delete db-2"]);
        let pods = [
            member(0, "Running", "r1"),
            member(1, "Running", "r2"),
            member(2, "Running", "r2"),
        ];
        assert!(said(&plan(&held, &pods)).is_empty());
        // A pod below the partition comes back as it was.
        assert_eq!(said(&plan(&held, &pods[1..])), ["create 0 r1"]);
    }

    #[test]
    fn an_update_waits_for_the_pod_it_has_just_replaced() {
        let set = set(2, &json!({}));
        let pods = [member(0, "Running", "r1"), member(1, "Pending", "r2")];
        assert!(said(&plan(&set, &pods)).is_empty());
    }

    #[test]
    fn on_delete_leaves_old_pods_alone() {
        let set = set(1, &json!({"updateStrategy": {"type": "OnDelete"}}));
        assert!(said(&plan(&set, &[member(0, "Running", "r1")])).is_empty());
    }

    #[test]
    fn a_finished_pod_is_replaced() {
        assert_eq!(
            said(&plan(&set(1, &json!({})), &[member(0, "Failed", "r2")])),
            ["delete db-0"]
        );
    }

    #[test]
    fn the_current_revision_follows_when_all_pods_are_new_and_ready() {
        let pods = [member(0, "Running", "r2"), member(1, "Running", "r2")];
        let status = plan(&set(2, &json!({})), &pods).status;
        assert_eq!(status.current_revision.as_deref(), Some("r2"));
        assert_eq!(
            (status.replicas, status.ready_replicas, status.updated_replicas),
            (2, Some(2), Some(2))
        );
        let mixed = [member(0, "Running", "r1"), member(1, "Running", "r2")];
        let status = plan(&set(2, &json!({})), &mixed).status;
        assert_eq!(
            (status.current_revision.as_deref(), status.current_replicas),
            (Some("r1"), Some(1))
        );
    }
}
