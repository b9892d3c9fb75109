//! RBAC rules as sets of permissions: what a rule allows, and whether some rules cover others.

use serde_json::Value;

use super::rbac::Attributes;
use crate::sandbox::object;

/// A `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) urls: Vec<String>,
}

impl Rule {
    /// The rules of a role.
    pub(crate) fn of_role(role: &Value) -> Vec<Self> {
        object::list(role, &["rules"]).iter().map(Self::parse).collect()
    }

    fn parse(rule: &Value) -> Self {
        let strings = |field: &str| -> Vec<String> {
            object::list(rule, &[field])
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        Self {
            verbs: strings("verbs"),
            groups: strings("apiGroups"),
            resources: strings("resources"),
            names: strings("resourceNames"),
            urls: strings("nonResourceURLs"),
        }
    }

    /// Whether the rule allows a request.
    pub(crate) fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !has(&self.verbs, attributes.verb) {
            return false;
        }
        if !attributes.path.is_empty() {
            return self.urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => attributes.path.starts_with(prefix),
                None => url == attributes.path,
            });
        }
        has(&self.groups, attributes.group)
            && self.has_resource(attributes.resource, attributes.subresource)
            && (self.names.is_empty() || self.names.iter().any(|n| n == attributes.name))
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|r| {
            if r == "*" {
                return true;
            }
            if subresource.is_empty() {
                return r == resource;
            }
            r.split_once('/')
                .is_some_and(|(main, sub)| sub == subresource && (main == resource || main == "*"))
        })
    }

    /// As Kubernetes writes a rule in a refusal.
    pub(crate) fn shown(&self) -> String {
        let list = |values: &[String]| {
            let quoted: Vec<String> = values.iter().map(|v| format!("\"{v}\"")).collect();
            format!("[{}]", quoted.join(" "))
        };
        let mut parts = Vec::new();
        for (name, values) in [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.names),
            ("NonResourceURLs", &self.urls),
            ("Verbs", &self.verbs),
        ] {
            if !values.is_empty() {
                parts.push(format!("{name}:{}", list(values)));
            }
        }
        format!("{{{}}}", parts.join(", "))
    }

    /// One rule per permission, so that each can be asked for by itself.
    fn pieces(&self) -> Vec<Self> {
        let or_empty = |list: &[String]| {
            if list.is_empty() {
                vec![String::new()]
            } else {
                list.to_vec()
            }
        };
        let mut out = Vec::new();
        for verb in &self.verbs {
            for url in &self.urls {
                out.push(Self {
                    verbs: vec![verb.clone()],
                    urls: vec![url.clone()],
                    ..Self::default()
                });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    for name in or_empty(&self.names) {
                        out.push(Self {
                            verbs: vec![verb.clone()],
                            groups: vec![group.clone()],
                            resources: vec![resource.clone()],
                            names: if name.is_empty() { Vec::new() } else { vec![name] },
                            urls: Vec::new(),
                        });
                    }
                }
            }
        }
        out
    }

    /// Whether this rule holds all of a piece.
    fn holds(&self, piece: &Self) -> bool {
        let all = |own: &[String], wanted: &[String]| wanted.iter().all(|w| has(own, w));
        if !all(&self.verbs, &piece.verbs) {
            return false;
        }
        if let Some(url) = piece.urls.first() {
            return self.urls.iter().any(|u| match u.strip_suffix('*') {
                Some(prefix) => url.starts_with(prefix),
                None => u == url,
            });
        }
        let resource = piece.resources.first().map_or("", String::as_str);
        let (main, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let has_resource =
            self.resources.iter().any(|r| r == "*" || r == resource) || self.has_resource(main, sub);
        let names = self.names.is_empty() || (!piece.names.is_empty() && all(&self.names, &piece.names));
        all(&self.groups, &piece.groups) && has_resource && names
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

/// The rules among `wanted` that `held` do not cover.
pub(crate) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    wanted
        .iter()
        .filter(|rule| {
            !rule
                .pieces()
                .iter()
                .all(|piece| held.iter().any(|h| h.holds(piece)))
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(list: Value) -> Vec<Rule> {
        let role: Value = [("rules".to_owned(), list)].into_iter().collect();
        Rule::of_role(&role)
    }

    #[test]
    fn rules_allow_what_they_say() {
        let rules = rules(json!([
            {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"]},
            {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"], "verbs": ["get"]},
            {"nonResourceURLs": ["/healthz", "/metrics/*"], "verbs": ["get"]},
        ]));
        let allowed = |verb, group, resource, subresource, name| {
            let wish = Attributes {
                subresource,
                name,
                ..Attributes::resource(verb, group, resource)
            };
            rules.iter().any(|r| r.allows(&wish))
        };
        assert!(allowed("get", "", "pods", "", "a"));
        assert!(allowed("get", "", "pods", "log", "a"));
        assert!(!allowed("get", "", "pods", "exec", "a"));
        assert!(!allowed("list", "", "pods", "", ""));
        assert!(allowed("delete", "apps", "deployments", "scale", "x"));
        assert!(allowed("get", "", "secrets", "", "one"));
        assert!(!allowed("get", "", "secrets", "", "two"));
        let path = |p| rules.iter().any(|r| r.allows(&Attributes::path("get", p)));
        assert!(path("/healthz") && path("/metrics/x") && !path("/healthz/x"));
    }

    #[test]
    fn coverage_is_piece_by_piece() {
        let held = rules(json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
        ]));
        assert!(
            missing(
                &held,
                &rules(json!([{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get"]}]))
            )
            .is_empty()
        );
        let lacking =
            rules(json!([{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["list"]}]));
        assert_eq!(missing(&held, &lacking).len(), 1);
        let named = rules(
            json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]}]),
        );
        assert!(missing(&held, &named).is_empty());
        assert_eq!(missing(&named, &held).len(), 2);
        assert_eq!(
            lacking[0].shown(),
            "{APIGroups:[\"\"], Resources:[\"pods\" \"secrets\"], Verbs:[\"list\"]}"
        );
    }
}
