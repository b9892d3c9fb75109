//! What the node knows of one pod, shared between the pod's worker, its containers and the API server's questions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use kube::ResourceExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::init::spec::ProcessSpec;
use super::log::LogFile;
use super::process::Process;
use super::{NodeContext, fields, refresh};

/// How one instance of a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Timestamp,
    pub(crate) id: String,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doing {
    Waiting { reason: String, message: Option<String> },
    Running { since: Timestamp, id: String },
    Ended(Ended),
}

/// One container.
pub(crate) struct ContainerState {
    pub(crate) doing: Doing,
    pub(crate) last: Option<Ended>,
    pub(crate) restarts: i32,
    pub(crate) ready: bool,
    /// Its startup probe succeeded, or it has none and runs.
    pub(crate) started: bool,
    /// The running instance.
    pub(crate) process: Option<Arc<Process>>,
    /// The log of the newest instance.
    pub(crate) log: Option<Arc<LogFile>>,
    /// Identity and environment of the newest instance, for commands executed into it.
    pub(crate) identity: Option<ProcessSpec>,
}

impl ContainerState {
    /// Whether an instance of it ever ran.
    pub(crate) fn ran(&self) -> bool {
        self.last.is_some() || !matches!(self.doing, Doing::Waiting { .. })
    }
}

/// Why the containers of a pod must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// The pod is deleted.
    Deleted,
    /// `activeDeadlineSeconds` is over.
    Deadline,
    /// Its containers are done, and what ran beside them is not needed any more.
    Completed,
    /// The sandbox ends; the pod goes on when it starts again.
    Shutdown,
}

/// The order to end a pod's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) cause: StopCause,
    /// When what still runs is killed.
    pub(crate) deadline: Instant,
}

/// A phase that is decided, with reason and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) phase: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
}

/// What is known of a pod's containers and of the pod as a whole.
#[derive(Default)]
pub(crate) struct PodState {
    pub(crate) containers: BTreeMap<String, ContainerState>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) volumes_ready: bool,
    /// The volumes were given to the pod's group.
    pub(crate) group_given: bool,
    /// Containers ran when the sandbox last ended.
    pub(crate) interrupted: bool,
    pub(crate) start: Option<Timestamp>,
}

/// One pod on this node.
pub(crate) struct PodCell {
    pub(crate) node: Arc<NodeContext>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// The pod's own directory on this computer.
    pub(crate) dir: PathBuf,
    pod: Mutex<Arc<Pod>>,
    state: Mutex<PodState>,
    /// Told whenever the status may have changed.
    pub(crate) changed: Notify,
    /// Told whenever what volumes are made of may have changed.
    pub(crate) sources: Notify,
    pub(crate) stop: watch::Sender<Option<Stop>>,
    /// Whether the object is gone from the API server.
    pub(crate) gone: watch::Sender<bool>,
    /// Whether no container runs any more and the status says so.
    pub(crate) ended: watch::Sender<bool>,
}

impl PodCell {
    pub(crate) fn new(node: Arc<NodeContext>, pod: Pod) -> Arc<Self> {
        let uid = pod.uid().unwrap_or_default();
        let dir = node.options.dir.join("pods").join(&uid);
        let state = PodState {
            containers: recovered(&pod),
            interrupted: statuses(&pod).any(was_running),
            start: pod
                .status
                .as_ref()
                .and_then(|s| s.start_time.as_ref())
                .map(|t| t.0),
            ..PodState::default()
        };
        let cell = Arc::new(Self {
            node,
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid,
            dir,
            pod: Mutex::new(Arc::new(Pod::default())),
            state: Mutex::new(state),
            changed: Notify::new(),
            sources: Notify::new(),
            stop: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        cell.update(pod);
        cell
    }

    /// The newest object seen.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.pod.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, PodState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a container's state and has the status synced.
    pub(crate) fn change(&self, container: &str, change: impl FnOnce(&mut ContainerState)) {
        if let Some(state) = self.state().containers.get_mut(container) {
            change(state);
        }
        self.changed.notify_one();
    }

    /// Takes in a newer object.
    pub(crate) fn update(&self, pod: Pod) {
        let deleted = pod.metadata.deletion_timestamp.is_some();
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
        let old = std::mem::replace(
            &mut *self.pod.lock().unwrap_or_else(PoisonError::into_inner),
            Arc::new(pod),
        );
        if refresh::itself_changed(&old, &self.pod()) {
            self.sources.notify_one();
        }
        if deleted {
            let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0).max(1));
            self.order_stop(StopCause::Deleted, grace);
        }
        self.changed.notify_one();
    }

