//! The content of files straight out of a restic repository, read by rustic_core in this process.
//!
//! restic itself restores into a directory or dumps file by file; this streams many files in order, without a place between
//! and without asking the storage for each piece. It only reads: restic alone writes. It takes no lock; what a `prune` takes
//! away meanwhile fails to decrypt or to arrive, and is then fetched by restic, which waits for the lock.

mod packs;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::repofile::{BlobType, NodeType};
use rustic_core::{
    BlobId, Credentials, DataId, IndexedFullStatus, Repository, RepositoryBackends, RepositoryOptions,
    RusticError, RusticResult, TreeId,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::packs::{Order, Packs};
use super::entry::Entry;
use super::op::Bytes as Name;
use super::source::{Opened, Source};
use crate::backend::SecretText;

/// How many bytes are handed on at a time.
const HANDED: usize = 1 << 20;
/// And how many pieces at most.
const PIECES: usize = 1024;
/// How many handfuls may wait.
const WAITING: usize = 4;
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

/// What one snapshot has of the wanted entries.
#[derive(Default)]
struct Found {
    files: Vec<File>,
    links: HashMap<usize, Vec<u8>>,
}

/// The content of the wanted entries, in their order.
pub struct Content {
    links: HashMap<usize, Vec<u8>>,
    /// The files that come and have not been asked for.
    coming: VecDeque<usize>,
    pieces: mpsc::Receiver<Vec<Piece>>,
    here: VecDeque<Piece>,
}

impl Content {
    /// Begins to read the entries, which come in the order of a listing with absolute paths, for which `wanted` says how many
    /// bytes to leave out.
    ///
    /// # Errors
    /// Why the repository cannot be read in this way; may hold secrets, clean it.
    pub async fn begin(
        opened: &Opened,
        source: &Source,
        id: &str,
        entries: &[Entry],
        wanted: impl Fn(usize) -> Option<u64>,
    ) -> Result<Self, String> {
        let packs = Arc::new(Packs::new(
            opened.documents.clone(),
            opened.dir.clone(),
            Handle::current(),
        ));
        let wanted: HashMap<_, _> = entries
            .iter()
            .enumerate()
            .filter(|(_, e)| (e.is_file() && e.size > 0) || e.kind == "symlink")
            .filter_map(|(at, e)| Some((e.bytes().to_vec(), (at, e.size, wanted(at)?))))
            .collect();
        let (say, pieces) = mpsc::channel(WAITING);
        let (mut links, mut coming) = (HashMap::new(), VecDeque::new());
        // Directories and empty files alone are no reason to open a repository.
        if !wanted.is_empty() {
            (coming, links) = Self::read(packs, Search::new(source, id, wanted), say).await?;
        }
        Ok(Content {
            links,
            coming,
            pieces,
            here: VecDeque::new(),
        })
    }

    /// Finds what is wanted and reads it in a thread of its own; answers with the files that come, and the links.
    async fn read(
        packs: Arc<Packs>,
        search: Search,
        say: mpsc::Sender<Vec<Piece>>,
    ) -> Result<(VecDeque<usize>, HashMap<usize, Vec<u8>>), String> {
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || match search.open(&packs) {
            Ok((repository, found)) => {
                let coming = found.files.iter().map(|file| file.at).collect();
                if tell.send(Ok((coming, found.links))).is_ok() {
                    produce(&repository, found.files, &say);
                }
            }
            Err(why) => {
                let _ = tell.send(Err(why));
            }
        });
        told.await.map_err(|e| e.to_string())?
    }

    /// Where a symbolic link leads.
    #[must_use]
    pub fn link(&self, at: usize) -> Option<&[u8]> {
        self.links.get(&at).map(Vec::as_slice)
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

type Indexed = Repository<IndexedFullStatus>;

/// What is looked for.
struct Search {
    password: SecretText,
    id: String,
    /// Number, size and bytes to leave out, by path.
    wanted: HashMap<Vec<u8>, (usize, u64, u64)>,
    /// The directories in which something is wanted, at whatever depth.
    dirs: HashSet<Vec<u8>>,
    cache: Option<PathBuf>,
}

impl Search {
    fn new(source: &Source, id: &str, wanted: HashMap<Vec<u8>, (usize, u64, u64)>) -> Self {
        let mut dirs = HashSet::new();
        for path in wanted.keys() {
            let mut above = path.as_slice();
            while let Some(at) = above.iter().rposition(|byte| *byte == b'/') {
                above = above.get(..at).unwrap_or_default();
                if !dirs.insert(above.to_vec()) {
                    break;
                }
            }
        }
        Search {
            password: source.password.clone(),
            id: id.to_owned(),
            wanted,
            dirs,
            cache: source.remembers.then(|| source.scratch.join("content-cache")),
        }
    }

    /// Opens the repository and finds what is wanted; tells the packs in which order they will be read.
    fn open(&self, packs: &Arc<Packs>) -> Result<(Indexed, Found), String> {
        let backends = RepositoryBackends::new(packs.clone(), None);
        let options = match &self.cache {
            Some(dir) => RepositoryOptions::default().cache_dir(dir.clone()),
            None => RepositoryOptions::default().no_cache(true),
        };
        let repository = Repository::new(&options, &backends)
            .and_then(|repository| repository.open(&Credentials::password(self.password.expose())))
            .and_then(Repository::to_indexed)
            .map_err(|e| said(&e))?;
        let snapshots = repository.get_snapshots(&[&self.id]).map_err(|e| said(&e))?;
        let snapshot = snapshots.first().ok_or("there is no such snapshot")?;
        let mut found = Found::default();
        self.walk(&repository, snapshot.tree, &mut Vec::new(), &mut found)
            .map_err(|e| said(&e))?;
        found.files.sort_by_key(|file| file.at);
        let mut order = Vec::new();
        for blob in found.files.iter().flat_map(|file| &file.blobs) {
            let entry = repository.get_index_entry(blob).map_err(|e| said(&e))?;
            let (from, length) = (entry.location.offset, entry.location.length);
            order.push((*entry.pack, from..from.saturating_add(length)));
        }
        packs.expect(Order::new(order));
        Ok((repository, found))
    }

    fn walk(
        &self,
        repository: &Indexed,
        tree: TreeId,
        dir: &mut Vec<u8>,
        found: &mut Found,
    ) -> RusticResult<()> {
        for node in repository.get_tree(&tree)?.nodes {
            let above = dir.len();
            dir.push(b'/');
            dir.extend(Name::from_os(&node.name()).0);
            if let Some(subtree) = node.subtree {
                if self.dirs.contains(dir.as_slice()) {
                    self.walk(repository, subtree, dir, found)?;
                }
            } else if let Some((at, size, skip)) = self.wanted.get(dir.as_slice()) {
                if matches!(node.node_type, NodeType::Symlink { .. }) {
                    let link = Name::from_os(node.node_type.to_link().as_os_str());
                    found.links.insert(*at, link.0);
                } else if let Some(blobs) = node.content
                    && sum(repository, &blobs) == Some(*size)
                {
                    let (at, skip) = (*at, *skip);
                    found.files.push(File { at, blobs, skip });
                }
            }
            dir.truncate(above);
        }
        Ok(())
    }
}

/// How many bytes the blobs have together; `None` where the index does not have one.
fn sum(repository: &Indexed, blobs: &[DataId]) -> Option<u64> {
    let sizes = blobs.iter().map(|blob| {
        let entry = repository.get_index_entry(blob).ok()?;
        Some(u64::from(entry.location.data_length()))
    });
    sizes.sum()
}

fn said(error: &RusticError) -> String {
    error.display_log()
}

/// Reads file after file, until all are read or nobody wants more.
fn produce(repository: &Indexed, files: Vec<File>, say: &mpsc::Sender<Vec<Piece>>) {
    let (mut handful, mut bytes, mut failures) = (Vec::new(), 0, 0);
    for file in files {
        let mut skip = file.skip;
        let mut end = Ok(());
        for blob in &file.blobs {
            let content = match repository.get_blob_cached(&BlobId::from(*blob), BlobType::Data) {
                Ok(content) => content,
                Err(error) => {
                    end = Err(said(&error));
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
                if say.blocking_send(std::mem::take(&mut handful)).is_err() {
                    return;
                }
            }
        }
        handful.push(Piece::End(file.at, end));
        if handful.len() >= PIECES {
            bytes = 0;
            if say.blocking_send(std::mem::take(&mut handful)).is_err() {
                return;
            }
        }
        if failures >= GIVE_UP {
            break;
        }
    }
    let _ = say.blocking_send(handful);
}
