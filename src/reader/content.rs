//! The content of files straight out of a restic repository that is read in this process.
//!
//! restic itself restores into a directory or dumps file by file; this streams many files in order, without a place between
//! and without asking the storage for each piece. What does not come is then fetched by restic, which waits for locks.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::DataId;
use tokio::sync::mpsc;

use super::entry::Entry;
use super::native::{Inside, Native};

/// How many bytes are handed on at a time.
const HANDED: usize = 1 << 20;
/// And how many pieces at most.
const PIECES: usize = 1024;
/// After so many files that cannot be read the rest is not tried.
const GIVE_UP: usize = 3;

/// What comes of the files.
enum Piece {
    /// Bytes of a file.
    Data(usize, Bytes),
    /// No more of it will come: it is whole, or why it is not.
    End(usize, Result<(), String>),
}

/// A file to stream: its number, its blobs, and how many bytes of it to leave out.
struct File {
    at: usize,
    blobs: Vec<DataId>,
    skip: u64,
}

/// The content of the wanted files, in their order.
pub struct Content {
    /// The files that come and have not been asked for.
    coming: VecDeque<usize>,
    pieces: mpsc::Receiver<Vec<Piece>>,
    here: VecDeque<Piece>,
}

impl Content {
    /// Begins to read those entries that are files and for which `wanted` says how many bytes to leave out; `insides` are
    /// theirs, in the same order.
    pub fn begin(
        native: &Arc<Native>,
        entries: &[Entry],
        insides: Vec<Inside>,
        wanted: impl Fn(usize) -> Option<u64>,
    ) -> Self {
        let mut files = Vec::new();
        for (at, (entry, inside)) in entries.iter().zip(insides).enumerate() {
            if let Some(blobs) = inside.blobs
                && entry.size > 0
                && let Some(skip) = wanted(at)
                && native.sum(&blobs) == Some(entry.size)
            {
                files.push(File { at, blobs, skip });
            }
        }
        native.expect(files.iter().flat_map(|file| &file.blobs));
        let coming = files.iter().map(|file| file.at).collect();
        // It ends with the last piece, or when nobody takes them.
        let (pieces, _working) = native.stream::<_, ()>(|native, take| {
            produce(native, files, take);
            Ok(())
        });
        Content {
            coming,
            pieces,
            here: VecDeque::new(),
        }
    }

    /// Whether bytes of this file come; files are asked for in their order.
    pub fn comes(&mut self, at: usize) -> bool {
        while self.coming.front().is_some_and(|first| *first < at) {
            self.coming.pop_front();
        }
        self.coming.front() == Some(&at)
    }

    /// Whether the next bytes have to be waited for.
    pub fn is_ready(&mut self) -> bool {
        if self.here.is_empty()
            && let Ok(more) = self.pieces.try_recv()
        {
            self.here = more.into();
        }
        !self.here.is_empty()
    }

    /// The next bytes of a file that [comes](Self::comes); `Ok(None)` after the last.
    ///
    /// # Errors
    /// Why the rest does not come.
    pub async fn next(&mut self, at: usize) -> Result<Option<Bytes>, String> {
        loop {
            while let Some(piece) = self.here.pop_front() {
                match piece {
                    Piece::Data(file, bytes) if file == at => return Ok(Some(bytes)),
                    Piece::End(file, result) if file == at => return result.map(|()| None),
                    // Of a file that nobody asked for.
                    _ => {}
                }
            }
            match self.pieces.recv().await {
                Some(more) => self.here = more.into(),
                None => return Err("no more is read".to_owned()),
            }
        }
    }
}

/// Reads file after file, until all are read or nobody wants more.
fn produce(native: &Native, files: Vec<File>, take: &mut dyn FnMut(Vec<Piece>) -> bool) {
    let mut decoder = match native.decoder() {
        Ok(decoder) => decoder,
        Err(why) => {
            take(
                files
                    .iter()
                    .map(|file| Piece::End(file.at, Err(why.clone())))
                    .collect(),
            );
            return;
        }
    };
    let (mut handful, mut bytes, mut failures) = (Vec::new(), 0, 0);
    for file in files {
        let mut skip = file.skip;
        let mut end = Ok(());
        for blob in &file.blobs {
            let content = match native.blob(*blob, &mut decoder) {
                Ok(content) => content,
                Err(why) => {
                    end = Err(why);
                    failures += 1;
                    break;
                }
            };
            let over = skip.min(content.len() as u64);
            skip -= over;
            let rest = content.slice(usize::try_from(over).unwrap_or(content.len())..);
            bytes += rest.len();
            handful.push(Piece::Data(file.at, rest));
            if bytes >= HANDED {
                bytes = 0;
                if !take(std::mem::take(&mut handful)) {
                    return;
                }
            }
        }
        handful.push(Piece::End(file.at, end));
        if handful.len() >= PIECES {
            bytes = 0;
            if !take(std::mem::take(&mut handful)) {
                return;
            }
        }
        if failures >= GIVE_UP {
            break;
        }
    }
    take(handful);
}
