//! Where objects live: in memory, ordered, each write with the next resourceVersion, each write remembered for a
//! while so that watches can start in the past, and each write appended to a log if there is a state directory.
//!
//! The store knows nothing of kinds. It promises: versions only grow (across restarts too); a reader that follows
//! [`Store::changes`] misses nothing or is told that it did ([`Expired`]); a write with an expected version either
//! happens on exactly that version or not at all.

mod log;
mod shelf;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::object;
use log::{Log, Record};
use shelf::Shelf;

/// Objects larger than this (as JSON) are kept as bytes and parsed when read: parsed JSON takes ten times the room,
/// and the only objects of this size are CRDs.
const PACK_ABOVE: usize = 32 << 10;

/// A kind of object, without its version: all versions share one storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupResource {
    pub(crate) group: String,
    pub(crate) resource: String,
}

impl GroupResource {
    pub(crate) fn new(group: &str, resource: &str) -> Self {
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
        }
    }
}

/// Namespace ("" for cluster-wide objects) and name.
pub(crate) type ObjectKey = (String, String);

/// An object at rest.
#[derive(Debug, Clone)]
pub(crate) enum Stored {
    /// Parsed.
    Plain(Arc<Value>),
    /// As JSON text, because it is large.
    Packed(Arc<[u8]>),
}

impl Stored {
    fn new(value: Arc<Value>, text: &[u8]) -> Self {
        if text.len() > PACK_ABOVE {
            Self::Packed(text.into())
        } else {
            Self::Plain(value)
        }
    }

    /// The object where it is kept parsed.
    fn parsed(&self) -> Option<&Arc<Value>> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Packed(_) => None,
        }
    }

    /// The same as text.
    fn packed(&self) -> Self {
        match self {
            Self::Plain(value) => Self::Packed(serde_json::to_vec(&**value).unwrap_or_default().into()),
            Self::Packed(_) => self.clone(),
        }
    }

    /// The object.
    pub(crate) fn value(&self) -> Arc<Value> {
        match self {
            Self::Plain(value) => value.clone(),
            // The bytes were written by this store.
            Self::Packed(text) => Arc::new(serde_json::from_slice(text).unwrap_or_default()),
        }
    }
}

/// One write, as watches see it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The object after the write; for a deletion as it was last, with the deletion's version.
    pub(crate) object: Stored,
    /// The object before the write.
    pub(crate) previous: Option<Stored>,
    pub(crate) deleted: bool,
    /// Bytes as JSON.
    size: usize,
}

/// The changes asked for are no longer remembered.
#[derive(Debug)]
pub(crate) struct Expired;

/// Why a write did not happen.
#[derive(Debug)]
pub(crate) enum WriteError {
    Exists,
    Missing,
    /// The object is at another version.
    Conflict,
    /// The log could not be written.
    Io(io::Error),
}

/// A page of objects.
pub(crate) struct Listing {
    /// The version at which the page was read.
    pub(crate) version: u64,
    pub(crate) objects: Vec<(ObjectKey, Stored)>,
}

struct Inner {
    version: u64,
    shelves: HashMap<GroupResource, Shelf>,
    /// The version at which this process started: what was before is not in the history.
    started: u64,
    log: Option<Log>,
}

/// The store. Cheap to share behind an `Arc`.
pub(crate) struct Store {
    inner: Mutex<Inner>,
}

