//! Reading one object and lists of them.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Exchange;
use super::respond::{self, Form};
use crate::sandbox::kinds::Resource;
use crate::sandbox::selectors::Selection;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::store::{ObjectKey, Stored};
use crate::sandbox::table;

/// One object.
pub(super) fn get(exchange: &Exchange, resource: &Resource) -> ApiResult<Response<Body>> {
    let info = &exchange.info;
    let object = exchange
        .api
        .store
        .get(&resource.storage(), namespace_of(exchange, resource), &info.name)
        .ok_or_else(|| ApiError::not_found(&info.group, &info.resource, &info.name))?;
    let form = respond::form(&exchange.headers, info.query.get("includeObject"))?;
    Ok(respond::one(form, resource, object, StatusCode::OK))
}

/// The namespace objects of this request are stored under.
pub(super) fn namespace_of<'a>(exchange: &'a Exchange, resource: &Resource) -> &'a str {
    if resource.namespaced {
        &exchange.info.namespace
    } else {
        ""
    }
}

/// Selectors of a request.
pub(super) fn selection(exchange: &Exchange, resource: &Resource) -> ApiResult<Selection> {
    let query = &exchange.info.query;
    Selection::parse(query.get("labelSelector"), query.get("fieldSelector"), resource)
}

/// Where a list goes on.
struct Continue {
    version: u64,
    after: ObjectKey,
}

impl Continue {
    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_slice(&BASE64.decode(text).ok()?).ok()?;
        let part = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self {
            version: value["rv"].as_u64()?,
            after: (part("ns")?, part("n")?),
        })
    }

    fn text(&self) -> String {
        BASE64.encode(json!({"rv": self.version, "ns": self.after.0, "n": self.after.1}).to_string())
    }
}

/// A list, or a page of it.
pub(super) fn list(exchange: &Exchange, resource: &Resource) -> ApiResult<Response<Body>> {
    let query = &exchange.info.query;
    let form = respond::form(&exchange.headers, exchange.info.query.get("includeObject"))?;
    let selection = selection(exchange, resource)?;
    let limit = query.number("limit")?.filter(|l| *l > 0);
    let storage = resource.storage();
    let scope = Some(exchange.info.namespace.as_str()).filter(|n| !n.is_empty() && resource.namespaced);
    let page = exchange.api.store.list(&storage, scope);
    let mut version = page.version;
    let mut after: Option<ObjectKey> = None;
    if let Some(token) = query.get("continue").filter(|t| !t.is_empty()) {
        let from = Continue::parse(token)
            .ok_or_else(|| ApiError::bad_request("continue key is not valid: the token could not be read"))?;
        // The list is as of its first page; a watch from there must still be able to catch up.
        if exchange.api.store.changes(&storage, from.version).is_err() {
            return Err(ApiError::expired(
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
            ));
        }
        version = from.version;
        after = Some(from.after);
    }
    let fresh = |key: &ObjectKey| after.as_ref().is_none_or(|a| key > a);
    let mut rest = page.objects.into_iter().filter(|(key, _)| fresh(key));
    let (objects, last) = take(&mut rest, &selection, limit);
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(last) = last {
        let remaining = rest.count();
        if remaining > 0 {
            metadata["continue"] = json!(Continue { version, after: last }.text());
            if selection.is_empty() {
                metadata["remainingItemCount"] = json!(remaining);
            }
        }
    }
    Ok(respond::bytes(
        StatusCode::OK,
        body(resource, &objects, &metadata, form),
    ))
}

/// As many matching objects as wanted; the key of the last if the limit was reached.
fn take(
    rest: &mut impl Iterator<Item = (ObjectKey, Stored)>,
    selection: &Selection,
    limit: Option<u64>,
) -> (Vec<Arc<Value>>, Option<ObjectKey>) {
    let mut objects = Vec::new();
    for (key, stored) in rest {
        let object = stored.value();
        if selection.matches(&object) {
            objects.push(object);
        }
        if limit.is_some_and(|l| objects.len() as u64 >= l) {
            return (objects, Some(key));
        }
    }
    (objects, None)
}

fn body(resource: &Resource, objects: &[Arc<Value>], metadata: &Value, form: Form) -> Vec<u8> {
    let shown: Vec<Arc<Value>> = objects
        .iter()
        .map(|o| respond::present(resource, o.clone()))
        .collect();
    if let Form::Table(rows) = form {
        return serde_json::to_vec(&table::render(resource, &shown, metadata, true, rows))
            .unwrap_or_default();
    }
    let (kind, version) = match form {
        Form::Metadata => (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        ),
        _ => (resource.list_kind.clone(), resource.api_version()),
    };
    // Written piece by piece: a copy of a long list would double its memory.
    let head = json!({"kind": kind, "apiVersion": version, "metadata": metadata}).to_string();
    let mut out = head.into_bytes();
    out.pop();
    out.extend_from_slice(b",\"items\":[");
    for (index, object) in shown.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let item = match form {
            Form::Metadata => serde_json::to_vec(&respond::metadata_only(object)),
            _ => serde_json::to_vec(&**object),
        };
        out.extend(item.unwrap_or_default());
    }
    out.extend_from_slice(b"]}");
    out
}
