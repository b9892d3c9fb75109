//! A BackupSession's work: whether it may run, its Snapshots, its Jobs.
//!
//! [`precondition`] and [`overlap`] say why a session is skipped; [`snapshots`] and [`jobs`] say what exists while it
//! runs. Names depend on the session alone, so the same facts give the same objects after any interruption.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{EnvVar, PersistentVolumeClaim, Secret},
    },
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};
use kube::{ResourceExt, api::ObjectMeta};

use super::{
    addon::{self, AddonError, SessionTask},
    components::Instance,
    job::{self, JobFrame, NOBODY, TaskContainer},
    naming, phases,
    plan::{self, RepositoryFacts, SecretData},
    target::Target,
    variables::Inputs,
    volume_owner,
    volumes::{self, Volumes},
};
use crate::api::{
    config::job_plan::{BackupPlan, BackupTarget, JobPlan},
    core::{
        BackupConfiguration, BackupConfigurationPhase, BackupSession, BackupSessionPhase,
        BackupSessionStatus, Session,
    },
    labels,
    shared::AddonInfo,
    storage::{
        Component, ComponentPhase, DeletionPolicy, RepositoryPhase, Snapshot, SnapshotPhase, SnapshotSpec,
        SnapshotStatus, SnapshotType, VerificationStatus,
    },
};

/// Memory that a backup Job asks for: restic's measured peak on 4 GiB and on 200k files, and our own share.
const BACKUP_MEMORY: &str = "256Mi";

/// Why a Job cannot be made; the text goes into `BackupExecutorEnsured` or `RestoreExecutorEnsured`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorError {
    /// The Addon's side.
    #[error(transparent)]
    Addon(#[from] AddonError),
    /// Something the Job needs does not exist or does not fit.
    #[error("{0}")]
    Missing(String),
}

/// A Job with its plan Secret, which must exist before it.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    /// The components that it writes.
    pub components: Vec<String>,
    /// The Job.
    pub job: Job,
    /// The Secret of the same name.
    pub secret: Secret,
    /// The claims its pod mounts; each must exist, or be among those to make.
    pub claims: Vec<String>,
    /// Claims to make before the Job, in its namespace; they stay when it is gone.
    pub new_claims: Vec<PersistentVolumeClaim>,
}

/// Everything the Jobs of a session depend on.
pub struct BackupFacts<'a> {
    /// The session.
    pub session: &'a BackupSession,
    /// The entry of the BackupConfiguration that it runs.
    pub config: &'a Session,
    /// Its tasks.
    pub tasks: &'a [SessionTask],
    /// Its target.
    pub target: &'a Target,
    /// Its Repositories, in the order of the entry.
    pub repositories: &'a [RepositoryFacts],
    /// Claims by name, in the target's namespace, as far as they exist.
    pub claims: &'a BTreeMap<String, PersistentVolumeClaim>,
    /// UID of the namespace `kube-system`.
    pub cluster: &'a str,
    /// What the operator adds to every Job.
    pub operator: &'a OperatorFacts,
    /// When everything must be over.
    pub deadline: Option<Timestamp>,
}

/// What the operator adds to every Job.
#[derive(Debug, Clone, Default)]
pub struct OperatorFacts {
    /// Image of Functions that name none, and of our own Jobs.
    pub image: String,
    /// Proxy variables.
    pub proxy: Vec<EnvVar>,
}

