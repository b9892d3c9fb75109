//! Every rule, by minimal objects.

#![allow(clippy::needless_pass_by_value)] // `json!` makes values

mod configuration;
mod others;

use serde_json::{Value, json};

use super::*;

fn facts(objects: &[Value]) -> Facts {
    let mut facts = Facts::default();
    for object in objects {
        assert!(facts.add(object), "{object}");
    }
    facts
}

fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    let group = match kind {
        "BackupStorage" | "Repository" | "RetentionPolicy" | "Snapshot" => "storage",
        "Addon" => "addons",
        _ => "core",
    };
    json!({
        "apiVersion": format!("{group}.kubestash.com/v1alpha1"), "kind": kind,
        "metadata": {"namespace": namespace, "name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
    })
}

fn paths(verdict: &Verdict) -> Vec<&str> {
    verdict
        .denials
        .iter()
        .map(|denial| denial.path.as_str())
        .collect()
}

fn denied(kind: &str, new: &Value, facts: &Facts) -> Vec<String> {
    admit(kind, new, None, facts)
        .denials
        .into_iter()
        .map(|denial| denial.path)
        .collect()
}

fn storage(namespace: &str, name: &str, extra: Value) -> Value {
    let mut spec = json!({"storage": {"provider": "s3", "s3": {"endpoint": "http://m:9000", "bucket": "b", "prefix": "p", "secretName": "s"}}});
    json_patch::merge(&mut spec, &extra);
    object("BackupStorage", namespace, name, spec)
}

fn policy(namespace: &str, name: &str, extra: Value) -> Value {
    let mut spec = json!({"maxRetentionPeriod": "1mo"});
    json_patch::merge(&mut spec, &extra);
    object("RetentionPolicy", namespace, name, spec)
}

fn configuration(extra: Value) -> Value {
    let mut spec = json!({
        "target": {"apiGroup": "apps", "kind": "StatefulSet", "namespace": "demo", "name": "web"},
        "backends": [{"name": "main", "storageRef": {"name": "s3", "namespace": "demo"}, "retentionPolicy": {"name": "keep", "namespace": "demo"}}],
        "sessions": [{
            "name": "daily",
            "scheduler": {"schedule": "0 2 * * *", "jobTemplate": {}},
            "repositories": [{"name": "web-repo", "backend": "main", "directory": "/demo/web", "encryptionSecret": {"name": "e"}}],
            "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup"}]}
        }]
    });
    json_patch::merge(&mut spec, &extra);
    object("BackupConfiguration", "demo", "web", spec)
}

fn edited(mut object: Value, pointer: &str, value: Value) -> Value {
    *object
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("no {pointer}")) = value;
    object
}

fn without(mut object: Value, pointer: &str, key: &str) -> Value {
    object
        .pointer_mut(pointer)
        .and_then(Value::as_object_mut)
        .unwrap()
        .remove(key)
        .unwrap();
    object
}
