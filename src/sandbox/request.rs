//! What a request asks for: verb, resource, object and options, read from method, path and query exactly as
//! Kubernetes reads them (authorization depends on it).

use axum::extract::Query as AxumQuery;
use http::{Method, Uri};

use super::status::{ApiError, ApiResult};

/// The query of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a URI; one that cannot be read counts as empty.
    pub(crate) fn of(uri: &Uri) -> Self {
        Self(
            AxumQuery::<Vec<(String, String)>>::try_from_uri(uri)
                .map(|q| q.0)
                .unwrap_or_default(),
        )
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
            .collect()
    }

    /// A truth value: `true`, `1` and a bare parameter count as true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "True" | "1" | ""))
    }

    /// A number.
    pub(crate) fn number(&self, key: &str) -> ApiResult<Option<u64>> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                ApiError::bad_request(format!("invalid value for {key}: \"{text}\" is not a number"))
            }),
        }
    }
}

/// A request, understood.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestInfo {
    /// Kubernetes verb: get, list, watch, create, update, patch, delete, deletecollection; the HTTP method in lower
    /// case for paths that are no resources.
    pub(crate) verb: &'static str,
    /// The path is a resource's.
    pub(crate) is_resource: bool,
    pub(crate) path: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    /// "" means all namespaces or none.
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// What follows the subresource (proxy paths).
    pub(crate) query: Query,
}

impl RequestInfo {
    /// Reads method, path and query.
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Self {
        let mut info = Self {
            path: uri.path().to_owned(),
            query: Query::of(uri),
            ..Self::default()
        };
        info.verb = plain_verb(method);
        let path = uri.path().to_owned();
        let mut parts = path.split('/').filter(|p| !p.is_empty());
        match parts.next() {
            Some("api") => {}
            Some("apis") => match parts.next() {
                Some(group) => info.group = group.to_owned(),
                None => return info,
            },
            _ => return info,
        }
        let Some(version) = parts.next() else { return info };
        info.version = version.to_owned();
        let mut rest: Vec<&str> = parts.collect();
        let mut watching = info.query.flag("watch");
        if rest.first() == Some(&"watch") {
            watching = true;
            rest.remove(0);
        }
        if rest.is_empty() {
            return info;
        }
        info.is_resource = true;
        if rest[0] == "namespaces" && rest.len() > 1 {
            info.namespace = decode(rest[1]);
            // /namespaces/NAME and its own subresources are about the Namespace itself.
            if rest.len() > 2 && !matches!(rest[2], "status" | "finalize") {
                rest.drain(..2);
            }
        }
        info.resource = rest[0].to_owned();
        info.name = rest.get(1).map(|n| decode(n)).unwrap_or_default();
        info.subresource = rest.get(2).copied().unwrap_or_default().to_owned();
        info.verb = resource_verb(method, !info.name.is_empty(), watching);
        info
    }

    /// The name that rules with `resourceNames` are held against: that of the object or, for a list or watch of the one
    /// object `fieldSelector=metadata.name=…`, that one's.
    pub(crate) fn authorized_name(&self) -> &str {
        if !self.name.is_empty() || !matches!(self.verb, "list" | "watch" | "deletecollection") {
            return &self.name;
        }
        let selected = self.query.get("fieldSelector").unwrap_or_default();
        let one = selected
            .split(',')
            .find_map(|part| part.strip_prefix("metadata.name="));
        one.map_or("", |name| name.trim_start_matches('='))
    }
}

fn decode(part: &str) -> String {
    if !part.contains('%') {
        return part.to_owned();
    }
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = part
            .get(index + 1..index + 3)
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        if let (b'%', Some(byte)) = (bytes[index], hex) {
            out.push(byte);
            index += 3;
        } else {
            out.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn plain_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "HEAD" => "head",
        "OPTIONS" => "options",
        _ => "get",
    }
}

fn resource_verb(method: &Method, named: bool, watching: bool) -> &'static str {
    match (method.as_str(), named) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        (_, false) if watching => "watch",
        (_, false) => "list",
        (_, true) if watching => "watch",
        (_, true) => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, uri: &str) -> RequestInfo {
        RequestInfo::parse(&method.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn a_list_of_one_object_is_authorized_by_its_name() {
        let info = parse(
            "GET",
            "/api/v1/secrets?watch=true&fieldSelector=metadata.name%3Da",
        );
        assert_eq!(
            (info.verb, &*info.name, info.authorized_name()),
            ("watch", "", "a")
        );
        assert_eq!(parse("GET", "/api/v1/secrets").authorized_name(), "");
        assert_eq!(
            parse("GET", "/api/v1/namespaces/x/secrets/b").authorized_name(),
            "b"
        );
    }

    #[test]
    fn paths_are_read_as_kubernetes_reads_them() {
        let info = parse("GET", "/api/v1/namespaces/a/pods/b/log?follow=true");
        assert_eq!(
            (
                info.verb,
                &*info.namespace,
                &*info.resource,
                &*info.name,
                &*info.subresource
            ),
            ("get", "a", "pods", "b", "log")
        );
        let info = parse("GET", "/api/v1/namespaces/a");
        assert_eq!(
            (info.verb, &*info.resource, &*info.name, &*info.namespace),
            ("get", "namespaces", "a", "a")
        );
        let info = parse("PUT", "/api/v1/namespaces/a/finalize");
        assert_eq!(
            (info.verb, &*info.resource, &*info.subresource),
            ("update", "namespaces", "finalize")
        );
        let info = parse("GET", "/apis/apps/v1/deployments?watch=1&labelSelector=a%3Db");
        assert_eq!(
            (info.verb, &*info.group, info.query.get("labelSelector")),
            ("watch", "apps", Some("a=b"))
        );
        assert_eq!(
            parse("DELETE", "/apis/apps/v1/namespaces/x/deployments").verb,
            "deletecollection"
        );
        let info = parse("GET", "/healthz");
        assert!(!info.is_resource && info.verb == "get");
        assert!(!parse("GET", "/apis/apps/v1").is_resource);
        assert_eq!(
            parse("GET", "/api/v1/namespaces/a/configmaps/system%3Ax").name,
            "system:x"
        );
    }
}
