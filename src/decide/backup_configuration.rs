//! What a BackupConfiguration makes (Repositories, CronJobs and their identity) and what its status says.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::api::{
    batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec},
    core::v1::ServiceAccount,
    rbac::v1::{RoleBinding, RoleRef, Subject},
};
use kube::{ResourceExt, api::ObjectMeta};

use super::{
    admission::backend_of,
    backup::{OperatorFacts, label, owner},
    conditions,
    job::{self, JobFrame, NOBODY, TaskContainer},
    naming, phases,
    schedule::Schedule,
    target,
};
use crate::api::{
    addons::FunctionSpec,
    conditions::backup_configuration::{self as types, reason},
    core::{
        BackendStatus, BackupConfiguration, BackupConfigurationStatus, RepositoryDeletionPolicy,
        RepositoryInfo, RepositoryStatus, RetentionPolicyStatus, Session, SessionStatus, StorageStatus,
    },
    labels,
    shared::{DependencyReference, ObjectReference},
    storage::{
        BackupStorage, BackupStoragePhase, DeletionPolicy, Repository, RepositoryPhase, RepositorySpec,
        RetentionPolicy,
    },
};

/// What is known around a BackupConfiguration.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whether the target exists.
    pub target_found: bool,
    /// Names of the Addons that exist.
    pub addons: Vec<String>,
    /// The storages that exist, by (namespace, name).
    pub storages: BTreeMap<(String, String), BackupStorage>,
    /// The policies that exist, by (namespace, name).
    pub policies: BTreeMap<(String, String), RetentionPolicy>,
    /// The Repositories that exist, by name.
    pub repositories: BTreeMap<String, Repository>,
    /// For each session, why its CronJob could not be made; `None`: it is there.
    pub schedulers: BTreeMap<String, Option<String>>,
}

/// Labels of what the configuration makes.
#[must_use]
pub fn offshoot(configuration: &BackupConfiguration) -> BTreeMap<String, String> {
    let mut all = configuration.labels().clone();
    all.extend([
        (
            labels::MANAGED_BY.to_owned(),
            labels::MANAGED_BY_KUBESTASH.to_owned(),
        ),
        (labels::INVOKER_NAME.to_owned(), label(&configuration.name_any())),
        (
            labels::INVOKER_NAMESPACE.to_owned(),
            label(&configuration.namespace().unwrap_or_default()),
        ),
    ]);
    all
}

/// The Repository of one entry; nothing when its backend names no storage.
#[must_use]
pub fn repository(configuration: &BackupConfiguration, info: &RepositoryInfo) -> Option<Repository> {
    let namespace = configuration.namespace().unwrap_or_default();
    let backend = backend_of(info, &configuration.spec.backends)?;
    let storage = backend.storage_ref.as_ref()?;
    let mut repository = Repository::new(
        &info.name,
        RepositorySpec {
            app_ref: Some(target::reference(configuration.spec.target.as_ref(), &namespace)),
            storage_ref: Some(ObjectReference::new(
                &storage.name,
                storage.namespace_or(&namespace),
            )),
            path: info.directory.clone(),
            deletion_policy: match info.deletion_policy {
                Some(RepositoryDeletionPolicy::WipeOut) => DeletionPolicy::WipeOut,
                _ => DeletionPolicy::Delete,
            },
            encryption_secret: info
                .encryption_secret
                .as_ref()
                .map(|secret| ObjectReference::new(&secret.name, secret.namespace_or(&namespace))),
            paused: false,
        },
    );
    repository.metadata.namespace = Some(namespace);
    repository.metadata.labels = Some(BTreeMap::from([(
        labels::MANAGED_BY.to_owned(),
        labels::MANAGED_BY_KUBESTASH.to_owned(),
    )]));
    Some(repository)
}

/// The entries of all sessions, each Repository once.
#[must_use]
pub fn repositories(configuration: &BackupConfiguration) -> Vec<&RepositoryInfo> {
    let mut seen = std::collections::BTreeSet::new();
    configuration
        .spec
        .sessions
        .iter()
        .flat_map(|session| &session.repositories)
        .filter(|info| seen.insert(&info.name))
        .collect()
}

