//! Volumes made for claims: new directories, empty or copied from another volume or a snapshot.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, TypedObjectReference, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::binding::{amount, request};
use super::claims::{Claims, claim_reference};
use super::{PROVISIONER, SELECTED_NODE, directories, is_bound};
use crate::sandbox::controllers::engine::{Error, Key, Next};
use crate::sandbox::controllers::snapshots::types::GROUP as SNAPSHOT_GROUP;

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";

/// What a new volume starts with.
enum Content {
    Nothing,
    CopyOf(PathBuf),
    /// Somebody else fills claims of this kind.
    Foreign,
    /// What it is to be made from is not there or not ready yet.
    NotYet(String),
}

impl Claims {
    /// Makes the claim's volume, or says why that has to wait.
    pub(super) async fn provision(&self, claim: &PersistentVolumeClaim) -> Result<Next, Error> {
        let name = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone())
            .unwrap_or_default();
        if name.is_empty() {
            let message = "no persistent volumes available for this claim and no storage class is set";
            self.events.normal(claim, "FailedBinding", message);
            return Ok(None);
        }
        let Some(class) = self.sources.classes.get(&Key::new("", &name)) else {
            let message = format!("storageclass.storage.k8s.io {name:?} not found");
            self.events.warning(claim, "ProvisioningFailed", message);
            return Ok(None);
        };
        if class.provisioner != PROVISIONER {
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{}' or manually by the \
                 system administrator.",
                class.provisioner
            );
            self.events.normal(claim, "ExternalProvisioning", message);
            return Ok(None);
        }
        let path = self.directories.volume(&volume_name(claim));
        match self.content(claim) {
            Content::Foreign => return Ok(None),
            Content::NotYet(message) => {
                self.events.warning(claim, "ProvisioningFailed", message);
                return Ok(None);
            }
            Content::Nothing => directories::make(&path).await?,
            Content::CopyOf(from) => {
                if let Err(error) = self.directories.copy(&from, &path).await {
                    let message = format!("failed to provision volume with StorageClass {name:?}: {error}");
                    self.events.warning(claim, "ProvisioningFailed", message);
                    return Err(error);
                }
            }
        }
        let volume = match self
            .sources
            .volumes
            .create(&new_volume(claim, &class, &path))
            .await
        {
            Err(error) if error.is_conflict() => {
                let key = Key::new("", volume_name(claim));
                self.sources.volumes.fetch(&key).await?.ok_or(error)?
            }
            outcome => outcome?,
        };
        let message = format!("Successfully provisioned volume {}", volume.name_any());
        self.events.normal(claim, "ProvisioningSucceeded", message);
        let mut noted = claim.clone();
        noted
            .annotations_mut()
            .insert(STORAGE_PROVISIONER.to_owned(), PROVISIONER.to_owned());
        self.sources.claims.update(claim, &noted).await?;
        if let Some(claim) = self.sources.claims.get(&Key::of(claim)) {
            self.bind(&claim, &volume, true).await?;
        }
        Ok(None)
    }

    /// What the claim's new volume is to start with.
    fn content(&self, claim: &PersistentVolumeClaim) -> Content {
        let Some(source) = source_of(claim) else {
            return Content::Nothing;
        };
        let namespace = source
            .namespace
            .clone()
            .or_else(|| claim.namespace())
            .unwrap_or_default();
        let key = Key::new(namespace, &source.name);
        let group = source.api_group.as_deref().unwrap_or_default();
        match (group, source.kind.as_str()) {
            ("", "PersistentVolumeClaim") => self.clone_of(claim, &key),
            (SNAPSHOT_GROUP, "VolumeSnapshot") => self.restore_of(claim, &key),
            _ => Content::Foreign,
        }
    }

    fn clone_of(&self, claim: &PersistentVolumeClaim, key: &Key) -> Content {
        let Some(origin) = self.sources.claims.get(key) else {
            return Content::NotYet(format!("source persistentvolumeclaim {:?} not found", key.name));
        };
        if request(claim).map_or(0.0, amount) < request(&origin).map_or(0.0, amount) {
            return Content::NotYet(format!(
                "the claim asks for less than its source {:?} has",
                key.name
            ));
        }
        let volume = origin.spec.as_ref().and_then(|spec| spec.volume_name.clone());
        let volume = volume.and_then(|volume| self.sources.volumes.get(&Key::new("", volume)));
        match volume
            .filter(|_| is_bound(&origin))
            .and_then(|volume| path_of(&volume))
        {
            Some(path) => Content::CopyOf(path),
            None => Content::NotYet(format!(
                "source persistentvolumeclaim {:?} is not bound",
                key.name
            )),
        }
    }

    fn restore_of(&self, claim: &PersistentVolumeClaim, key: &Key) -> Content {
        let Some(snapshot) = self.sources.snapshots.get(key) else {
            return Content::NotYet(format!(
                "error getting snapshot {} from api server: not found",
                key.name
            ));
        };
        let status = snapshot.status.clone().unwrap_or_default();
        if status.ready_to_use != Some(true) {
            return Content::NotYet(format!("snapshot {} is not Ready", key.name));
        }
        if request(claim).map_or(0.0, amount) < status.restore_size.as_ref().map_or(0.0, amount) {
            return Content::NotYet(format!(
                "the claim asks for less than snapshot {} holds",
                key.name
            ));
        }
        let content = status.bound_volume_snapshot_content_name.unwrap_or_default();
        let content = self.sources.contents.get(&Key::new("", content));
        let handle = content
            .filter(|content| content.spec.driver == PROVISIONER)
            .and_then(|content| content.status.as_ref()?.snapshot_handle.clone());
        match handle {
            Some(handle) => Content::CopyOf(self.directories.snapshot(&handle)),
            None => Content::Foreign,
        }
    }
}

