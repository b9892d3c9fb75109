//! The garbage collector: what is owned goes with its owners, in the way their deletion asked for (background,
//! foreground, orphan). It works on every kind the API server serves, custom ones too.
//!
//! Kinds that other controllers watch anyway are not watched a second time: see [`GarbageCollector::attach`]. Of
//! the others only the metadata is asked for, and of that only what matters is kept.

mod graph;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{
    Api, DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use graph::{Graph, How, Item, ORPHAN, Verdict};

use super::engine::{Controller, Error, Informer, Key, Next, Object, Queue};
use super::resources::{Resources, Served};

type Metadata = PartialObjectMeta<DynamicObject>;

/// The garbage collector. Its keys are uids.
#[derive(Clone)]
pub(super) struct GarbageCollector {
    client: Client,
    graph: Arc<Mutex<Graph>>,
    queue: Arc<Queue>,
    resources: Resources,
    /// Group and kind of what is watched elsewhere.
    attached: Arc<Mutex<Vec<(String, String)>>>,
}

impl GarbageCollector {
    /// A collector of the kinds in `resources`; returns it and its queue.
    pub(super) fn new(client: Client, resources: Resources) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let collector = Self {
            client,
            graph: Arc::default(),
            queue: Arc::clone(&queue),
            resources,
            attached: Arc::default(),
        };
        (collector, queue)
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns of a kind's objects through an informer that exists anyway. The informer must show all of them.
    pub(super) fn attach<K: Object>(&self, informer: &Informer<K>, namespaced: bool) {
        let resource = ApiResource::erase::<K>(&());
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.push((resource.group.clone(), resource.kind.clone()));
        let kind = Arc::new(Served { resource, namespaced });
        let collector = self.clone();
        informer.on_change(move |old, new| match (old, new) {
            (Some(old), Some(new)) if old.meta().uid != new.meta().uid => {
                collector.forget(old.meta());
                collector.learn(&kind, new.meta());
            }
            (_, Some(new)) => collector.learn(&kind, new.meta()),
            (Some(old), None) => collector.forget(old.meta()),
            (None, None) => {}
        });
    }

    fn learn(&self, kind: &Arc<Served>, meta: &kube::core::ObjectMeta) {
        if let Some(uid) = &meta.uid {
            let look = self.graph().put(uid, Item::new(kind, meta));
            self.look_at(look);
        }
    }

    fn forget(&self, meta: &kube::core::ObjectMeta) {
        if let Some(uid) = &meta.uid {
            let look = self.graph().remove(uid);
            self.look_at(look);
        }
    }

    fn look_at(&self, uids: Vec<String>) {
        for uid in uids {
            self.queue.add(Key::new("", uid));
        }
    }

    /// Watches every kind that is not attached, as long as the API server serves it, until told to stop.
    pub(super) async fn watch_kinds(self, stop: CancellationToken) {
        let mut resources = self.resources.clone();
        let mut watches: HashMap<(String, String), (CancellationToken, Arc<Served>)> = HashMap::new();
        loop {
            let served = Arc::clone(&resources.borrow_and_update());
            let attached = self
                .attached
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let name = |kind: &Served| (kind.resource.group.clone(), kind.resource.kind.clone());
            let mut wanted: HashMap<_, _> = served
                .iter()
                .filter(|kind| kind.resource.kind != "Event" && !attached.contains(&name(kind)))
                .map(|kind| (name(kind), kind.clone()))
                .collect();
            watches.retain(|name, (token, kind)| {
                let stays = wanted.remove(name).is_some_and(|wanted| wanted == **kind);
                if !stays {
                    token.cancel();
                    self.drop_kind(kind);
                }
                stays
            });
            for (name, kind) in wanted {
                let token = stop.child_token();
                let kind = Arc::new(kind);
                tokio::spawn(self.clone().watch(Arc::clone(&kind), token.clone()));
                watches.insert(name, (token, kind));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = resources.changed() => if changed.is_err() { return },
            }
        }
    }

    fn drop_kind(&self, kind: &Served) {
        let mut look = Vec::new();
        let mut graph = self.graph();
        for uid in graph.of_kind(kind) {
            look.extend(graph.remove(&uid));
        }
        drop(graph);
        self.look_at(look);
    }

