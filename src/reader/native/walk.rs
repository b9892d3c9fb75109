//! Walks the trees of one snapshot.

use rustic_core::{DataId, TreeId};

use super::tree::Node;
use super::{Native, Tree};
use crate::reader::entry::Entry;

/// No directories lie deeper.
pub(super) const DEPTH: usize = 1024;

/// Why a walk has ended early.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The path is not in the snapshot.
    Missing,
    /// Nobody wants more.
    Enough,
    /// The repository cannot be read.
    Broken(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Stop::Broken(why)
    }
}

/// What lies behind an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// The pieces of a file; `None`: it is none.
    pub blobs: Option<Vec<DataId>>,
    /// Where a symbolic link leads.
    pub link: Vec<u8>,
}

type Take<'a> = dyn FnMut(Entry, Inside) -> bool + 'a;

impl Native {
    /// The entries at and below a path, depth first, each directory before what is in it; the path itself first, unless it is
    /// the root. Without `below` only the path and what lies right in it.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or `take` wants no more.
    pub(in crate::reader) fn walk(
        &self,
        id: &str,
        path: &[u8],
        below: bool,
        take: &mut Take<'_>,
    ) -> Result<(), Stop> {
        let mut tree = self.root(id)?;
        let mut at = Vec::new();
        let mut names = path
            .split(|b| *b == b'/')
            .filter(|name| !name.is_empty())
            .peekable();
        while let Some(name) = names.next() {
            let text = self.tree(tree)?;
            let nodes = Tree::parse(&text)?.nodes;
            let node = nodes
                .iter()
                .find(|node| node.name().as_ref() == name)
                .ok_or(Stop::Missing)?;
            at.push(b'/');
            at.extend_from_slice(name);
            if names.peek().is_none() && !take(node.entry(&at), inside(node)) {
                return Err(Stop::Enough);
            }
            tree = match node.subtree {
                Some(subtree) => subtree,
                None if names.peek().is_none() => return Ok(()),
                None => return Err(Stop::Missing),
            };
        }
        self.descend(tree, &mut at, DEPTH, below, take)
    }

    fn descend(
        &self,
        tree: TreeId,
        dir: &mut Vec<u8>,
        deep: usize,
        below: bool,
        take: &mut Take<'_>,
    ) -> Result<(), Stop> {
        let text = self.tree(tree)?;
        for node in Tree::parse(&text)?.nodes {
            let above = dir.len();
            dir.push(b'/');
            dir.extend_from_slice(&node.name());
            if !take(node.entry(dir), inside(&node)) {
                return Err(Stop::Enough);
            }
            if let Some(subtree) = node.subtree.filter(|_| below) {
                let deeper = deep.checked_sub(1).ok_or_else(too_deep)?;
                self.descend(subtree, dir, deeper, below, take)?;
            }
            dir.truncate(above);
        }
        Ok(())
    }
}

pub(super) fn too_deep() -> String {
    format!("its directories lie more than {DEPTH} deep")
}

fn inside(node: &Node<'_>) -> Inside {
    match node.kind.as_ref() {
        "file" => Inside {
            blobs: Some(node.content.clone().unwrap_or_default()),
            link: Vec::new(),
        },
        "symlink" => Inside {
            blobs: None,
            link: node.link(),
        },
        _ => Inside::default(),
    }
}