/// Why the session cannot run: the message of `BackupSkipped`. `repositories` are those that exist, by name.
///
/// # Errors
/// The first reason.
pub fn precondition<'a>(
    session: &BackupSession,
    configuration: Option<&'a BackupConfiguration>,
) -> Result<&'a Session, String> {
    let invoker = session.spec.invoker.clone().unwrap_or_default();
    if invoker.kind != "BackupConfiguration" {
        return Err(format!(
            "invoker kind \"{}\" is not supported: only BackupConfiguration is",
            invoker.kind
        ));
    }
    let Some(configuration) = configuration else {
        return Err(format!("BackupConfiguration \"{}\" not found", invoker.name));
    };
    if configuration.metadata.deletion_timestamp.is_some() {
        return Err(format!(
            "BackupConfiguration \"{}\" is being deleted",
            invoker.name
        ));
    }
    let known = &configuration.spec.sessions;
    let Some(config) = known.iter().find(|known| known.name == session.spec.session) else {
        let names: Vec<_> = known.iter().map(|s| s.name.as_str()).collect();
        return Err(format!(
            "BackupConfiguration \"{}\" has no session \"{}\"; it has: {}",
            invoker.name,
            session.spec.session,
            names.join(", ")
        ));
    };
    if configuration.spec.paused {
        return Err(format!(
            "BackupConfiguration \"{}\" is paused; resume it with `kubectl kubestash resume {}`",
            invoker.name, invoker.name
        ));
    }
    let status = configuration.status.clone().unwrap_or_default();
    if status.phase != Some(BackupConfigurationPhase::Ready) {
        let why = super::explain::not_ready(configuration);
        return Err(format!(
            "BackupConfiguration \"{}\" is not Ready: {why}",
            invoker.name
        ));
    }
    Ok(config)
}

/// Why the session must not start beside others of its configuration: one that shares a Repository is not finished.
///
/// # Errors
/// The message of `BackupSkipped`.
pub fn overlap(
    session: &BackupSession,
    config: &Session,
    configuration: &BackupConfiguration,
    others: &[BackupSession],
) -> Result<(), String> {
    let own: BTreeSet<&str> = config.repositories.iter().map(|r| r.name.as_str()).collect();
    for other in others
        .iter()
        .filter(|other| other.name_any() != session.name_any())
    {
        if !started(other) || other.spec.invoker != session.spec.invoker {
            continue;
        }
        let theirs = configuration
            .spec
            .sessions
            .iter()
            .filter(|s| s.name == other.spec.session)
            .flat_map(|s| &s.repositories);
        if let Some(shared) = theirs.map(|r| r.name.as_str()).find(|name| own.contains(name)) {
            return Err(format!(
                "BackupSession \"{}\" is still running and uses the same Repository \"{shared}\"",
                other.name_any()
            ));
        }
    }
    Ok(())
}

/// True when the session is at work: begun and not finished. One that was skipped never works, although its last steps
/// may still be to come.
#[must_use]
pub fn started(session: &BackupSession) -> bool {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    session.metadata.deletion_timestamp.is_none()
        && phase != Some(BackupSessionPhase::Skipped)
        && phase.is_some_and(|phase| phase != BackupSessionPhase::Pending || begun(session))
        && !finished(session)
}

fn begun(session: &BackupSession) -> bool {
    session
        .status
        .as_ref()
        .is_some_and(|status| status.backup_deadline.is_some() || status.total_snapshots.is_some())
}

/// True when the session has done its last step.
#[must_use]
pub fn finished(session: &BackupSession) -> bool {
    use crate::api::conditions::backup_session::METRICS_PUSHED;
    session
        .status
        .as_ref()
        .is_some_and(|status| super::conditions::has(&status.conditions, METRICS_PUSHED))
}

/// The components of all tasks: name, task index, instance.
#[must_use]
pub fn components(tasks: &[SessionTask], target: &Target) -> Vec<(String, usize, Instance)> {
    tasks
        .iter()
        .enumerate()
        .flat_map(|(index, task)| {
            target
                .instances(task.task.singleton)
                .into_iter()
                .map(move |instance| (instance.component(task.base()), index, instance))
        })
        .collect()
}

