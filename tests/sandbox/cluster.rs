//! A server with all controllers and a node that only pretends: it runs pods by writing their status, as their
//! annotations tell it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use kubestash::sandbox::controllers::{self, Options as ControllerOptions};
use kubestash::sandbox::{Identity, Options, Server};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How the pretended node ends a pod: annotation `test/end` = `Succeeded`, `Failed` or absent for "keeps running";
/// `test/start` = `never` leaves it Pending.
pub(super) struct Cluster {
    pub(super) client: Client,
    volumes: tempfile::TempDir,
    _stop: DropGuard,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(change: impl FnOnce(&mut ControllerOptions)) -> Self {
        let server = Server::new(&Options::default()).unwrap();
        let client = server.client(Identity::Admin);
        let volumes = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (tell, ready) = oneshot::channel();
        let mut options = ControllerOptions::new("node-1", volumes.path());
        options.root_ca = Some(server.ca_pem().to_owned());
        options.job_backoff = Duration::from_millis(200);
        options.ready = Some(tell);
        change(&mut options);
        let stopped = stop.clone().cancelled_owned();
        let running = controllers::run(client.clone(), options, stopped);
        tokio::spawn(async move { running.await.unwrap() });
        tokio::spawn(pretend(client.clone(), stop.clone()));
        within("the controllers' start", ready).await.unwrap();
        Self {
            client,
            volumes,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) fn volumes(&self) -> &Path {
        self.volumes.path()
    }

    pub(super) fn namespaced<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(super) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    pub(super) fn snapshots(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshot");
        Api::namespaced_with(
            self.client.clone(),
            "default",
            &kube::core::ApiResource::from_gvk(&kind),
        )
    }

    pub(super) async fn create<K>(&self, value: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Serialize
            + std::fmt::Debug,
    {
        let object = serde_json::from_value(value).unwrap();
        self.namespaced::<K>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// Waits until the object is as `wanted` says, and returns it.
    pub(super) async fn until<K>(&self, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + 'static,
    {
        until(&self.namespaced::<K>(), name, what, wanted).await
    }

    pub(super) async fn pods(&self, selector: &str) -> Vec<Pod> {
        let params = kube::api::ListParams::default().labels(selector);
        self.namespaced::<Pod>().list(&params).await.unwrap().items
    }

    /// Waits until the pods of this selector are as `wanted` says, and returns them.
    pub(super) async fn until_pods(
        &self,
        selector: &str,
        what: &str,
        wanted: impl Fn(&[Pod]) -> bool,
    ) -> Vec<Pod> {
        eventually(what, || async {
            let pods = self.pods(selector).await;
            if wanted(&pods) {
                Ok(pods)
            } else {
                Err(names(&pods))
            }
        })
        .await
    }

    pub(super) async fn namespace(&self, name: &str) {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        self.all::<Namespace>()
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    /// The path of a claim's volume.
    pub(super) async fn path_of(&self, claim: &str) -> PathBuf {
        use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
        let claim: PersistentVolumeClaim = self
            .until(claim, "is bound", |claim| phase(claim) == "Bound")
            .await;
        let name = claim.spec.unwrap().volume_name.unwrap();
        let volume = self.all::<PersistentVolume>().get(&name).await.unwrap();
        volume.spec.unwrap().host_path.unwrap().path.into()
    }
}

/// `status.phase` of anything.
pub(super) fn phase(object: &impl Serialize) -> String {
    text(object, "/status/phase")
}

/// The text at a JSON pointer, or an empty one.
pub(super) fn text(object: &impl Serialize, pointer: &str) -> String {
    let value = serde_json::to_value(object).unwrap();
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The number at a JSON pointer, or zero.
pub(super) fn number(object: &impl Serialize, pointer: &str) -> i64 {
    let value = serde_json::to_value(object).unwrap();
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The reason of the condition of this type if it is true.
pub(super) fn holds(object: &impl Serialize, type_: &str) -> Option<String> {
    let value = serde_json::to_value(object).unwrap();
    let conditions = value.pointer("/status/conditions")?.as_array()?.clone();
    let found = conditions
        .iter()
        .find(|c| c["type"] == type_ && c["status"] == "True")?;
    Some(found["reason"].as_str().unwrap_or_default().to_owned())
}

pub(super) fn names<K: ResourceExt>(objects: &[K]) -> Vec<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Asks again and again until the answer is good; fails with the last bad one.
pub(super) async fn eventually<T, E, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Debug,
{
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(bad) if tokio::time::Instant::now() > deadline => {
                panic!("{what} did not come about: {bad:?}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Watches one object until it is as `wanted` says.
pub(super) async fn until<K>(api: &Api<K>, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut last = None;
    let waiting = async {
        let mut stream = Box::pin(watcher::watch_object(api.clone(), name).default_backoff());
        loop {
            if let Some(object) = stream.next().await.unwrap().unwrap() {
                if wanted(&object) {
                    return object;
                }
                last = Some(object);
            }
        }
    };
    let outcome = tokio::time::timeout(LIMIT, waiting).await;
    outcome.unwrap_or_else(|_| panic!("{name} {what}: not so in time, but {last:#?}"))
}

pub(super) async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Serialize,
{
    eventually(&format!("the end of {name}"), || async {
        match api.get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(object) => Err(serde_json::to_string(&object).unwrap()),
        }
    })
    .await;
}

/// The pretended node.
async fn pretend(client: Client, stop: CancellationToken) {
    let all: Api<Pod> = Api::all(client.clone());
    let stream = watcher(all, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let mut stream = Box::pin(stream.take_until(stop.cancelled_owned()));
    while let Some(pod) = stream.next().await {
        let Ok(pod) = pod else { continue };
        if pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_ref())
            .is_none()
        {
            continue;
        }
        let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
        let name = pod.name_any();
        if pod.meta().deletion_timestamp.is_some() {
            let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
            continue;
        }
        let end = pod.annotations().get("test/end").map(String::as_str);
        let starts = pod.annotations().get("test/start").map(String::as_str) != Some("never");
        let status = match (phase(&pod).as_str(), end) {
            ("" | "Pending", _) if starts => status("Running", "True", &json!({"running": {}})),
            ("Running", Some(end)) => {
                let code = i32::from(end == "Failed");
                let done = json!({"terminated": {"exitCode": code, "finishedAt": jiff::Timestamp::now().to_string()}});
                status(end, "False", &done)
            }
            _ => continue,
        };
        let _ = pods
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
            .await;
    }
}

fn status(phase: &str, ready: &str, state: &Value) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({"status": {
        "phase": phase, "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}], "startTime": now,
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}],
        "containerStatuses": [{"name": "c", "image": "i", "imageID": "i", "ready": ready == "True",
            "restartCount": 0, "state": state}],
    }})
}

/// A pod template with these labels and annotations.
pub(super) fn template(labels: &Value, annotations: &Value, extra: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
    json_patch::merge(&mut spec, extra);
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
}
