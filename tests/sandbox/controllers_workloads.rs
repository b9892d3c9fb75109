//! Deployments, StatefulSets and DaemonSets as `kubectl rollout` and users see them.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};

use super::cluster::{Cluster, eventually, holds, names, number, phase, template, text, until_gone};

fn workload(name: &str, spec: &Value) -> Value {
    let labels = json!({"app": name});
    let mut whole = json!({
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": template(&labels, &json!({}), &json!({})),
    });
    json_patch::merge(&mut whole, spec);
    json!({"metadata": {"name": name}, "spec": whole})
}

async fn patch<K>(api: &Api<K>, name: &str, patch: Value) -> K
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap()
}

/// What `kubectl rollout status` waits for.
fn rolled_out(deployment: &Deployment) -> bool {
    let wanted = number(deployment, "/spec/replicas");
    number(deployment, "/status/observedGeneration") >= number(deployment, "/metadata/generation")
        && number(deployment, "/status/updatedReplicas") == wanted
        && number(deployment, "/status/replicas") == wanted
        && number(deployment, "/status/availableReplicas") == wanted
}

fn new_image() -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "newer"}]}}}})
}

#[tokio::test]
async fn a_deployment_rolls_out_over_and_back() {
    let cluster = Cluster::start().await;
    let api = cluster.namespaced::<Deployment>();
    cluster.create::<Deployment>(workload("web", &json!({}))).await;
    let first = cluster.until("web", "is rolled out", rolled_out).await;
    assert_eq!(
        holds(&first, "Available").as_deref(),
        Some("MinimumReplicasAvailable")
    );
    let settled = |deployment: &Deployment| {
        holds(deployment, "Progressing").as_deref() == Some("NewReplicaSetAvailable")
    };
    cluster.until("web", "is settled", settled).await;
    let old = cluster.pods("app=web").await;
    assert!(
        old.iter()
            .all(|pod| pod.labels().contains_key("pod-template-hash"))
    );

    patch(&api, "web", new_image()).await;
    let second = cluster.until("web", "is rolled out again", rolled_out).await;
    assert_eq!(
        text(
            &second,
            "/metadata/annotations/deployment.kubernetes.io~1revision"
        ),
        "2"
    );
    let pods = cluster
        .until_pods("app=web", "only new pods", |pods| {
            pods.iter()
                .all(|pod| text(pod, "/spec/containers/0/image") == "newer")
        })
        .await;
    assert_eq!(pods.len(), 2);
    let sets = cluster.namespaced::<ReplicaSet>();
    let all = sets.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(all.len(), 2, "the old set is kept for `rollout undo`");

    // `kubectl rollout undo` puts the old template back: the old set takes over with a new revision.
    let back = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    patch(&api, "web", back).await;
    let revision = |deployment: &Deployment| {
        text(
            deployment,
            "/metadata/annotations/deployment.kubernetes.io~1revision",
        )
    };
    cluster
        .until("web", "is back", |deployment| {
            rolled_out(deployment) && revision(deployment) == "3"
        })
        .await;
    assert_eq!(sets.list(&ListParams::default()).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_deployment_is_scaled_paused_and_deleted() {
    let cluster = Cluster::start().await;
    let api = cluster.namespaced::<Deployment>();
    cluster.create::<Deployment>(workload("web", &json!({}))).await;
    cluster.until("web", "is rolled out", rolled_out).await;
    patch(&api, "web", json!({"spec": {"replicas": 4}})).await;
    cluster
        .until_pods("app=web", "four pods", |pods| pods.len() == 4)
        .await;
    patch(&api, "web", json!({"spec": {"replicas": 0}})).await;
    cluster.until_pods("app=web", "no pods", <[Pod]>::is_empty).await;
    cluster
        .until("web", "is empty", |deployment: &Deployment| {
            number(deployment, "/status/replicas") == 0
        })
        .await;

    patch(&api, "web", json!({"spec": {"replicas": 1, "paused": true}})).await;
    cluster
        .until_pods("app=web", "one pod although paused", |pods| pods.len() == 1)
        .await;
    patch(&api, "web", new_image()).await;
    let seen = |deployment: &Deployment| {
        number(deployment, "/status/observedGeneration") == number(deployment, "/metadata/generation")
    };
    cluster.until("web", "has seen the change", seen).await;
    assert_eq!(
        text(&cluster.pods("app=web").await[0], "/spec/containers/0/image"),
        "i"
    );
    patch(&api, "web", json!({"spec": {"paused": false}})).await;
    cluster.until("web", "is rolled out", rolled_out).await;

    api.delete("web", &DeleteParams::foreground()).await.unwrap();
    until_gone(&api, "web").await;
    assert!(
        cluster.pods("app=web").await.is_empty(),
        "in the foreground dependents go first"
    );
}

#[tokio::test]
async fn a_deployment_that_recreates_never_has_old_and_new_pods_at_once() {
    let cluster = Cluster::start().await;
    let api = cluster.namespaced::<Deployment>();
    cluster
        .create::<Deployment>(workload(
            "one",
            &json!({"replicas": 1, "strategy": {"type": "Recreate"}}),
        ))
        .await;
    cluster.until("one", "is rolled out", rolled_out).await;
    patch(&api, "one", new_image()).await;
    cluster
        .until_pods("app=one", "the new pod", |pods| {
            assert!(pods.len() <= 1, "{:?}", names(pods));
            pods.len() == 1 && text(&pods[0], "/spec/containers/0/image") == "newer"
        })
        .await;
    cluster.until("one", "is rolled out again", rolled_out).await;
}

#[tokio::test]
async fn a_deployment_that_cannot_go_on_says_so() {
    let cluster = Cluster::start().await;
    let stuck = template(
        &json!({"app": "stuck"}),
        &json!({"test/start": "never"}),
        &json!({}),
    );
    let spec = json!({"progressDeadlineSeconds": 1, "template": stuck});
    cluster.create::<Deployment>(workload("stuck", &spec)).await;
    let late = |deployment: &Deployment| {
        let conditions = serde_json::to_value(deployment).unwrap()["status"]["conditions"].clone();
        let mut all = conditions.as_array().into_iter().flatten();
        all.any(|condition| {
            condition["reason"] == "ProgressDeadlineExceeded" && condition["status"] == "False"
        })
    };
    cluster.until("stuck", "has timed out", late).await;
}

#[tokio::test]
async fn pods_survive_their_set_when_they_are_orphaned_and_are_adopted_again() {
    let cluster = Cluster::start().await;
    let sets = cluster.namespaced::<ReplicaSet>();
    cluster.create::<ReplicaSet>(workload("set", &json!({}))).await;
    let before = cluster
        .until_pods("app=set", "two pods", |pods| pods.len() == 2)
        .await;
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    sets.delete("set", &orphan).await.unwrap();
    until_gone(&sets, "set").await;
    let free = |pods: &[Pod]| pods.len() == 2 && pods.iter().all(|pod| pod.owner_references().is_empty());
    cluster.until_pods("app=set", "two free pods", free).await;
    cluster.create::<ReplicaSet>(workload("set", &json!({}))).await;
    let owned = |pods: &[Pod]| pods.iter().all(|pod| !pod.owner_references().is_empty());
    let after = cluster.until_pods("app=set", "their adoption", owned).await;
    assert_eq!(names(&after), names(&before));
}

fn stateful(name: &str, spec: &Value) -> Value {
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let mut whole = json!({"serviceName": name, "volumeClaimTemplates": [claim]});
    json_patch::merge(&mut whole, spec);
    workload(name, &whole)
}

fn all_ready(set: &StatefulSet) -> bool {
    let wanted = number(set, "/spec/replicas");
    number(set, "/status/observedGeneration") >= number(set, "/metadata/generation")
        && number(set, "/status/replicas") == wanted
        && number(set, "/status/readyReplicas") == wanted
        && number(set, "/status/updatedReplicas") == wanted
        && text(set, "/status/currentRevision") == text(set, "/status/updateRevision")
}

#[tokio::test]
async fn a_stateful_set_has_stable_names_and_claims() {
    let cluster = Cluster::start().await;
    let api = cluster.namespaced::<StatefulSet>();
    cluster.create::<StatefulSet>(stateful("db", &json!({}))).await;
    cluster.until("db", "is ready", all_ready).await;
    let pods = cluster.pods("app=db").await;
    assert_eq!(names(&pods), ["db-0", "db-1"]);
    assert_eq!(pods[1].labels()["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(pods[1].labels()["apps.kubernetes.io/pod-index"], "1");
    let path = cluster.path_of("data-db-1").await;
    std::fs::write(path.join("kept"), "x").unwrap();

    patch(&api, "db", json!({"spec": {"replicas": 1}})).await;
    cluster
        .until_pods("app=db", "one pod", |pods| names(pods) == ["db-0"])
        .await;
    patch(&api, "db", json!({"spec": {"replicas": 2}})).await;
    cluster.until("db", "is ready again", all_ready).await;
    assert_eq!(cluster.path_of("data-db-1").await, path, "the claim was kept");
    assert!(path.join("kept").exists());

    patch(&api, "db", new_image()).await;
    cluster
        .until("db", "is updated", |set| {
            all_ready(set) && number(set, "/metadata/generation") == 4
        })
        .await;
    let images: Vec<_> = cluster
        .pods("app=db")
        .await
        .iter()
        .map(|pod| text(pod, "/spec/containers/0/image"))
        .collect();
    assert_eq!(images, ["newer", "newer"]);
    let revisions = cluster
        .namespaced::<ControllerRevision>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(revisions.items.len(), 2);

    api.delete("db", &DeleteParams::background()).await.unwrap();
    cluster.until_pods("app=db", "no pods", <[Pod]>::is_empty).await;
    let claims = cluster
        .namespaced::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(
        names(&claims.items),
        ["data-db-0", "data-db-1"],
        "claims outlive their set"
    );
}

#[tokio::test]
async fn claims_go_when_the_retention_policy_says_so() {
    let cluster = Cluster::start().await;
    let api = cluster.namespaced::<StatefulSet>();
    let policy = json!({"podManagementPolicy": "Parallel",
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"}});
    cluster.create::<StatefulSet>(stateful("db", &policy)).await;
    cluster.until("db", "is ready", all_ready).await;
    let claims = cluster.namespaced::<PersistentVolumeClaim>();
    patch(&api, "db", json!({"spec": {"replicas": 1}})).await;
    until_gone(&claims, "data-db-1").await;
    assert!(claims.get_opt("data-db-0").await.unwrap().is_some());
    api.delete("db", &DeleteParams::background()).await.unwrap();
    until_gone(&claims, "data-db-0").await;
}

#[tokio::test]
async fn a_daemon_set_has_one_pod_per_node_and_replaces_it() {
    let cluster = Cluster::start().await;
    let api = cluster.namespaced::<DaemonSet>();
    cluster
        .create::<DaemonSet>(workload("agent", &json!({"replicas": null})))
        .await;
    let ready = |set: &DaemonSet| {
        number(set, "/status/numberAvailable") == 1
            && number(set, "/status/updatedNumberScheduled") == 1
            && number(set, "/status/observedGeneration") == number(set, "/metadata/generation")
    };
    cluster.until("agent", "is ready", ready).await;
    let pods = cluster.pods("app=agent").await;
    assert_eq!(
        (pods.len(), text(&pods[0], "/spec/nodeName").as_str()),
        (1, "node-1")
    );
    patch(&api, "agent", new_image()).await;
    cluster
        .until("agent", "is ready again", |set| {
            ready(set) && number(set, "/metadata/generation") == 2
        })
        .await;
    assert_eq!(
        text(&cluster.pods("app=agent").await[0], "/spec/containers/0/image"),
        "newer"
    );
    patch(
        &api,
        "agent",
        json!({"spec": {"template": {"spec": {"nodeSelector": {"none": "such"}}}}}),
    )
    .await;
    cluster
        .until_pods("app=agent", "no pods", <[Pod]>::is_empty)
        .await;
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_why_until_it_fits() {
    let cluster = Cluster::start().await;
    let elsewhere = json!({"metadata": {"name": "lost"}, "spec": {
        "nodeSelector": {"kubernetes.io/hostname": "elsewhere"}, "containers": [{"name": "c", "image": "i"}]}});
    cluster.create::<Pod>(elsewhere).await;
    let told = |pod: &Pod| {
        let value = serde_json::to_value(pod).unwrap();
        value["status"]["conditions"][0]["message"]
            .as_str()
            .unwrap_or_default()
            .contains("didn't match Pod's node affinity/selector")
    };
    let pod: Pod = cluster.until("lost", "is told why", told).await;
    assert_eq!(phase(&pod), "Pending");
    let nodes: Api<k8s_openapi::api::core::v1::Node> = cluster.all();
    patch(
        &nodes,
        "node-1",
        json!({"metadata": {"labels": {"kubernetes.io/hostname": "elsewhere"}}}),
    )
    .await;
    cluster
        .until::<Pod>("lost", "runs", |pod| phase(pod) == "Running")
        .await;
    eventually("its removal", || async {
        let pods = cluster.namespaced::<Pod>();
        let _ = pods.delete("lost", &DeleteParams::default()).await;
        pods.get_opt("lost")
            .await
            .unwrap()
            .map_or(Ok(()), |pod| Err(phase(&pod)))
    })
    .await;
}
