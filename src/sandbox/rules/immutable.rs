//! Fields that may not change once an object is there.

use serde_json::{Value, json};

use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::status::Cause;

/// Refuses changes of what may not change.
pub(super) fn check(resource: &Resource, new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("batch", "Job") => job(new, old, causes),
        ("apps", "StatefulSet") => stateful_set(new, old, causes),
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => fixed(new, old, &["spec", "selector"], causes),
        ("", "PersistentVolumeClaim") => claim(new, old, causes),
        ("", "Secret" | "ConfigMap") => sealed(new, old, causes),
        ("", "Pod") => pod(new, old, causes),
        ("", "Service") => {
            let before = object::text(old, &["spec", "clusterIP"]);
            let kind = object::text(new, &["spec", "type"]);
            if !before.is_empty() && kind != "ExternalName" {
                fixed(new, old, &["spec", "clusterIP"], causes);
            }
        }
        ("rbac.authorization.k8s.io", _) if new["roleRef"] != old["roleRef"] => {
            causes.push(Cause::invalid(
                "roleRef",
                &new["roleRef"],
                "cannot change roleRef",
            ));
        }
        ("storage.k8s.io", "StorageClass") => {
            for field in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
                if new[field] != old[field] {
                    causes.push(Cause::forbidden(
                        field,
                        format!("updates to {field} are forbidden."),
                    ));
                }
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            for path in [
                &["spec", "group"][..],
                &["spec", "scope"],
                &["spec", "names", "kind"],
                &["spec", "names", "plural"],
            ] {
                fixed(new, old, path, causes);
            }
        }
        _ => {}
    }
}

fn fixed(new: &Value, old: &Value, path: &[&str], causes: &mut Vec<Cause>) {
    let empty = json!(null);
    let value = object::at(new, path).unwrap_or(&empty);
    if value != object::at(old, path).unwrap_or(&empty) {
        causes.push(Cause::invalid(path.join("."), value, "field is immutable"));
    }
}

/// A Job's template may change only while it is suspended and has never run.
fn job(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    fixed(new, old, &["spec", "selector"], causes);
    fixed(new, old, &["spec", "completionMode"], causes);
    fixed(new, old, &["spec", "podFailurePolicy"], causes);
    if old["spec"]["completionMode"] != "Indexed" {
        fixed(new, old, &["spec", "completions"], causes);
    }
    let dormant = old["spec"]["suspend"] == json!(true) && old["status"]["startTime"].is_null();
    if !dormant {
        fixed(new, old, &["spec", "template"], causes);
    }
}

fn stateful_set(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    const FREE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    if rest(&new["spec"], FREE) != rest(&old["spec"], FREE) {
        causes.push(Cause::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

fn rest(spec: &Value, free: &[&str]) -> Value {
    let mut copy = spec.clone();
    let map = object::map(&mut copy);
    map.retain(|name, _| !free.contains(&name.as_str()));
    copy
}

fn claim(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let mut free = vec!["resources", "volumeAttributesClassName"];
    // The binder sets these once; a claim may also get its class later.
    for late in ["volumeName", "storageClassName"] {
        if object::text(old, &["spec", late]).is_empty() {
            free.push(late);
        }
    }
    if rest(&new["spec"], &free) != rest(&old["spec"], &free) {
        causes.push(Cause::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
    let bound = old["status"]["phase"] == "Bound";
    if !bound && new["spec"]["resources"] != old["spec"]["resources"] {
        causes.push(Cause::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
    let size = |claim: &Value| bytes(object::text(claim, &["spec", "resources", "requests", "storage"]));
    if let (Some(new), Some(old)) = (size(new), size(old))
        && new < old
    {
        causes.push(Cause::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than previous value",
        ));
    }
}

/// A quantity in bytes.
fn bytes(text: &str) -> Option<f64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|n| n * factor)
}

/// Secrets and ConfigMaps that say they are immutable.
fn sealed(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    if old["kind"] == "Secret" && new["type"] != old["type"] {
        causes.push(Cause::invalid("type", &new["type"], "field is immutable"));
    }
    if old["immutable"] != json!(true) {
        return;
    }
    if new["immutable"] != json!(true) {
        causes.push(Cause::forbidden(
            "immutable",
            "field is immutable when `immutable` is set",
        ));
    }
    for field in ["data", "binaryData"] {
        if new[field] != old[field] {
            causes.push(Cause::forbidden(
                field,
                "field is immutable when `immutable` is set",
            ));
        }
    }
}

/// Of a running pod only a few fields may change.
fn pod(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    const FREE: &[&str] = &[
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        "schedulingGates",
    ];
    let shape = |pod: &Value| {
        let mut spec = rest(&pod["spec"], FREE);
        if object::text(old, &["spec", "nodeName"]).is_empty() {
            object::map(&mut spec).remove("nodeName");
        }
        for list in ["containers", "initContainers"] {
            for container in spec
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                object::map(container).remove("image");
            }
        }
        object::map(&mut spec).remove("ephemeralContainers");
        spec
    };
    if shape(new) != shape(old) {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}
