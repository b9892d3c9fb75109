//! What of a manifest belongs to the cluster that it comes from, and does not go along.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// How an object is to change on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The namespace that it goes to, where it is another one.
    pub namespace: Option<String>,
    /// Storage classes by their old names.
    pub storage_classes: BTreeMap<String, String>,
    /// Whether claims keep the volume that they were bound to.
    pub keep_volumes: bool,
}

const METADATA: [&str; 9] = [
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
    "uid",
    "selfLink",
    "generateName",
    "generation",
    "managedFields",
];

const ANNOTATIONS: [&str; 12] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.daemonset.template.generation",
    "control-plane.alpha.kubernetes.io/leader",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
    "endpoints.kubernetes.io/last-change-trigger-time",
];

const LABELS: [&str; 5] = [
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
];

/// The object as it is to be restored.
#[must_use]
pub fn cleaned(object: &Value, changes: &Changes) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    metadata(&mut object);
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "PersistentVolumeClaim" => claim(&mut object["spec"], changes),
        "PersistentVolume" => {
            remove(&mut object["spec"]["claimRef"], &["uid", "resourceVersion"]);
        }
        "Pod" => pod(&mut object["spec"]),
        "Service" => service(&mut object["spec"]),
        "Job" => job(&mut object["spec"]),
        "ServiceAccount" => drop_tokens(&mut object),
        _ => {}
    }
    if let Some(templates) = object
        .pointer_mut("/spec/volumeClaimTemplates")
        .and_then(Value::as_array_mut)
    {
        for template in templates {
            class(&mut template["spec"], changes);
            remove(template, &["status"]);
        }
    }
    if let Some(template) = object.pointer_mut("/spec/template/metadata") {
        remove(template, &["creationTimestamp"]);
    }
    if let Some(namespace) = &changes.namespace {
        moved(&mut object, namespace);
    }
    drop_nothings(&mut object);
    object
}

fn remove(value: &mut Value, fields: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        for field in fields {
            map.remove(*field);
        }
    }
}

fn metadata(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata") else {
        return;
    };
    remove(metadata, &METADATA);
    remove(metadata, &["ownerReferences", "finalizers"]);
    for (field, unwanted) in [("annotations", &ANNOTATIONS[..]), ("labels", &LABELS[..])] {
        if let Some(all) = metadata.get_mut(field) {
            remove(all, unwanted);
            if all.as_object().is_none_or(Map::is_empty) {
                remove(metadata, &[field]);
            }
        }
    }
}

fn class(spec: &mut Value, changes: &Changes) {
    let new = spec["storageClassName"]
        .as_str()
        .and_then(|old| changes.storage_classes.get(old));
    if let Some(new) = new {
        spec["storageClassName"] = json!(new);
    }
}

fn claim(spec: &mut Value, changes: &Changes) {
    class(spec, changes);
    if !changes.keep_volumes {
        remove(spec, &["volumeName"]);
    }
}

/// What admission put into the pod for its node and its token; a new one gets its own.
fn pod(spec: &mut Value) {
    remove(
        spec,
        &[
            "nodeName",
            "dnsPolicy",
            "terminationGracePeriodSeconds",
            "priority",
        ],
    );
    let default = |spec: &Value, field: &str| spec[field] == "default";
    for field in ["serviceAccount", "serviceAccountName"] {
        if default(spec, field) {
            remove(spec, &[field]);
        }
    }
    let token = |name: &Value| name.as_str().is_some_and(|n| n.starts_with("kube-api-access-"));
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.retain(|v| !token(&v["name"]));
    }
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            remove(container, &["terminationMessagePath", "terminationMessagePolicy"]);
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.retain(|m| !token(&m["name"]));
            }
        }
    }
}

/// Addresses and ports are the old cluster's, but for headless services.
fn service(spec: &mut Value) {
    if spec["clusterIP"] != "None" {
        remove(spec, &["clusterIP", "clusterIPs"]);
    }
    remove(spec, &["healthCheckNodePort"]);
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        remove(port, &["nodePort"]);
    }
}

/// A selector that the controller made is made anew.
fn job(spec: &mut Value) {
    if spec["manualSelector"] == true {
        return;
    }
    remove(spec, &["selector"]);
    if let Some(labels) = spec.pointer_mut("/template/metadata/labels") {
        remove(labels, &LABELS);
        remove(labels, &["job-name", "batch.kubernetes.io/job-name"]);
    }
}

fn drop_tokens(object: &mut Value) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if let Some(secrets) = object["secrets"].as_array_mut() {
        secrets.retain(|s| {
            !s["name"]
                .as_str()
                .is_some_and(|n| n.starts_with(&format!("{name}-token-")))
        });
        if secrets.is_empty() {
            remove(object, &["secrets"]);
        }
    }
}

/// Into another namespace, with the references that follow it.
fn moved(object: &mut Value, namespace: &str) {
    let old = object["metadata"]["namespace"].as_str().map(str::to_owned);
    let Some(old) = old else {
        return;
    };
    object["metadata"]["namespace"] = json!(namespace);
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        if subject["namespace"] == old.as_str() {
            subject["namespace"] = json!(namespace);
        }
    }
}

/// Nulls mean nothing, and server-side apply refuses some of them. Also undoes the nulls that looking leaves behind.
fn drop_nothings(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nothings);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nothings),
        _ => {}
    }
}

