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
/// other at any depth; `*` and `?` stay within a name, `**` crosses directories.
#[must_use]
pub fn covers(pattern: &str, path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|s| !s.is_empty()).collect();
    let wanted: Vec<&[u8]> = pattern
        .as_bytes()
        .split(|b| *b == b'/')
        .filter(|s| !s.is_empty())
        .collect();
    if wanted.is_empty() {
        return false;
    }
    let starts = if pattern.starts_with('/') {
        0..1
    } else {
        0..parts.len()
    };
    starts
        .into_iter()
        .any(|start| begins(&wanted, parts.get(start..).unwrap_or_default()))
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

/// Whether the names begin with what is wanted.
fn begins(wanted: &[&[u8]], names: &[&[u8]]) -> bool {
    match wanted.split_first() {
        None => true,
        Some((&b"**", rest)) => {
            (0..=names.len()).any(|skip| begins(rest, names.get(skip..).unwrap_or_default()))
        }
        Some((first, rest)) => names
            .split_first()
            .is_some_and(|(name, names)| matches(first, name) && begins(rest, names)),
    }
}

/// One name against one pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => {
            (0..=name.len()).any(|skip| matches(rest, name.get(skip..).unwrap_or_default()))
        }
        Some((b'?', rest)) => name.split_first().is_some_and(|(_, name)| matches(rest, name)),
        Some((b'\\', rest)) if !rest.is_empty() => literal(rest, name),
        Some(_) => literal(pattern, name),
    }
}

fn literal(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (Some((a, pattern)), Some((b, name))) => a == b && matches(pattern, name),
        _ => false,
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
        ] {
            assert_eq!(covers(pattern, path.as_bytes()), wanted, "{pattern} {path}");
        }
    }
}
