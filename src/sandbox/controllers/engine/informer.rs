//! One kind, watched once and kept in memory, and the only door through which controllers write that kind.
//!
//! What a write returns is put into the cache before the write is reported as done, so a controller that looks
//! again sees it although the watch has not delivered it yet. Older news from the watch never replaces newer
//! knowledge, and an object known to be gone does not come back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use futures::StreamExt;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Key, controller_of};

/// How many deletions are remembered against late news from the watch.
const REMEMBERED: usize = 1024;

/// What a kind must be able to do to be watched and written.
pub(in super::super) trait Object:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}
impl<K> Object for K where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

type Opener<K> = Box<dyn Fn(&str) -> Api<K> + Send + Sync>;
type Listener<K> = Box<dyn Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync>;

/// All objects of one kind.
pub(in super::super) struct Informer<K> {
    everywhere: Api<K>,
    pub(super) open: Opener<K>,
    selection: watcher::Config,
    state: RwLock<State<K>>,
    listeners: RwLock<Vec<Listener<K>>>,
    synced: watch::Sender<bool>,
}

struct State<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Keys by the uid of their controller.
    controlled: HashMap<String, BTreeSet<Key>>,
    gone: HashSet<String>,
    gone_in_order: VecDeque<String>,
}

impl<K: Object> State<K> {
    fn remember_gone(&mut self, uid: String) {
        if self.gone.insert(uid.clone()) {
            self.gone_in_order.push_back(uid);
            if self.gone_in_order.len() > REMEMBERED
                && let Some(oldest) = self.gone_in_order.pop_front()
            {
                self.gone.remove(&oldest);
            }
        }
    }

    fn unlink(&mut self, key: &Key, object: &K) {
        if let Some(owner) = controller_of(object)
            && let Some(keys) = self.controlled.get_mut(&owner.uid)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.controlled.remove(&owner.uid);
            }
        }
    }

    /// Takes the object in unless something as new or newer is known; returns what it replaced.
    fn put(&mut self, key: &Key, object: &Arc<K>) -> Option<Option<Arc<K>>> {
        if object
            .meta()
            .uid
            .as_ref()
            .is_some_and(|uid| self.gone.contains(uid))
        {
            return None;
        }
        let old = self.objects.get(key).cloned();
        if let Some(old) = &old
            && !is_newer(object.as_ref(), old.as_ref())
        {
            return None;
        }
        if let Some(old) = &old {
            self.unlink(key, old);
        }
        if let Some(owner) = controller_of(object.as_ref()) {
            self.controlled
                .entry(owner.uid.clone())
                .or_default()
                .insert(key.clone());
        }
        self.objects.insert(key.clone(), Arc::clone(object));
        Some(old)
    }

    fn take(&mut self, key: &Key) -> Option<Arc<K>> {
        let old = self.objects.remove(key)?;
        self.unlink(key, &old);
        Some(old)
    }
}

/// Resource versions are compared as numbers where they are numbers, as Kubernetes has allowed since 1.35.
fn is_newer(new: &impl Resource, old: &impl Resource) -> bool {
    let version = |meta: &kube::core::ObjectMeta| meta.resource_version.as_ref()?.parse::<u64>().ok();
    match (version(new.meta()), version(old.meta())) {
        (Some(new), Some(old)) => new > old,
        _ => new.meta().resource_version != old.meta().resource_version,
    }
}

impl<K: Object> Informer<K> {
    /// The informer of a kind that lives in namespaces.
    pub(in super::super) fn namespaced(client: &Client) -> Arc<Self>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    {
        let inner = client.clone();
        Self::build(
            Api::all(client.clone()),
            watcher::Config::default(),
            Box::new(move |namespace| Api::namespaced(inner.clone(), namespace)),
        )
    }

    /// As [`Informer::namespaced`], for the objects of one name only.
    pub(in super::super) fn named(client: &Client, name: &str) -> Arc<Self>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    {
        let inner = client.clone();
        Self::build(
            Api::all(client.clone()),
            watcher::Config::default().fields(&format!("metadata.name={name}")),
            Box::new(move |namespace| Api::namespaced(inner.clone(), namespace)),
        )
    }

    /// The informer of a kind that belongs to the whole cluster.
    pub(in super::super) fn cluster(client: &Client) -> Arc<Self>
    where
        K: Resource<Scope = k8s_openapi::ClusterResourceScope>,
    {
        let inner = client.clone();
        Self::build(
            Api::all(client.clone()),
            watcher::Config::default(),
            Box::new(move |_| Api::all(inner.clone())),
        )
    }

