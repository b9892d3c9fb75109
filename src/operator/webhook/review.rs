//! AdmissionReviews in and out. Pure; plain JSON, because the objects are whatever somebody sent.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::decide::admission::{Facts, admit};

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Mutate,
    Validate,
}

/// The route of a path such as `validate-storage-kubestash-com-v1alpha1-backupstorage`.
pub(super) fn route(path: &str) -> Option<Route> {
    let (verb, rest) = path.split_once('-')?;
    let group_and_kind = rest.split_once("-kubestash-com-v1alpha1-")?;
    if !matches!(group_and_kind.0, "core" | "storage" | "addons") || group_and_kind.1.is_empty() {
        return None;
    }
    match verb {
        "mutate" => Some(Route::Mutate),
        "validate" => Some(Route::Validate),
        _ => None,
    }
}

/// One request of the API server.
pub(super) struct Request {
    uid: String,
    kind: String,
    object: Value,
    old: Option<Value>,
}

impl Request {
    /// Reads a review; `None` when it is none.
    pub(super) fn read(review: &Value) -> Option<Self> {
        let request = review.get("request")?;
        let text = |pointer: &str| {
            request
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(ToOwned::to_owned)
        };
        let mut object = request.get("object").cloned().unwrap_or_default();
        // On creation the namespace may stand in the request alone.
        if let Some(namespace) = text("/namespace").filter(|namespace| !namespace.is_empty())
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata
                .entry("namespace")
                .or_insert_with(|| Value::String(namespace));
        }
        Some(Self {
            uid: text("/uid")?,
            kind: text("/kind/kind")?,
            object,
            old: request.get("oldObject").filter(|old| !old.is_null()).cloned(),
        })
    }

    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    pub(super) fn object(&self) -> &Value {
        &self.object
    }

    /// True when nothing needs to be looked up: no object (a deletion), one that is being deleted, or a change that
    /// leaves the spec alone.
    pub(super) fn passes(&self) -> bool {
        let deleted = self
            .object
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|at| !at.is_null());
        let unchanged = self
            .old
            .as_ref()
            .is_some_and(|old| old.get("spec") == self.object.get("spec"));
        self.object.is_null() || deleted || unchanged
    }

    /// Admitted as it is.
    pub(super) fn allow(&self) -> Value {
        self.review(json!({"allowed": true}))
    }

    /// Refused because of a failure of ours.
    pub(super) fn failed(&self, message: &str) -> Value {
        let status =
            json!({"code": 500, "reason": "InternalError", "message": format!("{}: {message}", self.kind)});
        self.review(json!({"allowed": false, "status": status}))
    }

    /// What the rules say.
    pub(super) fn answer(&self, route: Route, facts: &Facts) -> Value {
        let verdict = admit(&self.kind, &self.object, self.old.as_ref(), facts);
        match route {
            Route::Mutate => {
                let Some(patched) = &verdict.patched else {
                    return self.allow();
                };
                let patch = json_patch::diff(&self.object, patched);
                let bytes = serde_json::to_vec(&patch).unwrap_or_default();
                let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                self.review(json!({"allowed": true, "patchType": "JSONPatch", "patch": encoded}))
            }
            Route::Validate => {
                let mut response = match verdict.message(&self.kind, &self.object) {
                    None => json!({"allowed": true}),
                    Some(message) => json!({"allowed": false,
                        "status": {"code": 403, "reason": "Forbidden", "message": message}}),
                };
                if !verdict.warnings.is_empty() {
                    response["warnings"] = json!(verdict.warnings);
                }
                self.review(response)
            }
        }
    }

    fn review(&self, response: Value) -> Value {
        let mut review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"});
        review["response"] = response;
        review["response"]["uid"] = Value::String(self.uid.clone());
        review
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)] // `json!` makes values
mod tests {
    use super::*;

    fn request(kind: &str, object: Value, old: Value) -> Request {
        Request::read(&json!({"request": {"uid": "u", "namespace": "demo", "kind": {"kind": kind}, "object": object, "oldObject": old}}))
            .unwrap()
    }

    #[test]
    fn paths() {
        assert_eq!(
            route("mutate-storage-kubestash-com-v1alpha1-backupstorage"),
            Some(Route::Mutate)
        );
        assert_eq!(
            route("validate-core-kubestash-com-v1alpha1-restoresession"),
            Some(Route::Validate)
        );
        for path in [
            "healthz",
            "mutate-x",
            "remove-core-kubestash-com-v1alpha1-x",
            "validate-other-kubestash-com-v1alpha1-x",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn defaults_travel_as_a_json_patch() {
        let given = json!({"metadata": {"name": "p"}, "spec": {"maxRetentionPeriod": "1d"}});
        let response =
            request("RetentionPolicy", given.clone(), Value::Null).answer(Route::Mutate, &Facts::default());
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(response["response"]["patch"].as_str().unwrap())
            .unwrap();
        let mut patched = given;
        json_patch::patch(
            &mut patched,
            &serde_json::from_slice::<json_patch::Patch>(&bytes).unwrap(),
        )
        .unwrap();
        assert_eq!(patched["spec"]["failedSnapshots"]["last"], 1);
        assert_eq!(
            patched["spec"]["usagePolicy"]["allowedNamespaces"]["from"],
            "Same"
        );
    }

    #[test]
    fn refusals_name_object_field_and_cause() {
        let given = json!({"metadata": {"name": "p"}, "spec": {"maxRetentionPeriod": "soon"}});
        let response =
            request("RetentionPolicy", given, Value::Null).answer(Route::Validate, &Facts::default());
        assert_eq!(response["response"]["allowed"], false);
        let message = response["response"]["status"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("RetentionPolicy demo/p is not valid: spec.maxRetentionPeriod: `soon`"),
            "{message}"
        );
    }

    #[test]
    fn deletions_and_unchanged_specs_pass_without_a_look() {
        let object = json!({"metadata": {"name": "p"}, "spec": {}});
        assert!(request("RetentionPolicy", object.clone(), object.clone()).passes());
        assert!(request("RetentionPolicy", Value::Null, object.clone()).passes());
        assert!(!request("RetentionPolicy", object, Value::Null).passes());
    }
}
