//! Keeps volumes that are made of files in step with what they are made of: ConfigMaps, Secrets, the pod's own labels and
//! annotations, and tokens before they expire. The kubelet looks once a minute; here a change is acted on at once.
//!
//! One task watches the objects and wakes the pods that use them; each pod has a task that makes its volumes anew. What
//! cannot be made (a ConfigMap that is gone) stays as it was. A mount with a `subPath` keeps its first content, because
//! it is bound to the file itself and not to the link that changes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::select;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::Node;
use super::cell::PodCell;
use super::pod::maker;
use super::volumes::Mounted;

/// When what could not be renewed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// A pod without tokens is looked at no earlier than it is woken.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The kinds of objects that volumes are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    ConfigMap,
    Secret,
}

/// Watches ConfigMaps and Secrets and wakes the pods whose volumes are made of them, until the node is gone.
pub(super) async fn watch(node: Weak<Node>, client: kube::Client) {
    let maps = changes::<ConfigMap>(client.clone(), Source::ConfigMap);
    let secrets = changes::<Secret>(client, Source::Secret);
    let mut all = select(maps, secrets);
    while let Some((source, namespace, name)) = all.next().await {
        let Some(node) = node.upgrade() else { return };
        for cell in node.cells().values() {
            if cell.namespace == namespace && uses(&cell.pod(), source, &name) {
                cell.sources.notify_one();
            }
        }
    }
}

/// Kind, namespace and name of every object that is there or changes.
fn changes<K>(
    client: kube::Client,
    source: Source,
) -> impl futures::Stream<Item = (Source, String, String)> + Unpin
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    watcher(
        Api::<PartialObjectMeta<K>>::all(client),
        watcher::Config::default(),
    )
    .default_backoff()
    .filter_map(move |event| {
        let changed = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => Some(named(source, &object)),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "watching what volumes are made of failed; it is tried again");
                None
            }
        };
        std::future::ready(changed)
    })
    .boxed()
}

fn named<K>(source: Source, object: &PartialObjectMeta<K>) -> (Source, String, String)
where
    K: Resource<DynamicType = ()>,
{
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    (
        source,
        namespace,
        object.metadata.name.clone().unwrap_or_default(),
    )
}

/// Whether a volume of the pod is made of the object.
fn uses(pod: &Pod, source: Source, name: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes.into_iter().any(|volume| match source {
        Source::ConfigMap => {
            let projected = sources(volume).filter_map(|s| s.config_map.as_ref().map(|m| m.name.as_str()));
            let own = volume.config_map.as_ref().map(|m| m.name.as_str());
            own.into_iter().chain(projected).any(|n| n == name)
        }
        Source::Secret => {
            let projected = sources(volume).filter_map(|s| s.secret.as_ref().map(|m| m.name.as_str()));
            let own = volume.secret.as_ref().and_then(|s| s.secret_name.as_deref());
            own.into_iter().chain(projected).any(|n| n == name)
        }
    })
}

fn sources(volume: &Volume) -> impl Iterator<Item = &k8s_openapi::api::core::v1::VolumeProjection> {
    volume.projected.iter().flat_map(|p| p.sources.iter().flatten())
}

/// Whether what the pod says of itself in volumes may have changed.
pub(super) fn itself_changed(old: &Pod, new: &Pod) -> bool {
    old.labels() != new.labels() || old.annotations() != new.annotations()
}

fn of_files(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

/// Makes the pod's volumes of files anew when they are told to have changed, and those with tokens before these expire.
pub(super) fn keep_fresh(
    cell: &Arc<PodCell>,
    volumes: &[Volume],
    mounted: &[Mounted],
) -> Option<JoinHandle<()>> {
    let now = Instant::now();
    let mut due: Vec<(Volume, Instant)> = volumes
        .iter()
        .zip(mounted)
        .filter(|(volume, _)| of_files(volume))
        .map(|(volume, m)| (volume.clone(), now + m.renew_after.unwrap_or(NEVER)))
        .collect();
    if due.is_empty() {
        return None;
    }
    let cell = Arc::clone(cell);
    Some(tokio::spawn(async move {
        loop {
            due.sort_by_key(|(_, at)| *at);
            let Some((volume, at)) = due.first_mut() else {
                return;
            };
            tokio::select! {
                () = sleep_until(*at) => *at = Instant::now() + renew(&cell, volume).await,
                () = cell.sources.notified() => {
                    for (volume, _) in &due {
                        remake(&cell, volume).await;
                    }
                }
            }
        }
    }))
}

/// Makes a volume with new tokens; answers when the next are due.
async fn renew(cell: &PodCell, volume: &Volume) -> Duration {
    let pod = cell.pod();
    match maker(cell, &pod).make(volume).await {
        Ok(mounted) => mounted.renew_after.unwrap_or(NEVER),
        Err(error) => {
            tracing::warn!(pod = %cell.name, %error, "a token could not be renewed yet");
            AGAIN
        }
    }
}

async fn remake(cell: &PodCell, volume: &Volume) {
    let pod = cell.pod();
    let mut maker = maker(cell, &pod);
    maker.keep_tokens = true;
    if let Err(error) = maker.make(volume).await {
        tracing::debug!(pod = %cell.name, volume = %volume.name, %error, "a volume stays as it was");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_uses_what_its_volumes_are_made_of() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [], "volumes": [
            {"name": "a", "configMap": {"name": "m"}},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "projected": {"sources": [{"configMap": {"name": "pm"}}, {"secret": {"name": "ps"}}]}}]}}))
        .unwrap();
        for name in ["m", "pm"] {
            assert!(
                uses(&pod, Source::ConfigMap, name) && !uses(&pod, Source::Secret, name),
                "{name}"
            );
        }
        for name in ["s", "ps"] {
            assert!(
                uses(&pod, Source::Secret, name) && !uses(&pod, Source::ConfigMap, name),
                "{name}"
            );
        }
    }

    #[test]
    fn labels_and_annotations_are_what_a_pod_tells_of_itself() {
        let pod = |labels: serde_json::Value, phase: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"labels": labels}, "status": {"phase": phase}}))
                .unwrap()
        };
        let old = pod(json!({"a": "1"}), "Pending");
        assert!(!itself_changed(&old, &pod(json!({"a": "1"}), "Running")));
        assert!(itself_changed(&old, &pod(json!({"a": "2"}), "Pending")));
    }
}