/// What the claim is to be made from, by either of the two fields.
fn source_of(claim: &PersistentVolumeClaim) -> Option<TypedObjectReference> {
    let spec = claim.spec.as_ref()?;
    spec.data_source_ref.clone().or_else(|| {
        let source = spec.data_source.clone()?;
        Some(TypedObjectReference {
            api_group: source.api_group,
            kind: source.kind,
            name: source.name,
            namespace: None,
        })
    })
}

/// The directory of a volume that is one.
pub(in super::super) fn path_of(volume: &PersistentVolume) -> Option<PathBuf> {
    let spec = volume.spec.as_ref()?;
    let host = spec.host_path.as_ref().map(|source| source.path.clone());
    host.or_else(|| spec.local.as_ref().map(|source| source.path.clone()))
        .map(PathBuf::from)
}

/// The name of the volume made for a claim.
pub(super) fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.uid().unwrap_or_default())
}

fn new_volume(claim: &PersistentVolumeClaim, class: &StorageClass, path: &Path) -> PersistentVolume {
    let spec = claim.spec.clone().unwrap_or_default();
    let node = claim
        .annotations()
        .get(SELECTED_NODE)
        .map(|node| VolumeNodeAffinity {
            required: Some(NodeSelector {
                node_selector_terms: vec![NodeSelectorTerm {
                    match_expressions: Some(vec![NodeSelectorRequirement {
                        key: "kubernetes.io/hostname".to_owned(),
                        operator: "In".to_owned(),
                        values: Some(vec![node.clone()]),
                    }]),
                    match_fields: None,
                }],
            }),
        });
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(volume_name(claim)),
            annotations: Some([(PROVISIONED_BY.to_owned(), PROVISIONER.to_owned())].into()),
            finalizers: Some(vec![super::reclaim::PROTECTION.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: spec.resources.and_then(|resources| resources.requests),
            claim_ref: Some(claim_reference(claim)),
            host_path: Some(HostPathVolumeSource {
                path: path.display().to_string(),
                type_: Some("Directory".to_owned()),
            }),
            mount_options: class.mount_options.clone(),
            node_affinity: node,
            persistent_volume_reclaim_policy: Some(
                class
                    .reclaim_policy
                    .clone()
                    .unwrap_or_else(|| "Delete".to_owned()),
            ),
            storage_class_name: class.meta().name.clone(),
            volume_mode: Some(spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned())),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}
