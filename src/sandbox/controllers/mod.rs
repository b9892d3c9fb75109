//! The built-in controllers of the sandbox: what Kubernetes' controller manager, scheduler, provisioner, snapshotter
//! and node registration do, one controller per file. They talk to the API server through a plain [`kube::Client`]
//! and would do the same with any other.
//!
//! Each kind is watched once; all controllers that need it share that watch (see [`engine`]). Reactions take
//! milliseconds; while nothing changes, nothing is read or written but the node's heartbeat, once a minute.

mod bootstrap;
mod claim;
pub(crate) mod cron_job;
mod daemon_set;
mod deployment;
mod endpoints;
mod engine;
mod ephemeral_volumes;
mod garbage_collector;
mod informers;
mod job;
mod namespace;
mod node;
mod pod_collector;
mod pods;
mod replica_set;
mod resources;
mod revisions;
mod scheduler;
mod service_account;
mod snapshots;
mod stateful_set;
mod ttl_after_finished;
mod volumes;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::Client;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use engine::{Controller, Queue, Recorder, drive};
use garbage_collector::GarbageCollector;
use informers::Informers;
pub use volumes::{OwnTrees, Trees};

/// How long the first reading of all kinds may take.
const FIRST_READING: Duration = Duration::from_secs(60);

/// What the controllers need to know.
#[derive(Debug)]
pub struct Options {
    /// The name of the one node.
    pub node_name: String,
    /// What the node has, as resource name and quantity (`cpu`, `memory`, `pods`, …).
    pub capacity: BTreeMap<String, String>,
    /// The Kubernetes version the node reports, such as `v1.37.0`.
    pub version: String,
    /// Where volumes and their snapshots are kept; an absolute path.
    pub volumes_dir: PathBuf,
    /// How trees of files below it are copied and removed.
    pub trees: Arc<dyn Trees>,
    /// The certificate authority of the API server (PEM), given to every namespace as `kube-root-ca.crt`.
    pub root_ca: Option<String>,
    /// The pause before a Job's failed pod is replaced; it doubles with each failure. Kubernetes waits ten seconds.
    pub job_backoff: Duration,
    /// Told when all controllers are at work.
    pub ready: Option<oneshot::Sender<()>>,
}

impl Options {
    /// Kubernetes' own settings for a node of this computer's size.
    #[must_use]
    pub fn new(node_name: &str, volumes_dir: &Path) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory.split_whitespace().nth(1).unwrap_or("1048576").to_owned();
        let capacity = [
            ("cpu", processors.to_string()),
            ("memory", format!("{memory}Ki")),
            ("pods", "110".to_owned()),
        ];
        Self {
            node_name: node_name.to_owned(),
            capacity: capacity.map(|(name, amount)| (name.to_owned(), amount)).into(),
            version: "v1.37.0".to_owned(),
            volumes_dir: volumes_dir.to_owned(),
            trees: Arc::new(OwnTrees),
            root_ca: None,
            job_backoff: Duration::from_secs(10),
            ready: None,
        }
    }
}

/// Why the controllers could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What a cluster has from its first moment on could not be made.
    #[error("the sandbox could not be set up: {0}")]
    Setup(String),
    /// A kind could not be read for the first time.
    #[error("the API server did not answer in time")]
    NotReadable,
}

/// Controllers that listen already and do not work yet.
struct Waiting {
    controllers: Vec<BoxFuture<'static, ()>>,
    stop: CancellationToken,
}

impl Waiting {
    fn add<C: Controller>(&mut self, (controller, queue): (C, Arc<Queue>)) {
        self.controllers
            .push(Box::pin(drive(controller, queue, self.stop.clone())));
    }
}

/// Runs all controllers until `shutdown`. Safe to start on a cluster that has run before.
///
/// # Errors
/// When the cluster's first objects cannot be made or the kinds cannot be read for the first time.
pub async fn run(
    client: Client,
    mut options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let _stop_on_return = stop.clone().drop_guard();
    let mut tasks = JoinSet::new();
    tokio::pin!(shutdown);
    tokio::select! {
        started = Box::pin(start(&client, &mut options, &mut tasks, &stop)) => started?,
        () = &mut shutdown => return Ok(()),
    }
    shutdown.await;
    Ok(())
}

