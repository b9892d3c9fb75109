//! Which addresses and ports a Service has, as a pure function of the Service and its pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, ObjectReference, Pod, Service, ServicePort,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort as SlicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};

use crate::sandbox::controllers::engine::is_terminating;
use crate::sandbox::controllers::pods::{is_finished, is_ready};

/// One pod behind a Service.
#[derive(Debug, Clone)]
pub(super) struct Backend {
    ip: String,
    ready: bool,
    terminating: bool,
    ports: Vec<Port>,
    node: Option<String>,
    host_name: Option<String>,
    target: ObjectReference,
}

/// A port of a Service as one pod offers it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    name: Option<String>,
    number: i32,
    protocol: String,
    application: Option<String>,
}

fn resolve(port: &ServicePort, pod: &Pod) -> Option<Port> {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let spec = pod.spec.as_ref()?;
    let number = match &port.target_port {
        None => port.port,
        Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let sidecars = spec.init_containers.iter().flatten();
            let mut ports = spec
                .containers
                .iter()
                .chain(sidecars)
                .flat_map(|container| container.ports.iter().flatten());
            let found = ports.find(|known| {
                known.name.as_ref() == Some(name) && known.protocol.as_deref().unwrap_or("TCP") == protocol
            });
            found?.container_port
        }
    };
    Some(Port {
        name: port.name.clone(),
        number,
        protocol,
        application: port.app_protocol.clone(),
    })
}

/// The pods behind a Service: those its selector takes that have an address and have not ended.
pub(super) fn backends(service: &Service, pods: &[Arc<Pod>]) -> Vec<Backend> {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.clone()).unwrap_or_default();
    let ports = spec.and_then(|spec| spec.ports.clone()).unwrap_or_default();
    let all_ready = spec.is_some_and(|spec| spec.publish_not_ready_addresses == Some(true));
    let chosen = |pod: &&Arc<Pod>| {
        !is_finished(pod)
            && selector
                .iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value))
    };
    let backend = |pod: &Arc<Pod>| {
        let ip = pod.status.as_ref()?.pod_ip.clone().filter(|ip| !ip.is_empty())?;
        let of_service = pod
            .spec
            .as_ref()
            .filter(|spec| spec.subdomain == service.meta().name);
        Some(Backend {
            ip,
            ready: all_ready || (is_ready(pod) && !is_terminating(pod.as_ref())),
            terminating: is_terminating(pod.as_ref()),
            ports: ports.iter().filter_map(|port| resolve(port, pod)).collect(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            host_name: of_service.and_then(|spec| spec.hostname.clone()),
            target: ObjectReference {
                kind: Some("Pod".to_owned()),
                name: pod.meta().name.clone(),
                namespace: pod.meta().namespace.clone(),
                uid: pod.meta().uid.clone(),
                ..ObjectReference::default()
            },
        })
    };
    let mut found: Vec<_> = pods.iter().filter(chosen).filter_map(backend).collect();
    found.sort_by(|a, b| (&a.ip, &a.target.name).cmp(&(&b.ip, &b.target.name)));
    found
}

fn by_ports(backends: &[Backend]) -> BTreeMap<Vec<Port>, Vec<&Backend>> {
    let mut groups: BTreeMap<Vec<Port>, Vec<&Backend>> = BTreeMap::new();
    for backend in backends {
        groups.entry(backend.ports.clone()).or_default().push(backend);
    }
    groups
}

