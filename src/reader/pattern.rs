//! `--include` and `--exclude`: restic's way of matching paths, and which entries of a listing they choose.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::entry::Entry;

/// Which entries are wanted: all that match one of `only` (everything when that is empty) and none of `except`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// Only what matches one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Not what matches one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl Choice {
    /// For each entry whether it is chosen. A directory that is not named itself is chosen with something in it, so that it
    /// gets its permissions and times. Entries come depth first, each directory before what is in it.
    #[must_use]
    pub fn among(&self, entries: &[Entry]) -> Vec<bool> {
        if self.only.is_empty() && self.except.is_empty() {
            return vec![true; entries.len()];
        }
        let any = |patterns: &[String], path: &[u8]| patterns.iter().any(|p| covers(p, path));
        let mut holding: HashSet<&[u8]> = HashSet::new();
        let mut chosen = Vec::with_capacity(entries.len());
        for entry in entries.iter().rev() {
            let path = entry.bytes();
            let named = self.only.is_empty() || any(&self.only, path);
            let one = (named || holding.contains(path)) && !any(&self.except, path);
            if one && let Some(slash) = path.iter().rposition(|b| *b == b'/') {
                holding.insert(path.get(..slash).unwrap_or_default());
            }
            chosen.push(one);
        }
        chosen.reverse();
        chosen
    }
}

/// Whether a pattern matches a path or a directory above it. A pattern with a leading slash is matched from the top, any
/// other at any depth; `*` and `?` stay within a name, `**` crosses directories, `[a-z]` and `[^a-z]` are one character.
#[must_use]
pub fn covers(pattern: &str, path: &[u8]) -> bool {
    Pattern::new(pattern.as_bytes(), false).is_ok_and(|pattern| pattern.covers(path))
}

/// A path as a pattern that matches it alone.
#[must_use]
pub fn literally(path: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(path.len());
    for byte in path {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

/// A pattern that was read.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// It is matched from the top.
    rooted: bool,
    ignore_case: bool,
    parts: Vec<Part>,
}

/// What stands between two slashes.
#[derive(Clone, Debug)]
enum Part {
    /// `**`: as many directories as there are.
    Any,
    Name(Vec<Atom>),
}

#[derive(Clone, Debug)]
enum Atom {
    /// `*`
    Some,
    /// `?`
    One,
    Byte(u8),
    /// `[a-z]`: one character in one of these ranges, or in none where `not`.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Reads a pattern; with `ignore_case` capitals and small letters match each other.
    ///
    /// # Errors
    /// A sentence, where a class in brackets has no end.
    pub fn new(pattern: &[u8], ignore_case: bool) -> Result<Self, String> {
        let small;
        let mut text = pattern;
        if ignore_case {
            small = lower(pattern);
            text = &small;
        }
        let mut parts = Vec::new();
        for part in split(text) {
            parts.push(match part {
                b"**" => Part::Any,
                name => Part::Name(atoms(name).ok_or_else(|| {
                    let shown = String::from_utf8_lossy(pattern);
                    format!("{shown} is no pattern: a [ needs characters and a ] after it, or a \\ before it")
                })?),
            });
        }
        Ok(Pattern {
            rooted: text.starts_with(b"/"),
            ignore_case,
            parts,
        })
    }

    /// Whether it matches the path or a directory above it.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        self.on(path, |names| {
            let starts = if self.rooted { 0..1 } else { 0..names.len() };
            !self.parts.is_empty()
                && starts
                    .into_iter()
                    .any(|start| begins(&self.parts, names.get(start..).unwrap_or_default()))
        })
    }

    /// Whether it can match something below a directory.
    #[must_use]
    pub fn leads_into(&self, dir: &[u8]) -> bool {
        !self.rooted || self.on(dir, |names| leads(&self.parts, names))
    }

    fn on(&self, path: &[u8], ask: impl Fn(&[&[u8]]) -> bool) -> bool {
        if self.ignore_case {
            ask(&split(&lower(path)).collect::<Vec<_>>())
        } else {
            ask(&split(path).collect::<Vec<_>>())
        }
    }
}

fn split(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty())
}

