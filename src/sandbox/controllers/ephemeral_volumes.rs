//! Claims for the generic ephemeral volumes of pods: made with the pod, gone with it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, controller_of, controller_reference,
    is_terminating,
};
use super::pods::is_finished;

/// The controller of ephemeral volumes.
pub(super) struct EphemeralVolumes {
    pods: Arc<Informer<Pod>>,
    claims: Arc<Informer<PersistentVolumeClaim>>,
    events: Recorder,
}

impl EphemeralVolumes {
    /// Listens to pods; returns the controller and its queue.
    pub(super) fn new(
        pods: &Arc<Informer<Pod>>,
        claims: &Arc<Informer<PersistentVolumeClaim>>,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        pods.on_change(move |old, new| {
            if let (None, Some(pod)) = (old, new)
                && wanted(pod).next().is_some()
            {
                inbox.add(Key::of(pod.as_ref()));
            }
        });
        let controller = Self {
            pods: Arc::clone(pods),
            claims: Arc::clone(claims),
            events: events.of("ephemeral-volume-controller"),
        };
        (controller, queue)
    }
}

/// The claims the pod's ephemeral volumes need.
fn wanted(pod: &Pod) -> impl Iterator<Item = PersistentVolumeClaim> + '_ {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let template = volume.ephemeral.as_ref()?.volume_claim_template.clone()?;
        let meta = template.metadata.unwrap_or_default();
        Some(PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(format!("{}-{}", pod.name_any(), volume.name)),
                namespace: pod.namespace(),
                labels: meta.labels,
                annotations: meta.annotations,
                owner_references: Some(vec![controller_reference(pod)]),
                ..ObjectMeta::default()
            },
            spec: Some(template.spec),
            status: None,
        })
    })
}

impl Controller for EphemeralVolumes {
    const NAME: &'static str = "ephemeral-volume";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let pod = self
            .pods
            .get(key)
            .filter(|pod| !is_terminating(pod.as_ref()) && !is_finished(pod));
        let Some(pod) = pod else { return Ok(None) };
        for claim in wanted(&pod) {
            let Some(known) = self.claims.get(&Key::of(&claim)) else {
                self.claims.create(&claim).await?;
                continue;
            };
            if controller_of(known.as_ref()).map(|owner| owner.uid.clone()) != pod.uid() {
                let message = format!(
                    "PVC {} was not created for pod {}",
                    known.name_any(),
                    pod.name_any()
                );
                self.events.warning(pod.as_ref(), "ConflictingPVC", message);
            }
        }
        Ok(None)
    }
}
