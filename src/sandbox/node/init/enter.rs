//! A command in a container that runs already (`kubectl exec`, probes, hooks): joins the container's namespaces and
//! starts the command there. Ends with the command and with its exit code.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, setns};

use super::control::{Explain, SetupError};
use super::spec::EnterSpec;
use super::{PROGRAM, SELF};

/// Runs the command of the description; what goes wrong is said on standard error.
pub(crate) fn run(spec_file: &Path) -> u8 {
    match enter(spec_file) {
        Ok(code) => u8::try_from(code).unwrap_or(255),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            u8::try_from(error.code).unwrap_or(128)
        }
    }
}

fn enter(spec_file: &Path) -> Result<i32, SetupError> {
    let failed = || "cannot enter the container".to_owned();
    let file = File::open(spec_file).explain(failed)?;
    let spec: EnterSpec = serde_json::from_reader(&file).explain(failed)?;
    fs::remove_file(spec_file).explain(failed)?;
    let open = |name: &str| File::open(format!("/proc/{}/ns/{name}", spec.pid));
    let mut namespaces = Vec::new();
    if spec.user_namespace.is_some() {
        namespaces.push((open("user").explain(failed)?, CloneFlags::CLONE_NEWUSER));
    }
    for (name, flag) in [
        ("pid", CloneFlags::CLONE_NEWPID),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ] {
        namespaces.push((open(name).explain(failed)?, flag));
    }
    for (namespace, flag) in namespaces {
        setns(namespace, flag).explain(failed)?;
    }
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).explain(failed)?;
    let status = Command::new(SELF)
        .arg0(PROGRAM)
        .arg("exec-entered")
        .arg(file.as_raw_fd().to_string())
        .env_clear()
        .status()
        .explain(failed)?;
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
