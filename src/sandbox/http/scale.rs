//! The scale subresource: replicas of anything that has some.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};

use super::{Exchange, body, change, read, respond};
use crate::sandbox::kinds::{Resource, ScalePaths};
use crate::sandbox::object;
use crate::sandbox::patch::merge;
use crate::sandbox::status::{ApiError, ApiResult, Cause};
use crate::sandbox::write::{self, Change};

/// GET, PUT and PATCH of a Scale.
pub(super) async fn serve(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let Some(paths) = resource.scale.clone() else {
        return Err(ApiError::no_such_resource());
    };
    let verb = exchange.info.verb;
    if verb == "get" {
        let namespace = read::namespace_of(&exchange, &resource);
        let name = &exchange.info.name;
        let live = exchange.api.store.get(&resource.storage(), namespace, name);
        let live = live.ok_or_else(|| ApiError::not_found(&resource.group, &resource.plural, name))?;
        return Ok(respond::json(&scale_of(&live, &paths)));
    }
    if !matches!(verb, "update" | "patch") {
        return Err(ApiError::method_not_allowed());
    }
    let (headers, request) = exchange.take_request();
    let media = body::media_type(&headers).to_owned();
    let bytes = body::bytes(request).await?;
    let sent = body::yaml(&bytes)?.value;
    let mut call = change::call(&exchange, &resource)?;
    // The object changes through its main path; only the authorization was about `scale`.
    call.subresource = String::new();
    let made = write::update(&mut call, |_, old| {
        let before = scale_of(old, &paths);
        let wanted = match (verb, media.as_str()) {
            ("patch", "application/json-patch+json") => merge::json_patch(&before, &sent)?,
            ("patch", _) => merge::merge_patch(&before, &sent),
            _ => sent.clone(),
        };
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
        if replicas < 0 {
            let cause = Cause::invalid(
                "spec.replicas",
                &json!(replicas),
                "must be greater than or equal to 0",
            );
            return Err(ApiError::invalid(
                "autoscaling",
                "Scale",
                object::name(old),
                &[cause],
            ));
        }
        let mut object = (**old).clone();
        let path: Vec<&str> = paths.spec.iter().map(String::as_str).collect();
        if let Some((last, parents)) = path.split_last() {
            object::map_at(&mut object, parents).insert((*last).to_owned(), json!(replicas));
        }
        let version = object::resource_version(&wanted);
        if !version.is_empty() {
            object::metadata(&mut object).insert("resourceVersion".into(), json!(version));
        }
        Ok(Change::whole(object, Vec::new()))
    })
    .await?;
    Ok(respond::json(&scale_of(&made, &paths)))
}

fn number(object: &Value, path: &[String]) -> i64 {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    object::at(object, &path).and_then(Value::as_i64).unwrap_or(0)
}

fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let metadata = &object["metadata"];
    let selector = match &paths.selector {
        Some(path) => {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            object::text(object, &path).to_owned()
        }
        None => object["spec"]["selector"]["matchLabels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(","),
    };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": number(object, &paths.spec)},
        "status": {"replicas": number(object, &paths.status), "selector": selector},
    })
}
