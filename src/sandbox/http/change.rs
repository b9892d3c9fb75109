//! Creating, changing and deleting over HTTP.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{Exchange, body, read, respond};
use crate::sandbox::auth::rbac::{self, Attributes};
use crate::sandbox::kinds::{EVENTS_GROUP, Resource, definition};
use crate::sandbox::patch::apply::{Wish, apply};
use crate::sandbox::patch::{managed, merge, strategic};
use crate::sandbox::status::{ApiError, ApiResult, Cause};
use crate::sandbox::write::{self, Call, Change, DeleteOptions, Deleted, FieldValidation};

/// The call a request makes. Events of `events.k8s.io` are handled as the core ones they are.
pub(super) fn call<'a>(exchange: &'a Exchange, resource: &Arc<Resource>) -> ApiResult<Call<'a>> {
    let info = &exchange.info;
    let dry_run = match info.query.all("dryRun").as_slice() {
        [] => false,
        all if all.iter().all(|d| d == "All") => true,
        [other, ..] => {
            return Err(ApiError::bad_request(format!(
                "dryRun: Unsupported value: \"{other}\": supported values: \"All\""
            )));
        }
    };
    let core = (resource.group == EVENTS_GROUP)
        .then(|| exchange.api.registry.find("", "v1", "events"))
        .flatten();
    Ok(Call {
        api: &exchange.api,
        resource: core.unwrap_or_else(|| resource.clone()),
        subresource: info.subresource.clone(),
        namespace: read::namespace_of(exchange, resource).to_owned(),
        name: info.name.clone(),
        user: exchange.user.clone(),
        dry_run,
        field_validation: FieldValidation::parse(info.query.get("fieldValidation"))?,
        manager: manager(info.query.get("fieldManager"), &exchange.headers),
        warnings: Vec::new(),
    })
}

fn manager(given: Option<&str>, headers: &HeaderMap) -> String {
    if let Some(name) = given.filter(|n| !n.is_empty()) {
        return name.chars().take(128).collect();
    }
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name.chars().take(128).collect()
    }
}

/// Checks that the body is of the kind the path names; an absent kind is filled in.
fn check_kind(resource: &Resource, object: &mut Value) -> ApiResult<()> {
    let Some(map) = object.as_object_mut() else {
        return Err(ApiError::bad_request("the body of the request is not an object"));
    };
    let wanted = resource.api_version();
    let version = map
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let kind = map
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if !version.is_empty() && version != wanted {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({wanted})"
        )));
    }
    if !kind.is_empty() && kind != resource.kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            resource.kind
        )));
    }
    map.insert("apiVersion".into(), json!(wanted));
    map.insert("kind".into(), json!(resource.kind));
    Ok(())
}

/// Translates Events of the newer group into what is stored.
fn stored_form(resource: &Resource, object: Value) -> Value {
    if resource.group == EVENTS_GROUP {
        respond::events::to_core(&object)
    } else {
        object
    }
}

fn finish(
    headers: &HeaderMap,
    resource: &Resource,
    object: Arc<Value>,
    code: StatusCode,
    warnings: &[String],
) -> ApiResult<Response<Body>> {
    let mut response = respond::one(respond::form(headers, None)?, resource, object, code);
    respond::warn(&mut response, warnings);
    Ok(response)
}

/// POST.
pub(super) async fn create(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    if !exchange.info.name.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let (headers, request) = exchange.take_request();
    let mut decoded = body::object(request).await?;
    check_kind(&resource, &mut decoded.value)?;
    let mut call = call(&exchange, &resource)?;
    let object = stored_form(&resource, decoded.value);
    let made = write::create(&mut call, object, &decoded.duplicates).await?;
    finish(&headers, &resource, made, StatusCode::CREATED, &call.warnings)
}

/// PUT.
pub(super) async fn update(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let (headers, request) = exchange.take_request();
    let mut decoded = body::object(request).await?;
    check_kind(&resource, &mut decoded.value)?;
    let object = stored_form(&resource, decoded.value);
    let mut call = call(&exchange, &resource)?;
    let version = crate::sandbox::object::resource_version(&object);
    if version.is_empty() && resource.custom().is_some() {
        let cause = Cause {
            reason: "FieldValueInvalid",
            field: "metadata.resourceVersion".into(),
            message: "Invalid value: 0x0: must be specified for an update".into(),
        };
        return Err(ApiError::invalid(
            &resource.group,
            &resource.plural,
            &call.name,
            &[cause],
        ));
    }
    let made = write::update(&mut call, |_, _| {
        Ok(Change::whole(object.clone(), decoded.duplicates.clone()))
    })
    .await?;
    finish(&headers, &resource, made, StatusCode::OK, &call.warnings)
}

/// PATCH.
pub(super) async fn patch(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let (headers, request) = exchange.take_request();
    let bytes = body::bytes(request).await?;
    let media = body::media_type(&headers).to_owned();
    if media == "application/apply-patch+yaml" {
        return server_side_apply(&exchange, resource, &headers, &bytes).await;
    }
    let decoded = body::json(&bytes)?;
    let patch = stored_form(&resource, decoded.value);
    let mut call = call(&exchange, &resource)?;
    let made = write::update(&mut call, |call, old| {
        let changed = match media.as_str() {
            "application/json-patch+json" => merge::json_patch(old, &patch)?,
            "application/merge-patch+json" => merge::merge_patch(old, &patch),
            "application/strategic-merge-patch+json" if call.resource.custom().is_none() => {
                strategic::apply(old, &patch, call.resource.schema())
            }
            _ => return Err(unsupported_patch(&media, call.resource.custom().is_some())),
        };
        Ok(Change::whole(changed, decoded.duplicates.clone()))
    })
    .await?;
    finish(&headers, &resource, made, StatusCode::OK, &call.warnings)
}

