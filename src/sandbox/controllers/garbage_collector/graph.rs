//! Who owns whom, and what follows from it: the memory of the garbage collector and its rules, without any call to
//! the API server. The rules are Kubernetes' own (pkg/controller/garbagecollector).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;

use crate::sandbox::controllers::resources::Served;

/// The finalizer of an object whose dependents go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents are let go.
pub(super) const ORPHAN: &str = "orphan";

/// How many deletions are remembered.
const REMEMBERED: usize = 4096;

/// What is known of one object.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its kind.
    pub(super) kind: Arc<Served>,
    /// Its namespace, or empty.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    owners: Vec<OwnerReference>,
    terminating: bool,
    foreground: bool,
    orphan: bool,
}

impl Item {
    /// What the metadata says.
    pub(super) fn new(kind: &Arc<Served>, meta: &ObjectMeta) -> Self {
        let has = |name: &str| {
            meta.finalizers
                .iter()
                .flatten()
                .any(|finalizer| finalizer == name)
        };
        Self {
            kind: Arc::clone(kind),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            terminating: meta.deletion_timestamp.is_some(),
            foreground: has(FOREGROUND),
            orphan: has(ORPHAN),
        }
    }

    fn waits_for_dependents(&self) -> bool {
        self.terminating && self.foreground
    }
}

/// How an object is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// At once; its dependents follow.
    Background,
    /// After its dependents.
    Foreground,
    /// Alone.
    Orphan,
}

/// What is to be done about an object.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing.
    Keep,
    /// These owners are not known: look whether they exist, then judge again.
    Ask(Vec<OwnerReference>),
    /// All its owners are gone.
    Delete(How),
    /// Some of its owners are gone: take these out of its references.
    Disown(HashSet<String>),
    /// Its dependents are to be looked at, and none may go before it: it waits.
    Await(Vec<String>),
    /// It waits no longer: take this finalizer off.
    Release(&'static str),
    /// Take it out of the references of these, then its finalizer off.
    Free(Vec<String>),
}

/// Everything known.
#[derive(Debug, Default)]
pub(super) struct Graph {
    items: HashMap<String, Item>,
    dependents: HashMap<String, HashSet<String>>,
    gone: HashSet<String>,
    gone_in_order: VecDeque<String>,
}

impl Graph {
    /// The object of this uid.
    pub(super) fn get(&self, uid: &str) -> Option<&Item> {
        self.items.get(uid)
    }

