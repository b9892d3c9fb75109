//! Namespaces that are being deleted: everything in them goes first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PartialObjectMeta, PostParams};
use kube::{Client, ResourceExt};

use super::engine::{Controller, Error, Informer, Key, Next, Queue, is_terminating, now};
use super::resources::{Served, read};

const FINALIZER: &str = "kubernetes";

/// How soon a namespace that is not empty yet is looked at again: at first often, for most contents go at once.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);
const HASTE: i64 = 5;

/// The controller of terminating namespaces.
pub(super) struct Namespaces {
    client: Client,
    namespaces: Arc<Informer<Namespace>>,
}

/// What is left in a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
struct Remains {
    /// How many objects of each kind.
    objects: BTreeMap<String, usize>,
    /// In how many objects each finalizer stands.
    finalizers: BTreeMap<String, usize>,
    /// What could not be listed or deleted, and why.
    failures: Vec<String>,
}

impl Namespaces {
    /// Listens to namespaces; returns the controller and its queue.
    pub(super) fn new(client: Client, namespaces: &Arc<Informer<Namespace>>) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        namespaces.on_change(move |_, new| {
            if let Some(namespace) = new.filter(|namespace| is_terminating(namespace.as_ref())) {
                inbox.add(Key::of(namespace.as_ref()));
            }
        });
        let controller = Self {
            client,
            namespaces: Arc::clone(namespaces),
        };
        (controller, queue)
    }

    /// Asks for the deletion of everything of one kind and counts what is left.
    async fn empty(&self, kind: &Served, namespace: &str, remains: &mut Remains) -> Result<(), kube::Error> {
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::namespaced_with(self.client.clone(), namespace, &kind.resource);
        let found = api.list_metadata(&ListParams::default()).await?;
        for object in found.items.iter().filter(|object| !is_terminating(*object)) {
            let params = DeleteParams::background().preconditions(kube::api::Preconditions {
                uid: object.uid(),
                resource_version: None,
            });
            match api.delete(&object.name_any(), &params).await {
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                outcome => drop(outcome?),
            }
        }
        if found.items.is_empty() {
            return Ok(());
        }
        let left = api.list_metadata(&ListParams::default()).await?;
        if !left.items.is_empty() {
            let name = if kind.resource.group.is_empty() {
                kind.resource.plural.clone()
            } else {
                format!("{}.{}", kind.resource.plural, kind.resource.group)
            };
            remains.objects.insert(name, left.items.len());
        }
        for finalizer in left.items.iter().flat_map(|object| object.finalizers().iter()) {
            *remains.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        Ok(())
    }

    async fn empty_all(&self, namespace: &str) -> Result<Remains, Error> {
        let mut remains = Remains::default();
        // Read now, not from the cache: a kind that is not known yet must not survive its namespace.
        for kind in read(self.client.clone())
            .await?
            .iter()
            .filter(|kind| kind.namespaced)
        {
            if kind.resource.kind == "Event" {
                continue;
            }
            if let Err(error) = self.empty(kind, namespace, &mut remains).await {
                let what = format!("{}: {error}", kind.resource.plural);
                // A kind whose definition has just gone has no objects.
                if !matches!(&error, kube::Error::Api(status) if status.code == 404) {
                    remains.failures.push(what);
                }
            }
        }
        Ok(remains)
    }

    async fn delete_events(&self, namespace: &str) {
        let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(self.client.clone(), namespace);
        let all = ListParams::default();
        // Events are left-overs: that some could not be deleted must not keep the namespace.
        let _ = events.delete_collection(&DeleteParams::default(), &all).await;
    }

    async fn finish(&self, namespace: &Namespace) -> Result<(), Error> {
        let mut next = namespace.clone();
        if let Some(finalizers) = next.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let name = namespace.name_any();
        let api = self.namespaces.api("");
        let finalized = api
            .replace_subresource("finalize", &name, &PostParams::default(), &next)
            .await;
        match finalized {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = Error::from(error);
                if error.is_not_found() { Ok(()) } else { Err(error) }
            }
        }
    }
}

