//! Admission webhooks: who is asked, in what words, and what the answer means.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::Operation;
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::selectors::LabelSelector;
use crate::sandbox::status::{ApiError, ApiResult, reason_of};
use crate::sandbox::store::GroupResource;
use crate::sandbox::write::Call;

mod caller;

const GROUP: &str = "admissionregistration.k8s.io";

/// Asks mutating webhooks, in order of configuration and position, and applies their patches.
pub(super) async fn mutate(
    call: &mut Call<'_>,
    operation: Operation,
    object: &mut Value,
    old: Option<&Arc<Value>>,
) -> ApiResult<()> {
    for hook in hooks(
        call,
        "mutatingwebhookconfigurations",
        operation,
        Some(object),
        old,
    ) {
        let Some(response) = ask(call, &hook, operation, Some(object), old).await? else {
            continue;
        };
        let Some(patch) = response["patch"].as_str() else {
            continue;
        };
        let name = object::text(&hook, &["name"]);
        let bad = |text: String| ApiError::internal(format!("failed calling webhook \"{name}\": {text}"));
        if response["patchType"] != "JSONPatch" {
            return Err(bad("the patch has no patchType JSONPatch".to_owned()));
        }
        let bytes = BASE64.decode(patch).map_err(|e| bad(e.to_string()))?;
        let patch: json_patch::Patch = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        json_patch::patch(object, &patch).map_err(|e| bad(e.to_string()))?;
    }
    Ok(())
}

/// Asks validating webhooks. All are asked; the first refusal counts.
pub(super) async fn validate(
    call: &mut Call<'_>,
    operation: Operation,
    object: Option<&Value>,
    old: Option<&Arc<Value>>,
) -> ApiResult<()> {
    for hook in hooks(call, "validatingwebhookconfigurations", operation, object, old) {
        ask(call, &hook, operation, object, old).await?;
    }
    Ok(())
}

/// The webhooks that want to hear of this.
fn hooks(
    call: &Call<'_>,
    plural: &str,
    operation: Operation,
    object: Option<&Value>,
    old: Option<&Arc<Value>>,
) -> Vec<Value> {
    // Webhooks cannot lock their own configurations.
    if call.resource.group == GROUP {
        return Vec::new();
    }
    let configurations = call
        .api
        .store
        .list(&GroupResource::new(GROUP, plural), None)
        .objects;
    let mut found = Vec::new();
    for (_, stored) in configurations {
        let configuration = stored.value();
        for hook in object::list(&configuration, &["webhooks"]) {
            let rules = object::list(hook, &["rules"]);
            let ruled = rules
                .iter()
                .any(|r| rule_matches(r, &call.resource, &call.subresource, operation));
            if ruled && selectors_match(call, hook, object, old.map(|o| &**o)) {
                found.push(hook.clone());
            }
        }
    }
    found
}

fn rule_matches(rule: &Value, resource: &Resource, subresource: &str, operation: Operation) -> bool {
    let has = |field: &str, wanted: &str| {
        object::list(rule, &[field])
            .iter()
            .any(|v| v == "*" || v == wanted)
    };
    let scope = match object::text(rule, &["scope"]) {
        "Namespaced" => resource.namespaced,
        "Cluster" => !resource.namespaced,
        _ => true,
    };
    let resources = object::list(rule, &["resources"])
        .iter()
        .filter_map(Value::as_str)
        .any(|r| {
            let (main, sub) = r.split_once('/').unwrap_or((r, ""));
            let main_fits = main == "*" || main == resource.plural;
            let sub_fits = sub == subresource || sub == "*";
            main_fits && sub_fits
        });
    scope
        && resources
        && has("operations", operation.name())
        && has("apiGroups", &resource.group)
        && has("apiVersions", &resource.version)
}

fn selectors_match(call: &Call<'_>, hook: &Value, object: Option<&Value>, old: Option<&Value>) -> bool {
    let objects = LabelSelector::of_object(&hook["objectSelector"]);
    let fits = objects.is_empty() || object.into_iter().chain(old).any(|o| objects.matches(o));
    let namespaces = LabelSelector::of_object(&hook["namespaceSelector"]);
    if !fits || namespaces.is_empty() {
        return fits;
    }
    if call.resource.is("", "Namespace") {
        return object.or(old).is_some_and(|o| namespaces.matches(o));
    }
    if !call.resource.namespaced {
        return true;
    }
    let namespace = call
        .api
        .store
        .get(&GroupResource::new("", "namespaces"), "", &call.namespace);
    namespace.is_some_and(|n| namespaces.matches(&n))
}

