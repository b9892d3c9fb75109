//! restic's tree objects: what a directory of a snapshot holds.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustic_core::{DataId, TreeId};
use serde::Deserialize;

use crate::reader::entry::Entry;
use crate::reader::names::{shown_by_go, unquote};
use crate::reader::op::Bytes;

/// One directory.
#[derive(Deserialize)]
pub(in crate::reader) struct Tree<'a> {
    #[serde(borrow, default)]
    pub(super) nodes: Vec<Node<'a>>,
}

/// What one name stands for.
#[derive(Deserialize)]
pub(super) struct Node<'a> {
    /// In Go's quoting.
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    mode: u32,
    mtime: Option<Timestamp>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    size: u64,
    #[serde(borrow)]
    linktarget: Option<Cow<'a, str>>,
    /// base64, where the target is no UTF-8.
    #[serde(borrow)]
    linktarget_raw: Option<Cow<'a, str>>,
    pub(super) content: Option<Vec<DataId>>,
    pub(super) subtree: Option<TreeId>,
}

impl<'a> Tree<'a> {
    /// Reads a tree.
    ///
    /// # Errors
    /// When it is none.
    pub(in crate::reader) fn parse(text: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|e| format!("a tree of the repository cannot be read: {e}"))
    }
}

impl Node<'_> {
    /// The name as it is.
    pub(super) fn name(&self) -> Cow<'_, [u8]> {
        if self.name.contains('\\') {
            Cow::Owned(unquote(&self.name))
        } else {
            Cow::Borrowed(self.name.as_bytes())
        }
    }

    /// Where a symbolic link leads.
    pub(super) fn link(&self) -> Vec<u8> {
        let raw = self.linktarget_raw.as_ref();
        raw.and_then(|raw| STANDARD.decode(raw.as_bytes()).ok())
            .or_else(|| Some(self.linktarget.as_ref()?.as_bytes().to_vec()))
            .unwrap_or_default()
    }

    /// As listings have it.
    pub(super) fn entry(&self, path: &[u8]) -> Entry {
        let (shown, path_bytes) = match std::str::from_utf8(path) {
            Ok(shown) => (shown.to_owned(), None),
            Err(_) => (shown_by_go(path), Some(Bytes(path.to_vec()))),
        };
        Entry {
            path: shown,
            path_bytes,
            kind: self.kind.clone().into_owned(),
            size: self.size,
            permissions: permissions(self.mode),
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            inode: self.inode,
        }
    }
}

/// A file mode in Go's words.
fn permissions(mode: u32) -> String {
    let mut text = String::with_capacity(11);
    for (at, letter) in "dalTLDpSugct?".chars().enumerate() {
        if mode & (1 << (31 - at)) != 0 {
            text.push(letter);
        }
    }
    if text.is_empty() {
        text.push('-');
    }
    for (at, letter) in "rwxrwxrwx".chars().enumerate() {
        text.push(if mode & (1 << (8 - at)) != 0 { letter } else { '-' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_gos() {
        for (mode, text) in [
            (0o644, "-rw-r--r--"),
            (0o755 | 1 << 31, "drwxr-xr-x"),
            (0o777 | 1 << 27, "Lrwxrwxrwx"),
            (0o750 | 1 << 23, "urwxr-x---"),
            (0o777 | 1 << 31 | 1 << 20, "dtrwxrwxrwx"),
            (0o660 | 1 << 26 | 1 << 21, "Dcrw-rw----"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }

    #[test]
    fn nodes_are_read_with_true_names() {
        let text = br#"{"nodes":[{"name":"a\\xff","type":"file","mode":420,"size":3,"inode":7,"content":[]},
            {"name":"l","type":"symlink","linktarget":"x","linktarget_raw":"/w=="},{"name":"d","type":"dir"}]}"#;
        let tree = Tree::parse(text).unwrap();
        let [file, link, dir] = tree.nodes.as_slice() else {
            panic!()
        };
        assert_eq!(file.name().as_ref(), b"a\xff");
        let entry = file.entry(b"/a\xff");
        assert_eq!(
            (entry.path.as_str(), entry.bytes()),
            ("/a\u{fffd}", &b"/a\xff"[..])
        );
        assert_eq!(link.link(), b"\xff");
        assert_eq!(dir.entry(b"/d").path_bytes, None);
        assert!(Tree::parse(b"{").is_err());
    }
}
