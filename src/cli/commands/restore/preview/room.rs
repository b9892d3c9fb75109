//! The volumes behind a target: how large they are, how much of them is free, and who uses them.
//!
//! How much is free nobody but the node knows that has the volume mounted. Two ways to ask it change nothing in the
//! cluster: the kubelet's own statistics (the right to `nodes/proxy`), and `df` in a pod that mounts the volume (the right
//! to exec). Where neither answers, that is said, with the reason; nothing is guessed.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::cli::report::text;
use crate::cli::views::Reference;
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::output::human;

/// How long one way of asking may take.
const WITHIN: Duration = Duration::from_secs(8);
/// What `df` says fits in this.
const ANSWER: u64 = 64 << 10;

/// A volume that would be written into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct VolumePlan {
    /// Its PersistentVolumeClaim.
    pub(super) claim: String,
    /// Bytes that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capacity: Option<u64>,
    /// Bytes that are free now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) free: Option<u64>,
    /// Who says how much is free, or why nobody does.
    pub(super) free_by: String,
    /// Pods that use it now.
    pub(super) used_by: Vec<String>,
}

/// Where a running pod has a claim mounted.
struct Mount<'p> {
    pod: &'p str,
    node: &'p str,
    container: &'p str,
    path: &'p str,
}

/// The volumes of a target. How much is free is asked only with `ask`.
pub(super) async fn volumes(
    cluster: &Cluster,
    target: &Reference,
    place: &str,
    object: Option<&Value>,
    ask: bool,
) -> Vec<VolumePlan> {
    let pods: Vec<Value> = cluster
        .list(&kinds::POD, &ListOptions::of(place))
        .await
        .unwrap_or_default();
    let pods: Vec<Value> = pods.into_iter().filter(live).collect();
    let claims = claims(target, object, &pods);
    let mut statistics = BTreeMap::new();
    let mut volumes = Vec::new();
    for claim in claims {
        let found: Option<Value> = cluster
            .find(&kinds::CLAIM, Some(place), &claim)
            .await
            .ok()
            .flatten();
        let mut volume = VolumePlan {
            capacity: found.as_ref().and_then(capacity),
            used_by: pods
                .iter()
                .filter(|pod| volume_of(pod, &claim).is_some())
                .map(|pod| text(pod, "/metadata/name").to_owned())
                .collect(),
            claim,
            ..VolumePlan::default()
        };
        if ask {
            let mounts: Vec<Mount<'_>> = pods.iter().filter_map(|pod| mount(pod, &volume.claim)).collect();
            (volume.free, volume.free_by) =
                Box::pin(free(cluster, place, &volume.claim, &mounts, &mut statistics)).await;
        } else {
            "was not asked for".clone_into(&mut volume.free_by);
        }
        volumes.push(volume);
    }
    volumes
}

fn live(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Names of the claims that the target's data is in.
fn claims(target: &Reference, object: Option<&Value>, pods: &[Value]) -> Vec<String> {
    if target.kind == kinds::CLAIM.kind {
        return vec![target.name.clone()];
    }
    let Some(object) = object else {
        return Vec::new();
    };
    let mut names: Vec<String> = pods
        .iter()
        .filter(|pod| selected(object, pod))
        .flat_map(|pod| claims_of(pod.pointer("/spec/volumes")))
        .collect();
    if names.is_empty() {
        names = claims_of(object.pointer("/spec/template/spec/volumes"));
        let count = object
            .pointer("/spec/replicas")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        let templates = object
            .pointer("/spec/volumeClaimTemplates")
            .and_then(Value::as_array);
        for template in templates.into_iter().flatten() {
            let template = text(template, "/metadata/name");
            names.extend((0..count.min(64)).map(|n| format!("{template}-{}-{n}", target.name)));
        }
    }
    names.sort();
    names.dedup();
    names
}

fn claims_of(volumes: Option<&Value>) -> Vec<String> {
    let volumes = volumes.and_then(Value::as_array).into_iter().flatten();
    volumes
        .map(|v| text(v, "/persistentVolumeClaim/claimName"))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether a workload's selector is this pod's; only plain labels, as all but a few have.
fn selected(workload: &Value, pod: &Value) -> bool {
    let wanted = workload
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    wanted.is_some_and(|wanted| {
        !wanted.is_empty()
            && wanted
                .iter()
                .all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
    })
}

/// The pod's name of a claim's volume.
fn volume_of<'p>(pod: &'p Value, claim: &str) -> Option<&'p str> {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array)?;
    volumes
        .iter()
        .find(|v| text(v, "/persistentVolumeClaim/claimName") == claim)
        .map(|v| text(v, "/name"))
}

