//! One container as the node holds it: starts the first step, talks to it, collects its output, and knows how it
//! ended. Dropping the last handle closes the conversation, and with it the container.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::console::{self, Console, Opened, Stream};
use super::init::PROGRAM;
use super::init::control::{Inbox, Order, Report};
use super::init::spec::ContainerSpec;
use super::log::LogFile;
use super::userns::{Ids, run_mapped};

/// Giving a large volume to a group takes its time; nothing else in a start does.
const START_BOUND: Duration = Duration::from_secs(300);

/// After a container's end its output is read for no longer than this.
const DRAIN_BOUND: Duration = Duration::from_secs(5);

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// Why a container did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// One sentence.
    pub message: String,
    /// The exit code to report: 127 no such program, 126 not executable, 128 anything else.
    pub code: i32,
}

impl StartError {
    fn new(what: &str, error: &io::Error) -> Self {
        Self {
            message: format!("{what}: {error}"),
            code: 128,
        }
    }
}

/// A container that runs or ran.
pub struct Process {
    /// Its first process, as the host counts.
    pub pid: i32,
    /// What is not as asked.
    pub warnings: Vec<String>,
    /// Who listens to it, and how it is written to.
    pub(crate) console: Arc<Console>,
    orders: mpsc::UnboundedSender<i32>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Process {
    /// Sends a signal to the container's command. A container that ended already does not mind.
    pub fn signal(&self, number: i32) {
        let _ = self.orders.send(number);
    }

    /// Waits for the container's end and for its output to be in the log.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        let gone = Exit {
            code: 137,
            signal: Some(9),
        };
        exit.wait_for(Option::is_some)
            .await
            .map_or(None, |e| e.clone())
            .unwrap_or(gone)
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }
}

/// Starts processes of this program as containers.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// This program's file.
    pub program: PathBuf,
    /// How ids are mapped.
    pub ids: Ids,
}

impl Launcher {
    /// The command for one of the first step's doings; nothing of the host's environment reaches it.
    pub(crate) fn step(&self, step: &str, file: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0(PROGRAM).arg(step).arg(file).env_clear();
        command
    }

