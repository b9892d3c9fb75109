//! VolumeSnapshots of directories: a picture is a copy, kept until its VolumeSnapshot goes (or longer, if the class
//! says `Retain`). This file looks after the VolumeSnapshots, [`contents`] after what they are bound to.

mod build;
mod contents;
pub(super) mod types;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};

use build::{content_name, new_content, size};
pub(super) use contents::Contents;
use types::{
    GROUP, SnapshotError, VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent, VolumeSnapshotStatus,
};

use super::engine::{Controller, Error, Informer, Key, Next, Queue, Recorder, is_terminating, now};
use super::volumes::{PROVISIONER, is_bound};

const BOUND_PROTECTION: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
const SOURCE_PROTECTION: &str = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
const CONTENT_PROTECTION: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
/// Marks the class that is taken where none is named.
pub(super) const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";

/// What the snapshot controllers look at and write.
#[derive(Clone)]
pub(super) struct Sources {
    /// What users ask for.
    pub(super) snapshots: Arc<Informer<VolumeSnapshot>>,
    /// What they are bound to.
    pub(super) contents: Arc<Informer<VolumeSnapshotContent>>,
    /// How it is made.
    pub(super) classes: Arc<Informer<VolumeSnapshotClass>>,
    /// What pictures are taken of.
    pub(super) claims: Arc<Informer<PersistentVolumeClaim>>,
    /// Where that is.
    pub(super) volumes: Arc<Informer<PersistentVolume>>,
}

/// The controller of VolumeSnapshots.
pub(super) struct Snapshots {
    sources: Sources,
    events: Recorder,
}

