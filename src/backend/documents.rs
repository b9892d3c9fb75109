//! The documents beside the data: small YAML files, read and written with bounds.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload};

use super::bucket::Maker;
use super::{BackendError, Problem, Storage, join};

/// How long one call may take, its retries included.
const CALL: Duration = Duration::from_secs(20);
/// How long a piece of a pack may take, over a slow line.
const PIECE: Duration = Duration::from_secs(600);
/// How long a listing of everything, or its deletion, may take.
const SWEEP: Duration = Duration::from_secs(3600);
/// Documents above this size are no documents.
const DOCUMENT: u64 = 16 << 20;

/// A client for what lies below a storage's prefix. Paths are relative to it, with single slashes.
#[derive(Clone)]
pub struct Documents {
    store: Arc<dyn ObjectStore>,
    label: String,
    place: String,
    /// For local storages: the directory, whose empty sub-directories object stores do not know.
    root: Option<PathBuf>,
    prefix: String,
    /// How many deletions may run at a time.
    parallel: usize,
    /// Where a bucket that is missing can be made.
    maker: Option<Arc<Maker>>,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Documents({} at {}/{})", self.label, self.place, self.prefix)
    }
}

/// An object below the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the storage's prefix.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was last written, as the storage says.
    pub modified: Option<jiff::Timestamp>,
}

impl Entry {
    fn new(path: String, meta: &object_store::ObjectMeta) -> Self {
        Self {
            path,
            size: meta.size,
            modified: jiff::Timestamp::from_second(meta.last_modified.timestamp()).ok(),
        }
    }
}

impl Storage {
    /// Opens the storage. Nothing is asked of the provider yet.
    ///
    /// # Errors
    /// When the storage or its Secret cannot work as written, or a local directory does not exist.
    pub fn documents(&self) -> Result<Documents, BackendError> {
        self.opened(None)
    }

    /// The same for an Azure account at another address (`http://127.0.0.1:10000/account`): an emulator's. The spec has no
    /// field for one, and restic could not go there.
    ///
    /// # Errors
    /// As [`Self::documents`].
    pub fn documents_at(&self, endpoint: &str) -> Result<Documents, BackendError> {
        self.opened(Some(endpoint))
    }

    fn opened(&self, endpoint: Option<&str>) -> Result<Documents, BackendError> {
        let opened = self.store(endpoint)?;
        let spec = &self.spec;
        let connections = [
            spec.local.as_ref().and_then(|s| s.max_connections),
            spec.s3.as_ref().and_then(|s| s.max_connections),
            spec.gcs.as_ref().and_then(|s| s.max_connections),
            spec.azure.as_ref().and_then(|s| s.max_connections),
        ];
        let most = connections.into_iter().flatten().max().unwrap_or(0);
        Ok(Documents {
            store: opened.store,
            label: self.label.clone(),
            place: opened.place,
            root: self.local_root.clone().filter(|_| self.spec.provider == "local"),
            prefix: self.prefix().to_owned(),
            parallel: usize::try_from(most).unwrap_or(0).clamp(10, 100),
            maker: opened.maker,
        })
    }
}

