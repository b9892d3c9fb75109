//! Commands in containers that run: `kubectl exec`, probes and hooks.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::cell::{Doing, PodCell};
use super::init::spec::EnterSpec;
use super::process::write_private;
use super::terminal::{self, Terminal};
use crate::sandbox::kubelet::{ExecRequest, KubeletError};

/// After a command's end its output is copied for no longer than this.
const DRAIN_BOUND: Duration = Duration::from_secs(5);

/// Room in the pipes of a command, where the system grants it: fewer turns for whoever carries much.
const PIPE: i32 = 1 << 20;
const CHUNK: usize = 256 << 10;

/// So much of a probe's or hook's output is kept for messages.
const KEPT_OUTPUT: usize = 1024;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Prepares the process that enters a running container and executes a command there; also answers the container's first
/// process.
fn enter(
    cell: &PodCell,
    container: &str,
    command: Vec<String>,
    tty: bool,
) -> Result<(tokio::process::Command, i32), KubeletError> {
    let (pid, mut process) = {
        let state = cell.state();
        let one = state.containers.get(container);
        let one = one.ok_or_else(|| {
            KubeletError::NotFound(format!(
                "container {container} is not valid for pod {}",
                cell.name
            ))
        })?;
        match (&one.doing, &one.process, &one.identity) {
            (Doing::Running { .. }, Some(process), Some(identity)) => (process.pid, identity.clone()),
            _ => {
                return Err(KubeletError::BadState(format!(
                    "container not found (\"{container}\"): it does not run"
                )));
            }
        }
    };
    process.argv = command;
    process.tty = tty;
    if tty && !process.env.iter().any(|(k, _)| k == "TERM") {
        process.env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let spec = EnterSpec {
        pid,
        user_namespace: cell.node.launcher.ids.map(),
        process,
    };
    let file = cell
        .dir
        .join(format!("exec-{}.json", NUMBER.fetch_add(1, Ordering::Relaxed)));
    write_private(&file, &spec)?;
    let mut command = cell.node.launcher.step("enter", &file);
    command.kill_on_drop(true);
    Ok((command, pid))
}

/// Serves `kubectl exec`: returns the command's exit code.
pub(crate) async fn serve(
    cell: Arc<PodCell>,
    container: &str,
    request: ExecRequest,
) -> Result<i32, KubeletError> {
    let (command, pid) = enter(&cell, container, request.command.clone(), request.tty)?;
    if request.tty {
        with_terminal(command, pid, request).await
    } else {
        with_pipes(command, request).await
    }
}

async fn with_pipes(mut command: tokio::process::Command, request: ExecRequest) -> Result<i32, KubeletError> {
    let piped = |wanted: bool| if wanted { Stdio::piped() } else { Stdio::null() };
    command
        .stdin(piped(request.stdin.is_some()))
        .stdout(piped(request.stdout.is_some()))
        .stderr(piped(request.stderr.is_some()));
    let mut child = command.spawn()?;
    drop(command);
    let mut copies = Vec::new();
    if let (Some(from), Some(to)) = (child.stdout.take(), request.stdout) {
        let _ = fcntl(&from, FcntlArg::F_SETPIPE_SZ(PIPE));
        copies.push(copy(from, to));
    }
    if let (Some(from), Some(to)) = (child.stderr.take(), request.stderr) {
        copies.push(copy(from, to));
    }
    let feeding = match (request.stdin, child.stdin.take()) {
        (Some(from), Some(to)) => Some(copy(from, to)),
        _ => None,
    };
    finish(child, copies, feeding).await
}

async fn with_terminal(
    mut command: tokio::process::Command,
    pid: i32,
    request: ExecRequest,
) -> Result<i32, KubeletError> {
    let pty = Terminal::of_container(pid)?;
    let mut size = request.size;
    terminal::resize(&pty.master, *size.borrow_and_update())?;
    let resizing = tokio::spawn(terminal::follow(pty.master.try_clone()?, size));
    let slave = |fd: &OwnedFd| fd.try_clone().map(Stdio::from);
    command
        .stdin(slave(&pty.slave)?)
        .stdout(slave(&pty.slave)?)
        .stderr(slave(&pty.slave)?);
    let child = command.spawn()?;
    drop((command, pty.slave));
    let reading = tokio::fs::File::from_std(std::fs::File::from(pty.master.try_clone()?));
    let writing = tokio::fs::File::from_std(std::fs::File::from(pty.master));
    let copies = request.stdout.map(|to| copy(reading, to)).into_iter().collect();
    let feeding = request.stdin.map(|from| copy(from, writing));
    let ended = finish(child, copies, feeding).await;
    resizing.abort();
    ended
}

async fn finish(
    mut child: Child,
    copies: Vec<JoinHandle<()>>,
    feeding: Option<JoinHandle<()>>,
) -> Result<i32, KubeletError> {
    let status = child.wait().await?;
    for copying in copies {
        // A grandchild may keep the output open; the command itself has ended.
        let _ = timeout(DRAIN_BOUND, copying).await;
    }
    if let Some(feeding) = feeding {
        feeding.abort();
    }
    Ok(status.code().unwrap_or(137))
}

/// Copies until either end closes, byte by byte as it comes: a terminal's user waits for each.
fn copy(
    mut from: impl AsyncRead + Send + Unpin + 'static,
    mut to: impl AsyncWrite + Send + Unpin + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut buffer = vec![0u8; CHUNK];
        // A closed terminal reads as an error: that is its end.
        while let Ok(count) = from.read(&mut buffer).await {
            let chunk = buffer.get(..count).unwrap_or_default();
            if count == 0 || to.write_all(chunk).await.is_err() || to.flush().await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    })
}

/// Runs a probe's or hook's command; the error says what it printed or that it took too long.
pub(crate) async fn check(
    cell: &Arc<PodCell>,
    container: &str,
    command: Vec<String>,
    bound: Duration,
) -> Result<(), String> {
    let (mut entering, _) = enter(cell, container, command, false).map_err(|e| e.to_string())?;
    entering
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = timeout(bound, entering.output()).await;
    let output = output.map_err(|_| format!("command timed out after {} s", bound.as_secs()))?;
    let output = output.map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = output.stdout;
    said.extend(output.stderr);
    said.truncate(KEPT_OUTPUT);
    let code = output.status.code().unwrap_or(137);
    Err(format!(
        "command exited with {code}: {}",
        String::from_utf8_lossy(&said).trim()
    ))
}
