//! Whether the definitions in the cluster are this program's; `doctor` and `version` say so.
//!
//! All are read at once. Most clusters store exactly what `install` applied, which a comparison here finds out without a
//! further request. Only where something looks different the server is asked, by a dry run of the apply, whether that would
//! change anything: an API server may write the same schema in other words.

use futures::future;
use serde_json::Value;

use super::facts::Read;
use crate::cli::manifests::Manifests;
use crate::cli::report::text;
use crate::cluster::{ApplyOptions, Cluster, Error, kinds};

/// What there is.
#[derive(Debug)]
pub(in crate::cli) struct Definitions {
    /// Those of ours that the cluster has.
    pub(in crate::cli) found: Vec<Value>,
    /// Names of those that differ, or why that is not known.
    pub(in crate::cli) differing: Read<Vec<String>>,
}

/// A stored definition, and its name where it differs.
type Compared = (Value, Read<Option<String>>);

/// Reads and compares all of them.
///
/// # Errors
/// When one cannot be read.
pub(in crate::cli) async fn look(cluster: &Cluster, shipped: &Manifests) -> Read<Definitions> {
    let each = shipped.definitions.iter().map(|definition| async move {
        let name = text(definition, "/metadata/name");
        let Some(stored) = cluster.find::<Value>(&kinds::CRD, None, name).await? else {
            return Ok(None);
        };
        let differs = if same(&definition["spec"], &stored["spec"]) {
            Ok(false)
        } else {
            would_change(cluster, name, definition, &stored).await
        };
        Ok(Some((stored, differs.map(|yes| yes.then(|| name.to_owned())))))
    });
    let all: Vec<Read<Option<Compared>>> = future::join_all(each).await;
    let mut found = Vec::new();
    let mut differing = Vec::new();
    for one in all {
        if let Some((stored, differs)) = one? {
            found.push(stored);
            differing.push(differs);
        }
    }
    let differing: Read<Vec<Option<String>>> = differing.into_iter().collect();
    Ok(Definitions {
        found,
        differing: differing.map(|names| names.into_iter().flatten().collect()),
    })
}

/// Whether applying ours would change the stored one.
async fn would_change(
    cluster: &Cluster,
    name: &str,
    definition: &Value,
    stored: &Value,
) -> Result<bool, Error> {
    let dry = ApplyOptions { dry_run: true };
    match cluster.apply(&kinds::CRD, None, name, definition, dry).await {
        Ok(after) => Ok(stored["spec"] != after["spec"]),
        // Who may read but not change them still gets an answer; it may be too strict.
        Err(Error::Forbidden { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a stored value says what ours says, and nothing else but what the server fills in by itself.
pub(super) fn same(ours: &Value, stored: &Value) -> bool {
    match (ours, stored) {
        (Value::Object(ours), Value::Object(stored)) => {
            ours.iter().all(|(key, value)| match stored.get(key) {
                Some(stored) => same(value, stored),
                None => silent(value),
            }) && stored
                .iter()
                .all(|(key, value)| ours.contains_key(key) || silent(value) || filled(key))
        }
        (Value::Array(ours), Value::Array(stored)) => {
            ours.len() == stored.len() && ours.iter().zip(stored).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (ours, stored) => ours == stored || (silent(ours) && silent(stored)),
    }
}

/// What an API server leaves out because it means nothing.
fn silent(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(_) | Value::Bool(true) => false,
    }
}

/// What an API server adds to a definition.
fn filled(key: &str) -> bool {
    matches!(
        key,
        "conversion" | "listKind" | "singular" | "preserveUnknownFields"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_fills_in_is_no_difference() {
        let ours = json!({"group": "g", "names": {"kind": "K", "plural": "ks"}, "versions": [
            {"name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object", "required": [], "properties": {"a": {"minimum": 0.0, "nullable": false}}}}}]});
        let mut stored = json!({"group": "g", "conversion": {"strategy": "None"}, "names": {"kind": "K", "plural": "ks", "listKind": "KList", "singular": "k"}, "versions": [
            {"name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {"minimum": 0}}}}}]});
        assert!(same(&ours, &stored));
        stored["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["b"] = json!({"type": "string"});
        assert!(!same(&ours, &stored), "a field more is a difference");
        let older = json!({"group": "g", "names": {"kind": "K", "plural": "ks"}, "versions": [{"name": "v1", "served": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]});
        assert!(!same(&ours, &older), "a field less, too");
    }

    #[test]
    fn nothing_is_the_same_in_each_of_its_forms() {
        // An API server keeps the empty list of a ClusterRole without rules as null.
        for nothing in [json!(null), json!([])] {
            assert!(same(&json!([]), &nothing));
            assert!(!same(&json!([{"verbs": ["get"]}]), &nothing));
        }
    }

    #[test]
    fn our_own_definitions_equal_themselves() {
        let shipped = Manifests::new("kubestash", crate::IMAGE).unwrap();
        for definition in &shipped.definitions {
            assert!(same(&definition["spec"], &definition["spec"]));
        }
    }
}
