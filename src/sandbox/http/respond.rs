//! Answers: what form the client wants (objects, tables, metadata alone) and how objects of a version look.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::sandbox::kinds::{EVENTS_GROUP, Resource};
use crate::sandbox::object;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::table::{self, Rows};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Object,
    /// A `Table` of columns.
    Table(Rows),
    /// Only metadata.
    Metadata,
}

/// The first form in `Accept` that this server can give. `include` is the query's `includeObject`, which says what
/// the rows of a table carry.
pub(crate) fn form(headers: &HeaderMap, include: Option<&str>) -> ApiResult<Form> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|h| h.to_str().ok())
        .unwrap_or("*/*");
    for entry in accept.split(',').map(str::trim).filter(|e| !e.is_empty()) {
        let mut parts = entry.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(
            media,
            "application/json" | "*/*" | "application/*" | "application/yaml"
        ) {
            continue;
        }
        match parts.find_map(|p| p.strip_prefix("as=")) {
            None => return Ok(Form::Object),
            Some("Table") => return Ok(Form::Table(Rows::named(include)?)),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Ok(Form::Metadata),
            Some(_) => {}
        }
    }
    Err(ApiError::custom(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json",
    ))
}

/// An object as a version of its kind shows it.
pub(crate) fn present(resource: &Resource, object: Arc<Value>) -> Arc<Value> {
    if resource.group == EVENTS_GROUP {
        return Arc::new(events::to_new(&object));
    }
    let version = resource.api_version();
    if object["apiVersion"] == version.as_str() && object["kind"] == resource.kind.as_str() {
        return object;
    }
    let mut shown = (*object).clone();
    let map = object::map(&mut shown);
    map.insert("apiVersion".into(), json!(version));
    map.insert("kind".into(), json!(resource.kind));
    Arc::new(shown)
}

/// Only type and metadata of an object.
pub(crate) fn metadata_only(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// One object in the form the client wants.
pub(crate) fn one(form: Form, resource: &Resource, object: Arc<Value>, code: StatusCode) -> Response<Body> {
    let object = present(resource, object);
    let body = match form {
        Form::Object => serde_json::to_vec(&*object),
        Form::Metadata => serde_json::to_vec(&metadata_only(&object)),
        Form::Table(rows) => {
            let version = object::resource_version(&object).to_owned();
            serde_json::to_vec(&table::render(
                resource,
                &[object],
                &json!({"resourceVersion": version}),
                true,
                rows,
            ))
        }
    };
    bytes(code, body.unwrap_or_default())
}

/// A value as JSON, 200.
pub(crate) fn json(value: &Value) -> Response<Body> {
    with_code(StatusCode::OK, value)
}

/// A value as JSON.
pub(crate) fn with_code(code: StatusCode, value: &Value) -> Response<Body> {
    bytes(code, serde_json::to_vec(value).unwrap_or_default())
}

/// JSON text as an answer.
pub(crate) fn bytes(code: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Plain text as an answer.
pub(crate) fn text(code: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response
}

/// A refusal.
pub(crate) fn error(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = with_code(code, &error.to_status());
    if error.code == 429 {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Adds `Warning` headers.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let clean: String = warning
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .flat_map(|c| {
                if matches!(c, '"' | '\\') {
                    vec!['\\', c]
                } else {
                    vec![c]
                }
            })
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{clean}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// The two views of Events: `core/v1` is what is stored, `events.k8s.io/v1` renames fields at the top.
pub(crate) mod events {
    use super::{Map, Value, json};

    const NAMES: &[(&str, &str)] = &[
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("reportingComponent", "reportingController"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
    ];

    fn rename(object: &Value, version: &str, new: impl Fn(&str) -> Option<&'static str>) -> Value {
        let mut out = Map::new();
        for (name, value) in object.as_object().into_iter().flatten() {
            out.insert(new(name).unwrap_or(name).to_owned(), value.clone());
        }
        if out.contains_key("apiVersion") {
            out.insert("apiVersion".into(), json!(version));
        }
        Value::Object(out)
    }

    /// As `events.k8s.io/v1`.
    pub(crate) fn to_new(object: &Value) -> Value {
        rename(object, "events.k8s.io/v1", |n| {
            NAMES.iter().find(|(old, _)| *old == n).map(|(_, new)| *new)
        })
    }

    /// As `v1`; patches are translated the same way.
    pub(crate) fn to_core(object: &Value) -> Value {
        rename(object, "v1", |n| {
            NAMES.iter().find(|(_, new)| *new == n).map(|(old, _)| *old)
        })
    }
}
