//! The repository's files as rustic_core asks for them, over our own client of the storage.
//!
//! What will be read of the packs is known before anything is: pieces of them that lie together are fetched in one go, some of
//! them ahead of their use, and kept until others need the room.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use tokio::runtime::Handle;

use crate::backend::{Documents, join};

/// What lies no further apart than this is fetched together.
const GAP: u32 = 512 << 10;
/// The largest piece: restic's packs are seldom larger, and what is larger still is memory that the system takes back each time.
const PIECE: u32 = 17 << 20;
/// How many bytes are kept or on their way.
const ROOM: u64 = 96 << 20;
/// How many pieces are fetched at a time.
const AHEAD: usize = 4;

/// One piece of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pack: Id,
    bytes: Range<u32>,
}

impl Piece {
    fn len(&self) -> u64 {
        u64::from(self.bytes.end - self.bytes.start)
    }
}

/// What is going to be read, in this order.
#[derive(Debug, Default)]
pub(super) struct Order {
    pieces: Vec<Piece>,
    /// The pieces of a pack, by their place in it.
    of: HashMap<Id, Vec<usize>>,
}

impl Order {
    /// Joins ranges of packs, which come in the order in which they are read, into pieces.
    pub(super) fn new(wanted: impl IntoIterator<Item = (Id, Range<u32>)>) -> Self {
        // With each range, when it is read first.
        let mut packs: HashMap<Id, Vec<(Range<u32>, usize)>> = HashMap::new();
        for (turn, (pack, range)) in wanted.into_iter().enumerate() {
            packs.entry(pack).or_default().push((range, turn));
        }
        let mut found: Vec<(usize, Piece)> = Vec::new();
        for (pack, mut ranges) in packs {
            ranges.sort_by_key(|(range, _)| range.start);
            let mut open: Option<(Range<u32>, usize)> = None;
            for (range, turn) in ranges {
                match &mut open {
                    Some((bytes, first))
                        if range.start <= bytes.end.saturating_add(GAP)
                            && range.end.max(bytes.end) - bytes.start <= PIECE =>
                    {
                        bytes.end = bytes.end.max(range.end);
                        *first = turn.min(*first);
                    }
                    _ => {
                        let done = open.replace((range, turn));
                        found.extend(done.map(|(bytes, first)| (first, Piece { pack, bytes })));
                    }
                }
            }
            found.extend(open.map(|(bytes, first)| (first, Piece { pack, bytes })));
        }
        found.sort_by_key(|(first, _)| *first);
        let mut order = Order::default();
        for (at, (_, piece)) in found.into_iter().enumerate() {
            order.of.entry(piece.pack).or_default().push(at);
            order.pieces.push(piece);
        }
        order
    }

    /// The piece that has all of a range.
    fn find(&self, pack: &Id, range: &Range<u32>) -> Option<usize> {
        let all = self.of.get(pack)?.iter().copied();
        all.into_iter().find(|at| {
            self.pieces
                .get(*at)
                .is_some_and(|p| p.bytes.start <= range.start && range.end <= p.bytes.end)
        })
    }
}

/// A piece as it came: many parts, one behind the other.
type Parts = Arc<[Bytes]>;
type Fetch = Shared<BoxFuture<'static, Result<Parts, String>>>;

#[derive(Default)]
struct Held {
    /// The next piece to fetch ahead.
    next: usize,
    /// Pieces that are here or on their way; what was used last is last.
    fetched: VecDeque<(usize, Fetch)>,
}

/// See the module.
pub(super) struct Packs {
    documents: Documents,
    dir: String,
    runtime: Handle,
    order: OnceLock<Order>,
    held: Mutex<Held>,
}

impl std::fmt::Debug for Packs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packs({:?}, {})", self.documents, self.dir)
    }
}

impl Packs {
    /// The repository in a directory below the storage's prefix; calls from threads of its own wait on `runtime`.
    pub(super) fn new(documents: Documents, dir: String, runtime: Handle) -> Self {
        Packs {
            documents,
            dir,
            runtime,
            order: OnceLock::new(),
            held: Mutex::default(),
        }
    }

    /// Says what will be read; once.
    pub(super) fn expect(&self, order: Order) {
        let _ = self.order.set(order);
    }

    fn path(&self, kind: FileType, id: &Id) -> String {
        let hex = id.to_hex();
        let hex = hex.as_str();
        match kind {
            FileType::Config => join([self.dir.as_str(), "config"]),
            FileType::Pack => join([self.dir.as_str(), "data", hex.get(..2).unwrap_or_default(), hex]),
            _ => join([self.dir.as_str(), kind.dirname(), hex]),
        }
    }