impl Documents {
    /// The endpoint and bucket, or the directory, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Makes the bucket that is missing and answers `true`; `false` where it is for people to make one (everywhere but
    /// with Google). Only for storages that were never reached before.
    ///
    /// # Errors
    /// [`Problem::BucketMissing`] when it cannot be made, with the reason; else as classified.
    pub async fn make_bucket(&self) -> Result<bool, BackendError> {
        match &self.maker {
            Some(maker) => maker.make(&self.label).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether there is an object at the path.
    ///
    /// # Errors
    /// As classified; a missing bucket is an error, not an absence.
    pub async fn exists(&self, path: &str) -> Result<bool, BackendError> {
        let at = self.at(path)?;
        match self.bounded(CALL, self.store.head(&at)).await {
            Ok(_) => Ok(true),
            // The answer to HEAD has no body, so "no such bucket" looks like "no such key". Ask in a way that tells.
            Err(error) if error.problem == Problem::NotFound => {
                self.reachable().await?;
                Ok(false)
            }
            // The same with "wrong key", which looks like "not allowed".
            Err(error) if error.problem == Problem::AccessDenied => {
                self.reachable().await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Proves that the place answers, lists, and accepts the credentials.
    ///
    /// # Errors
    /// As classified.
    pub async fn reachable(&self) -> Result<(), BackendError> {
        // One page at most, of a directory that is never there: the cheapest listing that there is.
        let at = self.at("kubestash-reachability")?;
        let answer = self
            .bounded(CALL, self.store.list_with_delimiter(Some(&at)))
            .await;
        match answer {
            Err(error) if error.problem != Problem::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The content of a document; `None` when it is not there.
    ///
    /// # Errors
    /// As classified; also when it is larger than 16 MiB.
    pub async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, BackendError> {
        let at = self.at(path)?;
        let read = async {
            let found = self.store.get(&at).await?;
            if found.meta.size > DOCUMENT {
                return Ok(Err(found.meta.size));
            }
            Ok(Ok(found.bytes().await?.to_vec()))
        };
        match self.bounded(CALL, read).await {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(size)) => Err(self.other(&format!(
                "{path} has {size} bytes, more than any document of ours"
            ))),
            Err(error) if error.problem == Problem::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a file of any kind, or a range of them; its absence is an error.
    ///
    /// # Errors
    /// As classified.
    pub async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes, BackendError> {
        let at = self.at(path)?;
        let read = async {
            match range {
                Some(range) => self.store.get_range(&at, range).await,
                None => self.store.get(&at).await?.bytes().await,
            }
        };
        self.bounded(PIECE, read).await
    }

    /// A range of a file as it came, in many parts: what is large is not copied to lie together.
    ///
    /// # Errors
    /// As classified.
    pub async fn read_parts(&self, path: &str, range: Range<u64>) -> Result<Vec<Bytes>, BackendError> {
        let at = self.at(path)?;
        let options = GetOptions::new().with_range(Some(range));
        let read = async {
            let found = self.store.get_opts(&at, options).await?;
            if let GetResultPayload::Stream(_) = found.payload {
                return found.into_stream().try_collect().await;
            }
            // A file on a disk streams in small pieces.
            Ok(vec![found.bytes().await?])
        };
        self.bounded(PIECE, read).await
    }

    /// Writes a document; readers see the old or the new one, never a part.
    ///
    /// # Errors
    /// As classified.
    pub async fn put(&self, path: &str, content: impl Into<Vec<u8>>) -> Result<(), BackendError> {
        let at = self.at(path)?;
        let payload = PutPayload::from(content.into());
        self.bounded(CALL, self.store.put(&at, payload)).await?;
        Ok(())
    }

    /// Deletes a document; one that is gone already is no error.
    ///
    /// # Errors
    /// As classified.
    pub async fn delete(&self, path: &str) -> Result<(), BackendError> {
        let at = self.at(path)?;
        match self.bounded(CALL, self.store.delete(&at)).await {
            Err(error) if error.problem != Problem::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Everything below a directory, sub-directories included, sorted by path. A directory that is not there is empty.
    ///
    /// # Errors
    /// As classified. A listing that breaks off in the middle is an error, never a short list.
    pub async fn list(&self, dir: &str) -> Result<Vec<Entry>, BackendError> {
        let at = self.at(dir)?;
        let listing = self.store.list(Some(&at)).try_collect::<Vec<_>>();
        let mut entries: Vec<Entry> = match self.bounded(SWEEP, listing).await {
            Ok(found) => found
                .into_iter()
                .map(|meta| Entry::new(self.relative(&meta.location), &meta))
                .collect(),
            Err(error) if error.problem == Problem::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// The objects directly in a directory, sorted by path.
    ///
    /// # Errors
    /// As classified.
    pub async fn list_directory(&self, dir: &str) -> Result<Vec<Entry>, BackendError> {
        let at = self.at(dir)?;
        let mut entries: Vec<Entry> = match self
            .bounded(CALL, self.store.list_with_delimiter(Some(&at)))
            .await
        {
            Ok(found) => found
                .objects
                .into_iter()
                .map(|meta| Entry::new(self.relative(&meta.location), &meta))
                .collect(),
            Err(error) if error.problem == Problem::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// The directories directly in a directory, as paths, sorted.
    ///
    /// # Errors
    /// As classified.
    pub async fn directories(&self, dir: &str) -> Result<Vec<String>, BackendError> {
        let at = self.at(dir)?;
        let listing = self.store.list_with_delimiter(Some(&at));
        let mut found: Vec<String> = match self.bounded(CALL, listing).await {
            Ok(found) => found.common_prefixes.iter().map(|it| self.relative(it)).collect(),
            Err(error) if error.problem == Problem::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        found.sort();
        Ok(found)
    }

    /// The sum of the sizes of everything below a directory, in bytes, at most for `limit` long.
    ///
    /// # Errors
    /// As classified, [`Problem::Unreachable`] when the time is over.
    pub async fn size(&self, dir: &str, limit: Duration) -> Result<u64, BackendError> {
        let at = self.at(dir)?;
        let sum = self
            .store
            .list(Some(&at))
            .try_fold(0_u64, async |sum, meta| Ok(sum + meta.size));
        match self.bounded(limit, sum).await {
            Err(error) if error.problem == Problem::NotFound => Ok(0),
            other => other,
        }
    }

    /// Deletes everything below a directory and returns how many objects that were. An empty `dir` means everything below
    /// the storage's prefix.
    ///
    /// # Errors
    /// As classified; what was deleted until then stays deleted, and a second call goes on.
    pub async fn delete_prefix(&self, dir: &str) -> Result<u64, BackendError> {
        let at = self.at(dir)?;
        let sweep = async {
            let found = self.store.list(Some(&at)).map_ok(|meta| meta.location);
            // Listed first, deleted then: a listing need not survive deletions in its middle.
            let found: Vec<_> = found.try_collect().await?;
            let count = found.len() as u64;
            let found = futures::stream::iter(found.into_iter().map(Ok)).boxed();
            let mut deleted = self.store.delete_stream(found).chunks(self.parallel);
            while let Some(batch) = deleted.next().await {
                for one in batch {
                    match one {
                        Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(count)
        };
        let count = match self.bounded(SWEEP, sweep).await {
            Err(error) if error.problem == Problem::NotFound => 0,
            other => other?,
        };
        if let Some(root) = self.root.clone() {
            let dir = root.join(at.as_ref());
            let cleared = tokio::task::spawn_blocking(move || remove_directories(&dir, dir == root)).await;
            if let Ok(Err(error)) = cleared {
                return Err(self.other(&format!("{}: {error}", self.place)));
            }
        }
        Ok(count)
    }

    /// The path below the bucket, or below the local root.
    fn at(&self, path: &str) -> Result<Path, BackendError> {
        Path::parse(join([self.prefix.as_str(), path])).map_err(|error| {
            BackendError::misconfigured(
                &self.label,
                &format!("the path \"{path}\" cannot be used: {error}"),
            )
        })
    }

    fn relative(&self, at: &Path) -> String {
        at.as_ref()
            .strip_prefix(self.prefix.as_str())
            .unwrap_or(at.as_ref())
            .trim_start_matches('/')
            .to_owned()
    }

    fn other(&self, what: &str) -> BackendError {
        BackendError {
            problem: Problem::Other,
            message: format!("{}: {what}", self.label),
        }
    }

    async fn bounded<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, BackendError> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(BackendError::from_store(&self.label, &self.place, &error)),
            Err(_) => Err(BackendError::timeout(&self.label, &self.place, limit.as_secs())),
        }
    }
}

/// Removes what the deletion of all files left of a directory; the root itself stays, it may be a mount point.
fn remove_directories(dir: &std::path::Path, root: bool) -> std::io::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    if !root {
        return std::fs::remove_dir_all(dir);
    }
    for child in std::fs::read_dir(dir)? {
        let child = child?;
        // What is no directory came after the listing, or was never ours to list.
        if child.file_type()?.is_dir() && child.file_name() != "lost+found" {
            std::fs::remove_dir_all(child.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::config::job_plan::PlanStorage;

    fn local(dir: &std::path::Path) -> Documents {
        Storage {
            label: "BackupStorage demo/local".into(),
            spec: PlanStorage {
                provider: "local".into(),
                ..PlanStorage::default()
            },
            local_root: Some(dir.into()),
            credentials: None,
        }
        .documents()
        .unwrap()
    }

    #[tokio::test]
    async fn documents_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let documents = local(dir.path());
        assert_eq!(documents.get("a/metadata.yaml").await.unwrap(), None);
        assert!(!documents.exists("a/metadata.yaml").await.unwrap());
        documents.put("a/metadata.yaml", "one").await.unwrap();
        documents.put("a/metadata.yaml", "two").await.unwrap();
        documents.put("a/snapshots/#1.yaml", "x").await.unwrap();
        std::fs::create_dir_all(dir.path().join("a/empty")).unwrap();
        assert!(documents.exists("a/metadata.yaml").await.unwrap());
        assert_eq!(documents.get("a/metadata.yaml").await.unwrap().unwrap(), b"two");
        assert_eq!(documents.list("a").await.unwrap().len(), 2);
        let listed = documents.list_directory("a").await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].path.as_str(), listed[0].size), ("a/metadata.yaml", 3));
        assert!(listed[0].modified.is_some());
        assert_eq!(documents.directories("").await.unwrap(), ["a"]);
        let below = documents.directories("a").await.unwrap();
        assert!(below.contains(&"a/snapshots".to_owned()), "{below:?}");
        assert!(documents.directories("nowhere").await.unwrap().is_empty());
        assert_eq!(documents.size("a", CALL).await.unwrap(), 4);
        documents.delete("a/metadata.yaml").await.unwrap();
        documents.delete("a/metadata.yaml").await.unwrap();
        assert_eq!(documents.delete_prefix("").await.unwrap(), 1);
        assert_eq!(documents.delete_prefix("").await.unwrap(), 0);
        assert!(
            std::fs::read_dir(dir.path()).unwrap().next().is_none(),
            "no empty directories stay"
        );
    }

    #[tokio::test]
    async fn a_path_cannot_leave_the_storage() {
        let dir = tempfile::tempdir().unwrap();
        let error = local(dir.path()).get("../outside").await.unwrap_err();
        assert_eq!(error.problem, Problem::Misconfigured);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let storage = Storage {
            label: "BackupStorage demo/local".into(),
            spec: PlanStorage {
                provider: "local".into(),
                ..PlanStorage::default()
            },
            local_root: Some("/nowhere/at/all".into()),
            credentials: None,
        };
        let error = storage.documents().unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
