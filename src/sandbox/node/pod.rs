//! One pod's life on the node: volumes, init containers, containers, the verdict, and its removal when it is deleted.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::cell::{ContainerState, Doing, PodCell, StopCause, Verdict};
use super::container::{Policy, stopped, supervise};
use super::refresh::keep_fresh;
use super::status::is_sidecar;
use super::sync::{self, Written};
use super::volumes::{Maker, Mounted};

const RETRY: Duration = Duration::from_millis(250);
const RETRY_LIMIT: Duration = Duration::from_secs(5);

/// Runs a pod until its object is gone.
pub(crate) async fn run(cell: Arc<PodCell>) {
    let written = Written::default();
    let syncing = tokio::spawn(sync::run(Arc::clone(&cell), Arc::clone(&written)));
    let finished = cell.pod().status.as_ref().and_then(|s| s.phase.clone());
    if matches!(finished.as_deref(), Some("Succeeded" | "Failed")) {
        keep_verdict(&cell);
    } else {
        // Boxed: most of its life a worker only waits for its pod's deletion.
        Box::pin(live(&cell)).await;
    }
    syncing.abort();
    if !*cell.gone.borrow() {
        sync::now(&cell, &written).await;
    }
    cell.ended.send_replace(true);
    let goes_on = cell.stop.borrow().is_some_and(|s| s.cause == StopCause::Shutdown);
    if goes_on {
        return;
    }
    for part in ["containers", "volumes"] {
        remove(&cell, cell.dir.join(part)).await;
    }
    until_deleted(&cell).await;
    remove(&cell, cell.dir.clone()).await;
}

async fn remove(cell: &PodCell, tree: std::path::PathBuf) {
    if let Err(error) = cell.node.launcher.remove_tree(&tree).await {
        tracing::warn!(path = %tree.display(), %error, "a pod's files could not be removed");
    }
}

/// A pod that finished before the sandbox was started again stays as it is.
fn keep_verdict(cell: &PodCell) {
    let pod = cell.pod();
    let Some(status) = &pod.status else { return };
    let phase = if status.phase.as_deref() == Some("Succeeded") {
        "Succeeded"
    } else {
        "Failed"
    };
    let mut state = cell.state();
    state.volumes_ready = true;
    state.verdict = Some(Verdict {
        phase,
        reason: status.reason.clone(),
        message: status.message.clone(),
    });
}

/// From the volumes to the verdict.
async fn live(cell: &Arc<PodCell>) {
    let start = *cell.state().start.get_or_insert_with(Timestamp::now);
    cell.changed.notify_one();
    let deadline = deadline(cell, start);
    let init_failed = Box::pin(flow(cell)).await;
    if let Some(deadline) = deadline {
        deadline.abort();
    }
    let verdict = verdict(cell, init_failed);
    cell.state().verdict = verdict;
}

/// Stops the pod when `activeDeadlineSeconds` are over.
fn deadline(cell: &Arc<PodCell>, start: Timestamp) -> Option<JoinHandle<()>> {
    let seconds = cell.pod().spec.as_ref()?.active_deadline_seconds?;
    let gone = Timestamp::now().as_second() - start.as_second();
    let left = Duration::from_secs(u64::try_from(seconds - gone).unwrap_or(0));
    let cell = Arc::clone(cell);
    Some(tokio::spawn(async move {
        sleep(left).await;
        let text = "Pod was active on the node longer than the specified deadline";
        cell.node
            .events
            .normal(&cell, None, "DeadlineExceeded", text)
            .await;
        cell.order_stop(StopCause::Deadline, cell.grace());
    }))
}

/// Runs everything; `true` when an init container failed for good.
async fn flow(cell: &Arc<PodCell>) -> bool {
    let pod = cell.pod();
    let Some(spec) = pod.spec.clone() else {
        return false;
    };
    let (volumes, init) = (
        spec.volumes.unwrap_or_default(),
        spec.init_containers.unwrap_or_default(),
    );
    let Some(mounted) = mount_all(cell, &volumes).await else {
        return false;
    };
    let renewing = keep_fresh(cell, &volumes, &mounted);
    let mounted = Arc::new(mounted);
    let policy = Policy::of(spec.restart_policy.as_deref());
    let mut sidecars = Vec::new();
    let mut failed = false;
    for container in init {
        let start = |policy| supervise(Arc::clone(cell), container.clone(), policy, Arc::clone(&mounted));
        if is_sidecar(&container) {
            sidecars.push(tokio::spawn(start(Policy::Always)));
            until_started(cell, &container.name).await;
        } else {
            start(if policy == Policy::Never {
                Policy::Never
            } else {
                Policy::OnFailure
            })
            .await;
            let ended_well = |c: &ContainerState| matches!(&c.doing, Doing::Ended(e) if e.code == 0);
            failed = !cell
                .state()
                .containers
                .get(&container.name)
                .is_some_and(ended_well);
        }
        if failed || cell.stop.borrow().is_some() {
            break;
        }
    }
    if !failed && cell.stop.borrow().is_none() {
        let all = spec
            .containers
            .into_iter()
            .map(|c| tokio::spawn(supervise(Arc::clone(cell), c, policy, Arc::clone(&mounted))));
        join_all(all).await;
    }
    if !sidecars.is_empty() {
        // The containers' results stand; only the sidecars still run.
        cell.order_stop(StopCause::Completed, cell.grace());
        join_all(sidecars).await;
    }
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    failed
}

