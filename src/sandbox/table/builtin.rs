//! Columns of the built-in kinds.

use serde_json::{Value, json};

use super::cells::{age, born, number, or_none, selector};
use super::{Heading, pods, workloads};
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
        (EVENTS_GROUP, _) => (EVENTS, event),
        ("coordination.k8s.io", "Lease") => (
            &[
                Heading("Name", S, 0),
                Heading("Holder", S, 0),
                Heading("Age", S, 0),
            ],
            |o| vec![name(o), text(o, &["spec", "holderIdentity"]), born(o)],
        ),
        ("storage.k8s.io", "StorageClass") => (STORAGE_CLASSES, storage_class),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => (
            &[
                Heading("Name", S, 0),
                Heading("Role", S, 0),
                Heading("Age", S, 0),
                Heading("Users", S, 1),
                Heading("Groups", S, 1),
                Heading("ServiceAccounts", S, 1),
            ],
            binding,
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
        "Event" => (EVENTS, event),
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
            service,
        ),
        "Endpoints" => (
            &[
                Heading("Name", S, 0),
                Heading("Endpoints", S, 0),
                Heading("Age", S, 0),
            ],
            endpoints,
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
            node,
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
            claim,
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
            volume,
        ),
        "ReplicationController" => (REPLICAS, workloads::replica_set),
        _ => PLAIN,
    }
}

fn first<'a>(object: &'a Value, paths: &[&[&str]]) -> &'a str {
    paths
        .iter()
        .map(|p| object::text(object, p))
        .find(|t| !t.is_empty())
        .unwrap_or_default()
}

fn event(o: &Value) -> Vec<Value> {
    let about = if o["involvedObject"].is_object() {
        &o["involvedObject"]
    } else {
        &o["regarding"]
    };
    let shown = format!(
        "{}/{}",
        object::text(about, &["kind"]).to_lowercase(),
        object::text(about, &["name"])
    );
    let begin = first(
        o,
        &[
            &["firstTimestamp"],
            &["deprecatedFirstTimestamp"],
            &["eventTime"],
            &["metadata", "creationTimestamp"],
        ],
    );
    let last = first(
        o,
        &[
            &["series", "lastObservedTime"],
            &["lastTimestamp"],
            &["deprecatedLastTimestamp"],
        ],
    );
    let last = if last.is_empty() { begin } else { last };
    let source = first(
        o,
        &[
            &["source", "component"],
            &["deprecatedSource", "component"],
            &["reportingComponent"],
            &["reportingController"],
        ],
    );
    let message = first(o, &[&["message"], &["note"]]);
    let count = [&o["series"]["count"], &o["count"], &o["deprecatedCount"]]
        .iter()
        .find_map(|c| c.as_i64());
    vec![
        json!(age(last)),
        text(o, &["type"]),
        text(o, &["reason"]),
        json!(shown),
        text(about, &["fieldPath"]),
        json!(source),
        json!(message.trim()),
        json!(age(begin)),
        json!(count.filter(|c| *c > 0).unwrap_or(1)),
        name(o),
    ]
}

fn service(o: &Value) -> Vec<Value> {
    let ports: Vec<String> = object::list(o, &["spec", "ports"])
        .iter()
        .map(|p| {
            let node = p["nodePort"]
                .as_i64()
                .filter(|n| *n > 0)
                .map(|n| format!(":{n}"))
                .unwrap_or_default();
            format!("{}{node}/{}", p["port"], object::text(p, &["protocol"]))
        })
        .collect();
    let external = match object::text(o, &["spec", "type"]) {
        "LoadBalancer" => "<pending>",
        "ExternalName" => object::text(o, &["spec", "externalName"]),
        _ => "<none>",
    };
    vec![
        name(o),
        text(o, &["spec", "type"]),
        or_none(object::text(o, &["spec", "clusterIP"])),
        json!(external),
        or_none(&ports.join(",")),
        born(o),
        selector(&o["spec"]["selector"]),
    ]
}

fn endpoints(o: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in object::list(o, &["subsets"]) {
        for address in object::list(subset, &["addresses"]) {
            let ip = object::text(address, &["ip"]);
            let ports = object::list(subset, &["ports"]);
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|p| format!("{ip}:{}", p["port"])));
        }
    }
    let more = if all.len() > 3 {
        format!(" + {} more...", all.len() - 3)
    } else {
        String::new()
    };
    all.truncate(3);
    vec![name(o), or_none(&format!("{}{more}", all.join(","))), born(o)]
}

