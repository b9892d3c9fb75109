//! Which volume suits which claim, as pure functions. The rules are Kubernetes' own
//! (pkg/controller/volume/persistentvolume).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{Resource, ResourceExt};

use crate::sandbox::controllers::engine::is_terminating;
use crate::sandbox::controllers::pods::selects;

const SUFFIXES: [(&str, f64); 14] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
];

/// A quantity as a number (bytes, for sizes).
pub(in super::super) fn amount(quantity: &Quantity) -> f64 {
    let text = quantity.0.trim();
    for (suffix, factor) in SUFFIXES {
        if let Some(number) = text.strip_suffix(suffix) {
            return number.parse::<f64>().unwrap_or(0.0) * factor;
        }
    }
    let exa = text
        .strip_suffix('E')
        .and_then(|number| number.parse::<f64>().ok());
    exa.map_or_else(|| text.parse().unwrap_or(0.0), |number| number * 1e18)
}

fn storage(of: Option<&BTreeMap<String, Quantity>>) -> Option<&Quantity> {
    of?.get("storage")
}

/// The size the claim asks for.
pub(in super::super) fn request(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    storage(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref())
}

/// The size of a volume.
pub(super) fn capacity(volume: &PersistentVolume) -> Option<&Quantity> {
    storage(volume.spec.as_ref()?.capacity.as_ref())
}

/// Whether the volume's claim reference means this claim. One without a uid was written by hand and means any claim
/// of that name.
pub(super) fn refers_to(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    reference.name.as_ref() == claim.meta().name.as_ref()
        && reference.namespace.as_ref() == claim.meta().namespace.as_ref()
        && reference
            .uid
            .as_ref()
            .is_none_or(|uid| uid.is_empty() || Some(uid) == claim.meta().uid.as_ref())
}

fn mode(mode: Option<&String>) -> &str {
    mode.map_or("Filesystem", String::as_str)
}

/// Whether the claim could be bound to the volume.
fn suits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(spec), Some(wanted)) = (&volume.spec, &claim.spec) else {
        return false;
    };
    let reserved = spec.claim_ref.as_ref();
    let offered = spec.access_modes.as_deref().unwrap_or_default();
    let class = |name: Option<&String>| name.cloned().unwrap_or_default();
    let released = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Released");
    !is_terminating(volume)
        && !released
        && reserved.is_none_or(|reserved| refers_to(reserved, claim))
        && class(spec.storage_class_name.as_ref()) == class(wanted.storage_class_name.as_ref())
        && mode(spec.volume_mode.as_ref()) == mode(wanted.volume_mode.as_ref())
        && wanted
            .access_modes
            .iter()
            .flatten()
            .all(|mode| offered.contains(mode))
        && wanted
            .selector
            .as_ref()
            .is_none_or(|selector| selects(selector, volume.labels()))
        && amount_of(capacity(volume)) >= amount_of(request(claim))
}

fn amount_of(quantity: Option<&Quantity>) -> f64 {
    quantity.map_or(0.0, amount)
}

/// The volume to bind the claim to: one reserved for it, else the smallest that is big enough.
pub(super) fn best(
    volumes: &[Arc<PersistentVolume>],
    claim: &PersistentVolumeClaim,
) -> Option<Arc<PersistentVolume>> {
    let suitable = volumes.iter().filter(|volume| suits(volume, claim));
    let open = |volume: &PersistentVolume| volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none());
    suitable
        .min_by(|a, b| {
            let sizes = amount_of(capacity(a)).partial_cmp(&amount_of(capacity(b)));
            open(a)
                .cmp(&open(b))
                .then(sizes.unwrap_or(Ordering::Equal))
                .then(a.name_any().cmp(&b.name_any()))
        })
        .cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim() -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "c", "namespace": "ns", "uid": "u"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "5Gi"}}},
        }))
        .unwrap()
    }

    fn volume(name: &str, size: &str, reserved: Option<&str>) -> Arc<PersistentVolume> {
        let mut volume = json!({
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": size}},
        });
        if let Some(name) = reserved {
            volume["spec"]["claimRef"] = json!({"namespace": "ns", "name": name});
        }
        Arc::new(serde_json::from_value(volume).unwrap())
    }

    fn best_name(volumes: &[Arc<PersistentVolume>]) -> Option<String> {
        best(volumes, &claim()).map(|volume| volume.name_any())
    }

    #[test]
    fn quantities_compare_across_units() {
        let value = |text: &str| amount(&Quantity(text.to_owned()));
        assert!(value("1Gi") > value("1G"));
        assert!(value("1500M") < value("1.5Gi"));
        assert!((value("100m") - 0.1).abs() < 1e-9);
        assert!((value("2E") - 2e18).abs() < 1.0);
        assert!((value("1e3") - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn the_smallest_volume_that_is_big_enough_is_taken() {
        let volumes = [
            volume("big", "20Gi", None),
            volume("fits", "6Gi", None),
            volume("small", "1Gi", None),
        ];
        assert_eq!(best_name(&volumes).as_deref(), Some("fits"));
        assert_eq!(best_name(&volumes[2..]), None);
    }

    #[test]
    fn a_reserved_volume_comes_first_and_is_nobody_elses() {
        let volumes = [volume("fits", "6Gi", None), volume("kept", "50Gi", Some("c"))];
        assert_eq!(best_name(&volumes).as_deref(), Some("kept"));
        assert_eq!(best_name(&[volume("other", "6Gi", Some("d"))]), None);
    }
}
