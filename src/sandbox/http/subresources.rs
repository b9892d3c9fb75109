//! The smaller subresources: a kubelet's statistics, tokens of ServiceAccounts, eviction and binding of pods, finalizing of namespaces.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Exchange, body, change, respond};
use crate::sandbox::auth::tokens::{self, Claim};
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::status::{ApiError, ApiResult, Cause};
use crate::sandbox::store::GroupResource;
use crate::sandbox::write::{self, Change, DeleteOptions};

/// Shortest and longest life of a token, in seconds.
const LIFE: (i64, i64) = (600, 48 * 3600);

/// Answers a request for a subresource, or says that there is none.
pub(super) async fn serve(exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let info = &exchange.info;
    match (resource.plural.as_str(), info.subresource.as_str(), info.verb) {
        ("serviceaccounts", "token", "create") => token(exchange).await,
        ("pods", "eviction", "create") => evict(exchange, resource).await,
        ("pods", "binding", "create") => bind(exchange, resource).await,
        ("namespaces", "finalize", "update") => finalize(exchange, resource).await,
        ("nodes", "proxy", "get") => statistics(exchange).await,
        _ => Err(ApiError::no_such_resource()),
    }
}

/// What the kubelet says of its pods; nothing else of a kubelet is behind the proxy.
async fn statistics(exchange: Exchange) -> ApiResult<Response<Body>> {
    let info = &exchange.info;
    if exchange
        .api
        .store
        .get(&GroupResource::new("", "nodes"), "", &info.name)
        .is_none()
    {
        return Err(ApiError::not_found("", "nodes", &info.name));
    }
    if !info.path.trim_end_matches('/').ends_with("/proxy/stats/summary") {
        return Err(ApiError::no_such_resource());
    }
    let kubelet = exchange
        .api
        .kubelet()
        .ok_or_else(|| ApiError::internal("there is no node to ask: the kubelet is not running"))?;
    Ok(respond::json(&kubelet.summary().await))
}

/// TokenRequest.
async fn token(mut exchange: Exchange) -> ApiResult<Response<Body>> {
    let (_, request) = exchange.take_request();
    let mut review = body::object(request).await?.value;
    let (namespace, name) = (&exchange.info.namespace, &exchange.info.name);
    let account = exchange
        .api
        .store
        .get(&GroupResource::new("", "serviceaccounts"), namespace, name)
        .ok_or_else(|| ApiError::not_found("", "serviceaccounts", name))?;
    let spec = &review["spec"];
    let lifetime = spec["expirationSeconds"].as_i64().unwrap_or(3600);
    if lifetime < LIFE.0 {
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &json!(lifetime),
            "may not specify a duration less than 10 minutes",
        );
        return Err(ApiError::invalid(
            "authentication.k8s.io",
            "TokenRequest",
            "",
            &[cause],
        ));
    }
    let mut audiences: Vec<String> = object::list(spec, &["audiences"])
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if audiences.is_empty() {
        audiences.push(tokens::ISSUER.to_owned());
    }
    let bound_to = bound_object(&exchange, &spec["boundObjectRef"], object::name(&account))?;
    let claim = Claim {
        namespace,
        name,
        uid: object::uid(&account),
        audiences: audiences.clone(),
        lifetime: lifetime.min(LIFE.1),
        bound_to,
    };
    let (token, end) = tokens::issue(&exchange.api.secrets, &claim);
    let map = object::map(&mut review);
    map.insert("apiVersion".into(), json!("authentication.k8s.io/v1"));
    map.insert("kind".into(), json!("TokenRequest"));
    map.insert(
        "metadata".into(),
        json!({"name": name, "namespace": namespace, "creationTimestamp": object::now()}),
    );
    map.insert(
        "status".into(),
        json!({
            "token": token, "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }),
    );
    let spec = object::map_at(&mut review, &["spec"]);
    spec.insert("audiences".into(), json!(audiences));
    spec.insert("expirationSeconds".into(), json!(lifetime.min(LIFE.1)));
    Ok(respond::with_code(StatusCode::CREATED, &review))
}

/// The pod or Secret a token is bound to; it must be there and, if a pod, run as the account.
fn bound_object(
    exchange: &Exchange,
    reference: &Value,
    account: &str,
) -> ApiResult<Option<(String, String, String)>> {
    if !reference.is_object() {
        return Ok(None);
    }
    let kind = object::text(reference, &["kind"]);
    let name = object::text(reference, &["name"]);
    let plural = match kind {
        "Pod" => "pods",
        "Secret" => "secrets",
        other => {
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount \"{account}\" to object kind \"{other}\""
            )));
        }
    };
    let namespace = &exchange.info.namespace;
    let live = exchange
        .api
        .store
        .get(&GroupResource::new("", plural), namespace, name)
        .ok_or_else(|| ApiError::not_found("", plural, name))?;
    let wanted = object::text(reference, &["uid"]);
    if !wanted.is_empty() && wanted != object::uid(&live) {
        let text = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict("", plural, name, &text));
    }
    if kind == "Pod" && object::text(&live, &["spec", "serviceAccountName"]) != account {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount \"{account}\" to pod running with different serviceaccount name."
        )));
    }
    Ok(Some((
        kind.to_owned(),
        name.to_owned(),
        object::uid(&live).to_owned(),
    )))
}