async fn start(
    client: &Client,
    options: &mut Options,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let setup = |error: engine::Error| Error::Setup(error.to_string());
    bootstrap::bootstrap(client).await.map_err(setup)?;
    let informers = Informers::new(client);
    let events = Recorder::start(client.clone(), stop.clone());
    let resources = resources::follow(client.clone(), &informers.crds, stop.clone());
    let (collector, queue) = GarbageCollector::new(client.clone(), resources);
    informers.attach(&collector);
    // Controllers listen before the watches start, so that they hear of everything that is there already. They
    // start to work only when everything has been read: a pod that was not read yet is not a pod that is missing.
    let mut waiting = Waiting {
        controllers: Vec::new(),
        stop: stop.clone(),
    };
    waiting.add((collector.clone(), queue));
    workloads(&mut waiting, &informers, &events, options);
    storage(&mut waiting, &informers, &events, options);
    cluster(&mut waiting, client, &informers, options);
    informers.run(tasks, stop);
    tokio::time::timeout(FIRST_READING, informers.synced())
        .await
        .map_err(|_| Error::NotReadable)?;
    let node = node::register(client, options).await.map_err(setup)?;
    for controller in waiting.controllers {
        tasks.spawn(controller);
    }
    tasks.spawn(collector.watch_kinds(stop.clone()));
    tasks.spawn(node::beat(client.clone(), node, stop.clone()));
    if let Some(ready) = options.ready.take() {
        // Nobody has to wait for it.
        let _ = ready.send(());
    }
    Ok(())
}

/// What makes and counts pods.
fn workloads(waiting: &mut Waiting, known: &Informers, events: &Recorder, options: &Options) {
    let (pods, jobs, claims, nodes) = (&known.pods, &known.jobs, &known.claims, &known.nodes);
    let revisions = &known.revisions;
    waiting.add(job::Jobs::new(jobs, pods, events, options.job_backoff));
    waiting.add(ttl_after_finished::TtlAfterFinished::new(jobs));
    waiting.add(cron_job::CronJobs::new(&known.cron_jobs, jobs, events));
    waiting.add(replica_set::ReplicaSets::new(&known.replica_sets, pods, events));
    waiting.add(deployment::Deployments::new(
        &known.deployments,
        &known.replica_sets,
        pods,
        events,
    ));
    waiting.add(stateful_set::StatefulSets::new(
        &known.stateful_sets,
        pods,
        claims,
        revisions,
        events,
    ));
    waiting.add(daemon_set::DaemonSets::new(
        &known.daemon_sets,
        pods,
        nodes,
        revisions,
        events,
    ));
    waiting.add(pod_collector::PodCollector::new(pods, nodes));
    let sources = scheduler::Sources {
        pods,
        nodes,
        claims,
        volumes: &known.volumes,
        classes: &known.storage_classes,
    };
    waiting.add(scheduler::Scheduler::new(&sources, events));
}

/// What makes, binds and keeps volumes and their snapshots.
fn storage(waiting: &mut Waiting, known: &Informers, events: &Recorder, options: &Options) {
    let directories = volumes::Directories::new(&options.volumes_dir, Arc::clone(&options.trees));
    let sources = volumes::Sources {
        claims: Arc::clone(&known.claims),
        volumes: Arc::clone(&known.volumes),
        classes: Arc::clone(&known.storage_classes),
        pods: Arc::clone(&known.pods),
        snapshots: Arc::clone(&known.snapshots),
        contents: Arc::clone(&known.snapshot_contents),
    };
    waiting.add(volumes::Claims::new(&sources, &directories, events));
    waiting.add(volumes::Volumes::new(
        &known.claims,
        &known.volumes,
        &directories,
        events,
    ));
    waiting.add(ephemeral_volumes::EphemeralVolumes::new(
        &known.pods,
        &known.claims,
        events,
    ));
    let sources = snapshots::Sources {
        snapshots: Arc::clone(&known.snapshots),
        contents: Arc::clone(&known.snapshot_contents),
        classes: Arc::clone(&known.snapshot_classes),
        claims: Arc::clone(&known.claims),
        volumes: Arc::clone(&known.volumes),
    };
    waiting.add(snapshots::Snapshots::new(&sources, events));
    waiting.add(snapshots::Contents::new(&sources, &directories, events));
}

/// What keeps namespaces and Services in order.
fn cluster(waiting: &mut Waiting, client: &Client, known: &Informers, options: &Options) {
    let (namespaces, root_ca) = (&known.namespaces, options.root_ca.clone());
    let accounts =
        service_account::ServiceAccounts::new(namespaces, &known.accounts, &known.root_cas, root_ca);
    waiting.add(accounts);
    waiting.add(namespace::Namespaces::new(client.clone(), namespaces));
    let endpoints =
        endpoints::ServiceEndpoints::new(&known.services, &known.pods, &known.endpoints, &known.slices);
    waiting.add(endpoints);
}