/// The Snapshot of the session in one Repository, without its random id and without status.
#[must_use]
pub fn snapshot(
    session: &BackupSession,
    repository: &RepositoryFacts,
    target: &Target,
    id: &str,
) -> Snapshot {
    let repository = &repository.repository;
    let namespace = session.namespace().unwrap_or_default();
    let mut labels = BTreeMap::from([
        (
            labels::MANAGED_BY.to_owned(),
            labels::MANAGED_BY_KUBESTASH.to_owned(),
        ),
        (labels::REPO_NAME.to_owned(), label(&repository.name_any())),
        (labels::APP_REF_KIND.to_owned(), label(target.reference.kind())),
        (labels::APP_REF_NAME.to_owned(), label(&target.reference.name)),
    ]);
    if let Some(namespace) = &target.reference.namespace {
        labels.insert(labels::APP_REF_NAMESPACE.to_owned(), label(namespace));
    }
    let mut snapshot = Snapshot::new(
        &naming::snapshot(&repository.name_any(), &session.name_any()),
        SnapshotSpec {
            snapshot_id: id.to_owned(),
            type_: Some(SnapshotType::FullBackup),
            repository: repository.name_any(),
            session: session.spec.session.clone(),
            backup_session: session.name_any(),
            version: naming::LAYOUT_VERSION.to_owned(),
            app_ref: Some(target.reference.clone()),
            deletion_policy: DeletionPolicy::Delete,
            paused: false,
        },
    );
    snapshot.metadata.namespace = Some(namespace.clone());
    snapshot.metadata.labels = Some(labels);
    snapshot.metadata.annotations = Some(invoker(&namespace, &session.name_any()));
    snapshot.metadata.finalizers = Some(vec![labels::FINALIZER.to_owned()]);
    snapshot.metadata.owner_references = Some(vec![owner(repository)]);
    snapshot
}

/// The status of a fresh Snapshot: every component Pending at its place.
#[must_use]
pub fn snapshot_status(
    session: &BackupSession,
    tasks: &[SessionTask],
    target: &Target,
    now: Timestamp,
) -> SnapshotStatus {
    let components: BTreeMap<String, Component> = components(tasks, target)
        .into_iter()
        .map(|(name, index, _)| {
            let component = Component {
                path: Some(naming::component_path(&session.spec.session, &name)),
                phase: Some(ComponentPhase::Pending),
                driver: tasks[index].task.driver,
                ..Component::default()
            };
            (name, component)
        })
        .collect();
    SnapshotStatus {
        phase: Some(SnapshotPhase::Pending),
        verification_status: Some(VerificationStatus::NotVerified),
        snapshot_time: Some(Time(now)),
        total_components: i32::try_from(components.len()).ok(),
        components,
        ..SnapshotStatus::default()
    }
}

/// The Jobs of the session: one for all singleton tasks, one per instance for the others.
///
/// # Errors
/// When a task's inputs, volumes or Secrets do not fit.
pub fn jobs(facts: &BackupFacts<'_>) -> Result<Vec<PlannedJob>, ExecutorError> {
    by_instance(facts.tasks, facts.target)
        .into_iter()
        .map(|(instance, tasks)| one_job(facts, &instance, &tasks))
        .collect()
}

/// The tasks of each Job, by the instance it is for.
fn by_instance<'a>(tasks: &'a [SessionTask], target: &Target) -> BTreeMap<Instance, Vec<&'a SessionTask>> {
    let mut jobs: BTreeMap<Instance, Vec<&SessionTask>> = BTreeMap::new();
    for task in tasks {
        for instance in target.instances(task.task.singleton) {
            jobs.entry(instance).or_default().push(task);
        }
    }
    jobs
}