    /// Takes in an object as it is now. Returns the uids to look at.
    pub(super) fn put(&mut self, uid: &str, item: Item) -> Vec<String> {
        if self.gone.contains(uid) {
            return Vec::new();
        }
        let mut look = Vec::new();
        let before = self.items.get(uid).cloned();
        if let Some(before) = &before {
            self.unlink(uid, before);
        }
        for owner in &item.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(uid.to_owned());
        }
        let owners_differ = before.as_ref().is_none_or(|before| before.owners != item.owners);
        if (owners_differ && !item.owners.is_empty())
            || (item.terminating && (item.foreground || item.orphan))
        {
            look.push(uid.to_owned());
        }
        // An owner may wait for this one no longer.
        for owner in before.iter().flat_map(|before| &before.owners) {
            if self.items.get(&owner.uid).is_some_and(Item::waits_for_dependents) {
                look.push(owner.uid.clone());
            }
        }
        self.items.insert(uid.to_owned(), item);
        look
    }

    /// Forgets an object that is gone. Returns the uids to look at: its dependents, and owners that wait for it.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<String> {
        self.bury(uid);
        let mut look: Vec<_> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        if let Some(item) = self.items.remove(uid) {
            self.unlink(uid, &item);
            look.extend(item.owners.into_iter().map(|owner| owner.uid));
        }
        look
    }

    /// Remembers that no object has this uid any more; uids are never used twice.
    pub(super) fn bury(&mut self, uid: &str) {
        if self.gone.insert(uid.to_owned()) {
            self.gone_in_order.push_back(uid.to_owned());
        }
        if self.gone_in_order.len() > REMEMBERED
            && let Some(oldest) = self.gone_in_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }

    /// The uids of all objects of one kind.
    pub(super) fn of_kind(&self, kind: &Served) -> Vec<String> {
        let same = |(_, item): &(&String, &Item)| *item.kind == *kind;
        self.items
            .iter()
            .filter(same)
            .map(|(uid, _)| uid.clone())
            .collect()
    }

    fn unlink(&mut self, uid: &str, item: &Item) {
        for owner in &item.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }

    fn dependents(&self, uid: &str) -> Vec<String> {
        let mut dependents: Vec<_> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        dependents.sort();
        dependents
    }

    /// What is to be done about the object of this uid.
    pub(super) fn judge(&self, uid: &str) -> Verdict {
        let Some(item) = self.items.get(uid) else {
            return Verdict::Keep;
        };
        if item.terminating && item.orphan {
            return Verdict::Free(self.dependents(uid));
        }
        if item.waits_for_dependents() {
            let blocks = |dependent: &&String| {
                let owners = self
                    .items
                    .get(*dependent)
                    .map(|dependent| dependent.owners.as_slice());
                let mut owners = owners.unwrap_or_default().iter();
                owners.any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
            };
            let dependents = self.dependents(uid);
            return if dependents.iter().any(|dependent| blocks(&dependent)) {
                Verdict::Await(dependents)
            } else {
                Verdict::Release(FOREGROUND)
            };
        }
        if item.terminating || item.owners.is_empty() {
            return Verdict::Keep;
        }
        self.judge_owned(uid, item)
    }

    fn judge_owned(&self, uid: &str, item: &Item) -> Verdict {
        let (mut solid, mut dangling, mut waiting, mut unknown) =
            (0, HashSet::new(), HashSet::new(), Vec::new());
        for owner in &item.owners {
            match self.items.get(&owner.uid) {
                // An owner lives in the same namespace or in none.
                Some(found) if !found.namespace.is_empty() && found.namespace != item.namespace => {
                    dangling.insert(owner.uid.clone());
                }
                Some(found) if found.waits_for_dependents() && owner.block_owner_deletion == Some(true) => {
                    waiting.insert(owner.uid.clone());
                }
                Some(_) => solid += 1,
                None if self.gone.contains(&owner.uid) => {
                    dangling.insert(owner.uid.clone());
                }
                None => unknown.push(owner.clone()),
            }
        }
        if !unknown.is_empty() {
            return Verdict::Ask(unknown);
        }
        if solid > 0 {
            dangling.extend(waiting);
            return if dangling.is_empty() {
                Verdict::Keep
            } else {
                Verdict::Disown(dangling)
            };
        }
        if !waiting.is_empty() && !self.dependents(uid).is_empty() {
            return Verdict::Delete(How::Foreground);
        }
        Verdict::Delete(if item.orphan {
            How::Orphan
        } else if item.foreground {
            How::Foreground
        } else {
            How::Background
        })
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ApiResource;
    use serde_json::{Value, json};

    use super::*;

    fn item(meta: &Value) -> Item {
        let kind = Arc::new(Served {
            resource: ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&()),
            namespaced: true,
        });
        Item::new(&kind, &serde_json::from_value(meta.clone()).unwrap())
    }

    fn owned(by: &[&str]) -> Item {
        let owners: Vec<_> = by
            .iter()
            .map(|uid| json!({"apiVersion": "v1", "kind": "Pod", "name": uid, "uid": uid, "blockOwnerDeletion": true}))
            .collect();
        item(&json!({"namespace": "ns", "name": "x", "ownerReferences": owners}))
    }

    fn terminating(finalizer: &str) -> Item {
        item(
            &json!({"namespace": "ns", "name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]}),
        )
    }

    fn free() -> Item {
        item(&json!({"namespace": "ns", "name": "x"}))
    }

    #[test]
    fn a_dependent_follows_its_last_owner() {
        let mut graph = Graph::default();
        graph.put("a", free());
        graph.put("b", free());
        graph.put("d", owned(&["a", "b"]));
        assert_eq!(graph.judge("d"), Verdict::Keep);
        assert_eq!(graph.remove("a"), ["d"]);
        assert_eq!(graph.judge("d"), Verdict::Disown(HashSet::from(["a".to_owned()])));
        graph.put("d", owned(&["b"]));
        graph.remove("b");
        assert_eq!(graph.judge("d"), Verdict::Delete(How::Background));
    }

    #[test]
    fn an_owner_that_was_never_seen_is_asked_for() {
        let mut graph = Graph::default();
        assert_eq!(graph.put("d", owned(&["a"])), ["d"]);
        assert!(matches!(graph.judge("d"), Verdict::Ask(owners) if owners[0].uid == "a"));
        graph.bury("a");
        assert_eq!(graph.judge("d"), Verdict::Delete(How::Background));
    }

    #[test]
    fn in_the_foreground_dependents_go_first() {
        let mut graph = Graph::default();
        graph.put("a", free());
        graph.put("d", owned(&["a"]));
        graph.put("dd", owned(&["d"]));
        assert_eq!(graph.put("a", terminating(FOREGROUND)), ["a"]);
        assert_eq!(graph.judge("a"), Verdict::Await(vec!["d".to_owned()]));
        assert_eq!(
            graph.judge("d"),
            Verdict::Delete(How::Foreground),
            "it has dependents itself"
        );
        assert!(graph.remove("d").contains(&"a".to_owned()), "the owner is told");
        assert_eq!(graph.judge("a"), Verdict::Release(FOREGROUND));
    }

    #[test]
    fn orphans_are_let_go() {
        let mut graph = Graph::default();
        graph.put("d", owned(&["a"]));
        graph.put("a", terminating(ORPHAN));
        assert_eq!(graph.judge("a"), Verdict::Free(vec!["d".to_owned()]));
        assert_eq!(graph.judge("d"), Verdict::Keep);
    }

    #[test]
    fn an_owner_in_another_namespace_is_none() {
        let mut graph = Graph::default();
        graph.put("a", item(&json!({"namespace": "elsewhere", "name": "a"})));
        graph.put("d", owned(&["a"]));
        assert_eq!(graph.judge("d"), Verdict::Delete(How::Background));
        graph.put("c", item(&json!({"name": "cluster-wide"})));
        graph.put("e", owned(&["c"]));
        assert_eq!(graph.judge("e"), Verdict::Keep);
    }
}
