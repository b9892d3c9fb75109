//! The scheduler: gives each new pod a node that fits, once its claims can be used there. Sizes are not compared:
//! containers are processes of one computer, which shares its processors and memory by itself.

mod fit;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Binding, Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::PostParams;

pub(super) use fit::fits;
use fit::{reaches, why_not};

use super::engine::{Controller, Error, Informer, Key, Next, Queue, Recorder, is_terminating, now};
use super::pods::{condition, is_active};
use super::volumes::{SELECTED_NODE, claims_of, is_bound, waits_for_consumer};

const NAME: &str = "default-scheduler";

/// The scheduler.
pub(super) struct Scheduler {
    pods: Arc<Informer<Pod>>,
    nodes: Arc<Informer<Node>>,
    claims: Arc<Informer<PersistentVolumeClaim>>,
    volumes: Arc<Informer<PersistentVolume>>,
    classes: Arc<Informer<StorageClass>>,
    events: Recorder,
}

/// What the scheduler looks at.
pub(super) struct Sources<'a> {
    /// Pods to place.
    pub(super) pods: &'a Arc<Informer<Pod>>,
    /// Where they can go.
    pub(super) nodes: &'a Arc<Informer<Node>>,
    /// What they need there.
    pub(super) claims: &'a Arc<Informer<PersistentVolumeClaim>>,
    /// Where that is.
    pub(super) volumes: &'a Arc<Informer<PersistentVolume>>,
    /// Whether it can be made there.
    pub(super) classes: &'a Arc<Informer<StorageClass>>,
}

/// Why a pod has no node yet.
enum Verdict {
    /// It can go here.
    Go(String),
    /// Its claims are about to be bound.
    Wait,
    /// It cannot go anywhere, for this reason.
    Nowhere(String),
}

