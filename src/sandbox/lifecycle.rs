//! A whole sandbox: API server, controllers and node in one process with one directory. [`run`] is that process;
//! [`background`] starts it detached and ends it; [`state`] is what the directory says about it. The command line
//! calls these, and so may tests.

pub mod background;
pub mod state;
mod trees;

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::controllers;
use super::node::process::Launcher;
use super::node::{self, Ids, Image, Node};
use super::server::{self, Identity, Server};
use state::{Dir, Running};

/// The name of the sandbox's only node.
const NODE: &str = "sandbox";

/// Containers see this; the certificate is made for it.
const ADDRESS: &str = "127.0.0.1";

/// How long the parts may take to be ready.
const READY_BOUND: Duration = Duration::from_secs(60);

/// How long parts may take to end after they were told to.
const END_BOUND: Duration = Duration::from_secs(20);

/// A failed pod of a Job is replaced after this: a cluster waits longer, a person at a sandbox should not.
const JOB_BACK_OFF: Duration = Duration::from_secs(1);

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its directory: objects, volumes, logs, kubeconfig.
    pub dir: PathBuf,
    /// This program's file: it becomes the first step of containers.
    pub program: PathBuf,
    /// Images made of files of this computer. Files that are `program` are taken from a copy in the directory, so
    /// that containers start even after `program` was replaced.
    pub images: Vec<Image>,
}

/// Why a sandbox could not be started, ended or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is in use.
    #[error("a sandbox runs already in {}", dir.display())]
    RunsAlready {
        /// Its directory.
        dir: PathBuf,
        /// What it says about itself, once it is ready.
        running: Option<Running>,
    },
    /// No sandbox runs there.
    #[error("no sandbox runs in {}", .0.display())]
    NotRunning(PathBuf),
    /// This computer does not allow containers; the text says how to allow them.
    #[error("{0}")]
    NotAllowed(String),
    /// It did not become ready, or did not end, in time.
    #[error("{0}")]
    TooLong(String),
    /// It ended at once; the text is the end of its log.
    #[error("the sandbox ended while it started")]
    EndedEarly(String),
    /// The controllers could not start.
    #[error(transparent)]
    Controllers(#[from] controllers::Error),
    /// Something of the operating system.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        cause: io::Error,
    },
}

/// Says what was being done when the operating system refused.
fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |cause| Error::Io { what, cause }
}

/// Runs a sandbox until `shutdown`, then ends its containers. `ready` is called once when it can be used.
///
/// # Errors
/// When the directory is in use or cannot be used, when containers are not allowed here, or when a part fails.
pub async fn run(
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send,
    ready: impl FnOnce(&Running) + Send,
) -> Result<(), Error> {
    let dir = Dir::create(&settings.dir)?;
    let _lock = lock(&dir)?;
    let program =
        keep_program(&dir, &settings.program).map_err(io_error("cannot keep this program's file"))?;
    let ids = Ids::detect(&program).await.map_err(Error::NotAllowed)?;
    let options = server::Options {
        state_dir: Some(dir.objects()),
    };
    let server =
        Server::new(&options).map_err(io_error(format!("cannot open {}", dir.objects().display())))?;
    let listener = listen(&dir)
        .await
        .map_err(io_error("cannot listen on the loopback address"))?;
    let port = listener.local_addr().map_err(io_error("cannot listen"))?.port();
    let parts = Parts::start(&dir, &settings, program, ids, server, listener, port);
    let (parts, started) = parts;
    tokio::pin!(shutdown);
    let result = tokio::select! {
        started = timeout(READY_BOUND, started) => match started {
            Ok(Ok(())) => serve(&dir, &parts, port, ready, shutdown).await,
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(Error::TooLong(format!("the sandbox was not ready within {} s", READY_BOUND.as_secs()))),
        },
        () = &mut shutdown => Ok(()),
    };
    dir.forget_running();
    let ended = parts.end().await;
    result.and(ended)
}

/// From ready to the order to end.
async fn serve(
    dir: &Dir,
    parts: &Parts,
    port: u16,
    ready: impl FnOnce(&Running),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    dir.write_kubeconfig(ADDRESS, port, parts.server.ca_pem(), parts.server.admin_token())
        .map_err(io_error("cannot write the kubeconfig"))?;
    let running = dir
        .announce(ADDRESS, port)
        .map_err(io_error("cannot say that the sandbox runs"))?;
    tracing::info!(address = %running.address, "the sandbox is ready");
    ready(&running);
    shutdown.await;
    tracing::info!("the sandbox ends");
    Ok(())
}

