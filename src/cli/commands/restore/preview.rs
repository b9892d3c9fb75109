//! `restore --plan`: what a restore would do, and the guards against the wrong source. Only reads.

mod guards;
pub mod meant;
mod owners;
mod room;
mod text;

use jiff::Timestamp;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use self::room::VolumePlan;
use super::plan::Plan;
use crate::api::storage::{Component, Snapshot};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::inside::pick;
use crate::cli::schemas::View;
use crate::cli::views::Reference;
use crate::cluster::{Cluster, kinds};
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
    /// Room of the target's volumes in bytes, where all are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u64>,
    /// How much of it is free now, where all are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u64>,
    /// The target's volumes one by one.
    volumes: Vec<VolumePlan>,
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

fn named(reference: &Reference, own: &str) -> String {
    format!(
        "{} {}/{}",
        reference.kind,
        reference.namespace_or(own),
        reference.name
    )
}

/// Looks at everything that a restore would touch; how much room is free is asked only with `ask`.
///
/// # Errors
/// When the Snapshots cannot be listed.
pub(super) async fn make(
    plan: &Plan,
    components: &[String],
    include: &[String],
    exclude: &[String],
    ask: bool,
    context: &Context,
) -> Result<RestorePlan, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespace().await?;
    let name = plan.snapshot.metadata.name.clone();
    let all = pick::of_repository(cluster, namespace, &plan.snapshot.spec.repository).await?;
    let this = all.iter().find(|s| s.name_any() == name);
    let bytes = this.and_then(|s| bytes_in(s, components));
    let place = plan.target.namespace_or(namespace);
    let source = named(&plan.snapshot.spec.app_ref, namespace);
    let target = named(&plan.target, namespace);
    let mut guards: Vec<String> = this
        .and_then(|this| guards::size(&name, bytes, &before(&all, this, components)))
        .into_iter()
        .collect();
    if source != target {
        guards.extend(guards::of_another(cluster, &name, &source, &plan.target, place).await);
    }
    let object = target_object(cluster, &plan.target, place).await;
    let owners = object.as_ref().map(owners::of).unwrap_or_default();
    let volumes = room::volumes(cluster, &plan.target, place, object.as_ref(), ask).await;
    let components = this.map(|s| component_plans(s, components)).unwrap_or_default();
    let mut warnings = Vec::new();
    warnings.extend(owners::warning(&owners, &plan.target));
    warnings.extend(users_warning(&volumes));
    warnings.extend(room_warnings(&components, &volumes));
    warnings.extend(guards::others(cluster, namespace, &plan.target, place).await);
    let sum = |each: fn(&VolumePlan) -> Option<u64>| {
        let known: Option<Vec<u64>> = volumes.iter().map(each).collect();
        known.filter(|all| !all.is_empty()).map(|all| all.iter().sum())
    };
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
        capacity: sum(|v| v.capacity),
        free: sum(|v| v.free),
        owners,
        used_by: users(&volumes),
        volumes,
        overwrites: "files of the same path are replaced; files that are not in the Snapshot stay".to_owned(),
        warnings,
        guards,
    })
}

/// Earlier good Snapshots of the same session, with their bytes.
fn before(all: &[Snapshot], this: &Snapshot, components: &[String]) -> Vec<(String, u64)> {
    all.iter()
        .rev()
        .filter(|s| pick::time(s) < pick::time(this) && s.spec.session == this.spec.session)
        .filter(|s| pick::succeeded(s))
        .take(BEFORE)
        .filter_map(|s| Some((s.name_any(), bytes_in(s, components)?)))
        .collect()
}

fn component_plans(snapshot: &Snapshot, wanted: &[String]) -> Vec<ComponentPlan> {
    let all = snapshot.status.as_ref().map(|s| s.components.iter());
    all.into_iter()
        .flatten()
        .filter(|(name, _)| wanted.is_empty() || wanted.contains(*name))
        .map(|(name, component)| ComponentPlan {
            name: name.clone(),
            paths: component
                .restic_stats
                .iter()
                .filter_map(|s| s.summary.as_ref()?.host_path.clone())
                .collect(),
            bytes: bytes_of(component).unwrap_or(0),
        })
        .collect()
}

/// All pods that use one of the volumes, each once.
fn users(volumes: &[VolumePlan]) -> Vec<String> {
    let mut pods: Vec<String> = volumes.iter().flat_map(|v| v.used_by.iter().cloned()).collect();
    pods.sort();
    pods.dedup();
    pods
}

