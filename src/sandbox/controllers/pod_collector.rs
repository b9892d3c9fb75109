//! Removes pods that no node will ever remove: those that were deleted before they had a node, and those whose node
//! is gone.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};

use super::engine::{Controller, Error, Informer, Key, Next, Queue, is_terminating};

/// The collector of such pods.
pub(super) struct PodCollector {
    pods: Arc<Informer<Pod>>,
    nodes: Arc<Informer<Node>>,
}

impl PodCollector {
    /// Listens to pods and nodes; returns the collector and its queue.
    pub(super) fn new(pods: &Arc<Informer<Pod>>, nodes: &Arc<Informer<Node>>) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        pods.on_change(move |_, new| {
            if let Some(pod) = new.filter(|pod| is_terminating(pod.as_ref())) {
                inbox.add(Key::of(pod.as_ref()));
            }
        });
        let (inbox, known) = (Arc::clone(&queue), Arc::clone(pods));
        nodes.on_change(move |_, new| {
            if new.is_none() {
                for pod in known.all() {
                    inbox.add(Key::of(pod.as_ref()));
                }
            }
        });
        let controller = Self {
            pods: Arc::clone(pods),
            nodes: Arc::clone(nodes),
        };
        (controller, queue)
    }
}

impl Controller for PodCollector {
    const NAME: &'static str = "pod-collector";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(key) else {
            return Ok(None);
        };
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default();
        let abandoned = if node.is_empty() {
            is_terminating(pod.as_ref())
        } else {
            self.nodes.fetch(&Key::new("", &node)).await?.is_none()
        };
        if abandoned {
            self.pods.delete_now(&pod).await?;
        }
        Ok(None)
    }
}
