//! What a listing says about a file beside its content: set, and compared.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::cli::inside::entry::Entry;

/// Whether it was changed when the entry says.
pub(super) fn same_time(found: &fs::Metadata, entry: &Entry) -> bool {
    let Some(wanted) = entry.mtime else { return false };
    found
        .modified()
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok())
        .is_some_and(|time| time == wanted)
}

/// Whether both are links of one file.
pub(super) fn same_file(first: &Path, second: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (first, second) = (fs::metadata(first)?, fs::metadata(second)?);
        Ok((first.dev(), first.ino()) == (second.dev(), second.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (first, second);
        Ok(false)
    }
}

/// Whether both hold the same bytes.
pub(super) fn same_content(first: &Path, second: &Path) -> io::Result<bool> {
    use std::io::Read;
    let (mut first, mut second) = (File::open(first)?, File::open(second)?);
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = first.read(&mut a)?;
        let part = b.get_mut(..count).unwrap_or_default();
        if count == 0 {
            return Ok(second.read(&mut b)? == 0);
        }
        if second.read_exact(part).is_err() || a.get(..count) != b.get(..count) {
            return Ok(false);
        }
    }
}

/// Gives a file, directory or link what its entry says: permissions, owner (where we may) and time.
pub(super) fn attributes(place: &Path, entry: &Entry) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if is_root() {
            std::os::unix::fs::lchown(place, Some(entry.uid), Some(entry.gid))?;
        }
        if entry.kind != "symlink" {
            fs::set_permissions(place, fs::Permissions::from_mode(entry.unix_mode()))?;
        }
    }
    let Some(mtime) = entry.mtime else { return Ok(()) };
    if entry.kind == "symlink" {
        return link_time(place, mtime);
    }
    #[cfg(target_os = "linux")]
    return set_time(place, mtime, true);
    #[cfg(not(target_os = "linux"))]
    {
        let times = fs::FileTimes::new().set_modified(mtime.into());
        File::options().read(true).open(place)?.set_times(times)
    }
}

#[cfg(target_os = "linux")]
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_root() -> bool {
    false
}

/// By path, as a file may be closed to its own owner.
#[cfg(target_os = "linux")]
fn set_time(place: &Path, time: jiff::Timestamp, _file: bool) -> io::Result<()> {
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::TimeSpec;
    let spec = TimeSpec::new(time.as_second(), i64::from(time.subsec_nanosecond()));
    utimensat(
        nix::fcntl::AT_FDCWD,
        place,
        &spec,
        &spec,
        UtimensatFlags::NoFollowSymlink,
    )
    .map_err(io::Error::from)
}

#[cfg(target_os = "linux")]
fn link_time(place: &Path, time: jiff::Timestamp) -> io::Result<()> {
    set_time(place, time, false)
}

#[cfg(not(target_os = "linux"))]
fn link_time(_place: &Path, _time: jiff::Timestamp) -> io::Result<()> {
    Ok(())
}