fn one_job(
    facts: &BackupFacts<'_>,
    instance: &Instance,
    tasks: &[&SessionTask],
) -> Result<PlannedJob, ExecutorError> {
    let namespace = facts.session.namespace().unwrap_or_default();
    let session = facts.session.name_any();
    let name = naming::backup_job(&namespace, &session, instance.job_suffix().as_deref());
    let (storage_volumes, targets, data) = destinations(facts);

    let mut containers = Vec::new();
    let mut plans = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let component = instance.component(task.base());
        let mut inputs = builtin(facts.session, &facts.operator.image);
        inputs.extend(facts.target.inputs(instance));
        let inputs = addon::inputs(&inputs, task)?;
        let pod = facts.target.pod(instance);
        let mut volumes = volumes::of_task(task, &inputs, pod.as_ref(), true)?;
        storage_volumes
            .volumes
            .iter()
            .cloned()
            .for_each(|v| volumes.volume(v));
        storage_volumes
            .mounts
            .iter()
            .cloned()
            .for_each(|m| volumes.mount(m));
        containers.push(TaskContainer {
            task: task.task.name.clone(),
            component: component.clone(),
            function: addon::function(task, &inputs)?,
            volumes,
            env: task.reference.variables.clone(),
            plan_key: plan::key(index),
        });
        plans.push(JobPlan::Backup(BackupPlan {
            namespace: namespace.clone(),
            backup_session: session.clone(),
            component: component.clone(),
            deadline: facts.deadline,
            targets: targets
                .iter()
                .map(|target| place(target, facts, &component))
                .collect(),
            cluster: facts.cluster.to_owned(),
        }));
    }
    let claims = containers
        .iter()
        .flat_map(|container| volumes::claims(&container.volumes.volumes))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>();
    let addon = facts.config.addon.clone().unwrap_or_default();
    let mut annotations = invoker(&namespace, &session);
    let written: Vec<_> = containers.iter().map(|c| c.component.as_str()).collect();
    annotations.insert(COMPONENTS_ANNOTATION.to_owned(), written.join(","));
    let owner = volume_owner::of(facts.repositories.iter().map(|it| &it.storage));
    let frame = JobFrame {
        name: name.clone(),
        namespace: facts.target.job_namespace(&namespace),
        labels: offshoot(facts.session, labels::component::BACKUP),
        annotations,
        service_account: given_service_account(&addon).unwrap_or_else(|| {
            generated_account(&namespace, &session, &facts.target.job_namespace(&namespace))
        }),
        template: addon.job_template.as_ref(),
        container_settings: addon.container_runtime_settings.as_ref(),
        user: Some(owner.user.unwrap_or(NOBODY)),
        groups: owner.groups,
        node: facts.target.node(instance, &claims, facts.claims),
        image: facts.operator.image.clone(),
        proxy: facts.operator.proxy.clone(),
        memory: BACKUP_MEMORY,
        secret_keys: data.keys().cloned().collect(),
        without_plan: false,
    };
    planned(&frame, &containers, &plans, data, claims)
}

/// On a Job: the components that it writes, comma-separated.
pub const COMPONENTS_ANNOTATION: &str = "kubestash.com/components";

/// The Job and its plan Secret.
pub(super) fn planned(
    frame: &JobFrame<'_>,
    containers: &[TaskContainer],
    plans: &[JobPlan],
    data: SecretData,
    claims: Vec<String>,
) -> Result<PlannedJob, ExecutorError> {
    let mut new_claims: Vec<PersistentVolumeClaim> =
        containers.iter().flat_map(|c| c.volumes.claims.clone()).collect();
    for claim in &mut new_claims {
        claim.metadata.namespace = Some(frame.namespace.clone());
    }
    Ok(PlannedJob {
        components: containers.iter().map(|c| c.component.clone()).collect(),
        new_claims,
        job: job::job(frame, containers),
        secret: plan_secret(frame, plans, data)?,
        claims,
    })
}

/// The plan Secret for a frame's Job.
fn plan_secret(frame: &JobFrame<'_>, plans: &[JobPlan], data: SecretData) -> Result<Secret, ExecutorError> {
    let metadata = ObjectMeta {
        name: Some(frame.name.clone()),
        namespace: Some(frame.namespace.clone()),
        labels: Some(frame.labels.clone()),
        annotations: Some(frame.annotations.clone()),
        ..ObjectMeta::default()
    };
    plan::secret(metadata, plans, data)
        .map_err(|e| ExecutorError::Missing(format!("the Job's plan cannot be written: {e}")))
}

