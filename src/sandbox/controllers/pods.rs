//! What the controllers of pods have in common: reading a pod's state, and making one from a template.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference, Time};
use kube::ResourceExt;
use kube::core::SelectorExt;
use serde::Serialize;

use super::engine::{is_terminating, until};

/// The pod's phase; `Pending` where none is written yet.
pub(super) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// Whether all of the pod's containers have ended for good.
pub(super) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod runs or will run: neither finished nor being deleted.
pub(super) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// The pod's condition of this type.
pub(super) fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Whether the pod answers requests.
pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Whether the pod has been ready for `seconds` at the moment `now`; else, if it is ready, how long that still takes.
pub(super) fn is_available(pod: &Pod, seconds: i32, now: &Time) -> Result<(), Option<Duration>> {
    let Some(ready) = condition(pod, "Ready").filter(|ready| ready.status == "True") else {
        return Err(None);
    };
    if seconds <= 0 {
        return Ok(());
    }
    let since = ready.last_transition_time.as_ref().unwrap_or(now).0;
    let available = since + jiff::SignedDuration::from_secs(seconds.into());
    if available <= now.0 {
        Ok(())
    } else {
        Err(Some(until(available, now.0)))
    }
}

/// Whether the selector takes these labels. A selector that cannot be understood takes none.
pub(super) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    kube::core::Selector::try_from(selector.clone())
        .is_ok_and(|selector| !selector.selects_all() && selector.matches(labels))
}

/// A pod as the template describes it, owned by a controller. It has a namespace but no name yet.
pub(super) fn from_template(template: &PodTemplateSpec, namespace: &str, owner: OwnerReference) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// The prefix Kubernetes makes a generated pod name from.
pub(super) fn name_prefix(controller: &str) -> String {
    format!("{controller}-")
}

/// The label of a pod, or an empty text.
pub(super) fn label<'a>(pod: &'a Pod, name: &str) -> &'a str {
    pod.labels().get(name).map_or("", String::as_str)
}

/// A short stable text that differs where the values differ (FNV-1a), written with the letters Kubernetes uses
/// for such hashes: no vowels, so that no words come about.
pub(super) fn short_hash(value: &impl Serialize, collisions: Option<i32>) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    if let Some(collisions) = collisions {
        text.extend(collisions.to_le_bytes());
    }
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
    folded
        .to_string()
        .bytes()
        .map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()]))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A pod with this phase; `Running` pods are ready.
    pub(in super::super) fn pod(name: &str, phase: &str) -> Pod {
        let ready = if phase == "Running" { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"),
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "node", "containers": []},
            "status": {"phase": phase, "conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:10Z"}]},
        }))
        .unwrap()
    }

    fn at(text: &str) -> Time {
        Time(text.parse().unwrap())
    }

    #[test]
    fn a_ready_pod_is_available_after_its_minimum() {
        let running = pod("a", "Running");
        assert_eq!(is_available(&running, 0, &at("2026-01-01T00:00:10Z")), Ok(()));
        assert_eq!(
            is_available(&running, 30, &at("2026-01-01T00:00:15Z")),
            Err(Some(Duration::from_secs(25)))
        );
        assert_eq!(is_available(&running, 30, &at("2026-01-01T00:00:40Z")), Ok(()));
        assert_eq!(
            is_available(&pod("b", "Pending"), 0, &at("2026-01-01T00:00:40Z")),
            Err(None)
        );
    }

    #[test]
    fn an_empty_selector_takes_nothing() {
        assert!(!selects(&LabelSelector::default(), &BTreeMap::new()));
        let selector: LabelSelector = serde_json::from_value(json!({"matchLabels": {"a": "b"}})).unwrap();
        assert!(selects(
            &selector,
            &BTreeMap::from([("a".to_owned(), "b".to_owned())])
        ));
        assert!(!selects(&selector, &BTreeMap::new()));
    }

    #[test]
    fn hashes_are_stable_and_differ_by_content_and_by_collision() {
        let hash = short_hash(&json!({"a": 1}), None);
        assert_eq!(hash, short_hash(&json!({"a": 1}), None));
        assert_ne!(hash, short_hash(&json!({"a": 2}), None));
        assert_ne!(hash, short_hash(&json!({"a": 1}), Some(1)));
    }
}
