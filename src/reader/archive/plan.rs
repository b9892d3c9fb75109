//! In which runs of restic the content of a listing is fetched.
//!
//! `restic dump` reads file by file, `restic restore` reads packs, many at once: for small files the latter is several
//! times as fast, but it needs room for what it writes. So the tree is cut into batches that fit into the room there is;
//! each is restored into the scratch volume while it is streamed from there. A file that is larger than the room is dumped.

use std::ops::Range;

use crate::reader::entry::Entry;

/// The most names that one run is told: each is compared with each file.
const NAMES: usize = 400;
/// A directory of which this share or more is wanted is fetched as a whole.
const SHARE: u64 = 4;
/// And any that is not larger than this.
const SMALL: u64 = 16 << 20;

/// One step on the way through a listing; steps follow each other without gaps in what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Entries that have no content: directories.
    Bare(Range<usize>),
    /// One file, by `restic dump`.
    Dump(usize),
    /// Entries that one run of `restic restore` fetches.
    Restore(Batch),
}

/// One run of `restic restore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// Index of the directory; `None`: the top of the listing.
    pub(super) base: Option<usize>,
    /// Indices of the entries in it that are fetched with all that is in them; empty: everything.
    pub(super) names: Vec<usize>,
    /// The entries that are streamed from it.
    pub(super) range: Range<usize>,
}

/// What is known about the subtree of each entry.
struct Tree<'a> {
    entries: &'a [Entry],
    chosen: &'a [bool],
    /// One past the last entry of the subtree.
    ends: Vec<usize>,
    /// Room that the whole subtree takes.
    room: Vec<u64>,
    /// Room of what is chosen in it.
    wanted: Vec<u64>,
    /// Whether anything is chosen in it.
    any: Vec<bool>,
    /// Whether all of it can be restored by anybody: no devices, pipes or sockets.
    plain: Vec<bool>,
}

/// The steps for the chosen ones of `entries`, which come depth first, with so much room for one batch. Entries that are no
/// file, directory or link are left out.
pub(super) fn steps(entries: &[Entry], chosen: &[bool], room: u64) -> Vec<Step> {
    let tree = Tree::new(entries, chosen);
    let mut steps = Vec::new();
    match entries.first() {
        // The directory that was asked for is the first entry; only the root has none.
        Some(first) if first.is_dir() && tree.ends.first() == Some(&entries.len()) => {
            if tree.fits(0, room) {
                steps.push(Step::Restore(Batch {
                    base: Some(0),
                    names: Vec::new(),
                    range: 0..entries.len(),
                }));
            } else if tree.any.first() == Some(&true) {
                steps.push(Step::Bare(0..1));
                tree.descend(Some(0), 1..entries.len(), room, &mut steps);
            }
        }
        _ => tree.descend(None, 0..entries.len(), room, &mut steps),
    }
    steps
}

impl<'a> Tree<'a> {
    fn new(entries: &'a [Entry], chosen: &'a [bool]) -> Self {
        let count = entries.len();
        let mut tree = Tree {
            entries,
            chosen,
            ends: (1..=count).collect(),
            room: entries.iter().map(room_of).collect(),
            wanted: Vec::new(),
            any: chosen.to_vec(),
            plain: entries.iter().map(Entry::travels).collect(),
        };
        let wanted = |(room, yes): (&u64, &bool)| if *yes { *room } else { 0 };
        tree.wanted = tree.room.iter().zip(chosen).map(wanted).collect();
        // The directories that are open at each entry.
        let mut open: Vec<usize> = Vec::new();
        for at in 0..=count {
            let path = entries.get(at).map(Entry::bytes);
            while let Some(&top) = open.last() {
                let inside = path.is_some_and(|path| within(path, self::path(entries, top)));
                if inside {
                    break;
                }
                open.pop();
                tree.close(top, open.last().copied(), at);
            }
            if entries.get(at).is_some_and(Entry::is_dir) {
                open.push(at);
            } else if let (Some(&parent), true) = (open.last(), at < count) {
                tree.add(at, parent);
            }
        }
        tree
    }

    fn close(&mut self, at: usize, parent: Option<usize>, end: usize) {
        if let Some(slot) = self.ends.get_mut(at) {
            *slot = end;
        }
        if let Some(parent) = parent {
            self.add(at, parent);
        }
    }

    fn add(&mut self, child: usize, parent: usize) {
        for sums in [&mut self.room, &mut self.wanted] {
            let more = sums.get(child).copied().unwrap_or_default();
            if let Some(sum) = sums.get_mut(parent) {
                *sum = sum.saturating_add(more);
            }
        }
        let (any, plain) = (flag(&self.any, child), flag(&self.plain, child));
        if let Some(slot) = self.any.get_mut(parent) {
            *slot |= any;
        }
        if let Some(slot) = self.plain.get_mut(parent) {
            *slot &= plain;
        }
    }

    fn number(numbers: &[u64], at: usize) -> u64 {
        numbers.get(at).copied().unwrap_or_default()
    }

    /// Whether the whole subtree is worth one run and has room.
    fn fits(&self, at: usize, room: u64) -> bool {
        let (all, wanted) = (Self::number(&self.room, at), Self::number(&self.wanted, at));
        flag(&self.plain, at) && flag(&self.any, at) && all <= room && (all <= SMALL || wanted >= all / SHARE)
    }

