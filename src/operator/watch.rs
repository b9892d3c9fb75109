//! How controllers watch and how they are driven.
//!
//! [`controller`] watches a kind and wakes its reconcile only for changes of spec, finalizers, annotations or labels;
//! our own status writes wake nobody. [`metadata`] watches a related kind by its metadata alone and maps events back through
//! the [`INVOKER`] annotation or a mapper of the caller. [`drive`] runs the reconciles: bounded in number and time,
//! counted, backed off per object, and ended by the context's stop signal.

use std::{collections::HashMap, fmt::Debug, hash::Hash, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Config, Controller, Predicate, WatchStreamExt, controller::Action, predicates, reflector,
        reflector::ObjectRef, watcher,
    },
};
use serde::de::DeserializeOwned;

use super::{Context, Error};

pub use crate::decide::backup::INVOKER_ANNOTATION as INVOKER;

/// The longest one reconcile may take.
const RECONCILE_WITHIN: Duration = Duration::from_secs(120);

/// Wakes for changes of spec (generation), finalizers, annotations and labels; not for status.
fn wakes<K: Resource>(object: &K) -> Option<u64> {
    predicates::generation
        .combine(predicates::finalizers)
        .combine(predicates::annotations)
        .combine(predicates::labels)
        .hash_property(object)
}

/// A controller of all objects of `K` in the cluster.
#[must_use]
pub fn controller<K>(ctx: &Context) -> Controller<DeserializeGuard<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::all(ctx.client.clone());
    let (reader, writer) = reflector::store();
    let stream = watcher(api, watcher::Config::default().page_size(200))
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(wakes::<DeserializeGuard<K>>, predicates_config());
    Controller::for_stream(stream, reader)
}

/// The metadata of all objects of `K` that match `config`; every change counts, status and deletion too.
pub fn metadata<K>(
    ctx: &Context,
    config: watcher::Config,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(ctx.client.clone());
    watcher(api, config.page_size(500))
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .touched_objects()
        .predicate_filter(predicates::resource_version, predicates_config())
}

