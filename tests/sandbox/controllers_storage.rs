//! Claims, volumes and snapshots as directories.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, eventually, phase, text, until, until_gone};

fn claim(name: &str, spec: &Value) -> Value {
    let mut whole = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    json_patch::merge(&mut whole, spec);
    json!({"metadata": {"name": name}, "spec": whole})
}

fn user(name: &str, claim: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]}})
}

fn bound(claim: &PersistentVolumeClaim) -> bool {
    phase(claim) == "Bound"
}

async fn snapshot(cluster: &Cluster, name: &str, claim: &str) -> DynamicObject {
    let object = json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": name}, "spec": {"source": {"persistentVolumeClaimName": claim}}});
    let object = serde_json::from_value(object).unwrap();
    cluster
        .snapshots()
        .create(&PostParams::default(), &object)
        .await
        .unwrap()
}

fn ready(snapshot: &DynamicObject) -> bool {
    snapshot.data["status"]["readyToUse"] == json!(true)
}

#[tokio::test]
async fn a_claim_gets_a_directory_and_gives_it_back() {
    let cluster = Cluster::start().await;
    cluster
        .create::<PersistentVolumeClaim>(claim("data", &json!({})))
        .await;
    let made = cluster.until("data", "is bound", bound).await;
    assert_eq!(
        text(&made, "/spec/storageClassName"),
        "standard",
        "the default class"
    );
    assert_eq!(text(&made, "/status/capacity/storage"), "1Gi");
    let path = cluster.path_of("data").await;
    assert!(path.is_dir() && path.starts_with(cluster.volumes()));
    let volumes: Api<PersistentVolume> = cluster.all();
    let name = text(&made, "/spec/volumeName");
    let volume = until(&volumes, &name, "is bound", |volume| phase(volume) == "Bound").await;
    assert_eq!(text(&volume, "/spec/persistentVolumeReclaimPolicy"), "Delete");

    let more = Patch::Merge(json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}}));
    cluster
        .namespaced::<PersistentVolumeClaim>()
        .patch("data", &PatchParams::default(), &more)
        .await
        .unwrap();
    let grown = |claim: &PersistentVolumeClaim| text(claim, "/status/capacity/storage") == "3Gi";
    cluster.until("data", "has grown", grown).await;

    cluster
        .namespaced::<PersistentVolumeClaim>()
        .delete("data", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&volumes, &name).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_claim_in_use_stays_until_its_pod_is_gone() {
    let cluster = Cluster::start().await;
    let claims = cluster.namespaced::<PersistentVolumeClaim>();
    cluster
        .create::<PersistentVolumeClaim>(claim("data", &json!({})))
        .await;
    cluster.create::<Pod>(user("user", "data")).await;
    cluster
        .until::<Pod>("user", "runs", |pod| phase(pod) == "Running")
        .await;
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    let going = cluster
        .until::<PersistentVolumeClaim>("data", "is going", |claim| {
            claim.metadata.deletion_timestamp.is_some()
        })
        .await;
    assert_eq!(going.finalizers(), ["kubernetes.io/pvc-protection"]);
    // A second pod must not start with a claim that is going.
    cluster.create::<Pod>(user("late", "data")).await;
    let told = |pod: &Pod| text(pod, "/status/conditions/0/message").contains("is being deleted");
    cluster.until::<Pod>("late", "is told", told).await;
    cluster
        .namespaced::<Pod>()
        .delete("user", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&claims, "data").await;
}

#[tokio::test]
async fn a_pod_that_has_ended_keeps_its_claim_until_it_is_gone_too() {
    let cluster = Cluster::start().await;
    let claims = cluster.namespaced::<PersistentVolumeClaim>();
    cluster
        .create::<PersistentVolumeClaim>(claim("data", &json!({})))
        .await;
    cluster.create::<Pod>(user("user", "data")).await;
    cluster
        .until::<Pod>("user", "runs", |pod| phase(pod) == "Running")
        .await;
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    let pods = cluster.namespaced::<Pod>();
    pods.patch_status("user", &PatchParams::default(), &ended)
        .await
        .unwrap();
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    let going = cluster
        .until::<PersistentVolumeClaim>("data", "is going", |claim| {
            claim.metadata.deletion_timestamp.is_some()
        })
        .await;
    assert_eq!(going.finalizers(), ["kubernetes.io/pvc-protection"]);
    // A claim that nobody uses goes at once: by then the first one has been looked at, too.
    cluster
        .create::<PersistentVolumeClaim>(claim("other", &json!({})))
        .await;
    cluster.until("other", "is bound", bound).await;
    claims.delete("other", &DeleteParams::default()).await.unwrap();
    until_gone(&claims, "other").await;
    assert!(
        claims.get_opt("data").await.unwrap().is_some(),
        "Kubernetes does not look at the phase"
    );
    pods.delete("user", &DeleteParams::default()).await.unwrap();
    until_gone(&claims, "data").await;
}

#[tokio::test]
async fn a_claim_may_wait_for_its_first_consumer() {
    let cluster = Cluster::start().await;
    cluster.create::<Pod>(user("user", "data")).await;
    let missing = |pod: &Pod| {
        text(pod, "/status/conditions/0/message").contains("persistentvolumeclaim \"data\" not found")
    };
    cluster.until::<Pod>("user", "misses its claim", missing).await;
    cluster
        .namespaced::<Pod>()
        .delete("user", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&cluster.namespaced::<Pod>(), "user").await;

    cluster
        .create::<PersistentVolumeClaim>(claim("data", &json!({"storageClassName": "standard-wait"})))
        .await;
    let pending = |claim: &PersistentVolumeClaim| {
        phase(claim) == "Pending"
            && claim
                .finalizers()
                .iter()
                .any(|f| f == "kubernetes.io/pvc-protection")
    };
    cluster.until("data", "waits", pending).await;
    cluster.create::<Pod>(user("user", "data")).await;
    cluster
        .until::<Pod>("user", "runs", |pod| phase(pod) == "Running")
        .await;
    cluster.until("data", "is bound", bound).await;
}