    async fn watch(self, kind: Arc<Served>, stop: CancellationToken) {
        let api: Api<Metadata> = Api::all_with(self.client.clone(), &kind.resource);
        let stream = watcher(api, watcher::Config::default()).default_backoff();
        let mut stream = Box::pin(stream.take_until(stop.cancelled_owned()));
        let mut listed = Vec::new();
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.extend(object.uid());
                    self.learn(&kind, object.meta());
                }
                Ok(Event::InitDone) => {
                    let known = self.graph().of_kind(&kind);
                    let mut look = Vec::new();
                    for uid in known.iter().filter(|uid| !listed.contains(uid)) {
                        look.extend(self.graph().remove(uid));
                    }
                    self.look_at(look);
                    listed = Vec::new();
                }
                Ok(Event::Apply(object)) => self.learn(&kind, object.meta()),
                Ok(Event::Delete(object)) => self.forget(object.meta()),
                Err(error) => {
                    tracing::debug!(kind = kind.resource.kind, %error, "watch broke off, starting again");
                }
            }
        }
    }

    fn api(&self, item: &Item) -> Api<DynamicObject> {
        if item.namespace.is_empty() {
            Api::all_with(self.client.clone(), &item.kind.resource)
        } else {
            Api::namespaced_with(self.client.clone(), &item.namespace, &item.kind.resource)
        }
    }

    /// The object as it is now, if it still is the one of this uid. Otherwise it is forgotten.
    async fn current(&self, uid: &str, item: &Item) -> Result<Option<Metadata>, Error> {
        let found = self.api(item).get_metadata_opt(&item.name).await?;
        let current = found.filter(|object| object.uid().as_deref() == Some(uid));
        match &current {
            Some(object) => self.learn(&item.kind, object.meta()),
            None => {
                let look = self.graph().remove(uid);
                self.look_at(look);
            }
        }
        Ok(current)
    }

    /// Whether the owner exists. An error means that nobody can tell; then nothing may be deleted.
    async fn exists(&self, owner: &OwnerReference, namespace: &str) -> Result<bool, Error> {
        let (group, _) = owner.api_version.rsplit_once('/').unwrap_or_default();
        let served = Arc::clone(&self.resources.borrow());
        let kind = served
            .iter()
            .find(|kind| kind.resource.group == group && kind.resource.kind == owner.kind);
        let kind = kind.ok_or_else(|| {
            Error::Other(format!(
                "the owner's kind {} of {} is not served",
                owner.kind, owner.api_version
            ))
        })?;
        let api: Api<DynamicObject> = match (kind.namespaced, namespace.is_empty()) {
            // A namespaced owner of an object that has no namespace cannot be.
            (true, true) => return Ok(false),
            (true, false) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            (false, _) => Api::all_with(self.client.clone(), &kind.resource),
        };
        let found = api.get_metadata_opt(&owner.name).await?;
        Ok(found.is_some_and(|found| found.uid().as_deref() == Some(&owner.uid)))
    }

    async fn delete(&self, uid: &str, item: &Item, how: How) -> Result<(), Error> {
        let policy = match how {
            How::Background => PropagationPolicy::Background,
            How::Foreground => PropagationPolicy::Foreground,
            How::Orphan => PropagationPolicy::Orphan,
        };
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self
            .api(item)
            .delete(&item.name, &params)
            .await
            .map_err(Error::from)
        {
            Err(error) if error.is_not_found() || error.is_conflict() => {
                self.current(uid, item).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    async fn patch(
        &self,
        item: &Item,
        current: &Metadata,
        field: &str,
        value: serde_json::Value,
    ) -> Result<(), Error> {
        let mut patch =
            json!({"metadata": {"uid": current.uid(), "resourceVersion": current.resource_version()}});
        patch["metadata"][field] = value;
        let patched = self
            .api(item)
            .patch_metadata(&item.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        match patched.map_err(Error::from) {
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
            Ok(patched) => {
                self.learn(&item.kind, patched.meta());
                Ok(())
            }
        }
    }

    async fn disown(&self, uid: &str, item: &Item, owners: &[String]) -> Result<(), Error> {
        let Some(current) = self.current(uid, item).await? else {
            return Ok(());
        };
        let kept: Vec<_> = current
            .owner_references()
            .iter()
            .filter(|owner| !owners.contains(&owner.uid))
            .collect();
        if kept.len() == current.owner_references().len() {
            return Ok(());
        }
        self.patch(item, &current, "ownerReferences", json!(kept)).await
    }

    async fn release(&self, uid: &str, item: &Item, finalizer: &str) -> Result<(), Error> {
        let Some(current) = self.current(uid, item).await? else {
            return Ok(());
        };
        let kept: Vec<_> = current
            .finalizers()
            .iter()
            .filter(|known| *known != finalizer)
            .collect();
        if kept.len() == current.finalizers().len() {
            return Ok(());
        }
        self.patch(item, &current, "finalizers", json!(kept)).await
    }

    async fn settle(&self, uid: &str) -> Result<(), Error> {
        let (verdict, item) = {
            let graph = self.graph();
            (graph.judge(uid), graph.get(uid).cloned())
        };
        let Some(item) = item else { return Ok(()) };
        match verdict {
            Verdict::Keep => Ok(()),
            Verdict::Ask(owners) => {
                for owner in owners {
                    if !self.exists(&owner, &item.namespace).await? {
                        self.graph().bury(&owner.uid);
                    }
                }
                self.after_asking(uid, &item).await
            }
            verdict => self.carry_out(uid, &item, verdict).await,
        }
    }

    /// The unknown owners were asked for: those that exist will be seen, those that do not are buried.
    async fn after_asking(&self, uid: &str, item: &Item) -> Result<(), Error> {
        let verdict = self.graph().judge(uid);
        match verdict {
            // It exists, but its watch has not shown it yet: that news brings no second look, and needs none.
            Verdict::Ask(_) => Ok(()),
            verdict => self.carry_out(uid, item, verdict).await,
        }
    }

    async fn carry_out(&self, uid: &str, item: &Item, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            Verdict::Keep | Verdict::Ask(_) => Ok(()),
            Verdict::Delete(how) => {
                // Look once more: its owners may have changed since they were seen.
                if self.current(uid, item).await?.is_none() || self.graph().judge(uid) != Verdict::Delete(how)
                {
                    return Ok(());
                }
                self.delete(uid, item, how).await
            }
            Verdict::Disown(owners) => {
                self.disown(uid, item, &owners.into_iter().collect::<Vec<_>>())
                    .await
            }
            Verdict::Await(dependents) => {
                self.look_at(dependents);
                Ok(())
            }
            Verdict::Release(finalizer) => self.release(uid, item, finalizer).await,
            Verdict::Free(dependents) => {
                for dependent in dependents {
                    let found = self.graph().get(&dependent).cloned();
                    if let Some(found) = found {
                        self.disown(&dependent, &found, &[uid.to_owned()]).await?;
                    }
                }
                self.release(uid, item, ORPHAN).await
            }
        }
    }
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "garbagecollector";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        self.settle(&key.name).await?;
        Ok(None)
    }
}
