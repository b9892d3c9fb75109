//! The first steps of a container: enters its namespaces, mounts its volumes, drops its rights, executes its
//! command. All of it happens in processes of their own, started from the node with this program's file:
//!
//! 1. `run FILE` makes the namespaces and waits;
//! 2. `pid1 FILE`, its child, is the container's first process: it builds the file tree and supervises;
//! 3. `exec FD`, the child of that, takes the container's identity and becomes the command.
//!
//! `enter FILE` joins a container that runs. Every process here has a single thread.

pub mod control;
mod enter;
pub mod identity;
mod plan;
mod root;
pub mod spec;
mod supervise;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{close, dup2_stdin, setsid};

use control::{Explain, Inbox, Order, Report, SetupError, send};
use spec::{ContainerSpec, EnterSpec, IdMap, ProcessSpec};

/// The name by which this program knows that it is a container's first step.
pub const PROGRAM: &str = "kubestash-sandbox-init";

/// This very program, whatever the file tree looks like.
const SELF: &str = "/proc/self/exe";

/// Runs one of the steps.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let mut args = args.into_iter().skip(1).map(|a| a.to_string_lossy().into_owned());
    let (Some(step), Some(argument)) = (args.next(), args.next()) else {
        return ExitCode::from(2);
    };
    ExitCode::from(match step.as_str() {
        "run" => namespaces(Path::new(&argument)),
        "pid1" => supervise::run(Path::new(&argument)),
        "enter" => enter::run(Path::new(&argument)),
        "exec" => exec(&argument, args.next().as_deref()),
        "exec-entered" => exec_entered(&argument),
        "probe" => probe(),
        "probe-ids" => mapped(args.next().as_deref(), || Ok(())),
        "remove" => mapped(args.next().as_deref(), || fs::remove_dir_all(&argument)),
        "copy" => {
            let (map, to) = (args.next(), args.next().unwrap_or_default());
            mapped(map.as_deref(), || copy(&argument, &to))
        }
        _ => 2,
    })
}

