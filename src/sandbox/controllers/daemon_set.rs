//! DaemonSets: one pod on each node that fits. A pod is tied to its node by an affinity on the node's name, and the
//! scheduler does the rest, as in Kubernetes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodTemplateSpec, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::claim::claim;
use super::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, controller_reference, is_terminating, now,
};
use super::pods::{from_template, is_available, is_finished, is_ready, label, name_prefix};
use super::revisions::{self, LABEL, Owner};
use super::scheduler::fits;

/// The taints a daemon's pod lives with: key and effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The controller of DaemonSets.
pub(super) struct DaemonSets {
    sets: Arc<Informer<DaemonSet>>,
    pods: Arc<Informer<Pod>>,
    nodes: Arc<Informer<Node>>,
    revisions: Arc<Informer<ControllerRevision>>,
    events: Recorder,
}

impl DaemonSets {
    /// Listens to DaemonSets, pods and nodes; returns the controller and its queue.
    pub(super) fn new(
        sets: &Arc<Informer<DaemonSet>>,
        pods: &Arc<Informer<Pod>>,
        nodes: &Arc<Informer<Node>>,
        revisions: &Arc<Informer<ControllerRevision>>,
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
        pods.on_change(move |old, new| {
            for pod in [old, new].into_iter().flatten() {
                if let Some(key) = Key::of_controller(pod.as_ref(), "DaemonSet") {
                    inbox.add(key);
                }
            }
        });
        let inbox = Arc::clone(&queue);
        let known = Arc::clone(sets);
        nodes.on_change(move |old, new| {
            let labels = |node: Option<&Arc<Node>>| node.map(|node| node.labels().clone());
            if labels(old) != labels(new) {
                for set in known.all() {
                    inbox.add(Key::of(set.as_ref()));
                }
            }
        });
        let controller = Self {
            sets: Arc::clone(sets),
            pods: Arc::clone(pods),
            nodes: Arc::clone(nodes),
            revisions: Arc::clone(revisions),
            events: events.of("daemonset-controller"),
        };
        (controller, queue)
    }

    async fn make(&self, set: &DaemonSet, node: &str, hash: &str) -> Result<(), Error> {
        match self.pods.create(&new_pod(set, node, hash)).await {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.name_any());
                self.events.normal(set, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                let message = format!("Error creating: {error}");
                self.events.warning(set, "FailedCreate", message);
                Err(error)
            }
        }
    }

    async fn remove(&self, set: &DaemonSet, pod: &Pod) -> Result<(), Error> {
        self.pods.delete(pod, None).await?;
        let message = format!("Deleted pod: {}", pod.name_any());
        self.events.normal(set, "SuccessfulDelete", message);
        Ok(())
    }

    async fn sync(&self, set: &DaemonSet, own: &[Arc<Pod>]) -> Result<Next, Error> {
        let (name, namespace) = (set.name_any(), set.namespace().unwrap_or_default());
        let template = set.spec.template.clone();
        let reference = controller_reference(set);
        let uid = reference.uid.clone();
        let owner = Owner {
            namespace: &namespace,
            name: &name,
            reference,
            template: &template,
        };
        let revision = revisions::newest(&self.revisions, &owner).await?;
        let hash = revision.labels().get(LABEL).cloned().unwrap_or_default();
        let nodes = self.nodes.all();
        let mut outcome = Ok(());
        for node in &nodes {
            let wanted = suits(&template, node);
            let here: Vec<_> = own
                .iter()
                .filter(|pod| node_of(pod) == Some(node.name_any()))
                .cloned()
                .collect();
            let plan = plan(&here, wanted, &hash, on_delete(set));
            for pod in &plan.delete {
                outcome = outcome.and(self.remove(set, pod).await);
            }
            if plan.create {
                outcome = outcome.and(self.make(set, &node.name_any(), &hash).await);
            }
        }
        let wanted: Vec<_> = nodes
            .iter()
            .filter(|node| suits(&template, node))
            .map(|node| node.name_any())
            .collect();
        let (status, next) = status(set, &self.pods.controlled_by(&uid), &wanted, &hash, &now());
        let mut written = set.clone();
        written.status = Some(status);
        self.sets.update_status(set, &written).await?;
        let limit = set.spec.revision_history_limit.unwrap_or(10);
        revisions::trim(&self.revisions, &uid, limit, &[revision.name_any()]).await?;
        outcome.map(|()| next)
    }
}

impl Controller for DaemonSets {
    const NAME: &'static str = "daemonset";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(set) = self.sets.get(key) else {
            return Ok(None);
        };
        let selector = Some(&set.spec.selector);
        let reference = controller_reference(set.as_ref());
        let terminating = is_terminating(set.as_ref());
        let own = claim(&self.pods, &key.namespace, selector, &reference, terminating).await?;
        if terminating {
            return Ok(None);
        }
        self.sync(&set, &own).await
    }
}