    /// Removes a tree that containers wrote into. Their files may belong to ids only they have, so where the
    /// sandbox itself is refused, a process in a user namespace does it.
    pub(crate) async fn remove_tree(&self, tree: &Path) -> io::Result<()> {
        let path = tree.to_path_buf();
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(path))
            .await
            .map_err(io::Error::other)?;
        match removed {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && self.ids.map().is_some() => {
                run_mapped(&self.program, &self.ids, "remove", tree, None).await
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Starts a container and waits until its command runs. `spec_file` is where its description is put for the
    /// time of the start.
    pub(crate) async fn start(
        &self,
        spec: &ContainerSpec,
        spec_file: &Path,
        log: Arc<LogFile>,
    ) -> Result<Process, StartError> {
        let dir = spec_file.parent().unwrap_or(Path::new("/"));
        let opened = console::open(dir, spec.stdin, spec.process.tty)
            .map_err(|e| StartError::new("cannot open the container's streams", &e))?;
        let spec = ContainerSpec {
            input: opened.path.clone(),
            ..spec.clone()
        };
        write_private(spec_file, &spec).map_err(|e| StartError::new("cannot describe the container", &e))?;
        let started = timeout(START_BOUND, self.launch(spec_file, log, opened)).await;
        // The description holds the environment, and the container has read it.
        let _ = fs::remove_file(spec_file);
        started.unwrap_or_else(|_| {
            let message = format!("the container did not start within {} s", START_BOUND.as_secs());
            Err(StartError { message, code: 128 })
        })
    }

    async fn launch(
        &self,
        spec_file: &Path,
        log: Arc<LogFile>,
        mut opened: Opened,
    ) -> Result<Process, StartError> {
        let failed = |e: io::Error| StartError::new("cannot start the container", &e);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut command = self.step("run", spec_file);
        command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        // The command holds the other end of the socket: without dropping it the end of the child stays unseen.
        drop(command);
        let console = Arc::clone(&opened.console);
        let mut copying = copy_output(&mut child, &log, &console);
        if let Some(terminal) = opened.terminal.take() {
            let (log, console) = (Arc::clone(&log), Arc::clone(&console));
            let reading = tokio::fs::File::from_std(fs::File::from(terminal));
            copying.push(tokio::spawn(async move {
                log.copy("stdout", reading, Some((&console, Stream::Out))).await;
            }));
        }
        let (reading, writing) = UnixStream::from_std(ours).map_err(failed)?.into_split();
        let mut talk = Talk {
            child,
            reading,
            writing,
            inbox: Inbox::default(),
        };
        let started = talk.until_started(&self.ids).await;
        drop(opened.other_end.take());
        match started {
            Ok((pid, warnings)) => {
                let (orders, received) = mpsc::unbounded_channel();
                let (ended, exit) = watch::channel(None);
                let listeners = Arc::clone(&console);
                tokio::spawn(async move {
                    let how = talk.until_ended(received).await;
                    finish(copying, &log).await;
                    listeners.end();
                    let _ = ended.send(Some(how));
                });
                Ok(Process {
                    pid,
                    warnings,
                    console,
                    orders,
                    exit,
                })
            }
            Err(error) => {
                drop(talk.writing);
                let _ = timeout(DRAIN_BOUND, talk.child.wait()).await;
                finish(copying, &log).await;
                Err(error)
            }
        }
    }
}

async fn finish(copying: Vec<JoinHandle<()>>, log: &LogFile) {
    for copy in copying {
        if timeout(DRAIN_BOUND, copy).await.is_err() {
            tracing::warn!("the output of a container that ended is still open");
        }
    }
    log.end();
}

fn copy_output(child: &mut Child, log: &Arc<LogFile>, console: &Arc<Console>) -> Vec<JoinHandle<()>> {
    let mut copying = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let (log, console) = (Arc::clone(log), Arc::clone(console));
        copying.push(tokio::spawn(async move {
            log.copy("stdout", stdout, Some((&console, Stream::Out))).await;
        }));
    }
    if let Some(stderr) = child.stderr.take() {
        let (log, console) = (Arc::clone(log), Arc::clone(console));
        copying.push(tokio::spawn(async move {
            log.copy("stderr", stderr, Some((&console, Stream::Err))).await;
        }));
    }
    copying
}

/// Writes JSON to a file that only its owner can read.
pub(crate) fn write_private(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut writer = io::BufWriter::new(file);
    serde_json::to_writer(&mut writer, value)?;
    io::Write::flush(&mut writer)
}

/// The conversation with a first step.
struct Talk {
    child: Child,
    reading: OwnedReadHalf,
    writing: OwnedWriteHalf,
    inbox: Inbox,
}

impl Talk {
    /// The next reports; `None` when the first step is gone.
    async fn reports(&mut self) -> Option<Vec<Report>> {
        loop {
            self.reading.readable().await.ok()?;
            let mut buffer = [0u8; 4096];
            match self.reading.try_read(&mut buffer) {
                Ok(count) => {
                    let mut bytes = buffer.get(..count).unwrap_or_default();
                    return self.inbox.read(&mut bytes).ok().flatten();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    async fn order(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.writing.write_all(&line).await
    }

    async fn until_started(&mut self, ids: &Ids) -> Result<(i32, Vec<String>), StartError> {
        let mut pid = -1;
        let mut warnings = Vec::new();
        loop {
            let Some(reports) = self.reports().await else {
                let message = "the container's first step ended before the command ran".to_owned();
                return Err(StartError { message, code: 128 });
            };
            for report in reports {
                match report {
                    Report::MapIds => {
                        let failed = |e: io::Error| StartError::new("cannot map ids", &e);
                        ids.write_maps(self.child.id().unwrap_or(0))
                            .await
                            .map_err(failed)?;
                        self.order(&Order::Mapped).await.map_err(failed)?;
                    }
                    Report::Pid(number) => pid = number,
                    Report::Warning(text) => warnings.push(text),
                    Report::Failed { message, code } => return Err(StartError { message, code }),
                    Report::Started | Report::Exited { .. } => return Ok((pid, warnings)),
                }
            }
        }
    }

    async fn until_ended(mut self, mut orders: mpsc::UnboundedReceiver<i32>) -> Exit {
        let mut how = None;
        loop {
            tokio::select! {
                reports = self.reports() => match reports {
                    Some(reports) => {
                        for report in reports {
                            if let Report::Exited { code, signal } = report {
                                how = Some(Exit { code, signal });
                            }
                        }
                    }
                    None => break,
                },
                order = orders.recv() => match order {
                    Some(number) => {
                        // A container that just ended cannot hear; its end is read next.
                        let _ = self.order(&Order::Signal(number)).await;
                    }
                    // Nobody holds the container any more.
                    None => break,
                },
            }
        }
        drop(self.writing);
        drop(self.reading);
        let status = timeout(DRAIN_BOUND, self.child.wait())
            .await
            .ok()
            .and_then(Result::ok);
        let code = status.and_then(|s| s.code()).unwrap_or(137);
        how.unwrap_or(Exit { code, signal: None })
    }
}
