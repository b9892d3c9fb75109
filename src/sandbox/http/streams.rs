//! What the node answers through the server: logs, exec, attach, port-forward. All but the first are WebSockets with
//! numbered channels, as kubectl and kube's client speak them.

mod attached;
mod channels;
mod spdy;
mod tunnel;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::Value;

use super::Exchange;
use crate::sandbox::auth::rbac::{self, Attributes};
use crate::sandbox::kubelet::{ContainerRef, Kubelet, KubeletError, LogOptions};
use crate::sandbox::object;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::store::GroupResource;

/// Answers logs, exec, attach and port-forward of a pod.
pub(super) async fn serve(mut exchange: Exchange) -> ApiResult<Response<Body>> {
    let info = &exchange.info;
    let pod = exchange
        .api
        .store
        .get(&GroupResource::new("", "pods"), &info.namespace, &info.name)
        .ok_or_else(|| ApiError::not_found("", "pods", &info.name))?;
    let node = object::text(&pod, &["spec", "nodeName"]);
    if node.is_empty() {
        return Err(ApiError::bad_request(format!(
            "pod {} does not have a host assigned",
            info.name
        )));
    }
    let kubelet = exchange
        .api
        .kubelet()
        .ok_or_else(|| ApiError::internal("there is no node to ask: the kubelet is not running"))?;
    match info.subresource.as_str() {
        "log" if info.verb == "get" => {
            let target = target(&exchange, &pod)?;
            log(&exchange, kubelet, target).await
        }
        "exec" | "attach" | "portforward" if matches!(info.verb, "get" | "create") => {
            may_create(&exchange)?;
            let target = if info.subresource != "portforward" {
                target(&exchange, &pod)?
            } else {
                ContainerRef {
                    namespace: info.namespace.clone(),
                    pod: info.name.clone(),
                    container: None,
                }
            };
            upgrade(&mut exchange, kubelet, target).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Opening a stream takes the right to create it, even where the WebSocket makes it a GET.
fn may_create(exchange: &Exchange) -> ApiResult<()> {
    let info = &exchange.info;
    let attributes = Attributes {
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        ..Attributes::resource("create", "", "pods")
    };
    rbac::authorize(&exchange.api, &exchange.user, &attributes)
}

/// The container a request is about.
fn target(exchange: &Exchange, pod: &Value) -> ApiResult<ContainerRef> {
    let info = &exchange.info;
    let names = |list: &str| -> Vec<String> {
        object::list(pod, &["spec", list])
            .iter()
            .map(|c| object::text(c, &["name"]).to_owned())
            .collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let wanted = info.query.get("container").filter(|c| !c.is_empty());
    let container = match wanted {
        Some(name) if main.iter().chain(&init).any(|n| n == name) => name.to_owned(),
        Some(name) => {
            return Err(ApiError::bad_request(format!(
                "container {name} is not valid for pod {}",
                info.name
            )));
        }
        None => match main.as_slice() {
            [one] => one.clone(),
            many => {
                let default = object::text(
                    pod,
                    &[
                        "metadata",
                        "annotations",
                        "kubectl.kubernetes.io/default-container",
                    ],
                );
                if many.iter().any(|n| n == default) {
                    default.to_owned()
                } else {
                    let also = if init.is_empty() {
                        String::new()
                    } else {
                        format!(" or one of the init containers: [{}]", init.join(" "))
                    };
                    return Err(ApiError::bad_request(format!(
                        "a container name must be specified for pod {}, choose one of: [{}]{also}",
                        info.name,
                        many.join(" ")
                    )));
                }
            }
        },
    };
    Ok(ContainerRef {
        namespace: info.namespace.clone(),
        pod: info.name.clone(),
        container: Some(container),
    })
}

fn refused(error: KubeletError, pod: &str) -> ApiError {
    match error {
        KubeletError::NotFound(text) => {
            let mut refusal = ApiError::not_found("", "pods", pod);
            refusal.message = text;
            refusal
        }
        KubeletError::BadState(text) => ApiError::bad_request(text),
        KubeletError::Io(error) => ApiError::internal(error),
    }
}

async fn log(
    exchange: &Exchange,
    kubelet: Arc<dyn Kubelet>,
    target: ContainerRef,
) -> ApiResult<Response<Body>> {
    let query = &exchange.info.query;
    let since = match (query.number("sinceSeconds")?, query.get("sinceTime")) {
        (Some(seconds), _) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX / 2);
            jiff::Timestamp::now()
                .checked_sub(jiff::SignedDuration::from_secs(seconds))
                .ok()
        }
        (None, Some(time)) => Some(
            time.parse()
                .map_err(|e| ApiError::bad_request(format!("sinceTime: {e}")))?,
        ),
        (None, None) => None,
    };
    let options = LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        tail_lines: query.number("tailLines")?.and_then(|n| usize::try_from(n).ok()),
        since,
        timestamps: query.flag("timestamps"),
        limit_bytes: query.number("limitBytes")?,
    };
    let lines = kubelet
        .logs(target, options)
        .await
        .map_err(|e| refused(e, &exchange.info.name))?;
    let mut response = Response::new(Body::from_stream(lines));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn upgrade(
    exchange: &mut Exchange,
    kubelet: Arc<dyn Kubelet>,
    target: ContainerRef,
) -> ApiResult<Response<Body>> {
    let (_, request): (_, Request<Body>) = exchange.take_request();
    let (mut parts, _) = request.into_parts();
    let attach = exchange.info.subresource == "attach";
    let exec = attach || exchange.info.subresource == "exec";
    let socket = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|_| {
        ApiError::bad_request("unable to upgrade: only WebSocket is spoken here, with v5.channel.k8s.io or v4.channel.k8s.io")
    })?;
    let offered: BTreeSet<&str> = parts
        .headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|h| h.to_str().ok())
        .flat_map(|h| h.split(',').map(str::trim))
        .collect();
    // Port-forward has no version 5.
    let spoken: &[&str] = if exec {
        &["v5.channel.k8s.io", "v4.channel.k8s.io"]
    } else {
        &[tunnel::PROTOCOL, "v4.channel.k8s.io"]
    };
    if !spoken.iter().any(|p| offered.contains(p)) {
        return Err(ApiError::bad_request(format!(
            "unable to upgrade: none of the protocols offered is spoken here ({})",
            spoken.join(", ")
        )));
    }
    let tunnel = !exec && offered.contains(tunnel::PROTOCOL);
    let socket = socket.protocols(spoken.iter().copied());
    let query = &exchange.info.query;
    let response = if exec {
        let command = query.all("command");
        if command.is_empty() && !attach {
            return Err(ApiError::bad_request("you must specify at least 1 command"));
        }
        let wanted = channels::Exec {
            command,
            tty: query.flag("tty"),
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr") && !query.flag("tty"),
        };
        let kubelet = if attach {
            Arc::new(attached::Attached(kubelet)) as Arc<dyn Kubelet>
        } else {
            kubelet
        };
        socket.on_upgrade(move |socket| channels::exec(socket, kubelet, target, wanted))
    } else if tunnel {
        socket.on_upgrade(move |socket| tunnel::forward(socket, kubelet, target))
    } else {
        let ports: Option<Vec<u16>> = query
            .all("ports")
            .iter()
            .flat_map(|p| p.split(','))
            .map(|p| p.trim().parse().ok())
            .collect();
        let ports = ports
            .filter(|p| !p.is_empty())
            .ok_or_else(|| ApiError::bad_request("query parameter \"ports\" is required"))?;
        socket.on_upgrade(move |socket| channels::forward(socket, kubelet, target, ports))
    };
    debug_assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    Ok(response)
}