/// Objects of `K` that were deleted, so that what they were made for can make them again.
pub fn removed<K>(
    ctx: &Context,
    config: watcher::Config,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(ctx.client.clone());
    watcher(api, config.page_size(500))
        .default_backoff()
        .filter_map(|event| {
            std::future::ready(match event {
                Ok(watcher::Event::Delete(object)) => Some(Ok(object)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
        })
}

/// Objects of `K` as they appear and disappear; changes in between wake nobody. Only their UIDs are kept.
pub fn existence<K>(
    ctx: &Context,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(ctx.client.clone());
    let mut known = std::collections::HashSet::new();
    watcher(api, watcher::Config::default().page_size(500))
        .default_backoff()
        .filter_map(move |event| {
            let woken = match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    known.insert(object.uid()).then_some(Ok(object))
                }
                Ok(watcher::Event::Delete(object)) => {
                    known.remove(&object.uid());
                    Some(Ok(object))
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
                Err(error) => Some(Err(error)),
            };
            std::future::ready(woken)
        })
}

fn predicates_config() -> kube::runtime::PredicateConfig {
    kube::runtime::PredicateConfig::default()
}

/// The object that the [`INVOKER`] annotation of `object` names.
pub fn invoker<K>(object: &impl ResourceExt) -> Option<ObjectRef<K>>
where
    K: Resource,
    K::DynamicType: Default,
{
    let (namespace, name) = object.annotations().get(INVOKER)?.split_once('/')?;
    Some(ObjectRef::new(name).within(namespace))
}

/// Reverse index for mappers: which objects refer to a thing, so that an event on the thing wakes just those.
pub struct Referrers<T> {
    by_thing: HashMap<T, Vec<(String, String)>>,
}

impl<T: Eq + Hash> FromIterator<(T, (String, String))> for Referrers<T> {
    fn from_iter<I: IntoIterator<Item = (T, (String, String))>>(pairs: I) -> Self {
        let mut by_thing: HashMap<T, Vec<_>> = HashMap::new();
        for (thing, referrer) in pairs {
            by_thing.entry(thing).or_default().push(referrer);
        }
        Self { by_thing }
    }
}

impl<T: Eq + Hash> Referrers<T> {
    /// Namespace and name of the objects that refer to `thing`.
    pub fn of(&self, thing: &T) -> &[(String, String)] {
        self.by_thing.get(thing).map_or(&[], Vec::as_slice)
    }
}

/// Runs `reconcile` for every object that wakes, until the context stops. `name` labels logs and metrics.
pub async fn drive<K, F, Fut>(
    name: &'static str,
    controller: Controller<DeserializeGuard<K>>,
    ctx: Arc<Context>,
    reconcile: F,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Context>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let at_once = ctx.options.concurrency;
    drive_at_once(name, at_once, controller, ctx, reconcile).await;
}

/// [`drive`] for a kind whose reconciles wait for somebody else: `at_once` of them may.
pub async fn drive_at_once<K, F, Fut>(
    name: &'static str,
    at_once: u16,
    controller: Controller<DeserializeGuard<K>>,
    ctx: Arc<Context>,
    reconcile: F,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Context>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let work = move |guarded: Arc<DeserializeGuard<K>>, ctx: Arc<Context>| {
        let reconcile = reconcile.clone();
        async move {
            let object = match &guarded.0 {
                Ok(object) => Arc::new(object.clone()),
                Err(invalid) => {
                    return Err(Error::Invalid(format!("cannot be read: {}", invalid.error)));
                }
            };
            let key = key(name, &*object);
            let started = std::time::Instant::now();
            let result = tokio::time::timeout(RECONCILE_WITHIN, reconcile(object, ctx.clone()))
                .await
                .unwrap_or(Err(Error::Timeout(RECONCILE_WITHIN)));
            let label = result.as_ref().map_or_else(Error::label, |_| "ok");
            ctx.metrics.reconciled(name, label, started.elapsed());
            if result.is_ok() {
                ctx.backoff.reset(&key);
            }
            result
        }
    };
    let policy = move |object: Arc<DeserializeGuard<K>>, error: &Error, ctx: Arc<Context>| match error {
        Error::Invalid(_) => Action::await_change(),
        Error::Conflict(_) => Action::requeue(Duration::from_millis(50)),
        _ => Action::requeue(ctx.backoff.next(&key(name, &*object))),
    };
    let config = Config::default().concurrency(at_once);
    controller
        .with_config(config)
        .graceful_shutdown_on(ctx.stopped())
        .run(work, policy, ctx)
        .for_each(|result| {
            match result {
                Ok((object, _)) => tracing::debug!(controller = name, %object, "reconciled"),
                Err(kube::runtime::controller::Error::ObjectNotFound(_)) => {}
                Err(kube::runtime::controller::Error::ReconcilerFailed(Error::Conflict(what), object)) => {
                    tracing::debug!(controller = name, %object, %what, "changed meanwhile; again");
                }
                Err(error) => tracing::warn!(controller = name, %error, "reconcile did not finish"),
            }
            std::future::ready(())
        })
        .await;
}

fn key(name: &str, object: &impl ResourceExt) -> String {
    format!(
        "{name}/{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};

    use super::*;

    fn map(yaml: &str) -> ConfigMap {
        serde_json::from_str(yaml).unwrap()
    }

    #[test]
    fn the_invoker_annotation_finds_its_object() {
        let object =
            map(r#"{"metadata":{"name":"x","annotations":{"kubestash.com/invoker":"demo/session-1"}}}"#);
        let found: ObjectRef<Pod> = invoker(&object).unwrap();
        assert_eq!(found.name, "session-1");
        assert_eq!(found.namespace.as_deref(), Some("demo"));
        assert!(invoker::<Pod>(&map(r#"{"metadata":{"name":"x"}}"#)).is_none());
    }

    #[test]
    fn status_wakes_nobody_and_finalizers_do() {
        let a = map(r#"{"metadata":{"name":"x","generation":1,"resourceVersion":"1"}}"#);
        let status = map(r#"{"metadata":{"name":"x","generation":1,"resourceVersion":"2"}}"#);
        let finalizer = map(r#"{"metadata":{"name":"x","generation":1,"finalizers":["a/b"]}}"#);
        assert_eq!(wakes(&a), wakes(&status));
        assert_ne!(wakes(&a), wakes(&finalizer));
    }

    #[test]
    fn referrers_are_found_by_what_they_refer_to() {
        let index: Referrers<&str> = [
            ("secret", ("ns".into(), "a".into())),
            ("secret", ("ns".into(), "b".into())),
        ]
        .into_iter()
        .collect();
        assert_eq!(index.of(&"secret").len(), 2);
        assert!(index.of(&"other").is_empty());
    }
}
