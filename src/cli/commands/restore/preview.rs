//! `restore --plan`: what a restore would do, and the guards against the wrong source. Only reads.

use jiff::Timestamp;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::plan::Plan;
use crate::api::core::BackupConfiguration;
use crate::api::storage::{Component, Snapshot, SnapshotPhase};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::pick;
use crate::cli::schemas::View;
use crate::cli::views::Reference;
use crate::cluster::{Cluster, ListOptions, kinds};
use crate::output::human;

/// How many Snapshots before are looked at.
const BEFORE: usize = 5;

/// What a restore would do.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct RestorePlan {
    /// The Snapshot.
    snapshot: String,
    /// Its Repository.
    repository: String,
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    taken: Option<Timestamp>,
    /// KIND NAMESPACE/NAME of what was backed up.
    source: String,
    /// KIND NAMESPACE/NAME of what would be written into.
    target: String,
    /// Addon and task that would do it.
    task: String,
    /// The components.
    components: Vec<ComponentPlan>,
    /// Bytes in them; with patterns it may be less that is restored.
    bytes: u64,
    /// Only what matches these.
    include: Vec<String>,
    /// Not what matches these.
    exclude: Vec<String>,
    /// Room of the target's volumes in bytes, where it is known; how much of it is free only a pod could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u64>,
    /// Who manages the target: a controller, Helm, Argo CD, Flux.
    owners: Vec<String>,
    /// Pods that use the target's volume now.
    used_by: Vec<String>,
    /// What happens to files that are there.
    overwrites: String,
    /// What to know.
    warnings: Vec<String>,
    /// What speaks against it: each needs --i-mean.
    guards: Vec<String>,
}

impl View for RestorePlan {
    const COMMAND: &'static str = "restore-plan";
    const KIND: &'static str = "RestorePlan";
}

/// A component that would be restored.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ComponentPlan {
    /// Its name.
    name: String,
    /// The paths that were backed up.
    paths: Vec<String>,
    /// Bytes in it.
    bytes: u64,
}

