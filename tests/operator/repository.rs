//! Repositories and Snapshots: documents, counts, re-sync, and deletion.

use std::time::Duration;

use serde_json::{Value, json};

use super::backup_storage::{phase, secret, storage};
use super::bucket::Bucket;
use super::cluster::Cluster;

fn repository(extra: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"appRef": {"apiGroup": "apps", "kind": "StatefulSet", "name": "web", "namespace": "demo"},
            "storageRef": {"name": "s3", "namespace": "demo"}, "path": "demo/web", "encryptionSecret": {"name": "e", "namespace": "demo"}},
    });
    json_patch::merge(&mut object, extra);
    object
}

/// A Snapshot as the BackupSession controller makes it.
async fn snapshot(cluster: &Cluster, name: &str, extra: &Value) {
    let owner = cluster.get("Repository", "web").await.unwrap()["metadata"]["uid"].clone();
    let mut object = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
        "metadata": {"name": name, "namespace": "demo", "labels": {"kubestash.com/repo-name": "web"},
            "ownerReferences": [{"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "name": "web", "uid": owner,
                "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"snapshotID": "01H", "type": "FullBackup", "repository": "web", "session": "daily", "backupSession": "bs-1",
            "version": "v1", "appRef": {"apiGroup": "apps", "kind": "StatefulSet", "name": "web", "namespace": "demo"}},
    });
    json_patch::merge(&mut object, extra);
    cluster.apply(object).await;
    let time = format!("2026-01-0{}T00:00:00Z", name.chars().last().unwrap());
    cluster
        .set_status("Snapshot", name, json!({"phase": "Pending", "verificationStatus": "NotVerified", "snapshotTime": time, "totalComponents": 1}))
        .await;
}

async fn finish(cluster: &Cluster, name: &str, phase: &str, size: &str) {
    let component = json!({"path": "repository/v1/daily/dump", "phase": phase, "size": size, "integrity": true, "driver": "Restic",
        "resticStats": [{"summary": {"id": format!("id-{name}"), "hostPath": "/data"}}]});
    cluster
        .set_status("Snapshot", name, json!({"components": {"dump": component}}))
        .await;
}

/// A Snapshot that succeeded.
async fn succeeded(cluster: &Cluster, name: &str, more: &Value) {
    snapshot(cluster, name, more).await;
    finish(cluster, name, "Succeeded", "1.000 MiB").await;
    cluster
        .until("Snapshot", name, "succeeded", phase("Succeeded"))
        .await;
}

async fn ready() -> (Cluster, Bucket) {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    cluster.apply(secret()).await;
    cluster.apply(storage(&bucket, &json!({}))).await;
    cluster.apply(repository(&json!({}))).await;
    cluster
        .until("Repository", "web", "became Ready", phase("Ready"))
        .await;
    (cluster, bucket)
}

#[tokio::test]
async fn a_repository_waits_for_its_storage_and_then_stands_in_its_list() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    cluster.apply(repository(&json!({}))).await;
    let waiting = cluster
        .until("Repository", "web", "was NotReady", phase("NotReady"))
        .await;
    assert!(
        Cluster::message(&waiting, "RepositoryInitialized", "False")
            .unwrap()
            .contains("BackupStorage demo/s3 does not exist")
    );
    cluster.apply(storage(&bucket, &json!({}))).await;
    cluster.apply(secret()).await;
    cluster
        .until("Repository", "web", "became Ready", phase("Ready"))
        .await;
    assert!(
        bucket
            .get("team/demo/web/repository.yaml")
            .unwrap()
            .contains("kind: Repository")
    );
    let listed = |object: &Value| object["status"]["repositories"][0]["path"] == "demo/web";
    cluster
        .until("BackupStorage", "s3", "listed the Repository", listed)
        .await;
    assert!(
        bucket
            .get("team/metadata.yaml")
            .unwrap()
            .contains("path: demo/web")
    );
}

