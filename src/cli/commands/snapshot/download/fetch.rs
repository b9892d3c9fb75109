//! One archive from its first byte to its last, over as many readers as it takes; and what is done when all is there.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::journal::Journal;
use super::place::Place;
use super::unit::Unit;
use super::unpack::Unpacker;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Session;
use crate::cli::inside::entry::{Entry, shown};
use crate::output::human;
use crate::reader::op::{Bytes, Op};

/// How often in a row a download goes on by itself without getting any further.
const ATTEMPTS: u32 = 2;
/// glibc gives freed memory back to the system at once, and each piece that arrives has to be zeroed again, until something
/// as large as this was freed: from then on it keeps twice as much (mallopt(3), M_MMAP_THRESHOLD). Bytes.
const KEPT_MEMORY: usize = 16 << 20;

/// Fetches a unit into its place. When the reader goes away (its time is up, its node fails), another one goes on.
///
/// # Errors
/// What the reader says, or what keeps us from writing.
pub(super) async fn fetch(
    session: &Session<'_>,
    unit: &Unit,
    place: &mut Place,
    mut journal: Journal,
    tell: &(dyn Fn(u64) + Send + Sync),
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), CliError> {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_MEMORY)));
    let entries: HashMap<&[u8], &Entry> = unit.entries.iter().map(|e| (e.bytes(), e)).collect();
    let mut left = ATTEMPTS;
    loop {
        let op = Op::Archive {
            id: unit.part.id.clone(),
            path: Bytes(unit.path.clone()),
            choice: unit.choice.clone(),
            prefix: Bytes::default(),
            resume: journal.resume(),
            version: journal.version.clone(),
        };
        let before = journal.arrived;
        let mut unpacker = Unpacker::new(place, &entries, journal, tell);
        let result = session.ask(&unit.part.component_path, op, &mut unpacker).await;
        journal = unpacker.into_journal();
        let Err(error) = result else { return Ok(()) };
        left = if journal.arrived > before {
            ATTEMPTS
        } else {
            left - 1
        };
        if error.exit != Exit::Failed || left == 0 || session.is_local() {
            return Err(match error.exit {
                Exit::Failed | Exit::Error | Exit::TimedOut => {
                    error.hint("run the same command again: it goes on where this one stopped")
                }
                _ => error,
            });
        }
        let causes = error
            .causes
            .first()
            .map(|cause| format!(" ({cause})"))
            .unwrap_or_default();
        say(&format!(
            "{}{causes}; going on with another after {}",
            error.message,
            human::bytes(journal.arrived)
        ));
        journal.checked(place, &unit.entries);
        session.renew(&error).await?;
    }
}

/// Sets what the archive does not carry, and compares what is there with the listing. Answers how many files there are,
/// and what could not come.
///
/// # Errors
/// When something is not there as it should be; the next attempt then begins anew.
pub(super) fn finish(place: &Place, unit: &Unit) -> Result<(u64, Vec<String>), CliError> {
    let mut all: Vec<&Entry> = unit.entries.iter().collect();
    // Deeper first: making an entry changes the time of its directory.
    all.sort_by(|a, b| b.bytes().cmp(a.bytes()));
    let (mut files, mut skipped) = (0, Vec::new());
    let mut nodes: HashMap<(u64, u64, u32), &Entry> = HashMap::new();
    let journal = Journal::load(place.root(), &unit.part.id, &unit.path);
    for entry in all.iter().rev() {
        if !entry.travels() {
            skipped.push(shown(entry.bytes()));
            continue;
        }
        files += u64::from(entry.is_file());
        if !place.complete(entry)? {
            journal.forget(place.root());
            return Err(CliError::new(
                Exit::Failed,
                format!("{} did not arrive as it is in the snapshot", shown(entry.bytes())),
            ));
        }
        if entry.is_file() && entry.inode != 0 && entry.size > 0 {
            match nodes.entry((entry.inode, entry.size, entry.mode)) {
                Slot::Occupied(first) => place.tie(first.get(), entry)?,
                Slot::Vacant(free) => {
                    free.insert(entry);
                }
            }
        }
    }
    // Files have what they need since they were moved to their places.
    for entry in all.into_iter().filter(|e| e.travels() && !e.is_file()) {
        place.finish(entry)?;
    }
    journal.forget(place.root());
    Ok((files, skipped))
}
