//! What a user may do: Roles and ClusterRoles, bound by RoleBindings and ClusterRoleBindings.

use std::sync::Arc;

use serde_json::{Value, json};

use super::User;
use super::rules::{Rule, missing};
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::selectors::LabelSelector;
use crate::sandbox::server::Api;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::store::GroupResource;

const GROUP: &str = "rbac.authorization.k8s.io";

/// What a request is about, as far as permissions go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Set for paths that are no resources.
    pub(crate) path: &'a str,
}

impl<'a> Attributes<'a> {
    /// A verb on a kind, everywhere.
    pub(crate) fn resource(verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Self {
            verb,
            group,
            resource,
            ..Self::default()
        }
    }

    /// A verb on a path.
    pub(crate) fn path(verb: &'a str, path: &'a str) -> Self {
        Self {
            verb,
            path,
            ..Self::default()
        }
    }
}

/// Refuses what the user may not do.
pub(crate) fn authorize(api: &Api, user: &User, attributes: &Attributes<'_>) -> ApiResult<()> {
    if allowed(api, user, attributes) {
        return Ok(());
    }
    if !attributes.path.is_empty() {
        return Err(ApiError::forbidden_text(format!(
            "forbidden: User \"{}\" cannot {} path \"{}\"",
            user.name, attributes.verb, attributes.path
        )));
    }
    let place = if attributes.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", attributes.namespace)
    };
    let mut what = attributes.resource.to_owned();
    if !attributes.subresource.is_empty() {
        what = format!("{what}/{}", attributes.subresource);
    }
    let message = format!(
        "User \"{}\" cannot {} resource \"{what}\" in API group \"{}\" {place}",
        user.name, attributes.verb, attributes.group
    );
    Err(ApiError::forbidden(
        attributes.group,
        attributes.resource,
        attributes.name,
        &message,
    ))
}

/// Whether the user may.
pub(crate) fn allowed(api: &Api, user: &User, attributes: &Attributes<'_>) -> bool {
    user.is_master() || visit(api, user, attributes.namespace, |rule| rule.allows(attributes))
}

/// All rules that hold for a user in a namespace ("" for the cluster alone).
pub(crate) fn rules_of(api: &Api, user: &User, namespace: &str) -> Vec<Rule> {
    let mut all = Vec::new();
    visit(api, user, namespace, |rule| {
        all.push(rule.clone());
        false
    });
    all
}

/// Shows rules of the user until one is the one.
fn visit(api: &Api, user: &User, namespace: &str, mut found: impl FnMut(&Rule) -> bool) -> bool {
    let bindings = |plural: &str, namespace: Option<&str>| -> Vec<Arc<Value>> {
        let listing = api.store.list(&GroupResource::new(GROUP, plural), namespace);
        listing
            .objects
            .into_iter()
            .map(|(_, stored)| stored.value())
            .collect()
    };
    let mut all = bindings("clusterrolebindings", None);
    if !namespace.is_empty() {
        all.extend(bindings("rolebindings", Some(namespace)));
    }
    for binding in all {
        let here = object::namespace(&binding);
        if !object::list(&binding, &["subjects"])
            .iter()
            .any(|s| is_subject(s, user, here))
        {
            continue;
        }
        let rules = role_of(api, &binding)
            .map(|role| Rule::of_role(&role))
            .unwrap_or_default();
        if rules.iter().any(&mut found) {
            return true;
        }
    }
    false
}

fn is_subject(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = object::text(subject, &["name"]);
    match object::text(subject, &["kind"]) {
        "User" => name == user.name,
        "Group" => user.groups.iter().any(|g| g == name),
        "ServiceAccount" => {
            let own = object::text(subject, &["namespace"]);
            user.as_service_account() == Some((if own.is_empty() { namespace } else { own }, name))
        }
        _ => false,
    }
}

/// The role a binding refers to.
fn role_of(api: &Api, binding: &Value) -> Option<Arc<Value>> {
    let name = object::text(binding, &["roleRef", "name"]);
    match object::text(binding, &["roleRef", "kind"]) {
        "ClusterRole" => api
            .store
            .get(&GroupResource::new(GROUP, "clusterroles"), "", name),
        _ => api.store.get(
            &GroupResource::new(GROUP, "roles"),
            object::namespace(binding),
            name,
        ),
    }
}

/// Nobody hands out permissions they do not hold, unless they may `escalate` roles or `bind` them.
pub(crate) fn check_escalation(
    api: &Api,
    user: &User,
    resource: &Resource,
    new: &Value,
    old: Option<&Arc<Value>>,
) -> ApiResult<()> {
    if resource.group != GROUP || user.is_master() {
        return Ok(());
    }
    let namespace = object::namespace(new);
    let same = |fields: &[&str]| old.is_some_and(|old| fields.iter().all(|f| new.get(*f) == old.get(*f)));
    let (wanted, verb, plural, name) = if resource.kind.ends_with("Binding") {
        if same(&["roleRef", "subjects"]) {
            return Ok(());
        }
        let plural = if object::text(new, &["roleRef", "kind"]) == "ClusterRole" {
            "clusterroles"
        } else {
            "roles"
        };
        let Some(role) = role_of(api, new) else {
            let name = object::text(new, &["roleRef", "name"]);
            return Err(ApiError::not_found(GROUP, plural, name));
        };
        (
            Rule::of_role(&role),
            "bind",
            plural,
            object::text(new, &["roleRef", "name"]),
        )
    } else {
        if same(&["rules", "aggregationRule"]) {
            return Ok(());
        }
        (
            Rule::of_role(new),
            "escalate",
            resource.plural.as_str(),
            object::name(new),
        )
    };
    let exempt = Attributes {
        namespace,
        name,
        ..Attributes::resource(verb, GROUP, plural)
    };
    if allowed(api, user, &exempt) {
        return Ok(());
    }
    let lacking = missing(&rules_of(api, user, namespace), &wanted);
    if lacking.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|g| format!("\"{g}\"")).collect();
    let list: Vec<String> = lacking.iter().map(Rule::shown).collect();
    let message = format!(
        "user \"{}\" (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        list.join("\n")
    );
    Err(ApiError::forbidden(
        GROUP,
        &resource.plural,
        object::name(new),
        &message,
    ))
}

/// Brings the rules of ClusterRoles that aggregate others up to date.
pub(crate) fn aggregate(api: &Api) {
    let kind = GroupResource::new(GROUP, "clusterroles");
    let roles: Vec<Arc<Value>> = api
        .store
        .list(&kind, None)
        .objects
        .into_iter()
        .map(|(_, s)| s.value())
        .collect();
    for role in &roles {
        let selectors = object::list(role, &["aggregationRule", "clusterRoleSelectors"]);
        if selectors.is_empty() {
            continue;
        }
        let selectors: Vec<LabelSelector> = selectors.iter().map(LabelSelector::of_object).collect();
        let mut rules: Vec<Value> = Vec::new();
        let parts = roles.iter().filter(|r| object::name(r) != object::name(role));
        for part in parts.filter(|r| selectors.iter().any(|s| s.matches(r))) {
            for rule in object::list(part, &["rules"]) {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
        if object::list(role, &["rules"]) != rules.as_slice() {
            let mut changed = (**role).clone();
            object::map(&mut changed).insert("rules".into(), json!(rules));
            // A conflict means that somebody changed the role just now; that write aggregates again.
            let _ = api.store.update(&kind, changed, object::resource_version(role));
        }
    }
}
