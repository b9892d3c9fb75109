//! The node: watches the pods bound to it through the API, like any kubelet, and runs each container as a local
//! process in its own mount namespace. The network is the computer's. It answers the API server's questions about
//! running containers through [`Kubelet`].
//!
//! A pod has one worker ([`pod`]), a container one supervisor ([`container`]); both share the pod's [`cell`], and
//! [`sync`] writes the status computed from it. What happens inside the new namespaces is in [`init`].

pub(crate) mod address;
mod cell;
mod console;
mod container;
mod env;
mod events;
mod exec;
mod fields;
mod handlers;
mod image;
pub mod init;
mod launch;
mod log;
mod log_reader;
mod pod;
mod probes;
pub mod process;
mod refresh;
mod statistics;
mod status;
mod sync;
mod terminal;
pub mod userns;
mod volumes;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::kubelet::{AttachRequest, ContainerRef, ExecRequest, Kubelet, KubeletError, LogOptions};
use cell::{Doing, PodCell, StopCause};
use events::Events;
use process::Launcher;

pub use fields::Capacity;
pub use image::Image;
pub use userns::Ids;

/// When the sandbox ends, containers get no longer than this.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(8);

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node's name.
    pub node_name: String,
    /// Where pods live on this computer.
    pub dir: PathBuf,
    /// This program's file, started again as the first step of containers.
    pub program: PathBuf,
    /// Images made of files of this computer.
    pub images: Vec<Image>,
    /// Where containers reach the API server.
    pub api_host: String,
    /// Its port.
    pub api_port: u16,
    /// Its certificate authority, PEM.
    pub ca: String,
}

/// What all parts of the node share.
pub(crate) struct NodeContext {
    pub(crate) client: Client,
    pub(crate) options: Options,
    pub(crate) launcher: Launcher,
    pub(crate) capacity: Capacity,
    pub(crate) events: Events,
}

/// The node.
pub struct Node {
    context: Arc<NodeContext>,
    pods: Mutex<HashMap<String, Arc<PodCell>>>,
}

impl Node {
    /// Sets a node up. `ids` come from [`Ids::detect`].
    pub fn new(client: Client, options: Options, ids: Ids) -> Arc<Self> {
        let context = NodeContext {
            events: Events::new(client.clone(), options.node_name.clone()),
            launcher: Launcher {
                program: options.program.clone(),
                ids,
            },
            capacity: Capacity::of_this_computer(),
            client,
            options,
        };
        Arc::new(Self {
            context: Arc::new(context),
            pods: Mutex::new(HashMap::new()),
        })
    }