/// The subsets of the Endpoints object: one per list of ports. Terminating pods are left out.
pub(super) fn subsets(service: &Service, backends: &[Backend]) -> Option<Vec<EndpointSubset>> {
    let has_ports = service
        .spec
        .as_ref()
        .is_some_and(|spec| spec.ports.as_ref().is_some_and(|ports| !ports.is_empty()));
    let live: Vec<_> = backends
        .iter()
        .filter(|backend| !backend.terminating)
        .cloned()
        .collect();
    let address = |backend: &&&Backend| EndpointAddress {
        ip: backend.ip.clone(),
        hostname: backend.host_name.clone(),
        node_name: backend.node.clone(),
        target_ref: Some(backend.target.clone()),
    };
    let port = |port: &Port| EndpointPort {
        name: port.name.clone(),
        port: port.number,
        protocol: Some(port.protocol.clone()),
        app_protocol: port.application.clone(),
    };
    let some = |addresses: Vec<EndpointAddress>| Some(addresses).filter(|addresses| !addresses.is_empty());
    let subset = |(ports, members): (Vec<Port>, Vec<&Backend>)| EndpointSubset {
        addresses: some(
            members
                .iter()
                .filter(|backend| backend.ready)
                .map(|backend| address(&backend))
                .collect(),
        ),
        not_ready_addresses: some(
            members
                .iter()
                .filter(|backend| !backend.ready)
                .map(|backend| address(&backend))
                .collect(),
        ),
        ports: Some(ports.iter().map(port).collect()).filter(|ports: &Vec<_>| !ports.is_empty()),
    };
    // A pod that offers none of the Service's ports has no place among its endpoints.
    let groups = by_ports(&live)
        .into_iter()
        .filter(|(ports, _)| !has_ports || !ports.is_empty());
    let subsets: Vec<_> = groups.map(subset).collect();
    Some(subsets).filter(|subsets| !subsets.is_empty())
}

/// The ports and endpoints of each slice. Pods that offer other ports belong into slices of their own.
pub(super) fn slices(backends: &[Backend]) -> Vec<(Vec<SlicePort>, Vec<Endpoint>)> {
    let endpoint = |backend: &&Backend| Endpoint {
        addresses: vec![backend.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(backend.ready),
            serving: Some(backend.ready),
            terminating: Some(backend.terminating),
        }),
        hostname: backend.host_name.clone(),
        node_name: backend.node.clone(),
        target_ref: Some(backend.target.clone()),
        ..Endpoint::default()
    };
    let port = |port: &Port| SlicePort {
        // An unnamed port has an empty name in a slice.
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.number),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.application.clone(),
    };
    let groups = by_ports(backends).into_iter();
    groups
        .map(|(ports, members)| {
            (
                ports.iter().map(port).collect(),
                members.iter().map(endpoint).collect(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(extra: &serde_json::Value) -> Service {
        let mut spec = json!({"selector": {"app": "a"}, "ports": [
            {"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}]});
        json_patch::merge(&mut spec, extra);
        serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "ns"}, "spec": spec})).unwrap()
    }

    fn pod(name: &str, ready: &str, port: i32) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "ns", "labels": {"app": "a"}},
                "spec": {"nodeName": "n", "hostname": name, "subdomain": "s", "containers": [
                    {"name": "c", "ports": [{"name": "http", "containerPort": port}]}]},
                "status": {"phase": "Running", "podIP": format!("10.0.0.{port}"),
                    "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn ready_and_unready_pods_are_told_apart() {
        let service = service(&json!({}));
        let backends = backends(&service, &[pod("a", "True", 80), pod("b", "False", 80)]);
        let subsets = subsets(&service, &backends).unwrap();
        assert_eq!(subsets.len(), 1);
        assert_eq!(
            subsets[0].addresses.as_ref().unwrap()[0].hostname.as_deref(),
            Some("a")
        );
        assert_eq!(subsets[0].not_ready_addresses.as_ref().unwrap().len(), 1);
        let slices = slices(&backends);
        assert_eq!(slices[0].0[0].port, Some(80));
        let ready: Vec<_> = slices[0]
            .1
            .iter()
            .map(|e| e.conditions.as_ref().unwrap().ready.unwrap())
            .collect();
        assert_eq!(ready, [true, false]);
    }

    #[test]
    fn pods_with_other_numbers_for_a_named_port_get_a_subset_of_their_own() {
        let service = service(&json!({}));
        let backends = backends(&service, &[pod("a", "True", 80), pod("b", "True", 81)]);
        assert_eq!(subsets(&service, &backends).unwrap().len(), 2);
    }

    #[test]
    fn unready_addresses_are_published_where_that_is_asked_for() {
        let service = service(&json!({"publishNotReadyAddresses": true, "ports": null, "clusterIP": "None"}));
        let subsets = subsets(&service, &backends(&service, &[pod("b", "False", 80)])).unwrap();
        assert_eq!(subsets[0].addresses.as_ref().unwrap().len(), 1);
        assert!(subsets[0].ports.is_none());
    }

    #[test]
    fn a_service_without_pods_has_no_subsets() {
        let service = service(&json!({}));
        assert_eq!(subsets(&service, &backends(&service, &[])), None);
    }
}