fn node(o: &Value) -> Vec<Value> {
    let ready = object::list(o, &["status", "conditions"])
        .iter()
        .find(|c| c["type"] == "Ready");
    let mut status = match ready.map(|c| object::text(c, &["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if o["spec"]["unschedulable"] == json!(true) {
        status.push_str(",SchedulingDisabled");
    }
    let labels = o["metadata"]["labels"].as_object();
    let roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    let address = |kind: &str| {
        let list = object::list(o, &["status", "addresses"]);
        or_none(
            list.iter()
                .find(|a| a["type"] == kind)
                .map_or("", |a| object::text(a, &["address"])),
        )
    };
    let info = |field: &str| or_none(object::text(o, &["status", "nodeInfo", field]));
    vec![
        name(o),
        json!(status),
        or_none(&roles.join(",")),
        born(o),
        text(o, &["status", "nodeInfo", "kubeletVersion"]),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

/// Access modes by their short names.
fn modes(list: &[Value]) -> String {
    let short = list.iter().filter_map(Value::as_str).map(|m| match m {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    });
    short.collect::<Vec<_>>().join(",")
}

fn claim(o: &Value) -> Vec<Value> {
    let bound = !object::text(o, &["spec", "volumeName"]).is_empty();
    let phase = if object::is_deleting(o) {
        "Terminating"
    } else {
        object::text(o, &["status", "phase"])
    };
    let capacity = object::text(o, &["status", "capacity", "storage"]);
    vec![
        name(o),
        json!(phase),
        text(o, &["spec", "volumeName"]),
        json!(if bound { capacity } else { "" }),
        json!(if bound {
            modes(object::list(o, &["status", "accessModes"]))
        } else {
            String::new()
        }),
        text(o, &["spec", "storageClassName"]),
        json!("<unset>"),
        born(o),
        text(o, &["spec", "volumeMode"]),
    ]
}

fn volume(o: &Value) -> Vec<Value> {
    let claim = &o["spec"]["claimRef"];
    let claim = if claim.is_object() {
        format!(
            "{}/{}",
            object::text(claim, &["namespace"]),
            object::text(claim, &["name"])
        )
    } else {
        String::new()
    };
    let phase = if object::is_deleting(o) {
        "Terminating"
    } else {
        object::text(o, &["status", "phase"])
    };
    vec![
        name(o),
        text(o, &["spec", "capacity", "storage"]),
        json!(modes(object::list(o, &["spec", "accessModes"]))),
        text(o, &["spec", "persistentVolumeReclaimPolicy"]),
        json!(phase),
        json!(claim),
        text(o, &["spec", "storageClassName"]),
        json!("<unset>"),
        text(o, &["status", "reason"]),
        born(o),
        text(o, &["spec", "volumeMode"]),
    ]
}

fn storage_class(o: &Value) -> Vec<Value> {
    let mark = object::text(
        o,
        &[
            "metadata",
            "annotations",
            "storageclass.kubernetes.io/is-default-class",
        ],
    );
    let own = object::name(o);
    let shown = if mark == "true" {
        format!("{own} (default)")
    } else {
        own.to_owned()
    };
    vec![
        json!(shown),
        text(o, &["provisioner"]),
        text(o, &["reclaimPolicy"]),
        text(o, &["volumeBindingMode"]),
        json!(o["allowVolumeExpansion"] == json!(true)),
        born(o),
    ]
}

fn binding(o: &Value) -> Vec<Value> {
    let role = format!(
        "{}/{}",
        object::text(o, &["roleRef", "kind"]),
        object::text(o, &["roleRef", "name"])
    );
    let subjects = |kind: &str| {
        let list = object::list(o, &["subjects"])
            .iter()
            .filter(|s| s["kind"] == kind);
        let names: Vec<String> = list
            .map(|s| match object::text(s, &["namespace"]) {
                "" => object::text(s, &["name"]).to_owned(),
                namespace => format!("{namespace}/{}", object::text(s, &["name"])),
            })
            .collect();
        json!(names.join(", "))
    };
    vec![
        name(o),
        json!(role),
        born(o),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
