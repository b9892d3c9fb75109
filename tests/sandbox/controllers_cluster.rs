//! Namespaces, ServiceAccounts, owners and endpoints.

use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::client::WIDGETS;
use super::cluster::{Cluster, eventually, holds, names, template, text, until, until_gone};

#[tokio::test]
async fn every_namespace_has_an_account_and_the_certificate() {
    let cluster = Cluster::start().await;
    cluster.namespace("fresh").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), "fresh");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "fresh");
    until(&accounts, "default", "is there", |_| true).await;
    let map = until(&maps, "kube-root-ca.crt", "is there", |_| true).await;
    assert!(map.data.unwrap()["ca.crt"].starts_with("-----BEGIN CERTIFICATE-----"));
    let before = accounts.get("default").await.unwrap().uid();
    accounts
        .delete("default", &DeleteParams::default())
        .await
        .unwrap();
    until(&accounts, "default", "is back", |account| account.uid() != before).await;
}

#[tokio::test]
async fn a_namespace_goes_with_everything_in_it_after_the_last_finalizer() {
    let cluster = Cluster::start().await;
    cluster.namespace("doomed").await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "doomed");
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    maps.create(&PostParams::default(), &serde_json::from_value(held).unwrap())
        .await
        .unwrap();
    let plain = json!({"metadata": {"name": "plain"}});
    maps.create(&PostParams::default(), &serde_json::from_value(plain).unwrap())
        .await
        .unwrap();
    let namespaces: Api<Namespace> = cluster.all();
    namespaces
        .delete("doomed", &DeleteParams::default())
        .await
        .unwrap();
    let told = |namespace: &Namespace| holds(namespace, "NamespaceFinalizersRemaining").is_some();
    until(&namespaces, "doomed", "says what holds it", told).await;
    until_gone(&maps, "plain").await;
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &release)
        .await
        .unwrap();
    until_gone(&namespaces, "doomed").await;
}

fn owned(name: &str, owner: &Value) -> Value {
    json!({"metadata": {"name": name, "ownerReferences": [owner]}})
}

fn reference(kind: &str, version: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": true})
}

