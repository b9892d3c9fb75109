//! A RestoreSession's work: which Snapshot, which of its components, onto what, by which Jobs.
//!
//! [`choose`] resolves `latest` and points in time, [`parts`] matches components to places of the target and refuses what
//! cannot be right: a Snapshot of another Repository, a component that is not there or does not fit the target, data that
//! is not complete or not there at all.

mod hold;
mod parts;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::{
    addon::{self, SessionTask},
    backup::{self, COMPONENTS_ANNOTATION, ExecutorError, OperatorFacts, PlannedJob, generated_account},
    components::Instance,
    job::{JobFrame, TaskContainer},
    naming,
    plan::{self, RepositoryFacts, SecretData},
    retention::snapshot_time,
    size,
    target::Target,
    variables::Inputs,
    volume_owner, volumes,
};
use crate::api::{
    config::job_plan::{JobPlan, ResticSource, RestorePlan, RestoreTarget},
    core::{ComponentRestoreStatus, RestoreDataSource, RestorePhase, RestoreSession},
    labels,
    shared::TypedObjectReference,
    storage::{Component, Snapshot, SnapshotPhase},
};

pub use self::hold::{finished, held_by_another, to_hold};
pub use self::parts::{ALLOW_EMPTY, parts};

/// Memory that a restore Job asks for: with less than 160 MiB restic was killed on a 4 GiB restore.
const RESTORE_MEMORY: &str = "256Mi";

/// Names the newest fitting Snapshot.
pub const LATEST: &str = "latest";

/// How long a missing target is waited for where the session has no restoreTimeout.
pub const TARGET_WITHIN: SignedDuration = SignedDuration::from_mins(30);

/// Whether a target that has been missing since then is still waited for; a restoreTimeout has its own deadline.
#[must_use]
pub fn awaits_target(session: &RestoreSession, since: Timestamp, now: Timestamp) -> bool {
    session.spec.restore_timeout.is_some() || now.duration_since(since) < TARGET_WITHIN
}

/// One component to restore and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Name of the component, in the Snapshot and in the RestoreSession's status.
    pub component: String,
    /// Which of the session's tasks restores it.
    pub task: usize,
    /// The place of the target.
    pub instance: Instance,
}

/// Everything the Jobs of a restore depend on.
pub struct RestoreFacts<'a> {
    /// The session.
    pub session: &'a RestoreSession,
    /// Its tasks.
    pub tasks: &'a [SessionTask],
    /// Its target.
    pub target: &'a Target,
    /// The Snapshot to restore.
    pub snapshot: &'a Snapshot,
    /// The Snapshot's Repository.
    pub repository: &'a RepositoryFacts,
    /// What goes where.
    pub parts: &'a [Part],
    /// Claims by name, in the target's namespace, as far as they exist.
    pub claims: &'a BTreeMap<String, PersistentVolumeClaim>,
    /// UID of the namespace `kube-system`.
    pub cluster: &'a str,
    /// What the operator adds to every Job.
    pub operator: &'a OperatorFacts,
    /// When everything must be over.
    pub deadline: Option<Timestamp>,
}

/// True when the data source leaves the choice of the Snapshot to us.
#[must_use]
pub fn chooses(source: &RestoreDataSource) -> bool {
    source.pitr.is_some() || source.snapshot == LATEST
}

/// The newest Succeeded Snapshot of the Repository that has the wanted components and, for a point in time, is not later.
///
/// # Errors
/// Why there is none.
pub fn choose<'a>(source: &RestoreDataSource, snapshots: &'a [Snapshot]) -> Result<&'a Snapshot, String> {
    let limit = source
        .pitr
        .as_ref()
        .and_then(|pitr| pitr.target_time.as_ref().map(|time| (time.0, pitr.exclusive)));
    let candidates = snapshots.iter().filter(|snapshot| {
        let phase = snapshot.status.as_ref().and_then(|status| status.phase);
        let in_time = match (limit, snapshot_time(snapshot)) {
            (None, _) => true,
            (Some((limit, exclusive)), Some(at)) => at < limit || (!exclusive && at == limit),
            (Some(_), None) => false,
        };
        snapshot.spec.repository == source.repository
            && snapshot.metadata.deletion_timestamp.is_none()
            && phase == Some(SnapshotPhase::Succeeded)
            && in_time
    });
    let mut candidates: Vec<&Snapshot> = candidates.collect();
    candidates.sort_by_key(|snapshot| std::cmp::Reverse((snapshot_time(snapshot), snapshot.name_any())));
    let repository = &source.repository;
    let Some(newest) = candidates.first() else {
        let when = limit
            .map(|(at, _)| format!(" not later than {at}"))
            .unwrap_or_default();
        return Err(format!(
            "no Succeeded Snapshot{when} found in Repository \"{repository}\"; see `kubectl kubestash snapshot list --repo \
             {repository}`"
        ));
    };
    let missing = |snapshot: &Snapshot| {
        let status = snapshot.status.as_ref();
        let lacks = |wanted: &&String| status.is_none_or(|status| !status.components.contains_key(*wanted));
        source.components.iter().find(lacks)
    };
    let chosen = candidates.iter().find(|snapshot| missing(snapshot).is_none());
    chosen.copied().ok_or_else(|| {
        let known = newest.status.clone().unwrap_or_default().components;
        format!(
            "Snapshot \"{}\" has no component \"{}\"; it has: {}; nor has an older Snapshot of Repository \"{repository}\" \
             all that is wanted",
            newest.name_any(),
            missing(newest).map_or("", String::as_str),
            known.keys().cloned().collect::<Vec<_>>().join(", ")
        )
    })
}

