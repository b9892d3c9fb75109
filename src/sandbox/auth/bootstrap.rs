//! What a cluster has from the start: its namespaces, the default ClusterRoles and who is bound to them.

use serde_json::{Value, json};

use super::super::object;
use super::super::server::Api;
use super::super::store::GroupResource;
use super::{default_roles, rbac};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Makes what is missing; leaves what somebody changed.
pub(crate) fn ensure(api: &Api) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        make(
            api,
            "",
            "namespaces",
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            }),
        );
    }
    for (name, labels, body) in default_roles::all() {
        let mut role = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        });
        for label in labels {
            role["metadata"]["labels"][*label] = json!("true");
        }
        object::map(&mut role).extend(body.as_object().cloned().unwrap_or_default());
        make(api, GROUP, "clusterroles", role);
    }
    for (role, group) in [
        ("cluster-admin", "system:masters"),
        ("system:discovery", "system:authenticated"),
        ("system:basic-user", "system:authenticated"),
        ("system:public-info-viewer", "system:authenticated"),
    ] {
        make(
            api,
            GROUP,
            "clusterrolebindings",
            json!({
                "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding",
                "metadata": {"name": role, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
                "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group}],
            }),
        );
    }
    rbac::aggregate(api);
}

/// Says where the server listens, as the Service `kubernetes` of every cluster does.
pub(crate) fn publish(api: &Api, address: std::net::SocketAddr) {
    let metadata = json!({"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}});
    let port = json!({"name": "https", "port": 443, "protocol": "TCP", "targetPort": address.port()});
    make(
        api,
        "",
        "services",
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": {"loadBalancer": {}},
            "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [port],
                     "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
                     "sessionAffinity": "None"},
        }),
    );
    let mut endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata,
        "subsets": [{"addresses": [{"ip": address.ip().to_string()}],
                     "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}]}],
    });
    let kind = GroupResource::new("", "endpoints");
    let Some(old) = api.store.get(&kind, "default", "kubernetes") else {
        make(api, "", "endpoints", endpoints);
        return;
    };
    // Another port than before the restart, as a rule.
    if old["subsets"] != endpoints["subsets"] {
        endpoints["metadata"] = old["metadata"].clone();
        if let Err(error) = api.commit_update(&kind, endpoints, object::resource_version(&old)) {
            tracing::warn!(
                ?error,
                "the server's own Endpoints could not be brought up to date"
            );
        }
    }
}

/// Stores an object of the system's own unless it is there.
pub(crate) fn make(api: &Api, group: &str, plural: &str, mut object: Value) {
    let kind = GroupResource::new(group, plural);
    if api
        .store
        .get(&kind, object::namespace(&object), object::name(&object))
        .is_some()
    {
        return;
    }
    let metadata = object::metadata(&mut object);
    metadata.insert("uid".into(), json!(object::new_uid()));
    metadata.insert("creationTimestamp".into(), json!(object::now()));
    if let Err(error) = api.commit_create(&kind, object) {
        tracing::warn!(?error, plural, "an object of the system could not be made");
    }
}
