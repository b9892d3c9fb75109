//! The logs of all pods of a session as one stream of lines.
//!
//! Pods come and go while a session runs, so they are looked for whenever one changes, until the caller says that the
//! session has ended; each container is read once, from its first line to its last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::AsyncBufReadExt;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Cluster, Error, ListOptions, kinds, watch};

/// How often new pods are looked for when no event tells of them.
const EVERY: Duration = Duration::from_secs(5);
/// How long the last lines may take to arrive after the session has ended.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(10);
/// How many lines may wait for the reader.
const BUFFER: usize = 1024;

/// Which pods.
#[derive(Debug, Clone)]
pub struct Pods {
    /// The namespaces to look in.
    pub namespaces: BTreeSet<String>,
    /// Label selector.
    pub labels: String,
}

/// One line of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The component that the container works on, or the pod's name.
    pub source: String,
    /// The container.
    pub container: String,
    /// The line without its end.
    pub text: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodView {
    metadata: PodMeta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodMeta {
    name: String,
    namespace: String,
    #[serde(rename = "creationTimestamp")]
    creation_timestamp: Option<jiff::Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    init_containers: Vec<Container>,
    containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    env: Vec<Env>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Env {
    name: String,
    value: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: BTreeMap<String, serde_json::Value>,
}

impl PodView {
    /// The containers that have begun, with the component each works on.
    fn begun(&self) -> Vec<(String, String)> {
        let statuses = self
            .status
            .init_container_statuses
            .iter()
            .chain(&self.status.container_statuses);
        let begun: BTreeSet<&str> = statuses
            .filter(|s| s.state.contains_key("running") || s.state.contains_key("terminated"))
            .map(|s| s.name.as_str())
            .collect();
        let all = self.spec.init_containers.iter().chain(&self.spec.containers);
        all.filter(|c| begun.contains(c.name.as_str()))
            .map(|c| {
                let component = c
                    .env
                    .iter()
                    .find(|e| e.name == "COMPONENT_NAME" && !e.value.is_empty());
                let source = component.map_or_else(|| self.metadata.name.clone(), |e| e.value.clone());
                (source, c.name.clone())
            })
            .collect()
    }
}

/// Reads the logs of the pods there are. With `ended`, goes on until its value is true and the last line has come;
/// without it, reads what there is. Lines arrive through the receiver, which closes at the end. Errors end it too and
/// come last.
pub fn read(
    cluster: &Cluster,
    pods: Pods,
    ended: Option<tokio::sync::watch::Receiver<bool>>,
) -> mpsc::Receiver<Result<Line, Error>> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let cluster = cluster.clone();
    tokio::spawn(async move {
        if let Err(error) = run(&cluster, &pods, ended, &sender).await {
            // A reader that is gone wants no errors either.
            let _ = sender.send(Err(error)).await;
        }
    });
    receiver
}

async fn run(
    cluster: &Cluster,
    pods: &Pods,
    mut ended: Option<tokio::sync::watch::Receiver<bool>>,
    sender: &mpsc::Sender<Result<Line, Error>>,
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let mut attempts: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut readers = JoinSet::new();
    let mut touched = ended
        .is_some()
        .then(|| watch::pods(cluster, &pods.namespaces, &pods.labels));
    loop {
        // Asked before the pods are listed: a session that had ended by then starts no further pod.
        let last = ended.as_ref().is_none_or(|e| *e.borrow());
        for namespace in &pods.namespaces {
            let mut found: Vec<PodView> = cluster
                .list(
                    &kinds::POD,
                    &ListOptions::of(namespace).labelled(pods.labels.clone()),
                )
                .await?;
            found.sort_by_key(|pod| pod.metadata.creation_timestamp);
            for pod in found {
                for (source, container) in pod.begun() {
                    let source = attempt(&mut attempts, source, &container, &pod.metadata.name);
                    let key = (
                        pod.metadata.namespace.clone(),
                        pod.metadata.name.clone(),
                        container.clone(),
                    );
                    if seen.insert(key) {
                        let api: Api<Pod> =
                            Api::namespaced(cluster.client().clone(), &pod.metadata.namespace);
                        let log = container_log(
                            api,
                            pod.metadata.name.clone(),
                            source,
                            container,
                            ended.is_some(),
                            sender.clone(),
                        );
                        // What there is already is told in the order in which it happened.
                        if ended.is_some() {
                            readers.spawn(log);
                        } else {
                            log.await;
                        }
                    }
                }
            }
        }
        if last {
            break;
        }
        if let Some(ended) = ended.as_mut() {
            let poke = async {
                match touched.as_mut() {
                    Some(touched) => touched.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ended.wait_for(|e| *e) => {}
                poked = poke => if poked.is_none() { touched = None },
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
    let rest = async { while readers.join_next().await.is_some() {} };
    if ended.is_some() {
        let _ = tokio::time::timeout(LAST_LINES_WITHIN, rest).await;
    } else {
        rest.await;
    }
    Ok(())
}

/// The source with the number of the attempt, from the second pod on that works on the same.
fn attempt(
    attempts: &mut BTreeMap<(String, String), Vec<String>>,
    source: String,
    container: &str,
    pod: &str,
) -> String {
    let pods = attempts
        .entry((source.clone(), container.to_owned()))
        .or_default();
    let index = pods.iter().position(|known| known == pod).unwrap_or_else(|| {
        pods.push(pod.to_owned());
        pods.len() - 1
    });
    if index == 0 {
        source
    } else {
        format!("{source}#{}", index + 1)
    }
}

/// Sends every line of one container. A pod that vanishes meanwhile ends its log; that is no error of the rest.
async fn container_log(
    api: Api<Pod>,
    pod: String,
    source: String,
    container: String,
    follow: bool,
    sender: mpsc::Sender<Result<Line, Error>>,
) {
    let params = LogParams {
        container: Some(container.clone()),
        follow,
        ..LogParams::default()
    };
    let Ok(stream) = api.log_stream(&pod, &params).await else {
        return;
    };
    let mut lines = stream.lines();
    while let Ok(Some(text)) = lines.try_next().await {
        let line = Line {
            source: source.clone(),
            container: container.clone(),
            text,
        };
        if sender.send(Ok(line)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn further_attempts_are_numbered() {
        let mut attempts = BTreeMap::new();
        let mut of = |pod: &str| attempt(&mut attempts, "dump".to_owned(), "c", pod);
        assert_eq!(
            (of("p-1"), of("p-2"), of("p-1")),
            ("dump".to_owned(), "dump#2".to_owned(), "dump".to_owned())
        );
    }

    #[test]
    fn containers_that_have_begun_are_named_by_their_component() {
        let pod: PodView = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "demo"},
            "spec": {
                "initContainers": [{"name": "first", "env": [{"name": "COMPONENT_NAME", "value": "manifest"}]}],
                "containers": [{"name": "main", "env": [{"name": "COMPONENT_NAME", "value": "dump"}, {"name": "X", "valueFrom": {}}]}, {"name": "side"}],
            },
            "status": {
                "initContainerStatuses": [{"name": "first", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"name": "main", "state": {"waiting": {}}}, {"name": "side", "state": {"running": {}}}],
            },
        }))
        .unwrap();
        let wanted = [("manifest", "first"), ("p", "side")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(pod.begun(), wanted);
    }
}
