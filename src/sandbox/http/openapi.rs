//! OpenAPI v3: an index, and one document per group and version with just the schemas its kinds need. It is what
//! `kubectl explain` reads and what tells `kubectl apply` that the server validates fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, header};
use serde_json::{Map, Value, json};

use super::{Exchange, respond};
use crate::sandbox::kinds::{Resource, STORED_VERBS, Source, definition};
use crate::sandbox::object;
use crate::sandbox::schema::definitions;
use crate::sandbox::server::Api;
use crate::sandbox::status::{ApiError, ApiResult};

const REFERENCE: &str = "#/components/schemas/";

/// `/openapi/v3` and what is below it, and `/openapi/v2`.
pub(super) fn serve(exchange: &Exchange, path: &str) -> ApiResult<Response<Body>> {
    if path == "/openapi/v2" {
        return Ok(second(exchange));
    }
    let all = exchange.api.registry.all();
    let Some(rest) = path.strip_prefix("/openapi/v3") else {
        return Err(ApiError::no_such_resource());
    };
    let rest = rest.trim_start_matches('/');
    if rest.is_empty() {
        return Ok(respond::json(&index(&exchange.api, &all)));
    }
    let kinds: Vec<Arc<Resource>> = all.into_iter().filter(|r| place(r) == rest).collect();
    if kinds.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    Ok(respond::json(&document(&exchange.api, &kinds)))
}

/// The older OpenAPI v2, in which no kind is described: version 3 is what clients ask about those. They ask here about
/// kinds that version 3 does not have (a `List`, a kind whose CRD is missing), and must hear that there is nothing to
/// check rather than that nobody answers.
fn second(exchange: &Exchange) -> Response<Body> {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    let accepts = exchange.headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
    if !accepts.is_some_and(|accepted| accepted.contains("protobuf")) {
        return respond::json(&json!({
            "swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.32.0"}, "paths": {}, "definitions": {},
        }));
    }
    // Field 1: the version of Swagger; field 2: an Info with title (1) and version (2).
    let mut document = b"\x0a\x032.0\x12\x15".to_vec();
    document.extend_from_slice(b"\x0a\x0aKubernetes\x12\x07v1.32.0");
    let mut response = Response::new(Body::from(document));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    response
}

/// `apis/apps/v1`, `api/v1`.
fn place(resource: &Resource) -> String {
    if resource.group.is_empty() {
        format!("api/{}", resource.version)
    } else {
        format!("apis/{}/{}", resource.group, resource.version)
    }
}

/// The index. The hash in an address changes when its document does, because clients cache by it.
fn index(api: &Api, kinds: &[Arc<Resource>]) -> Value {
    let mut hashes: BTreeMap<String, String> = BTreeMap::new();
    for kind in kinds {
        let hash = hashes
            .entry(place(kind))
            .or_insert_with(|| env!("CARGO_PKG_VERSION").replace('.', "_"));
        if let Some(custom) = kind.custom()
            && let Some(crd) = api.store.get(&definition::storage(), "", &custom.definition)
        {
            hash.push('_');
            hash.push_str(object::resource_version(&crd));
        }
    }
    let paths: Map<String, Value> = hashes
        .into_iter()
        .map(|(place, hash)| {
            let url = format!("/openapi/v3/{place}?hash={hash}");
            (place, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

fn document(api: &Api, kinds: &[Arc<Resource>]) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let builtin = definitions::as_json();
    for kind in kinds {
        let (name, mut schema) = match &kind.source {
            Source::Builtin(name) => (
                (*name).to_owned(),
                builtin.get(*name).cloned().unwrap_or_default(),
            ),
            Source::Custom(custom) => (component(kind), custom_schema(api, kind, &custom.definition)),
        };
        object::map(&mut schema).insert("x-kubernetes-group-version-kind".into(), json!([kind_of(kind)]));
        references(&schema, &mut wanted);
        schemas.insert(name.clone(), schema);
        paths.extend(operations(kind, &name));
    }
    while let Some(name) = wanted.pop_first() {
        if schemas.contains_key(&name) {
            continue;
        }
        if let Some(schema) = builtin.get(&name) {
            references(schema, &mut wanted);
            schemas.insert(name, schema.clone());
        }
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.0"},
        "paths": paths, "components": {"schemas": schemas},
    })
}

fn kind_of(kind: &Resource) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

/// The name of a custom kind's schema: its group backwards, version, kind.
fn component(kind: &Resource) -> String {
    let mut parts: Vec<&str> = kind.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), kind.version, kind.kind)
}