/// What triggers a session.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The identity of the CronJob's pods.
    pub account: ServiceAccount,
    /// What it may do.
    pub binding: RoleBinding,
    /// The CronJob.
    pub cron_job: CronJob,
}

/// The CronJob of a session with its identity.
///
/// # Errors
/// When the session has no schedule, or one that cannot be read.
pub fn trigger(
    configuration: &BackupConfiguration,
    session: &Session,
    operator: &OperatorFacts,
) -> Result<Trigger, String> {
    let scheduler = session.scheduler.clone().ok_or("it has no scheduler")?;
    Schedule::parse(&scheduler.schedule).map_err(|e| e.to_string())?;
    let namespace = configuration.namespace().unwrap_or_default();
    let name = naming::cron_job(&configuration.name_any(), &session.name);
    let template = scheduler.job_template.clone().unwrap_or_default();
    let given = template
        .template
        .as_ref()
        .and_then(|template| template.spec.as_ref())
        .and_then(|spec| spec.service_account_name.clone())
        .filter(|name| !name.is_empty());
    let mut own = offshoot(configuration);
    own.insert(labels::SESSION_NAME.to_owned(), label(&session.name));
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        namespace: Some(namespace.clone()),
        labels: Some(own.clone()),
        owner_references: Some(vec![owner(configuration)]),
        ..ObjectMeta::default()
    };
    let account_name = given.unwrap_or_else(|| name.clone());
    let frame = JobFrame {
        name: name.clone(),
        namespace: namespace.clone(),
        labels: own,
        service_account: account_name.clone(),
        template: template.template.as_ref(),
        user: Some(NOBODY),
        groups: Vec::new(),
        image: operator.image.clone(),
        proxy: operator.proxy.clone(),
        memory: "32Mi",
        without_plan: true,
        ..JobFrame::default()
    };
    let container = TaskContainer {
        task: "trigger".to_owned(),
        function: FunctionSpec {
            command: vec!["/kubestash".to_owned()],
            args: vec![
                "trigger-backup".to_owned(),
                format!("--invoker-name={}", configuration.name_any()),
                "--invoker-kind=BackupConfiguration".to_owned(),
                format!("--session-name={}", session.name),
                format!("--namespace={namespace}"),
            ],
            ..FunctionSpec::default()
        },
        ..TaskContainer::default()
    };
    let mut made = job::job(&frame, &[container]);
    let spec = made.spec.take().unwrap_or_default();
    let mut pod = spec.template.clone();
    for container in pod.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.name = "trigger".to_owned();
    }
    let cron_job = CronJob {
        metadata: metadata.clone(),
        spec: CronJobSpec {
            schedule: scheduler.schedule.clone(),
            starting_deadline_seconds: scheduler.starting_deadline_seconds,
            concurrency_policy: scheduler.concurrency_policy.map(|policy| policy.to_string()),
            suspend: Some(scheduler.suspend || configuration.spec.paused),
            successful_jobs_history_limit: scheduler.successful_jobs_history_limit,
            failed_jobs_history_limit: scheduler.failed_jobs_history_limit,
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: made.metadata.labels.clone(),
                    annotations: made.metadata.annotations.clone().filter(|a| !a.is_empty()),
                    ..ObjectMeta::default()
                }),
                spec: Some(JobSpec {
                    parallelism: template.parallelism,
                    completions: template.completions,
                    active_deadline_seconds: template.active_deadline_seconds,
                    backoff_limit: template.backoff_limit,
                    ttl_seconds_after_finished: template.ttl_seconds_after_finished,
                    completion_mode: template.completion_mode.clone().filter(|mode| !mode.is_empty()),
                    suspend: template.suspend,
                    template: pod,
                    ..JobSpec::default()
                }),
            },
            ..CronJobSpec::default()
        },
        status: None,
    };
    Ok(Trigger {
        account: ServiceAccount {
            metadata: metadata.clone(),
            ..ServiceAccount::default()
        },
        binding: RoleBinding {
            metadata,
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".into()),
                kind: "ClusterRole".into(),
                name: "kubestash-cron-job".into(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".into(),
                name: account_name,
                namespace: Some(namespace),
                ..Subject::default()
            }]),
        },
        cron_job,
    })
}

