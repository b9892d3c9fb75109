//! What there is to back up in a namespace: workloads with their volumes, and claims, with what a person needs to tell
//! them apart.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::labels::{MANAGED_BY, MANAGED_BY_KUBESTASH};
use crate::cluster::{Kind, kinds};
use crate::output::human;

/// Kinds that use claims without being targets, owners before what they own.
pub const USERS: [&Kind; 3] = [&kinds::CRON_JOB, &kinds::JOB, &kinds::POD];

/// Where the catalog's Addon mounts a claim.
const CLAIM_AT: &str = "/kubestash-data";

/// The kinds that can be backed up and restored into.
pub const KINDS: [&Kind; 4] = [
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
    &kinds::CLAIM,
];

/// Where a workload has data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Path in the containers.
    pub path: String,
    /// What is mounted: `5Gi`, `hostPath /var/lib/x`.
    pub what: String,
}

/// Something to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its name.
    pub name: String,
    /// Where a workload has data; empty for claims.
    pub mounts: Vec<Mount>,
    /// Where a backup reads: the paths at which it mounts what the pods mount.
    pub reached: Vec<String>,
    /// One line about it.
    pub detail: String,
    /// The user that its containers run as, where that is set.
    pub user: Option<i64>,
    /// The workload that uses a claim.
    pub used_by: Option<String>,
}

impl Target {
    /// `pvc/NAME` and the like, as the flags take it.
    pub fn word(&self) -> String {
        format!("{}/{}", word(self.kind), self.name)
    }

    /// Whether there is data in it.
    pub fn has_data(&self) -> bool {
        self.kind == &kinds::CLAIM || !self.mounts.is_empty()
    }
}