/// Small letters; what is no UTF-8 stays what it is.
fn lower(text: &[u8]) -> Vec<u8> {
    let mut small = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        small.extend_from_slice(chunk.valid().to_lowercase().as_bytes());
        small.extend_from_slice(chunk.invalid());
    }
    small
}

/// Whether the names begin with these parts.
fn begins(parts: &[Part], names: &[&[u8]]) -> bool {
    match parts.split_first() {
        None => true,
        Some((Part::Any, rest)) => {
            (0..=names.len()).any(|skip| begins(rest, names.get(skip..).unwrap_or_default()))
        }
        Some((Part::Name(atoms), rest)) => names
            .split_first()
            .is_some_and(|(name, names)| matches(atoms, name) && begins(rest, names)),
    }
}

/// Whether more names after these can make them begin with the parts.
fn leads(parts: &[Part], names: &[&[u8]]) -> bool {
    match (parts.split_first(), names.split_first()) {
        (None | Some((Part::Any, _)), _) | (_, None) => true,
        (Some((Part::Name(atoms), rest)), Some((name, names))) => matches(atoms, name) && leads(rest, names),
    }
}

/// The atoms of one name; `None`: a class has no end.
fn atoms(name: &[u8]) -> Option<Vec<Atom>> {
    let mut atoms = Vec::new();
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        atoms.push(match byte {
            b'*' => Atom::Some,
            b'?' => Atom::One,
            b'[' => {
                let (class, after) = class(rest)?;
                rest = after;
                class
            }
            b'\\' => match rest.split_first() {
                Some((byte, after)) => {
                    rest = after;
                    Atom::Byte(*byte)
                }
                None => Atom::Byte(b'\\'),
            },
            byte => Atom::Byte(*byte),
        });
    }
    Some(atoms)
}

/// The class that begins after a bracket, and what comes after it.
fn class(text: &[u8]) -> Option<(Atom, &[u8])> {
    let (not, mut rest) = match text.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty()
            && let Some(after) = rest.strip_prefix(b"]")
        {
            return Some((Atom::Class { not, ranges }, after));
        }
        let (low, after) = member(rest)?;
        let (high, after) = match after.strip_prefix(b"-") {
            Some(after) => member(after)?,
            None => (low, after),
        };
        ranges.push((low, high));
        rest = after;
    }
}

/// One character of a class, which may stand after a backslash.
fn member(text: &[u8]) -> Option<(char, &[u8])> {
    let (escaped, text) = match text.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (c, rest) = character(text)?;
    (escaped || !matches!(c, '-' | ']')).then_some((c, rest))
}

/// The first character; a byte that is no UTF-8 counts as one.
fn character(text: &[u8]) -> Option<(char, &[u8])> {
    let chunk = text.get(..text.len().min(4))?.utf8_chunks().next()?;
    let (c, length) = match chunk.valid().chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    };
    Some((c, text.get(length..)?))
}

