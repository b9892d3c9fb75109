//! Pods and pod templates: defaults and checks.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::names::{self, Names};
use crate::sandbox::object::{self, default};
use crate::sandbox::status::Cause;

/// Fills in the defaults of a pod's spec.
pub(super) fn fill(spec: &mut Map<String, Value>) {
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "securityContext", json!({}));
    // The old name of the field follows the new one.
    match (
        spec.get("serviceAccountName").cloned(),
        spec.get("serviceAccount").cloned(),
    ) {
        (Some(name), _) if name != "" => {
            spec.insert("serviceAccount".into(), name);
        }
        (_, Some(name)) => {
            spec.insert("serviceAccountName".into(), name);
        }
        _ => {}
    }
    for list in ["containers", "initContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            fill_container(object::map(container));
        }
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        fill_volume(volume);
    }
}

fn fill_container(container: &mut Map<String, Value>) {
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    default(container, "resources", json!({}));
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let tag = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (!tag.contains(':') || tag.ends_with(":latest"));
    default(
        container,
        "imagePullPolicy",
        json!(if latest { "Always" } else { "IfNotPresent" }),
    );
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(object::map(port), "protocol", json!("TCP"));
    }
    for env in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if env["valueFrom"]["fieldRef"].is_object() {
            default(
                object::map_at(env, &["valueFrom", "fieldRef"]),
                "apiVersion",
                json!("v1"),
            );
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(probe) {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                default(probe, field, json!(value));
            }
            if let Some(Value::Object(http)) = probe.get_mut("httpGet") {
                default(http, "path", json!("/"));
                default(http, "scheme", json!("HTTP"));
            }
        }
    }
}

fn fill_volume(volume: &mut Value) {
    let map = object::map(volume);
    if map.len() <= 1 {
        map.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        if let Some(Value::Object(source)) = map.get_mut(source) {
            default(source, "defaultMode", json!(0o644));
        }
    }
    if let Some(Value::Object(path)) = map.get_mut("hostPath") {
        default(path, "type", json!(""));
    }
    let sources = volume.get_mut("projected").and_then(|p| p.get_mut("sources"));
    for source in sources.and_then(Value::as_array_mut).into_iter().flatten() {
        if source["serviceAccountToken"].is_object() {
            default(
                object::map_at(source, &["serviceAccountToken"]),
                "expirationSeconds",
                json!(3600),
            );
        }
    }
}

/// Checks a pod's spec at `path`.
pub(super) fn check(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = object::list(spec, &["containers"]);
    if containers.is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let volumes: HashSet<&str> = object::list(spec, &["volumes"])
        .iter()
        .map(|v| object::text(v, &["name"]))
        .collect();
    let mut seen = HashSet::new();
    for (list, items) in [
        ("initContainers", object::list(spec, &["initContainers"])),
        ("containers", containers),
    ] {
        for (index, container) in items.iter().enumerate() {
            let path = format!("{path}.{list}[{index}]");
            let name = object::text(container, &["name"]);
            if name.is_empty() {
                causes.push(Cause::required(format!("{path}.name"), ""));
            } else if let Some(text) = names::problem(name, Names::Label) {
                causes.push(Cause::invalid(format!("{path}.name"), &json!(name), text));
            } else if !seen.insert(name) {
                causes.push(Cause::duplicate(format!("{path}.name"), &json!(name)));
            }
            check_container(container, &path, &volumes, causes);
        }
    }
    check_volumes(spec, path, causes);
    check_policy(spec, path, causes);
}

fn check_container(container: &Value, path: &str, volumes: &HashSet<&str>, causes: &mut Vec<Cause>) {
    if object::text(container, &["image"]).is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    }
    let mut paths = HashSet::new();
    for (index, mount) in object::list(container, &["volumeMounts"]).iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let name = object::text(mount, &["name"]);
        if !volumes.contains(name) {
            causes.push(Cause {
                reason: "FieldValueNotFound",
                field: format!("{path}.name"),
                message: format!("Not found: \"{name}\""),
            });
        }
        let at = object::text(mount, &["mountPath"]);
        if at.is_empty() {
            causes.push(Cause::required(format!("{path}.mountPath"), ""));
        } else if !paths.insert(at) {
            causes.push(Cause::invalid(
                format!("{path}.mountPath"),
                &json!(at),
                "must be unique",
            ));
        }
    }
    for (index, env) in object::list(container, &["env"]).iter().enumerate() {
        if object::text(env, &["name"]).is_empty() {
            causes.push(Cause::required(format!("{path}.env[{index}].name"), ""));
        }
        if env["valueFrom"].is_object() && !object::text(env, &["value"]).is_empty() {
            let text = "may not be specified when `value` is not empty";
            causes.push(Cause::invalid(
                format!("{path}.env[{index}].valueFrom"),
                &json!(""),
                text,
            ));
        }
    }
    for (index, port) in object::list(container, &["ports"]).iter().enumerate() {
        let number = port["containerPort"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            let field = format!("{path}.ports[{index}].containerPort");
            causes.push(Cause::invalid(
                field,
                &json!(number),
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
}

fn check_volumes(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut seen = HashSet::new();
    for (index, volume) in object::list(spec, &["volumes"]).iter().enumerate() {
        let name = object::text(volume, &["name"]);
        let field = format!("{path}.volumes[{index}]");
        if let Some(text) = names::problem(name, Names::Label) {
            causes.push(Cause::invalid(format!("{field}.name"), &json!(name), text));
        }
        if !seen.insert(name) {
            causes.push(Cause::duplicate(format!("{field}.name"), &json!(name)));
        }
        let sources = volume.as_object().map_or(0, |m| m.len().saturating_sub(1));
        if sources > 1 {
            causes.push(Cause::forbidden(field, "may not specify more than 1 volume type"));
        }
    }
}

fn check_policy(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let policy = object::text(spec, &["restartPolicy"]);
    if !matches!(policy, "Always" | "OnFailure" | "Never") {
        let allowed = ["Always", "OnFailure", "Never"].map(str::to_owned);
        causes.push(Cause::unsupported(
            format!("{path}.restartPolicy"),
            &json!(policy),
            &allowed,
        ));
    }
}