/// The status that follows from the facts; conditions that say nothing new stay as they are.
#[must_use]
pub fn status(
    configuration: &BackupConfiguration,
    facts: &Facts,
    now: Timestamp,
) -> BackupConfigurationStatus {
    let mut status = configuration.status.clone().unwrap_or_default();
    let namespace = configuration.namespace().unwrap_or_default();
    let passed = conditions::condition(
        types::VALIDATION_PASSED,
        true,
        reason::RESOURCE_VALIDATION_PASSED,
        "the object is valid",
        now,
    );
    conditions::set(&mut status.conditions, passed);
    status.target_found = Some(facts.target_found);
    status.dependencies = dependencies(configuration, facts);
    status.backends = configuration
        .spec
        .backends
        .iter()
        .map(|backend| {
            let storage = backend
                .storage_ref
                .as_ref()
                .map(|it| storage(it, &namespace, facts));
            let policy = backend
                .retention_policy
                .as_ref()
                .map(|it| policy(it, &namespace, facts));
            let usable = storage
                .as_ref()
                .is_some_and(|s| s.phase == Some(BackupStoragePhase::Ready))
                && policy.as_ref().is_none_or(|p| p.found == Some(true));
            BackendStatus {
                name: backend.name.clone(),
                ready: Some(usable),
                storage,
                retention_policy: policy,
            }
        })
        .collect();
    status.repositories = repositories(configuration)
        .into_iter()
        .map(|info| repository_status(info, facts))
        .collect();
    let before = std::mem::take(&mut status.sessions);
    status.sessions = configuration
        .spec
        .sessions
        .iter()
        .map(|session| session_status(configuration, session, &before, facts, now))
        .collect();
    status.phase = Some(phases::backup_configuration(&configuration.spec, &status));
    status
}

/// The status of a configuration that breaks rules: nothing else about it is looked at.
#[must_use]
pub fn invalid(configuration: &BackupConfiguration, why: &str, now: Timestamp) -> BackupConfigurationStatus {
    let mut status = configuration.status.clone().unwrap_or_default();
    let failed = conditions::condition(
        types::VALIDATION_PASSED,
        false,
        reason::RESOURCE_VALIDATION_FAILED,
        why,
        now,
    );
    conditions::set(&mut status.conditions, failed);
    status.phase = Some(phases::backup_configuration(&configuration.spec, &status));
    status
}

fn dependencies(configuration: &BackupConfiguration, facts: &Facts) -> Vec<DependencyReference> {
    let mut names: Vec<&str> = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|session| session.addon.as_ref())
        .map(|addon| addon.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| DependencyReference {
            api_group: Some(crate::api::addons::GROUP.to_owned()),
            kind: Some("Addon".to_owned()),
            namespace: None,
            name: name.to_owned(),
            found: Some(facts.addons.iter().any(|known| known == name)),
        })
        .collect()
}

fn storage(reference: &ObjectReference, own: &str, facts: &Facts) -> StorageStatus {
    let key = (reference.namespace_or(own).to_owned(), reference.name.clone());
    let (phase, reason) = match facts.storages.get(&key) {
        None => (
            BackupStoragePhase::NotReady,
            Some(format!("BackupStorage \"{}/{}\" not found", key.0, key.1)),
        ),
        Some(storage) => {
            let status = storage.status.clone().unwrap_or_default();
            let phase = status.phase.unwrap_or_default();
            let broken = status
                .conditions
                .iter()
                .find(|c| c.status == crate::api::shared::ConditionStatus::False);
            let why = match (phase, broken) {
                (BackupStoragePhase::Ready, _) => None,
                (_, Some(condition)) => Some(format!(
                    "BackupStorage \"{}/{}\" is not Ready: {}",
                    key.0, key.1, condition.message
                )),
                (_, None) => Some(format!("BackupStorage \"{}/{}\" is not Ready yet", key.0, key.1)),
            };
            (phase, why)
        }
    };
    StorageStatus {
        ref_: Some(ObjectReference::new(key.1, key.0)),
        phase: Some(phase),
        reason,
    }
}

