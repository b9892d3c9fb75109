//! Who may use what, and which object is the default.
//!
//! A BackupStorage, RetentionPolicy, HookTemplate or BackupBlueprint says in `usagePolicy` which namespaces may refer to
//! it. Nothing said (no policy, no `allowedNamespaces`, no `from`) means its own namespace only. A namespace that cannot
//! be read counts as one without labels: it can only match a selector that asks for nothing.
//!
//! Called by admission, by the BackupConfiguration controller and by the CLI.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt;

use crate::api::shared::{NamespaceSource, UsagePolicy};
use crate::api::storage::{BackupStorage, RetentionPolicy};

/// Labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Whether an object in namespace `own` with this policy may be used from `namespace`, which has these labels.
pub fn allows(policy: Option<&UsagePolicy>, own: &str, namespace: &str, labels: &Labels) -> bool {
    let allowed = policy.and_then(|policy| policy.allowed_namespaces.as_ref());
    match source(policy) {
        NamespaceSource::All => true,
        NamespaceSource::Same => own == namespace,
        NamespaceSource::Selector => allowed
            .and_then(|allowed| allowed.selector.as_ref())
            .is_some_and(|selector| selects(selector, labels)),
    }
}

/// Where the users may live; Same when nothing is said.
pub fn source(policy: Option<&UsagePolicy>) -> NamespaceSource {
    policy
        .and_then(|policy| policy.allowed_namespaces.as_ref())
        .map_or(NamespaceSource::Same, |allowed| allowed.from)
}

/// Whether the policy asks for a selector and has none: it could never match.
pub fn lacks_selector(policy: Option<&UsagePolicy>) -> bool {
    source(policy) == NamespaceSource::Selector
        && policy
            .and_then(|policy| policy.allowed_namespaces.as_ref())
            .is_none_or(|allowed| allowed.selector.is_none())
}

/// The policy in words, for messages: `namespaces with labels team=a`.
pub fn describe(policy: Option<&UsagePolicy>, own: &str) -> String {
    match source(policy) {
        NamespaceSource::All => "every namespace".to_owned(),
        NamespaceSource::Same => format!("only its own namespace {own}"),
        NamespaceSource::Selector => "only namespaces whose labels match its selector".to_owned(),
    }
}

/// Whether the labels match the selector, by Kubernetes' rules. An unknown operator matches nothing.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let by_labels = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key).is_some_and(|known| known == value));
    by_labels
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|requirement| meets(requirement, labels))
}

fn meets(requirement: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// What the lookup of a default needs to know of an object.
pub trait MayBeDefault: ResourceExt {
    /// `spec.default`.
    fn is_default(&self) -> bool;
    /// `spec.usagePolicy`.
    fn usage_policy(&self) -> Option<&UsagePolicy>;
}

impl MayBeDefault for BackupStorage {
    fn is_default(&self) -> bool {
        self.spec.default
    }
    fn usage_policy(&self) -> Option<&UsagePolicy> {
        self.spec.usage_policy.as_ref()
    }
}

impl MayBeDefault for RetentionPolicy {
    fn is_default(&self) -> bool {
        self.spec.default
    }
    fn usage_policy(&self) -> Option<&UsagePolicy> {
        self.spec.usage_policy.as_ref()
    }
}

/// The default object for a namespace: first one of that namespace meant for it alone, then one anywhere whose selector
/// matches the namespace's labels, then one anywhere for all. Of several the oldest, then the first by namespace and
/// name. Objects that are being deleted are nobody's default.
pub fn default_for<'a, K: MayBeDefault + 'a>(
    all: impl IntoIterator<Item = &'a K>,
    namespace: &str,
    labels: &Labels,
) -> Option<&'a K> {
    let mut candidates: Vec<&K> = all
        .into_iter()
        .filter(|object| object.is_default() && object.meta().deletion_timestamp.is_none())
        .collect();
    candidates.sort_by_key(|object| {
        let created = object.creation_timestamp().map(|time| time.0);
        // An object that is not stored yet has no time and comes last.
        (created.is_none(), created, object.namespace(), object.name_any())
    });
    let step = |wanted: NamespaceSource| {
        candidates.iter().copied().find(|object| {
            let policy = object.usage_policy();
            source(policy) == wanted
                && allows(policy, &object.namespace().unwrap_or_default(), namespace, labels)
        })
    };
    step(NamespaceSource::Same)
        .or_else(|| step(NamespaceSource::Selector))
        .or_else(|| step(NamespaceSource::All))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(value: serde_json::Value) -> UsagePolicy {
        serde_json::from_value(value).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn retention(namespace: &str, name: &str, from: &str, created: &str) -> RetentionPolicy {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
            "spec": {"default": true, "usagePolicy": {"allowedNamespaces": {
                "from": from, "selector": {"matchLabels": {"team": "a"}}}}},
        }))
        .unwrap()
    }

    #[test]
    fn nothing_said_means_the_same_namespace() {
        for value in [
            json!({}),
            json!({"allowedNamespaces": {}}),
            json!({"allowedNamespaces": {"from": "Same"}}),
        ] {
            let policy = policy(value);
            assert!(allows(Some(&policy), "a", "a", &labels(&[])));
            assert!(!allows(Some(&policy), "a", "b", &labels(&[])));
        }
        assert!(allows(None, "a", "a", &labels(&[])) && !allows(None, "a", "b", &labels(&[])));
    }

    #[test]
    fn selectors_follow_kubernetes() {
        let policy = policy(json!({"allowedNamespaces": {"from": "Selector", "selector": {
            "matchLabels": {"team": "a"},
            "matchExpressions": [
                {"key": "env", "operator": "NotIn", "values": ["prod"]},
                {"key": "frozen", "operator": "DoesNotExist"}]}}}));
        assert!(allows(Some(&policy), "x", "y", &labels(&[("team", "a")])));
        assert!(!allows(
            Some(&policy),
            "x",
            "y",
            &labels(&[("team", "a"), ("env", "prod")])
        ));
        assert!(!allows(
            Some(&policy),
            "x",
            "y",
            &labels(&[("team", "a"), ("frozen", "")])
        ));
        assert!(!allows(Some(&policy), "x", "x", &labels(&[])));
    }

    #[test]
    fn a_selector_policy_without_selector_never_matches() {
        let policy = policy(json!({"allowedNamespaces": {"from": "Selector"}}));
        assert!(lacks_selector(Some(&policy)));
        assert!(!allows(Some(&policy), "a", "a", &labels(&[])));
    }

    #[test]
    fn the_default_is_the_nearest_then_the_oldest() {
        let all = [
            retention("ops", "all-new", "All", "2026-02-01T00:00:00Z"),
            retention("ops", "all-old", "All", "2026-01-01T00:00:00Z"),
            retention("ops", "chosen", "Selector", "2026-03-01T00:00:00Z"),
            retention("demo", "own", "Same", "2026-04-01T00:00:00Z"),
            retention("ops", "theirs", "Same", "2025-01-01T00:00:00Z"),
        ];
        let name = |namespace: &str, l: &Labels| default_for(&all, namespace, l).map(ResourceExt::name_any);
        assert_eq!(name("demo", &labels(&[("team", "a")])).as_deref(), Some("own"));
        assert_eq!(
            name("other", &labels(&[("team", "a")])).as_deref(),
            Some("chosen")
        );
        assert_eq!(name("other", &labels(&[])).as_deref(), Some("all-old"));
    }
}
