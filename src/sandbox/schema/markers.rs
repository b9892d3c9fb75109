//! How the lists and maps of Kubernetes' own types merge. The published OpenAPI has these marks; `k8s_openapi`'s
//! schemas have not, so the ones that matter to server-side apply and strategic merge patch are listed here.

use std::collections::HashMap;

use super::{ListType, Merging, Schema};

/// Type, field, keys for server-side apply (empty: the list is atomic there), key for strategic merge patch.
type Keyed = (&'static str, &'static str, &'static [&'static str], &'static str);

const CORE: &str = "io.k8s.api.core.v1.";

#[rustfmt::skip]
const KEYED: &[Keyed] = &[
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "ownerReferences", &["uid"], "uid"),
    ("io.k8s.api.core.v1.PodSpec", "containers", &["name"], "name"),
    ("io.k8s.api.core.v1.PodSpec", "initContainers", &["name"], "name"),
    ("io.k8s.api.core.v1.PodSpec", "ephemeralContainers", &["name"], "name"),
    ("io.k8s.api.core.v1.PodSpec", "volumes", &["name"], "name"),
    ("io.k8s.api.core.v1.PodSpec", "imagePullSecrets", &["name"], "name"),
    ("io.k8s.api.core.v1.PodSpec", "hostAliases", &["ip"], "ip"),
    ("io.k8s.api.core.v1.PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], "topologyKey"),
    ("io.k8s.api.core.v1.PodSpec", "resourceClaims", &["name"], "name"),
    ("io.k8s.api.core.v1.PodSpec", "schedulingGates", &["name"], "name"),
    ("io.k8s.api.core.v1.Container", "ports", &["containerPort", "protocol"], "containerPort"),
    ("io.k8s.api.core.v1.Container", "env", &["name"], "name"),
    ("io.k8s.api.core.v1.Container", "volumeMounts", &["mountPath"], "mountPath"),
    ("io.k8s.api.core.v1.Container", "volumeDevices", &["devicePath"], "devicePath"),
    ("io.k8s.api.core.v1.EphemeralContainer", "ports", &["containerPort", "protocol"], "containerPort"),
    ("io.k8s.api.core.v1.EphemeralContainer", "env", &["name"], "name"),
    ("io.k8s.api.core.v1.EphemeralContainer", "volumeMounts", &["mountPath"], "mountPath"),
    ("io.k8s.api.core.v1.ResourceRequirements", "claims", &["name"], "name"),
    ("io.k8s.api.core.v1.PodStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.core.v1.PodStatus", "podIPs", &["ip"], "ip"),
    ("io.k8s.api.core.v1.PodStatus", "hostIPs", &[], "ip"),
    ("io.k8s.api.core.v1.ServiceSpec", "ports", &["port", "protocol"], "port"),
    ("io.k8s.api.core.v1.ServiceStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.core.v1.ServiceAccount", "secrets", &["name"], "name"),
    ("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.core.v1.NodeStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.core.v1.NodeStatus", "addresses", &["type"], "type"),
    ("io.k8s.api.core.v1.NamespaceStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.core.v1.ReplicationControllerStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.apps.v1.DeploymentStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.apps.v1.ReplicaSetStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.apps.v1.StatefulSetStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.apps.v1.DaemonSetStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.batch.v1.JobStatus", "conditions", &[], "type"),
    ("io.k8s.api.policy.v1.PodDisruptionBudgetStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions", &["type"], "type"),
    ("io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration", "webhooks", &["name"], "name"),
    ("io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration", "webhooks", &["name"], "name"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions", &["type"], "type"),
    ("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus", "conditions", &["type"], "type"),
];

/// Lists of plain values that merge as sets.
const SETS: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers"),
    ("io.k8s.api.core.v1.NodeSpec", "podCIDRs"),
    ("io.k8s.api.discovery.v1.Endpoint", "addresses"),
];

/// Types that server-side apply replaces as a whole.
const ATOMIC_TYPES: &[&str] = &[
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.ObjectReference",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.ObjectFieldSelector",
    "io.k8s.api.core.v1.ResourceFieldSelector",
    "io.k8s.api.core.v1.TypedLocalObjectReference",
    "io.k8s.api.core.v1.TypedObjectReference",
    "io.k8s.api.core.v1.SecretReference",
    "io.k8s.api.core.v1.NodeSelector",
    "io.k8s.api.core.v1.NodeSelectorTerm",
    "io.k8s.api.core.v1.TopologySelectorTerm",
    "io.k8s.api.core.v1.ScopeSelector",
    "io.k8s.api.rbac.v1.RoleRef",
    "io.k8s.api.rbac.v1.Subject",
];

/// Maps of one type that server-side apply replaces as a whole.
const ATOMIC_MAPS: &[(&str, &str)] = &[
    ("io.k8s.api.core.v1.PodSpec", "nodeSelector"),
    ("io.k8s.api.core.v1.ServiceSpec", "selector"),
];

/// Types of which strategic merge patch keeps only the fields named (`$retainKeys`).
const RETAIN_KEYS: &[&str] = &["io.k8s.api.apps.v1.DeploymentStrategy"];

/// Puts the marks onto the types.
pub(super) fn apply(pool: &mut HashMap<String, Schema>) {
    for (name, field, keys, patch_key) in KEYED {
        mark(pool, name, Some(field), |m| {
            m.list = if keys.is_empty() {
                ListType::Atomic
            } else {
                ListType::Map
            };
            m.keys = keys.iter().map(|k| (*k).to_owned()).collect();
            m.patch_key = Some((*patch_key).to_owned());
        });
    }
    for (name, field) in SETS {
        mark(pool, name, Some(field), |m| {
            m.list = ListType::Set;
            m.patch_key = Some(String::new());
        });
    }
    for name in ATOMIC_TYPES {
        mark(pool, name, None, |m| m.atomic_map = true);
    }
    for (name, field) in ATOMIC_MAPS {
        mark(pool, name, Some(field), |m| m.atomic_map = true);
    }
    for name in RETAIN_KEYS {
        mark(pool, name, None, |m| {
            m.retain_keys = true;
        });
    }
    mark(pool, &format!("{CORE}PodSpec"), Some("volumes"), |m| {
        m.retain_keys = true;
    });
}

fn mark(
    pool: &mut HashMap<String, Schema>,
    name: &str,
    field: Option<&str>,
    change: impl FnOnce(&mut Merging),
) {
    let Some(schema) = pool.get_mut(name) else { return };
    let node = match field {
        None => Some(schema),
        Some(field) => schema
            .properties
            .iter_mut()
            .find(|(n, _)| &**n == field)
            .map(|(_, s)| s),
    };
    if let Some(node) = node {
        change(node.merging.get_or_insert_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::schema::definitions;

    #[test]
    fn every_mark_finds_its_field() {
        for (name, field, ..) in KEYED {
            let schema = definitions::get(name).field(field);
            assert!(
                schema.and_then(|s| s.merging.as_ref()).is_some(),
                "{name}.{field}"
            );
        }
        for (name, field) in SETS.iter().chain(ATOMIC_MAPS) {
            assert!(
                definitions::get(name)
                    .field(field)
                    .is_some_and(|s| s.merging.is_some()),
                "{name}.{field}"
            );
        }
        for name in ATOMIC_TYPES.iter().chain(RETAIN_KEYS) {
            assert!(definitions::get(name).merging.is_some(), "{name}");
        }
    }
}