/// Why the named Snapshot is not one to restore from here.
///
/// # Errors
/// The reason.
pub fn fits(source: &RestoreDataSource, snapshot: &Snapshot) -> Result<(), String> {
    let name = snapshot.name_any();
    if !source.repository.is_empty() && snapshot.spec.repository != source.repository {
        return Err(format!(
            "Snapshot \"{name}\" belongs to Repository \"{}\" (of {}), not to \"{}\"",
            snapshot.spec.repository,
            app(snapshot),
            source.repository
        ));
    }
    if snapshot.metadata.deletion_timestamp.is_some() {
        return Err(format!("Snapshot \"{name}\" is being deleted"));
    }
    Ok(())
}

fn app(snapshot: &Snapshot) -> String {
    snapshot
        .spec
        .app_ref
        .as_ref()
        .map_or_else(|| "nothing".to_owned(), super::target::describe)
}

/// The target of the session: its own, else the application that the Snapshot was taken of, moved where the manifest
/// options say.
#[must_use]
pub fn target(session: &RestoreSession, snapshot: &Snapshot) -> Option<TypedObjectReference> {
    if session.spec.target.is_some() {
        return session.spec.target.clone();
    }
    let mut reference = snapshot.spec.app_ref.clone().filter(|app| app.name != "na")?;
    let moved = session
        .spec
        .manifest_options
        .as_ref()
        .and_then(|options| options.workload.as_ref())
        .and_then(|workload| workload.restore_namespace.clone())
        .filter(|namespace| !namespace.is_empty());
    if moved.is_some() {
        reference.namespace = moved;
    }
    Some(reference)
}

/// The restic snapshots of a component.
fn sources(component: &Component) -> Vec<ResticSource> {
    component
        .restic_stats
        .iter()
        .filter_map(|stats| stats.summary.as_ref())
        .filter_map(|summary| {
            Some(ResticSource {
                id: summary.id.clone().filter(|id| !id.is_empty())?,
                host_path: summary.host_path.clone().unwrap_or_default(),
                size: summary.size.as_deref().and_then(size::parse),
            })
        })
        .collect()
}

/// The session's components as they stand before any Job has begun.
#[must_use]
pub fn pending(parts: &[Part]) -> BTreeMap<String, ComponentRestoreStatus> {
    parts
        .iter()
        .map(|part| {
            let status = ComponentRestoreStatus {
                phase: Some(RestorePhase::Pending),
                ..ComponentRestoreStatus::default()
            };
            (part.component.clone(), status)
        })
        .collect()
}

/// The Jobs: one per place of the target.
///
/// # Errors
/// When a task's inputs, volumes or Secrets do not fit.
pub fn jobs(facts: &RestoreFacts<'_>) -> Result<Vec<PlannedJob>, ExecutorError> {
    let mut places: BTreeMap<&Instance, Vec<&Part>> = BTreeMap::new();
    for part in facts.parts {
        places.entry(&part.instance).or_default().push(part);
    }
    places
        .into_iter()
        .map(|(instance, mut parts)| {
            parts.sort_by_key(|part| part.task);
            one_job(facts, instance, &parts)
        })
        .collect()
}

