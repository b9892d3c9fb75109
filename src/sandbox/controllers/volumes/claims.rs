//! PersistentVolumeClaims: bind them to a volume, or have a directory made for them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Resource, ResourceExt};

use super::binding::{amount, best, capacity, refers_to, request};
use super::provision::volume_name;
use super::{DEFAULT_CLASS, Directories, SELECTED_NODE, claims_of, is_bound, uses_claims};
use crate::sandbox::controllers::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, is_terminating,
};
use crate::sandbox::controllers::snapshots::types::{VolumeSnapshot, VolumeSnapshotContent};

const PROTECTION: &str = "kubernetes.io/pvc-protection";
const BOUND: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_US: &str = "pv.kubernetes.io/bound-by-controller";

/// What the controller of claims looks at and writes.
#[derive(Clone)]
pub(in super::super) struct Sources {
    /// The claims.
    pub(in super::super) claims: Arc<Informer<PersistentVolumeClaim>>,
    /// What they are bound to.
    pub(in super::super) volumes: Arc<Informer<PersistentVolume>>,
    /// How volumes are made.
    pub(in super::super) classes: Arc<Informer<StorageClass>>,
    /// Who uses the claims.
    pub(in super::super) pods: Arc<Informer<Pod>>,
    /// What a claim may be made from.
    pub(in super::super) snapshots: Arc<Informer<VolumeSnapshot>>,
    /// Where that is.
    pub(in super::super) contents: Arc<Informer<VolumeSnapshotContent>>,
}

/// The controller of claims.
pub(in super::super) struct Claims {
    pub(super) sources: Sources,
    pub(super) directories: Directories,
    pub(super) events: Recorder,
}

