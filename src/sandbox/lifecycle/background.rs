//! A sandbox in the background: a detached process of this very program, started, awaited and ended.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::state::{Dir, Running};
use super::{Error, io_error};
use crate::sandbox::node::Ids;
use crate::sandbox::node::process::Launcher;

/// How long a start may take.
const START_BOUND: Duration = Duration::from_secs(60);

/// How long an end may take before the process is killed: containers get their grace period within it.
const END_BOUND: Duration = Duration::from_secs(40);

/// After a kill the kernel needs a moment.
const KILL_BOUND: Duration = Duration::from_secs(5);

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A log that grew beyond this starts anew with the next start.
const LOG_LIMIT: u64 = 10 * 1024 * 1024;

/// So much of the log is shown when a start fails.
const LOG_TAIL: u64 = 2048;

/// Starts `program` with `arguments` as a detached process that runs a sandbox in this directory, and waits until
/// it is ready.
///
/// # Errors
/// When one runs there already, when it ends early (with the end of its log) or is not ready in time.
pub async fn start(path: &Path, program: &Path, arguments: &[&str]) -> Result<Running, Error> {
    let dir = Dir::create(path)?;
    if let Some(running) = dir.running() {
        return Err(Error::RunsAlready {
            dir: dir.path().to_path_buf(),
            running: Some(running),
        });
    }
    let mut child = spawn(&dir, program, arguments).map_err(io_error("cannot start the sandbox"))?;
    let deadline = Instant::now() + START_BOUND;
    while Instant::now() < deadline {
        if let Some(running) = dir.running().filter(|r| r.pid == child.id()) {
            return Ok(running);
        }
        if child
            .try_wait()
            .map_err(io_error("cannot wait for the sandbox"))?
            .is_some()
        {
            return Err(match dir.running() {
                // Another start was faster.
                Some(running) => Error::RunsAlready {
                    dir: dir.path().to_path_buf(),
                    running: Some(running),
                },
                None => Error::EndedEarly(log_tail(&dir)),
            });
        }
        sleep(LOOK_AGAIN).await;
    }
    // It is of no use to anybody now; should it have ended meanwhile, so much the better.
    let _ = child.kill();
    let _ = child.wait();
    Err(Error::TooLong(format!(
        "the sandbox was not ready within {} s; its log is {}",
        START_BOUND.as_secs(),
        dir.log().display()
    )))
}

fn spawn(dir: &Dir, program: &Path, arguments: &[&str]) -> std::io::Result<Child> {
    let path = dir.log();
    if fs::metadata(&path).is_ok_and(|m| m.len() > LOG_LIMIT) {
        fs::remove_file(&path)?;
    }
    let log = fs::File::options().create(true).append(true).open(&path)?;
    // The allocator keeps memory per thread otherwise, and an idle sandbox should be small.
    let arenas = std::env::var_os("MALLOC_ARENA_MAX").unwrap_or_else(|| "2".into());
    Command::new(program)
        .arg0("kubectl-kubestash")
        .env("MALLOC_ARENA_MAX", arenas)
        .args(arguments)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .spawn()
}

fn log_tail(dir: &Dir) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(dir.log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

/// Ends the sandbox of a directory: asks it to, and kills it when it does not end in time.
///
/// # Errors
/// When none runs there, or it cannot be ended.
pub async fn stop(path: &Path) -> Result<Running, Error> {
    let dir = Dir::at(path)?;
    let running = dir
        .running()
        .ok_or_else(|| Error::NotRunning(dir.path().to_path_buf()))?;
    send(&running, Signal::SIGTERM)?;
    if ended(&running, END_BOUND).await {
        return Ok(running);
    }
    send(&running, Signal::SIGKILL)?;
    if ended(&running, KILL_BOUND).await {
        return Ok(running);
    }
    Err(Error::TooLong(format!(
        "process {} of the sandbox does not end",
        running.pid
    )))
}

fn send(running: &Running, signal: Signal) -> Result<(), Error> {
    let pid = Pid::from_raw(i32::try_from(running.pid).unwrap_or(i32::MAX));
    match kill(pid, signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(e) => Err(io_error(format!("cannot end process {pid}"))(e.into())),
    }
}

async fn ended(running: &Running, bound: Duration) -> bool {
    let deadline = Instant::now() + bound;
    while running.alive() && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    !running.alive()
}

/// Deletes a sandbox's directory; `false` when there is none. Files of containers may belong to ids that only they
/// have, so `program` starts a process in a user namespace where that is needed.
///
/// # Errors
/// When a sandbox runs there, the directory is none of a sandbox, or it cannot be deleted.
pub async fn delete(path: &Path, program: &Path) -> Result<bool, Error> {
    let dir = Dir::at(path)?;
    if !dir.path().exists() {
        return Ok(false);
    }
    let failed = || io_error(format!("cannot delete {}", dir.path().display()));
    if !dir.objects().is_dir() || !dir.path().join("lock").is_file() {
        return Err(failed()(std::io::Error::other(
            "it is not the directory of a sandbox",
        )));
    }
    let _lock = super::lock(&dir)?;
    let ids = Ids::detect(program).await.unwrap_or(Ids::Root);
    let launcher = Launcher {
        program: program.to_path_buf(),
        ids,
    };
    launcher.remove_tree(dir.path()).await.map_err(failed())?;
    Ok(true)
}
