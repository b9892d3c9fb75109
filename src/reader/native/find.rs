//! Searches the trees of many snapshots; a directory that is the same in several is read once.

use std::collections::HashMap;
use std::sync::Arc;

use rustic_core::TreeId;
use serde::Serialize;

use super::walk::{DEPTH, too_deep};
use super::{Native, Tree};
use crate::reader::entry::Entry;
use crate::reader::pattern::Pattern;

/// What was found in one snapshot, as restic says it.
#[derive(Serialize)]
pub(in crate::reader) struct Hits {
    matches: Vec<Entry>,
    hits: usize,
    snapshot: String,
}

/// What matches in a directory and below it.
struct Found {
    own: Vec<Hit>,
    count: usize,
}

enum Hit {
    Entry(Box<Entry>),
    Below(Arc<Found>),
}

/// What is looked for, and what was found so far.
pub(in crate::reader) struct Search<'a> {
    native: &'a Native,
    patterns: &'a [Pattern],
    /// The same directory in the same place holds the same matches.
    known: HashMap<(TreeId, Vec<u8>), Arc<Found>>,
}

impl<'a> Search<'a> {
    pub(in crate::reader) fn new(native: &'a Native, patterns: &'a [Pattern]) -> Self {
        Search {
            native,
            patterns,
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
                found.own.push(Hit::Entry(Box::new(node.entry(dir))));
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

fn gather(found: &Found, all: &mut Vec<Entry>) {
    for hit in &found.own {
        match hit {
            Hit::Entry(entry) => all.push((**entry).clone()),
            Hit::Below(below) => gather(below, all),
        }
    }
}