    /// Orders the containers to end. An earlier deadline replaces a later one, and only a deletion another cause.
    pub(crate) fn order_stop(&self, cause: StopCause, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.stop.send_if_modified(|stop| {
            let next = stop.map_or(Stop { cause, deadline }, |old| Stop {
                cause: if cause == StopCause::Deleted {
                    cause
                } else {
                    old.cause
                },
                deadline: old.deadline.min(deadline),
            });
            stop.replace(next) != Some(next)
        });
    }

    /// The object was removed: nothing may go on running.
    pub(crate) fn removed(&self) {
        self.gone.send_replace(true);
        self.order_stop(StopCause::Deleted, Duration::ZERO);
    }

    /// How long the pod's containers get to end.
    pub(crate) fn grace(&self) -> Duration {
        let seconds = self
            .pod()
            .spec
            .as_ref()
            .and_then(|s| s.termination_grace_period_seconds)
            .unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// The container meant by a request that may leave its name open.
    pub(crate) fn container(&self, name: Option<&str>) -> Option<Container> {
        let pod = self.pod();
        let default = pod
            .annotations()
            .get("kubectl.kubernetes.io/default-container")
            .cloned();
        let name = name.map(str::to_owned).or(default);
        match name {
            Some(name) => fields::container(&pod, &name).cloned(),
            None => pod.spec.as_ref().and_then(|s| s.containers.first()).cloned(),
        }
    }

    /// Directory of one instance of a container.
    pub(crate) fn instance_dir(&self, container: &str, attempt: i32) -> PathBuf {
        self.dir
            .join("containers")
            .join(container)
            .join(attempt.to_string())
    }

    /// Log of one instance of a container.
    pub(crate) fn log_path(&self, container: &str, attempt: i32) -> PathBuf {
        self.dir
            .join("logs")
            .join(container)
            .join(format!("{attempt}.log"))
    }
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|s| {
        s.init_container_statuses
            .iter()
            .flatten()
            .chain(s.container_statuses.iter().flatten())
    })
}

fn was_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|s| s.running.is_some())
}

/// The containers as the pod's status tells them: after a restart of the sandbox nothing runs any more.
fn recovered(pod: &Pod) -> BTreeMap<String, ContainerState> {
    let spec = pod.spec.as_ref();
    let has_init = spec.is_some_and(|s| s.init_containers.as_ref().is_some_and(|i| !i.is_empty()));
    let reason = if has_init {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let containers = spec
        .into_iter()
        .flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    containers
        .map(|container| {
            let status = statuses(pod).find(|s| s.name == container.name);
            let waiting = Doing::Waiting {
                reason: reason.to_owned(),
                message: None,
            };
            let state = ContainerState {
                doing: status.and_then(ended_state).map_or(waiting, Doing::Ended),
                last: status
                    .and_then(|s| s.last_state.as_ref()?.terminated.as_ref())
                    .map(ended_from),
                restarts: status.map_or(0, |s| s.restart_count),
                ready: false,
                started: false,
                process: None,
                log: None,
                identity: None,
            };
            (container.name.clone(), state)
        })
        .collect()
}

fn ended_state(status: &ContainerStatus) -> Option<Ended> {
    let state = status.state.as_ref()?;
    if let Some(running) = &state.running {
        return Some(Ended {
            code: 137,
            signal: None,
            reason: "ContainerStatusUnknown".to_owned(),
            message: Some("The sandbox ended while this container ran".to_owned()),
            started: running.started_at.as_ref().map(|t| t.0),
            finished: Timestamp::now(),
            id: status.container_id.clone().unwrap_or_default(),
        });
    }
    state.terminated.as_ref().map(ended_from)
}

fn ended_from(t: &k8s_openapi::api::core::v1::ContainerStateTerminated) -> Ended {
    Ended {
        code: t.exit_code,
        signal: t.signal,
        reason: t.reason.clone().unwrap_or_default(),
        message: t.message.clone(),
        started: t.started_at.as_ref().map(|t| t.0),
        finished: t.finished_at.as_ref().map_or_else(Timestamp::now, |t| t.0),
        id: t.container_id.clone().unwrap_or_default(),
    }
}
