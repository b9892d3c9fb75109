//! The one node: its object, its conditions and its heartbeat. The processes themselves are the node's own affair.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::engine::{Error, now};

const LEASES: &str = "kube-node-lease";

/// The heartbeat. Nobody evicts pods here when it stops, so that it may be slow and cost nothing.
const BEAT: Duration = Duration::from_secs(60);
const BEAT_LASTS: i32 = 180;

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> NodeCondition {
    NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(now()),
        last_transition_time: Some(now()),
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn node(options: &Options) -> Node {
    let name = &options.node_name;
    let architecture = architecture();
    let labels = [
        ("kubernetes.io/hostname", name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture),
        ("node-role.kubernetes.io/control-plane", ""),
    ];
    Node {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        ..Node::default()
    }
}

fn status(options: &Options, before: Option<&NodeStatus>) -> NodeStatus {
    let amounts = || {
        let amounts = options.capacity.iter();
        Some(
            amounts
                .map(|(name, amount)| (name.clone(), Quantity(amount.clone())))
                .collect(),
        )
    };
    let address = |type_: &str, address: &str| NodeAddress {
        type_: type_.to_owned(),
        address: address.to_owned(),
    };
    let mut conditions = vec![
        condition(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        condition(
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        condition(
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let known = before
        .and_then(|before| before.conditions.as_deref())
        .unwrap_or_default();
    for condition in &mut conditions {
        let same = known
            .iter()
            .find(|known| known.type_ == condition.type_ && known.status == condition.status);
        if let Some(same) = same {
            condition
                .last_transition_time
                .clone_from(&same.last_transition_time);
        }
    }
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", "127.0.0.1"),
            address("Hostname", &options.node_name),
        ]),
        capacity: amounts(),
        allocatable: amounts(),
        conditions: Some(conditions),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().to_owned(),
            operating_system: "linux".to_owned(),
            os_image: "sandbox".to_owned(),
            container_runtime_version: format!("process://{}", env!("CARGO_PKG_VERSION")),
            kubelet_version: options.version.clone(),
            kube_proxy_version: options.version.clone(),
            ..NodeSystemInfo::default()
        }),
        ..before.cloned().unwrap_or_default()
    }
}

/// Makes the node, or brings an old one up to date, and marks it ready.
pub(super) async fn register(client: &Client, options: &Options) -> Result<Node, Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let wanted = node(options);
    let known = match nodes.get_opt(&options.node_name).await? {
        Some(known) => {
            let patch = json!({"metadata": {"labels": wanted.metadata.labels}});
            nodes
                .patch(&known.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
                .await?
        }
        None => nodes.create(&PostParams::default(), &wanted).await?,
    };
    let patch = json!({"status": status(options, known.status.as_ref())});
    let ready = nodes
        .patch_status(&known.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(ready)
}

/// Renews the node's lease until told to stop.
pub(super) async fn beat(client: Client, node: Node, stop: CancellationToken) {
    let leases: Api<Lease> = Api::namespaced(client, LEASES);
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(node.name_any()),
            namespace: Some(LEASES.to_owned()),
            owner_references: Some(vec![OwnerReference {
                api_version: Node::api_version(&()).into_owned(),
                kind: Node::kind(&()).into_owned(),
                name: node.name_any(),
                uid: node.uid().unwrap_or_default(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.name_any()),
            lease_duration_seconds: Some(BEAT_LASTS),
            renew_time: Some(MicroTime(jiff::Timestamp::now())),
            ..LeaseSpec::default()
        }),
    };
    if let Err(kube::Error::Api(status)) = leases.create(&PostParams::default(), &lease).await
        && status.code != 409
    {
        tracing::debug!(%status, "the node's lease was not made");
    }
    loop {
        let patch = json!({"spec": {"renewTime": MicroTime(jiff::Timestamp::now())}});
        // A beat that is missed is made up for by the next.
        let _ = leases
            .patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_node_keeps_the_time_since_when_it_is() {
        let options = Options::new("one", std::path::Path::new("/volumes"));
        let first = status(&options, None);
        let mut earlier = first.clone();
        for condition in earlier.conditions.iter_mut().flatten() {
            condition.last_transition_time = None;
        }
        let second = status(&options, Some(&earlier));
        assert!(
            second
                .conditions
                .unwrap()
                .iter()
                .all(|condition| condition.last_transition_time.is_none())
        );
        assert_eq!(first.addresses.unwrap()[1].address, "one");
    }
}