/// Bytes that a component read.
fn bytes_of(component: &Component) -> Option<u64> {
    let sizes = component
        .restic_stats
        .iter()
        .filter_map(|s| human::parse_bytes(s.summary.as_ref()?.size.as_ref()?));
    let sizes: Vec<u64> = sizes.collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

/// Bytes that the components of a Snapshot read; of all when none is named.
fn bytes_in(snapshot: &Snapshot, components: &[String]) -> Option<u64> {
    let all = snapshot.status.as_ref()?.components.iter();
    let sizes: Vec<u64> = all
        .filter(|(name, _)| components.is_empty() || components.contains(*name))
        .filter_map(|(_, component)| bytes_of(component))
        .collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

/// What speaks against restoring this Snapshot. `before` are earlier good Snapshots of the same session.
fn size_guard(name: &str, bytes: Option<u64>, before: &[(String, u64)]) -> Option<String> {
    let bytes = bytes?;
    if bytes == 0 {
        return Some(format!("Snapshot {name} is empty"));
    }
    let (largest, most) = before.iter().max_by_key(|(_, bytes)| *bytes)?;
    (bytes.saturating_mul(2) < *most).then(|| {
        format!(
            "Snapshot {name} holds {}, less than half of the {} in {largest} before it",
            human::bytes(bytes),
            human::bytes(*most)
        )
    })
}

fn named(reference: &Reference, own: &str) -> String {
    let namespace = if reference.namespace.is_empty() {
        own
    } else {
        &reference.namespace
    };
    format!("{} {namespace}/{}", reference.kind, reference.name)
}

/// Looks at everything that a restore would touch.
///
/// # Errors
/// When the Snapshots cannot be listed.
pub(super) async fn make(
    plan: &Plan,
    components: &[String],
    include: &[String],
    exclude: &[String],
    context: &Context,
) -> Result<RestorePlan, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespace().await?;
    let name = plan.snapshot.metadata.name.clone();
    let all = pick::of_repository(cluster, namespace, &plan.snapshot.spec.repository).await?;
    let this = all.iter().find(|s| s.name_any() == name);
    let bytes = this.and_then(|s| bytes_in(s, components));
    let mut guards = Vec::new();
    if let Some(this) = this {
        let before: Vec<(String, u64)> = all
            .iter()
            .rev()
            .filter(|s| pick::time(s) < pick::time(this) && s.spec.session == this.spec.session)
            .filter(|s| s.status.as_ref().and_then(|s| s.phase) == Some(SnapshotPhase::Succeeded))
            .take(BEFORE)
            .filter_map(|s| Some((s.name_any(), bytes_in(s, components)?)))
            .collect();
        guards.extend(size_guard(&name, bytes, &before));
    }
    let source = named(&plan.snapshot.spec.app_ref, namespace);
    let target = named(&plan.target, namespace);
    if source != target
        && let Some(protector) = protector(cluster, &plan.target, namespace).await
    {
        guards.push(format!(
            "Snapshot {name} is of {source}, but {target} has backups of its own ({protector})"
        ));
    }
    let object = target_object(cluster, &plan.target, namespace).await;
    let used_by = users(cluster, &plan.target, namespace).await;
    let mut warnings = Vec::new();
    let owners = object.as_ref().map(owners).unwrap_or_default();
    let gitops = owners
        .iter()
        .any(|o| o.starts_with("Argo") || o.starts_with("Flux"));
    if gitops && plan.target.kind != kinds::CLAIM.kind {
        warnings.push("a GitOps tool manages the target and may act while it is restored".to_owned());
    }
    if !used_by.is_empty() {
        warnings.push(format!(
            "{} the volume while it is restored; what they write at the same time may be lost or mixed",
            match used_by.as_slice() {
                [one] => format!("pod {one} uses"),
                several => format!("{} pods use", several.len()),
            }
        ));
    }
    let capacity = object.as_ref().and_then(capacity);
    if let (Some(capacity), Some(bytes)) = (capacity, bytes)
        && bytes > capacity
    {
        warnings.push(format!(
            "the data ({}) is larger than the volume ({})",
            human::bytes(bytes),
            human::bytes(capacity)
        ));
    }
    let components = this
        .and_then(|s| s.status.as_ref())
        .map(|s| s.components.iter())
        .into_iter()
        .flatten()
        .filter(|(name, _)| components.is_empty() || components.contains(*name))
        .map(|(name, component)| ComponentPlan {
            name: name.clone(),
            paths: component
                .restic_stats
                .iter()
                .filter_map(|s| s.summary.as_ref()?.host_path.clone())
                .collect(),
            bytes: bytes_of(component).unwrap_or(0),
        })
        .collect();
    Ok(RestorePlan {
        snapshot: name,
        repository: plan.snapshot.spec.repository.clone(),
        taken: plan.snapshot.status.snapshot_time,
        source,
        target,
        task: plan.task_name(),
        components,
        bytes: bytes.unwrap_or(0),
        include: include.to_vec(),
        exclude: exclude.to_vec(),
        capacity,
        owners,
        used_by,
        overwrites: "files of the same path are replaced; files that are not in the Snapshot stay".to_owned(),
        warnings,
        guards,
    })
}

/// The BackupConfiguration that backs a target up; nothing where there is none or we may not know.
async fn protector(cluster: &Cluster, target: &Reference, own: &str) -> Option<String> {
    let place = if target.namespace.is_empty() {
        own
    } else {
        &target.namespace
    };
    let all: Vec<BackupConfiguration> = cluster
        .list(&kinds::BACKUP_CONFIGURATION, &ListOptions::of(place))
        .await
        .ok()?;
    all.into_iter()
        .find(|configuration| {
            configuration.spec.target.as_ref().is_some_and(|t| {
                t.kind.as_deref() == Some(target.kind.as_str())
                    && t.name == target.name
                    && t.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(place) == place
            })
        })
        .map(|configuration| format!("BackupConfiguration {}", configuration.name_any()))
}

async fn target_object(cluster: &Cluster, target: &Reference, own: &str) -> Option<Value> {
    let place = if target.namespace.is_empty() {
        own
    } else {
        &target.namespace
    };
    let kind = kinds::ALL
        .iter()
        .find(|k| k.kind == target.kind && k.group == target.api_group)?;
    cluster.get(kind, Some(place), &target.name).await.ok()
}

fn capacity(object: &Value) -> Option<u64> {
    let text = object.pointer("/status/capacity/storage")?.as_str()?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits)? {
        "" => return digits.parse().ok(),
        unit => unit,
    };
    human::parse_bytes(&format!("{digits} {unit}B"))
}

