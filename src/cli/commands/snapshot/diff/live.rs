//! `snapshot diff A live`: a Snapshot and the volume that it is of, as that is now.
//!
//! Two pods are asked: a reader lists the Snapshot, and a pod without any credentials that mounts the volume read-only
//! lists that. Sizes, times, permissions and owners are compared here; with `--content` both hash every file.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::{Change, DiffArgs, SnapshotDiff, entries};
use crate::api::config::reader::LIVES;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Session;
use crate::cli::inside::entry::{Entry, shown};
use crate::cli::inside::live::Live;
use crate::cli::inside::pick::{Lines, Part, Picked};
use crate::reader::op::{Bytes, Op};
use crate::reader::pattern;

/// How fast volumes are read at least, for the life of a pod that hashes one.
const BYTES_PER_SECOND: u64 = 20 << 20;

/// Entries by path.
type Listing = BTreeMap<Vec<u8>, Entry>;
/// Hashes of files by path.
type Sums = HashMap<Vec<u8>, String>;

/// A line about the volume.
#[derive(Deserialize)]
struct LiveLine {
    #[serde(flatten)]
    entry: Entry,
    #[serde(default)]
    unread: Option<String>,
}

#[derive(Deserialize)]
struct SumLine {
    path: Bytes,
    sha256: String,
}

#[derive(Deserialize)]
struct SnapshotLine {
    id: String,
    #[serde(default)]
    excludes: Vec<String>,
}

/// The volume as it is.
#[derive(Default)]
struct Now {
    entries: Listing,
    /// What could not be read, and why.
    unread: Vec<(Vec<u8>, String)>,
}

/// What is compared.
#[derive(Default)]
struct Sides {
    then: Listing,
    now: Now,
    /// Hashes then and now, where content is compared.
    sums: Option<(Sums, Sums)>,
    /// What the backup left out.
    excludes: Vec<String>,
}

/// Compares.
///
/// # Errors
/// When the Snapshot cannot be read, or its volume cannot be mounted by another pod.
pub(super) async fn compare(
    args: &DiffArgs,
    from: &Picked,
    context: &Context,
) -> Result<SnapshotDiff, CliError> {
    let namespace = context.namespace().await?;
    let session = Session::open(context, &args.reader, namespace, from.repository()).await?;
    let mut diff = SnapshotDiff {
        from: from.name(),
        to: "live".to_owned(),
        ..SnapshotDiff::default()
    };
    let mut parts: BTreeMap<&str, Vec<(&Part, Listing)>> = BTreeMap::new();
    for part in &from.parts {
        let then = entries(&session, part).await?;
        parts.entry(&part.component).or_default().push((part, then));
    }
    for (component, parts) in parts {
        let bytes: u64 = parts
            .iter()
            .flat_map(|(_, then)| then.values())
            .map(|e| e.size)
            .sum();
        let more = if args.content { bytes / BYTES_PER_SECOND } else { 0 };
        let seconds = LIVES.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        let repository = session.repository();
        let live = Live::open(
            context,
            &args.reader,
            repository,
            &from.name(),
            component,
            seconds,
        )
        .await?;
        let mut result = Ok(());
        for (part, then) in parts {
            result = one(args, &session, &live, part, then, &mut diff).await;
            if result.is_err() {
                break;
            }
        }
        // Whatever came of it, the volume is let go.
        live.close().await;
        result?;
    }
    Ok(diff)
}

async fn one(
    args: &DiffArgs,
    session: &Session<'_>,
    live: &Live<'_>,
    part: &Part,
    then: Listing,
    diff: &mut SnapshotDiff,
) -> Result<(), CliError> {
    let path = Bytes(part.top.clone().into_bytes());
    let now = listed(live, path.clone()).await?;
    let sums = if args.content {
        let (mut old, mut new) = (Sums::new(), Sums::new());
        let op = Op::Sums {
            id: part.id.clone(),
            path: path.clone(),
        };
        session
            .ask(&part.component_path, op, &mut summed(&mut old))
            .await?;
        live.ask(Op::LiveSums { path }, &mut summed(&mut new)).await?;
        Some((old, new))
    } else {
        None
    };
    let sides = Sides {
        then,
        now,
        sums,
        excludes: excludes(session, part).await?,
    };
    sides.tell(&part.component, diff);
    Ok(())
}

