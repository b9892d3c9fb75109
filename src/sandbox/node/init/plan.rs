//! Which directories of the host are shown as they are, and which must be rebuilt entry by entry because a mount
//! point has to be made inside them. Pure apart from asking the host's tree, which is given as a function's argument.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use nix::mount::MsFlags;

/// What a path of the host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Link(PathBuf),
    Other,
}

/// Directories of the host that must be rebuilt so that every target can be a mount point.
/// A target that exists needs nothing; one that is not below `bound` lies in the writable layer already.
pub(crate) fn levels_to_rebuild(
    bound: &[PathBuf],
    targets: &[PathBuf],
    look: &dyn Fn(&Path) -> Option<Kind>,
) -> BTreeSet<PathBuf> {
    let mut levels = BTreeSet::new();
    for target in targets {
        let target = follow_links(target, look);
        let Some(top) = bound.iter().find(|b| target.starts_with(b)) else {
            continue;
        };
        if look(&target).is_some() {
            continue;
        }
        let above = target.ancestors().skip(1).take_while(|a| a.starts_with(top));
        levels.extend(
            above
                .filter(|a| look(a) == Some(Kind::Directory))
                .map(Path::to_path_buf),
        );
    }
    levels
}

/// Follows the links of the host's tree in a path (`/lib/x` is `/usr/lib/x` on most systems). Gives up following
/// after a bounded number of links, as the kernel does.
pub(crate) fn follow_links(path: &Path, look: &dyn Fn(&Path) -> Option<Kind>) -> PathBuf {
    let mut left: Vec<PathBuf> = parts(path);
    left.reverse();
    let mut done = PathBuf::from("/");
    let mut budget = 40;
    while let Some(part) = left.pop() {
        if part.as_os_str() == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        match look(&next) {
            Some(Kind::Link(to)) if budget > 0 => {
                budget -= 1;
                if to.is_absolute() {
                    done = PathBuf::from("/");
                }
                left.extend(parts(&to).into_iter().rev());
            }
            _ => done = next,
        }
    }
    done
}

fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(n) => Some(PathBuf::from(n)),
            Component::ParentDir => Some(PathBuf::from("..")),
            _ => None,
        })
        .collect()
}

/// The mounts of a mount table (`/proc/self/mountinfo`) that must be made read-only, with the flags they must keep.
/// Each mount belongs to the longest of `targets` that contains it; only those of read-only targets are returned.
pub(crate) fn mounts_to_seal(mountinfo: &str, targets: &[(PathBuf, bool)]) -> Vec<(PathBuf, MsFlags)> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(point), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let point = PathBuf::from(unescape(point));
        let owner = targets
            .iter()
            .filter(|(t, _)| point.starts_with(t))
            .max_by_key(|(t, _)| t.components().count());
        if owner.is_some_and(|(_, read_only)| *read_only) && !options.split(',').any(|o| o == "ro") {
            found.push((point, kept_flags(options)));
        }
    }
    found
}

/// Flags that a remount must repeat: inside a user namespace they are locked and leaving one out is refused.
fn kept_flags(options: &str) -> MsFlags {
    let mut flags = MsFlags::empty();
    for option in options.split(',') {
        flags |= match option {
            "nosuid" => MsFlags::MS_NOSUID,
            "nodev" => MsFlags::MS_NODEV,
            "noexec" => MsFlags::MS_NOEXEC,
            "noatime" => MsFlags::MS_NOATIME,
            "nodiratime" => MsFlags::MS_NODIRATIME,
            "relatime" => MsFlags::MS_RELATIME,
            _ => MsFlags::empty(),
        };
    }
    if !flags.intersects(MsFlags::MS_NOATIME | MsFlags::MS_RELATIME) {
        flags |= MsFlags::MS_STRICTATIME;
    }
    flags
}

/// Undoes the octal escapes of the mount table (a space is `\040`).
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'\\')
            .then(|| text.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn host() -> BTreeMap<PathBuf, Kind> {
        let mut tree = BTreeMap::new();
        for dir in [
            "/usr",
            "/usr/lib",
            "/usr/share",
            "/usr/share/doc",
            "/etc",
            "/etc/ssl",
            "/opt",
        ] {
            tree.insert(PathBuf::from(dir), Kind::Directory);
        }
        tree.insert("/lib".into(), Kind::Link("usr/lib".into()));
        tree.insert("/usr/loop".into(), Kind::Link("/usr/loop".into()));
        tree.insert("/etc/hosts".into(), Kind::Other);
        tree
    }

    fn levels(targets: &[&str]) -> Vec<String> {
        let tree = host();
        let bound: Vec<PathBuf> = ["/usr", "/etc", "/opt"].iter().map(PathBuf::from).collect();
        let targets: Vec<PathBuf> = targets.iter().map(PathBuf::from).collect();
        levels_to_rebuild(&bound, &targets, &|p| tree.get(p).cloned())
            .into_iter()
            .map(|p| p.display().to_string())
            .collect()
    }

    #[test]
    fn only_the_levels_above_a_missing_mount_point_are_rebuilt() {
        assert_eq!(
            levels(&["/data", "/var/lib/x"]),
            Vec::<String>::new(),
            "the writable layer needs nothing"
        );
        assert_eq!(
            levels(&["/etc/ssl", "/etc/hosts"]),
            Vec::<String>::new(),
            "existing mount points need nothing"
        );
        assert_eq!(levels(&["/usr/share/new/deep"]), vec!["/usr", "/usr/share"]);
        assert_eq!(levels(&["/etc/foo", "/opt/a/b"]), vec!["/etc", "/opt"]);
    }

    #[test]
    fn links_of_the_host_are_followed_and_loops_end() {
        assert_eq!(levels(&["/lib/firmware"]), vec!["/usr", "/usr/lib"]);
        assert_eq!(levels(&["/usr/share/../lib/x"]), vec!["/usr", "/usr/lib"]);
        let tree = host();
        assert_eq!(
            follow_links(Path::new("/usr/loop/x"), &|p| tree.get(p).cloned()),
            PathBuf::from("/usr/loop/x")
        );
    }

    #[test]
    fn a_mount_is_sealed_by_its_closest_target_and_keeps_its_flags() {
        let table = "1 0 8:1 / / rw,relatime - ext4 /dev/a rw\n\
                     2 1 8:1 /usr /usr rw,nosuid,noatime - ext4 /dev/a rw\n\
                     3 2 8:1 /x /usr/share/my\\040data rw,relatime - ext4 /dev/a rw\n\
                     4 2 8:1 /y /usr/local ro,relatime - ext4 /dev/a rw\n\
                     5 2 8:1 /z /usr/sub rw - ext4 /dev/a rw\n";
        let targets = vec![
            (PathBuf::from("/"), false),
            (PathBuf::from("/usr"), true),
            (PathBuf::from("/usr/share/my data"), false),
        ];
        let sealed = mounts_to_seal(table, &targets);
        assert_eq!(
            sealed,
            vec![
                (PathBuf::from("/usr"), MsFlags::MS_NOSUID | MsFlags::MS_NOATIME),
                (PathBuf::from("/usr/sub"), MsFlags::MS_STRICTATIME),
            ]
        );
    }
}