fn owners(object: &Value) -> Vec<String> {
    let mut owners: Vec<String> = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|o| {
            format!(
                "{} {}",
                o["kind"].as_str().unwrap_or_default(),
                o["name"].as_str().unwrap_or_default()
            )
        })
        .collect();
    let label = |kind: &str, key: &str| {
        object
            .pointer(&format!("/metadata/{kind}"))
            .and_then(|labels| labels.get(key))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    for (name, kind, key) in [
        ("Argo CD application", "labels", "argocd.argoproj.io/instance"),
        (
            "Argo CD application",
            "annotations",
            "argocd.argoproj.io/tracking-id",
        ),
        ("Flux Kustomization", "labels", "kustomize.toolkit.fluxcd.io/name"),
        ("Flux HelmRelease", "labels", "helm.toolkit.fluxcd.io/name"),
        ("Helm release", "annotations", "meta.helm.sh/release-name"),
    ] {
        if let Some(value) = label(kind, key) {
            owners.push(format!("{name} {value}"));
        }
    }
    owners
}

/// Pods that use a claim.
async fn users(cluster: &Cluster, target: &Reference, own: &str) -> Vec<String> {
    if target.kind != kinds::CLAIM.kind {
        return Vec::new();
    }
    let place = if target.namespace.is_empty() {
        own
    } else {
        &target.namespace
    };
    let pods: Vec<Value> = cluster
        .list(&kinds::POD, &ListOptions::of(place))
        .await
        .unwrap_or_default();
    let uses = |pod: &&Value| {
        let live = !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let volumes = pod["spec"]["volumes"].as_array();
        live && volumes
            .into_iter()
            .flatten()
            .any(|v| v["persistentVolumeClaim"]["claimName"] == target.name.as_str())
    };
    pods.iter()
        .filter(uses)
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}

impl RestorePlan {
    /// Refuses what cannot be right, unless the Snapshot is named once more.
    ///
    /// # Errors
    /// A precondition with every guard.
    pub(super) fn check(&self, meant: Option<&str>) -> Result<(), CliError> {
        if let Some(meant) = meant.filter(|m| *m != self.snapshot) {
            return Err(CliError::usage(format!(
                "--i-mean {meant}: the Snapshot that would be restored is {}",
                self.snapshot
            )));
        }
        if self.guards.is_empty() || meant.is_some() {
            return Ok(());
        }
        let error = CliError::new(Exit::Precondition, "this restore is probably not what you want");
        let error = self
            .guards
            .iter()
            .fold(error, |error, guard| error.cause(guard.clone()));
        Err(error.hint(format!("`--i-mean {}` restores it all the same", self.snapshot)))
    }

    /// The plan for people.
    pub(super) fn lines(&self, now: Timestamp) -> Vec<String> {
        let taken = self
            .taken
            .map(|t| format!("{t:.0} ({} ago)", human::age(t, now)))
            .unwrap_or_default();
        let list = |items: &[String]| items.join(", ");
        let mut lines = Vec::new();
        let mut add = |name: &str, value: String| {
            if !value.is_empty() {
                lines.push(format!("{:<12} {value}", format!("{name}:")));
            }
        };
        add(
            "Snapshot",
            format!("{} in Repository {}", self.snapshot, self.repository),
        );
        add("Taken", taken);
        add("Of", self.source.clone());
        add("Into", self.target.clone());
        add("By", self.task.clone());
        for component in &self.components {
            add(
                "Component",
                format!(
                    "{} ({}, {})",
                    component.name,
                    list(&component.paths),
                    human::bytes(component.bytes)
                ),
            );
        }
        add("Data", human::bytes(self.bytes));
        add("Only", list(&self.include));
        add("Without", list(&self.exclude));
        add("Volume", self.capacity.map(human::bytes).unwrap_or_default());
        add("Managed by", list(&self.owners));
        add("Used by", list(&self.used_by));
        add("Overwrites", self.overwrites.clone());
        for warning in &self.warnings {
            add("Warning", warning.clone());
        }
        for guard in &self.guards {
            add("Guard", guard.clone());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_much_smaller_snapshot_is_guarded() {
        let before = [("a".to_owned(), 1000), ("b".to_owned(), 400)];
        assert_eq!(
            size_guard("s", None, &before),
            None,
            "an unknown size says nothing"
        );
        assert!(size_guard("s", Some(0), &[]).unwrap().contains("empty"));
        assert!(
            size_guard("s", Some(499), &before)
                .unwrap()
                .contains("in a before it")
        );
        assert_eq!(size_guard("s", Some(500), &before), None);
        assert_eq!(size_guard("s", Some(1), &[]), None);
    }

    #[test]
    fn quantities_and_owners_are_read() {
        let claim = serde_json::json!({"status": {"capacity": {"storage": "1Gi"}},
            "metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}, "ownerReferences": [{"kind": "X", "name": "y"}]}});
        assert_eq!(capacity(&claim), Some(1 << 30));
        assert_eq!(owners(&claim), ["X y", "Argo CD application shop"]);
    }
}
