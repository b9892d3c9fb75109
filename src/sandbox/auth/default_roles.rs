//! The ClusterRoles every cluster has, as far as they concern kinds there are here.

use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];

fn rule(groups: &[&str], resources: &[&str], verbs: &[&[&str]]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs.concat()})
}

fn urls(paths: &[&str]) -> Value {
    json!({"nonResourceURLs": paths, "verbs": ["get"]})
}

fn aggregate_of(target: &str) -> Value {
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{target}");
    json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}, "rules": []})
}

const TO_ADMIN: &str = "rbac.authorization.k8s.io/aggregate-to-admin";
const TO_EDIT: &str = "rbac.authorization.k8s.io/aggregate-to-edit";
const TO_VIEW: &str = "rbac.authorization.k8s.io/aggregate-to-view";

/// Name, labels, and rules or aggregation of each.
pub(super) fn all() -> Vec<(&'static str, &'static [&'static str], Value)> {
    vec![
        (
            "cluster-admin",
            &[],
            json!({"rules": [
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
                {"nonResourceURLs": ["*"], "verbs": ["*"]},
            ]}),
        ),
        ("admin", &[], aggregate_of("admin")),
        ("edit", &[TO_ADMIN], aggregate_of("edit")),
        ("view", &[TO_EDIT], aggregate_of("view")),
        (
            "system:aggregate-to-admin",
            &[TO_ADMIN],
            json!({"rules": [
                rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], &[&["create"]]),
                rule(&[GROUP], &["rolebindings", "roles"], &[WRITE, READ]),
            ]}),
        ),
        (
            "system:aggregate-to-edit",
            &[TO_EDIT],
            json!({"rules": editing()}),
        ),
        (
            "system:aggregate-to-view",
            &[TO_VIEW],
            json!({"rules": viewing()}),
        ),
        (
            "system:basic-user",
            &[],
            json!({"rules": [
                rule(&["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], &[&["create"]]),
                rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &[&["create"]]),
            ]}),
        ),
        (
            "system:discovery",
            &[],
            json!({"rules": [urls(&[
                "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
                "/version", "/version/",
            ])]}),
        ),
        (
            "system:public-info-viewer",
            &[],
            json!({"rules": [urls(&[
                "/healthz", "/livez", "/readyz", "/version", "/version/",
            ])]}),
        ),
        (
            "system:auth-delegator",
            &[],
            json!({"rules": [
                rule(&["authentication.k8s.io"], &["tokenreviews"], &[&["create"]]),
                rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &[&["create"]]),
            ]}),
        ),
    ]
}

fn editing() -> Vec<Value> {
    vec![
        rule(
            &[""],
            &[
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "secrets",
                "services/proxy",
            ],
            &[READ],
        ),
        rule(&[""], &["serviceaccounts"], &[&["impersonate"]]),
        rule(
            &[""],
            &[
                "pods",
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
            ],
            &[WRITE],
        ),
        rule(&[""], &["pods/eviction"], &[&["create"]]),
        rule(
            &[""],
            &[
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
            &[WRITE],
        ),
        rule(&[""], &["serviceaccounts/token"], &[&["create"]]),
        rule(
            &["apps"],
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
            &[WRITE],
        ),
        rule(&["autoscaling"], &["horizontalpodautoscalers"], &[WRITE]),
        rule(&["batch"], &["cronjobs", "jobs"], &[WRITE]),
        rule(&["policy"], &["poddisruptionbudgets"], &[WRITE]),
        rule(
            &["networking.k8s.io"],
            &["ingresses", "networkpolicies"],
            &[WRITE],
        ),
        rule(&["coordination.k8s.io"], &["leases"], &[WRITE, READ]),
    ]
}

fn viewing() -> Vec<Value> {
    vec![
        rule(
            &[""],
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "serviceaccounts",
                "services",
                "services/status",
                "bindings",
                "events",
                "limitranges",
                "namespaces/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
                "namespaces",
            ],
            &[READ],
        ),
        rule(&["discovery.k8s.io"], &["endpointslices"], &[READ]),
        rule(
            &["apps"],
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
            &[READ],
        ),
        rule(
            &["autoscaling"],
            &["horizontalpodautoscalers", "horizontalpodautoscalers/status"],
            &[READ],
        ),
        rule(
            &["batch"],
            &["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
            &[READ],
        ),
        rule(
            &["policy"],
            &["poddisruptionbudgets", "poddisruptionbudgets/status"],
            &[READ],
        ),
        rule(
            &["networking.k8s.io"],
            &["ingresses", "ingresses/status", "networkpolicies"],
            &[READ],
        ),
    ]
}