    /// Runs the pods of this node until `shutdown`, then ends their containers; returns when none runs any more.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        let mut workers = JoinSet::new();
        let api: Api<Pod> = Api::all(self.context.client.clone());
        let config =
            watcher::Config::default().fields(&format!("spec.nodeName={}", self.context.options.node_name));
        let mut events = watcher(api, config).default_backoff().boxed();
        let mut shutdown = std::pin::pin!(shutdown.fuse());
        let watching = tokio::spawn(refresh::watch(Arc::downgrade(&self), self.context.client.clone()));
        let mut listed = HashSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                event = events.next() => match event {
                    Some(Ok(event)) => self.take(event, &mut listed, &mut workers),
                    Some(Err(error)) => tracing::warn!(%error, "watching pods failed; it is tried again"),
                    None => break,
                },
                // Workers that are done are collected; how they ended is in the pod's status.
                Some(_) = workers.join_next(), if !workers.is_empty() => {}
            }
        }
        watching.abort();
        self.stop(workers).await;
    }

    fn cells(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<PodCell>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: Event<Pod>, listed: &mut HashSet<String>, workers: &mut JoinSet<()>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(pod) => {
                listed.insert(pod.uid().unwrap_or_default());
                self.apply(pod, workers);
            }
            Event::InitDone => {
                let gone: Vec<String> = self
                    .cells()
                    .keys()
                    .filter(|uid| !listed.contains(*uid))
                    .cloned()
                    .collect();
                for uid in gone {
                    self.forget(&uid);
                }
                listed.clear();
                self.remove_leftovers(workers);
            }
            Event::Apply(pod) => self.apply(pod, workers),
            Event::Delete(pod) => self.forget(&pod.uid().unwrap_or_default()),
        }
    }

    fn apply(&self, mut pod: Pod, workers: &mut JoinSet<()>) {
        pod.metadata.managed_fields = None;
        let mut cells = self.cells();
        if let Some(cell) = cells.get(&pod.uid().unwrap_or_default()) {
            cell.update(pod);
            return;
        }
        let cell = PodCell::new(Arc::clone(&self.context), pod);
        cells.insert(cell.uid.clone(), Arc::clone(&cell));
        workers.spawn(pod::run(cell));
    }

    fn forget(&self, uid: &str) {
        if let Some(cell) = self.cells().remove(uid) {
            cell.removed();
        }
    }

    /// Removes directories of pods that went while nobody looked (the sandbox was killed while it removed them).
    fn remove_leftovers(&self, workers: &mut JoinSet<()>) {
        let Ok(entries) = std::fs::read_dir(self.context.options.dir.join("pods")) else {
            return;
        };
        for entry in entries.flatten() {
            let known = entry
                .file_name()
                .to_str()
                .is_some_and(|uid| self.cells().contains_key(uid));
            if !known {
                let context = Arc::clone(&self.context);
                workers.spawn(async move {
                    let path = entry.path();
                    if let Err(error) = context.launcher.remove_tree(&path).await {
                        tracing::warn!(path = %path.display(), %error, "a pod's files could not be removed");
                    }
                });
            }
        }
    }

    /// Ends all containers, within a bound.
    async fn stop(&self, mut workers: JoinSet<()>) {
        let cells: Vec<_> = self.cells().values().cloned().collect();
        for cell in &cells {
            cell.order_stop(StopCause::Shutdown, cell.grace().min(SHUTDOWN_GRACE));
        }
        tracing::info!(
            pods = cells.iter().filter(|c| !*c.ended.borrow()).count(),
            "ending containers"
        );
        let all_ended = async {
            for cell in &cells {
                let mut ended = cell.ended.subscribe();
                // The sender is in the cell.
                let _ = ended.wait_for(|ended| *ended).await;
            }
        };
        if timeout(SHUTDOWN_GRACE * 2, all_ended).await.is_err() {
            tracing::warn!("some containers did not end in time; they end with the sandbox");
        }
        workers.shutdown().await;
    }

    fn find(&self, target: &ContainerRef) -> Result<Arc<PodCell>, KubeletError> {
        let cells = self.cells();
        let found = cells
            .values()
            .find(|c| c.namespace == target.namespace && c.name == target.pod);
        found
            .cloned()
            .ok_or_else(|| KubeletError::NotFound(format!("pod \"{}\" is not on this node", target.pod)))
    }

    fn find_container(&self, target: &ContainerRef) -> Result<(Arc<PodCell>, String), KubeletError> {
        let cell = self.find(target)?;
        let wanted = target.container.as_deref();
        let container = cell.container(wanted).ok_or_else(|| {
            KubeletError::NotFound(format!(
                "container {} is not valid for pod {}",
                wanted.unwrap_or(""),
                cell.name
            ))
        })?;
        Ok((cell, container.name))
    }

    fn open_log(
        &self,
        target: &ContainerRef,
        options: LogOptions,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, KubeletError> {
        let (cell, name) = self.find_container(target)?;
        let (path, live) = {
            let state = cell.state();
            let Some(one) = state.containers.get(&name) else {
                return Err(KubeletError::NotFound(format!(
                    "container {name} is not valid for pod {}",
                    cell.name
                )));
            };
            if let (Doing::Waiting { reason, message }, None) = (&one.doing, &one.last) {
                let why = message.as_deref().unwrap_or(reason);
                return Err(KubeletError::BadState(format!(
                    "container \"{name}\" in pod \"{}\" is waiting to start: {why}",
                    cell.name
                )));
            }
            let attempt = if options.previous {
                one.restarts - 1
            } else {
                one.restarts
            };
            let live = one.log.as_ref().filter(|_| !options.previous).map(|l| l.watch());
            (cell.log_path(&name, attempt), live)
        };
        if options.previous && !path.exists() {
            return Err(KubeletError::BadState(format!(
                "previous terminated container \"{name}\" in pod \"{}\" not found",
                cell.name
            )));
        }
        Ok(log_reader::stream(path, live, options))
    }
}

impl Kubelet for Node {
    fn logs(
        &self,
        target: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, KubeletError>> {
        async move { self.open_log(&target, options) }.boxed()
    }

    fn exec(&self, target: ContainerRef, request: ExecRequest) -> BoxFuture<'_, Result<i32, KubeletError>> {
        async move {
            let (cell, name) = self.find_container(&target)?;
            exec::serve(cell, &name, request).await
        }
        .boxed()
    }

    fn summary(&self) -> BoxFuture<'_, serde_json::Value> {
        async move {
            let pods: Vec<Arc<Pod>> = self.cells().values().map(|cell| cell.pod()).collect();
            let context = &self.context;
            statistics::summary(&context.client, &context.options.node_name, &pods).await
        }
        .boxed()
    }

    fn attach(
        &self,
        target: ContainerRef,
        request: AttachRequest,
    ) -> BoxFuture<'_, Result<(), KubeletError>> {
        async move {
            let cell = self.find(&target)?;
            let container = cell.container(target.container.as_deref());
            let name = container.as_ref().map(|c| c.name.clone()).unwrap_or_default();
            let process = {
                let state = cell.state();
                let one = state.containers.get(&name);
                one.and_then(|c| {
                    c.process
                        .as_ref()
                        .filter(|_| matches!(c.doing, Doing::Running { .. }))
                })
                .cloned()
            };
            let process = process.ok_or_else(|| {
                KubeletError::BadState(format!("container {name} of pod {} does not run", cell.name))
            })?;
            let once = container.is_some_and(|c| c.stdin_once == Some(true));
            console::attach(&process.console, once, request).await
        }
        .boxed()
    }

    fn connect(&self, target: ContainerRef, port: u16) -> BoxFuture<'_, Result<TcpStream, KubeletError>> {
        async move {
            let cell = self.find(&target)?;
            let own = address::of(&cell.pod());
            // As in a pod's own network, a program may listen on its loopback address alone.
            match TcpStream::connect((own.as_str(), port)).await {
                Ok(stream) => Ok(stream),
                Err(_) => Ok(TcpStream::connect((address::HOST, port)).await?),
            }
        }
        .boxed()
    }
}