/// One name against the atoms: what does not fit after the last `*` is tried again one character later.
fn matches(atoms: &[Atom], name: &[u8]) -> bool {
    let (mut at, mut rest) = (0, name);
    let mut again: Option<(usize, &[u8])> = None;
    loop {
        let fits = match atoms.get(at) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Atom::Some) => {
                again = Some((at, rest));
                at += 1;
                continue;
            }
            Some(Atom::One) => character(rest).map(|(_, after)| after),
            Some(Atom::Byte(byte)) => rest.strip_prefix(std::slice::from_ref(byte)),
            Some(Atom::Class { not, ranges }) => character(rest)
                .filter(|(c, _)| ranges.iter().any(|(low, high)| low <= c && c <= high) != *not)
                .map(|(_, after)| after),
        };
        match (fits, again) {
            (Some(after), _) => {
                rest = after;
                at += 1;
            }
            (None, Some((star, from))) => {
                let Some((_, later)) = character(from) else {
                    return false;
                };
                again = Some((star, later));
                (at, rest) = (star + 1, later);
            }
            (None, None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_with_what_is_chosen_in_them() {
        let all = [
            "dir /d",
            "dir /d/a",
            "file /d/a/x.yaml",
            "file /d/a/y",
            "dir /d/b",
            "file /d/b/z",
        ];
        let entries: Vec<Entry> = all
            .iter()
            .map(|line| {
                let (kind, path) = line.split_once(' ').unwrap();
                Entry {
                    path: path.into(),
                    kind: kind.into(),
                    ..Entry::default()
                }
            })
            .collect();
        let chosen = |only: &[&str], except: &[&str]| -> Vec<&str> {
            let texts = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect();
            let choice = Choice {
                only: texts(only),
                except: texts(except),
            };
            let chosen = choice.among(&entries);
            all.iter()
                .zip(chosen)
                .filter(|(_, yes)| *yes)
                .map(|(line, _)| *line)
                .collect()
        };
        assert_eq!(chosen(&[], &[]), all);
        assert_eq!(
            chosen(&["*.yaml"], &[]),
            ["dir /d", "dir /d/a", "file /d/a/x.yaml"]
        );
        assert_eq!(chosen(&["b"], &[]), ["dir /d", "dir /d/b", "file /d/b/z"]);
        assert_eq!(chosen(&[], &["a"]), ["dir /d", "dir /d/b", "file /d/b/z"]);
        assert!(chosen(&["*.txt"], &[]).is_empty());
    }

    #[test]
    fn a_search_enters_only_what_can_hold_a_match() {
        let leads = |pattern: &str, dir: &str| {
            Pattern::new(pattern.as_bytes(), false)
                .unwrap()
                .leads_into(dir.as_bytes())
        };
        assert!(leads("x", "/a/b"));
        assert!(leads("/a/*/c", "/a"));
        assert!(leads("/a/*/c", "/a/b"));
        assert!(!leads("/a/*/c", "/b"));
        assert!(!leads("/a/*/c", "/a/b/d"));
        assert!(leads("/a/**/c", "/a/b/d"));
        assert!(leads("/a", "/a/b"), "what lies in a match is one");
    }

    #[test]
    fn capitals_match_where_they_may() {
        let covers = |pattern: &str, ignore: bool| {
            Pattern::new(pattern.as_bytes(), ignore)
                .unwrap()
                .covers("/Data/ÜBER.txt".as_bytes())
        };
        assert!(covers("über*", true) && covers("ÜBER*", true) && covers("[ÜX]BER*", true));
        assert!(!covers("über*", false));
    }

    #[test]
    fn a_class_without_an_end_is_refused_in_words() {
        let why = Pattern::new(b"a[b", false).unwrap_err();
        assert!(why.starts_with("a[b is no pattern"), "{why}");
    }

    #[test]
    fn a_path_matches_itself_alone() {
        assert_eq!(literally(b"/a[1]*"), b"/a\\[1\\]\\*");
    }

    #[test]
    fn patterns_match_as_restics_do() {
        for (pattern, path, wanted) in [
            ("*.yaml", "/data/config/app.yaml", true),
            ("*.yaml", "/data/app.yaml.bak", false),
            ("config", "/data/config/app.yaml", true),
            ("/data/config", "/data/config/deep/x", true),
            ("/config", "/data/config", false),
            ("data/*/x", "/a/data/b/x/y", true),
            ("/data/**/x", "/data/a/b/x", true),
            ("?.txt", "/d/a.txt", true),
            ("?.txt", "/d/ab.txt", false),
            ("a\\*b", "/a*b", true),
            ("a\\*b", "/axb", false),
            ("", "/a", false),
            ("/", "/a", false),
            ("?.txt", "/d/ü.txt", true),
            ("[a-c]?", "/d/bx", true),
            ("[a-c]?", "/d/dx", false),
            ("[^a-c]x", "/d/dx", true),
            ("[^ä]x", "/d/äx", false),
            ("[\\]-]x", "/d/]x", false),
            ("[\\]]x", "/d/]x", true),
            ("[]a]x", "/d/ax", false),
            ("[a", "/d/[a", false),
            ("*a*b*c", "/xaxbxbxc", true),
            ("*a*b*c", "/xaxcxbx", false),
            ("**/x", "/a/b/x", true),
            ("**", "/a", true),
        ] {
            assert_eq!(covers(pattern, path.as_bytes()), wanted, "{pattern} {path}");
        }
    }
}