#[tokio::test]
async fn dependents_follow_owners_of_any_kind() {
    let cluster = Cluster::start().await;
    let crds: Api<CustomResourceDefinition> = cluster.all();
    crds.create(&PostParams::default(), &serde_saphyr::from_str(WIDGETS).unwrap())
        .await
        .unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("test.io", "v1", "Widget"));
    let widgets: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), "default", &kind);
    let widget = json!({"apiVersion": "test.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"color": "red"}});
    let widget = eventually("a widget", || async {
        widgets
            .create(
                &PostParams::default(),
                &serde_json::from_value(widget.clone()).unwrap(),
            )
            .await
    })
    .await;
    let owner = reference("Widget", "test.io/v1", "w", &widget.uid().unwrap());
    cluster.create::<ConfigMap>(owned("child", &owner)).await;
    let child = cluster.namespaced::<ConfigMap>().get("child").await.unwrap();
    let grandchild = owned(
        "grandchild",
        &reference("ConfigMap", "v1", "child", &child.uid().unwrap()),
    );
    cluster.create::<ConfigMap>(grandchild).await;
    widgets.delete("w", &DeleteParams::foreground()).await.unwrap();
    until_gone(&widgets, "w").await;
    let maps = cluster.namespaced::<ConfigMap>();
    assert!(
        maps.get_opt("child").await.unwrap().is_none(),
        "in the foreground dependents go first"
    );
    assert!(maps.get_opt("grandchild").await.unwrap().is_none());
}

#[tokio::test]
async fn a_dependent_of_nobody_goes_and_one_of_an_unknown_kind_stays() {
    let cluster = Cluster::start().await;
    let maps = cluster.namespaced::<ConfigMap>();
    cluster
        .create::<ConfigMap>(json!({"metadata": {"name": "owner"}}))
        .await;
    // The name is right, the uid is not: that owner is gone.
    cluster
        .create::<ConfigMap>(owned(
            "stray",
            &reference("ConfigMap", "v1", "owner", "no-such-uid"),
        ))
        .await;
    let unknown = reference("Mystery", "example.com/v1", "x", "some-uid");
    cluster.create::<ConfigMap>(owned("kept", &unknown)).await;
    until_gone(&maps, "stray").await;
    assert!(maps.get_opt("kept").await.unwrap().is_some());
}

#[tokio::test]
async fn a_service_has_the_endpoints_of_its_ready_pods() {
    let cluster = Cluster::start().await;
    let ports = json!([{"name": "https", "port": 443, "targetPort": "webhook"}]);
    let service = json!({"metadata": {"name": "svc"}, "spec": {"selector": {"app": "web"}, "ports": ports}});
    cluster.create::<Service>(service).await;
    cluster.until::<Endpoints>("svc", "is there", |_| true).await;
    let containers = json!({"containers": [{"name": "c", "image": "i", "ports": [{"name": "webhook", "containerPort": 9443}]}]});
    let mut pod = template(&json!({"app": "web"}), &json!({}), &containers);
    pod["metadata"]["name"] = json!("web");
    cluster.create::<Pod>(pod).await;
    let full = |endpoints: &Endpoints| text(endpoints, "/subsets/0/addresses/0/ip") == "127.0.0.1";
    let endpoints = cluster.until::<Endpoints>("svc", "has an address", full).await;
    assert_eq!(
        endpoints.subsets.unwrap()[0].ports.as_ref().unwrap()[0].port,
        9443
    );
    eventually("the slice", || async {
        let list = ListParams::default().labels("kubernetes.io/service-name=svc");
        let slices = cluster
            .namespaced::<EndpointSlice>()
            .list(&list)
            .await
            .unwrap()
            .items;
        let ready = slices.iter().any(|slice| {
            let slice = serde_json::to_value(slice).unwrap();
            slice["endpoints"][0]["conditions"]["ready"] == json!(true)
                && slice["ports"][0]["port"] == json!(9443)
        });
        if ready && slices.len() == 1 {
            Ok(())
        } else {
            Err(names(&slices))
        }
    })
    .await;
    cluster
        .namespaced::<Pod>()
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .until::<Endpoints>("svc", "is empty", |endpoints| endpoints.subsets.is_none())
        .await;
    cluster
        .namespaced::<Service>()
        .delete("svc", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&cluster.namespaced::<Endpoints>(), "svc").await;
}

#[tokio::test]
async fn the_node_is_ready_and_a_quiet_cluster_writes_nothing() {
    let cluster = Cluster::start().await;
    let node = cluster.all::<Node>().get("node-1").await.unwrap();
    assert_eq!(holds(&node, "Ready").as_deref(), Some("KubeletReady"));
    let labels = json!({"app": "quiet"});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template(&labels, &json!({}), &json!({}))});
    let deployment = json!({"metadata": {"name": "quiet"}, "spec": spec});
    cluster
        .create::<k8s_openapi::api::apps::v1::Deployment>(deployment)
        .await;
    let settled = |deployment: &k8s_openapi::api::apps::v1::Deployment| {
        holds(deployment, "Progressing").as_deref() == Some("NewReplicaSetAvailable")
    };
    cluster.until("quiet", "is settled", settled).await;
    // Every write of the server makes a version: two equal versions in a row mean that nobody wrote in between.
    let version = || async {
        let list = cluster
            .namespaced::<ConfigMap>()
            .list(&ListParams::default())
            .await
            .unwrap();
        list.metadata.resource_version.unwrap()
    };
    eventually("a quiet second", || async {
        let before = version().await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let after = version().await;
        if before == after {
            Ok(())
        } else {
            Err((before, after))
        }
    })
    .await;
}