/// The word for a kind in flags.
pub fn word(kind: &Kind) -> String {
    if *kind == kinds::CLAIM {
        "pvc".to_owned()
    } else {
        kind.kind.to_lowercase()
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Everything that can be backed up, workloads with data first. `others` are pods, Jobs and CronJobs: nothing that is
/// backed up by itself, but whose claims are somebody's.
pub fn all(
    claims: &[Value],
    workloads: &[(&'static Kind, Vec<Value>)],
    others: &[(&'static Kind, Vec<Value>)],
) -> Vec<Target> {
    let sizes: BTreeMap<&str, &str> = claims
        .iter()
        .map(|claim| (text(claim, "/metadata/name"), size(claim)))
        .collect();
    let mut found = Vec::new();
    // Claim to the workload that uses it, with the user it runs as.
    let mut users: BTreeMap<String, (String, Option<i64>)> = BTreeMap::new();
    for (kind, objects) in workloads {
        for object in objects {
            let target = workload(kind, object, &sizes);
            for claim in claims_of(kind, object, &sizes) {
                users.entry(claim).or_insert((target.word(), target.user));
            }
            found.push(target);
        }
    }
    for (kind, object) in USERS
        .iter()
        .flat_map(|kind| others.iter().filter(move |(k, _)| k == kind))
        .flat_map(|(kind, objects)| objects.iter().map(move |object| (*kind, object)))
        .filter(|(_, object)| at_work(object))
    {
        let spec = pod_spec(kind);
        for volume in items(object, &format!("{spec}/volumes")) {
            let claim = text(volume, "/persistentVolumeClaim/claimName").to_owned();
            let by = format!("{}/{}", word(kind), text(object, "/metadata/name"));
            users.entry(claim).or_insert((by, user_of(object, spec)));
        }
    }
    for object in claims {
        found.push(claim(object, &users));
    }
    found.sort_by_key(|target| !target.has_data());
    found
}

/// Whether a pod or Job is, or will be, at work on its volumes; our own Jobs are nobody's application.
fn at_work(object: &Value) -> bool {
    let ended = matches!(text(object, "/status/phase"), "Succeeded" | "Failed")
        || items(object, "/status/conditions")
            .any(|c| matches!(text(c, "/type"), "Complete" | "Failed") && text(c, "/status") == "True");
    let ours = object.pointer("/metadata/labels").and_then(|l| l.get(MANAGED_BY));
    !ended && ours.and_then(Value::as_str) != Some(MANAGED_BY_KUBESTASH)
}

/// Where the pods of a kind are described.
fn pod_spec(kind: &Kind) -> &'static str {
    match kind.kind {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    }
}

/// The user that containers run as, where that is set.
fn user_of(object: &Value, spec: &str) -> Option<i64> {
    object
        .pointer(&format!("{spec}/securityContext/runAsUser"))
        .and_then(Value::as_i64)
        .or_else(|| {
            items(object, &format!("{spec}/containers"))
                .find_map(|c| c.pointer("/securityContext/runAsUser").and_then(Value::as_i64))
        })
}

fn size(claim: &Value) -> &str {
    match text(claim, "/status/capacity/storage") {
        "" => text(claim, "/spec/resources/requests/storage"),
        size => size,
    }
}

fn claim(object: &Value, users: &BTreeMap<String, (String, Option<i64>)>) -> Target {
    let name = text(object, "/metadata/name").to_owned();
    let modes: Vec<&str> = items(object, "/spec/accessModes")
        .filter_map(Value::as_str)
        .collect();
    let mut parts = vec![
        size(object).to_owned(),
        modes.join("+"),
        text(object, "/status/phase").to_owned(),
    ];
    let user = users.get(&name);
    if let Some((by, _)) = user {
        parts.push(format!("used by {by}"));
    }
    parts.retain(|part| !part.is_empty());
    Target {
        kind: &kinds::CLAIM,
        name,
        mounts: Vec::new(),
        reached: vec![CLAIM_AT.to_owned()],
        detail: parts.join(" · "),
        user: user.and_then(|(_, user)| *user),
        used_by: user.map(|(by, _)| by.clone()),
    }
}

fn workload(kind: &'static Kind, object: &Value, sizes: &BTreeMap<&str, &str>) -> Target {
    let mounts = mounts(object, sizes);
    let pods = object.pointer("/spec/replicas").and_then(Value::as_u64);
    let nodes = object
        .pointer("/status/desiredNumberScheduled")
        .and_then(Value::as_u64);
    let count = |number: u64, noun: &str| human::counted(number, noun);
    let mut parts = Vec::new();
    if let Some(pods) = pods {
        parts.push(count(pods, "pod"));
    } else if let Some(nodes) = nodes {
        parts.push(count(nodes, "node"));
    }
    parts.extend(
        mounts
            .iter()
            .map(|mount| format!("{} ({})", mount.path, mount.what)),
    );
    if mounts.is_empty() {
        parts.push("no volume with data".to_owned());
    }
    let user = user_of(object, pod_spec(kind));
    Target {
        kind,
        name: text(object, "/metadata/name").to_owned(),
        mounts,
        reached: reached(object),
        detail: parts.join(" · "),
        user,
        used_by: None,
    }
}

/// Mounts of volumes that outlive their pods, each path once.
fn mounts(object: &Value, sizes: &BTreeMap<&str, &str>) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for container in items(object, "/spec/template/spec/containers") {
        for mount in items(container, "/volumeMounts") {
            let path = text(mount, "/mountPath");
            if let Some(what) = volume(object, text(mount, "/name"), sizes)
                && !found.iter().any(|known| known.path == path)
            {
                found.push(Mount {
                    path: path.to_owned(),
                    what,
                });
            }
        }
    }
    found
}

/// Where the Jobs of a backup mount what the containers mount: all but what lives and dies with a pod, and what is its own
/// secret. Sorted, each path once.
fn reached(object: &Value) -> Vec<String> {
    let own = ["emptyDir", "ephemeral", "projected", "downwardAPI"];
    let own: Vec<&str> = items(object, "/spec/template/spec/volumes")
        .filter(|volume| own.iter().any(|kind| volume.get(kind).is_some()))
        .map(|volume| text(volume, "/name"))
        .collect();
    let mut found: Vec<String> = items(object, "/spec/template/spec/containers")
        .flat_map(|container| items(container, "/volumeMounts"))
        .filter(|mount| !own.contains(&text(mount, "/name")))
        .map(|mount| text(mount, "/mountPath").to_owned())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What a volume of the pod template is; nothing where it holds no data of its own.
fn volume(object: &Value, name: &str, sizes: &BTreeMap<&str, &str>) -> Option<String> {
    if let Some(template) =
        items(object, "/spec/volumeClaimTemplates").find(|t| text(t, "/metadata/name") == name)
    {
        return Some(format!(
            "{} each",
            text(template, "/spec/resources/requests/storage")
        ));
    }
    let volume = items(object, "/spec/template/spec/volumes").find(|v| text(v, "/name") == name)?;
    if let Some(claim) = volume
        .pointer("/persistentVolumeClaim/claimName")
        .and_then(Value::as_str)
    {
        return Some(match sizes.get(claim) {
            Some(size) => format!("{claim}, {size}"),
            None => claim.to_owned(),
        });
    }
    if let Some(path) = volume.pointer("/hostPath/path").and_then(Value::as_str) {
        return Some(format!("hostPath {path}"));
    }
    if let Some(server) = volume.pointer("/nfs/server").and_then(Value::as_str) {
        return Some(format!("nfs {server}:{}", text(volume, "/nfs/path")));
    }
    volume
        .get("csi")
        .map(|csi| format!("csi {}", text(csi, "/driver")))
}

/// The claims that a workload uses.
fn claims_of(kind: &Kind, object: &Value, sizes: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut claims: Vec<String> = items(object, "/spec/template/spec/volumes")
        .filter_map(|v| {
            v.pointer("/persistentVolumeClaim/claimName")
                .and_then(Value::as_str)
        })
        .map(ToOwned::to_owned)
        .collect();
    if *kind == kinds::STATEFUL_SET {
        for template in items(object, "/spec/volumeClaimTemplates") {
            let prefix = format!(
                "{}-{}-",
                text(template, "/metadata/name"),
                text(object, "/metadata/name")
            );
            claims.extend(
                sizes
                    .keys()
                    .filter(|name| {
                        name.strip_prefix(&prefix)
                            .is_some_and(|n| n.parse::<u32>().is_ok())
                    })
                    .map(|name| (*name).to_owned()),
            );
        }
    }
    claims
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn shop() -> Vec<Target> {
        let claims = [
            json!({"metadata": {"name": "documents"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"}}),
            json!({"metadata": {"name": "data-db-0"}, "spec": {"accessModes": ["ReadWriteOnce"]},
                "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}}),
        ];
        let set = json!({"metadata": {"name": "db"}, "spec": {"replicas": 1,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}],
            "template": {"spec": {"securityContext": {"runAsUser": 999}, "containers": [{"volumeMounts": [
                {"name": "data", "mountPath": "/var/lib/db"}, {"name": "config", "mountPath": "/etc/db"}]}],
                "volumes": [{"name": "config", "configMap": {"name": "c"}}]}}}});
        let web = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "template": {"spec": {"containers": [{}]}}}});
        all(
            &claims,
            &[(&kinds::DEPLOYMENT, vec![web]), (&kinds::STATEFUL_SET, vec![set])],
            &[],
        )
    }

    #[test]
    fn targets_tell_their_volumes_sizes_and_users() {
        let rows: Vec<String> = shop()
            .iter()
            .map(|t| format!("{}: {} {:?}", t.word(), t.detail, t.user))
            .collect();
        assert_eq!(
            rows,
            [
                "statefulset/db: 1 pod · /var/lib/db (2Gi each) Some(999)",
                "pvc/documents: 1Gi · ReadWriteOnce · Bound None",
                "pvc/data-db-0: 2Gi · ReadWriteOnce · Bound · used by statefulset/db Some(999)",
                "deployment/web: 2 pods · no volume with data None",
            ]
        );
    }

    #[test]
    fn claims_of_bare_pods_and_jobs_are_somebodys() {
        let claim = |name: &str| json!({"metadata": {"name": name}});
        let volumes = |claim: &str| json!([{"persistentVolumeClaim": {"claimName": claim}}]);
        let pod = |name: &str, claim: &str, phase: &str, labels: Value| {
            json!({"metadata": {"name": name, "labels": labels}, "spec": {"securityContext": {"runAsUser": 7},
                "volumes": volumes(claim)}, "status": {"phase": phase}})
        };
        let nightly = json!({"metadata": {"name": "nightly"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"volumes": volumes("b")}}}}}});
        let found = all(
            &["a", "b", "c", "d"].map(claim),
            &[],
            &[
                (
                    &kinds::POD,
                    vec![
                        pod("solo", "a", "Running", json!({})),
                        pod("nightly-1", "b", "Running", json!({})),
                        pod("over", "c", "Succeeded", json!({})),
                        pod("mover", "d", "Running", json!({MANAGED_BY: MANAGED_BY_KUBESTASH})),
                    ],
                ),
                (&kinds::CRON_JOB, vec![nightly]),
            ],
        );
        let users: Vec<Option<&str>> = found.iter().map(|t| t.used_by.as_deref()).collect();
        assert_eq!(users, [Some("pod/solo"), Some("cronjob/nightly"), None, None]);
        assert_eq!(found[0].user, Some(7));
    }
}
