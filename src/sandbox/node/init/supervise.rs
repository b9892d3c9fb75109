//! The first process of a container (PID 1 of its PID namespace): builds the file tree, starts the command as its
//! child, passes signals on, reaps orphans, and ends when the command ends or the node is gone. With it the kernel
//! ends every other process of the container.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, fchown};

use super::control::{Explain, Inbox, Order, Report, SetupError, send};
use super::spec::ContainerSpec;
use super::{PROGRAM, SELF, control_socket, root};

/// Runs a container to its end; returns its exit code.
pub(crate) fn run(spec_file: &Path) -> u8 {
    let Ok(mut control) = control_socket() else {
        return 128;
    };
    match start(spec_file, &mut control) {
        Ok((child, signals)) => {
            // A node that is gone is noticed in the loop.
            let _ = send(&mut control, &Report::Started);
            watch(child, &signals, &mut control)
        }
        Err(error) => {
            let _ = send(
                &mut control,
                &Report::Failed {
                    message: error.message,
                    code: error.code,
                },
            );
            u8::try_from(error.code).unwrap_or(128)
        }
    }
}

fn start(spec_file: &Path, control: &mut UnixStream) -> Result<(Pid, SignalFd), SetupError> {
    let file = File::open(spec_file).explain(|| "cannot read the container's description".to_owned())?;
    let mut spec: ContainerSpec =
        serde_json::from_reader(&file).explain(|| "cannot read the container's description".to_owned())?;
    let mask = SigSet::all();
    mask.thread_block()
        .explain(|| "cannot block signals".to_owned())?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .explain(|| "cannot receive signals".to_owned())?;
    let mut warnings = Vec::new();
    fit_identity(&mut spec, &mut warnings);
    // Afterwards the host's paths are gone.
    let input = input(&spec).explain(|| "cannot open the standard input".to_owned())?;
    root::build(&spec, &mut |w| warnings.push(w))?;
    for warning in warnings {
        let _ = send(control, &Report::Warning(warning));
    }
    // A program that opens /dev/stdout as its own user must be allowed to.
    let owner = (
        Some(Uid::from_raw(spec.process.uid)),
        Some(Gid::from_raw(spec.process.gid)),
    );
    let _ = fchown(std::io::stdout(), owner.0, owner.1);
    let _ = fchown(std::io::stderr(), owner.0, owner.1);
    if let Some(input) = &input {
        let _ = fchown(input, owner.0, owner.1);
    }
    Ok((spawn(&file, input, spec.process.tty)?, signals))
}

/// The command's end of its standard input.
fn input(spec: &ContainerSpec) -> std::io::Result<Option<File>> {
    let open = |path| File::options().read(true).write(spec.process.tty).open(path);
    spec.input.as_ref().map(open).transpose()
}

/// Ids that do not exist in the user namespace become 0, with a warning.
fn fit_identity(spec: &mut ContainerSpec, warnings: &mut Vec<String>) {
    let Some(map) = &spec.user_namespace else { return };
    let hint = "this user has no subordinate ids for it (see /etc/subuid, /etc/subgid and newuidmap)";
    if !map.has_uid(spec.process.uid) {
        warnings.push(format!("user {} runs as 0: {hint}", spec.process.uid));
    }
    if !map.has_gid(spec.process.gid) {
        warnings.push(format!("group {} runs as 0: {hint}", spec.process.gid));
    }
    spec.process.fit(map);
    if spec.fs_group.as_ref().is_some_and(|g| !map.has_gid(g.gid)) {
        warnings.push(format!("fsGroup is ignored: {hint}"));
        spec.fs_group = None;
    }
}

/// Starts the command's last step and waits until it executes the program or says why not.
fn spawn(spec_file: &File, input: Option<File>, terminal: bool) -> Result<Pid, SetupError> {
    let failed = || "cannot start the command".to_owned();
    let (mut answer, theirs) = UnixStream::pair().explain(failed)?;
    fcntl(spec_file, FcntlArg::F_SETFD(FdFlag::empty())).explain(failed)?;
    let mut command = Command::new(SELF);
    command
        .arg0(PROGRAM)
        .arg("exec")
        .arg(spec_file.as_raw_fd().to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .env_clear();
    if let Some(input) = &input {
        fcntl(input, FcntlArg::F_SETFD(FdFlag::empty())).explain(failed)?;
        command.arg(input.as_raw_fd().to_string());
        if terminal {
            let stream = || input.try_clone().map(Stdio::from);
            command.stdout(stream().explain(failed)?);
            command.stderr(stream().explain(failed)?);
        }
    }
    let child = command.spawn().explain(failed)?;
    // Nobody but the command may hold its streams, or their end would stay unseen.
    drop((command, input));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(-1));
    let mut text = String::new();
    answer.read_to_string(&mut text).explain(failed)?;
    match text.split_once(' ') {
        None => Ok(pid),
        Some((code, message)) => Err(SetupError {
            message: message.to_owned(),
            code: code.parse().unwrap_or(128),
        }),
    }
}

/// Waits for the command's end, the node's orders and the signals of the container's own processes.
fn watch(child: Pid, signals: &SignalFd, control: &mut UnixStream) -> u8 {
    let mut inbox = Inbox::default();
    loop {
        if let Some((code, signal)) = reap(child) {
            let _ = send(control, &Report::Exited { code, signal });
            return u8::try_from(code).unwrap_or(255);
        }
        let ready = {
            let mut fds = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(control.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(_) => return 128,
                Ok(_) => fds[1].any().unwrap_or(false),
            }
        };
        while let Ok(Some(info)) = signals.read_signal() {
            forward(child, i32::try_from(info.ssi_signo).unwrap_or(0));
        }
        if ready {
            match inbox.read::<Order>(control) {
                Ok(Some(orders)) => {
                    for order in orders {
                        if let Order::Signal(number) = order {
                            forward(child, number);
                        }
                    }
                }
                // The node is gone: so is the container.
                _ => return 137,
            }
        }
    }
}

fn forward(child: Pid, number: i32) {
    if let Ok(signal) = Signal::try_from(number)
        && signal != Signal::SIGCHLD
    {
        // The child may have ended meanwhile; the next reaping sees it.
        let _ = kill(child, signal);
    }
}

/// Reaps every ended process; returns how the command ended once it has.
fn reap(child: Pid) -> Option<(i32, Option<i32>)> {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return Some((code, None)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Some((128 + signal as i32, Some(signal as i32)));
            }
            Ok(WaitStatus::StillAlive) => return None,
            Err(Errno::ECHILD) => return Some((128, None)),
            Err(_) => return None,
            Ok(_) => {}
        }
    }
}
