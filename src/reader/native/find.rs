//! Searches the trees of many snapshots; a directory that is the same in several is read once.

use std::collections::HashMap;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustic_core::{BlobId, TreeId};
use serde::Serialize;

use super::tree::Node;
use super::walk::{DEPTH, too_deep};
use super::{Native, Tree};
use crate::reader::entry::Entry;
use crate::reader::pattern::Pattern;
use crate::reader::perform::hex;

/// What was found in one snapshot, as restic says it.
#[derive(Serialize)]
pub(in crate::reader) struct Hits {
    matches: Vec<Match>,
    hits: usize,
    snapshot: String,
}

/// An entry that matches.
#[derive(Clone, Serialize)]
struct Match {
    #[serde(flatten)]
    entry: Entry,
    /// What restic does not say: see [`content`].
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

/// What matches in a directory and below it.
struct Found {
    own: Vec<Hit>,
    count: usize,
}

enum Hit {
    Match(Box<Match>),
    Below(Arc<Found>),
}

/// What is looked for, and what was found so far.
pub(in crate::reader) struct Search<'a> {
    native: &'a Native,
    patterns: &'a [Pattern],
    /// Whether matches tell what identifies their content.
    contents: bool,
    /// The same directory in the same place holds the same matches.
    known: HashMap<(TreeId, Vec<u8>), Arc<Found>>,
}

impl<'a> Search<'a> {
    pub(in crate::reader) fn new(native: &'a Native, patterns: &'a [Pattern], contents: bool) -> Self {
        Search {
            native,
            patterns,
            contents,
            known: HashMap::new(),
        }
    }

    /// Searches the snapshots, all when none are named, and hands on what was found in one after the other, until `take`
    /// wants no more.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(in crate::reader) fn run(
        &mut self,
        ids: &[String],
        take: &mut dyn FnMut(Hits) -> bool,
    ) -> Result<(), String> {
        for (snapshot, tree) in self.native.roots(ids)? {
            let found = self.tree(tree, &mut Vec::new(), DEPTH)?;
            if found.count == 0 {
                continue;
            }
            let mut matches = Vec::with_capacity(found.count);
            gather(&found, &mut matches);
            let hits = matches.len();
            if !take(Hits {
                matches,
                hits,
                snapshot,
            }) {
                break;
            }
        }
        Ok(())
    }

    fn tree(&mut self, tree: TreeId, dir: &mut Vec<u8>, deep: usize) -> Result<Arc<Found>, String> {
        let place = (tree, dir.clone());
        if let Some(found) = self.known.get(&place) {
            return Ok(found.clone());
        }
        let text = self.native.tree(tree)?;
        let mut found = Found {
            own: Vec::new(),
            count: 0,
        };
        for node in Tree::parse(&text)?.nodes {
            let above = dir.len();
            dir.push(b'/');
            dir.extend_from_slice(&node.name());
            if self.patterns.iter().any(|pattern| pattern.covers(dir)) {
                found.own.push(Hit::Match(Box::new(Match {
                    entry: node.entry(dir),
                    content: content(&node).filter(|_| self.contents),
                })));
                found.count += 1;
            }
            if let Some(subtree) = node.subtree
                && self.patterns.iter().any(|pattern| pattern.leads_into(dir))
            {
                let deeper = deep.checked_sub(1).ok_or_else(too_deep)?;
                let below = self.tree(subtree, dir, deeper)?;
                if below.count > 0 {
                    found.count += below.count;
                    found.own.push(Hit::Below(below));
                }
            }
            dir.truncate(above);
        }
        let found = Arc::new(found);
        self.known.insert(place, found.clone());
        Ok(found)
    }
}

/// What identifies the content of a file, or where a symbolic link leads, within a repository: a hash of the hashes of its
/// pieces, or of the link.
fn content(node: &Node<'_>) -> Option<String> {
    let mut digest = Context::new(&SHA256);
    match node.kind.as_ref() {
        "file" => {
            for piece in node.content.iter().flatten() {
                digest.update(BlobId::from(*piece).to_hex().as_str().as_bytes());
            }
        }
        "symlink" => digest.update(&node.link()),
        _ => return None,
    }
    Some(hex(digest.finish().as_ref()))
}

fn gather(found: &Found, all: &mut Vec<Match>) {
    for hit in &found.own {
        match hit {
            Hit::Match(one) => all.push((**one).clone()),
            Hit::Below(below) => gather(below, all),
        }
    }
}