fn users_warning(volumes: &[VolumePlan]) -> Option<String> {
    let (who, they_write) = match users(volumes).as_slice() {
        [] => return None,
        [one] => (format!("pod {one} uses"), "it writes"),
        several => (format!("{} pods use", several.len()), "they write"),
    };
    let what = if volumes.len() == 1 {
        "the volume while it is restored"
    } else {
        "the volumes while they are restored"
    };
    Some(format!(
        "{who} {what}; what {they_write} at the same time may be lost or mixed"
    ))
}

/// What does not fit: into the one volume everything, else into the volume of an ordinal the component of that ordinal.
fn room_warnings(components: &[ComponentPlan], volumes: &[VolumePlan]) -> Vec<String> {
    let into = |volume: &VolumePlan| -> u64 {
        if volumes.len() == 1 {
            return components.iter().map(|c| c.bytes).sum();
        }
        let ordinal = volume.claim.rsplit('-').next().unwrap_or_default();
        let mine = components
            .iter()
            .filter(|c| c.name.strip_prefix("dump-pod-") == Some(ordinal));
        mine.map(|c| c.bytes).sum()
    };
    let mut warnings = Vec::new();
    for volume in volumes {
        let (bytes, claim) = (into(volume), &volume.claim);
        let data = human::bytes(bytes);
        match (volume.capacity, volume.free) {
            (Some(capacity), _) if bytes > capacity => warnings.push(format!(
                "the data ({data}) is larger than the volume {claim} ({})",
                human::bytes(capacity)
            )),
            (_, Some(free)) if bytes > free => warnings.push(format!(
                "the data ({data}) is more than what is free on the volume {claim} ({}); only files that are replaced take no further room",
                human::bytes(free)
            )),
            _ => {}
        }
    }
    warnings
}

async fn target_object(cluster: &Cluster, target: &Reference, place: &str) -> Option<Value> {
    let kind = kinds::ALL
        .iter()
        .find(|k| k.kind == target.kind && k.group == target.api_group)?;
    cluster.get(kind, Some(place), &target.name).await.ok()
}

impl RestorePlan {
    /// Whether nothing at all was read when it was backed up.
    pub(super) fn empty(&self) -> bool {
        self.bytes == 0 && self.components.iter().any(|c| !c.paths.is_empty())
    }

    /// Refuses what cannot be right, unless the Snapshot is named once more.
    ///
    /// # Errors
    /// A precondition with every guard.
    pub(super) fn check(&self, meant: Option<&str>) -> Result<(), CliError> {
        guards::check(&self.snapshot, &self.guards, meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, bytes: u64) -> ComponentPlan {
        ComponentPlan {
            name: name.to_owned(),
            paths: Vec::new(),
            bytes,
        }
    }

    fn volume(claim: &str, capacity: u64, free: Option<u64>, pod: &str) -> VolumePlan {
        VolumePlan {
            claim: claim.to_owned(),
            capacity: Some(capacity),
            free,
            free_by: String::new(),
            used_by: vec![pod.to_owned()],
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let one =
            |capacity, free| room_warnings(&[component("dump", 100)], &[volume("data", capacity, free, "p")]);
        assert!(one(100, Some(100)).is_empty() && one(200, None).is_empty());
        assert!(one(99, Some(500))[0].contains("larger than the volume data"));
        assert!(one(200, Some(99))[0].contains("more than what is free"));
        let several = [
            volume("data-db-0", 500, Some(50), "db-0"),
            volume("data-db-1", 500, Some(50), "db-1"),
        ];
        let warnings = room_warnings(
            &[component("dump-pod-0", 40), component("dump-pod-1", 60)],
            &several,
        );
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("data-db-1"));
    }

    #[test]
    fn who_uses_what_is_restored_is_said_in_the_right_number() {
        let of = |claim: &str, pod: &str| volume(claim, 1, None, pod);
        for (volumes, said) in [
            (
                vec![of("data", "web")],
                "pod web uses the volume while it is restored; what it writes at",
            ),
            (
                vec![of("data", "web"), of("logs", "web")],
                "pod web uses the volumes while they are restored; what it writes at",
            ),
            (
                vec![of("data-0", "db-0"), of("data-1", "db-1")],
                "2 pods use the volumes while they are restored; what they write at",
            ),
        ] {
            let warning = users_warning(&volumes).unwrap();
            assert!(warning.starts_with(said), "{warning}");
        }
    }
}
