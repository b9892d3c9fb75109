//! Columns of the built-in kinds.

use serde_json::{Value, json};

use super::cells::{born, number};
use super::{Heading, lines, pods, workloads};
use crate::sandbox::kinds::{EVENTS_GROUP, Resource};
use crate::sandbox::object;

type Cells = fn(&Value) -> Vec<Value>;

const S: &str = "string";
const I: &str = "integer";

fn text(object: &Value, path: &[&str]) -> Value {
    json!(object::text(object, path))
}

fn name(object: &Value) -> Value {
    json!(object::name(object))
}

/// Headings and cells of a kind.
pub(super) fn columns(resource: &Resource) -> (&'static [Heading], Cells) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", kind) => core(kind),
        ("apps" | "batch", kind) => workload(kind),
        (EVENTS_GROUP, _) => (EVENTS, lines::event),
        ("coordination.k8s.io", "Lease") => (
            &[
                Heading("Name", S, 0),
                Heading("Holder", S, 0),
                Heading("Age", S, 0),
            ],
            |o| vec![name(o), text(o, &["spec", "holderIdentity"]), born(o)],
        ),
        ("storage.k8s.io", "StorageClass") => (STORAGE_CLASSES, lines::storage_class),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => (
            &[
                Heading("Name", S, 0),
                Heading("Role", S, 0),
                Heading("Age", S, 0),
                Heading("Users", S, 1),
                Heading("Groups", S, 1),
                Heading("ServiceAccounts", S, 1),
            ],
            lines::binding,
        ),
        ("rbac.authorization.k8s.io", _) => (&[Heading("Name", S, 0), Heading("Created At", S, 0)], |o| {
            vec![name(o), text(o, &["metadata", "creationTimestamp"])]
        }),
        ("apiextensions.k8s.io", _) => (&[Heading("Name", S, 0), Heading("Created At", S, 0)], |o| {
            vec![name(o), text(o, &["metadata", "creationTimestamp"])]
        }),
        ("admissionregistration.k8s.io", _) => (
            &[
                Heading("Name", S, 0),
                Heading("Webhooks", I, 0),
                Heading("Age", S, 0),
            ],
            |o| vec![name(o), json!(object::list(o, &["webhooks"]).len()), born(o)],
        ),
        _ => PLAIN,
    }
}

const PLAIN: (&[Heading], Cells) = (&[Heading("Name", S, 0), Heading("Age", S, 0)], |object| {
    vec![name(object), born(object)]
});

fn workload(kind: &str) -> (&'static [Heading], Cells) {
    match kind {
        "Deployment" => (
            &[
                Heading("Name", S, 0),
                Heading("Ready", S, 0),
                Heading("Up-to-date", I, 0),
                Heading("Available", I, 0),
                Heading("Age", S, 0),
                Heading("Containers", S, 1),
                Heading("Images", S, 1),
                Heading("Selector", S, 1),
            ],
            workloads::deployment,
        ),
        "StatefulSet" => (
            &[
                Heading("Name", S, 0),
                Heading("Ready", S, 0),
                Heading("Age", S, 0),
                Heading("Containers", S, 1),
                Heading("Images", S, 1),
            ],
            workloads::stateful_set,
        ),
        "DaemonSet" => (
            &[
                Heading("Name", S, 0),
                Heading("Desired", I, 0),
                Heading("Current", I, 0),
                Heading("Ready", I, 0),
                Heading("Up-to-date", I, 0),
                Heading("Available", I, 0),
                Heading("Node Selector", S, 0),
                Heading("Age", S, 0),
                Heading("Containers", S, 1),
                Heading("Images", S, 1),
                Heading("Selector", S, 1),
            ],
            workloads::daemon_set,
        ),
        "ReplicaSet" => (REPLICAS, workloads::replica_set),
        "Job" => (
            &[
                Heading("Name", S, 0),
                Heading("Status", S, 0),
                Heading("Completions", S, 0),
                Heading("Duration", S, 0),
                Heading("Age", S, 0),
                Heading("Containers", S, 1),
                Heading("Images", S, 1),
                Heading("Selector", S, 1),
            ],
            workloads::job,
        ),
        "CronJob" => (
            &[
                Heading("Name", S, 0),
                Heading("Schedule", S, 0),
                Heading("Timezone", S, 0),
                Heading("Suspend", S, 0),
                Heading("Active", I, 0),
                Heading("Last Schedule", S, 0),
                Heading("Age", S, 0),
                Heading("Containers", S, 1),
                Heading("Images", S, 1),
                Heading("Selector", S, 1),
            ],
            workloads::cron_job,
        ),
        "ControllerRevision" => (
            &[
                Heading("Name", S, 0),
                Heading("Controller", S, 0),
                Heading("Revision", S, 0),
                Heading("Age", S, 0),
            ],
            |o| {
                let owner = &o["metadata"]["ownerReferences"][0];
                let kind = object::text(owner, &["kind"]).to_lowercase();
                let shown = format!("{kind}.apps/{}", object::text(owner, &["name"]));
                vec![name(o), json!(shown), json!(number(o, &["revision"])), born(o)]
            },
        ),
        _ => PLAIN,
    }
}