fn done(code: StatusCode) -> Response<Body> {
    respond::with_code(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code.as_u16(),
        }),
    )
}

/// Eviction: a deletion that respects disruption budgets.
async fn evict(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let (_, request) = exchange.take_request();
    let eviction = body::object(request).await?.value;
    let options = DeleteOptions::read(&eviction["deleteOptions"], &exchange.info.query)?;
    let mut call = change::call(&exchange, &resource)?;
    call.subresource = String::new();
    let pod = call.current()?;
    let budgets = exchange.api.store.list(
        &GroupResource::new("policy", "poddisruptionbudgets"),
        Some(&call.namespace),
    );
    for (_, stored) in budgets.objects {
        let budget = stored.value();
        let selector = crate::sandbox::selectors::LabelSelector::of_object(&budget["spec"]["selector"]);
        if selector.matches(&pod)
            && budget["status"]["disruptionsAllowed"]
                .as_i64()
                .is_some_and(|n| n <= 0)
        {
            return Err(ApiError::too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
            ));
        }
    }
    write::delete(&mut call, &options).await?;
    Ok(done(StatusCode::CREATED))
}

/// Binding: a scheduler gives a pod its node.
async fn bind(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let (_, request) = exchange.take_request();
    let binding = body::object(request).await?.value;
    let node = object::text(&binding, &["target", "name"]).to_owned();
    let mut call = change::call(&exchange, &resource)?;
    call.subresource = String::new();
    write::update(&mut call, |call, old| {
        let taken = object::text(old, &["spec", "nodeName"]);
        if !taken.is_empty() {
            let text = format!("pod {} is already assigned to node \"{taken}\"", call.name);
            return Err(ApiError::conflict("", "pods/binding", &call.name, &text));
        }
        let mut object = (**old).clone();
        object::map_at(&mut object, &["spec"]).insert("nodeName".into(), json!(node));
        Ok(Change::whole(object, Vec::new()))
    })
    .await?;
    Ok(done(StatusCode::CREATED))
}

/// Finalize: the namespace controller takes its finalizer away.
async fn finalize(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let (headers, request) = exchange.take_request();
    let sent = body::object(request).await?.value;
    let mut call = change::call(&exchange, &resource)?;
    call.subresource = String::new();
    let made = write::update(&mut call, |_, old| {
        let mut object = (**old).clone();
        let finalizers = sent["spec"]["finalizers"].clone();
        let spec = object::map_at(&mut object, &["spec"]);
        if finalizers.as_array().is_some_and(|f| !f.is_empty()) {
            spec.insert("finalizers".into(), finalizers);
        } else {
            spec.remove("finalizers");
        }
        Ok(Change::whole(object, Vec::new()))
    })
    .await?;
    let form = respond::form(&headers, None)?;
    Ok(respond::one(form, &resource, made, StatusCode::OK))
}
