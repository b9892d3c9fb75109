//! A storage on a local volume: everything goes through Jobs. Their pods are pretended here: each plan is carried out on
//! a map that stands for the volume.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kubestash::api::config::job_plan::{JobPlan, StorageAction};
use kubestash::api::config::job_result::{JobOutcome, JobResult};
use serde_json::json;

use super::backup_storage::phase;
use super::cluster::Cluster;

type Volume = Arc<Mutex<BTreeMap<String, String>>>;

/// Carries out every Job that appears, until the test ends.
fn pretend(client: kube::Client) -> Volume {
    let volume = Volume::default();
    let shared = volume.clone();
    tokio::spawn(async move {
        loop {
            let jobs: Api<Job> = Api::namespaced(client.clone(), "demo");
            for job in jobs.list(&ListParams::default()).await.unwrap() {
                let finished = job
                    .status
                    .as_ref()
                    .is_some_and(|status| status.conditions.is_some());
                if !finished && job.metadata.deletion_timestamp.is_none() {
                    carry_out(&client, &job, &shared).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    volume
}

async fn carry_out(client: &kube::Client, job: &Job, volume: &Volume) {
    let name = job.name_any();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "demo");
    let Some(secret) = secrets.get_opt(&name).await.unwrap() else {
        return;
    };
    let JobPlan::Storage(plan) = serde_json::from_slice(&secret.data.unwrap()["plan.json"].0).unwrap() else {
        panic!("{name} is no storage Job");
    };
    {
        let mut volume = volume.lock().unwrap();
        match plan.action {
            StorageAction::Init { metadata } => {
                volume.entry("metadata.yaml".into()).or_insert(metadata);
            }
            StorageAction::Upload { documents, remove } => {
                volume.extend(documents);
                volume.retain(|path, _| !remove.contains(path));
            }
            StorageAction::Wipe { path } => {
                volume.retain(|known, _| !path.is_empty() && !known.starts_with(&format!("{path}/")));
            }
            StorageAction::Read { .. } | StorageAction::Prove => panic!("nothing to read here"),
        }
    }
    let result = JobResult {
        job: "storage".into(),
        outcome: JobOutcome::Succeeded,
        ..JobResult::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), "demo");
    let pod = json!({"metadata": {"generateName": format!("{}-", &name[..name.len().min(50)]), "labels": {"batch.kubernetes.io/job-name": name}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod = pods
        .create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    let terminated =
        json!({"exitCode": 0, "reason": "Completed", "message": result.to_termination_message()});
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"terminated": terminated}}]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let jobs: Api<Job> = Api::namespaced(client.clone(), "demo");
    let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}});
    // The controller may have removed it already.
    let _ = jobs
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&done))
        .await;
}

#[tokio::test]
async fn a_local_volume_is_initialised_filled_and_wiped_by_jobs() {
    let cluster = Cluster::start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "demo"}});
    cluster.apply(account).await;
    let volume = pretend(cluster.client.clone());
    let has = |path: &str| volume.lock().unwrap().contains_key(path);
    cluster
        .apply(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "local", "namespace": "demo"},
            "spec": {"deletionPolicy": "WipeOut", "storage": {"provider": "local",
                "local": {"persistentVolumeClaim": {"claimName": "disk"}, "mountPath": "/backups"}}}}))
        .await;
    cluster
        .until("BackupStorage", "local", "became Ready", phase("Ready"))
        .await;
    assert!(has("metadata.yaml"));
    cluster
        .apply(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "metadata": {"name": "web", "namespace": "demo"},
            "spec": {"appRef": {"name": "web"}, "storageRef": {"name": "local"}, "path": "demo/web"}}))
        .await;
    cluster
        .until("Repository", "web", "became Ready", phase("Ready"))
        .await;
    cluster
        .until("BackupStorage", "local", "listed the Repository", |o| {
            o["status"]["repositories"][0]["name"] == "web"
        })
        .await;
    assert!(has("demo/web/repository.yaml"));
    assert!(volume.lock().unwrap()["metadata.yaml"].contains("path: demo/web"));
    cluster.until_gone("Job", "upload-web").await;
    cluster.until_gone("Job", "init-local").await;
    cluster.delete("BackupStorage", "local").await;
    cluster.until_gone("BackupStorage", "local").await;
    assert!(cluster.get("Repository", "web").await.is_none());
    assert!(volume.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_job_that_fails_is_told_and_tried_again() {
    let cluster = Cluster::start().await;
    cluster
        .apply(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "local", "namespace": "demo"},
            "spec": {"storage": {"provider": "local", "local": {"hostPath": {"path": "/data"}, "mountPath": "/backups"}}}}))
        .await;
    let first = cluster.until("Job", "init-local", "was made", |_| true).await;
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded",
        "message": "Job was active longer than specified deadline"}]});
    cluster.set_status("Job", "init-local", failed).await;
    let told = |o: &serde_json::Value| {
        Cluster::message(o, "BackendInitialized", "False")
            .is_some_and(|m| m.contains("longer than specified"))
    };
    cluster.until("BackupStorage", "local", "told why", told).await;
    let again = |job: &serde_json::Value| job["metadata"]["uid"] != first["metadata"]["uid"];
    cluster.until("Job", "init-local", "was made again", again).await;
}