    /// The steps for the entries in a directory.
    fn descend(&self, base: Option<usize>, range: Range<usize>, room: u64, steps: &mut Vec<Step>) {
        let (mut names, mut used, mut from) = (Vec::new(), 0, range.start);
        let flush = |names: &mut Vec<usize>, used: &mut u64, range: Range<usize>, steps: &mut Vec<Step>| {
            if !names.is_empty() {
                steps.push(Step::Restore(Batch {
                    base,
                    names: std::mem::take(names),
                    range,
                }));
            }
            *used = 0;
        };
        let mut at = range.start;
        while at < range.end {
            let Some(entry) = self.entries.get(at) else { break };
            let end = self.ends.get(at).copied().unwrap_or(at + 1).max(at + 1);
            let takes = Self::number(&self.room, at);
            if !flag(&self.any, at) || !entry.travels() {
                at = end;
                continue;
            }
            if self.fits(at, room) {
                if used + takes > room || names.len() >= NAMES {
                    flush(&mut names, &mut used, from..at, steps);
                    from = at;
                }
                if names.is_empty() {
                    from = at;
                }
                names.push(at);
                used += takes;
            } else {
                flush(&mut names, &mut used, from..at, steps);
                if entry.is_dir() {
                    steps.push(Step::Bare(at..at + 1));
                    self.descend(Some(at), at + 1..end, room, steps);
                } else if flag(self.chosen, at) {
                    steps.push(Step::Dump(at));
                }
            }
            at = end;
        }
        flush(&mut names, &mut used, from..range.end, steps);
    }
}

fn flag(flags: &[bool], at: usize) -> bool {
    flags.get(at).copied().unwrap_or_default()
}

fn path(entries: &[Entry], at: usize) -> &[u8] {
    entries.get(at).map(Entry::bytes).unwrap_or_default()
}

fn within(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The room that an entry takes in the scratch volume: whole blocks and one for itself.
fn room_of(entry: &Entry) -> u64 {
    let content = if entry.is_file() { entry.size } else { 0 };
    content.next_multiple_of(4096).saturating_add(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(lines: &[(&str, &str, u64)]) -> Vec<Entry> {
        lines
            .iter()
            .map(|(kind, path, size)| Entry {
                kind: (*kind).into(),
                path: (*path).into(),
                size: *size,
                ..Entry::default()
            })
            .collect()
    }

    /// Steps in short: `d` bare, `f` dumped, `base{names}from..to` restored.
    fn told(entries: &[Entry], chosen: &[bool], room: u64) -> Vec<String> {
        let short = |at: usize| entries[at].path.rsplit('/').next().unwrap().to_owned();
        steps(entries, chosen, room)
            .into_iter()
            .map(|step| match step {
                Step::Bare(range) => format!("bare {}", short(range.start)),
                Step::Dump(at) => format!("dump {}", short(at)),
                Step::Restore(b) => format!(
                    "{}{{{}}} {}..{}",
                    b.base.map_or("/".to_owned(), short),
                    b.names.into_iter().map(short).collect::<Vec<_>>().join(","),
                    b.range.start,
                    b.range.end
                ),
            })
            .collect()
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_tree_is_cut_into_what_there_is_room_for() {
        let entries = listing(&[
            ("dir", "/d", 0),
            ("file", "/d/a", 40 * MIB),
            ("dir", "/d/b", 0),
            ("file", "/d/b/x", 30 * MIB),
            ("file", "/d/b/y", 30 * MIB),
            ("file", "/d/c", 10 * MIB),
            ("file", "/d/huge", 500 * MIB),
            ("dir", "/d/wide", 0),
            ("file", "/d/wide/1", 60 * MIB),
            ("file", "/d/wide/2", 60 * MIB),
        ]);
        let all = vec![true; entries.len()];
        assert_eq!(told(&entries, &all, 10_000 * MIB), ["d{} 0..10"]);
        assert_eq!(
            told(&entries, &all, 100 * MIB),
            [
                "bare d",
                "d{a} 1..2",
                "d{b,c} 2..6",
                "dump huge",
                "bare wide",
                "wide{1} 8..9",
                "wide{2} 9..10"
            ]
        );
        assert_eq!(
            told(&entries[1..6], &all, 200 * MIB),
            ["/{a,b,c} 0..5"],
            "the root has no entry"
        );
    }

    #[test]
    fn what_nobody_wants_and_what_cannot_be_made_is_not_fetched() {
        let entries = listing(&[
            ("dir", "/d", 0),
            ("file", "/d/a", 400 * MIB),
            ("dir", "/d/b", 0),
            ("file", "/d/b/x", 30 * MIB),
            ("fifo", "/d/b/y", 0),
            ("file", "/d/b/z", 1),
        ]);
        let some = [true, false, true, true, true, true];
        assert_eq!(
            told(&entries, &some, 1000 * MIB),
            ["bare d", "bare b", "b{x,z} 3..6"],
            "pipes are stepped over"
        );
        let none = [false; 6];
        assert!(told(&entries, &none, 1000 * MIB).is_empty());
        let last = [true, false, true, false, false, true];
        assert_eq!(
            told(&entries, &last, 1000 * MIB),
            ["bare d", "bare b", "b{z} 5..6"]
        );
    }

    #[test]
    fn a_directory_that_begins_like_another_is_not_in_it() {
        let entries = listing(&[("dir", "/a", 0), ("file", "/a.txt", 1), ("dir", "/b", 0)]);
        let tree = Tree::new(&entries, &[true; 3]);
        assert_eq!(tree.ends, [1, 2, 3]);
    }
}