fn policy(reference: &ObjectReference, own: &str, facts: &Facts) -> RetentionPolicyStatus {
    let key = (reference.namespace_or(own).to_owned(), reference.name.clone());
    let found = facts.policies.contains_key(&key);
    RetentionPolicyStatus {
        reason: (!found).then(|| format!("RetentionPolicy \"{}/{}\" not found", key.0, key.1)),
        ref_: Some(ObjectReference::new(key.1, key.0)),
        found: Some(found),
    }
}

fn repository_status(info: &RepositoryInfo, facts: &Facts) -> RepositoryStatus {
    let found = facts.repositories.get(&info.name);
    let phase = found
        .and_then(|repository| repository.status.as_ref())
        .and_then(|status| status.phase)
        .unwrap_or_default();
    let broken = found
        .and_then(|repository| repository.status.as_ref())
        .and_then(|status| {
            let broken =
                |c: &&crate::api::shared::Condition| c.status == crate::api::shared::ConditionStatus::False;
            status.conditions.iter().find(broken)
        })
        .map(|condition| condition.message.clone());
    RepositoryStatus {
        name: info.name.clone(),
        phase: Some(phase),
        reason: match (found, phase) {
            (None, _) => Some("Repository not found".to_owned()),
            (_, RepositoryPhase::Ready) => None,
            _ => broken.or_else(|| Some("Repository is not Ready yet".to_owned())),
        },
        verification_configured: info.backup_verifier.is_some(),
    }
}

fn session_status(
    configuration: &BackupConfiguration,
    session: &Session,
    before: &[SessionStatus],
    facts: &Facts,
    now: Timestamp,
) -> SessionStatus {
    let known = before.iter().find(|known| known.name == session.name);
    let mut conditions = known.map(|known| known.conditions.clone()).unwrap_or_default();
    let already = conditions::is_true(&conditions, types::SCHEDULER_ENSURED);
    let ensured = match facts.schedulers.get(&session.name) {
        // A configuration that says Ready before its Repositories are would have a backup asked for at once be skipped.
        Some(None) if !already && !repositories_looked_at(session, facts) => None,
        Some(None) => Some(conditions::condition(
            types::SCHEDULER_ENSURED,
            true,
            reason::SCHEDULER_ENSURED,
            "the CronJob is in place",
            now,
        )),
        Some(Some(why)) => Some(conditions::condition(
            types::SCHEDULER_ENSURED,
            false,
            reason::SCHEDULER_NOT_ENSURED,
            why,
            now,
        )),
        None => None,
    };
    if let Some(ensured) = ensured {
        conditions::set(&mut conditions, ensured);
    }
    SessionStatus {
        name: session.name.clone(),
        next_schedule: next_run(configuration, session, now).map(|at| at.to_string()),
        conditions,
    }
}

/// Whether each Repository of a session is Ready or has said why it is not.
fn repositories_looked_at(session: &Session, facts: &Facts) -> bool {
    session.repositories.iter().all(|info| {
        let found = facts.repositories.get(&info.name);
        let status = found.and_then(|repository| repository.status.as_ref());
        status.is_some_and(|status| {
            status.phase == Some(RepositoryPhase::Ready) || !status.conditions.is_empty()
        })
    })
}

/// When a session runs next by itself; nothing while it is paused, suspended or unreadable.
#[must_use]
pub fn next_run(configuration: &BackupConfiguration, session: &Session, now: Timestamp) -> Option<Timestamp> {
    let scheduler = session.scheduler.as_ref()?;
    if configuration.spec.paused || scheduler.suspend {
        return None;
    }
    Schedule::parse(&scheduler.schedule)
        .ok()?
        .next_after(now, &TimeZone::UTC)
}

