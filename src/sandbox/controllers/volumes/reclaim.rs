//! PersistentVolumes: their phase, their protection while a claim is bound to them, and what becomes of them and
//! their directory afterwards.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Resource, ResourceExt};

use super::provision::path_of;
use super::{Directories, PROVISIONER};
use crate::sandbox::controllers::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, is_terminating, now,
};

/// Keeps a volume while it is bound.
pub(super) const PROTECTION: &str = "kubernetes.io/pv-protection";

/// The controller of volumes.
pub(in super::super) struct Volumes {
    claims: Arc<Informer<PersistentVolumeClaim>>,
    volumes: Arc<Informer<PersistentVolume>>,
    directories: Directories,
    events: Recorder,
}

impl Volumes {
    /// Listens to volumes and claims; returns the controller and its queue.
    pub(in super::super) fn new(
        claims: &Arc<Informer<PersistentVolumeClaim>>,
        volumes: &Arc<Informer<PersistentVolume>>,
        directories: &Directories,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        volumes.on_change(move |_, new| {
            if let Some(volume) = new {
                inbox.add(Key::of(volume.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        claims.on_change(move |old, new| {
            for claim in [old, new].into_iter().flatten() {
                if let Some(volume) = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()) {
                    inbox.add(Key::new("", volume));
                }
            }
        });
        let controller = Self {
            claims: Arc::clone(claims),
            volumes: Arc::clone(volumes),
            directories: directories.clone(),
            events: events.of("persistentvolume-controller"),
        };
        (controller, queue)
    }

    /// The phase the volume is in now, judged by the claim it refers to.
    async fn phase(&self, volume: &PersistentVolume) -> Result<&'static str, Error> {
        let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let Some(reference) = reference else {
            return Ok("Available");
        };
        let Some(uid) = reference.uid.as_ref().filter(|uid| !uid.is_empty()) else {
            return Ok("Available");
        };
        let key = Key::new(
            reference.namespace.clone().unwrap_or_default(),
            reference.name.clone().unwrap_or_default(),
        );
        let is_it = |claim: &Arc<PersistentVolumeClaim>| claim.meta().uid.as_ref() == Some(uid);
        if self.claims.get(&key).is_some_and(|claim| is_it(&claim)) {
            return Ok("Bound");
        }
        // Data may be removed on this answer: ask the API server, not the cache.
        let claim = self.claims.fetch(&key).await?;
        Ok(if claim.is_some_and(|claim| is_it(&claim)) {
            "Bound"
        } else {
            "Released"
        })
    }

    /// The claim is gone: remove what was made for it, if the policy says so and it is ours to remove.
    async fn reclaim(&self, volume: &PersistentVolume) -> Result<(), Error> {
        let spec = volume.spec.as_ref();
        let policy = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
        if policy != Some("Delete") {
            return Ok(());
        }
        let made_here = volume
            .annotations()
            .get("pv.kubernetes.io/provisioned-by")
            .is_some_and(|provisioner| provisioner == PROVISIONER);
        let path = path_of(volume).filter(|path| made_here && self.directories.owns(path));
        let Some(path) = path else {
            return self.fail(volume, "no volume plugin can delete this volume").await;
        };
        self.remove(volume, path).await
    }

    async fn remove(&self, volume: &PersistentVolume, path: PathBuf) -> Result<(), Error> {
        if let Err(error) = self.directories.remove(&path).await {
            self.fail(volume, &error.to_string()).await?;
            return Err(error);
        }
        if !is_terminating(volume) {
            self.volumes.delete(volume, None).await?;
        }
        Ok(())
    }

    async fn fail(&self, volume: &PersistentVolume, message: &str) -> Result<(), Error> {
        self.set_phase(volume, "Failed", Some(message)).await?;
        self.events.warning(volume, "VolumeFailedDelete", message);
        Ok(())
    }

    async fn set_phase(
        &self,
        volume: &PersistentVolume,
        phase: &str,
        message: Option<&str>,
    ) -> Result<(), Error> {
        let mut next = volume.clone();
        let status = next.status.get_or_insert_default();
        if status.phase.as_deref() != Some(phase) {
            status.last_phase_transition_time = Some(now());
        }
        status.phase = Some(phase.to_owned());
        status.message = message.map(str::to_owned);
        self.volumes.update_status(volume, &next).await
    }
}

impl Controller for Volumes {
    const NAME: &'static str = "persistentvolume";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(volume) = self.volumes.get(key) else {
            return Ok(None);
        };
        let guarded = volume
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == PROTECTION);
        if !guarded && !is_terminating(volume.as_ref()) {
            let mut next = volume.as_ref().clone();
            next.finalizers_mut().push(PROTECTION.to_owned());
            self.volumes.update(&volume, &next).await?;
        }
        let Some(volume) = self.volumes.get(key) else {
            return Ok(None);
        };
        let phase = self.phase(&volume).await?;
        let failed = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed");
        if !(failed && phase == "Released") {
            self.set_phase(&volume, phase, None).await?;
        }
        let Some(volume) = self.volumes.get(key) else {
            return Ok(None);
        };
        if phase == "Released" {
            self.reclaim(&volume).await?;
        }
        let Some(volume) = self.volumes.get(key).filter(|_| phase != "Bound") else {
            return Ok(None);
        };
        if is_terminating(volume.as_ref()) {
            let mut next = volume.as_ref().clone();
            next.finalizers_mut().retain(|finalizer| finalizer != PROTECTION);
            self.volumes.update(&volume, &next).await?;
        }
        Ok(None)
    }
}
