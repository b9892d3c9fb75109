//! The last step before a container's command: takes its user, groups and capabilities, gives up every way to get
//! more rights, and executes the program.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use super::control::{Explain, SetupError};
use super::spec::ProcessSpec;

/// What container engines give a root process by default.
pub const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

/// Every capability's name without `CAP_`, in the order of their numbers.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The bits of `securityContext.capabilities`: the default set, without `drop`, with `add`. Unknown names are ignored.
pub fn capabilities(add: &[String], drop: &[String], privileged: bool) -> u64 {
    let all = (1u64 << NAMES.len()) - 1;
    let bits = |names: &[String]| {
        names.iter().fold(0u64, |bits, name| {
            let name = name.trim_start_matches("CAP_");
            let one = NAMES.iter().position(|n| *n == name).map_or(0, |at| 1u64 << at);
            bits | if name == "ALL" { all } else { one }
        })
    };
    if privileged {
        all
    } else {
        DEFAULT_CAPABILITIES & !bits(drop) | bits(add)
    }
}

/// Becomes the process. Returns only when that failed. `die_with_parent` is for commands executed into a container.
pub(crate) fn become_process(spec: &ProcessSpec, die_with_parent: bool) -> SetupError {
    match prepare(spec, die_with_parent) {
        Ok(mut command) => {
            let error = command.exec();
            let code = if error.kind() == std::io::ErrorKind::NotFound {
                127
            } else {
                126
            };
            let program = spec.argv.first().map_or("", String::as_str);
            SetupError {
                message: format!("cannot execute \"{program}\": {error}"),
                code,
            }
        }
        Err(error) => error,
    }
}

fn prepare(spec: &ProcessSpec, die_with_parent: bool) -> Result<Command, SetupError> {
    // The container's first process blocks all signals to wait for them; the command must not inherit that.
    SigSet::all()
        .thread_unblock()
        .explain(|| "cannot unblock signals".to_owned())?;
    // Fails only for a process that leads a group already, which is what is wanted.
    let _ = setsid();
    if spec.tty {
        // A session leader's first opened terminal becomes its controlling one.
        File::options()
            .read(true)
            .write(true)
            .open("/proc/self/fd/0")
            .explain(|| "cannot open the terminal".to_owned())?;
    }
    umask(Mode::from_bits_truncate(0o022));
    fs::create_dir_all(&spec.cwd).explain(|| format!("cannot enter {}", spec.cwd.display()))?;
    restrict(spec)?;
    if die_with_parent {
        set_pdeathsig(Signal::SIGKILL).explain(|| "cannot tie the command to its caller".to_owned())?;
    }
    std::env::set_current_dir(&spec.cwd).explain(|| format!("cannot enter {}", spec.cwd.display()))?;
    let program = find_program(spec)?;
    let mut command = Command::new(program);
    if let Some((name, arguments)) = spec.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    command.env_clear().envs(spec.env.iter().map(|(k, v)| (k, v)));
    Ok(command)
}

/// Takes the user, the groups and only the capabilities that were given.
fn restrict(spec: &ProcessSpec) -> Result<(), SetupError> {
    let keep = CapabilitySet::from_bits_retain(spec.capabilities);
    for number in 0..NAMES.len() {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !keep.contains(one) && capability_is_in_bounding_set(one).unwrap_or(false) {
            remove_capability_from_bounding_set(one).explain(|| "cannot drop capabilities".to_owned())?;
        }
    }
    // Where a namespace maps only one id, the kernel forbids changing groups; the node has said so already.
    if fs::read_to_string("/proc/self/setgroups").map_or(true, |s| s.trim() != "deny") {
        let groups: Vec<Gid> = spec.groups.iter().map(|g| Gid::from_raw(*g)).collect();
        setgroups(&groups).explain(|| "cannot set the supplementary groups".to_owned())?;
    }
    let (uid, gid) = (Uid::from_raw(spec.uid), Gid::from_raw(spec.gid));
    setresgid(gid, gid, gid).explain(|| format!("cannot become group {gid}"))?;
    setresuid(uid, uid, uid).explain(|| format!("cannot become user {uid}"))?;
    if spec.uid == 0 {
        let sets = CapabilitySets {
            effective: keep,
            permitted: keep,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).explain(|| "cannot drop capabilities".to_owned())?;
    }
    set_no_new_privs(true).explain(|| "cannot give up gaining privileges".to_owned())
}

/// Finds the program in the container's tree: as a path, or along the container's own PATH.
fn find_program(spec: &ProcessSpec) -> Result<PathBuf, SetupError> {
    let name = spec.argv.first().map_or("", String::as_str);
    let missing = |message: String| SetupError { message, code: 127 };
    if name.is_empty() {
        return Err(missing("no command is given".to_owned()));
    }
    if name.contains('/') {
        return match fs::metadata(name) {
            Err(e) => Err(missing(format!("exec: \"{name}\": {e}"))),
            Ok(m) if m.is_dir() => Err(SetupError {
                message: format!("exec: \"{name}\": is a directory"),
                code: 126,
            }),
            Ok(_) => Ok(PathBuf::from(name)),
        };
    }
    let path = spec
        .env
        .iter()
        .rev()
        .find(|(k, _)| k == "PATH")
        .map_or("", |(_, v)| v.as_str());
    path.split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|p| {
            fs::metadata(p).is_ok_and(|m| {
                m.is_file() && std::os::unix::fs::PermissionsExt::mode(&m.permissions()) & 0o111 != 0
            })
        })
        .ok_or_else(|| missing(format!("exec: \"{name}\": executable file not found in $PATH")))
}

/// Tells whoever waits at the other end why the process could not start.
pub(crate) fn tell(mut to: impl Write, error: &SetupError) {
    // Nobody is left to hear about a failure to tell.
    let _ = to.write_all(format!("{} {}", error.code, error.message).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_follow_the_security_context() {
        let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(capabilities(&[], &[], false), DEFAULT_CAPABILITIES);
        assert_eq!(
            capabilities(&names(&["NET_BIND_SERVICE"]), &names(&["ALL"]), false),
            1 << 10
        );
        assert_eq!(
            capabilities(&names(&["CAP_SYS_ADMIN", "NO_SUCH"]), &[], false),
            DEFAULT_CAPABILITIES | 1 << 21
        );
        assert_eq!(capabilities(&[], &[], true).count_ones(), 41);
    }
}