/// The sessions whose first backup is to be triggered now: not paused, not suspended, never triggered before.
#[must_use]
pub fn initial<'a>(
    configuration: &'a BackupConfiguration,
    status: &BackupConfigurationStatus,
) -> Vec<&'a Session> {
    if configuration.spec.paused {
        return Vec::new();
    }
    configuration
        .spec
        .sessions
        .iter()
        .filter(|session| {
            !session
                .scheduler
                .as_ref()
                .is_some_and(|scheduler| scheduler.suspend)
        })
        .filter(|session| {
            let known = status.sessions.iter().find(|known| known.name == session.name);
            known
                .is_some_and(|known| !conditions::is_true(&known.conditions, types::INITIAL_BACKUP_TRIGGERED))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::core::BackupConfigurationPhase;

    fn configuration(paused: bool) -> BackupConfiguration {
        serde_json::from_value(json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "bc", "namespace": "demo", "uid": "u"},
            "spec": {"paused": paused, "target": {"apiGroup": "apps", "kind": "StatefulSet", "name": "db"},
                "backends": [{"name": "s3", "storageRef": {"name": "store", "namespace": "ops"}, "retentionPolicy": {"name": "keep"}}],
                "sessions": [{"name": "daily",
                    "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {"backoffLimit": 1}, "concurrencyPolicy": "Forbid"},
                    "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup"}]},
                    "repositories": [{"name": "repo", "backend": "s3", "directory": "/repo", "deletionPolicy": "WipeOut",
                                      "encryptionSecret": {"name": "encrypt"}}]}]}}))
        .unwrap()
    }

    fn facts() -> Facts {
        let storage: BackupStorage = serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "store", "namespace": "ops"}, "spec": {"storage": {"provider": "s3"}}, "status": {"phase": "Ready"}}))
        .unwrap();
        let policy: RetentionPolicy = serde_json::from_value(
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
            "metadata": {"name": "keep", "namespace": "demo"}, "spec": {}}),
        )
        .unwrap();
        Facts {
            target_found: true,
            addons: vec!["workload-addon".into()],
            storages: BTreeMap::from([(("ops".into(), "store".into()), storage)]),
            policies: BTreeMap::from([(("demo".into(), "keep".into()), policy)]),
            repositories: BTreeMap::from([("repo".into(), repository_of("Ready"))]),
            schedulers: BTreeMap::from([("daily".into(), None)]),
        }
    }

    fn repository_of(phase: &str) -> Repository {
        serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "repo", "namespace": "demo"}, "spec": {"path": "/repo"}, "status": {"phase": phase}}))
        .unwrap()
    }

    #[test]
    fn the_trigger_is_a_cron_job_with_an_identity_of_its_own() {
        let configuration = configuration(false);
        let operator = OperatorFacts {
            image: "ours:1".into(),
            ..OperatorFacts::default()
        };
        let trigger = trigger(&configuration, &configuration.spec.sessions[0], &operator).unwrap();
        assert_eq!(trigger.cron_job.name_any(), "trigger-bc-daily");
        assert_eq!(trigger.binding.role_ref.name, "kubestash-cron-job");
        let spec = trigger.cron_job.spec.clone();
        assert_eq!(
            (
                spec.schedule.as_str(),
                spec.suspend,
                spec.concurrency_policy.as_deref()
            ),
            ("*/5 * * * *", Some(false), Some("Forbid"))
        );
        let job = spec.job_template.spec.unwrap();
        assert_eq!(job.backoff_limit, Some(1));
        let pod = job.template.spec.unwrap();
        assert_eq!(pod.containers[0].name, "trigger");
        assert_eq!(pod.containers[0].image.as_deref(), Some("ours:1"));
        assert!(
            pod.containers[0]
                .args
                .as_ref()
                .unwrap()
                .contains(&"--session-name=daily".to_owned())
        );
        assert!(pod.volumes.is_none(), "a trigger needs no plan");
        assert_eq!(trigger.cron_job.owner_references()[0].name, "bc");
    }

    #[test]
    fn pausing_suspends_and_a_bad_schedule_is_refused() {
        let paused = configuration(true);
        let made = trigger(&paused, &paused.spec.sessions[0], &OperatorFacts::default()).unwrap();
        assert_eq!(made.cron_job.spec.suspend, Some(true));
        assert!(initial(&paused, &BackupConfigurationStatus::default()).is_empty());
        let mut bad = configuration(false);
        bad.spec.sessions[0].scheduler.as_mut().unwrap().schedule = "often".into();
        assert!(trigger(&bad, &bad.spec.sessions[0], &OperatorFacts::default()).is_err());
    }

    #[test]
    fn repositories_follow_the_entry() {
        let configuration = configuration(false);
        let made = repository(&configuration, repositories(&configuration)[0]).unwrap();
        assert_eq!(made.spec.path, "/repo");
        assert_eq!(made.spec.deletion_policy, DeletionPolicy::WipeOut);
        assert_eq!(made.spec.storage_ref, Some(ObjectReference::new("store", "ops")));
        assert_eq!(
            made.spec.encryption_secret,
            Some(ObjectReference::new("encrypt", "demo"))
        );
        assert_eq!(made.spec.app_ref.unwrap().namespace.as_deref(), Some("demo"));
    }

    #[test]
    fn ready_when_everything_is_there_and_the_first_backup_is_due() {
        let mut configuration = configuration(false);
        let now = Timestamp::UNIX_EPOCH;
        let status = status(&configuration, &facts(), now);
        assert_eq!(status.phase, Some(BackupConfigurationPhase::Ready));
        assert_eq!(
            status.sessions[0].next_schedule.as_deref(),
            Some("1970-01-01T00:05:00Z")
        );
        assert_eq!(status.dependencies[0].found, Some(true));
        assert_eq!(initial(&configuration, &status).len(), 1);
        configuration.status = Some(status.clone());
        assert_eq!(
            super::status(&configuration, &facts(), Timestamp::from_second(60).unwrap()),
            status,
            "the same facts say nothing new"
        );
    }

    #[test]
    fn not_ready_before_its_repositories_are_and_not_unready_with_them() {
        let mut configuration = configuration(false);
        let now = Timestamp::UNIX_EPOCH;
        for absent in [None, Some(repository_of("NotReady"))] {
            let mut early = facts();
            early.repositories = absent.map(|it| ("repo".to_owned(), it)).into_iter().collect();
            let status = status(&configuration, &early, now);
            assert_eq!(status.phase, Some(BackupConfigurationPhase::NotReady));
        }
        let mut failed = repository_of("NotReady");
        let broken = conditions::condition("RepositoryInitialized", false, "Failed", "no such bucket", now);
        failed.status.as_mut().unwrap().conditions.push(broken);
        let mut late = facts();
        late.repositories.insert("repo".into(), failed);
        let ready = status(&configuration, &late, now);
        assert_eq!(ready.phase, Some(BackupConfigurationPhase::Ready));
        assert_eq!(ready.repositories[0].reason.as_deref(), Some("no such bucket"));
        configuration.status = Some(ready);
        late.repositories.clear();
        let still = status(&configuration, &late, now);
        assert_eq!(still.phase, Some(BackupConfigurationPhase::Ready));
    }

    #[test]
    fn what_is_missing_is_named() {
        let configuration = configuration(false);
        let mut missing = facts();
        missing.storages.clear();
        missing.repositories.clear();
        missing.policies.clear();
        missing.addons.clear();
        missing.target_found = false;
        let status = status(&configuration, &missing, Timestamp::UNIX_EPOCH);
        assert_eq!(status.phase, Some(BackupConfigurationPhase::NotReady));
        assert_eq!(
            status.backends[0].storage.as_ref().unwrap().reason.as_deref(),
            Some("BackupStorage \"ops/store\" not found")
        );
        assert_eq!(
            status.backends[0].retention_policy.as_ref().unwrap().found,
            Some(false)
        );
        assert_eq!(status.dependencies[0].found, Some(false));
        assert_eq!(
            status.repositories[0].reason.as_deref(),
            Some("Repository not found")
        );
        assert_eq!(
            invalid(&configuration, "why", Timestamp::UNIX_EPOCH).phase,
            Some(BackupConfigurationPhase::Invalid)
        );
    }
}