#[tokio::test]
async fn a_finished_snapshot_is_uploaded_counted_and_summed_up() {
    let (cluster, bucket) = ready().await;
    snapshot(&cluster, "web-1", &json!({})).await;
    let counted = |object: &Value| object["status"]["recentSnapshots"][0]["name"] == "web-1";
    cluster
        .until("Repository", "web", "listed the Snapshot", counted)
        .await;
    let told = |object: &Value| Cluster::message(object, "RecentSnapshotListUpdated", "True").is_some();
    let early = cluster.until("Snapshot", "web-1", "was told", told).await;
    assert_eq!(early["status"]["phase"], "Pending");

    finish(&cluster, "web-1", "Succeeded", "2.000 MiB").await;
    let done = cluster
        .until("Snapshot", "web-1", "succeeded", phase("Succeeded"))
        .await;
    assert_eq!(
        Cluster::message(&done, "SnapshotMetadataUploaded", "True").unwrap(),
        "Metadata uploaded to backend successfully"
    );
    assert_eq!(
        (&done["status"]["size"], &done["status"]["integrity"]),
        (&json!("2.000 MiB"), &json!(true))
    );
    let document: Value =
        kubestash::yaml::from_str(&bucket.get("team/demo/web/snapshots/web-1.yaml").unwrap()).unwrap();
    assert_eq!(
        (&document["kind"], &document["status"]["phase"]),
        (&json!("Snapshot"), &json!("Succeeded"))
    );

    let sum = |object: &Value| {
        object["status"]["size"] == "2.000 MiB"
            && object["status"]["lastBackupTime"] == "2026-01-01T00:00:00Z"
    };
    let web = cluster
        .until("Repository", "web", "counted the success", sum)
        .await;
    assert_eq!(
        (&web["status"]["snapshotCount"], &web["status"]["integrity"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        web["status"]["componentPaths"],
        json!(["repository/v1/daily/dump"])
    );
    cluster
        .until("BackupStorage", "s3", "has a size", |object| {
            object["status"]["totalSize"] == "2.000 MiB"
        })
        .await;
    let calls = cluster
        .quiet_calls(Duration::from_secs(1), Duration::from_secs(3))
        .await;
    assert_eq!(calls, Vec::<String>::new());
    let recorded: Value =
        kubestash::yaml::from_str(&bucket.get("team/demo/web/repository.yaml").unwrap()).unwrap();
    assert_eq!(recorded["status"]["recentSnapshots"][0]["phase"], "Succeeded");
}

#[tokio::test]
async fn a_failed_component_fails_the_snapshot_and_is_no_last_success() {
    let (cluster, bucket) = ready().await;
    snapshot(&cluster, "web-1", &json!({})).await;
    finish(&cluster, "web-1", "Failed", "").await;
    cluster
        .until("Snapshot", "web-1", "failed", phase("Failed"))
        .await;
    assert!(bucket.get("team/demo/web/snapshots/web-1.yaml").is_some());
    let counted = |object: &Value| object["status"]["recentSnapshots"][0]["phase"] == "Failed";
    let web = cluster
        .until("Repository", "web", "counted the failure", counted)
        .await;
    assert_eq!(web["status"]["lastBackupTime"], Value::Null);
}

#[tokio::test]
async fn a_storage_over_old_data_brings_its_objects_back() {
    let (cluster, bucket) = ready().await;
    for name in ["web-1", "web-2"] {
        succeeded(&cluster, name, &json!({})).await;
    }
    cluster
        .until("BackupStorage", "s3", "listed the Repository", |o| {
            o["status"]["repositories"][0]["name"] == "web"
        })
        .await;
    cluster.delete("BackupStorage", "s3").await;
    cluster.until_gone("BackupStorage", "s3").await;
    assert!(
        cluster.get("Repository", "web").await.is_none() && cluster.get("Snapshot", "web-1").await.is_none()
    );
    assert!(
        bucket
            .get("team/metadata.yaml")
            .unwrap()
            .contains("path: demo/web"),
        "the list survives"
    );

    // Another cluster: another name for the storage.
    let second = Cluster::start().await;
    second.apply(secret()).await;
    second
        .apply(storage(&bucket, &json!({"metadata": {"name": "restored"}})))
        .await;
    second
        .until("BackupStorage", "restored", "synced", |o| {
            o["status"]["repositories"][0]["synced"] == true
        })
        .await;
    let web = second
        .until("Repository", "web", "is whole", |o| {
            o["status"]["snapshotCount"] == 2 && o["status"]["phase"] == "Ready"
        })
        .await;
    assert_eq!(
        web["spec"]["storageRef"],
        json!({"name": "restored", "namespace": "demo"})
    );
    let one = second
        .until("Snapshot", "web-1", "is back", phase("Succeeded"))
        .await;
    assert_eq!(
        one["metadata"]["ownerReferences"][0]["uid"],
        web["metadata"]["uid"]
    );
    assert_eq!(
        one["status"]["components"]["dump"]["resticStats"][0]["summary"]["id"],
        "id-web-1"
    );
}

#[tokio::test]
async fn a_repository_that_was_there_before_its_storage_gets_its_snapshots_back() {
    let (cluster, bucket) = ready().await;
    succeeded(&cluster, "web-1", &json!({})).await;
    cluster
        .until("BackupStorage", "s3", "listed the Repository", |o| {
            o["status"]["repositories"][0]["name"] == "web"
        })
        .await;
    cluster.delete("BackupStorage", "s3").await;
    cluster.until_gone("BackupStorage", "s3").await;

    // As a BackupConfiguration makes it, when all manifests are applied at once.
    let second = Cluster::start().await;
    second.apply(secret()).await;
    second.apply(repository(&json!({}))).await;
    second
        .until("Repository", "web", "waits", phase("NotReady"))
        .await;
    second.apply(storage(&bucket, &json!({}))).await;
    second
        .until("Snapshot", "web-1", "is back", phase("Succeeded"))
        .await;
    second
        .until("Repository", "web", "counts it", |o| {
            o["status"]["snapshotCount"] == 1 && o["status"]["phase"] == "Ready"
        })
        .await;
}

#[tokio::test]
async fn a_missing_namespace_is_told_and_its_arrival_is_noticed() {
    let (cluster, bucket) = (Cluster::start().await, Bucket::start().await);
    let document = repository(&json!({"metadata": {"namespace": "later"}}));
    bucket.put(
        "team/demo/web/repository.yaml",
        &kubestash::yaml::to_string(&document).unwrap(),
    );
    bucket.put(
        "team/metadata.yaml",
        "kind: BackendMeta\nrepositories:\n- {name: web, namespace: later, path: demo/web}\n",
    );
    cluster.apply(secret()).await;
    cluster.apply(storage(&bucket, &json!({}))).await;
    let lost = |object: &Value| object["status"]["repositories"][0]["synced"] == false;
    let storage = cluster
        .until("BackupStorage", "s3", "told what it could not bring back", lost)
        .await;
    assert_eq!(storage["status"]["phase"], "Ready");
    assert!(
        storage["status"]["repositories"][0]["error"]
            .as_str()
            .unwrap()
            .contains("later"),
        "{storage:#}"
    );
    cluster
        .apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "later"}}))
        .await;
    cluster
        .until("later/Repository", "web", "came back", phase("Ready"))
        .await;
}