/// What makes an object anew, or has made all that it ever will: such a one is not restored. `controllers` says whether
/// an owner `(kind, name)` in the same namespace is restored, too.
#[must_use]
pub fn made_by_others(object: &Value, controllers: impl Fn(&str, &str) -> bool) -> Option<String> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let owners = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    let controller = owners.into_iter().flatten().find(|o| o["controller"] == true);
    if let Some(owner) = controller {
        let (kind, name) = (
            owner["kind"].as_str().unwrap_or_default(),
            owner["name"].as_str().unwrap_or_default(),
        );
        // Of everything else the content may be all there is of it: a password that an operator made once.
        let without_content = matches!(
            text("/kind"),
            "Pod" | "ReplicaSet" | "ReplicationController" | "Job" | "ControllerRevision"
        );
        if without_content && controllers(kind, name) {
            return Some(format!("{kind} {name}, which is restored, makes it"));
        }
    }
    match text("/kind") {
        "Pod" if matches!(text("/status/phase"), "Succeeded" | "Failed") => Some("it has ended".to_owned()),
        "Job" if ended(object) => Some("it has ended".to_owned()),
        "Secret" if text("/type") == "kubernetes.io/service-account-token" => {
            Some("it is a token of the old cluster".to_owned())
        }
        "ConfigMap" if text("/metadata/name") == "kube-root-ca.crt" => {
            Some("the cluster makes it in every namespace".to_owned())
        }
        "Endpoints" if controllers("Service", text("/metadata/name")) => {
            Some("its Service, which is restored, makes it".to_owned())
        }
        _ => None,
    }
}

fn ended(job: &Value) -> bool {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|c| matches!(c["type"].as_str(), Some("Complete" | "Failed")) && c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_old_cluster_stays_there() {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "demo", "uid": "u", "resourceVersion": "7", "managedFields": [{}],
                "ownerReferences": [{"kind": "X", "name": "y", "uid": "z"}], "finalizers": ["kubernetes.io/pvc-protection"],
                "annotations": {"pv.kubernetes.io/bind-completed": "yes"}, "labels": {"app": "web"}},
            "spec": {"storageClassName": "old", "volumeName": "pv-1", "accessModes": ["ReadWriteOnce"]},
            "status": {"phase": "Bound"}});
        let changes = Changes {
            namespace: Some("copy".into()),
            storage_classes: [("old".to_owned(), "new".to_owned())].into(),
            keep_volumes: false,
        };
        assert_eq!(
            cleaned(&claim, &changes),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data", "namespace": "copy", "labels": {"app": "web"}},
                "spec": {"storageClassName": "new", "accessModes": ["ReadWriteOnce"]}})
        );
        let kept = cleaned(
            &claim,
            &Changes {
                keep_volumes: true,
                ..Changes::default()
            },
        );
        assert_eq!(kept["spec"]["volumeName"], "pv-1");
        assert_eq!(kept["metadata"]["namespace"], "demo");
    }

    #[test]
    fn pods_services_and_claim_templates_lose_what_was_given_to_them() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "n", "serviceAccountName": "default",
            "volumes": [{"name": "kube-api-access-x"}, {"name": "data"}],
            "containers": [{"name": "c", "terminationMessagePath": "/dev/x", "volumeMounts": [{"name": "kube-api-access-x"}, {"name": "data"}]}]}});
        assert_eq!(
            cleaned(&pod, &Changes::default())["spec"],
            json!({"volumes": [{"name": "data"}], "containers": [{"name": "c", "volumeMounts": [{"name": "data"}]}]})
        );
        let service = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 80, "nodePort": 30000}]}});
        assert_eq!(
            cleaned(&service, &Changes::default())["spec"],
            json!({"ports": [{"port": 80}]})
        );
        let headless = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "None"}});
        assert_eq!(cleaned(&headless, &Changes::default()), headless);
        let set = json!({"kind": "StatefulSet", "metadata": {"name": "s"}, "spec": {"volumeClaimTemplates": [{"spec": {"storageClassName": "old"}, "status": {}}]}});
        let changes = Changes {
            storage_classes: [("old".to_owned(), "new".to_owned())].into(),
            ..Changes::default()
        };
        assert_eq!(
            cleaned(&set, &changes)["spec"]["volumeClaimTemplates"],
            json!([{"spec": {"storageClassName": "new"}}])
        );
        let binding = json!({"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "demo"},
            "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "demo"}, {"kind": "ServiceAccount", "name": "a", "namespace": "other"}]});
        let changes = Changes {
            namespace: Some("copy".into()),
            ..Changes::default()
        };
        let moved = cleaned(&binding, &changes);
        assert_eq!(moved["subjects"][0]["namespace"], "copy");
        assert_eq!(moved["subjects"][1]["namespace"], "other");
    }

    #[test]
    fn what_others_make_is_left_to_them() {
        let owned = json!({"kind": "ReplicaSet", "metadata": {"name": "web-1", "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}});
        assert!(made_by_others(&owned, |kind, name| (kind, name) == ("Deployment", "web")).is_some());
        assert_eq!(
            made_by_others(&owned, |_, _| false),
            None,
            "its controller does not come along"
        );
        let secret = json!({"kind": "Secret", "metadata": {"name": "auth", "ownerReferences": [{"kind": "Postgres", "name": "db", "controller": true}]}});
        assert_eq!(
            made_by_others(&secret, |_, _| true),
            None,
            "nobody makes the same password again"
        );
        let ended = json!({"kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        assert!(made_by_others(&ended, |_, _| false).is_some());
        let token = json!({"kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {"name": "t"}});
        assert!(made_by_others(&token, |_, _| false).is_some());
        let plain = json!({"kind": "Secret", "type": "Opaque", "metadata": {"name": "t"}});
        assert_eq!(made_by_others(&plain, |_, _| false), None);
    }
}
