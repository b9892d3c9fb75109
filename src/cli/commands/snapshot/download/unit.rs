//! What is to be fetched: a directory or file of one component, with its listing.

use std::path::PathBuf;

use super::Wanted;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Session;
use crate::cli::inside::entry::{Entry, typed};
use crate::cli::inside::pick::{Lines, Part, Picked};
use crate::reader::op::{Bytes, Op};
use crate::reader::pattern::Choice;

/// A reader that serves a download is given this much time for each so many bytes, on top of its quarter of an hour.
const BYTES_PER_SECOND: u64 = 2 << 20;

/// One archive.
pub(super) struct Unit {
    pub(super) part: Part,
    pub(super) path: Vec<u8>,
    pub(super) dir: PathBuf,
    pub(super) choice: Choice,
    /// What is chosen, in the order of the archive.
    pub(super) entries: Vec<Entry>,
}

impl Unit {
    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|e| e.size).sum()
    }
}

/// A way into the repository that lasts long enough, and what is to be fetched.
///
/// # Errors
/// When a path does not exist, or the repository cannot be read.
pub(super) async fn open<'c>(
    picked: &Picked,
    wanted: &Wanted<'_>,
    context: &'c Context,
) -> Result<(Session<'c>, Vec<Unit>), CliError> {
    let namespace = context.namespace().await?;
    let repository = picked.repository();
    let asked: Vec<Vec<u8>> = wanted.paths.iter().map(|path| typed(path)).collect();
    picked.may_hold(asked.iter().map(Vec::as_slice))?;
    let session = Session::open(context, wanted.reader, namespace, repository).await?;
    let units = units(&session, picked, wanted).await?;
    let bytes: u64 = units.iter().map(Unit::bytes).sum();
    let seconds = 900 + bytes / BYTES_PER_SECOND;
    if seconds > 1500 {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let longer = Session::open_for(context, wanted.reader, namespace, repository, seconds).await?;
        return Ok((longer, units));
    }
    Ok((session, units))
}

async fn units(session: &Session<'_>, picked: &Picked, wanted: &Wanted<'_>) -> Result<Vec<Unit>, CliError> {
    let asked: Vec<Option<Vec<u8>>> = if wanted.paths.is_empty() {
        vec![None]
    } else {
        wanted.paths.iter().map(|p| Some(typed(p))).collect()
    };
    let mut units: Vec<Unit> = Vec::new();
    for path in asked {
        let mut found = false;
        for (part, full) in picked.places(path.as_deref()) {
            if units.iter().any(|u| u.part == part && inside(&full, &u.path)) {
                found = true;
                continue;
            }
            match listing(session, &part, &full).await {
                Ok(entries) => {
                    found = true;
                    // What lies in this directory need not be fetched twice.
                    units.retain(|u| u.part != part || !inside(&u.path, &full));
                    units.push(unit(part, full, entries, wanted));
                }
                Err(error) if error.exit == Exit::NothingMatched => {}
                Err(error) => return Err(error),
            }
        }
        if !found {
            return Err(picked.nowhere(path.as_deref().unwrap_or_default()));
        }
    }
    Ok(units)
}

fn unit(part: Part, path: Vec<u8>, entries: Vec<Entry>, wanted: &Wanted<'_>) -> Unit {
    let choice = wanted.choice();
    let chosen = choice.among(&entries);
    let entries = entries
        .into_iter()
        .zip(chosen)
        .filter(|(_, yes)| *yes)
        .map(|(entry, _)| entry);
    Unit {
        dir: if wanted.by_component {
            wanted.to.join(&part.component)
        } else {
            wanted.to.to_owned()
        },
        entries: entries.collect(),
        part,
        path,
        choice,
    }
}

/// Whether a path is another or below it.
fn inside(path: &[u8], dir: &[u8]) -> bool {
    match path.strip_prefix(dir) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || dir.ends_with(b"/"),
        None => false,
    }
}

async fn listing(session: &Session<'_>, part: &Part, path: &[u8]) -> Result<Vec<Entry>, CliError> {
    let mut entries = Vec::new();
    let op = Op::Ls {
        id: part.id.clone(),
        path: Bytes(path.to_vec()),
        recursive: true,
    };
    let mut lines = Lines::new(|line: &[u8]| {
        entries.push(serde_json::from_slice(line).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?);
        Ok(())
    });
    session.ask(&part.component_path, op, &mut lines).await?;
    drop(lines);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_directory_is_told_from_what_begins_like_it() {
        assert!(inside(b"/a/b", b"/a") && inside(b"/a", b"/a") && inside(b"/a", b"/"));
        assert!(!inside(b"/ab", b"/a") && !inside(b"/a", b"/a/b"));
    }
}