    fn build(everywhere: Api<K>, selection: watcher::Config, open: Opener<K>) -> Arc<Self> {
        Arc::new(Self {
            everywhere,
            open,
            selection,
            state: RwLock::new(State {
                objects: BTreeMap::new(),
                controlled: HashMap::new(),
                gone: HashSet::new(),
                gone_in_order: VecDeque::new(),
            }),
            listeners: RwLock::new(Vec::new()),
            synced: watch::Sender::new(false),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `listener` with the old and the new state at each change. Must not block.
    pub(in super::super) fn on_change(
        &self,
        listener: impl Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync + 'static,
    ) {
        self.listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(listener));
    }

    fn tell(&self, old: Option<&Arc<K>>, new: Option<&Arc<K>>) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter() {
            listener(old, new);
        }
    }

    pub(super) fn observe(&self, mut object: K) -> Arc<K> {
        object.managed_fields_mut().clear();
        let object = Arc::new(object);
        let replaced = self.write().put(&Key::of(object.as_ref()), &object);
        if let Some(old) = replaced {
            self.tell(old.as_ref(), Some(&object));
        }
        object
    }

    pub(super) fn forget(&self, key: &Key, uid: Option<&str>) {
        let old = {
            let mut state = self.write();
            if let Some(uid) = uid {
                state.remember_gone(uid.to_owned());
            }
            let same = state
                .objects
                .get(key)
                .is_some_and(|known| uid.is_none() || known.meta().uid.as_deref() == uid);
            same.then(|| state.take(key)).flatten()
        };
        if let Some(old) = old {
            self.tell(Some(&old), None);
        }
    }

    /// Watches until told to stop.
    pub(in super::super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let stream = watcher(self.everywhere.clone(), self.selection.clone()).default_backoff();
        let mut stream = Box::pin(stream.take_until(stop.cancelled_owned()));
        let mut listed = HashSet::new();
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(Key::of(&object));
                    self.observe(object);
                }
                Ok(Event::InitDone) => {
                    let known: Vec<_> = self.read().objects.keys().cloned().collect();
                    for key in known.iter().filter(|key| !listed.contains(key)) {
                        self.forget(key, None);
                    }
                    listed = HashSet::new();
                    self.synced.send_replace(true);
                }
                Ok(Event::Apply(object)) => drop(self.observe(object)),
                Ok(Event::Delete(object)) => {
                    self.forget(&Key::of(&object), object.meta().uid.as_deref());
                }
                Err(error) => {
                    tracing::debug!(kind = %K::kind(&()), %error, "watch broke off, starting again");
                }
            }
        }
    }

    /// Waits until the first list is complete.
    pub(in super::super) async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives in self, so waiting cannot fail.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// The object of this name, as last seen.
    pub(in super::super) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// Every object.
    pub(in super::super) fn all(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// Every object of one namespace.
    pub(in super::super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.read()
            .objects
            .range(Key::new(namespace, "")..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Every object whose controller has this uid.
    pub(in super::super) fn controlled_by(&self, uid: &str) -> Vec<Arc<K>> {
        let state = self.read();
        let keys = state.controlled.get(uid);
        keys.into_iter()
            .flatten()
            .filter_map(|key| state.objects.get(key).cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn map(version: &str, uid: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {
            "namespace": "a", "name": "m", "resourceVersion": version, "uid": uid,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "owner", "controller": true}],
        }}))
        .unwrap()
    }

    fn informer() -> Arc<Informer<ConfigMap>> {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
        });
        Informer::namespaced(&Client::new(service, "default"))
    }

    #[tokio::test]
    async fn older_news_do_not_replace_newer_knowledge() {
        let informer = informer();
        informer.observe(map("12", "u"));
        informer.observe(map("9", "u"));
        let known = informer.get(&Key::new("a", "m")).unwrap();
        assert_eq!(known.resource_version().unwrap(), "12");
        assert_eq!(informer.controlled_by("owner").len(), 1);
    }

    #[tokio::test]
    async fn what_is_gone_does_not_come_back_but_a_namesake_may() {
        let informer = informer();
        let key = Key::new("a", "m");
        informer.observe(map("5", "u"));
        informer.forget(&key, Some("u"));
        informer.observe(map("6", "u"));
        assert!(informer.get(&key).is_none());
        assert!(informer.controlled_by("owner").is_empty());
        informer.observe(map("7", "other"));
        assert!(informer.get(&key).is_some());
    }
}