impl Snapshots {
    /// Listens to snapshots, contents, classes and claims; returns the controller and its queue.
    pub(super) fn new(sources: &Sources, events: &Recorder) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        sources.snapshots.on_change(move |_, new| {
            if let Some(snapshot) = new {
                inbox.add(Key::of(snapshot.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        sources.contents.on_change(move |old, new| {
            if let Some(content) = new.or(old) {
                let reference = &content.spec.volume_snapshot_ref;
                inbox.add(Key::new(
                    reference.namespace.clone().unwrap_or_default(),
                    reference.name.clone().unwrap_or_default(),
                ));
            }
        });
        let (inbox, snapshots) = (Arc::clone(&queue), Arc::clone(&sources.snapshots));
        sources.claims.on_change(move |old, new| {
            let Some(claim) = new.or(old) else { return };
            for snapshot in snapshots.in_namespace(&claim.namespace().unwrap_or_default()) {
                // A claim that is being made from the snapshot holds it back, too.
                let of = snapshot.spec.source.persistent_volume_claim_name.as_ref();
                if is_terminating(snapshot.as_ref())
                    || (of == Some(&claim.name_any()) && !is_ready(&snapshot))
                {
                    inbox.add(Key::of(snapshot.as_ref()));
                }
            }
        });
        let (inbox, snapshots) = (Arc::clone(&queue), Arc::clone(&sources.snapshots));
        sources.classes.on_change(move |_, _| {
            for snapshot in snapshots.all().iter().filter(|snapshot| !is_ready(snapshot)) {
                inbox.add(Key::of(snapshot.as_ref()));
            }
        });
        let controller = Self {
            sources: sources.clone(),
            events: events.of("snapshot-controller"),
        };
        (controller, queue)
    }

    fn class(&self, snapshot: &VolumeSnapshot) -> Result<Arc<VolumeSnapshotClass>, String> {
        if let Some(name) = &snapshot.spec.volume_snapshot_class_name {
            let class = self.sources.classes.get(&Key::new("", name));
            return class.ok_or_else(|| {
                format!("failed to retrieve snapshot class {name}: volumesnapshotclass.{GROUP} \"{name}\" not found")
            });
        }
        let classes = self.sources.classes.all();
        let is_default = |class: &&Arc<VolumeSnapshotClass>| {
            class
                .annotations()
                .get(DEFAULT_CLASS)
                .is_some_and(|value| value == "true")
        };
        classes
            .iter()
            .find(is_default)
            .cloned()
            .ok_or_else(|| "cannot find default snapshot class".to_owned())
    }

    /// The name of the volume a new picture is to be taken of, and that volume's size.
    fn volume(&self, snapshot: &VolumeSnapshot, claim: &str) -> Result<Arc<PersistentVolume>, String> {
        let key = Key::new(snapshot.namespace().unwrap_or_default(), claim);
        let found = self.sources.claims.get(&key);
        let bound = found.ok_or_else(|| format!("persistentvolumeclaim \"{claim}\" not found"))?;
        if !is_bound(&bound) {
            return Err(format!(
                "the PVC {claim} is not yet bound to a PV, will not attempt to take a snapshot"
            ));
        }
        let name = bound
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone())
            .unwrap_or_default();
        let volume = self.sources.volumes.get(&Key::new("", &name));
        volume.ok_or_else(|| format!("persistentvolume \"{name}\" not found"))
    }

    async fn make_content(&self, snapshot: &VolumeSnapshot, claim: &str) -> Result<(), Error> {
        let prepared = self
            .class(snapshot)
            .and_then(|class| Ok((class, self.volume(snapshot, claim)?)));
        let (class, volume) = match prepared {
            Ok(prepared) => prepared,
            Err(message) => {
                let message = format!("Failed to create snapshot content with error {message}");
                return self
                    .fail(snapshot, "SnapshotContentCreationFailed", message)
                    .await;
            }
        };
        if snapshot.spec.volume_snapshot_class_name.is_none() {
            let mut classed = snapshot.clone();
            classed.spec.volume_snapshot_class_name = class.meta().name.clone();
            self.sources.snapshots.update(snapshot, &classed).await?;
        }
        let message = format!(
            "Waiting for a snapshot {}/{} to be created by the CSI driver.",
            snapshot.namespace().unwrap_or_default(),
            snapshot.name_any()
        );
        match self
            .sources
            .contents
            .create(&new_content(snapshot, &class, &volume))
            .await
        {
            Ok(_) => self.events.normal(snapshot, "CreatingSnapshot", message),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn fail(&self, snapshot: &VolumeSnapshot, reason: &str, message: String) -> Result<(), Error> {
        let mut failed = snapshot.clone();
        let status = failed.status.get_or_insert_default();
        status.ready_to_use = Some(false);
        let known = status.error.as_ref().and_then(|error| error.message.as_ref());
        if known != Some(&message) {
            status.error = Some(SnapshotError {
                message: Some(message.clone()),
                time: Some(now()),
            });
            self.events.warning(snapshot, reason, message);
        }
        self.sources.snapshots.update_status(snapshot, &failed).await
    }

    /// Takes over what the content says.
    async fn mirror(&self, snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent) -> Result<(), Error> {
        let told = content.status.clone().unwrap_or_default();
        let mut next = snapshot.clone();
        let time = told
            .creation_time
            .and_then(|time| jiff::Timestamp::from_nanosecond(time.into()).ok());
        let time = time.and_then(|time| jiff::Timestamp::from_second(time.as_second()).ok());
        next.status = Some(VolumeSnapshotStatus {
            bound_volume_snapshot_content_name: content.meta().name.clone(),
            creation_time: time.map(Time),
            ready_to_use: Some(told.ready_to_use.unwrap_or(false)),
            restore_size: told.restore_size.map(size),
            error: told.error,
        });
        self.sources.snapshots.update_status(snapshot, &next).await?;
        if is_ready(&next) && !is_ready(snapshot) {
            let message = format!(
                "Snapshot {}/{} is ready to use.",
                snapshot.namespace().unwrap_or_default(),
                snapshot.name_any()
            );
            self.events.normal(snapshot, "SnapshotReady", message);
        }
        Ok(())
    }

    /// A picture that exists already and is named by the user.
    async fn bind_named(&self, snapshot: &VolumeSnapshot, name: &str) -> Result<(), Error> {
        let Some(content) = self.sources.contents.get(&Key::new("", name)) else {
            let message = format!("VolumeSnapshotContent {name} is missing");
            return self.fail(snapshot, "SnapshotContentMissing", message).await;
        };
        let reference = &content.spec.volume_snapshot_ref;
        let ours = reference.name == snapshot.meta().name
            && reference.namespace == snapshot.meta().namespace
            && reference
                .uid
                .as_ref()
                .is_none_or(|uid| Some(uid) == snapshot.meta().uid.as_ref());
        if !ours {
            let message = format!("VolumeSnapshotContent {name} is bound to a different snapshot");
            return self.fail(snapshot, "SnapshotContentMisbound", message).await;
        }
        if reference.uid.is_none() {
            let mut bound = content.as_ref().clone();
            bound.spec.volume_snapshot_ref.uid = snapshot.uid();
            self.sources.contents.update(&content, &bound).await?;
        }
        self.mirror(snapshot, &content).await
    }

    /// The snapshot goes: first its content (if that is to go), and not while a claim is being made from it.
    async fn let_go(&self, snapshot: &VolumeSnapshot) -> Result<(), Error> {
        let claims = self
            .sources
            .claims
            .in_namespace(&snapshot.namespace().unwrap_or_default());
        let restoring = |claim: &&Arc<PersistentVolumeClaim>| {
            let spec = claim.spec.as_ref();
            let source = spec.and_then(|spec| spec.data_source.as_ref());
            !is_bound(claim)
                && !is_terminating(claim.as_ref())
                && source.is_some_and(|source| {
                    source.kind == "VolumeSnapshot" && source.name == snapshot.name_any()
                })
        };
        if is_ready(snapshot) && claims.iter().any(|claim| restoring(&claim)) {
            return Ok(());
        }
        let bound = |content: &Arc<VolumeSnapshotContent>| {
            content.spec.volume_snapshot_ref.uid.is_some()
                && content.spec.volume_snapshot_ref.uid == snapshot.uid()
        };
        if let Some(content) = self
            .sources
            .contents
            .all()
            .into_iter()
            .find(|content| bound(content))
        {
            if content.spec.deletion_policy == "Delete" {
                if !is_terminating(content.as_ref()) {
                    self.sources.contents.delete(&content, None).await?;
                }
                if self.sources.contents.get(&Key::of(content.as_ref())).is_some() {
                    return Ok(());
                }
            } else {
                let mut free = content.as_ref().clone();
                free.finalizers_mut()
                    .retain(|finalizer| finalizer != CONTENT_PROTECTION);
                self.sources.contents.update(&content, &free).await?;
            }
        }
        let mut free = snapshot.clone();
        free.finalizers_mut()
            .retain(|finalizer| finalizer != BOUND_PROTECTION && finalizer != SOURCE_PROTECTION);
        self.sources.snapshots.update(snapshot, &free).await
    }
}

impl Controller for Snapshots {
    const NAME: &'static str = "volumesnapshot";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(snapshot) = self.sources.snapshots.get(key) else {
            return Ok(None);
        };
        if is_terminating(snapshot.as_ref()) {
            self.let_go(&snapshot).await?;
            return Ok(None);
        }
        let mut guarded = snapshot.as_ref().clone();
        for finalizer in [SOURCE_PROTECTION, BOUND_PROTECTION] {
            if !guarded.finalizers().iter().any(|known| known == finalizer) {
                guarded.finalizers_mut().push(finalizer.to_owned());
            }
        }
        self.sources.snapshots.update(&snapshot, &guarded).await?;
        let Some(snapshot) = self.sources.snapshots.get(key) else {
            return Ok(None);
        };
        if let Some(name) = &snapshot.spec.source.volume_snapshot_content_name {
            self.bind_named(&snapshot, name).await?;
            return Ok(None);
        }
        let Some(claim) = snapshot.spec.source.persistent_volume_claim_name.clone() else {
            let message = "one of persistentVolumeClaimName and volumeSnapshotContentName is needed";
            self.fail(&snapshot, "SnapshotValidationError", message.to_owned())
                .await?;
            return Ok(None);
        };
        match self.sources.contents.get(&Key::new("", content_name(&snapshot))) {
            Some(content) => self.mirror(&snapshot, &content).await?,
            None if is_ready(&snapshot) => {
                let message = "VolumeSnapshotContent is missing".to_owned();
                self.fail(&snapshot, "SnapshotContentMissing", message).await?;
            }
            None => self.make_content(&snapshot, &claim).await?,
        }
        Ok(None)
    }
}

fn is_ready(snapshot: &VolumeSnapshot) -> bool {
    snapshot.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
}

/// Whether the content is kept by this snapshotter.
fn is_ours(content: &VolumeSnapshotContent) -> bool {
    content.spec.driver == PROVISIONER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crds_have_what_kubectl_shows() {
        let crds = types::crds();
        let names: Vec<_> = crds
            .iter()
            .map(|crd| crd.metadata.name.clone().unwrap_or_default())
            .collect();
        assert_eq!(
            names,
            [
                "volumesnapshots.snapshot.storage.k8s.io",
                "volumesnapshotcontents.snapshot.storage.k8s.io",
                "volumesnapshotclasses.snapshot.storage.k8s.io",
            ]
        );
        for crd in &crds {
            let version = &crd.spec.versions[0];
            assert!(
                version
                    .additional_printer_columns
                    .as_ref()
                    .is_some_and(|columns| columns.len() >= 3)
            );
            let schema = serde_json::to_string(&version.schema).unwrap_or_default();
            assert!(
                schema.contains("deletionPolicy") || schema.contains("persistentVolumeClaimName"),
                "{schema}"
            );
        }
    }
}
