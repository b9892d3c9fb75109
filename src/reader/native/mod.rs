//! A restic repository read by rustic_core in this process: its trees, and where the content of its files lies.
//!
//! restic needs a process of its own for each question and derives its key anew, which takes half a second; a key that a
//! pod has is kept in its memory ([`super::keyring`]). This only reads: restic alone writes. It takes no lock; what a
//! `prune` takes away meanwhile fails to decrypt or to arrive, and restic is asked instead.

mod blob;
pub(super) mod find;
mod packs;
mod tree;
mod walk;

use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustic_core::repofile::{BlobType, MasterKey, SnapshotFile};
use rustic_core::{
    BlobId, Credentials, DataId, Id, IndexedFullStatus, Repository, RepositoryBackends, RepositoryOptions,
    RusticError, TreeId,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::blob::Decoder;
use self::packs::{Order, Packs};
pub(super) use self::tree::Tree;
pub use self::walk::{Inside, Stop};
use super::keyring;
use super::source::{Opened, Source};
use crate::backend::SecretText;

/// How much may wait to be taken.
const WAITING: usize = 4;
/// What is kept of a repository is forgotten after so long.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A repository that was opened.
#[derive(Debug)]
pub struct Native {
    repository: Repository<IndexedFullStatus>,
    packs: Arc<Packs>,
}

impl Native {
    /// Opens a component's repository and reads its index.
    ///
    /// # Errors
    /// Why it cannot be read in this way; may hold secrets, clean it.
    pub async fn open(opened: &Opened, source: &Source) -> Result<Self, String> {
        let packs = Arc::new(Packs::new(
            opened.documents.clone(),
            opened.dir.clone(),
            Handle::current(),
        ));
        let kept = source.remembers.then(|| keyring::Place::of(source, &opened.dir));
        let known = match &kept {
            Some(place) => place.ask().await,
            None => None,
        };
        let how = Opening {
            password: source.password.clone(),
            cache: source.scratch.join("content-cache"),
        };
        let open = tokio::task::spawn_blocking(move || {
            // A repository that was made anew in the same place has another key.
            let quick = known.and_then(|key| how.open(packs.clone(), Some(&key)).ok());
            match quick {
                Some(native) => Ok((native, None)),
                None => how.open(packs, None).map(|native| {
                    let key = serde_json::to_string(&native.repository.key()).ok();
                    (native, key)
                }),
            }
        });
        let (native, derived) = open.await.map_err(|e| e.to_string())??;
        if let (Some(place), Some(key)) = (kept, derived) {
            place.keep(key).await;
        }
        Ok(native)
    }

    /// The tree of a snapshot.
    fn root(&self, id: &str) -> Result<TreeId, String> {
        Ok(self
            .roots(&[id.to_owned()])?
            .first()
            .ok_or("there is no such snapshot")?
            .1)
    }

    /// The ids and trees of snapshots; all when none are named.
    fn roots(&self, ids: &[String]) -> Result<Vec<(String, TreeId)>, String> {
        let snapshots = if ids.is_empty() {
            self.repository.get_all_snapshots()
        } else {
            self.repository.get_snapshots(ids)
        };
        let snapshots = snapshots.map_err(|e| said(&e))?;
        let named = |s: SnapshotFile| (s.id.to_hex().as_str().to_owned(), s.tree);
        Ok(snapshots.into_iter().map(named).collect())
    }

    /// A tree as restic wrote it; [`Tree::parse`] reads it.
    fn tree(&self, id: TreeId) -> Result<bytes::Bytes, String> {
        let blob = self.repository.get_blob_cached(&BlobId::from(id), BlobType::Tree);
        blob.map_err(|e| said(&e))
    }

    /// What opens the pieces of files.
    pub(super) fn decoder(&self) -> Result<Decoder, String> {
        Decoder::new(&self.repository.key())
    }

    /// One piece of a file.
    pub(super) fn blob(&self, id: DataId, decoder: &mut Decoder) -> Result<bytes::Bytes, String> {
        let (pack, range, plain) = self.place(&id)?;
        decoder.open(plain, |to| self.packs.gather(&pack, range, to))
    }

    /// Where a piece lies: its pack, its bytes there, and how many it has where it is compressed.
    fn place(&self, id: &DataId) -> Result<(Id, Range<u32>, Option<NonZeroU32>), String> {
        let entry = self.repository.get_index_entry(id).map_err(|e| said(&e))?;
        let place = entry.location;
        let range = place.offset..place.offset.saturating_add(place.length);
        Ok((*entry.pack, range, place.uncompressed_length))
    }

    /// How many bytes the pieces have together; `None` where the index does not have one.
    pub(super) fn sum(&self, blobs: &[DataId]) -> Option<u64> {
        let sizes = blobs.iter().map(|blob| {
            let entry = self.repository.get_index_entry(blob).ok()?;
            Some(u64::from(entry.location.data_length()))
        });
        sizes.sum()
    }

    /// Says which pieces will be read, in this order; once.
    pub(super) fn expect<'a>(&self, blobs: impl IntoIterator<Item = &'a DataId>) {
        let places = blobs.into_iter().filter_map(|blob| {
            let (pack, range, _) = self.place(blob).ok()?;
            Some((pack, range))
        });
        self.packs.expect(Order::new(places));
    }

    /// Runs work that waits for the storage in a thread of its own; what it hands on comes as it goes, and it is told when
    /// nobody takes any more.
    pub(super) fn stream<T: Send + 'static, E: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &mut dyn FnMut(T) -> bool) -> Result<(), E> + Send + 'static,
    ) -> (mpsc::Receiver<T>, tokio::task::JoinHandle<Result<(), E>>) {
        let (say, heard) = mpsc::channel(WAITING);
        let native = self.clone();
        let working =
            tokio::task::spawn_blocking(move || work(&native, &mut |one| say.blocking_send(one).is_ok()));
        (heard, working)
    }
}

/// How a repository is opened.
struct Opening {
    password: SecretText,
    /// Holds files as they are in repositories, a directory for each.
    cache: PathBuf,
}

impl Opening {
    fn open(&self, packs: Arc<Packs>, known: Option<&str>) -> Result<Native, String> {
        let key: Option<MasterKey> = known.and_then(|text| serde_json::from_str(text).ok());
        let credentials = match key {
            Some(key) => Credentials::Masterkey(key),
            None => Credentials::password(self.password.expose()),
        };
        let backends = RepositoryBackends::new(packs.clone(), None);
        self.forget();
        let options = RepositoryOptions::default().cache_dir(self.cache.clone());
        let repository = Repository::new(&options, &backends)
            .and_then(|repository| repository.open(&credentials))
            .and_then(Repository::to_indexed)
            .map_err(|e| said(&e))?;
        // Says when it was last needed; where that cannot be written, it is only read again some time.
        let used = self.cache.join(repository.config().id.to_hex().as_str());
        let _ = std::fs::File::open(used).and_then(|dir| dir.set_modified(SystemTime::now()));
        Ok(Native { repository, packs })
    }

    /// Removes what was not needed for a month.
    fn forget(&self) {
        for entry in std::fs::read_dir(&self.cache).into_iter().flatten().flatten() {
            let used = entry.metadata().ok().filter(std::fs::Metadata::is_dir);
            let age = used.and_then(|dir| dir.modified().ok()?.elapsed().ok());
            if age.is_some_and(|age| age > UNUSED) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn said(error: &RusticError) -> String {
    error.display_log()
}
