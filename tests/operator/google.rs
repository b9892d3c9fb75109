//! A bucket of Google Cloud Storage that is not there is made, once, where that is allowed.

use serde_json::{Value, json};

use super::backup_storage::phase;
use super::bucket::Bucket;
use super::cluster::Cluster;

fn storage() -> Value {
    json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "gcs", "namespace": "demo"},
        "spec": {"storage": {"provider": "gcs", "gcs": {"bucket": "backups", "prefix": "team", "secretName": "keys"}}}})
}

/// A key file that leads to our server; `project` is where a bucket would be made.
fn secret(bucket: &Bucket, project: Option<&str>) -> Value {
    let key = json!({"type": "service_account", "private_key": "hidden", "private_key_id": "1", "client_email": "backup@x",
        "disable_oauth": true, "gcs_base_url": bucket.endpoint});
    let mut data = json!({"GOOGLE_SERVICE_ACCOUNT_JSON_KEY": key.to_string()});
    if let Some(project) = project {
        data["GOOGLE_PROJECT_ID"] = project.into();
    }
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "demo"}, "stringData": data})
}

fn told(words: &'static str) -> impl Fn(&Value) -> bool {
    move |object| Cluster::message(object, "BackendInitialized", "False").is_some_and(|it| it.contains(words))
}

#[tokio::test]
async fn a_new_storage_makes_its_bucket_and_one_that_has_vanished_is_missed() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::google().await);
    cluster.apply(secret(&bucket, Some("ours"))).await;
    cluster.apply(storage()).await;
    cluster
        .until("BackupStorage", "gcs", "became Ready", phase("Ready"))
        .await;
    let metadata = bucket.get("team/metadata.yaml").unwrap();
    assert!(metadata.contains("kind: BackendMeta"), "{metadata}");

    bucket.drop_bucket("backups");
    // Another Secret: the storage is reached anew.
    cluster
        .merge("Secret", "keys", json!({"stringData": {"MORE": "1"}}))
        .await;
    let missed = cluster
        .until(
            "BackupStorage",
            "gcs",
            "missed its bucket",
            told("does not exist"),
        )
        .await;
    assert_eq!(missed["status"]["phase"], "NotReady");
    assert!(!missed.to_string().contains("hidden"));
    assert!(
        !bucket.exists("backups"),
        "an empty one would hide that the backups are gone"
    );
}

#[tokio::test]
async fn why_a_bucket_is_not_made_is_told() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::google().await);
    cluster.apply(secret(&bucket, None)).await;
    cluster.apply(storage()).await;
    cluster
        .until(
            "BackupStorage",
            "gcs",
            "asked for a project",
            told("add GOOGLE_PROJECT_ID to the storage Secret"),
        )
        .await;
    cluster.apply(secret(&bucket, Some("theirs"))).await;
    let refused = cluster
        .until(
            "BackupStorage",
            "gcs",
            "told the refusal",
            told("storage.buckets.create access"),
        )
        .await;
    let message = Cluster::message(&refused, "BackendInitialized", "False").unwrap();
    assert!(message.contains("in the project theirs (403"), "{message}");
    cluster.apply(secret(&bucket, Some("ours"))).await;
    cluster
        .until("BackupStorage", "gcs", "became Ready", phase("Ready"))
        .await;
    assert!(bucket.exists("backups"));
}