fn summed(into: &mut Sums) -> Lines<impl FnMut(&[u8]) -> Result<(), CliError>> {
    Lines::new(|line: &[u8]| {
        let line: SumLine = serde_json::from_slice(line).map_err(|e| nonsense(&e))?;
        into.insert(line.path.0, line.sha256);
        Ok(())
    })
}

fn nonsense(error: &serde_json::Error) -> CliError {
    CliError::new(Exit::Error, "the reader's answer makes no sense").cause(error.to_string())
}

async fn listed(live: &Live<'_>, path: Bytes) -> Result<Now, CliError> {
    let mut now = Now::default();
    let mut lines = Lines::new(|line: &[u8]| {
        let line: LiveLine = serde_json::from_slice(line).map_err(|e| nonsense(&e))?;
        let path = line.entry.bytes().to_vec();
        match line.unread {
            Some(why) => now.unread.push((path, why)),
            None => {
                now.entries.insert(path, line.entry);
            }
        }
        Ok(())
    });
    live.ask(Op::LiveList { path }, &mut lines).await?;
    drop(lines);
    Ok(now)
}

/// What a backup was told to leave out.
async fn excludes(session: &Session<'_>, part: &Part) -> Result<Vec<String>, CliError> {
    let text = session.answer(&part.component_path, Op::Snapshots).await?;
    let all: Vec<SnapshotLine> = serde_json::from_slice(&text).map_err(|e| nonsense(&e))?;
    let one = all.into_iter().find(|s| s.id.starts_with(&part.id));
    Ok(one.map(|s| s.excludes).unwrap_or_default())
}