/// The schema of a CRD's version, with its descriptions, and the metadata every object has.
fn custom_schema(api: &Api, kind: &Resource, definition_name: &str) -> Value {
    let crd = api
        .store
        .get(&definition::storage(), "", definition_name)
        .unwrap_or_default();
    let version = object::list(&crd, &["spec", "versions"])
        .iter()
        .find(|v| v["name"] == kind.version.as_str());
    let mut schema = version
        .map(|v| v["schema"]["openAPIV3Schema"].clone())
        .unwrap_or_default();
    let common = definitions::as_json();
    let config_map = &common["io.k8s.api.core.v1.ConfigMap"]["properties"];
    let properties = object::map_at(&mut schema, &["properties"]);
    for field in ["apiVersion", "kind"] {
        object::default(properties, field, config_map[field].clone());
    }
    properties.insert("metadata".into(), json!({
        "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        "allOf": [{"$ref": format!("{REFERENCE}{}", definitions::OBJECT_META)}],
    }));
    schema
}

/// Names of schemas that a schema refers to.
fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(name) = map
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|r| r.strip_prefix(REFERENCE))
            {
                found.insert(name.to_owned());
            }
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

fn parameter(name: &str, place: &str, kind: &str) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "schema": {"type": kind, "uniqueItems": true}})
}

/// Paths of a kind: those of one object and of all.
fn operations(kind: &Resource, schema: &str) -> Vec<(String, Value)> {
    let scope = if kind.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let root = format!("/{}/{scope}{}", place(kind), kind.plural);
    let answer = json!({"200": {"description": "OK", "content": {
        "application/json": {"schema": {"$ref": format!("{REFERENCE}{schema}")}}}}});
    let operation = |action: &str, options: &[&str], bodies: &[&str]| {
        let mut parameters: Vec<Value> = options.iter().map(|o| parameter(o, "query", "string")).collect();
        if action == "patch" {
            parameters.push(parameter("force", "query", "boolean"));
        }
        let mut value = json!({
            "description": format!("{action} {}", kind.kind), "operationId": format!("{action}{}{}", kind.version, kind.kind),
            "parameters": parameters, "responses": answer,
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind_of(kind),
        });
        if !bodies.is_empty() {
            let content: Map<String, Value> = bodies
                .iter()
                .map(|b| ((*b).to_owned(), json!({"schema": {"type": "object"}})))
                .collect();
            value["requestBody"] = json!({"content": content});
        }
        value
    };
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let post = operation("post", &write, &["application/json", "application/yaml"]);
    let mut path_parameters = vec![];
    if kind.namespaced {
        path_parameters.push(parameter("namespace", "path", "string"));
    }
    if kind.verbs != STORED_VERBS {
        return vec![(root, json!({"post": post, "parameters": path_parameters}))];
    }
    let list = [
        "labelSelector",
        "fieldSelector",
        "limit",
        "continue",
        "resourceVersion",
        "watch",
    ];
    let all = json!({
        "get": operation("list", &list, &[]), "post": post,
        "delete": operation("deletecollection", &["dryRun", "labelSelector", "fieldSelector"], &[]),
        "parameters": path_parameters,
    });
    path_parameters.insert(0, parameter("name", "path", "string"));
    let patches = [
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
    ];
    let one = json!({
        "get": operation("get", &[], &[]), "put": operation("put", &write, &["application/json"]),
        "patch": operation("patch", &write, &patches),
        "delete": operation("delete", &["dryRun", "gracePeriodSeconds", "propagationPolicy"], &[]),
        "parameters": path_parameters,
    });
    vec![(format!("{root}/{{name}}"), one), (root, all)]
}
