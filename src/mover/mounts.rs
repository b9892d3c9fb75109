//! Whether a path of the container lies on a volume: what is restored beside one would vanish with the container.

/// The mount point that a path lies on, from the text of `/proc/self/mountinfo`.
#[must_use]
pub(super) fn mount_of(mountinfo: &str, path: &str) -> Option<String> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|mount| covers(mount, path))
        .max_by_key(String::len)
}

/// Whether the path lies on anything but the container's own file system. True where the system cannot tell.
#[must_use]
pub(super) fn on_a_volume(path: &str) -> bool {
    match std::fs::read_to_string("/proc/self/mountinfo") {
        Ok(mountinfo) => mount_of(&mountinfo, path).is_none_or(|mount| mount != "/"),
        Err(_) => true,
    }
}

fn covers(mount: &str, path: &str) -> bool {
    mount == "/" || path == mount || path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'))
}

/// The kernel writes blanks, tabs, newlines and backslashes as octal numbers.
fn unescape(field: &str) -> String {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\')
            .then(|| field.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            plain.push(byte);
            at += 4;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "22 1 0:20 / / rw - overlay overlay rw\n\
        23 22 8:1 /vol /data rw - ext4 /dev/sda rw\n\
        24 22 8:1 /vol /with\\040blank rw - ext4 /dev/sda rw\n\
        25 23 8:1 /vol /data/inner rw - ext4 /dev/sda rw";

    #[test]
    fn the_longest_mount_point_counts() {
        for (path, mount) in [
            ("/data/x", "/data"),
            ("/data", "/data"),
            ("/data/inner/y", "/data/inner"),
            ("/database", "/"),
            ("/with blank/x", "/with blank"),
        ] {
            assert_eq!(mount_of(INFO, path).as_deref(), Some(mount), "{path}");
        }
    }
}
