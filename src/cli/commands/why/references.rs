//! What an object refers to, by the names that KubeStash's fields have in every kind.

use serde_json::Value;

use crate::cluster::{Kind, kinds};

/// A reference to an object by its namespace (as written, or the referring object's) and name.
pub(super) type Reference = (&'static Kind, String, String);

/// Fields that hold an object `{name, namespace}`.
const OBJECTS: &[(&str, &Kind)] = &[
    ("storageRef", &kinds::BACKUP_STORAGE),
    ("retentionPolicy", &kinds::RETENTION_POLICY),
    ("hookTemplate", &kinds::HOOK_TEMPLATE),
    ("backupVerifier", &kinds::BACKUP_VERIFIER),
    ("encryptionSecret", &kinds::SECRET),
    ("addon", &kinds::ADDON),
    ("addonInfo", &kinds::ADDON),
];
/// Fields that hold a name.
const NAMES: &[(&str, &Kind)] = &[
    ("function", &kinds::FUNCTION),
    ("repository", &kinds::REPOSITORY),
    ("snapshot", &kinds::SNAPSHOT),
];

/// Every reference in the spec of an object, each once.
pub(super) fn references(object: &Value, namespace: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    for part in ["spec", "backupTasks", "restoreTasks"] {
        if let Some(value) = object.get(part) {
            walk(value, namespace, &mut found);
        }
    }
    // Addons have their tasks in the spec in every version; a function's own name is no reference.
    found
}

fn walk(value: &Value, namespace: &str, found: &mut Vec<Reference>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, namespace, found)),
        Value::Object(fields) => {
            for (field, value) in fields {
                if let Some((_, kind)) = OBJECTS.iter().find(|(name, _)| name == field)
                    && let Some(name) = value.get("name").and_then(Value::as_str)
                {
                    let place = value
                        .get("namespace")
                        .and_then(Value::as_str)
                        .unwrap_or(namespace);
                    push(found, kind, place, name);
                }
                if let Some((_, kind)) = NAMES.iter().find(|(name, _)| name == field)
                    && let Some(name) = value.as_str()
                    && name != "latest"
                {
                    push(found, kind, namespace, name);
                }
                walk(value, namespace, found);
            }
        }
        _ => {}
    }
}

fn push(found: &mut Vec<Reference>, kind: &'static Kind, namespace: &str, name: &str) {
    let namespace = if kind.namespaced { namespace } else { "" };
    let reference = (kind, namespace.to_owned(), name.to_owned());
    if !name.is_empty() && !found.contains(&reference) {
        found.push(reference);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand() {
        let object = json!({"spec": {
            "backends": [{"name": "b", "storageRef": {"name": "s3", "namespace": "infra"}, "retentionPolicy": {"name": "keep"}}],
            "sessions": [{"addon": {"name": "pvc-addon", "tasks": [{"name": "logical-backup"}]},
                "repositories": [{"name": "repo", "encryptionSecret": {"name": "key"}}],
                "hooks": {"preBackup": [{"name": "h", "hookTemplate": {"name": "t"}}]}}],
            "backupTasks": [{"name": "x", "function": "pvc-backup"}],
        }});
        let mut named: Vec<String> = references(&object, "demo")
            .iter()
            .map(|(kind, namespace, name)| format!("{} {namespace}/{name}", kind.kind))
            .collect();
        named.sort();
        assert_eq!(
            named,
            [
                "Addon /pvc-addon",
                "BackupStorage infra/s3",
                "Function /pvc-backup",
                "HookTemplate demo/t",
                "RetentionPolicy demo/keep",
                "Secret demo/key",
            ]
        );
    }
}
