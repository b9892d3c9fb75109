//! Persistent volumes: claims are bound to volumes that exist or to directories made for them, volumes are given
//! back when their claim is gone, and neither vanishes while it is in use.

mod binding;
mod claims;
mod directories;
mod provision;
mod reclaim;
mod trees;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

pub(super) use binding::amount;
pub(super) use claims::{Claims, Sources};
pub(super) use directories::{Directories, exists};
pub(super) use provision::path_of;
pub(super) use reclaim::Volumes;
pub use trees::{OwnTrees, Trees};

use super::engine::{Informer, Key};

/// The provisioner of directories, and the driver of their snapshots.
pub(super) const PROVISIONER: &str = "sandbox.local/dir";

/// The annotation by which the scheduler tells where a claim's first consumer will run.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Marks the class of claims that name none.
pub(super) const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// The names of the claims a pod uses, those made for its ephemeral volumes too.
pub(super) fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default();
    let claim = |volume: &k8s_openapi::api::core::v1::Volume| {
        if let Some(claim) = &volume.persistent_volume_claim {
            return Some(claim.claim_name.clone());
        }
        volume
            .ephemeral
            .as_ref()
            .map(|_| format!("{}-{}", pod.name_any(), volume.name))
    };
    volumes.iter().filter_map(claim).collect()
}

/// Whether the pod keeps its claims from going: it was given a node. That it has ended does not matter, as it does not to
/// Kubernetes: its controller never looks at the phase.
fn uses_claims(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

/// Whether claim and volume belong to each other for good.
pub(super) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// Whether the claim is bound only when a pod that uses it is being scheduled.
pub(super) fn waits_for_consumer(claim: &PersistentVolumeClaim, classes: &Informer<StorageClass>) -> bool {
    let name = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.clone());
    let class = name.and_then(|name| classes.get(&Key::new("", name)));
    class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
}
