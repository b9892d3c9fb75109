//! Discovery: which groups, versions and kinds there are, in the aggregated form kubectl asks for first and in the
//! older one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use super::{Exchange, respond};
use crate::sandbox::kinds::Resource;
use crate::sandbox::status::{ApiError, ApiResult};

/// The version this server says it is: the one whose API types it serves.
pub(super) fn version() -> Value {
    json!({
        "major": "1", "minor": "32", "gitVersion": "v1.32.0+sandbox", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// `/api` and `/apis`.
pub(super) fn roots(exchange: &Exchange) -> ApiResult<Response<Body>> {
    let core = exchange.info.path.trim_end_matches('/') == "/api";
    let accept = exchange
        .headers
        .get(header::ACCEPT)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let kinds = exchange.api.registry.all();
    if let Some(version) = aggregated(accept) {
        let mut response = respond::json(&aggregate(&kinds, core, version));
        let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        if let Ok(value) = HeaderValue::from_str(&media) {
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        return Ok(response);
    }
    if core {
        return Ok(respond::json(
            &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ));
    }
    let groups: Vec<Value> = groups(&kinds)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(&group, versions.keys()))
        .collect();
    Ok(respond::json(
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    ))
}

/// The version of the aggregated form that comes before the older one in `Accept`.
fn aggregated(accept: &str) -> Option<&'static str> {
    for entry in accept.split(',') {
        if entry.contains("APIGroupDiscoveryList") {
            match entry {
                e if e.contains("v=v2beta1") => return Some("v2beta1"),
                e if e.contains("v=v2") => return Some("v2"),
                _ => {}
            }
        } else if entry.trim() == "application/json" {
            return None;
        }
    }
    None
}

/// `/apis/GROUP`, `/api/v1` and `/apis/GROUP/VERSION`.
pub(super) fn group(exchange: &Exchange) -> ApiResult<Response<Body>> {
    let (group, version) = (&exchange.info.group, &exchange.info.version);
    let kinds = exchange.api.registry.all();
    let of_group: Vec<Arc<Resource>> = kinds.into_iter().filter(|r| r.group == *group).collect();
    if of_group.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    if version.is_empty() {
        let versions = groups(&of_group).remove(group).unwrap_or_default();
        let mut value = group_value(group, versions.keys());
        value["kind"] = json!("APIGroup");
        value["apiVersion"] = json!("v1");
        return Ok(respond::json(&value));
    }
    let of_version: Vec<&Arc<Resource>> = of_group.iter().filter(|r| r.version == *version).collect();
    let Some(first) = of_version.first() else {
        return Err(ApiError::no_such_resource());
    };
    let resources: Vec<Value> = of_version.iter().flat_map(|r| entries(r)).collect();
    Ok(respond::json(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(), "resources": resources,
    })))
}

type Groups = BTreeMap<String, BTreeMap<std::cmp::Reverse<String>, Vec<Arc<Resource>>>>;

/// Kinds by group and version; the version that sorts last comes first (v1 before v1beta1 needs `rank`).
fn groups(kinds: &[Arc<Resource>]) -> Groups {
    let mut groups: Groups = BTreeMap::new();
    for kind in kinds {
        let versions = groups.entry(kind.group.clone()).or_default();
        versions
            .entry(std::cmp::Reverse(rank(&kind.version)))
            .or_default()
            .push(kind.clone());
    }
    groups
}

/// A text that sorts as Kubernetes ranks versions: v2 over v1 over v1beta1 over v1alpha1. The version itself ends it.
fn rank(version: &str) -> String {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let major = digits(version.trim_start_matches('v'));
    let rest = version
        .trim_start_matches('v')
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let stage = match rest {
        "" => '3',
        r if r.starts_with("beta") => '2',
        r if r.starts_with("alpha") => '1',
        _ => '0',
    };
    let minor = digits(rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()));
    format!("{stage}{major:0>4}{minor:0>4} {version}")
}

fn plain(rank: &std::cmp::Reverse<String>) -> &str {
    rank.0.split_once(' ').map_or("", |(_, version)| version)
}

fn group_value<'a>(group: &str, versions: impl Iterator<Item = &'a std::cmp::Reverse<String>>) -> Value {
    let versions: Vec<Value> = versions
        .map(|v| json!({"groupVersion": format!("{group}/{}", plain(v)), "version": plain(v)}))
        .collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

/// Name; group, version and kind of what it takes ("" means those of its parent); verbs.
type Subresource = (
    &'static str,
    (&'static str, &'static str, String),
    Vec<&'static str>,
);

/// Subresources of a kind.
fn subresources(resource: &Resource) -> Vec<Subresource> {
    let change = vec!["get", "patch", "update"];
    let mut out = Vec::new();
    if resource.status {
        out.push(("status", ("", "", resource.kind.clone()), change.clone()));
    }
    if resource.scale.is_some() {
        out.push(("scale", ("autoscaling", "v1", "Scale".to_owned()), change.clone()));
    }
    if resource.is("", "Pod") {
        let pod = || ("", "", "Pod".to_owned());
        let options = |name: &str| ("", "v1", name.to_owned());
        out.push(("binding", options("Binding"), vec!["create"]));
        out.push((
            "eviction",
            ("policy", "v1", "Eviction".to_owned()),
            vec!["create"],
        ));
        out.push(("attach", options("PodAttachOptions"), vec!["create", "get"]));
        out.push(("exec", options("PodExecOptions"), vec!["create", "get"]));
        out.push(("log", pod(), vec!["get"]));
        out.push((
            "portforward",
            options("PodPortForwardOptions"),
            vec!["create", "get"],
        ));
    }
    if resource.is("", "ServiceAccount") {
        out.push((
            "token",
            ("authentication.k8s.io", "v1", "TokenRequest".to_owned()),
            vec!["create"],
        ));
    }
    if resource.is("", "Namespace") {
        out.push(("finalize", ("", "", "Namespace".to_owned()), vec!["update"]));
    }
    out
}

/// Lines of the older form.
fn entries(resource: &Resource) -> Vec<Value> {
    let mut own = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        own["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        own["categories"] = json!(resource.categories);
    }
    let mut out = vec![own];
    for (name, (group, version, kind), verbs) in subresources(resource) {
        let mut entry = json!({
            "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
            "kind": kind, "verbs": verbs,
        });
        if !version.is_empty() {
            entry["group"] = json!(group);
            entry["version"] = json!(version);
        }
        out.push(entry);
    }
    out
}

/// The aggregated form.
fn aggregate(kinds: &[Arc<Resource>], core: bool, version: &str) -> Value {
    let items: Vec<Value> = groups(kinds)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|(version, kinds)| {
                    let resources: Vec<Value> = kinds.iter().map(|r| aggregated_entry(r)).collect();
                    json!({"version": plain(version), "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    })
}

fn aggregated_entry(resource: &Resource) -> Value {
    let kind =
        |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let subs: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|(name, (group, version, sub), verbs)| {
            let response = if version.is_empty() {
                kind(&resource.group, &resource.version, &sub)
            } else {
                kind(group, version, &sub)
            };
            json!({"subresource": name, "responseKind": response, "verbs": verbs})
        })
        .collect();
    let mut entry = json!({
        "resource": resource.plural, "responseKind": kind(&resource.group, &resource.version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    if !subs.is_empty() {
        entry["subresources"] = json!(subs);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn versions_rank_as_in_kubernetes() {
        let mut versions = ["v1beta1", "v2", "v1", "v10", "v1alpha1", "v1beta2", "foo"];
        versions.sort_by_key(|v| std::cmp::Reverse(rank(v)));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]
        );
    }
}