#[tokio::test]
async fn deletion_policies_of_a_repository() {
    for (policy, kept) in [("Delete", true), ("WipeOut", false)] {
        let (cluster, bucket) = ready().await;
        cluster
            .merge("Repository", "web", json!({"spec": {"deletionPolicy": policy}}))
            .await;
        succeeded(&cluster, "web-1", &json!({})).await;
        bucket.put("team/demo/web/repository/v1/daily/dump/config", "restic's");
        bucket.put("team/demo/web2/x", "a neighbour");
        cluster.delete("Repository", "web").await;
        cluster.until_gone("Repository", "web").await;
        assert!(cluster.get("Snapshot", "web-1").await.is_none());
        assert_eq!(
            bucket
                .get("team/demo/web/repository/v1/daily/dump/config")
                .is_some(),
            kept,
            "{policy}"
        );
        assert!(bucket.get("team/demo/web2/x").is_some());
        cluster
            .until("BackupStorage", "s3", "forgot it", |o| {
                o["status"]["repositories"].as_array().is_none_or(Vec::is_empty)
            })
            .await;
        assert!(
            !bucket.get("team/metadata.yaml").unwrap().contains("demo/web"),
            "{policy}"
        );
    }
}

#[tokio::test]
async fn deletion_policies_of_a_snapshot() {
    let (cluster, bucket) = ready().await;
    for name in ["web-1", "web-2", "web-3"] {
        succeeded(&cluster, name, &json!({})).await;
    }
    // Delete: only the object goes.
    cluster.delete("Snapshot", "web-1").await;
    cluster.until_gone("Snapshot", "web-1").await;
    assert!(bucket.get("team/demo/web/snapshots/web-1.yaml").is_some());
    cluster
        .until("Repository", "web", "counted again", |o| {
            o["status"]["snapshotCount"] == 2
        })
        .await;

    // A retention Job has been there: nothing is done twice.
    cluster.merge("Snapshot", "web-2", json!({"spec": {"deletionPolicy": "WipeOut"}, "metadata": {"annotations": {"kubestash.com/forgotten": "true"}}})).await;
    cluster.delete("Snapshot", "web-2").await;
    cluster.until_gone("Snapshot", "web-2").await;
    assert!(cluster.get("Job", "cleanup-web-2").await.is_none());

    // WipeOut: a Job forgets the data, the object waits for it.
    cluster.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "e"}, "stringData": {"RESTIC_PASSWORD": "hidden"}})).await;
    cluster
        .merge(
            "Snapshot",
            "web-3",
            json!({"spec": {"deletionPolicy": "WipeOut"}}),
        )
        .await;
    cluster.delete("Snapshot", "web-3").await;
    let job = cluster.until("Job", "cleanup-web-3", "was made", |_| true).await;
    assert!(!job.to_string().contains("hidden"));
    assert_eq!(job["spec"]["backoffLimit"], 0);
    let owned = |secret: &Value| secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"];
    let plan = cluster
        .until("Secret", "cleanup-web-3", "belongs to its Job", owned)
        .await;
    let text = String::from_utf8(base64(plan["data"]["plan.json"].as_str().unwrap())).unwrap();
    assert!(
        text.contains("\"forget\":[\"id-web-3\"]")
            && text.contains("snapshots/web-3.yaml")
            && !text.contains("hidden"),
        "{text}"
    );
    assert!(cluster.get("Snapshot", "web-3").await.is_some());
    let finished = json!({"conditions": [{"type": "Complete", "status": "True"}], "completionTime": "2026-01-01T00:00:00Z", "succeeded": 1});
    cluster.set_status("Job", "cleanup-web-3", finished).await;
    cluster.until_gone("Snapshot", "web-3").await;
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn a_wipe_without_a_password_does_not_hold_the_snapshot() {
    let (cluster, _bucket) = ready().await;
    succeeded(&cluster, "web-1", &json!({"spec": {"deletionPolicy": "WipeOut"}})).await;
    cluster.delete("Snapshot", "web-1").await;
    cluster.until_gone("Snapshot", "web-1").await;
}

#[tokio::test]
async fn the_bucket_is_written_only_when_something_changed() {
    let (cluster, bucket) = ready().await;
    cluster
        .until("BackupStorage", "s3", "listed the Repository", |o| {
            o["status"]["repositories"][0]["name"] == "web"
        })
        .await;
    cluster
        .quiet_calls(Duration::from_millis(500), Duration::from_millis(100))
        .await;
    let before = bucket.writes();
    cluster
        .merge(
            "Repository",
            "web",
            json!({"metadata": {"annotations": {"a": "b"}}}),
        )
        .await;
    cluster
        .merge("BackupStorage", "s3", json!({"metadata": {"labels": {"a": "b"}}}))
        .await;
    cluster
        .quiet_calls(Duration::from_millis(500), Duration::from_millis(100))
        .await;
    assert_eq!(bucket.writes(), before);
}
