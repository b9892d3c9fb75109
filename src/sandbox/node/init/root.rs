//! The container's file tree. A directory of the node becomes `/` (the writable layer); the host's program
//! directories are mounted into it read-only, then `/proc`, `/dev`, the files of the image and the volumes.
//!
//! The root is entered first and filled afterwards, with the host's tree at [`OLD`] until the end: so a link in the
//! container's tree can only lead to places in the container, never to the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root, sethostname};

use super::control::{Explain, SetupError};
use super::plan::{Kind, follow_links, levels_to_rebuild, mounts_to_seal};
use super::spec::{ContainerSpec, FsGroup, MountSpec};

/// Where the host's tree is while the container's is being built.
const OLD: &str = "/.host";

/// Files of `/etc` up to this size are copied so that programs may change them; larger ones are left out.
const ETC_COPY_LIMIT: u64 = 256 * 1024;

type Result<T> = std::result::Result<T, SetupError>;

/// Builds the tree and makes it this process's root. `warn` gets what could not be done but is not needed.
pub(crate) fn build(spec: &ContainerSpec, warn: &mut dyn FnMut(String)) -> Result<()> {
    let mut mounts = spec.mounts.clone();
    for m in &mut mounts {
        m.source = fs::canonicalize(&m.source)
            .explain(|| format!("cannot mount {} at {}", m.source.display(), m.target.display()))?;
    }
    mounts.sort_by_key(|m| m.target.components().count());
    make_private()?;
    memory_volumes(&mounts)?;
    if let Some(group) = &spec.fs_group {
        give_to_group(group, warn);
    }
    enter(&spec.rootfs)?;
    skeleton()?;
    let targets: Vec<PathBuf> = mounts.iter().map(|m| m.target.clone()).collect();
    let mut sealed = host_directories(&spec.host_dirs, &targets, warn)?;
    sealed.push((PathBuf::from("/"), spec.read_only_root));
    system_directories(warn)?;
    for (path, text) in &spec.files {
        write_file(path, text).explain(|| format!("cannot write {}", path.display()))?;
    }
    for m in &mounts {
        volume(m)?;
        sealed.push((m.target.clone(), m.read_only));
    }
    umount2(OLD, MntFlags::MNT_DETACH).explain(|| "cannot leave the host's file tree".to_owned())?;
    // An empty directory that stays behind harms nobody.
    let _ = fs::remove_dir(OLD);
    seal(&sealed, warn)?;
    sethostname(&spec.hostname).explain(|| "cannot set the host name".to_owned())
}

/// What is mounted from here on is seen by this container alone.
fn make_private() -> Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .explain(|| "cannot make the mount namespace private".to_owned())
}

/// Puts bounded memory over the sources that ask for it.
fn memory_volumes(mounts: &[MountSpec]) -> Result<()> {
    let wanted: BTreeMap<&Path, u64> = mounts
        .iter()
        .filter_map(|m| Some((m.source.as_path(), m.memory?)))
        .collect();
    for (source, bytes) in wanted {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let options = format!("mode=777,size={bytes}");
        mount(
            Some("tmpfs"),
            source,
            Some("tmpfs"),
            flags,
            Some(options.as_str()),
        )
        .explain(|| format!("cannot mount {bytes} bytes of memory at {}", source.display()))?;
    }
    Ok(())
}

fn enter(rootfs: &Path) -> Result<()> {
    let none = None::<&str>;
    mount(Some(rootfs), rootfs, none, MsFlags::MS_BIND, none)
        .explain(|| format!("cannot mount {}", rootfs.display()))?;
    let old = rootfs.join(OLD.trim_start_matches('/'));
    fs::create_dir_all(&old).explain(|| format!("cannot create {}", old.display()))?;
    pivot_root(rootfs, &old).explain(|| "cannot change the root directory".to_owned())?;
    chdir("/").explain(|| "cannot enter the root directory".to_owned())
}

/// Where a path of the host is while building.
fn old(path: &Path) -> PathBuf {
    Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path))
}

fn look_at_host(path: &Path) -> Option<Kind> {
    let path = old(path);
    let kind = fs::symlink_metadata(&path).ok()?.file_type();
    if kind.is_symlink() {
        return fs::read_link(&path).ok().map(Kind::Link);
    }
    Some(if kind.is_dir() {
        Kind::Directory
    } else {
        Kind::Other
    })
}

