//! BackupStorages from their creation to their end.

use std::time::Duration;

use serde_json::{Value, json};

use super::bucket::{Bucket, KEY_ID};
use super::cluster::Cluster;

pub(super) fn storage(bucket: &Bucket, extra: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "s3", "namespace": "demo"},
        "spec": {"storage": {"provider": "s3", "s3": {"endpoint": bucket.endpoint, "bucket": "backups", "prefix": "team",
            "region": "us-east-1", "secretName": "keys"}}},
    });
    json_patch::merge(&mut object, extra);
    object
}

pub(super) fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "demo"},
        "stringData": {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": "hidden"}})
}

pub(super) fn phase(wanted: &str) -> impl Fn(&Value) -> bool {
    move |object| object["status"]["phase"] == wanted
}

#[tokio::test]
async fn a_missing_secret_is_named_and_its_arrival_makes_the_storage_ready() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    cluster.apply(storage(&bucket, &json!({}))).await;
    let waiting = cluster
        .until("BackupStorage", "s3", "was NotReady", phase("NotReady"))
        .await;
    let message = Cluster::message(&waiting, "BackendSecretFound", "False").unwrap();
    assert!(message.contains("Secret demo/keys does not exist"), "{message}");
    assert_eq!(
        waiting["metadata"]["finalizers"],
        json!(["kubestash.com/cleanup"])
    );

    cluster.apply(secret()).await;
    let ready = cluster
        .until("BackupStorage", "s3", "became Ready", phase("Ready"))
        .await;
    assert!(Cluster::message(&ready, "BackendSecretFound", "True").is_some());
    let types: Vec<_> = ready["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["BackendSecretFound", "BackendInitialized"]);
    let metadata = bucket.get("team/metadata.yaml").unwrap();
    assert!(metadata.contains("kind: BackendMeta"), "{metadata}");
}

#[tokio::test]
async fn wrong_and_missing_keys_and_buckets_are_told() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    cluster
        .apply(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "demo"},
        "stringData": {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "hidden"}}),
        )
        .await;
    cluster.apply(storage(&bucket, &json!({}))).await;
    let told = |text: &'static str| {
        move |object: &Value| {
            Cluster::message(object, "BackendInitialized", "False").is_some_and(|m| m.contains(text))
        }
    };
    let wrong = cluster
        .until(
            "BackupStorage",
            "s3",
            "told the wrong key",
            told("does not accept the credentials"),
        )
        .await;
    assert_eq!(wrong["status"]["phase"], "NotReady");
    assert!(!wrong.to_string().contains("hidden"));

    cluster
        .merge("Secret", "keys", json!({"data": {"AWS_ACCESS_KEY_ID": null}}))
        .await;
    cluster
        .until(
            "BackupStorage",
            "s3",
            "told the missing key",
            told("Secret demo/keys has no key AWS_ACCESS_KEY_ID"),
        )
        .await;

    cluster.apply(secret()).await;
    cluster
        .until("BackupStorage", "s3", "became Ready", phase("Ready"))
        .await;

    cluster
        .merge(
            "BackupStorage",
            "s3",
            json!({"spec": {"storage": {"s3": {"bucket": "elsewhere"}}}}),
        )
        .await;
    cluster
        .until(
            "BackupStorage",
            "s3",
            "told the missing bucket",
            told("does not exist"),
        )
        .await;
}

#[tokio::test]
async fn a_storage_that_failed_recovers_by_itself() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    bucket.break_down(true);
    cluster.apply(secret()).await;
    cluster.apply(storage(&bucket, &json!({}))).await;
    cluster
        .until("BackupStorage", "s3", "was NotReady", phase("NotReady"))
        .await;
    bucket.break_down(false);
    cluster
        .until("BackupStorage", "s3", "recovered", phase("Ready"))
        .await;
}

#[tokio::test]
async fn an_unreadable_list_is_never_overwritten() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    bucket.put("team/metadata.yaml", "repositories: 7");
    cluster.apply(secret()).await;
    cluster.apply(storage(&bucket, &json!({}))).await;
    let told = |object: &Value| {
        Cluster::message(object, "BackendInitialized", "False").is_some_and(|m| m.contains("metadata.yaml"))
    };
    cluster
        .until("BackupStorage", "s3", "told the unreadable list", told)
        .await;
    assert_eq!(bucket.get("team/metadata.yaml").unwrap(), "repositories: 7");
}

#[tokio::test]
async fn delete_keeps_the_data_and_wipe_out_removes_what_is_ours() {
    for (policy, left) in [
        (
            "Delete",
            vec!["other/x", "team/metadata.yaml", "team/old/repository.yaml"],
        ),
        ("WipeOut", vec!["other/x"]),
    ] {
        let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
        bucket.put("other/x", "not ours");
        cluster.apply(secret()).await;
        cluster
            .apply(storage(&bucket, &json!({"spec": {"deletionPolicy": policy}})))
            .await;
        cluster
            .until("BackupStorage", "s3", "became Ready", phase("Ready"))
            .await;
        bucket.put("team/old/repository.yaml", "left from before");
        cluster.delete("BackupStorage", "s3").await;
        cluster.until_gone("BackupStorage", "s3").await;
        assert_eq!(bucket.keys(), left, "{policy}");
    }
}

#[tokio::test]
async fn wiping_spares_a_storage_inside() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    cluster.apply(secret()).await;
    cluster
        .apply(storage(&bucket, &json!({"spec": {"deletionPolicy": "WipeOut"}})))
        .await;
    let inner = json!({"metadata": {"name": "inner"}, "spec": {"storage": {"s3": {"prefix": "team/inner"}}}});
    cluster.apply(storage(&bucket, &inner)).await;
    cluster
        .until("BackupStorage", "s3", "became Ready", phase("Ready"))
        .await;
    cluster
        .until("BackupStorage", "inner", "became Ready", phase("Ready"))
        .await;
    cluster.delete("BackupStorage", "s3").await;
    cluster.until_gone("BackupStorage", "s3").await;
    assert_eq!(bucket.keys(), ["team/inner/metadata.yaml"]);
}

#[tokio::test]
async fn deletion_is_not_held_up_by_a_missing_secret_or_a_broken_backend() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    let wipe = json!({"spec": {"deletionPolicy": "WipeOut"}});
    cluster.apply(storage(&bucket, &wipe)).await;
    cluster
        .until("BackupStorage", "s3", "was NotReady", phase("NotReady"))
        .await;
    cluster.delete("BackupStorage", "s3").await;
    cluster.until_gone("BackupStorage", "s3").await;

    bucket.break_down(true);
    cluster.apply(secret()).await;
    cluster.apply(storage(&bucket, &wipe)).await;
    let failed = |object: &Value| Cluster::message(object, "BackendInitialized", "False").is_some();
    cluster.until("BackupStorage", "s3", "failed", failed).await;
    cluster.delete("BackupStorage", "s3").await;
    cluster.until_gone("BackupStorage", "s3").await;
}

#[tokio::test]
async fn a_ready_storage_rests() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    cluster.apply(secret()).await;
    cluster.apply(storage(&bucket, &json!({}))).await;
    cluster
        .until("BackupStorage", "s3", "became Ready", phase("Ready"))
        .await;
    let calls = cluster
        .quiet_calls(Duration::from_secs(1), Duration::from_secs(3))
        .await;
    assert_eq!(calls, Vec::<String>::new());
}