impl Claims {
    /// Listens to everything a claim depends on; returns the controller and its queue.
    pub(in super::super) fn new(
        sources: &Sources,
        directories: &Directories,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        sources.claims.on_change(move |_, new| {
            if let Some(claim) = new {
                inbox.add(Key::of(claim.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        sources.pods.on_change(move |old, new| {
            let still = new.is_some_and(|pod| uses_claims(pod));
            for name in new
                .or(old)
                .filter(|_| !still)
                .map(|pod| claims_of(pod))
                .unwrap_or_default()
            {
                let namespace = new.or(old).and_then(|pod| pod.namespace()).unwrap_or_default();
                inbox.add(Key::new(namespace, name));
            }
        });
        // Volumes, classes and snapshots matter only to claims that wait.
        let wake = |inbox: Arc<Queue>, claims: Arc<Informer<PersistentVolumeClaim>>| {
            move || {
                for claim in claims.all().iter().filter(|claim| !is_bound(claim)) {
                    inbox.add(Key::of(claim.as_ref()));
                }
            }
        };
        let waiting = wake(Arc::clone(&queue), Arc::clone(&sources.claims));
        let inbox = Arc::clone(&queue);
        sources.volumes.on_change(move |old, new| {
            let bound = new
                .or(old)
                .and_then(|volume| volume.spec.as_ref()?.claim_ref.clone());
            match bound {
                Some(claim) => inbox.add(Key::new(
                    claim.namespace.unwrap_or_default(),
                    claim.name.unwrap_or_default(),
                )),
                None => waiting(),
            }
        });
        let waiting = wake(Arc::clone(&queue), Arc::clone(&sources.claims));
        sources.classes.on_change(move |_, _| waiting());
        let waiting = wake(Arc::clone(&queue), Arc::clone(&sources.claims));
        sources.snapshots.on_change(move |_, _| waiting());
        let controller = Self {
            sources: sources.clone(),
            directories: directories.clone(),
            events: events.of("persistentvolume-controller"),
        };
        (controller, queue)
    }

    async fn protect(&self, claim: &PersistentVolumeClaim) -> Result<(), Error> {
        let guarded = claim.finalizers().iter().any(|finalizer| finalizer == PROTECTION);
        let mut next = claim.clone();
        if is_terminating(claim) {
            let pods = self
                .sources
                .pods
                .in_namespace(&claim.namespace().unwrap_or_default());
            let used = pods
                .iter()
                .any(|pod| uses_claims(pod) && claims_of(pod).contains(&claim.name_any()));
            if !guarded || used {
                return Ok(());
            }
            next.finalizers_mut().retain(|finalizer| finalizer != PROTECTION);
        } else {
            let class = claim
                .spec
                .as_ref()
                .and_then(|spec| spec.storage_class_name.as_ref());
            if guarded && class.is_some() {
                return Ok(());
            }
            if !guarded {
                next.finalizers_mut().push(PROTECTION.to_owned());
            }
            if class.is_none()
                && let Some(default) = self.default_class()
                && let Some(spec) = &mut next.spec
            {
                spec.storage_class_name = Some(default);
            }
        }
        self.sources.claims.update(claim, &next).await
    }

    fn default_class(&self) -> Option<String> {
        let classes = self.sources.classes.all();
        let defaults = classes.iter().filter(|class| {
            class
                .annotations()
                .get(DEFAULT_CLASS)
                .is_some_and(|value| value == "true")
        });
        defaults
            .max_by_key(|class| class.creation_timestamp())
            .map(|class| class.name_any())
    }

    async fn set_phase(&self, claim: &PersistentVolumeClaim, phase: &str) -> Result<(), Error> {
        let mut next = claim.clone();
        next.status.get_or_insert_default().phase = Some(phase.to_owned());
        self.sources.claims.update_status(claim, &next).await
    }

    /// Writes down on both sides that claim and volume belong together.
    pub(super) async fn bind(
        &self,
        claim: &PersistentVolumeClaim,
        volume: &PersistentVolume,
        ours: bool,
    ) -> Result<(), Error> {
        let mut taken = volume.clone();
        if let Some(spec) = &mut taken.spec {
            let reference = spec.claim_ref.get_or_insert_default();
            // The resource version in the reference is only a note of the first binding.
            if reference.uid != claim.uid() {
                *reference = claim_reference(claim);
            }
        }
        if ours && volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none()) {
            taken
                .annotations_mut()
                .insert(BOUND_BY_US.to_owned(), "yes".to_owned());
        }
        self.sources.volumes.update(volume, &taken).await?;
        let mut bound = claim.clone();
        bound.annotations_mut().insert(BOUND.to_owned(), "yes".to_owned());
        if let Some(spec) = &mut bound.spec
            && spec.volume_name.is_none()
        {
            spec.volume_name = volume.meta().name.clone();
            bound
                .annotations_mut()
                .insert(BOUND_BY_US.to_owned(), "yes".to_owned());
        }
        self.sources.claims.update(claim, &bound).await?;
        let Some(claim) = self.sources.claims.get(&Key::of(claim)) else {
            return Ok(());
        };
        let mut bound = claim.as_ref().clone();
        let status = bound.status.get_or_insert_default();
        status.phase = Some("Bound".to_owned());
        status.access_modes = volume.spec.as_ref().and_then(|spec| spec.access_modes.clone());
        status.capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.clone());
        self.sources.claims.update_status(&claim, &bound).await
    }

    /// A claim that names its volume.
    async fn bind_named(&self, claim: &PersistentVolumeClaim, name: &str) -> Result<Next, Error> {
        let Some(volume) = self.sources.volumes.get(&Key::new("", name)) else {
            if claim.annotations().contains_key(BOUND) {
                let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
                self.events.warning(claim, "ClaimLost", message);
                self.set_phase(claim, "Lost").await?;
            } else {
                self.set_phase(claim, "Pending").await?;
            }
            return Ok(None);
        };
        let reserved = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        if reserved.is_some_and(|reserved| !refers_to(reserved, claim)) {
            let message = format!("volume {name:?} already bound to a different claim.");
            self.events.warning(claim, "FailedBinding", message);
            self.set_phase(claim, "Pending").await?;
            return Ok(None);
        }
        let volume = self.grow(claim, volume).await?;
        self.bind(claim, &volume, false).await?;
        Ok(None)
    }

    /// A bound claim may ask for more: a directory has no size of its own, so the volume just says so.
    async fn grow(
        &self,
        claim: &PersistentVolumeClaim,
        volume: Arc<PersistentVolume>,
    ) -> Result<Arc<PersistentVolume>, Error> {
        let class = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone())
            .unwrap_or_default();
        let class = self.sources.classes.get(&Key::new("", class));
        let expands = class.is_some_and(|class| class.allow_volume_expansion == Some(true));
        let (Some(wanted), Some(size)) = (request(claim), capacity(&volume)) else {
            return Ok(volume);
        };
        if !expands || !is_bound(claim) || amount(wanted) <= amount(size) {
            return Ok(volume);
        }
        let mut grown = volume.as_ref().clone();
        if let Some(spec) = &mut grown.spec {
            spec.capacity
                .get_or_insert_default()
                .insert("storage".to_owned(), wanted.clone());
        }
        self.sources.volumes.update(&volume, &grown).await?;
        Ok(self.sources.volumes.get(&Key::of(&grown)).unwrap_or(volume))
    }

    async fn bind_any(&self, claim: &PersistentVolumeClaim) -> Result<Next, Error> {
        if claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_ref())
            .is_none()
        {
            self.set_phase(claim, "Pending").await?;
        }
        let Some(claim) = self.sources.claims.get(&Key::of(claim)) else {
            return Ok(None);
        };
        let claim = claim.as_ref();
        let waits = super::waits_for_consumer(claim, &self.sources.classes)
            && !claim.annotations().contains_key(SELECTED_NODE);
        let made = self.sources.volumes.get(&Key::new("", volume_name(claim)));
        let made = made.filter(|volume| {
            let reserved = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            reserved.is_some_and(|reserved| refers_to(reserved, claim))
        });
        let found = made.or_else(|| {
            let best = best(&self.sources.volumes.all(), claim)?;
            let reserved = best.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
            (reserved || !waits).then_some(best)
        });
        if let Some(volume) = found {
            self.bind(claim, &volume, true).await?;
            return Ok(None);
        }
        if waits {
            let message = "waiting for first consumer to be created before binding";
            self.events.normal(claim, "WaitForFirstConsumer", message);
            return Ok(None);
        }
        self.provision(claim).await
    }
}

impl Controller for Claims {
    const NAME: &'static str = "persistentvolumeclaim";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(claim) = self.sources.claims.get(key) else {
            return Ok(None);
        };
        self.protect(&claim).await?;
        let Some(claim) = self
            .sources
            .claims
            .get(key)
            .filter(|claim| !is_terminating(claim.as_ref()))
        else {
            return Ok(None);
        };
        match claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone())
            .filter(|name| !name.is_empty())
        {
            Some(volume) => self.bind_named(&claim, &volume).await,
            None => self.bind_any(&claim).await,
        }
    }
}

/// The reference by which a volume names its claim.
pub(super) fn claim_reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: claim.meta().name.clone(),
        namespace: claim.meta().namespace.clone(),
        uid: claim.meta().uid.clone(),
        resource_version: claim.meta().resource_version.clone(),
        field_path: None,
    }
}
