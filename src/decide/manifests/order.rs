//! In which order manifests go back: what others need comes before them.

use super::Place;

/// First to last; what is in neither list comes between, by name.
const FIRST: [&str; 24] = [
    "customresourcedefinitions.apiextensions.k8s.io",
    "namespaces",
    "priorityclasses.scheduling.k8s.io",
    "storageclasses.storage.k8s.io",
    "volumesnapshotclasses.snapshot.storage.k8s.io",
    "volumesnapshotcontents.snapshot.storage.k8s.io",
    "volumesnapshots.snapshot.storage.k8s.io",
    "persistentvolumes",
    "persistentvolumeclaims",
    "clusterroles.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "serviceaccounts",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "secrets",
    "configmaps",
    "limitranges",
    "resourcequotas",
    "pods",
    "replicasets.apps",
    "clusterclasses.cluster.x-k8s.io",
    "endpoints",
    "services",
    "appbindings.appcatalog.appscode.com",
];

/// After everything else: they act on what is there, or stand in the way of what is to come.
const LAST: [&str; 8] = [
    "clusters.cluster.x-k8s.io",
    "clusterresourcesets.addons.cluster.x-k8s.io",
    "apps.kappctrl.k14s.io",
    "packageinstalls.packaging.carvel.dev",
    "apiservices.apiregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
];

/// Sorts by it; equal places stay together.
#[must_use]
pub fn rank(place: &Place) -> (usize, String, Option<String>, String) {
    let resource = place.resource.as_str();
    let at = |list: &[&str]| list.iter().position(|r| *r == resource);
    let rank = match (at(&FIRST), at(&LAST)) {
        (Some(first), _) => first,
        (None, Some(last)) => FIRST.len() + 1 + last,
        (None, None) => FIRST.len(),
    };
    (
        rank,
        place.resource.clone(),
        place.namespace.clone(),
        place.name.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let mut places: Vec<Place> = [
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
            "deployments.apps",
            "services",
            "persistentvolumeclaims",
            "widgets.example.com",
            "configmaps",
            "customresourcedefinitions.apiextensions.k8s.io",
            "namespaces",
            "apps.kappctrl.k14s.io",
        ]
        .iter()
        .map(|resource| Place {
            resource: (*resource).to_owned(),
            ..Place::default()
        })
        .collect();
        places.sort_by_key(rank);
        let sorted: Vec<&str> = places.iter().map(|p| p.resource.as_str()).collect();
        assert_eq!(
            sorted,
            [
                "customresourcedefinitions.apiextensions.k8s.io",
                "namespaces",
                "persistentvolumeclaims",
                "configmaps",
                "services",
                "deployments.apps",
                "widgets.example.com",
                "apps.kappctrl.k14s.io",
                "validatingwebhookconfigurations.admissionregistration.k8s.io",
            ]
        );
    }
}