impl Store {
    /// Opens the state of a directory, or an empty store in memory.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let mut inner = Inner {
            version: 0,
            shelves: HashMap::new(),
            started: 0,
            log: None,
        };
        if let Some(dir) = dir {
            let (log, records, version) = Log::open(dir)?;
            inner.version = version;
            for record in records {
                inner.replay(record);
            }
            inner.log = Some(log);
        }
        // A fresh store starts above zero, because "0" means "any version" in requests.
        inner.version = inner.version.max(1);
        inner.started = inner.version;
        let (started, shelves) = (inner.started, &mut inner.shelves);
        for shelf in shelves.values_mut() {
            shelf.floor = started;
            shelf.news.send_replace(started);
        }
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while holding the lock leaves the maps whole: each write is one insertion.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of the latest write.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// One object.
    pub(crate) fn get(&self, kind: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let stored = {
            let inner = self.lock();
            inner
                .shelves
                .get(kind)?
                .objects
                .get(&(namespace.to_owned(), name.to_owned()))?
                .clone()
        };
        Some(stored.value())
    }

    /// All objects of a kind, of one namespace if given, in order of namespace and name.
    pub(crate) fn list(&self, kind: &GroupResource, namespace: Option<&str>) -> Listing {
        let inner = self.lock();
        let Some(shelf) = inner.shelves.get(kind) else {
            return Listing {
                version: inner.version,
                objects: Vec::new(),
            };
        };
        let objects = match namespace {
            None => shelf
                .objects
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            Some(ns) => shelf
                .objects
                .range((ns.to_owned(), String::new())..)
                .take_while(|((n, _), _)| n == ns)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        };
        Listing {
            version: inner.version,
            objects,
        }
    }

    /// Whether any object of the kind is there.
    pub(crate) fn is_empty(&self, kind: &GroupResource) -> bool {
        self.lock().shelves.get(kind).is_none_or(|s| s.objects.is_empty())
    }

    /// Adds an object; gives it its version.
    pub(crate) fn create(&self, kind: &GroupResource, object: Value) -> Result<Arc<Value>, WriteError> {
        self.lock().write(kind, object, None)
    }

    /// Replaces the object that is at version `expected`.
    pub(crate) fn update(
        &self,
        kind: &GroupResource,
        object: Value,
        expected: &str,
    ) -> Result<Arc<Value>, WriteError> {
        self.lock().write(kind, object, Some(expected))
    }

    /// Removes the object that is at version `expected`; answers it as it was last, at the deletion's version.
    pub(crate) fn delete(
        &self,
        kind: &GroupResource,
        namespace: &str,
        name: &str,
        expected: &str,
    ) -> Result<Arc<Value>, WriteError> {
        let mut inner = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let current = inner
            .shelves
            .get(kind)
            .and_then(|s| s.objects.get(&key))
            .cloned()
            .ok_or(WriteError::Missing)?;
        let value = current.value();
        if object::resource_version(&value) != expected {
            return Err(WriteError::Conflict);
        }
        let version = inner.version + 1;
        inner.append(&Record::delete(version, kind, &key))?;
        inner.version = version;
        let mut last = (*value).clone();
        object::metadata(&mut last).insert("resourceVersion".into(), json!(version.to_string()));
        let text = serde_json::to_vec(&last).unwrap_or_default();
        let last = Arc::new(last);
        let change = Change {
            version,
            namespace: key.0.clone(),
            name: key.1.clone(),
            object: Stored::new(last.clone(), &text),
            previous: Some(current),
            deleted: true,
            size: text.len(),
        };
        let shelf = inner.shelf(kind);
        shelf.objects.remove(&key);
        shelf.remember(change);
        Ok(last)
    }

    /// The changes of a kind after `version`, oldest first.
    pub(crate) fn changes(&self, kind: &GroupResource, version: u64) -> Result<Vec<Change>, Expired> {
        let inner = self.lock();
        let Some(shelf) = inner.shelves.get(kind) else {
            return if version < inner.started {
                Err(Expired)
            } else {
                Ok(Vec::new())
            };
        };
        if version < shelf.floor {
            return Err(Expired);
        }
        let start = shelf.history.partition_point(|c| c.version <= version);
        Ok(shelf.history.range(start..).cloned().collect())
    }

    /// Tells whenever something of the kind was written.
    pub(crate) fn news(&self, kind: &GroupResource) -> watch::Receiver<u64> {
        self.lock().shelf(kind).news.subscribe()
    }
}

impl Inner {
    fn shelf(&mut self, kind: &GroupResource) -> &mut Shelf {
        let floor = self.started;
        self.shelves
            .entry(kind.clone())
            .or_insert_with(|| Shelf::new(floor))
    }

    fn replay(&mut self, record: Record) {
        self.version = self.version.max(record.version);
        let shelf = self.shelf(&record.kind);
        match record.object {
            Some((value, text)) => {
                shelf
                    .objects
                    .insert(record.key, Stored::new(Arc::new(value), &text));
            }
            None => {
                shelf.objects.remove(&record.key);
            }
        }
    }

    fn append(&mut self, record: &[u8]) -> Result<(), WriteError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        log.append(record).map_err(WriteError::Io)?;
        if log.wants_compaction() {
            let live = self.shelves.iter().flat_map(|(kind, shelf)| {
                shelf
                    .objects
                    .iter()
                    .map(move |(key, stored)| (kind, key, stored.value()))
            });
            log.compact(self.version, live).map_err(WriteError::Io)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        kind: &GroupResource,
        mut object: Value,
        expected: Option<&str>,
    ) -> Result<Arc<Value>, WriteError> {
        let key = (
            object::namespace(&object).to_owned(),
            object::name(&object).to_owned(),
        );
        let current = self.shelves.get(kind).and_then(|s| s.objects.get(&key)).cloned();
        match (expected, &current) {
            (None, Some(_)) => return Err(WriteError::Exists),
            (Some(_), None) => return Err(WriteError::Missing),
            (Some(expected), Some(stored)) if object::resource_version(&stored.value()) != expected => {
                return Err(WriteError::Conflict);
            }
            _ => {}
        }
        let version = self.version + 1;
        object::metadata(&mut object).insert("resourceVersion".into(), json!(version.to_string()));
        let text = serde_json::to_vec(&object).unwrap_or_default();
        self.append(&Record::put(version, kind, &key, &text))?;
        self.version = version;
        let value = Arc::new(object);
        let stored = Stored::new(value.clone(), &text);
        let change = Change {
            version,
            namespace: key.0.clone(),
            name: key.1.clone(),
            object: stored.clone(),
            previous: current,
            deleted: false,
            size: text.len(),
        };
        let shelf = self.shelf(kind);
        shelf.objects.insert(key, stored);
        shelf.remember(change);
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
