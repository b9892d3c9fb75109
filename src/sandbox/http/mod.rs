//! The server's front: every request is understood, authenticated, authorized, and sent to whoever answers it.

pub(crate) mod body;
mod change;
mod discovery;
mod openapi;
mod read;
pub(crate) mod respond;
mod scale;
mod streams;
mod subresources;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, Request, Response, StatusCode};

use super::auth::rbac::{self, Attributes};
use super::auth::{self, User, reviews};
use super::kinds::Resource;
use super::request::RequestInfo;
use super::server::Api;
use super::status::{ApiError, ApiResult};

/// A request on its way through the server.
pub(crate) struct Exchange {
    pub(crate) api: Arc<Api>,
    pub(crate) info: RequestInfo,
    pub(crate) user: User,
    pub(crate) headers: HeaderMap,
    /// The request until its body is read. In a lock because a body can be sent between threads but not shared.
    request: Mutex<Request<Body>>,
}

impl Exchange {
    /// Hands out the request to read its body.
    pub(crate) fn take_request(&mut self) -> (HeaderMap, Request<Body>) {
        let request = self.request.get_mut().unwrap_or_else(PoisonError::into_inner);
        (self.headers.clone(), std::mem::take(request))
    }
}

/// The server's routes. There is one: paths are Kubernetes', not ours.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(entry).with_state(api)
}

async fn entry(State(api): State<Arc<Api>>, request: Request<Body>) -> Response<Body> {
    match serve(api, request).await {
        Ok(response) => response,
        Err(error) => respond::error(&error),
    }
}

async fn serve(api: Arc<Api>, request: Request<Body>) -> ApiResult<Response<Body>> {
    let info = RequestInfo::parse(request.method(), request.uri());
    if matches!(info.path.trim_end_matches('/'), "/healthz" | "/livez" | "/readyz") {
        return Ok(respond::text(StatusCode::OK, "ok"));
    }
    let trusted = request.extensions().get::<User>().cloned();
    let user = auth::authenticate(&api, request.headers(), trusted)?;
    authorize(&api, &user, &info)?;
    let headers = request.headers().clone();
    let exchange = Exchange {
        api,
        info,
        user,
        headers,
        request: Mutex::new(request),
    };
    if exchange.info.is_resource {
        resource(exchange).await
    } else {
        other(&exchange)
    }
}

fn authorize(api: &Api, user: &User, info: &RequestInfo) -> ApiResult<()> {
    if !info.is_resource {
        return rbac::authorize(api, user, &Attributes::path(info.verb, &info.path));
    }
    let attributes = Attributes {
        verb: info.verb,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: info.authorized_name(),
        path: "",
    };
    rbac::authorize(api, user, &attributes)
}

/// Paths that are no resources: discovery, schemas, version.
fn other(exchange: &Exchange) -> ApiResult<Response<Body>> {
    if exchange.info.verb != "get" {
        return Err(ApiError::method_not_allowed());
    }
    let path = exchange.info.path.trim_end_matches('/');
    match path {
        "/version" => Ok(respond::json(&discovery::version())),
        "/api" | "/apis" => discovery::roots(exchange),
        "" => Ok(respond::json(
            &serde_json::json!({"paths": ["/api", "/apis", "/healthz", "/openapi/v2", "/openapi/v3", "/version"]}),
        )),
        _ if path.starts_with("/openapi/") => openapi::serve(exchange, path),
        _ if path.starts_with("/api/") || path.starts_with("/apis/") => discovery::group(exchange),
        _ => Err(ApiError::no_such_resource()),
    }
}

async fn resource(exchange: Exchange) -> ApiResult<Response<Body>> {
    let info = &exchange.info;
    let resource = exchange
        .api
        .registry
        .find(&info.group, &info.version, &info.resource)
        .ok_or_else(ApiError::no_such_resource)?;
    if resource.verbs == ["create"] {
        return reviews::answer(exchange, &resource).await;
    }
    if resource.namespaced && info.namespace.is_empty() && !matches!(info.verb, "list" | "watch") {
        return Err(ApiError::method_not_allowed());
    }
    if !resource.namespaced && !info.namespace.is_empty() && resource.plural != "namespaces" {
        return Err(ApiError::no_such_resource());
    }
    let deprecation = resource.custom().and_then(|c| c.deprecation.clone());
    let mut response = match info.subresource.as_str() {
        "" => main(exchange, resource).await,
        "status" if resource.status => main(exchange, resource).await,
        "scale" if resource.scale.is_some() => scale::serve(exchange, resource).await,
        "log" | "exec" | "attach" | "portforward" if resource.is("", "Pod") => streams::serve(exchange).await,
        _ => subresources::serve(exchange, resource).await,
    }?;
    respond::warn(&mut response, deprecation.as_slice());
    Ok(response)
}

/// The object itself, or its status.
async fn main(exchange: Exchange, resource: Arc<Resource>) -> ApiResult<Response<Body>> {
    match exchange.info.verb {
        "get" => read::get(&exchange, &resource),
        "list" => read::list(&exchange, &resource),
        "watch" => watch::watch(&exchange, &resource),
        "create" => change::create(exchange, resource).await,
        "update" => change::update(exchange, resource).await,
        "patch" => change::patch(exchange, resource).await,
        "delete" if exchange.info.subresource.is_empty() => change::delete(exchange, resource).await,
        "deletecollection" if exchange.info.subresource.is_empty() => {
            change::delete_collection(exchange, resource).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}
