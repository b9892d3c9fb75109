//! Whether a pod may run on a node, as pure functions: selectors, affinities, taints and where volumes are.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, PodSpec, Taint, Toleration,
};
use kube::ResourceExt;

/// Why none of the nodes fits.
pub(super) fn why_not(spec: &PodSpec, nodes: &[Arc<Node>]) -> String {
    let count = nodes.len();
    if nodes.iter().all(|node| !chosen(spec, node)) {
        return format!("{count} node(s) didn't match Pod's node affinity/selector");
    }
    let unschedulable = |node: &Arc<Node>| {
        node.spec
            .as_ref()
            .is_some_and(|spec| spec.unschedulable == Some(true))
    };
    if nodes.iter().all(unschedulable) {
        return format!("{count} node(s) were unschedulable");
    }
    let taint = nodes.iter().find_map(|node| untolerated(spec, node));
    let taint = taint.map(|taint| {
        format!(
            "{{{}: {}}}",
            taint.key,
            taint.value.as_deref().unwrap_or_default()
        )
    });
    format!(
        "{count} node(s) had untolerated taint {}",
        taint.unwrap_or_default()
    )
}

/// Whether the pod may run on the node: selector, affinity and taints.
pub(in super::super) fn fits(spec: &PodSpec, node: &Node) -> bool {
    let cordoned = node
        .spec
        .as_ref()
        .is_some_and(|node| node.unschedulable == Some(true));
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    chosen(spec, node) && untolerated(spec, node).is_none() && (!cordoned || tolerates(spec, &cordon))
}

fn chosen(spec: &PodSpec, node: &Node) -> bool {
    let selector = spec.node_selector.iter().flatten();
    let mut wanted = selector.map(|(key, value)| node.labels().get(key) == Some(value));
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| {
        affinity
            .required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    wanted.all(|wanted| wanted)
        && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| holds(term, node)))
}

/// Whether the node can use the volume.
pub(super) fn reaches(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|required| required.node_selector_terms.iter().any(|term| holds(term, node)))
}

fn holds(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node.name_any();
    !(expressions.is_empty() && fields.is_empty())
        && expressions
            .iter()
            .all(|requirement| matches(requirement, node.labels().get(&requirement.key)))
        && fields
            .iter()
            .all(|requirement| matches(requirement, (requirement.key == "metadata.name").then_some(&name)))
}

fn matches(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = |holds: fn(i64, i64) -> bool| {
        let pair = value
            .and_then(|value| number(value))
            .zip(values.first().and_then(|bound| number(bound)));
        pair.is_some_and(|(value, bound)| holds(value, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|value, bound| value > bound),
        "Lt" => compare(|value, bound| value < bound),
        _ => false,
    }
}

fn untolerated(spec: &PodSpec, node: &Node) -> Option<Taint> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    let keeps_out = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    taints
        .iter()
        .filter(keeps_out)
        .find(|taint| !tolerates(spec, taint))
        .cloned()
}

fn tolerates(spec: &PodSpec, taint: &Taint) -> bool {
    let covers = |toleration: &Toleration| {
        let effect = toleration.effect.as_deref().unwrap_or_default();
        let key = toleration.key.as_deref().unwrap_or_default();
        let exists = toleration.operator.as_deref() == Some("Exists");
        (effect.is_empty() || effect == taint.effect)
            && ((key.is_empty() && exists) || key == taint.key)
            && (exists
                || toleration.value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default())
    };
    spec.tolerations.iter().flatten().any(covers)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node() -> Node {
        serde_json::from_value(json!({"metadata": {"name": "one", "labels": {"disk": "ssd", "cores": "8"}}}))
            .unwrap()
    }

    fn spec(value: &Value) -> PodSpec {
        let mut spec = json!({"containers": []});
        json_patch::merge(&mut spec, value);
        serde_json::from_value(spec).unwrap()
    }

    fn affinity(term: &Value) -> PodSpec {
        spec(
            &json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [term]}}}}),
        )
    }

    #[test]
    fn selectors_and_affinities_choose_nodes() {
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert!(fits(&spec(&json!({})), &node()));
        assert!(fits(&spec(&json!({"nodeSelector": {"disk": "ssd"}})), &node()));
        assert!(!fits(&spec(&json!({"nodeSelector": {"disk": "hdd"}})), &node()));
        assert!(fits(&affinity(&expression("cores", "Gt", &["4"])), &node()));
        assert!(!fits(&affinity(&expression("disk", "NotIn", &["ssd"])), &node()));
        let by_name = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        assert!(fits(&affinity(&by_name("one")), &node()));
        assert!(!fits(&affinity(&by_name("two")), &node()));
        assert!(
            !fits(&affinity(&json!({})), &node()),
            "an empty term takes nothing"
        );
    }

    #[test]
    fn taints_keep_out_who_does_not_tolerate_them() {
        let mut tainted = node();
        tainted.spec =
            serde_json::from_value(json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}))
                .unwrap();
        assert!(!fits(&spec(&json!({})), &tainted));
        assert!(fits(
            &spec(&json!({"tolerations": [{"key": "k", "value": "v"}]})),
            &tainted
        ));
        assert!(fits(
            &spec(&json!({"tolerations": [{"operator": "Exists"}]})),
            &tainted
        ));
        let message = why_not(&spec(&json!({})), &[Arc::new(tainted)]);
        assert_eq!(message, "1 node(s) had untolerated taint {k: v}");
    }
}