    /// Waits for what the runtime does; should the program end meanwhile, this ends too.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Result<T, String> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            // Nobody waits for it any more where this fails.
            let _ = tell.send(work.await);
        });
        told.recv().map_err(|_| "the program ends")?
    }

    fn read(&self, path: String, range: Option<Range<u32>>) -> Result<Bytes, String> {
        let documents = self.documents.clone();
        let range = range.map(|range| u64::from(range.start)..u64::from(range.end));
        self.wait(async move { documents.read(&path, range).await.map_err(|e| e.message) })
    }

    /// Puts a range of a pack behind what `to` holds.
    pub(super) fn gather(&self, id: &Id, range: Range<u32>, to: &mut Vec<u8>) -> Result<(), String> {
        let order = self.order.get();
        let planned = order.and_then(|order| {
            let at = order.find(id, &range)?;
            Some((order, at, order.pieces.get(at)?.bytes.start))
        });
        let Some((order, at, start)) = planned else {
            to.extend_from_slice(&self.read(self.path(FileType::Pack, id), Some(range))?);
            return Ok(());
        };
        let parts = self.wait(self.piece(order, at))?;
        let (mut before, mut left) = ((range.start - start) as usize, range.len());
        for part in parts.iter() {
            let from = before.min(part.len());
            let taken = left.min(part.len() - from);
            to.extend_from_slice(&part.slice(from..from + taken));
            before -= from;
            left -= taken;
        }
        if left > 0 {
            return Err("the storage sent less than a piece of a pack".to_owned());
        }
        Ok(())
    }

    /// A planned piece, fetched together with those that come next.
    fn piece(&self, order: &Order, at: usize) -> Fetch {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held.fetched.iter().position(|(piece, _)| *piece == at);
        let fetch = match known.and_then(|place| held.fetched.remove(place)) {
            Some((_, fetch)) => fetch,
            None => self.begin(order, at),
        };
        held.fetched.push_back((at, fetch.clone()));
        held.next = held.next.max(at + 1);
        let size = |at: usize| order.pieces.get(at).map_or(0, Piece::len);
        loop {
            let (next, used) = (
                held.next,
                held.fetched.iter().map(|(at, _)| size(*at)).sum::<u64>(),
            );
            let early = held.fetched.iter().filter(|(piece, _)| *piece > at).count();
            if next >= order.pieces.len() || next > at + AHEAD || early >= AHEAD {
                break;
            }
            if used + size(next) > ROOM {
                // What was used longest ago makes room; what is yet to be used does not.
                let Some(old) = held.fetched.iter().position(|(piece, _)| *piece < at) else {
                    break;
                };
                held.fetched.remove(old);
                continue;
            }
            // The one that is used stays the last.
            let fetch = self.begin(order, next);
            held.fetched.push_front((next, fetch));
            held.next += 1;
        }
        fetch
    }

    fn begin(&self, order: &Order, at: usize) -> Fetch {
        let Some(piece) = order.pieces.get(at) else {
            return futures::future::ready(Err("no such piece".to_owned()))
                .boxed()
                .shared();
        };
        let (documents, path) = (self.documents.clone(), self.path(FileType::Pack, &piece.pack));
        let range = u64::from(piece.bytes.start)..u64::from(piece.bytes.end);
        let task = self
            .runtime
            .spawn(async move { documents.read_parts(&path, range).await });
        async move {
            match task.await {
                Ok(Ok(parts)) => Ok(parts.into()),
                Ok(Err(error)) => Err(error.message),
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
        .shared()
    }
}

fn failed(message: &str) -> Box<RusticError> {
    RusticError::new(ErrorKind::Backend, message)
}

fn read_only() -> Box<RusticError> {
    failed("a repository that is only read is not written")
}

impl ReadBackend for Packs {
    fn location(&self) -> String {
        self.dir.clone()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if kind == FileType::Config {
            // There is one, and it has no id.
            return Ok(vec![(Id::default(), 0)]);
        }
        let dir = join([self.dir.as_str(), kind.dirname()]);
        let documents = self.documents.clone();
        let all = self.wait(async move { documents.list(&dir).await.map_err(|e| e.message) });
        let all = all.map_err(|message| failed(&message))?;
        let id = |path: &str| path.rsplit('/').next()?.parse::<Id>().ok();
        Ok(all
            .iter()
            .filter_map(|entry| Some((id(&entry.path)?, u32::try_from(entry.size).ok()?)))
            .collect())
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.read(self.path(kind, id), None)
            .map_err(|message| failed(&message))
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let range = offset..offset.saturating_add(length);
        self.read(self.path(kind, id), Some(range))
            .map_err(|message| failed(&message))
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.path(kind, id)
    }
}

/// rustic_core wants to be able to write; this one never does.
impl WriteBackend for Packs {
    fn create(&self) -> RusticResult<()> {
        Err(read_only())
    }

    fn write_bytes(&self, _: FileType, _: &Id, _: bool, _: BytesList) -> RusticResult<()> {
        Err(read_only())
    }

    fn remove(&self, _: FileType, _: &Id, _: bool) -> RusticResult<()> {
        Err(read_only())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(of: u8) -> Id {
        format!("{of:02x}").repeat(32).parse().unwrap()
    }

    #[test]
    fn what_lies_together_is_fetched_together_in_the_order_of_its_use() {
        let far = GAP + 1000;
        let order = Order::new([
            (id(2), 100..200),
            (id(1), 500..900),
            (id(2), 210..300),
            (id(2), 300 + far..400 + far),
            (id(1), 0..10),
        ]);
        let told: Vec<_> = order.pieces.iter().map(|p| (p.pack, p.bytes.clone())).collect();
        assert_eq!(
            told,
            [(id(2), 100..300), (id(1), 0..900), (id(2), 300 + far..400 + far)]
        );
        assert_eq!(order.find(&id(2), &(210..300)), Some(0));
        assert_eq!(order.find(&id(2), &(250..301)), None);
        assert_eq!(order.find(&id(3), &(0..1)), None);
    }

    #[test]
    fn no_piece_is_larger_than_there_is_room_for() {
        let step = 1 << 20;
        let order = Order::new((0..100).map(|n| (id(7), n * step..(n + 1) * step)));
        assert_eq!(order.pieces.len(), 6);
        assert!(order.pieces.iter().all(|p| p.bytes.end - p.bytes.start <= PIECE));
        assert_eq!(order.pieces.iter().map(Piece::len).sum::<u64>(), 100 << 20);
    }
}