async fn until_started(cell: &Arc<PodCell>, container: &str) {
    let started = async {
        while !cell.state().containers.get(container).is_some_and(|c| c.started) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = started => {}
        _ = stopped(cell) => {}
    }
}

/// Makes all volumes ready, however long it takes; `None` when the pod stops meanwhile.
async fn mount_all(cell: &Arc<PodCell>, volumes: &[Volume]) -> Option<Vec<Mounted>> {
    let mut wait = RETRY;
    loop {
        match try_mount(cell, volumes).await {
            Ok(mounted) => {
                cell.state().volumes_ready = true;
                cell.changed.notify_one();
                return Some(mounted);
            }
            Err(message) => {
                cell.node
                    .events
                    .warning(cell, None, "FailedMount", &message)
                    .await;
            }
        }
        tokio::select! {
            biased;
            _ = stopped(cell) => return None,
            () = sleep(wait) => {}
        }
        wait = (wait * 2).min(RETRY_LIMIT);
    }
}

async fn try_mount(cell: &PodCell, volumes: &[Volume]) -> Result<Vec<Mounted>, String> {
    let pod = cell.pod();
    let maker = maker(cell, &pod);
    let mut all = Vec::new();
    for volume in volumes {
        let failed = |e: String| format!("MountVolume.SetUp failed for volume \"{}\" : {e}", volume.name);
        all.push(maker.make(volume).await.map_err(failed)?);
    }
    Ok(all)
}

pub(super) fn maker<'a>(cell: &'a PodCell, pod: &'a Pod) -> Maker<'a> {
    Maker {
        client: &cell.node.client,
        pod,
        dir: &cell.dir,
        node: &cell.node.options.node_name,
        capacity: &cell.node.capacity,
        ca: &cell.node.options.ca,
        keep_tokens: false,
    }
}

/// What the pod's end means. `None`: it goes on when the sandbox does.
fn verdict(cell: &PodCell, init_failed: bool) -> Option<Verdict> {
    let pod = cell.pod();
    let policy = Policy::of(pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref()));
    let cause = cell.stop.borrow().map(|s| s.cause);
    let state = cell.state();
    let mains = pod
        .spec
        .iter()
        .flat_map(|s| &s.containers)
        .filter_map(|c| state.containers.get(&c.name));
    let well = !init_failed
        && mains
            .clone()
            .all(|c| matches!(&c.doing, Doing::Ended(e) if e.code == 0));
    let phase = if well { "Succeeded" } else { "Failed" };
    let stopped = |message: &str| {
        Some(Verdict {
            phase: "Failed",
            reason: Some("SandboxStopped".to_owned()),
            message: Some(message.to_owned()),
        })
    };
    match cause {
        Some(StopCause::Shutdown)
            if policy == Policy::Never && !well && mains.clone().any(ContainerState::ran) =>
        {
            stopped("The sandbox was stopped while the pod ran")
        }
        Some(StopCause::Shutdown) => None,
        Some(StopCause::Deadline) => Some(Verdict {
            phase: "Failed",
            reason: Some("DeadlineExceeded".to_owned()),
            message: Some("Pod was active on the node longer than the specified deadline".to_owned()),
        }),
        None | Some(StopCause::Completed) if state.interrupted && !well => {
            stopped("The sandbox was stopped while the pod ran")
        }
        _ => Some(Verdict {
            phase,
            reason: None,
            message: None,
        }),
    }
}

/// Waits until the pod is deleted, then removes its object, as the kubelet does at the end.
async fn until_deleted(cell: &Arc<PodCell>) {
    let mut gone = cell.gone.subscribe();
    let deleted = async {
        let mut stop = cell.stop.subscribe();
        // A sender in the cell outlives this wait.
        let _ = stop
            .wait_for(|s| s.is_some_and(|s| s.cause == StopCause::Deleted))
            .await;
    };
    tokio::select! {
        _ = gone.wait_for(|g| *g) => return,
        () = deleted => {}
    }
    let api: Api<Pod> = Api::namespaced(cell.node.client.clone(), &cell.namespace);
    let parameters = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: Some(cell.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let mut wait = RETRY;
    while !*cell.gone.borrow() {
        match api.delete(&cell.name, &parameters).await {
            Ok(_) => break,
            Err(kube::Error::Api(e)) if e.code == 404 || e.code == 409 => break,
            Err(error) => tracing::warn!(pod = %cell.name, %error, "a pod could not be removed yet"),
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_LIMIT);
    }
    // A finalizer may hold the object; the worker has nothing left to do for it but to wait.
    let _ = gone.wait_for(|g| *g).await;
}
