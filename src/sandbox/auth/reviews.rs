//! Questions that are answered when created: who am I, may I, is this token good.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::rbac::{self, Attributes};
use super::rules::Rule;
use super::{User, tokens};
use crate::sandbox::http::{Exchange, body, respond};
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::server::Api;
use crate::sandbox::status::{ApiError, ApiResult};

/// Answers a review.
pub(crate) async fn answer(mut exchange: Exchange, resource: &Resource) -> ApiResult<Response<Body>> {
    if exchange.info.verb != "create" {
        return Err(ApiError::method_not_allowed());
    }
    let (_, request) = exchange.take_request();
    let mut review = body::object(request).await?.value;
    let spec = review["spec"].clone();
    let (api, user) = (&*exchange.api, &exchange.user);
    let status = match resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": user.to_value()}),
        "TokenReview" => token(api, object::text(&spec, &["token"])),
        "SelfSubjectRulesReview" => rules(api, user, object::text(&spec, &["namespace"])),
        "SelfSubjectAccessReview" => access(api, user, &spec),
        _ => {
            let strings = |field: &str| {
                object::list(&spec, &[field])
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            };
            let asked = User {
                name: object::text(&spec, &["user"]).to_owned(),
                uid: object::text(&spec, &["uid"]).to_owned(),
                groups: strings("groups"),
                ..User::default()
            };
            access(api, &asked, &spec)
        }
    };
    let map = object::map(&mut review);
    map.insert("apiVersion".into(), json!(resource.api_version()));
    map.insert("kind".into(), json!(resource.kind));
    map.insert("status".into(), status);
    object::default(map, "metadata", json!({"creationTimestamp": null}));
    Ok(respond::with_code(StatusCode::CREATED, &review))
}

fn token(api: &Api, token: &str) -> Value {
    match tokens::verify(api, token) {
        Some(user) => json!({"authenticated": true, "user": user.to_value(), "audiences": [tokens::ISSUER]}),
        None => {
            json!({"authenticated": false, "error": "the token is invalid, has expired, or its ServiceAccount is gone"})
        }
    }
}

fn access(api: &Api, user: &User, spec: &Value) -> Value {
    let what = &spec["resourceAttributes"];
    let text = |field: &str| object::text(what, &[field]);
    let path = object::text(spec, &["nonResourceAttributes", "path"]);
    let attributes = if what.is_object() {
        Attributes {
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
            path: "",
        }
    } else {
        Attributes::path(object::text(spec, &["nonResourceAttributes", "verb"]), path)
    };
    if rbac::allowed(api, user, &attributes) {
        json!({"allowed": true, "reason": "RBAC: allowed"})
    } else {
        json!({"allowed": false})
    }
}

fn rules(api: &Api, user: &User, namespace: &str) -> Value {
    let mut held = rbac::rules_of(api, user, namespace);
    if user.is_master() {
        let all = || vec!["*".to_owned()];
        held.push(Rule {
            verbs: all(),
            groups: all(),
            resources: all(),
            ..Rule::default()
        });
        held.push(Rule {
            verbs: all(),
            urls: all(),
            ..Rule::default()
        });
    }
    let (urls, resources): (Vec<Rule>, Vec<Rule>) = held.into_iter().partition(|r| !r.urls.is_empty());
    let resources: Vec<Value> = resources
        .iter()
        .map(|r| json!({"verbs": r.verbs, "apiGroups": r.groups, "resources": r.resources, "resourceNames": r.names}))
        .collect();
    let urls: Vec<Value> = urls
        .iter()
        .map(|r| json!({"verbs": r.verbs, "nonResourceURLs": r.urls}))
        .collect();
    json!({"resourceRules": resources, "nonResourceRules": urls, "incomplete": false})
}