impl Sides {
    /// Adds what differs.
    fn tell(&self, component: &str, diff: &mut SnapshotDiff) {
        let mut paths: Vec<&Vec<u8>> = self.then.keys().chain(self.now.entries.keys()).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let (then, now) = (self.then.get(path), self.now.entries.get(path));
            let Some(change) = self.change(path, then, now) else {
                continue;
            };
            let entry = now.or(then);
            let slash = if entry.is_some_and(Entry::is_dir) { "/" } else { "" };
            let size = |entry: Option<&Entry>| entry.map_or(0, |e| e.size);
            if change != "U" {
                diff.added_bytes += size(now);
                diff.removed_bytes += size(then);
            }
            diff.changes.push(Change {
                component: component.to_owned(),
                path: format!("{}{slash}", entry.map(|e| e.path.as_str()).unwrap_or_default()),
                change: change.to_owned(),
            });
        }
        for (path, why) in &self.now.unread {
            diff.unread.push(format!("{}: {why}", shown(path)));
        }
    }

    fn change(&self, path: &[u8], then: Option<&Entry>, now: Option<&Entry>) -> Option<&'static str> {
        let left_out = || self.excludes.iter().any(|p| pattern::covers(p, path));
        let hidden = || self.now.unread.iter().any(|(dir, _)| path.starts_with(dir));
        match (then, now) {
            (None, Some(_)) => (!left_out()).then_some("+"),
            // What is in a directory that we may not read may well be there.
            (Some(_), None) => (!hidden()).then_some("-"),
            (Some(then), Some(now)) if then.kind != now.kind => Some("T"),
            (Some(then), Some(now)) => self.altered(path, then, now),
            (None, None) => None,
        }
    }

    /// Whether one thing is another by now.
    fn altered(&self, path: &[u8], then: &Entry, now: &Entry) -> Option<&'static str> {
        let content = match &self.sums {
            _ if now.is_file() && then.size != now.size => true,
            Some((old, new)) if now.is_file() => old.get(path) != new.get(path),
            // A link that leads elsewhere is another link, with another time.
            _ => !now.is_dir() && then.mtime != now.mtime,
        };
        let about = |e: &Entry| (e.unix_mode(), e.uid, e.gid, e.mtime);
        // Permissions of links mean nothing, and systems do not agree on them.
        let owner = |e: &Entry| (e.uid, e.gid);
        let shape = if now.kind == "symlink" {
            owner(then) != owner(now)
        } else {
            about(then) != about(now)
        };
        match (content, shape) {
            (true, _) => Some("M"),
            (false, true) => Some("U"),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(lines: &[(&str, &str, u64, u32, &str)]) -> Listing {
        let entry = |(kind, path, size, mode, time): &(&str, &str, u64, u32, &str)| Entry {
            kind: (*kind).into(),
            path: (*path).into(),
            size: *size,
            mode: *mode,
            mtime: Some(format!("2026-01-01T00:00:0{time}Z").parse().unwrap()),
            ..Entry::default()
        };
        lines
            .iter()
            .map(|line| (line.1.as_bytes().to_vec(), entry(line)))
            .collect()
    }

    fn told(sides: &Sides) -> Vec<String> {
        let mut diff = SnapshotDiff::default();
        sides.tell("dump", &mut diff);
        diff.changes
            .iter()
            .map(|c| format!("{} {}", c.change, c.path))
            .collect()
    }

    #[test]
    fn a_volume_is_compared_with_what_it_was() {
        let mut sides = Sides {
            then: listing(&[
                ("dir", "/d", 0, 0o755, "1"),
                ("file", "/d/gone", 5, 0o644, "1"),
                ("file", "/d/grown", 5, 0o644, "1"),
                ("file", "/d/mode", 5, 0o644, "1"),
                ("file", "/d/same", 5, 0o644, "1"),
                ("file", "/d/secret/x", 5, 0o644, "1"),
                ("file", "/d/touched", 5, 0o644, "1"),
                ("file", "/d/type", 5, 0o644, "1"),
                ("symlink", "/d/link", 0, 1 << 27, "1"),
            ]),
            now: Now {
                entries: listing(&[
                    ("dir", "/d", 0, 0o755, "2"),
                    ("dir", "/d/type", 0, 0o755, "1"),
                    ("file", "/d/cache/skip", 9, 0o644, "1"),
                    ("file", "/d/grown", 6, 0o644, "2"),
                    ("file", "/d/mode", 5, 0o600, "1"),
                    ("file", "/d/new", 7, 0o644, "1"),
                    ("file", "/d/same", 5, 0o644, "1"),
                    ("file", "/d/touched", 5, 0o644, "2"),
                    ("symlink", "/d/link", 0, 0o777, "1"),
                ]),
                unread: vec![(b"/d/secret".to_vec(), "Permission denied".into())],
            },
            sums: None,
            excludes: vec!["cache".into()],
        };
        let always = ["- /d/gone", "M /d/grown", "U /d/mode", "+ /d/new"];
        let all = |touched: &str| {
            let mut all = vec!["U /d/"];
            all.extend(always);
            all.extend([touched, "T /d/type/"]);
            all.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&sides),
            all("M /d/touched"),
            "another time is taken for another content"
        );
        let sum = |hash: &str| -> Sums {
            ["/d/touched", "/d/same", "/d/mode"]
                .iter()
                .map(|path| (path.as_bytes().to_vec(), hash.to_owned()))
                .collect()
        };
        sides.sums = Some((sum("a"), sum("a")));
        assert_eq!(
            told(&sides),
            all("U /d/touched"),
            "unless the content is compared"
        );
        sides.sums = Some((sum("a"), sum("b")));
        assert!(told(&sides).contains(&"M /d/same".to_owned()));
    }
}