fn unsupported_patch(media: &str, custom: bool) -> ApiError {
    let strategic = if custom {
        ""
    } else {
        ", application/strategic-merge-patch+json"
    };
    ApiError::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json{strategic}, application/apply-patch+yaml (got {media})"
    ))
}

async fn server_side_apply(
    exchange: &Exchange,
    resource: Arc<Resource>,
    headers: &HeaderMap,
    bytes: &[u8],
) -> ApiResult<Response<Body>> {
    let query = &exchange.info.query;
    let manager = query.get("fieldManager").unwrap_or_default().to_owned();
    if manager.is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    }
    let force = query.flag("force");
    let mut decoded = body::yaml(bytes)?;
    check_kind(&resource, &mut decoded.value)?;
    let config = stored_form(&resource, decoded.value);
    if !managed::entries(&config).is_empty() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let mut call = call(exchange, &resource)?;
    call.manager.clone_from(&manager);
    let config = write::check_fields(&mut call, config, &decoded.duplicates)?;
    for _ in 0..2 {
        if call.current().is_err() {
            match apply_new(&mut call, exchange, &config).await {
                // Somebody made it meanwhile: apply to that.
                Err(error) if error.reason == "AlreadyExists" => continue,
                made => return finish(headers, &resource, made?, StatusCode::CREATED, &call.warnings),
            }
        }
        break;
    }
    let made = write::update(&mut call, |call, old| {
        let wish = Wish {
            config: &config,
            manager: &manager,
            force,
            subresource: &call.subresource,
        };
        let object = apply(Some(old), &wish, &call.resource)?;
        Ok(Change {
            object,
            applied: true,
            duplicates: Vec::new(),
            checked: false,
        })
    })
    .await?;
    finish(headers, &resource, made, StatusCode::OK, &call.warnings)
}

/// The first apply of an object creates it, which takes the right to create.
async fn apply_new(call: &mut Call<'_>, exchange: &Exchange, config: &Value) -> ApiResult<Arc<Value>> {
    if !call.subresource.is_empty() {
        return Err(call.not_found());
    }
    let info = &exchange.info;
    let attributes = Attributes {
        namespace: &info.namespace,
        name: &info.name,
        ..Attributes::resource("create", &info.group, &info.resource)
    };
    rbac::authorize(&exchange.api, &exchange.user, &attributes)?;
    let wish = Wish {
        config,
        manager: &call.manager,
        force: false,
        subresource: "",
    };
    let object = apply(None, &wish, &call.resource)?;
    write::create(call, object, &[]).await
}

/// DELETE of one object.
pub(super) async fn delete(mut exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    let (headers, request) = exchange.take_request();
    let body = body::object(request).await?.value;
    let options = DeleteOptions::read(&body, &exchange.info.query)?;
    let mut call = call(&exchange, &resource)?;
    call.dry_run |= body["dryRun"] == json!(["All"]);
    let deleted = write::delete(&mut call, &options).await?;
    after_delete(&exchange, &resource, &deleted);
    match deleted {
        Deleted::Pending(object) => finish(&headers, &resource, object, StatusCode::OK, &call.warnings),
        Deleted::Gone(object) if resource.is("", "Pod") => {
            finish(&headers, &resource, object, StatusCode::OK, &call.warnings)
        }
        Deleted::Gone(object) => {
            let mut response = respond::json(&success(&resource, &object));
            respond::warn(&mut response, &call.warnings);
            Ok(response)
        }
    }
}

fn success(resource: &Resource, object: &Value) -> Value {
    let mut details = json!({
        "name": crate::sandbox::object::name(object), "kind": resource.plural,
        "uid": crate::sandbox::object::uid(object),
    });
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// A CRD that waits for its instances gets them deleted.
fn after_delete(exchange: &Exchange, resource: &Resource, deleted: &Deleted) {
    if let Deleted::Pending(crd) = deleted
        && definition::is_definition(&resource.storage())
    {
        definition::clean_up(&exchange.api, crd);
    }
}

/// DELETE of all that a selection names.
pub(super) async fn delete_collection(
    mut exchange: Exchange,
    resource: Arc<Resource>,
) -> ApiResult<Response<Body>> {
    let (_, request) = exchange.take_request();
    let body = body::object(request).await?.value;
    let options = DeleteOptions::read(&body, &exchange.info.query)?;
    let selection = read::selection(&exchange, &resource)?;
    let scope = Some(exchange.info.namespace.as_str()).filter(|n| !n.is_empty() && resource.namespaced);
    let listing = exchange.api.store.list(&resource.storage(), scope);
    let mut items = Vec::new();
    for ((namespace, name), stored) in listing.objects {
        let object = stored.value();
        if !selection.matches(&object) {
            continue;
        }
        let mut call = call(&exchange, &resource)?;
        call.dry_run |= body["dryRun"] == json!(["All"]);
        (call.namespace, call.name) = (namespace, name);
        match write::delete(&mut call, &options).await {
            Ok(deleted) => {
                after_delete(&exchange, &resource, &deleted);
                items.push((*respond::present(&resource, object)).clone());
            }
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(respond::json(&json!({
        "kind": resource.list_kind, "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": listing.version.to_string()}, "items": items,
    })))
}
