//! Label and field selectors, in the forms kubectl and controllers send them.

use serde_json::Value;

use super::kinds::Resource;
use super::object;
use super::status::{ApiError, ApiResult};

/// One demand on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Demand {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

/// A label selector; the empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Demand>);

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),!h,i`.
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        split_outside_parentheses(text)
            .into_iter()
            .map(|part| demand(part.trim()))
            .collect::<Option<Vec<_>>>()
            .map(Self)
            .ok_or_else(|| {
                ApiError::bad_request(format!(
                    "unable to parse requirement: invalid label selector \"{text}\""
                ))
            })
    }

    /// Reads the object form, `{matchLabels, matchExpressions}`.
    pub(crate) fn of_object(selector: &Value) -> Self {
        let mut demands = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            demands.push(Demand::In(
                key.clone(),
                vec![value.as_str().unwrap_or_default().to_owned()],
            ));
        }
        for expression in object::list(selector, &["matchExpressions"]) {
            let key = object::text(expression, &["key"]).to_owned();
            let values = object::list(expression, &["values"])
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned);
            demands.push(match object::text(expression, &["operator"]) {
                "In" => Demand::In(key, values.collect()),
                "NotIn" => Demand::NotIn(key, values.collect()),
                "DoesNotExist" => Demand::Absent(key),
                _ => Demand::Exists(key),
            });
        }
        Self(demands)
    }

    /// Whether an object's labels meet all demands.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|demand| {
            let value = |key: &str| object::label(object, key);
            match demand {
                Demand::In(key, values) => value(key).is_some_and(|v| values.iter().any(|w| w == v)),
                Demand::NotIn(key, values) => value(key).is_none_or(|v| !values.iter().any(|w| w == v)),
                Demand::Exists(key) => value(key).is_some(),
                Demand::Absent(key) => value(key).is_none(),
                Demand::Greater(key, bound) => number(value(key)).is_some_and(|n| n > *bound),
                Demand::Less(key, bound) => number(value(key)).is_some_and(|n| n < *bound),
            }
        })
    }

    /// Selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn number(text: Option<&str>) -> Option<i64> {
    text?.parse().ok()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|p| !p.trim().is_empty());
    parts
}

fn demand(part: &str) -> Option<Demand> {
    if let Some(key) = part.strip_prefix('!') {
        return valid_key(key.trim()).map(Demand::Absent);
    }
    for (sign, negative) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(sign) {
            let (key, values) = (valid_key(key.trim())?, vec![valid_value(value.trim())?]);
            return Some(if negative {
                Demand::NotIn(key, values)
            } else {
                Demand::In(key, values)
            });
        }
    }
    for (sign, greater) in [('>', true), ('<', false)] {
        if let Some((key, value)) = part.split_once(sign) {
            let (key, bound) = (valid_key(key.trim())?, value.trim().parse().ok()?);
            return Some(if greater {
                Demand::Greater(key, bound)
            } else {
                Demand::Less(key, bound)
            });
        }
    }
    if let Some((head, list)) = part.split_once('(') {
        let mut words = head.split_whitespace();
        let (key, operator) = (valid_key(words.next()?)?, words.next()?);
        let values = list
            .strip_suffix(')')?
            .split(',')
            .map(|v| valid_value(v.trim()))
            .collect::<Option<Vec<_>>>()?;
        return match operator {
            "in" => Some(Demand::In(key, values)),
            "notin" => Some(Demand::NotIn(key, values)),
            _ => None,
        };
    }
    valid_key(part).map(Demand::Exists)
}

fn valid_key(key: &str) -> Option<String> {
    let fine = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    fine.then(|| key.to_owned())
}

fn valid_value(value: &str) -> Option<String> {
    let fine = value.len() <= 63
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    fine.then(|| value.to_owned())
}

/// A field selector; the empty one selects everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldSelector(Vec<(String, String, bool)>);

impl FieldSelector {
    /// Reads `metadata.name=a,status.phase!=Running`; refuses fields the kind cannot be selected by.
    pub(crate) fn parse(text: &str, resource: &Resource) -> ApiResult<Self> {
        let mut demands = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let found = [("!=", false), ("==", true), ("=", true)]
                .into_iter()
                .find_map(|(sign, equal)| part.split_once(sign).map(|(k, v)| (k, v, equal)));
            let Some((key, value, equal)) = found else {
                return Err(ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            if !selectable(key, resource) {
                return Err(ApiError::bad_request(format!(
                    "Unable to find \"{}\" that match label selector \"\", field selector \"{text}\": field label not supported: {key}",
                    super::status::qualified(&resource.plural, &resource.group)
                )));
            }
            demands.push((key.to_owned(), value.to_owned(), equal));
        }
        Ok(Self(demands))
    }

    /// Whether an object's fields meet all demands. An absent field counts as "".
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|(key, wanted, equal)| (field(object, key) == *wanted) == *equal)
    }

    /// The name asked for, if the selector asks for exactly one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _, equal)| k == "metadata.name" && *equal)
            .map(|(_, v, _)| v.as_str())
    }

    /// Selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn selectable(key: &str, resource: &Resource) -> bool {
    if matches!(key, "metadata.name" | "metadata.namespace") {
        return true;
    }
    if let Some(custom) = resource.custom() {
        return custom.selectable.iter().any(|s| s == key);
    }
    let fields: &[&str] = match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("" | "events.k8s.io", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "reportingController",
            "source",
            "type",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.fieldPath",
        ],
        ("", "Namespace") => &["status.phase", "name"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("apps", "ReplicaSet") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    };
    fields.contains(&key)
}

fn field(object: &Value, key: &str) -> String {
    let path: Vec<&str> = match key {
        "name" => vec!["metadata", "name"],
        "source" => vec!["source", "component"],
        "status.successful" => vec!["status", "succeeded"],
        other => other.split('.').collect(),
    };
    let mut found = object::at(object, &path);
    // core and events.k8s.io name the same fields differently; one Event serves both.
    if found.is_none() && path[0] == "involvedObject" {
        found = object::at(object, &["regarding"]).and_then(|o| object::at(o, &path[1..]));
    } else if found.is_none() && path[0] == "regarding" {
        found = object::at(object, &["involvedObject"]).and_then(|o| object::at(o, &path[1..]));
    }
    match found {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => {
            if matches!(key, "spec.hostNetwork" | "spec.unschedulable") {
                "false".into()
            } else {
                String::new()
            }
        }
        Some(other) => other.to_string(),
    }
}

/// Both selectors of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(labels: Option<&str>, fields: Option<&str>, resource: &Resource) -> ApiResult<Self> {
        Ok(Self {
            labels: LabelSelector::parse(labels.unwrap_or_default())?,
            fields: FieldSelector::parse(fields.unwrap_or_default(), resource)?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)] // JSON literals read best as arguments by value.
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::kinds::Registry;

    fn selects(selector: &str, labels: Value) -> bool {
        LabelSelector::parse(selector)
            .unwrap()
            .matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn all_forms_of_label_selectors() {
        let labels = json!({"app": "web", "tier": "1", "x.io/k": ""});
        for (selector, expected) in [
            ("", true),
            ("app=web,tier==1", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("other notin (db)", true),
            ("app,!other", true),
            ("!app", false),
            ("tier>0,tier<2", true),
            ("tier>1", false),
            ("x.io/k=", true),
        ] {
            assert_eq!(selects(selector, labels.clone()), expected, "{selector}");
        }
        for broken in ["a=b=c d", "a in b", "a in (b", "=x", "a b"] {
            assert!(LabelSelector::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_object_form_means_the_same() {
        let selector = LabelSelector::of_object(&json!({
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "c", "operator": "DoesNotExist"}, {"key": "d", "operator": "In", "values": ["e"]}],
        }));
        assert!(selector.matches(&json!({"metadata": {"labels": {"a": "b", "d": "e"}}})));
        assert!(!selector.matches(&json!({"metadata": {"labels": {"a": "b", "d": "e", "c": ""}}})));
    }

    #[test]
    fn field_selectors_know_their_kinds() {
        let registry = Registry::new();
        let pods = registry.find("", "v1", "pods").unwrap();
        let selector = FieldSelector::parse("status.phase!=Running,spec.nodeName=a", &pods).unwrap();
        assert!(selector.matches(&json!({"spec": {"nodeName": "a"}, "status": {"phase": "Failed"}})));
        assert!(!selector.matches(&json!({"spec": {"nodeName": "a"}, "status": {"phase": "Running"}})));
        let error = FieldSelector::parse("spec.x=1", &pods).unwrap_err();
        assert!(
            error.message.ends_with("field label not supported: spec.x"),
            "{}",
            error.message
        );
    }
}
