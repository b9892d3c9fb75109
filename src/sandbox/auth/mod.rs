//! Who is asking: bearer tokens, impersonation, and what a request may do ([`rbac`]).

pub(crate) mod bootstrap;
mod default_roles;
pub(crate) mod rbac;
pub(crate) mod reviews;
pub(crate) mod rules;
pub(crate) mod tokens;

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::{Value, json};

use super::server::Api;
use super::status::{ApiError, ApiResult};
use rbac::Attributes;

/// Who makes a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The administrator: a member of `system:masters`, who may do everything.
    pub(crate) fn admin() -> Self {
        Self {
            name: "kubernetes-admin".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..Self::default()
        }
    }

    /// A ServiceAccount.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".into(),
            ],
            extra: BTreeMap::new(),
        }
    }

    /// Namespace and name, if the user is a ServiceAccount.
    pub(crate) fn as_service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    /// May do everything.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == "system:masters")
    }

    /// `UserInfo`, as reviews and webhooks get it.
    pub(crate) fn to_value(&self) -> Value {
        let mut out = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            out["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            out["extra"] = json!(self.extra);
        }
        out
    }
}

/// The user of a request. `trusted` is who the in-process transport says it is.
pub(crate) fn authenticate(api: &Api, headers: &HeaderMap, trusted: Option<User>) -> ApiResult<User> {
    let user = match trusted {
        Some(user) => user,
        None => {
            let token = headers
                .get(http::header::AUTHORIZATION)
                .and_then(|h| h.to_str().ok())
                .and_then(|h| h.strip_prefix("Bearer "))
                .ok_or_else(ApiError::unauthorized)?;
            tokens::verify(api, token.trim()).ok_or_else(ApiError::unauthorized)?
        }
    };
    impersonate(api, headers, user)
}

/// `Impersonate-User` and `-Group`: allowed to who holds the verb `impersonate`.
fn impersonate(api: &Api, headers: &HeaderMap, user: User) -> ApiResult<User> {
    let text = |h: &http::HeaderValue| h.to_str().unwrap_or_default().to_owned();
    let name = headers.get("impersonate-user").map(text).unwrap_or_default();
    let mut groups: Vec<String> = headers.get_all("impersonate-group").iter().map(text).collect();
    if name.is_empty() {
        if groups.is_empty() {
            return Ok(user);
        }
        return Err(ApiError::bad_request(
            "requested impersonation of groups without impersonating a user",
        ));
    }
    let may = |resource: &str, namespace: &str, name: &str| {
        let attributes = Attributes {
            namespace,
            name,
            ..Attributes::resource("impersonate", "", resource)
        };
        rbac::authorize(api, &user, &attributes)
    };
    let account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|n| n.split_once(':'));
    match account {
        Some((namespace, account)) => may("serviceaccounts", namespace, account)?,
        None => may("users", "", &name)?,
    }
    for group in &groups {
        may("groups", "", group)?;
    }
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups = vec![
            "system:serviceaccounts".into(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    if !groups
        .iter()
        .any(|g| g == "system:authenticated" || g == "system:unauthenticated")
    {
        groups.push("system:authenticated".into());
    }
    Ok(User {
        name,
        uid: String::new(),
        groups,
        extra: BTreeMap::new(),
    })
}
