//! What a kubelet says of its node at `/stats/summary`: the volumes of the pods that run, with how much of each is used
//! and free. A claim's directory shares its file system with others, so a volume is as large as that file system.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};

use super::volumes::claims;

/// The summary of a node with these pods.
pub(super) async fn summary(client: &Client, node: &str, pods: &[std::sync::Arc<Pod>]) -> Value {
    let now = jiff::Timestamp::now();
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    // Claims are shared by pods; each is looked up once.
    let mut known: BTreeMap<(String, String), Option<Value>> = BTreeMap::new();
    let mut told = Vec::new();
    for pod in pods {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        if pod.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Running") {
            continue;
        }
        let mut volumes = Vec::new();
        for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
            let Some(source) = &volume.persistent_volume_claim else {
                continue;
            };
            let key = (namespace.clone(), source.claim_name.clone());
            if !known.contains_key(&key) {
                let found = claims::resolve(client, &namespace, &source.claim_name).await;
                known.insert(key.clone(), found.ok().and_then(|path| usage(&path)));
            }
            let Some(Some(usage)) = known.get(&key) else {
                continue;
            };
            let mut entry = usage.clone();
            entry["time"] = json!(now);
            entry["name"] = json!(volume.name);
            entry["pvcRef"] = json!({"name": source.claim_name, "namespace": namespace});
            volumes.push(entry);
        }
        told.push(json!({
            "podRef": {"name": name, "namespace": namespace, "uid": pod.uid().unwrap_or_default()},
            "startTime": pod.creation_timestamp().map(|t| t.0.to_string()),
            "containers": [],
            "volume": volumes,
        }));
    }
    json!({"node": {"nodeName": node, "startTime": now}, "pods": told})
}

/// Bytes and inodes of the file system that holds a directory.
fn usage(path: &Path) -> Option<Value> {
    let found = statvfs(path).ok()?;
    let (unit, blocks) = (found.fragment_size(), found.blocks());
    Some(json!({
        "availableBytes": found.blocks_available() * unit,
        "capacityBytes": blocks * unit,
        "usedBytes": blocks.saturating_sub(found.blocks_free()) * unit,
        "inodesFree": found.files_free(),
        "inodes": found.files(),
        "inodesUsed": found.files().saturating_sub(found.files_free()),
    }))
}