/// The directories of the writable layer.
fn skeleton() -> Result<()> {
    let dirs: &[(&str, u32)] = &[
        ("/tmp", 0o1777),
        ("/run", 0o755),
        ("/run/lock", 0o1777),
        ("/var", 0o755),
        ("/var/tmp", 0o1777),
        ("/var/lib", 0o755),
        ("/var/cache", 0o755),
        ("/var/log", 0o755),
        ("/root", 0o700),
        ("/home", 0o755),
        ("/srv", 0o755),
        ("/mnt", 0o755),
        ("/proc", 0o555),
        ("/sys", 0o555),
        ("/dev", 0o755),
        ("/etc", 0o755),
    ];
    fs::set_permissions("/", Permissions::from_mode(0o755)).explain(|| "cannot prepare /".to_owned())?;
    for (dir, mode) in dirs {
        fs::create_dir_all(dir)
            .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(*mode)))
            .explain(|| format!("cannot create {dir}"))?;
    }
    for (link, to) in [("/var/run", "/run"), ("/var/lock", "/run/lock")] {
        symlink(to, link).explain(|| format!("cannot create {link}"))?;
    }
    Ok(())
}

/// Shows the host's program directories; returns what must become read-only.
fn host_directories(
    dirs: &[PathBuf],
    targets: &[PathBuf],
    warn: &mut dyn FnMut(String),
) -> Result<Vec<(PathBuf, bool)>> {
    let present: Vec<PathBuf> = dirs
        .iter()
        .filter(|d| look_at_host(d).is_some())
        .cloned()
        .collect();
    let mut rebuild = levels_to_rebuild(&present, targets, &look_at_host);
    let mut shown = Vec::new();
    for dir in &present {
        if dir == Path::new("/etc") {
            // Rebuilt always: programs may change its files, and the host's names must not show through.
            rebuild.insert(dir.clone());
        }
        show(dir, &rebuild, &mut shown, warn).explain(|| format!("cannot show {}", dir.display()))?;
    }
    Ok(shown)
}

fn show(
    path: &Path,
    rebuild: &BTreeSet<PathBuf>,
    shown: &mut Vec<(PathBuf, bool)>,
    warn: &mut dyn FnMut(String),
) -> io::Result<()> {
    match look_at_host(path) {
        None => {}
        Some(Kind::Link(to)) => symlink(to, path)?,
        Some(Kind::Directory) if rebuild.contains(path) => {
            fs::create_dir_all(path)?;
            let mode = fs::metadata(old(path))?.mode();
            fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
            for entry in fs::read_dir(old(path))? {
                show(&path.join(entry?.file_name()), rebuild, shown, warn)?;
            }
        }
        Some(Kind::Directory) => {
            fs::create_dir_all(path)?;
            match bind(&old(path), path) {
                Ok(()) => shown.push((path.to_path_buf(), true)),
                Err(e) => warn(format!("{} of the computer is not shown: {e}", path.display())),
            }
        }
        Some(Kind::Other) if path.parent() == Some(Path::new("/etc")) => copy_small(path),
        Some(Kind::Other) => {
            fs::File::create(path)?;
            match bind(&old(path), path) {
                Ok(()) => shown.push((path.to_path_buf(), true)),
                Err(e) => warn(format!("{} of the computer is not shown: {e}", path.display())),
            }
        }
    }
    Ok(())
}

/// Copies a file of `/etc`. What cannot be read (other users' secrets) or is large is not shown.
fn copy_small(path: &Path) {
    let Ok(meta) = fs::metadata(old(path)) else { return };
    if meta.is_file() && meta.len() <= ETC_COPY_LIMIT {
        // An unreadable file is simply not there; nothing depends on a particular one.
        let _ = fs::copy(old(path), path);
    }
}

fn bind(source: &Path, target: &Path) -> nix::Result<()> {
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
}

/// `/proc`, `/sys`, `/dev`, and the resolver's configuration.
fn system_directories(warn: &mut dyn FnMut(String)) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).is_err() {
        // Where parts of the host's /proc are hidden the kernel refuses a new one; the host's own serves then.
        bind(&old(Path::new("/proc")), Path::new("/proc")).explain(|| "cannot mount /proc".to_owned())?;
    }
    if let Err(e) = bind(&old(Path::new("/sys")), Path::new("/sys")) {
        warn(format!("/sys is empty in the container: {e}"));
    }
    devices().explain(|| "cannot prepare /dev".to_owned())?;
    // Often a link into /run, which is the container's own: so its content is copied.
    let resolv = follow_links(Path::new("/etc/resolv.conf"), &look_at_host);
    if let Ok(text) = fs::read(old(&resolv)) {
        let target = Path::new("/etc/resolv.conf");
        let _ = fs::remove_file(target);
        fs::write(target, text).explain(|| "cannot write /etc/resolv.conf".to_owned())?;
    }
    Ok(())
}