fn one_job(
    facts: &RestoreFacts<'_>,
    instance: &Instance,
    parts: &[&Part],
) -> Result<PlannedJob, ExecutorError> {
    let namespace = facts.session.namespace().unwrap_or_default();
    let session = facts.session.name_any();
    let (repository, data) = plan::repository(facts.repository, 0, false);
    let storage_volume = volumes::of_storage(&facts.repository.storage, false);
    let status = facts.snapshot.status.clone().unwrap_or_default();
    let mut containers = Vec::new();
    let mut plans = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let task = &facts.tasks[part.task];
        let component = status
            .components
            .get(&part.component)
            .cloned()
            .unwrap_or_default();
        let restic = sources(&component);
        let inputs = inputs(facts, instance, &restic);
        let inputs = addon::inputs(&inputs, task)?;
        let pod = facts.target.pod(instance);
        let mut volumes = volumes::of_task(task, &inputs, pod.as_ref(), false)?;
        if let Some((volume, mount, _)) = &storage_volume {
            volumes.volume(volume.clone());
            volumes.mount(mount.clone());
        }
        containers.push(TaskContainer {
            task: task.task.name.clone(),
            component: part.component.clone(),
            function: addon::function(task, &inputs)?,
            volumes,
            env: task.reference.variables.clone(),
            plan_key: plan::key(index),
        });
        plans.push(JobPlan::Restore(RestorePlan {
            namespace: namespace.clone(),
            restore_session: session.clone(),
            source_component: part.component.clone(),
            status_component: part.component.clone(),
            target: RestoreTarget {
                repository: repository.clone(),
                component_path: path(facts.snapshot, &part.component, &component),
                restic,
                root: None,
            },
            deadline: facts.deadline,
            cluster: facts.cluster.to_owned(),
        }));
    }
    let frame = frame(facts, instance, &containers, &data);
    let claims = claims(&containers);
    let frame = JobFrame {
        node: facts.target.node(instance, &claims, facts.claims),
        ..frame
    };
    backup::planned(&frame, &containers, &plans, data, claims)
}

fn claims(containers: &[TaskContainer]) -> Vec<String> {
    let all: BTreeSet<String> = containers
        .iter()
        .flat_map(|container| volumes::claims(&container.volumes.volumes))
        .collect();
    all.into_iter().collect()
}

fn frame<'a>(
    facts: &RestoreFacts<'a>,
    instance: &Instance,
    containers: &[TaskContainer],
    data: &SecretData,
) -> JobFrame<'a> {
    let namespace = facts.session.namespace().unwrap_or_default();
    let session = facts.session.name_any();
    let addon = facts.session.spec.addon.as_ref();
    let job_namespace = facts.target.job_namespace(&namespace);
    let mut annotations = backup::invoker(&namespace, &session);
    let written: Vec<_> = containers.iter().map(|c| c.component.as_str()).collect();
    annotations.insert(COMPONENTS_ANNOTATION.to_owned(), written.join(","));
    JobFrame {
        name: naming::restore_job(&session, instance.job_suffix().as_deref()),
        service_account: addon
            .and_then(backup::given_service_account)
            .unwrap_or_else(|| generated_account(&namespace, &session, &job_namespace)),
        namespace: job_namespace,
        labels: offshoot(facts.session),
        annotations,
        template: addon.and_then(|addon| addon.job_template.as_ref()),
        container_settings: addon.and_then(|addon| addon.container_runtime_settings.as_ref()),
        // Only root gives files their owners back.
        user: Some(0),
        groups: volume_owner::of([&facts.repository.storage]).groups,
        node: None,
        image: facts.operator.image.clone(),
        proxy: facts.operator.proxy.clone(),
        memory: RESTORE_MEMORY,
        secret_keys: data.keys().cloned().collect(),
        without_plan: false,
    }
}

/// Where the component lies: what the Snapshot says counts, whatever the layout of today is.
fn path(snapshot: &Snapshot, name: &str, component: &Component) -> String {
    component
        .path
        .clone()
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| naming::component_path(&snapshot.spec.session, name))
}

fn inputs(facts: &RestoreFacts<'_>, instance: &Instance, restic: &[ResticSource]) -> Inputs {
    let mut inputs = backup::image_inputs(&facts.operator.image);
    inputs.insert("namespace".into(), facts.session.namespace().unwrap_or_default());
    inputs.insert("restoreSession".into(), facts.session.name_any());
    inputs.insert("snapshot".into(), facts.snapshot.name_any());
    let paths: Vec<&str> = restic
        .iter()
        .map(|source| source.host_path.as_str())
        .filter(|path| !path.is_empty())
        .collect();
    inputs.insert("paths".into(), paths.join(","));
    inputs.extend(facts.target.inputs(instance));
    inputs
}

/// Labels of everything generated for the session.
#[must_use]
pub fn offshoot(session: &RestoreSession) -> BTreeMap<String, String> {
    let mut all = session.labels().clone();
    all.extend([
        (
            labels::MANAGED_BY.to_owned(),
            labels::MANAGED_BY_KUBESTASH.to_owned(),
        ),
        (
            labels::COMPONENT.to_owned(),
            labels::component::RESTORE.to_owned(),
        ),
        (
            labels::INVOKER_NAME.to_owned(),
            backup::label(&session.name_any()),
        ),
        (
            labels::INVOKER_NAMESPACE.to_owned(),
            backup::label(&session.namespace().unwrap_or_default()),
        ),
    ]);
    all
}

#[cfg(test)]
mod tests;
