//! The ReplicaSets of a Deployment: how they are made, told apart and numbered.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::rolling::{DESIRED, MAX, tolerances, wanted};
use crate::sandbox::controllers::engine::controller_reference;
use crate::sandbox::controllers::pods::short_hash;

const HASH: &str = "pod-template-hash";
/// The annotation that numbers a Deployment's history.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The annotation with the numbers a set had before.
pub(super) const REVISIONS: &str = "deployment.kubernetes.io/revision-history";

/// Annotations that belong to one object and are not handed down.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISIONS,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

fn template(deployment: &Deployment) -> PodTemplateSpec {
    deployment.spec.template.clone()
}

/// The hash in the name and labels of the template's set.
pub(super) fn template_hash(deployment: &Deployment) -> String {
    let collisions = deployment
        .status
        .as_ref()
        .and_then(|status| status.collision_count);
    short_hash(&template(deployment), collisions)
}

/// Whether the set was made from the Deployment's present template.
pub(super) fn same_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let Some(mut other) = set.spec.template.clone() else {
        return false;
    };
    if let Some(labels) = other.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(HASH);
    }
    let mut mine = template(deployment);
    for template in [&mut mine, &mut other] {
        let meta = template.metadata.get_or_insert_default();
        // Servers write `null`, nothing or an empty map for the same thing.
        meta.labels.get_or_insert_default();
        meta.creation_timestamp = None;
    }
    mine == other
}

/// The number of a set in the Deployment's history; zero where none is written.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    set.annotations()
        .get(REVISION)
        .and_then(|revision| revision.parse().ok())
        .unwrap_or(0)
}

/// The number that comes after those of the old sets.
pub(super) fn next_revision(old: &[Arc<ReplicaSet>]) -> i64 {
    old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1
}

/// The annotations a set takes over from its Deployment.
pub(super) fn handed_down(deployment: &Deployment) -> BTreeMap<String, String> {
    let annotations = deployment.annotations().iter();
    annotations
        .filter(|(key, _)| !OWN.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Writes down the Deployment's size, to tell a resize from a rollout later.
pub(super) fn note_size(deployment: &Deployment, set: &mut ReplicaSet) {
    let total = wanted(deployment);
    let max = total + tolerances(deployment).0;
    let annotations = set.annotations_mut();
    annotations.insert(DESIRED.to_owned(), total.to_string());
    annotations.insert(MAX.to_owned(), max.to_string());
}

/// A set of the Deployment's present template, without pods yet.
pub(super) fn new_set(deployment: &Deployment, hash: &str, revision: i64) -> ReplicaSet {
    let mut template = template(deployment);
    let labels = template
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.to_owned());
    let labels = labels.clone();
    let mut selector = deployment.spec.selector.clone();
    selector
        .match_labels
        .get_or_insert_default()
        .insert(HASH.to_owned(), hash.to_owned());
    let mut annotations = handed_down(deployment);
    annotations.insert(REVISION.to_owned(), revision.to_string());
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            min_ready_seconds: deployment.spec.min_ready_seconds,
            replicas: Some(0),
            selector,
            template: Some(template),
        },
        status: None,
    };
    note_size(deployment, &mut set);
    set
}