fn devices() -> io::Result<()> {
    let none = None::<&str>;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("tmpfs"),
        "/dev",
        Some("tmpfs"),
        MsFlags::MS_NOSUID,
        Some("mode=755,size=4m"),
    )?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let target = Path::new("/dev").join(name);
        // Containers of container engines have no terminal.
        if !old(&target).exists() {
            continue;
        }
        fs::File::create(&target)?;
        mount(Some(&old(&target)), &target, none, MsFlags::MS_BIND, none)?;
    }
    fs::create_dir("/dev/pts")?;
    // Without its own terminals a container still runs; only programs that open one notice.
    if mount(
        Some("devpts"),
        "/dev/pts",
        Some("devpts"),
        plain,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
    .is_ok()
    {
        symlink("pts/ptmx", "/dev/ptmx")?;
    }
    fs::create_dir("/dev/shm")?;
    mount(
        Some("shm"),
        "/dev/shm",
        Some("tmpfs"),
        plain | MsFlags::MS_NODEV,
        Some("mode=1777,size=64m"),
    )?;
    symlink("/proc/self/fd", "/dev/fd")?;
    for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        symlink(format!("/proc/self/fd/{number}"), Path::new("/dev").join(name))?;
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
        fs::remove_file(path)?;
    }
    fs::write(path, text)
}

fn volume(m: &MountSpec) -> Result<()> {
    let what = || format!("cannot mount {} at {}", m.source.display(), m.target.display());
    let source = match &m.sub_path {
        Some(sub) => inside(&old(&m.source), sub).explain(what)?,
        None => old(&m.source),
    };
    if fs::metadata(&source).explain(what)?.is_dir() {
        fs::create_dir_all(&m.target).explain(what)?;
    } else if !m.target.exists() {
        if let Some(parent) = m.target.parent() {
            fs::create_dir_all(parent).explain(what)?;
        }
        fs::File::create(&m.target).explain(what)?;
    }
    bind(&source, &m.target).explain(what)
}

/// The place of a `subPath`, created as a directory when missing. It must stay inside the volume.
fn inside(volume: &Path, sub: &str) -> io::Result<PathBuf> {
    let relative = Path::new(sub);
    let climbs = relative
        .components()
        .any(|c| !matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
    if climbs {
        return Err(io::Error::other(format!(
            "subPath \"{sub}\" must be relative and without \"..\""
        )));
    }
    let path = volume.join(relative);
    if fs::symlink_metadata(&path).is_err() {
        fs::create_dir_all(&path)?;
    }
    let real = fs::canonicalize(&path)?;
    if !real.starts_with(fs::canonicalize(volume)?) {
        return Err(io::Error::other(format!(
            "subPath \"{sub}\" leads out of the volume"
        )));
    }
    Ok(real)
}

/// Makes everything read-only that must be.
fn seal(targets: &[(PathBuf, bool)], warn: &mut dyn FnMut(String)) -> Result<()> {
    let resolved: Vec<(PathBuf, bool)> = targets
        .iter()
        .map(|(t, ro)| (fs::canonicalize(t).unwrap_or_else(|_| t.clone()), *ro))
        .chain([("/dev", false), ("/proc", false), ("/sys", true)].map(|(t, ro)| (PathBuf::from(t), ro)))
        .collect();
    let table =
        fs::read_to_string("/proc/self/mountinfo").explain(|| "cannot read the mount table".to_owned())?;
    for (point, keep) in mounts_to_seal(&table, &resolved) {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | keep;
        let done = mount(None::<&str>, &point, None::<&str>, flags, None::<&str>);
        let asked = resolved.iter().any(|(t, _)| *t == point) && !point.starts_with("/sys");
        match done {
            Err(e) if asked => {
                return Err(e).explain(|| format!("cannot make {} read-only", point.display()));
            }
            Err(e) if !point.starts_with("/sys") => warn(format!("{} stays writable: {e}", point.display())),
            _ => {}
        }
    }
    Ok(())
}

/// Gives volumes to the pod's group as the kubelet does: group, group's rights, and the set-group-id bit on directories.
fn give_to_group(group: &FsGroup, warn: &mut dyn FnMut(String)) {
    for (volume, read_only) in &group.volumes {
        let rights = if *read_only { 0o440 } else { 0o660 };
        let right =
            |m: &fs::Metadata| m.gid() == group.gid && m.mode() & (0o2010 | rights) == 0o2010 | rights;
        if group.on_root_mismatch && fs::metadata(volume).is_ok_and(|m| right(&m)) {
            continue;
        }
        if let Err(e) = give_tree(volume, group.gid, rights) {
            warn(format!("fsGroup {} could not be set everywhere: {e}", group.gid));
        }
    }
}

fn give_tree(path: &Path, gid: u32, rights: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    std::os::unix::fs::lchown(path, None, Some(gid))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let add = if meta.is_dir() { 0o2110 | rights } else { rights };
    fs::set_permissions(path, Permissions::from_mode(meta.mode() & 0o7777 | add))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give_tree(&entry?.path(), gid, rights)?;
        }
    }
    Ok(())
}
