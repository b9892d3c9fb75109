//! CustomResourceDefinitions as objects: their status, the checks they must pass, and the end of their instances.

use std::sync::Arc;
use std::time::Duration;

use kube::core::cel::compile_schema;
use serde_json::{Value, json};

use crate::sandbox::auth::User;
use crate::sandbox::object;
use crate::sandbox::schema::{cel, slim};
use crate::sandbox::server::Api;
use crate::sandbox::status::Cause;
use crate::sandbox::store::GroupResource;
use crate::sandbox::write::{Call, DeleteOptions, FieldValidation, delete};

/// Keeps a CRD until its instances are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Where CRDs are stored.
pub(crate) fn storage() -> GroupResource {
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Whether objects stored there are CRDs.
pub(crate) fn is_definition(kind: &GroupResource) -> bool {
    kind.resource == "customresourcedefinitions" && kind.group == "apiextensions.k8s.io"
}

/// Gives a CRD about to be stored the status and the finalizer the real server's controllers would.
pub(crate) fn complete(api: &Api, crd: &mut Value) {
    let names = crd["spec"]["names"].clone();
    let storage_version = object::list(crd, &["spec", "versions"])
        .iter()
        .find(|v| v["storage"] == json!(true))
        .map(|v| v["name"].clone());
    let taken = taken_by(api, crd);
    let deleting = object::is_deleting(crd);
    let mut finalizers = object::finalizers(crd);
    if !deleting && !finalizers.iter().any(|f| f == CLEANUP) {
        finalizers.push(CLEANUP.to_owned());
        object::metadata(crd).insert("finalizers".into(), json!(finalizers));
    }
    let status = object::map_at(crd, &["status"]);
    let mut stored = status
        .get("storedVersions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    stored.extend(storage_version.filter(|v| !stored.contains(v)));
    status.insert("storedVersions".into(), Value::Array(stored));
    if taken.is_none() {
        status.insert("acceptedNames".into(), names);
    } else {
        status.insert("acceptedNames".into(), json!({"kind": "", "plural": ""}));
    }
    let (accepted, reason, message) = match taken {
        None => (true, "NoConflicts", "no conflicts found".to_owned()),
        Some(other) => (false, "PluralConflict", format!("\"{other}\" is already in use")),
    };
    condition(status, "NamesAccepted", accepted, reason, &message);
    let (reason, message) = if accepted {
        ("InitialNamesAccepted", "the initial names have been accepted")
    } else {
        ("NotAccepted", "not all names are accepted")
    };
    condition(status, "Established", accepted, reason, message);
    if deleting {
        condition(
            status,
            "Terminating",
            true,
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        );
    }
}

/// A name of the CRD that another kind of its group has already.
fn taken_by(api: &Api, crd: &Value) -> Option<String> {
    let group = object::text(crd, &["spec", "group"]);
    let kind = object::text(crd, &["spec", "names", "kind"]);
    let own = object::name(crd);
    let others = api.registry.all();
    let clash = others
        .iter()
        .find(|r| r.group == group && r.kind == kind && r.custom().is_none_or(|c| c.definition != own));
    clash.map(|r| r.kind.clone())
}

fn condition(status: &mut serde_json::Map<String, Value>, kind: &str, on: bool, reason: &str, message: &str) {
    let state = if on { "True" } else { "False" };
    let list = status.entry("conditions").or_insert_with(|| json!([]));
    let Value::Array(list) = list else { return };
    let position = list.iter().position(|c| c["type"] == kind);
    if position.is_some_and(|i| list[i]["status"] == state) {
        return;
    }
    let fresh = json!({
        "type": kind, "status": state, "reason": reason, "message": message, "lastTransitionTime": object::now(),
    });
    match position {
        Some(index) => list[index] = fresh,
        None => list.push(fresh),
    }
}

/// Names the real server fills in.
pub(crate) fn fill(crd: &mut Value) {
    let kind = object::text(crd, &["spec", "names", "kind"]).to_owned();
    let names = object::map_at(crd, &["spec", "names"]);
    object::default(names, "singular", json!(kind.to_lowercase()));
    object::default(names, "listKind", json!(format!("{kind}List")));
    object::default(
        object::map_at(crd, &["spec"]),
        "conversion",
        json!({"strategy": "None"}),
    );
}

/// What is wrong with a CRD.
pub(crate) fn check(crd: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let text = |path: &[&str]| object::text(crd, path);
    let expected = format!(
        "{}.{}",
        text(&["spec", "names", "plural"]),
        text(&["spec", "group"])
    );
    if object::name(crd) != expected {
        causes.push(Cause::invalid(
            "metadata.name",
            &json!(object::name(crd)),
            format!("must be spec.names.plural+\".\"+spec.group: \"{expected}\""),
        ));
    }
    for path in [["names", "plural"], ["names", "kind"]] {
        if text(&["spec", path[0], path[1]]).is_empty() {
            causes.push(Cause::required(format!("spec.{}.{}", path[0], path[1]), ""));
        }
    }
    let scope = text(&["spec", "scope"]);
    if !matches!(scope, "Namespaced" | "Cluster") {
        causes.push(Cause::unsupported(
            "spec.scope",
            &json!(scope),
            &["Cluster".into(), "Namespaced".into()],
        ));
    }
    let versions = object::list(crd, &["spec", "versions"]);
    if versions.iter().filter(|v| v["storage"] == json!(true)).count() != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &json!([]),
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
        let raw = &version["schema"]["openAPIV3Schema"];
        if !raw.is_object() {
            causes.push(Cause::required(path, "schemas are required"));
            continue;
        }
        if raw["type"] != json!("object") {
            causes.push(Cause::invalid(
                format!("{path}.type"),
                &raw["type"],
                "must be object at the root",
            ));
        }
        structural(raw, &path, &mut causes);
        if let Some(rules) = slim::with_rules(raw) {
            causes.extend(cel::problems(&compile_schema(&rules), &path));
        }
    }
    causes
}

/// The rules of structural schemas that catch real mistakes: every node has a type, and lists say what is in them.
fn structural(node: &Value, path: &str, causes: &mut Vec<Cause>) {
    let flag = |name: &str| node[name] == json!(true);
    let typeless = object::text(node, &["type"]).is_empty();
    if typeless && !flag("x-kubernetes-int-or-string") && !flag("x-kubernetes-preserve-unknown-fields") {
        causes.push(Cause::required(
            format!("{path}.type"),
            "must not be empty for specified object fields",
        ));
    }
    if node["type"] == "array" && !node["items"].is_object() {
        causes.push(Cause::required(format!("{path}.items"), "must be specified"));
    }
    if let Some(pattern) = node["pattern"].as_str()
        && regex::Regex::new(pattern).is_err()
    {
        causes.push(Cause::invalid(
            format!("{path}.pattern"),
            &node["pattern"],
            "must be a valid regular expression",
        ));
    }
    if node["properties"].is_object() && node["additionalProperties"].is_object() {
        causes.push(Cause::forbidden(
            format!("{path}.additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    for (name, field) in node["properties"].as_object().into_iter().flatten() {
        // The root's metadata may stay open.
        if name != "metadata" || !path.ends_with("openAPIV3Schema") {
            structural(field, &format!("{path}.properties[{name}]"), causes);
        }
    }
    if node["items"].is_object() {
        structural(&node["items"], &format!("{path}.items"), causes);
    }
    if node["additionalProperties"].is_object() {
        structural(
            &node["additionalProperties"],
            &format!("{path}.additionalProperties"),
            causes,
        );
    }
}

/// Ends the instances of a CRD that is being deleted, in the background, and then lets the CRD go.
pub(crate) fn clean_up(api: &Arc<Api>, crd: &Value) {
    let api = api.clone();
    let name = object::name(crd).to_owned();
    let uid = object::uid(crd).to_owned();
    tokio::spawn(async move {
        let mut news = None;
        loop {
            let Some(crd) = api
                .store
                .get(&storage(), "", &name)
                .filter(|c| object::uid(c) == uid)
            else {
                return;
            };
            let kind = GroupResource::new(
                object::text(&crd, &["spec", "group"]),
                object::text(&crd, &["spec", "names", "plural"]),
            );
            let news = news.get_or_insert_with(|| api.store.news(&kind));
            delete_instances(&api, &kind).await;
            if api.store.is_empty(&kind) {
                let left: Vec<String> = object::finalizers(&crd)
                    .into_iter()
                    .filter(|f| f != CLEANUP)
                    .collect();
                let version = object::resource_version(&crd);
                let done = if left.is_empty() {
                    api.commit_delete(&storage(), "", &name, version).is_ok()
                } else {
                    let mut changed = (*crd).clone();
                    object::metadata(&mut changed).insert("finalizers".into(), json!(left));
                    api.commit_update(&storage(), changed, version).is_ok()
                };
                if done {
                    return;
                }
            }
            // Instances with finalizers go when somebody takes those away; that is news. The time limit only
            // guards against a change between the look and the wait.
            let _ = tokio::time::timeout(Duration::from_secs(1), news.changed()).await;
        }
    });
}

async fn delete_instances(api: &Arc<Api>, kind: &GroupResource) {
    let Some(resource) = api.registry.all().into_iter().find(|r| r.storage() == *kind) else {
        return;
    };
    for ((namespace, name), stored) in api.store.list(kind, None).objects {
        if object::is_deleting(&stored.value()) {
            continue;
        }
        let mut call = Call {
            api,
            resource: resource.clone(),
            subresource: String::new(),
            namespace,
            name,
            user: User::admin(),
            dry_run: false,
            field_validation: FieldValidation::Ignore,
            manager: "kube-apiserver".into(),
            warnings: Vec::new(),
        };
        if let Err(error) = delete(&mut call, &DeleteOptions::default()).await {
            tracing::debug!(error = %error.message, "an instance of a deleted CRD stays for now");
        }
    }
}

/// Goes on with clean-ups that a restart interrupted.
pub(crate) fn resume_cleanup(api: &Arc<Api>) {
    if tokio::runtime::Handle::try_current().is_err() {
        return;
    }
    for (_, stored) in api.store.list(&storage(), None).objects {
        let crd = stored.value();
        if object::is_deleting(&crd) {
            clean_up(api, &crd);
        }
    }
}