impl Scheduler {
    /// Listens to pods, nodes, claims and volumes; returns the scheduler and its queue.
    pub(super) fn new(sources: &Sources<'_>, events: &Recorder) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        sources.pods.on_change(move |_, new| {
            if let Some(pod) = new.filter(|pod| is_ours(pod)) {
                inbox.add(Key::of(pod.as_ref()));
            }
        });
        let (inbox, pods) = (Arc::clone(&queue), Arc::clone(sources.pods));
        sources.claims.on_change(move |old, new| {
            let Some(claim) = new.or(old) else { return };
            for pod in pods.in_namespace(&claim.namespace().unwrap_or_default()) {
                if is_ours(&pod) && claims_of(&pod).contains(&claim.name_any()) {
                    inbox.add(Key::of(pod.as_ref()));
                }
            }
        });
        let (inbox, pods) = (Arc::clone(&queue), Arc::clone(sources.pods));
        sources.nodes.on_change(move |old, new| {
            let looks =
                |node: Option<&Arc<Node>>| node.map(|node| (node.labels().clone(), node.spec.clone()));
            if looks(old) != looks(new) {
                for pod in pods.all().iter().filter(|pod| is_ours(pod)) {
                    inbox.add(Key::of(pod.as_ref()));
                }
            }
        });
        let scheduler = Self {
            pods: Arc::clone(sources.pods),
            nodes: Arc::clone(sources.nodes),
            claims: Arc::clone(sources.claims),
            volumes: Arc::clone(sources.volumes),
            classes: Arc::clone(sources.classes),
            events: events.of(NAME),
        };
        (scheduler, queue)
    }

    async fn judge(&self, pod: &Pod) -> Result<Verdict, Error> {
        let Some(spec) = &pod.spec else {
            return Ok(Verdict::Wait);
        };
        let mut nodes = self.nodes.all();
        let total = nodes.len();
        if total == 0 {
            return Ok(Verdict::Nowhere("no nodes available to schedule pods".to_owned()));
        }
        let namespace = pod.namespace().unwrap_or_default();
        let mut unbound = Vec::new();
        for name in claims_of(pod) {
            let Some(claim) = self.claims.get(&Key::new(&namespace, &name)) else {
                return Ok(nowhere(
                    total,
                    &format!("persistentvolumeclaim \"{name}\" not found"),
                ));
            };
            if is_terminating(claim.as_ref()) {
                let message = format!("persistentvolumeclaim \"{name}\" is being deleted");
                return Ok(nowhere(total, &message));
            }
            if is_bound(&claim) {
                let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
                let volume = volume.and_then(|volume| self.volumes.get(&Key::new("", volume)));
                nodes.retain(|node| volume.as_ref().is_none_or(|volume| reaches(volume, node)));
                if nodes.is_empty() {
                    let message = format!("{total} node(s) had volume node affinity conflict");
                    return Ok(nowhere(total, &message));
                }
            } else if waits_for_consumer(&claim, &self.classes) {
                unbound.push(claim);
            } else {
                return Ok(nowhere(total, "pod has unbound immediate PersistentVolumeClaims"));
            }
        }
        let Some(node) = nodes.iter().find(|node| fits(spec, node)) else {
            return Ok(nowhere(total, &why_not(spec, &nodes)));
        };
        let node = node.name_any();
        for claim in &unbound {
            if claim.annotations().get(SELECTED_NODE) != Some(&node) {
                let mut selected = claim.as_ref().clone();
                selected
                    .annotations_mut()
                    .insert(SELECTED_NODE.to_owned(), node.clone());
                self.claims.update(claim, &selected).await?;
            }
        }
        Ok(if unbound.is_empty() {
            Verdict::Go(node)
        } else {
            Verdict::Wait
        })
    }

    async fn bind(&self, pod: &Pod, node: &str) -> Result<(), Error> {
        let namespace = pod.namespace().unwrap_or_default();
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(pod.name_any()),
                namespace: Some(namespace.clone()),
                uid: pod.uid(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let api = self.pods.api(&namespace);
        let bound = api
            .create_subresource::<_, serde_json::Value>(
                "binding",
                &pod.name_any(),
                &PostParams::default(),
                &binding,
            )
            .await;
        match bound.map_err(Error::from) {
            // Bound already: the cache is a moment behind.
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                let message = format!("Successfully assigned {namespace}/{} to {node}", pod.name_any());
                self.events.normal(pod, "Scheduled", message);
                Ok(())
            }
        }
    }

    async fn reject(&self, pod: &Pod, reason: &str, message: &str) -> Result<(), Error> {
        let same = condition(pod, "PodScheduled")
            .is_some_and(|known| known.status == "False" && known.message.as_deref() == Some(message));
        if same {
            return Ok(());
        }
        let mut rejected = pod.clone();
        let conditions = rejected
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default();
        conditions.retain(|condition| condition.type_ != "PodScheduled");
        conditions.push(PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(now()),
            observed_generation: pod.metadata.generation,
            last_probe_time: None,
        });
        self.pods.update_status(pod, &rejected).await?;
        if reason == "Unschedulable" {
            self.events.warning(pod, "FailedScheduling", message);
        }
        Ok(())
    }
}

impl Controller for Scheduler {
    const NAME: &'static str = "scheduler";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(key).filter(|pod| is_ours(pod)) else {
            return Ok(None);
        };
        let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
        if gates.is_some_and(|gates| !gates.is_empty()) {
            let message = "Scheduling is blocked due to non-empty scheduling gates";
            self.reject(&pod, "SchedulingGated", message).await?;
            return Ok(None);
        }
        match self.judge(&pod).await? {
            Verdict::Go(node) => self.bind(&pod, &node).await?,
            Verdict::Wait => {}
            Verdict::Nowhere(message) => self.reject(&pod, "Unschedulable", &message).await?,
        }
        Ok(None)
    }
}

/// Whether the pod waits for this scheduler.
fn is_ours(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        spec.node_name.as_deref().unwrap_or_default().is_empty()
            && spec.scheduler_name.as_deref().is_none_or(|name| name == NAME)
    }) && is_active(pod)
}

fn nowhere(total: usize, reason: &str) -> Verdict {
    Verdict::Nowhere(format!(
        "0/{total} nodes are available: {reason}. preemption: 0/{total} nodes are available: {total} Preemption is \
         not helpful for scheduling."
    ))
}
