//! Entries of a snapshot, as listings carry them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::op::Bytes;

/// One line of a listing; restic's field names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The path, with U+FFFD for bytes that are no UTF-8.
    pub path: String,
    /// The path as it is, where `path` lost something.
    #[serde(rename = "pathBytes", skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<Bytes>,
    /// `file`, `dir`, `symlink`, `fifo` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of a file.
    pub size: u64,
    /// `-rw-r--r--`.
    pub permissions: String,
    /// Go's file mode.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// When the content last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
    /// Number of the inode; equal ones are hard links of each other.
    pub inode: u64,
}

impl Entry {
    /// The path as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.path_bytes
            .as_ref()
            .map_or(self.path.as_bytes(), |bytes| bytes.0.as_slice())
    }

    /// Unix permission bits, with set-user-ID, set-group-ID and sticky, from Go's mode.
    #[must_use]
    pub fn unix_mode(&self) -> u32 {
        let mut mode = self.mode & 0o777;
        for (go, unix) in [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)] {
            if self.mode & go != 0 {
                mode |= unix;
            }
        }
        mode
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind == "dir"
    }

    /// Whether it is a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == "file"
    }

    /// Whether it can travel: a file, a directory or a symbolic link.
    #[must_use]
    pub fn travels(&self) -> bool {
        matches!(self.kind.as_str(), "file" | "dir" | "symlink")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_modes_are_unix_modes() {
        let entry = Entry {
            mode: 8_389_096,
            ..Entry::default()
        };
        assert_eq!(entry.unix_mode(), 0o4750);
    }
}