/// Local storages' volumes, the repositories of the plan, and the Secret values they refer to.
fn destinations(facts: &BackupFacts<'_>) -> (Volumes, Vec<BackupTarget>, SecretData) {
    let local: BTreeSet<_> = facts
        .repositories
        .iter()
        .filter(|r| volumes::of_storage(&r.storage, false).is_some())
        .map(|r| (r.storage.namespace(), r.storage.name_any()))
        .collect();
    let several = local.len() > 1;
    let mut storage_volumes = Volumes::default();
    let mut targets = Vec::new();
    let mut data = SecretData::new();
    for (index, repository) in facts.repositories.iter().enumerate() {
        if let Some((volume, mount, _)) = volumes::of_storage(&repository.storage, several) {
            storage_volumes.volume(volume);
            storage_volumes.mount(mount);
        }
        let (planned, values) = plan::repository(repository, index, several);
        data.extend(values);
        targets.push(BackupTarget {
            snapshot: naming::snapshot(&repository.repository.name_any(), &facts.session.name_any()),
            repository: planned,
            component_path: String::new(),
            initialized: false,
        });
    }
    (storage_volumes, targets, data)
}

/// The target for one component: where it goes and whether something must be there already.
fn place(target: &BackupTarget, facts: &BackupFacts<'_>, component: &str) -> BackupTarget {
    let path = naming::component_path(&facts.session.spec.session, component);
    let known = facts
        .repositories
        .iter()
        .find(|r| r.repository.name_any() == target.repository.name)
        .and_then(|r| r.repository.status.as_ref())
        .is_some_and(|status| status.component_paths.contains(&path));
    BackupTarget {
        component_path: path,
        initialized: known,
        ..target.clone()
    }
}

/// Inputs that every task of the session has.
#[must_use]
pub fn builtin(session: &BackupSession, image: &str) -> Inputs {
    let invoker = session.spec.invoker.clone().unwrap_or_default();
    let mut inputs = image_inputs(image);
    inputs.insert("namespace".into(), session.namespace().unwrap_or_default());
    inputs.insert("backupSession".into(), session.name_any());
    inputs.insert("invokerKind".into(), invoker.kind);
    inputs.insert("invokerName".into(), invoker.name);
    inputs
}

/// `imageRegistry`, `imageRepo` and `imageTag`, from the operator's own image.
pub(super) fn image_inputs(image: &str) -> Inputs {
    let (path, tag) = match image.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (image, "latest"),
    };
    let (registry, repository) = path.rsplit_once('/').unwrap_or(("", path));
    [
        ("imageRegistry", registry),
        ("imageRepo", repository),
        ("imageTag", tag),
        ("operatorImage", image),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Labels of everything generated for the session.
#[must_use]
pub fn offshoot(session: &BackupSession, component: &str) -> BTreeMap<String, String> {
    let mut all = session.labels().clone();
    all.extend([
        (
            labels::MANAGED_BY.to_owned(),
            labels::MANAGED_BY_KUBESTASH.to_owned(),
        ),
        (labels::COMPONENT.to_owned(), component.to_owned()),
        (labels::INVOKER_NAME.to_owned(), label(&session.name_any())),
        (
            labels::INVOKER_NAMESPACE.to_owned(),
            label(&session.namespace().unwrap_or_default()),
        ),
        (labels::SESSION_NAME.to_owned(), label(&session.spec.session)),
    ]);
    all
}

/// A name as a label's value: itself, or bounded with a hash.
#[must_use]
pub fn label(name: &str) -> String {
    naming::bounded(name, naming::MAX_NAME)
}

/// The annotation that leads back to what an object was made for.
#[must_use]
pub fn invoker(namespace: &str, name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(INVOKER_ANNOTATION.to_owned(), format!("{namespace}/{name}"))])
}

