//! The kinds that are there without any CRD. One line each: group, version, kind, plural, short names, where it
//! lives, which subresources it has, and the Kubernetes type that gives its schema.

use super::{Resource, STORED_VERBS, ScalePaths, Source};

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Cluster,
    Namespaced,
}
use Scope::{Cluster, Namespaced};

/// What a kind has beside itself.
#[derive(Clone, Copy, PartialEq)]
enum Parts {
    /// Only itself.
    Plain,
    /// A status subresource.
    Status,
    /// Status and scale.
    Scale,
    /// It is not stored: a question that is answered when created.
    Review,
}
use Parts::{Plain, Review, Scale, Status};

type Line = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Scope,
    Parts,
    &'static str,
);

const ALL: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "daemonsets",
    "deployments",
    "replicasets",
    "statefulsets",
    "jobs",
    "cronjobs",
];

#[rustfmt::skip]
const KINDS: &[Line] = &[
    ("", "v1", "ConfigMap", "configmaps", "cm", Namespaced, Plain, "io.k8s.api.core.v1.ConfigMap"),
    ("", "v1", "Endpoints", "endpoints", "ep", Namespaced, Plain, "io.k8s.api.core.v1.Endpoints"),
    ("", "v1", "Event", "events", "ev", Namespaced, Plain, "io.k8s.api.core.v1.Event"),
    ("", "v1", "LimitRange", "limitranges", "limits", Namespaced, Plain, "io.k8s.api.core.v1.LimitRange"),
    ("", "v1", "Namespace", "namespaces", "ns", Cluster, Status, "io.k8s.api.core.v1.Namespace"),
    ("", "v1", "Node", "nodes", "no", Cluster, Status, "io.k8s.api.core.v1.Node"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", Namespaced, Status, "io.k8s.api.core.v1.PersistentVolumeClaim"),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", Cluster, Status, "io.k8s.api.core.v1.PersistentVolume"),
    ("", "v1", "Pod", "pods", "po", Namespaced, Status, "io.k8s.api.core.v1.Pod"),
    ("", "v1", "PodTemplate", "podtemplates", "", Namespaced, Plain, "io.k8s.api.core.v1.PodTemplate"),
    ("", "v1", "ReplicationController", "replicationcontrollers", "rc", Namespaced, Scale, "io.k8s.api.core.v1.ReplicationController"),
    ("", "v1", "ResourceQuota", "resourcequotas", "quota", Namespaced, Status, "io.k8s.api.core.v1.ResourceQuota"),
    ("", "v1", "Secret", "secrets", "", Namespaced, Plain, "io.k8s.api.core.v1.Secret"),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", Namespaced, Plain, "io.k8s.api.core.v1.ServiceAccount"),
    ("", "v1", "Service", "services", "svc", Namespaced, Status, "io.k8s.api.core.v1.Service"),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "", Cluster, Plain, "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "", Cluster, Plain, "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd,crds", Cluster, Status, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", "", Cluster, Status, "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService"),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", "", Namespaced, Plain, "io.k8s.api.apps.v1.ControllerRevision"),
    ("apps", "v1", "DaemonSet", "daemonsets", "ds", Namespaced, Status, "io.k8s.api.apps.v1.DaemonSet"),
    ("apps", "v1", "Deployment", "deployments", "deploy", Namespaced, Scale, "io.k8s.api.apps.v1.Deployment"),
    ("apps", "v1", "ReplicaSet", "replicasets", "rs", Namespaced, Scale, "io.k8s.api.apps.v1.ReplicaSet"),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", Namespaced, Scale, "io.k8s.api.apps.v1.StatefulSet"),
    ("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", "", Cluster, Review, "io.k8s.api.authentication.v1.SelfSubjectReview"),
    ("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "", Cluster, Review, "io.k8s.api.authentication.v1.TokenReview"),
    ("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", "", Namespaced, Review, "io.k8s.api.authorization.v1.LocalSubjectAccessReview"),
    ("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "", Cluster, Review, "io.k8s.api.authorization.v1.SelfSubjectAccessReview"),
    ("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "", Cluster, Review, "io.k8s.api.authorization.v1.SelfSubjectRulesReview"),
    ("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "", Cluster, Review, "io.k8s.api.authorization.v1.SubjectAccessReview"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", Namespaced, Status, "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"),
    ("batch", "v1", "CronJob", "cronjobs", "cj", Namespaced, Status, "io.k8s.api.batch.v1.CronJob"),
    ("batch", "v1", "Job", "jobs", "", Namespaced, Status, "io.k8s.api.batch.v1.Job"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", Namespaced, Plain, "io.k8s.api.coordination.v1.Lease"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", Namespaced, Plain, "io.k8s.api.discovery.v1.EndpointSlice"),
    ("events.k8s.io", "v1", "Event", "events", "ev", Namespaced, Plain, "io.k8s.api.events.v1.Event"),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", Cluster, Plain, "io.k8s.api.networking.v1.IngressClass"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", Namespaced, Status, "io.k8s.api.networking.v1.Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", Namespaced, Plain, "io.k8s.api.networking.v1.NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", Namespaced, Status, "io.k8s.api.policy.v1.PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", Cluster, Plain, "io.k8s.api.rbac.v1.ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", Cluster, Plain, "io.k8s.api.rbac.v1.ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", Namespaced, Plain, "io.k8s.api.rbac.v1.RoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", Namespaced, Plain, "io.k8s.api.rbac.v1.Role"),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", Cluster, Plain, "io.k8s.api.scheduling.v1.PriorityClass"),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "", Cluster, Plain, "io.k8s.api.storage.v1.CSIDriver"),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", Cluster, Plain, "io.k8s.api.storage.v1.StorageClass"),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "", Cluster, Status, "io.k8s.api.storage.v1.VolumeAttachment"),
];

/// All built-in kinds.
pub(super) fn all() -> impl Iterator<Item = Resource> {
    KINDS.iter().map(
        |&(group, version, kind, plural, short, scope, parts, schema)| Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            short_names: short
                .split(',')
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect(),
            categories: categories(plural),
            namespaced: scope == Namespaced,
            status: matches!(parts, Status | Scale),
            scale: (parts == Scale).then(|| ScalePaths {
                spec: vec!["spec".into(), "replicas".into()],
                status: vec!["status".into(), "replicas".into()],
                selector: None,
            }),
            verbs: if parts == Review {
                &["create"]
            } else {
                STORED_VERBS
            },
            source: Source::Builtin(schema),
        },
    )
}

fn categories(plural: &str) -> Vec<String> {
    let category = if ALL.contains(&plural) {
        "all"
    } else if matches!(
        plural,
        "customresourcedefinitions"
            | "apiservices"
            | "mutatingwebhookconfigurations"
            | "validatingwebhookconfigurations"
    ) {
        "api-extensions"
    } else {
        return Vec::new();
    };
    vec![category.to_owned()]
}