/// Where a pod that runs has the claim.
fn mount<'p>(pod: &'p Value, claim: &str) -> Option<Mount<'p>> {
    let volume = volume_of(pod, claim)?;
    if text(pod, "/status/phase") != "Running" {
        return None;
    }
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array)?;
    let (container, path) = containers
        .iter()
        .find_map(|container| {
            let mounts = container.get("volumeMounts").and_then(Value::as_array)?;
            let mount = mounts.iter().find(|m| text(m, "/name") == volume)?;
            Some((text(container, "/name"), text(mount, "/mountPath")))
        })
        .unwrap_or_default();
    Some(Mount {
        pod: text(pod, "/metadata/name"),
        node: text(pod, "/spec/nodeName"),
        container,
        path,
    })
}

/// How much of a claim is free, and who says so; or why nobody does.
async fn free(
    cluster: &Cluster,
    place: &str,
    claim: &str,
    mounts: &[Mount<'_>],
    statistics: &mut BTreeMap<String, Result<Value, Error>>,
) -> (Option<u64>, String) {
    if mounts.is_empty() {
        return (None, "not known: no running pod has it mounted".to_owned());
    }
    let mut why = Vec::new();
    for mount in mounts {
        if !mount.node.is_empty() && !statistics.contains_key(mount.node) {
            let path = format!("/api/v1/nodes/{}/proxy/stats/summary", mount.node);
            let found = match tokio::time::timeout(WITHIN, cluster.read(&path)).await {
                Ok(found) => found,
                Err(_) => Err(Error::TimedOut {
                    what: format!("the kubelet of node {} did not answer", mount.node),
                    after: WITHIN,
                }),
            };
            statistics.insert(mount.node.to_owned(), found);
        }
        if let Some(Ok(summary)) = statistics.get(mount.node)
            && let Some(free) = in_summary(summary, place, claim)
        {
            return (Some(free), format!("the kubelet of node {}", mount.node));
        }
        if mount.path.is_empty() {
            continue;
        }
        match tokio::time::timeout(WITHIN, df(cluster, place, mount)).await {
            Ok(Ok(free)) => return (Some(free), format!("pod {}", mount.pod)),
            Ok(Err(reason)) => why.push(reason),
            Err(_) => why.push(format!(
                "pod {} did not answer within {}",
                mount.pod,
                human::go_duration(WITHIN)
            )),
        }
    }
    let reason = why
        .into_iter()
        .next()
        .unwrap_or_else(|| "no container has it mounted".to_owned());
    (None, format!("not known: {reason}"))
}

/// A claim's free bytes in the statistics of a kubelet.
fn in_summary(summary: &Value, place: &str, claim: &str) -> Option<u64> {
    let pods = summary.get("pods")?.as_array()?;
    let mut volumes = pods
        .iter()
        .filter_map(|pod| pod.get("volume")?.as_array())
        .flatten();
    let volume =
        volumes.find(|v| text(v, "/pvcRef/name") == claim && text(v, "/pvcRef/namespace") == place)?;
    volume.get("availableBytes")?.as_u64()
}

/// Asks `df` in the pod.
async fn df(cluster: &Cluster, place: &str, mount: &Mount<'_>) -> Result<u64, String> {
    let refused = |error: Error| match error {
        Error::Forbidden { .. } => {
            "you may neither read the kubelet's statistics nor exec into its pods".to_owned()
        }
        other => other.to_string(),
    };
    let command = ["df", "-Pk", mount.path];
    let mut run = cluster
        .exec(place, mount.pod, mount.container, &command, &[])
        .await
        .map_err(refused)?;
    let mut said = String::new();
    let read = (&mut run.stdout).take(ANSWER).read_to_string(&mut said).await;
    read.map_err(|e| format!("pod {}: {e}", mount.pod))?;
    available(&said).ok_or_else(|| format!("container {} of pod {} has no df", mount.container, mount.pod))
}

/// The fourth column of the last line, in KiB.
fn available(said: &str) -> Option<u64> {
    let line = said.lines().skip(1).filter(|l| !l.trim().is_empty()).last()?;
    // The first column may hold spaces, the last ones may not: counted from the percent sign.
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words.iter().position(|w| w.ends_with('%'))?;
    let kib: u64 = words.get(percent.checked_sub(1)?)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// What a claim was made for, else what it asks for.
fn capacity(claim: &Value) -> Option<u64> {
    let quantity = |pointer: &str| {
        let text = claim.pointer(pointer)?.as_str()?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        match text.strip_prefix(digits)? {
            "" => digits.parse().ok(),
            unit => human::parse_bytes(&format!("{digits} {unit}B")),
        }
    };
    quantity("/status/capacity/storage").or_else(|| quantity("/spec/resources/requests/storage"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn df_is_read_however_long_its_first_column_is() {
        let said = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/vda 264212084 36557288  58728600      39% /data\n";
        assert_eq!(available(said), Some(58_728_600 * 1024));
        assert_eq!(
            available("Filesystem x\n//host/a share 100 40 60 40% /my data\n"),
            Some(60 * 1024)
        );
        assert_eq!(available("Filesystem x\n"), None);
        assert_eq!(available(""), None);
    }

    #[test]
    fn the_kubelets_statistics_name_the_claim() {
        let summary = json!({"pods": [{"podRef": {"name": "a"}}, {"volume": [
            {"name": "v", "availableBytes": 1},
            {"name": "w", "availableBytes": 7, "pvcRef": {"name": "data", "namespace": "demo"}}]}]});
        assert_eq!(in_summary(&summary, "demo", "data"), Some(7));
        assert_eq!(in_summary(&summary, "other", "data"), None);
    }

    #[test]
    fn a_workloads_claims_are_those_of_its_pods_or_of_its_template() {
        let target = Reference {
            kind: "StatefulSet".into(),
            name: "db".into(),
            ..Reference::default()
        };
        let workload = json!({"spec": {"replicas": 2, "selector": {"matchLabels": {"app": "db"}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}});
        assert_eq!(claims(&target, Some(&workload), &[]), ["data-db-0", "data-db-1"]);
        let pod = json!({"metadata": {"name": "db-0", "labels": {"app": "db"}}, "status": {"phase": "Running"},
            "spec": {"nodeName": "n", "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data-db-0"}}],
                "containers": [{"name": "c"}, {"name": "m", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}]}});
        assert_eq!(
            claims(&target, Some(&workload), std::slice::from_ref(&pod)),
            ["data-db-0"]
        );
        let at = mount(&pod, "data-db-0").unwrap();
        assert_eq!((at.pod, at.node, at.container, at.path), ("db-0", "n", "m", "/d"));
        assert!(mount(&pod, "other").is_none());
    }

    #[test]
    fn quantities_are_read() {
        let claim = json!({"status": {"capacity": {"storage": "1Gi"}}});
        assert_eq!(capacity(&claim), Some(1 << 30));
        let unbound = json!({"spec": {"resources": {"requests": {"storage": "5000"}}}});
        assert_eq!(capacity(&unbound), Some(5000));
    }
}
