//! File names as the bytes they are.
//!
//! restic's JSON listings replace bytes that are no UTF-8 by U+FFFD, escaped as `\ufffd`, which it writes for nothing
//! else. Its tree objects keep them: names stand there in Go's quoting. So a listing is passed on as it is, and only where
//! that escape shows, the tree of the directory is read and the line gets a field `pathBytes` (base64) with the true path.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::op::Bytes;
use super::source::Opened;
use super::{Trouble, process};
use crate::api::config::job_result::JobCause;
use crate::restic::look::Look;

/// What restic writes for a byte that is no UTF-8.
pub const LOST: &[u8] = b"\\ufffd";

#[derive(Deserialize)]
struct Tree {
    #[serde(default)]
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    linktarget: String,
    /// base64, where the target is no UTF-8.
    #[serde(default)]
    linktarget_raw: Option<String>,
}

/// True names of a directory, by the name that restic shows and the inode.
type Unclaimed = HashMap<(String, u64), Vec<Vec<u8>>>;

/// Finds the true paths of one snapshot's entries.
pub struct Names {
    id: String,
    /// True paths of directories by the paths that restic shows.
    dirs: HashMap<String, Vec<u8>>,
    /// Names in trees: as shown and inode, to the true names that are still unclaimed.
    trees: HashMap<String, Unclaimed>,
}

impl Names {
    /// For one snapshot; `asked` is the path that was asked for, as people typed it.
    #[must_use]
    pub fn new(id: &str, asked: &Bytes) -> Self {
        let shown = String::from_utf8_lossy(&asked.0).into_owned();
        Names {
            id: id.to_owned(),
            // Go replaces each bad byte on its own, Rust a whole sequence: both spellings lead to the true path.
            dirs: [(shown, asked.0.clone()), (shown_by_go(&asked.0), asked.0.clone())].into(),
            trees: HashMap::new(),
        }
    }

    /// One line of a listing with its true path, where restic's is not.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn mend(&mut self, line: &[u8], opened: &Opened) -> Result<Vec<u8>, Trouble> {
        let broken = |e: serde_json::Error| Trouble::new(JobCause::Other, format!("restic's listing: {e}"));
        let mut entry: Value = serde_json::from_slice(line).map_err(broken)?;
        let shown = entry
            .get("path")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let inode = entry.get("inode").and_then(Value::as_u64).unwrap_or(0);
        let path = match self.dirs.get(&shown) {
            Some(path) => path.clone(),
            None => self.look_up(&shown, inode, opened).await?,
        };
        if entry.get("type").and_then(Value::as_str) == Some("dir") {
            self.dirs.insert(shown, path.clone());
        }
        entry["pathBytes"] = Value::String(STANDARD.encode(path));
        serde_json::to_vec(&entry).map_err(broken)
    }

    async fn look_up(&mut self, shown: &str, inode: u64, opened: &Opened) -> Result<Vec<u8>, Trouble> {
        let (parent, name) = shown.rsplit_once('/').unwrap_or(("", shown));
        let parent = if parent.is_empty() { "/" } else { parent };
        let dir = self
            .dirs
            .get(parent)
            .cloned()
            .unwrap_or_else(|| parent.as_bytes().to_vec());
        if !self.trees.contains_key(parent) {
            let tree = tree(opened, &self.id, &dir).await?;
            let mut known = Unclaimed::new();
            for node in tree.nodes.into_iter().rev() {
                let name = unquote(&node.name);
                known
                    .entry((shown_by_go(&name), node.inode))
                    .or_default()
                    .push(name);
            }
            self.trees.insert(parent.to_owned(), known);
        }
        let found = self
            .trees
            .get_mut(parent)
            .and_then(|names| names.get_mut(&(name.to_owned(), inode)))
            .and_then(Vec::pop);
        let name = found.unwrap_or_else(|| name.as_bytes().to_vec());
        let mut path = dir;
        if path != b"/" {
            path.push(b'/');
        }
        path.extend(name);
        Ok(path)
    }
}

/// What restic keeps of a directory.
async fn tree(opened: &Opened, id: &str, dir: &[u8]) -> Result<Tree, Trouble> {
    let look = Look::Tree {
        id: id.to_owned(),
        path: Bytes(dir.to_vec()).to_os(),
    };
    let text = process::captured(&look, opened).await?;
    serde_json::from_slice(&text)
        .map_err(|e| Trouble::new(JobCause::Other, format!("a tree of restic's: {e}")))
}

/// Where a symbolic link of a snapshot leads.
///
/// # Errors
/// When the tree of its directory cannot be read, or the link is not in it.
pub(super) async fn link(opened: &Opened, id: &str, path: &[u8]) -> Result<Vec<u8>, Trouble> {
    let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let dir = path.get(..at).filter(|dir| !dir.is_empty()).unwrap_or(b"/");
    let name = path.get(at + 1..).unwrap_or_default();
    let nodes = tree(opened, id, dir).await?.nodes;
    let node = nodes.into_iter().find(|node| unquote(&node.name) == name);
    let node = node.ok_or_else(|| {
        let shown = String::from_utf8_lossy(path);
        Trouble::new(JobCause::SourceMissing, format!("{shown} is not in the snapshot"))
    })?;
    let raw = node.linktarget_raw.and_then(|raw| STANDARD.decode(raw).ok());
    Ok(raw.unwrap_or_else(|| node.linktarget.into_bytes()))
}

/// Bytes as Go shows them: each byte that is no UTF-8 is a U+FFFD of its own.
#[must_use]
pub fn shown_by_go(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    shown
}

/// Undoes Go's `strconv.Quote` (without the quotes themselves).
pub(super) fn unquote(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('x') => {
                let text: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&text, 16).unwrap_or(b'?'));
            }
            Some(kind @ ('u' | 'U')) => {
                let text: String = rest.by_ref().take(if kind == 'u' { 4 } else { 8 }).collect();
                let code = u32::from_str_radix(&text, 16).unwrap_or(0xfffd);
                let c = char::from_u32(code).unwrap_or('\u{fffd}');
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some('a') => bytes.push(7),
            Some('b') => bytes.push(8),
            Some('f') => bytes.push(12),
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('v') => bytes.push(11),
            Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => bytes.push(b'\\'),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_quoting_is_undone() {
        for (quoted, plain) in [
            ("plain", &b"plain"[..]),
            (r"bad\xff\xfename", b"bad\xff\xfename"),
            (r"new\nline\ttab", b"new\nline\ttab"),
            (r#"q\"uo\\te"#, b"q\"uo\\te"),
            (r"\u200b\U000e0001", "\u{200b}\u{e0001}".as_bytes()),
        ] {
            assert_eq!(unquote(quoted), plain, "{quoted}");
        }
    }

    #[test]
    fn lost_bytes_are_counted_as_go_counts_them() {
        assert_eq!(shown_by_go(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
        assert_eq!(shown_by_go(b"\xe2\x82"), "\u{fffd}\u{fffd}");
        assert_eq!(shown_by_go("ü".as_bytes()), "ü");
    }
}