/// The directory belongs to one process at a time; the kernel frees it however that process ends.
fn lock(dir: &Dir) -> Result<Flock<fs::File>, Error> {
    let path = dir.path().join("lock");
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error(format!("cannot open {}", path.display())))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| Error::RunsAlready {
        dir: dir.path().to_path_buf(),
        running: dir.running(),
    })
}

/// A copy of this program that stays the same while the sandbox runs: a link where the file system allows it.
fn keep_program(dir: &Dir, program: &Path) -> io::Result<PathBuf> {
    let place = dir.path().join("bin");
    fs::create_dir_all(&place)?;
    let kept = place.join("kubestash");
    match fs::remove_file(&kept) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    if fs::hard_link(program, &kept).is_err() {
        fs::copy(program, &kept)?;
    }
    Ok(kept)
}

/// The port of the last time if it is free, so that kubeconfigs stay right, else any.
async fn listen(dir: &Dir) -> io::Result<TcpListener> {
    let before = dir.last_port();
    if let Some(port) = before
        && let Ok(listener) = TcpListener::bind((ADDRESS, port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind((ADDRESS, 0)).await
}

/// The parts of a sandbox while they run.
struct Parts {
    server: Server,
    stop_work: watch::Sender<bool>,
    stop_serving: watch::Sender<bool>,
    serving: JoinHandle<io::Result<()>>,
    controllers: JoinHandle<Result<(), controllers::Error>>,
    node: JoinHandle<()>,
}

impl Parts {
    /// Starts everything; the second value tells when the controllers are at work.
    fn start(
        dir: &Dir,
        settings: &Settings,
        program: PathBuf,
        ids: Ids,
        server: Server,
        listener: TcpListener,
        port: u16,
    ) -> (Self, oneshot::Receiver<()>) {
        let (stop_work, stop_serving) = (watch::Sender::new(false), watch::Sender::new(false));
        let serving = {
            let (server, stopped) = (server.clone(), told(&stop_serving));
            tokio::spawn(async move { server.serve_tls(listener, stopped).await })
        };
        let (ready, started) = oneshot::channel();
        let mut options = controllers::Options::new(NODE, &dir.volumes());
        options.root_ca = Some(server.ca_pem().to_owned());
        options.job_backoff = JOB_BACK_OFF;
        options.ready = Some(ready);
        options.trees = Arc::new(trees::ContainerTrees(Launcher {
            program: program.clone(),
            ids: ids.clone(),
        }));
        let client = server.client(Identity::Admin);
        let controllers = tokio::spawn(controllers::run(client.clone(), options, told(&stop_work)));
        let options = node::Options {
            node_name: NODE.to_owned(),
            dir: dir.node(),
            images: with_kept_program(&settings.images, &settings.program, &program),
            program,
            api_host: ADDRESS.to_owned(),
            api_port: port,
            ca: server.ca_pem().to_owned(),
        };
        let node = Node::new(client, options, ids);
        server.set_kubelet(node.clone());
        let node = tokio::spawn(node.run(told(&stop_work)));
        (
            Self {
                server,
                stop_work,
                stop_serving,
                serving,
                controllers,
                node,
            },
            started,
        )
    }

    /// Ends the controllers and the containers, then the API server that they write to.
    async fn end(self) -> Result<(), Error> {
        self.stop_work.send_replace(true);
        let work = timeout(END_BOUND, async { (self.controllers.await, self.node.await) }).await;
        self.stop_serving.send_replace(true);
        let served = timeout(END_BOUND, self.serving).await;
        if let Ok((Ok(Err(error)), _)) = work {
            return Err(error.into());
        }
        match (work.is_ok(), served) {
            (true, Ok(Ok(Err(cause)))) => Err(Error::Io {
                what: "serving the API failed".to_owned(),
                cause,
            }),
            (true, Ok(_)) => Ok(()),
            _ => Err(Error::TooLong(format!(
                "the sandbox did not end within {} s",
                END_BOUND.as_secs()
            ))),
        }
    }
}

/// Resolves when the switch is turned.
fn told(switch: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut receiver = switch.subscribe();
    async move {
        // A switch that is gone counts as turned.
        let _ = receiver.wait_for(|on| *on).await;
    }
}

/// Images whose files are this program's use the kept copy.
fn with_kept_program(images: &[Image], program: &Path, kept: &Path) -> Vec<Image> {
    let mut images = images.to_vec();
    for (_, file) in images
        .iter_mut()
        .flat_map(|i| &mut i.files)
        .filter(|(_, file)| file == program)
    {
        *file = kept.to_path_buf();
    }
    images
}
