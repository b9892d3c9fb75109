//! Which ids containers can have: all of them when the sandbox runs as root, else what a user namespace offers.
//! Also says clearly why containers cannot run at all, and how to allow them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::{User, getegid, geteuid};
use tokio::process::Command;
use tokio::time::timeout;

use super::init::PROGRAM;
use super::init::spec::IdMap;

const PROBE_BOUND: Duration = Duration::from_secs(10);

/// Copying or removing a large tree takes its time.
const WORK_BOUND: Duration = Duration::from_secs(1800);

/// A line of `/etc/subuid` or `/etc/subgid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first id on the host.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// How the ids of containers relate to the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// The sandbox is root: ids are the host's.
    Root,
    /// One id: the sandbox's user is root inside.
    Single {
        /// The user on the host.
        uid: u32,
        /// The group on the host.
        gid: u32,
    },
    /// The sandbox's user is root inside, and subordinate ids follow from 1.
    Ranges {
        /// The user on the host.
        uid: u32,
        /// The group on the host.
        gid: u32,
        /// Subordinate user ids.
        uids: Range,
        /// Subordinate group ids.
        gids: Range,
    },
}

impl Ids {
    /// The map of a container's user namespace, if it has one.
    pub fn map(&self) -> Option<IdMap> {
        match self {
            Self::Root => None,
            Self::Single { uid, gid } => Some(IdMap::Single { uid: *uid, gid: *gid }),
            Self::Ranges { uids, gids, .. } => Some(IdMap::Ranges {
                uids: uids.count + 1,
                gids: gids.count + 1,
            }),
        }
    }

    /// Writes the maps of a process's new user namespace by `newuidmap` and `newgidmap`.
    pub(crate) async fn write_maps(&self, pid: u32) -> io::Result<()> {
        let Self::Ranges { uid, gid, uids, gids } = self else {
            return Ok(());
        };
        for (program, own, range) in [("newuidmap", uid, uids), ("newgidmap", gid, gids)] {
            let numbers = [pid, 0, *own, 1, 1, range.first, range.count].map(|n| n.to_string());
            let output = timeout(
                PROBE_BOUND,
                Command::new(program).args(numbers).stdin(Stdio::null()).output(),
            )
            .await??;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr);
                return Err(io::Error::other(format!("{program}: {}", text.trim())));
            }
        }
        Ok(())
    }

    /// Finds out what this user may do by trying it. The error says what is missing and how to allow it.
    pub async fn detect(program: &Path) -> Result<Self, String> {
        probe(program)
            .await
            .map_err(|error| explain_refusal(&error, &|p| fs::read_to_string(p).ok()))?;
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        if uid == 0 {
            return Ok(Self::Root);
        }
        let name = User::from_uid(geteuid())
            .ok()
            .flatten()
            .map(|u| u.name)
            .unwrap_or_default();
        let range = |file: &str| {
            fs::read_to_string(file)
                .ok()
                .and_then(|text| subordinate(&text, &name, uid))
        };
        if let (Some(uids), Some(gids)) = (range("/etc/subuid"), range("/etc/subgid")) {
            let ranges = Self::Ranges { uid, gid, uids, gids };
            if run_mapped(program, &ranges, "probe-ids", Path::new("-"), None)
                .await
                .is_ok()
            {
                return Ok(ranges);
            }
        }
        Ok(Self::Single { uid, gid })
    }
}

/// The first range of a user, by name or number.
fn subordinate(text: &str, name: &str, uid: u32) -> Option<Range> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let range = Range {
            first: fields.next()?.parse().ok()?,
            count: fields.next()?.parse().ok()?,
        };
        ((owner == name || owner.parse() == Ok(uid)) && range.count > 0).then_some(range)
    })
}

async fn probe(program: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .arg0(PROGRAM)
        .args(["probe", "-"])
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PROBE_BOUND, command.output())
        .await
        .map_err(|_| "no answer within 10 s".to_owned())?
        .map_err(|e| format!("cannot execute {}: {e}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Runs a step (`probe-ids`, `remove`, `copy`) that makes a user namespace with these ids for itself. `to` is where
/// `copy` copies to.
pub(crate) async fn run_mapped(
    program: &Path,
    ids: &Ids,
    step: &str,
    argument: &Path,
    to: Option<&Path>,
) -> io::Result<()> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let map = serde_json::to_string(&ids.map())?;
    let mut command = Command::new(program);
    command
        .arg0(PROGRAM)
        .arg(step)
        .arg(argument)
        .arg(map)
        .args(to)
        .env_clear()
        .kill_on_drop(true);
    let mut child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    drop(command);
    ours.set_nonblocking(true)?;
    let talk = tokio::net::UnixStream::from_std(ours)?;
    if matches!(ids, Ids::Ranges { .. }) {
        timeout(PROBE_BOUND, talk.readable()).await??;
        ids.write_maps(child.id().unwrap_or(0)).await?;
        talk.writable().await?;
        talk.try_write(b"\"Mapped\"\n")?;
    }
    let status = timeout(WORK_BOUND, child.wait()).await??;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("step {step} failed")))
    }
}

/// Says what forbids namespaces and how to allow them.
fn explain_refusal(error: &str, read: &dyn Fn(&str) -> Option<String>) -> String {
    let value = |path: &str| read(path).map(|v| v.trim().to_owned());
    let start = format!("containers cannot run here: the kernel refuses a namespace to this user ({error})");
    let settings = [
        (
            "kernel.unprivileged_userns_clone",
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "1",
        ),
        (
            "user.max_user_namespaces",
            "/proc/sys/user/max_user_namespaces",
            "0",
            "15000",
        ),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "0",
        ),
    ];
    for (name, path, closed, open) in settings {
        if value(path).as_deref() == Some(closed) {
            return format!(
                "{start}: {name} is {closed}. Allow it with `sudo sysctl -w {name}={open}`, or run as root"
            );
        }
    }
    format!(
        "{start}. Inside a container, start that one with the right to make namespaces (for example `--privileged`), or run as root"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_found_by_name_or_number() {
        let text = "alice:100000:65536\n1001:200000:10\nempty:1:0\nbroken\n";
        assert_eq!(
            subordinate(text, "alice", 1000),
            Some(Range {
                first: 100_000,
                count: 65536
            })
        );
        assert_eq!(
            subordinate(text, "bob", 1001),
            Some(Range {
                first: 200_000,
                count: 10
            })
        );
        assert_eq!(subordinate(text, "empty", 7), None);
        assert_eq!(subordinate(text, "carol", 1002), None);
    }

    #[test]
    fn a_refusal_names_the_setting_and_the_command() {
        let text = explain_refusal("Operation not permitted", &|path| {
            path.ends_with("apparmor_restrict_unprivileged_userns")
                .then(|| "1\n".to_owned())
        });
        assert!(
            text.contains("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
            "{text}"
        );
        let text = explain_refusal("Operation not permitted", &|_| None);
        assert!(
            text.contains("run as root") && text.contains("Operation not permitted"),
            "{text}"
        );
    }
}