fn on_delete(set: &DaemonSet) -> bool {
    let strategy = set.spec.update_strategy.as_ref();
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
}

fn suits(template: &PodTemplateSpec, node: &Node) -> bool {
    template.spec.as_ref().is_none_or(|spec| fits(spec, node))
}

/// The node a pod is tied to: the one it runs on, else the one its affinity names.
fn node_of(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = &spec.node_name {
        return Some(node.clone());
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let fields = required.node_selector_terms.first()?.match_fields.as_ref()?;
    fields.first()?.values.as_ref()?.first().cloned()
}

struct Plan {
    create: bool,
    delete: Vec<Arc<Pod>>,
}

/// What one node needs: exactly one pod of the newest revision, the old one gone before the new one comes.
fn plan(here: &[Arc<Pod>], wanted: bool, hash: &str, on_delete: bool) -> Plan {
    let mut live: Vec<_> = here
        .iter()
        .filter(|pod| !is_terminating(pod.as_ref()))
        .cloned()
        .collect();
    if !wanted {
        return Plan {
            create: false,
            delete: live,
        };
    }
    live.sort_by_key(|pod| pod.creation_timestamp());
    let mut delete = Vec::new();
    live.retain(|pod| {
        let outdated = !on_delete && label(pod, LABEL) != hash;
        let goes = is_finished(pod) || outdated;
        if goes {
            delete.push(Arc::clone(pod));
        }
        !goes
    });
    delete.extend(live.drain(1.min(live.len())..));
    Plan {
        create: here.is_empty(),
        delete,
    }
}

fn new_pod(set: &DaemonSet, node: &str, hash: &str) -> Pod {
    let template = set.spec.template.clone();
    let namespace = set.namespace().unwrap_or_default();
    let mut pod = from_template(&template, &namespace, controller_reference(set));
    pod.metadata.generate_name = Some(name_prefix(&set.name_any()));
    pod.labels_mut().insert(LABEL.to_owned(), hash.to_owned());
    let spec = pod.spec.get_or_insert_default();
    let affinity = spec
        .affinity
        .get_or_insert_default()
        .node_affinity
        .get_or_insert_default();
    let this = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_fields: Some(vec![this]),
            match_expressions: None,
        }],
    });
    let tolerations = spec.tolerations.get_or_insert_default();
    tolerations.extend(TOLERATED.map(|(key, effect)| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some(effect.to_owned()),
        ..Toleration::default()
    }));
    pod
}

fn status(
    set: &DaemonSet,
    own: &[Arc<Pod>],
    wanted: &[String],
    hash: &str,
    now: &Time,
) -> (DaemonSetStatus, Option<Duration>) {
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let live: Vec<_> = own.iter().filter(|pod| !is_terminating(pod.as_ref())).collect();
    let placed: Vec<_> = live
        .iter()
        .filter(|pod| node_of(pod).is_some_and(|node| wanted.contains(&node)))
        .collect();
    let whole = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let count = |of: &dyn Fn(&Pod) -> bool| whole(placed.iter().filter(|pod| of(pod)).count());
    let waits = placed
        .iter()
        .filter_map(|pod| is_available(pod, minimum, now).err().flatten());
    let next = waits.min();
    let desired = whole(wanted.len());
    let available = count(&|pod| is_available(pod, minimum, now).is_ok());
    let some = |count: i32| Some(count).filter(|count| *count > 0);
    let status = DaemonSetStatus {
        current_number_scheduled: count(&|_| true),
        desired_number_scheduled: desired,
        number_misscheduled: whole(live.len() - placed.len()),
        number_ready: count(&is_ready),
        number_available: some(available),
        number_unavailable: some(desired - available),
        updated_number_scheduled: some(count(&|pod| label(pod, LABEL) == hash)),
        observed_generation: set.metadata.generation,
        ..set.status.clone().unwrap_or_default()
    };
    (status, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::controllers::pods::tests::pod;

    fn member(name: &str, phase: &str, hash: &str) -> Arc<Pod> {
        let mut pod = pod(name, phase);
        pod.labels_mut().insert(LABEL.to_owned(), hash.to_owned());
        Arc::new(pod)
    }

    #[test]
    fn a_node_that_fits_gets_one_pod() {
        assert!(plan(&[], true, "h", false).create);
        let one = plan(&[member("a", "Running", "h")], true, "h", false);
        assert!(!one.create && one.delete.is_empty());
        assert_eq!(
            plan(&[member("a", "Running", "h")], false, "h", false)
                .delete
                .len(),
            1
        );
    }

    #[test]
    fn an_old_or_finished_pod_goes_before_the_next_comes() {
        let old = plan(&[member("a", "Running", "old")], true, "h", false);
        assert!(!old.create && old.delete.len() == 1);
        assert!(
            plan(&[member("a", "Running", "old")], true, "h", true)
                .delete
                .is_empty()
        );
        assert_eq!(
            plan(&[member("a", "Failed", "h")], true, "h", false).delete.len(),
            1
        );
    }
}