/// Asks one webhook; `None` if it could not be reached and does not insist.
async fn ask(
    call: &mut Call<'_>,
    hook: &Value,
    operation: Operation,
    object: Option<&Value>,
    old: Option<&Arc<Value>>,
) -> ApiResult<Option<Value>> {
    let name = object::text(hook, &["name"]).to_owned();
    let side_effects = object::text(hook, &["sideEffects"]);
    if call.dry_run && !matches!(side_effects, "None" | "NoneOnDryRun") {
        return Err(ApiError::bad_request(format!(
            "admission webhook \"{name}\" does not support dry run"
        )));
    }
    let uid = object::new_uid();
    let review = review(call, &uid, operation, object, old.map(|o| &**o));
    let seconds = hook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30);
    let reached = tokio::time::timeout(
        Duration::from_secs(seconds),
        caller::post(call.api, hook, &review),
    )
    .await;
    let answer = match reached {
        Ok(Ok(answer)) => answer,
        failed => {
            let text = match failed {
                Ok(Err(error)) => error,
                _ => format!("context deadline exceeded after {seconds}s"),
            };
            if hook["failurePolicy"] == "Ignore" {
                tracing::warn!(webhook = %name, error = %text, "an admission webhook failed and is ignored");
                return Ok(None);
            }
            return Err(ApiError::internal(format!(
                "failed calling webhook \"{name}\": {text}"
            )));
        }
    };
    let response = answer["response"].clone();
    if response["uid"] != uid.as_str() {
        return Err(ApiError::internal(format!(
            "failed calling webhook \"{name}\": expected response.uid=\"{uid}\", got {}",
            response["uid"]
        )));
    }
    for warning in object::list(&response, &["warnings"])
        .iter()
        .filter_map(Value::as_str)
    {
        call.warn(warning);
    }
    if response["allowed"] == json!(true) {
        return Ok(Some(response));
    }
    Err(refusal(&name, &response))
}

/// A webhook's refusal in the words of the real server.
fn refusal(name: &str, response: &Value) -> ApiError {
    let status = &response["status"];
    let message = object::text(status, &["message"]);
    let reason = object::text(status, &["reason"]);
    let text = match (message, reason) {
        ("", "") => format!("admission webhook \"{name}\" denied the request without explanation"),
        ("", reason) => format!("admission webhook \"{name}\" denied the request: {reason}"),
        (message, _) => format!("admission webhook \"{name}\" denied the request: {message}"),
    };
    let code = status["code"]
        .as_u64()
        .and_then(|c| u16::try_from(c).ok())
        .filter(|c| *c >= 400)
        .unwrap_or(403);
    let mut error = ApiError::custom(code, reason_of(code), text);
    if status["details"].is_object() {
        error.details = Some(Box::new(status["details"].clone()));
    }
    error
}

fn review(
    call: &Call<'_>,
    uid: &str,
    operation: Operation,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Value {
    let resource = &call.resource;
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let plural = json!({"group": resource.group, "version": resource.version, "resource": resource.plural});
    let options = match operation {
        Operation::Delete => "DeleteOptions",
        Operation::Update => "UpdateOptions",
        _ => "CreateOptions",
    };
    let mut request = json!({
        "uid": uid, "kind": kind, "resource": plural, "requestKind": kind, "requestResource": plural,
        "name": call.name, "operation": operation.name(), "userInfo": call.user.to_value(),
        "object": object, "oldObject": old, "dryRun": call.dry_run,
        "options": {"kind": options, "apiVersion": "meta.k8s.io/v1"},
    });
    if resource.namespaced {
        request["namespace"] = json!(call.namespace);
    } else if resource.is("", "Namespace") {
        request["namespace"] = json!(call.name);
    }
    if !call.subresource.is_empty() {
        request["subResource"] = json!(call.subresource);
        request["requestSubResource"] = json!(call.subresource);
    }
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::kinds::Registry;

    #[test]
    fn rules_name_kinds_subresources_and_scopes() {
        let registry = Registry::new();
        let pods = registry.find("", "v1", "pods").unwrap();
        let rule = |resources: &[&str], scope: &str| json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources, "scope": scope});
        let fits = |rule: &Value, sub: &str, op| rule_matches(rule, &pods, sub, op);
        assert!(fits(&rule(&["pods"], "*"), "", Operation::Create));
        assert!(!fits(&rule(&["pods"], "*"), "status", Operation::Create));
        assert!(fits(&rule(&["pods/*"], "*"), "status", Operation::Create));
        assert!(fits(&rule(&["*/*"], "Namespaced"), "", Operation::Create));
        assert!(!fits(&rule(&["*"], "Cluster"), "", Operation::Create));
        assert!(!fits(&rule(&["*"], "*"), "", Operation::Delete));
    }

    #[test]
    fn refusals_are_worded_like_the_real_ones() {
        let error = refusal("v.x.io", &json!({"status": {"message": "no", "code": 422}}));
        assert_eq!(
            (error.code, error.message.as_str()),
            (422, "admission webhook \"v.x.io\" denied the request: no")
        );
        let error = refusal("v.x.io", &json!({}));
        assert_eq!(error.code, 403);
        assert!(error.message.ends_with("denied the request without explanation"));
    }
}