impl Controller for Namespaces {
    const NAME: &'static str = "namespace";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(namespace) = self
            .namespaces
            .get(key)
            .filter(|found| is_terminating(found.as_ref()))
        else {
            return Ok(None);
        };
        let holds = |finalizer: &String| finalizer == FINALIZER;
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
        if !finalizers.is_some_and(|finalizers| finalizers.iter().any(holds)) {
            return Ok(None);
        }
        let remains = self.empty_all(&key.name).await?;
        if remains == Remains::default() {
            self.delete_events(&key.name).await;
            let current = self.namespaces.fetch(key).await?;
            if let Some(current) = current {
                self.finish(&current).await?;
            }
            return Ok(None);
        }
        let mut next = namespace.as_ref().clone();
        let status = next.status.get_or_insert_default();
        status.phase = Some("Terminating".to_owned());
        status.conditions = Some(conditions(
            &remains,
            status.conditions.as_deref().unwrap_or_default(),
        ));
        self.namespaces.update_status(&namespace, &next).await?;
        let since = namespace
            .metadata
            .deletion_timestamp
            .as_ref()
            .map_or(0, |time| now().0.as_second() - time.0.as_second());
        Ok(Some(if since < HASTE { SOON } else { LATER }))
    }
}

fn conditions(remains: &Remains, known: &[NamespaceCondition]) -> Vec<NamespaceCondition> {
    let content: Vec<_> = remains
        .objects
        .iter()
        .map(|(kind, count)| format!("{kind} has {count} resource instances"))
        .collect();
    let finalizers: Vec<_> = remains
        .finalizers
        .iter()
        .map(|(name, count)| format!("{name} in {count} resource instances"))
        .collect();
    let told = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "ResourcesDiscovered",
            "All resources successfully discovered",
            None,
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
            None,
        ),
        (
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
            (!remains.failures.is_empty()).then(|| {
                (
                    "ContentDeletionFailed",
                    format!(
                        "Failed to delete all resource types: {}",
                        remains.failures.join("; ")
                    ),
                )
            }),
        ),
        (
            "NamespaceContentRemaining",
            "ContentRemoved",
            "All content successfully removed",
            (!content.is_empty()).then(|| {
                (
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {}", content.join(", ")),
                )
            }),
        ),
        (
            "NamespaceFinalizersRemaining",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
            (!finalizers.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!(
                        "Some content in the namespace has finalizers remaining: {}",
                        finalizers.join(", ")
                    ),
                )
            }),
        ),
    ];
    let condition = |(type_, good, fine, bad): (&str, &str, &str, Option<(&str, String)>)| {
        let status = if bad.is_some() { "True" } else { "False" };
        let before = known
            .iter()
            .find(|known| known.type_ == type_ && known.status == status);
        let (reason, message) =
            bad.map_or_else(|| (good.to_owned(), fine.to_owned()), |(r, m)| (r.to_owned(), m));
        NamespaceCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason),
            message: Some(message),
            last_transition_time: before
                .and_then(|known| known.last_transition_time.clone())
                .or_else(|| Some(now())),
        }
    };
    told.into_iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_what_is_left_and_what_holds_it() {
        let remains = Remains {
            objects: [("pods".to_owned(), 2)].into(),
            finalizers: [("example.com/hold".to_owned(), 1)].into(),
            failures: Vec::new(),
        };
        let told = conditions(&remains, &[]);
        let find = |type_: &str| told.iter().find(|condition| condition.type_ == type_).unwrap();
        assert_eq!(find("NamespaceContentRemaining").status, "True");
        assert!(
            find("NamespaceContentRemaining")
                .message
                .as_ref()
                .unwrap()
                .contains("pods has 2")
        );
        assert!(
            find("NamespaceFinalizersRemaining")
                .message
                .as_ref()
                .unwrap()
                .contains("example.com/hold in 1")
        );
        assert_eq!(find("NamespaceDeletionContentFailure").status, "False");
        assert_eq!(
            conditions(&remains, &told),
            told,
            "times stay while nothing changes"
        );
    }
}