/// Annotation on generated objects that names what they were made for, as `namespace/name`. Unlike a label it holds any
/// length and works across namespaces, where an owner reference does not.
pub const INVOKER_ANNOTATION: &str = "kubestash.com/invoker";

/// The ServiceAccount made for a session's Jobs, and the RoleBinding beside it: named as the session, with its namespace
/// in front where the Jobs run in another one, so that equal names of two namespaces do not meet.
#[must_use]
pub fn generated_account(namespace: &str, session: &str, job_namespace: &str) -> String {
    if namespace == job_namespace {
        label(session)
    } else {
        label(&format!("{namespace}-{session}"))
    }
}

/// The ServiceAccount that the user named.
#[must_use]
pub fn given_service_account(addon: &AddonInfo) -> Option<String> {
    addon
        .job_template
        .as_ref()
        .and_then(|template| template.spec.as_ref())
        .and_then(|spec| spec.service_account_name.clone())
        .filter(|name| !name.is_empty())
}

/// A controlling owner reference.
#[must_use]
pub fn owner<K: kube::Resource<DynamicType = ()>>(object: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: object.meta().name.clone().unwrap_or_default(),
        uid: object.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Why a Repository cannot be written to now: the message of `SnapshotsEnsured`.
///
/// # Errors
/// The reason.
pub fn repository_ready(facts: &RepositoryFacts) -> Result<(), String> {
    let name = facts.repository.name_any();
    if facts.repository.spec.paused {
        return Err(format!("Repository \"{name}\" is paused"));
    }
    let phase = facts.repository.status.as_ref().and_then(|status| status.phase);
    if phase == Some(RepositoryPhase::Ready) {
        Ok(())
    } else {
        Err(format!("Repository \"{name}\" is not Ready"))
    }
}

/// The finished sessions beyond the history limit, oldest last kept first: those to delete. `current` counts as finished.
#[must_use]
pub fn history<'a>(
    current: &BackupSession,
    limit: i32,
    others: &'a [BackupSession],
) -> Vec<&'a BackupSession> {
    let keep = usize::try_from(limit.max(1)).unwrap_or(1).saturating_sub(1);
    let mut same: Vec<&BackupSession> = others
        .iter()
        .filter(|other| {
            other.name_any() != current.name_any()
                && other.metadata.deletion_timestamp.is_none()
                && other.spec.invoker == current.spec.invoker
                && other.spec.session == current.spec.session
                && finished(other)
                && !awaits_retry(other)
        })
        .collect();
    same.sort_by_key(|session| {
        std::cmp::Reverse((
            session.creation_timestamp().map(|time| time.0),
            session.name_any(),
        ))
    });
    same.into_iter().skip(keep).collect()
}

/// True when a failed session will still make its successor.
#[must_use]
pub fn awaits_retry(session: &BackupSession) -> bool {
    session
        .status
        .as_ref()
        .is_some_and(|status| status.next_retry.is_some() && status.retried != Some(true))
}

/// When a failed session is tried again: nothing when it is not.
#[must_use]
pub fn next_retry(
    session: &BackupSession,
    config: Option<&Session>,
    status: &BackupSessionStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let failed = phases::backup_session(status) == BackupSessionPhase::Failed;
    if !failed
        || session.spec.retry_left <= 0
        || status.retried == Some(true)
        || super::cancel::cancelled(status)
    {
        return None;
    }
    let retry = config?.retry_config.clone()?;
    let delay = retry.delay.map(jiff::SignedDuration::from).unwrap_or_default();
    let at = now.checked_add(delay).ok()?;
    // The second it is due at becomes the successor's name, which must not be this session's own.
    let name = session.name_any();
    let own = naming::session_number(&name).and_then(|number| number.parse().ok());
    if own == Some(at.as_second()) {
        return at.checked_add(jiff::SignedDuration::from_secs(1)).ok();
    }
    Some(at)
}

#[cfg(test)]
mod tests;
