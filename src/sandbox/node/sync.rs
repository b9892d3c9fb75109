//! Writes a pod's status when it changed, and only then.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::cell::PodCell;
use super::status;

const TRIES: u32 = 8;

/// The status that was written last.
pub(crate) type Written = Arc<Mutex<Option<PodStatus>>>;

/// Keeps the status current until it is dropped.
pub(crate) async fn run(cell: Arc<PodCell>, written: Written) {
    loop {
        cell.changed.notified().await;
        now(&cell, &written).await;
    }
}

/// Writes the status as it is now, if it differs from what was written.
pub(crate) async fn now(cell: &PodCell, written: &Written) {
    let mut written = written.lock().await;
    let mut wait = Duration::from_millis(50);
    for _ in 0..TRIES {
        let pod = cell.pod();
        let status = status::compute(&pod, &cell.state(), written.as_ref(), Timestamp::now());
        if written.as_ref().or(pod.status.as_ref()) == Some(&status) {
            return;
        }
        match write(cell, &status).await {
            Ok(()) => {
                *written = Some(status);
                return;
            }
            // The object is gone, or another one has its name: nobody wants this status any more.
            Err(kube::Error::Api(e)) if e.code == 404 || e.code == 409 || e.code == 422 => {
                tracing::debug!(pod = %cell.name, message = %e.message, "status not written");
                return;
            }
            Err(error) => {
                tracing::warn!(pod = %cell.name, %error, "status not written yet");
                sleep(wait).await;
                wait *= 2;
            }
        }
    }
}

async fn write(cell: &PodCell, status: &PodStatus) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(cell.node.client.clone(), &cell.namespace);
    let mut value = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
    // In a merge patch only null removes what an earlier status had.
    for key in ["reason", "message"] {
        if let Some(fields) = value.as_object_mut() {
            fields.entry(key).or_insert(serde_json::Value::Null);
        }
    }
    let patch = serde_json::json!({"metadata": {"uid": cell.uid}, "status": value});
    api.patch_status(&cell.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map(drop)
}