/// The socket to the node: standard input.
fn control_socket() -> io::Result<UnixStream> {
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Step 1: new namespaces, then the container's first process as a child.
fn namespaces(spec_file: &Path) -> u8 {
    let Ok(mut control) = control_socket() else {
        return 128;
    };
    match unshare_and_start(spec_file, &mut control) {
        Ok(code) => u8::try_from(code).unwrap_or(255),
        Err(error) => {
            // A node that is gone needs no answer.
            let _ = send(
                &mut control,
                &Report::Failed {
                    message: error.message,
                    code: error.code,
                },
            );
            128
        }
    }
}

fn unshare_and_start(spec_file: &Path, control: &mut UnixStream) -> Result<i32, SetupError> {
    let failed = || "cannot read the container's description".to_owned();
    let spec: ContainerSpec =
        serde_json::from_reader(File::open(spec_file).explain(failed)?).explain(failed)?;
    // Away from the terminal and the process group of whoever started the sandbox.
    let _ = setsid();
    if let Some(map) = &spec.user_namespace {
        user_namespace(map, control)?;
    }
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWPID;
    unshare(flags).explain(|| "cannot make namespaces".to_owned())?;
    let mut child = Command::new(SELF)
        .arg0(PROGRAM)
        .arg("pid1")
        .arg(spec_file)
        .env_clear()
        .spawn()
        .explain(|| "cannot start the container's first process".to_owned())?;
    let _ = send(control, &Report::Pid(i32::try_from(child.id()).unwrap_or(-1)));
    let status = child
        .wait()
        .explain(|| "cannot wait for the container".to_owned())?;
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Makes a user namespace and sees to its id maps: by itself for one id, by the node for ranges.
fn user_namespace(map: &IdMap, control: &mut UnixStream) -> Result<(), SetupError> {
    unshare(CloneFlags::CLONE_NEWUSER).explain(|| "cannot make a user namespace".to_owned())?;
    let failed = || "cannot map ids".to_owned();
    match map {
        IdMap::Single { uid, gid } => {
            fs::write("/proc/self/setgroups", "deny").explain(failed)?;
            fs::write("/proc/self/uid_map", format!("0 {uid} 1\n")).explain(failed)?;
            fs::write("/proc/self/gid_map", format!("0 {gid} 1\n")).explain(failed)
        }
        IdMap::Ranges { .. } => {
            send(control, &Report::MapIds).explain(failed)?;
            let mut inbox = Inbox::default();
            loop {
                match inbox.read::<Order>(control).explain(failed)? {
                    Some(orders) if orders.contains(&Order::Mapped) => break,
                    Some(_) => {}
                    None => {
                        return Err(SetupError {
                            message: "the node did not map ids".to_owned(),
                            code: 128,
                        });
                    }
                }
            }
            // Ids outside the namespace lost their meaning: continue as its root.
            nix::unistd::setgid(0.into()).explain(failed)?;
            nix::unistd::setuid(0.into()).explain(failed)
        }
    }
}

/// Step 3: becomes the command. Standard input is where failures are told; the command gets the file `input`, or else
/// `/dev/null`.
fn exec(fd: &str, input: Option<&str>) -> u8 {
    let Ok(answer) = control_socket() else { return 128 };
    let terminal = std::io::IsTerminal::is_terminal(&io::stdout());
    let error = match take_input(input, terminal).and_then(|()| read_fd::<ContainerSpec>(fd)) {
        Ok(mut spec) => {
            if let Some(map) = &spec.user_namespace {
                spec.process.fit(map);
            }
            identity::become_process(&spec.process, false)
        }
        Err(e) => SetupError {
            message: format!("cannot prepare the command: {e}"),
            code: 128,
        },
    };
    identity::tell(answer, &error);
    u8::try_from(error.code).unwrap_or(128)
}

/// The last step of `enter`: failures go to standard error, as container engines do it.
fn exec_entered(fd: &str) -> u8 {
    let error = match read_fd::<EnterSpec>(fd) {
        Ok(mut spec) => {
            if let Some(map) = &spec.user_namespace {
                spec.process.fit(map);
            }
            identity::become_process(&spec.process, true)
        }
        Err(e) => SetupError {
            message: format!("cannot prepare the command: {e}"),
            code: 128,
        },
    };
    let text = format!("{}\n", error.message);
    // Whoever closed standard error does not want to know.
    let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
    u8::try_from(error.code).unwrap_or(128)
}

/// Makes an inherited file standard input, or `/dev/null` where there is none.
fn take_input(fd: Option<&str>, terminal: bool) -> io::Result<()> {
    let Some(fd) = fd else {
        return Ok(dup2_stdin(File::open("/dev/null")?)?);
    };
    let number: i32 = fd.parse().map_err(io::Error::other)?;
    let path = format!("/proc/self/fd/{number}");
    dup2_stdin(File::options().read(true).write(terminal).open(path)?)?;
    Ok(close(number)?)
}

/// Reads and closes an inherited file, from its start.
fn read_fd<T: for<'a> serde::Deserialize<'a>>(fd: &str) -> io::Result<T> {
    let number: i32 = fd.parse().map_err(io::Error::other)?;
    let value = serde_json::from_reader(File::open(format!("/proc/self/fd/{number}"))?)?;
    close(number)?;
    Ok(value)
}

/// Answers whether the kernel lets this user make the namespaces a container needs (0) or not (1).
fn probe() -> u8 {
    let root = nix::unistd::geteuid().is_root();
    let user = if root {
        CloneFlags::empty()
    } else {
        CloneFlags::CLONE_NEWUSER
    };
    let done = unshare(user).and_then(|()| unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID));
    // Some systems allow the namespace but take its rights away; then the first mount is refused.
    let mounted = done.and_then(|()| {
        let none = None::<&str>;
        let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(none, "/", none, flags, none)
    });
    match mounted {
        Ok(()) => 0,
        Err(error) => {
            let text = format!("{}\n", error.desc());
            let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
            1
        }
    }
}

/// Does something as root of a user namespace of its own; `map` is the JSON of its [`IdMap`].
fn mapped(map: Option<&str>, work: impl FnOnce() -> io::Result<()>) -> u8 {
    let Ok(mut control) = control_socket() else {
        return 1;
    };
    let map = map
        .and_then(|m| serde_json::from_str::<Option<IdMap>>(m).ok())
        .flatten();
    let Some(map) = map else { return 2 };
    let done = user_namespace(&map, &mut control).is_ok() && work().is_ok();
    u8::from(!done)
}

/// Copies a tree with all it has, by whichever kind of `cp` there is.
fn copy(from: &str, to: &str) -> io::Result<()> {
    let cp = |options: &[&str]| Command::new("cp").args(options).args(["--", from, to]).status();
    if cp(&["--archive", "--reflink=auto", "--sparse=auto"])?.success() {
        return Ok(());
    }
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if cp(&["-a"])?.success() {
        return Ok(());
    }
    Err(io::Error::other("cp failed"))
}

impl ProcessSpec {
    /// Replaces ids that do not exist in a user namespace by 0.
    fn fit(&mut self, map: &IdMap) {
        if !map.has_uid(self.uid) {
            self.uid = 0;
        }
        if !map.has_gid(self.gid) {
            self.gid = 0;
        }
        self.groups.retain(|g| map.has_gid(*g));
    }
}
