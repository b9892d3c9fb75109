//! Lines of the built-in kinds that are neither pods nor workloads.

use serde_json::{Value, json};

use super::cells::{age, born, or_none, selector};
use crate::sandbox::object;

fn text(object: &Value, path: &[&str]) -> Value {
    json!(object::text(object, path))
}

fn name(object: &Value) -> Value {
    json!(object::name(object))
}

fn first<'a>(object: &'a Value, paths: &[&[&str]]) -> &'a str {
    paths
        .iter()
        .map(|p| object::text(object, p))
        .find(|t| !t.is_empty())
        .unwrap_or_default()
}

/// Cells of an Event, of either group.
pub(super) fn event(o: &Value) -> Vec<Value> {
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

/// Cells of a Service.
pub(super) fn service(o: &Value) -> Vec<Value> {
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

/// Cells of Endpoints.
pub(super) fn endpoints(o: &Value) -> Vec<Value> {
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
    vec![name(o), first_three(all), born(o)]
}

/// Cells of an EndpointSlice.
pub(super) fn endpoint_slice(o: &Value) -> Vec<Value> {
    let ports: Vec<String> = object::list(o, &["ports"])
        .iter()
        .map(|p| p["port"].to_string())
        .collect();
    let addresses = object::list(o, &["endpoints"])
        .iter()
        .flat_map(|e| object::list(e, &["addresses"]))
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    vec![
        name(o),
        text(o, &["addressType"]),
        first_three(ports),
        first_three(addresses),
        born(o),
    ]
}

fn first_three(mut all: Vec<String>) -> Value {
    let more = match all.len().saturating_sub(3) {
        0 => String::new(),
        n => format!(" + {n} more..."),
    };
    all.truncate(3);
    or_none(&format!("{}{more}", all.join(",")))
}

/// Cells of a Node.
pub(super) fn node(o: &Value) -> Vec<Value> {
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

/// Cells of a PersistentVolumeClaim.
pub(super) fn claim(o: &Value) -> Vec<Value> {
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

/// Cells of a PersistentVolume.
pub(super) fn volume(o: &Value) -> Vec<Value> {
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

/// Cells of a StorageClass.
pub(super) fn storage_class(o: &Value) -> Vec<Value> {
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

/// Cells of a RoleBinding or ClusterRoleBinding.
pub(super) fn binding(o: &Value) -> Vec<Value> {
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