#[tokio::test]
async fn a_volume_made_by_hand_is_bound_and_kept() {
    let cluster = Cluster::start().await;
    let volumes: Api<PersistentVolume> = cluster.all();
    let hand = cluster.volumes().join("by-hand");
    std::fs::create_dir(&hand).unwrap();
    let volume = json!({"metadata": {"name": "hand"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}, "storageClassName": "manual",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": hand}}});
    volumes
        .create(&PostParams::default(), &serde_json::from_value(volume).unwrap())
        .await
        .unwrap();
    until(&volumes, "hand", "is available", |volume| {
        phase(volume) == "Available"
    })
    .await;
    cluster
        .create::<PersistentVolumeClaim>(claim("mine", &json!({"storageClassName": "manual"})))
        .await;
    let mine = cluster.until("mine", "is bound", bound).await;
    assert_eq!(text(&mine, "/status/capacity/storage"), "5Gi");
    cluster
        .namespaced::<PersistentVolumeClaim>()
        .delete("mine", &DeleteParams::default())
        .await
        .unwrap();
    until(&volumes, "hand", "is released", |volume| {
        phase(volume) == "Released"
    })
    .await;
    assert!(hand.is_dir());
}

#[tokio::test]
async fn a_snapshot_is_taken_restored_and_removed() {
    let cluster = Cluster::start().await;
    cluster
        .create::<PersistentVolumeClaim>(claim("data", &json!({})))
        .await;
    let path = cluster.path_of("data").await;
    std::fs::write(path.join("file"), "before").unwrap();
    snapshot(&cluster, "snap", "data").await;
    let taken = until(&cluster.snapshots(), "snap", "is ready", ready).await;
    assert_eq!(taken.data["status"]["restoreSize"], json!("1Gi"));
    assert!(taken.data["status"]["creationTime"].is_string());
    std::fs::write(path.join("file"), "after").unwrap();

    let source = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"});
    cluster
        .create::<PersistentVolumeClaim>(claim("back", &json!({"dataSource": source})))
        .await;
    let back = cluster.path_of("back").await;
    assert_eq!(std::fs::read_to_string(back.join("file")).unwrap(), "before");

    cluster
        .snapshots()
        .delete("snap", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&cluster.snapshots(), "snap").await;
    let left = std::fs::read_dir(cluster.volumes().join("snapshots"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_snapshot_of_nothing_says_so_and_is_taken_when_there_is_something() {
    let cluster = Cluster::start().await;
    snapshot(&cluster, "early", "data").await;
    let told = |snapshot: &DynamicObject| {
        let message = snapshot.data["status"]["error"]["message"]
            .as_str()
            .unwrap_or_default();
        message.contains("\"data\" not found") && snapshot.data["status"]["readyToUse"] == json!(false)
    };
    until(&cluster.snapshots(), "early", "has failed", told).await;
    cluster
        .create::<PersistentVolumeClaim>(claim("data", &json!({})))
        .await;
    let taken = until(&cluster.snapshots(), "early", "is ready", ready).await;
    assert!(taken.data["status"].get("error").is_none());
}

#[tokio::test]
async fn a_claim_is_cloned_and_a_foreign_source_is_left_alone() {
    let cluster = Cluster::start().await;
    cluster
        .create::<PersistentVolumeClaim>(claim("data", &json!({})))
        .await;
    std::fs::write(cluster.path_of("data").await.join("file"), "x").unwrap();
    let source = json!({"kind": "PersistentVolumeClaim", "name": "data"});
    cluster
        .create::<PersistentVolumeClaim>(claim("copy", &json!({"dataSource": source})))
        .await;
    let copy = cluster.path_of("copy").await;
    assert_eq!(std::fs::read_to_string(copy.join("file")).unwrap(), "x");

    let foreign = json!({"apiGroup": "example.com", "kind": "Filler", "name": "f"});
    cluster
        .create::<PersistentVolumeClaim>(claim("filled", &json!({"dataSourceRef": foreign})))
        .await;
    let seen = |claim: &PersistentVolumeClaim| phase(claim) == "Pending" && !claim.finalizers().is_empty();
    let waits = cluster.until("filled", "waits", seen).await;
    assert_eq!(text(&waits, "/spec/volumeName"), "");
}

#[tokio::test]
async fn an_ephemeral_volume_comes_and_goes_with_its_pod() {
    let cluster = Cluster::start().await;
    let template = json!({"spec": claim("unused", &json!({}))["spec"]});
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]}});
    cluster.create::<Pod>(pod).await;
    cluster
        .until::<Pod>("p", "runs", |pod| phase(pod) == "Running")
        .await;
    let path = cluster.path_of("p-scratch").await;
    cluster
        .namespaced::<Pod>()
        .delete("p", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&cluster.namespaced::<PersistentVolumeClaim>(), "p-scratch").await;
    eventually("the directory's end", || async {
        if path.exists() { Err(()) } else { Ok(()) }
    })
    .await;
}
