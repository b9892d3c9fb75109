//! The pod and the claims of one ordinal.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;

use crate::sandbox::controllers::engine::controller_reference;
use crate::sandbox::controllers::pods::from_template;
use crate::sandbox::controllers::revisions::LABEL;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

fn claim_templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    let templates = set.spec.volume_claim_templates.as_deref();
    templates.unwrap_or_default()
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", template.name_any(), set.name_any())
}

/// The names of an ordinal's claims.
pub(super) fn claim_names(set: &StatefulSet, ordinal: i32) -> Vec<String> {
    let templates = claim_templates(set).iter();
    templates
        .map(|template| claim_name(set, template, ordinal))
        .collect()
}

/// The claims of an ordinal.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let matched = set.spec.selector.match_labels.clone();
    let claim = |template: &PersistentVolumeClaim| {
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(matched.clone().unwrap_or_default());
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(claim_name(set, template, ordinal)),
                namespace: set.namespace(),
                labels: Some(labels),
                annotations: template.metadata.annotations.clone(),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        }
    };
    claim_templates(set).iter().map(claim).collect()
}

/// The pod of an ordinal, made from the template of the named revision.
pub(super) fn pod(set: &StatefulSet, ordinal: i32, template: &PodTemplateSpec, revision: &str) -> Pod {
    let namespace = set.namespace().unwrap_or_default();
    let name = format!("{}-{ordinal}", set.name_any());
    let mut pod = from_template(template, &namespace, controller_reference(set));
    let labels = pod.labels_mut();
    labels.insert(POD_NAME.to_owned(), name.clone());
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    labels.insert(LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name.clone());
    spec.subdomain = set.spec.service_name.clone();
    let volumes = spec.volumes.get_or_insert_default();
    for template in claim_templates(set) {
        volumes.retain(|volume| volume.name != template.name_any());
        volumes.push(Volume {
            name: template.name_any(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, template, ordinal),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    pod.metadata.name = Some(name);
    pod
}

/// The owners a claim should have under the set's retention policy: the set where claims go with it, the pod where
/// they go when it is scaled away. `current` keeps owners that are neither.
pub(super) fn claim_owners(
    set: &StatefulSet,
    pod: Option<&Pod>,
    condemned: bool,
    current: &[OwnerReference],
) -> Vec<OwnerReference> {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |policy: Option<&String>| policy.is_some_and(|policy| policy == "Delete");
    let with_set = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let with_scale = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let foreign = |owner: &&OwnerReference| {
        Some(&owner.uid) != set.uid().as_ref()
            && !(owner.kind == "Pod" && owner.name.starts_with(&set.name_any()))
    };
    let mut owners: Vec<_> = current.iter().filter(foreign).cloned().collect();
    if let Some(pod) = pod.filter(|_| with_scale && condemned) {
        owners.push(controller_reference(pod));
    } else if with_set {
        owners.push(controller_reference(set));
    }
    owners
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set() -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "db", "namespace": "ns", "uid": "u"},
            "spec": {
                "serviceName": "dbs", "selector": {"matchLabels": {"app": "db"}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
                "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": []}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_has_a_stable_name_host_name_and_claims() {
        let set = set();
        let pod = pod(&set, 2, &set.spec.template, "db-abc");
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(pod.name_any(), "db-2");
        assert_eq!(
            (spec.hostname.as_deref(), spec.subdomain.as_deref()),
            (Some("db-2"), Some("dbs"))
        );
        assert_eq!(pod.labels()[POD_INDEX], "2");
        let volume = &spec.volumes.as_ref().unwrap()[0];
        assert_eq!(
            volume.persistent_volume_claim.as_ref().unwrap().claim_name,
            "data-db-2"
        );
        assert_eq!(claims(&set, 2)[0].labels()["app"], "db");
        assert_eq!(claim_names(&set, 2), ["data-db-2"]);
    }

    #[test]
    fn claims_follow_the_retention_policy() {
        let mut set = set();
        let template = set.spec.template.clone();
        let mut pod = pod(&set, 1, &template, "r");
        pod.metadata.uid = Some("pod-uid".to_owned());
        let kept = claim_owners(&set, Some(&pod), false, &[]);
        assert_eq!(kept[0].uid, "u");
        let condemned = claim_owners(&set, Some(&pod), true, &kept);
        assert_eq!((condemned.len(), condemned[0].uid.as_str()), (1, "pod-uid"));
        set.spec.persistent_volume_claim_retention_policy = None;
        assert!(claim_owners(&set, Some(&pod), true, &condemned).is_empty());
    }
}
