//! Entries of a snapshot, as listings carry them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

pub use crate::reader::entry::Entry;

impl Entry {
    /// As it is promised in outputs.
    pub fn view(&self, component: &str) -> EntryView {
        EntryView {
            component: component.to_owned(),
            path: self.path.clone(),
            path_base64: self
                .path_bytes
                .as_ref()
                .and_then(|b| serde_json::to_value(b).ok()?.as_str().map(str::to_owned)),
            kind: self.kind.clone(),
            size: (self.kind == "file").then_some(self.size),
            mode: format!("{:04o}", self.unix_mode()),
            uid: self.uid,
            gid: self.gid,
            modified: self.mtime,
        }
    }
}

/// One file, directory or link in a snapshot.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// The component that it belongs to.
    component: String,
    /// Its path when it was backed up; bytes that are no UTF-8 show as U+FFFD.
    path: String,
    /// The path as it is, in base64, where `path` lost something.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    /// file, dir, symlink, fifo, socket, dev or chardev.
    #[serde(rename = "type")]
    kind: String,
    /// Bytes, for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Permissions as four octal digits.
    mode: String,
    /// Numeric owner.
    uid: u32,
    /// Numeric group.
    gid: u32,
    /// When the content last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    modified: Option<Timestamp>,
}

/// The bytes of a path as somebody typed it.
pub fn typed(path: &std::ffi::OsStr) -> Vec<u8> {
    #[cfg(unix)]
    {
        std::os::unix::ffi::OsStrExt::as_bytes(path).to_vec()
    }
    #[cfg(not(unix))]
    {
        path.to_string_lossy().replace('\\', "/").into_bytes()
    }
}

/// A path on a line of its own: control characters and bytes that are no UTF-8 are escaped, so that no name can break a
/// line or speak to the terminal.
pub fn shown(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_lines() {
        assert_eq!(shown(b"/a\n\x1b[31mb\xff\\"), "/a\\n\\u{1b}[31mb\\xff\\\\");
        assert_eq!(shown("/größe".as_bytes()), "/größe");
    }
}