const REPLICAS: &[Heading] = &[
    Heading("Name", S, 0),
    Heading("Desired", I, 0),
    Heading("Current", I, 0),
    Heading("Ready", I, 0),
    Heading("Age", S, 0),
    Heading("Containers", S, 1),
    Heading("Images", S, 1),
    Heading("Selector", S, 1),
];

const EVENTS: &[Heading] = &[
    Heading("Last Seen", S, 0),
    Heading("Type", S, 0),
    Heading("Reason", S, 0),
    Heading("Object", S, 0),
    Heading("Subobject", S, 1),
    Heading("Source", S, 1),
    Heading("Message", S, 0),
    Heading("First Seen", S, 1),
    Heading("Count", S, 1),
    Heading("Name", S, 1),
];

const STORAGE_CLASSES: &[Heading] = &[
    Heading("Name", S, 0),
    Heading("Provisioner", S, 0),
    Heading("ReclaimPolicy", S, 0),
    Heading("VolumeBindingMode", S, 0),
    Heading("AllowVolumeExpansion", S, 0),
    Heading("Age", S, 0),
];

fn core(kind: &str) -> (&'static [Heading], Cells) {
    match kind {
        "Pod" => (
            &[
                Heading("Name", S, 0),
                Heading("Ready", S, 0),
                Heading("Status", S, 0),
                Heading("Restarts", S, 0),
                Heading("Age", S, 0),
                Heading("IP", S, 1),
                Heading("Node", S, 1),
                Heading("Nominated Node", S, 1),
                Heading("Readiness Gates", S, 1),
            ],
            pods::cells,
        ),
        "ConfigMap" => (
            &[Heading("Name", S, 0), Heading("Data", S, 0), Heading("Age", S, 0)],
            |o| {
                let count = |field: &str| o[field].as_object().map_or(0, serde_json::Map::len);
                vec![name(o), json!(count("data") + count("binaryData")), born(o)]
            },
        ),
        "Secret" => (
            &[
                Heading("Name", S, 0),
                Heading("Type", S, 0),
                Heading("Data", I, 0),
                Heading("Age", S, 0),
            ],
            |o| {
                let count = o["data"].as_object().map_or(0, serde_json::Map::len);
                vec![name(o), text(o, &["type"]), json!(count), born(o)]
            },
        ),
        "ServiceAccount" => (
            &[
                Heading("Name", S, 0),
                Heading("Secrets", S, 0),
                Heading("Age", S, 0),
            ],
            |o| vec![name(o), json!(object::list(o, &["secrets"]).len()), born(o)],
        ),
        "Namespace" => (
            &[
                Heading("Name", S, 0),
                Heading("Status", S, 0),
                Heading("Age", S, 0),
            ],
            |o| vec![name(o), text(o, &["status", "phase"]), born(o)],
        ),
        "Event" => (EVENTS, lines::event),
        "Service" => (
            &[
                Heading("Name", S, 0),
                Heading("Type", S, 0),
                Heading("Cluster-IP", S, 0),
                Heading("External-IP", S, 0),
                Heading("Port(s)", S, 0),
                Heading("Age", S, 0),
                Heading("Selector", S, 1),
            ],
            lines::service,
        ),
        "Endpoints" => (
            &[
                Heading("Name", S, 0),
                Heading("Endpoints", S, 0),
                Heading("Age", S, 0),
            ],
            lines::endpoints,
        ),
        "EndpointSlice" => (
            &[
                Heading("Name", S, 0),
                Heading("AddressType", S, 0),
                Heading("Ports", S, 0),
                Heading("Endpoints", S, 0),
                Heading("Age", S, 0),
            ],
            lines::endpoint_slice,
        ),
        "Node" => (
            &[
                Heading("Name", S, 0),
                Heading("Status", S, 0),
                Heading("Roles", S, 0),
                Heading("Age", S, 0),
                Heading("Version", S, 0),
                Heading("Internal-IP", S, 1),
                Heading("External-IP", S, 1),
                Heading("OS-Image", S, 1),
                Heading("Kernel-Version", S, 1),
                Heading("Container-Runtime", S, 1),
            ],
            lines::node,
        ),
        "PersistentVolumeClaim" => (
            &[
                Heading("Name", S, 0),
                Heading("Status", S, 0),
                Heading("Volume", S, 0),
                Heading("Capacity", S, 0),
                Heading("Access Modes", S, 0),
                Heading("StorageClass", S, 0),
                Heading("VolumeAttributesClass", S, 0),
                Heading("Age", S, 0),
                Heading("VolumeMode", S, 1),
            ],
            lines::claim,
        ),
        "PersistentVolume" => (
            &[
                Heading("Name", S, 0),
                Heading("Capacity", S, 0),
                Heading("Access Modes", S, 0),
                Heading("Reclaim Policy", S, 0),
                Heading("Status", S, 0),
                Heading("Claim", S, 0),
                Heading("StorageClass", S, 0),
                Heading("VolumeAttributesClass", S, 0),
                Heading("Reason", S, 0),
                Heading("Age", S, 0),
                Heading("VolumeMode", S, 1),
            ],
            lines::volume,
        ),
        "ReplicationController" => (REPLICAS, workloads::replica_set),
        _ => PLAIN,
    }
}
