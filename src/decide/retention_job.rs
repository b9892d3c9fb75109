//! The retention Job of a session: one for all its Repositories, in the session's namespace.
//!
//! What it will have done is written on it ([`WORK_ANNOTATION`]), so that whoever sees it end knows which Snapshots to let
//! go without deciding again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::{
    backup::{self, ExecutorError, OperatorFacts, PlannedJob, generated_account},
    job::{JobFrame, NOBODY, TaskContainer},
    naming,
    plan::{self, RepositoryFacts, SecretData},
    retention::Plan,
    volume_owner,
    volumes::{self, Volumes},
};
use crate::api::{
    config::job_plan::{JobPlan, RetentionPlan, RetentionRepository},
    core::{BackupSession, RetentionPolicyApplyPhase, Session},
    labels,
    storage::SnapshotPhase,
};

/// On the Job: a JSON map from Repository to [`Work`].
pub const WORK_ANNOTATION: &str = "kubestash.com/retention";

/// Memory that forget and prune ask for.
const MEMORY: &str = "256Mi";

/// What a retention Job will have done to a Repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Names of the Snapshots to let go afterwards.
    pub stale: Vec<String>,
    /// Annotations for the Repository afterwards.
    pub annotations: BTreeMap<String, String>,
}

/// The work that `plan` asks for.
#[must_use]
pub fn work(plan: &Plan) -> Work {
    Work {
        stale: plan.stale.clone(),
        annotations: plan.annotations.clone(),
    }
}

/// The work that a Job was made for.
#[must_use]
pub fn work_of(job: &Job) -> BTreeMap<String, Work> {
    job.annotations()
        .get(WORK_ANNOTATION)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// True when a Job must touch the Repository's data; otherwise its stale Snapshots left none.
#[must_use]
pub fn needs_job(plan: &Plan) -> bool {
    plan.prune || !plan.components.is_empty()
}

/// Name of the session's retention Job.
#[must_use]
pub fn name(session: &BackupSession) -> String {
    let own = session.name_any();
    let invoker = session.spec.invoker.clone().unwrap_or_default().name;
    match naming::session_number(&own) {
        Some(number) => naming::retention_job(&invoker, &session.spec.session, number),
        None => naming::retention_job(&invoker, &session.spec.session, &own),
    }
}

/// The Job for those Repositories that need one, with their plans.
///
/// # Errors
/// When the plan cannot be written.
pub fn job(
    session: &BackupSession,
    config: &Session,
    repositories: &[(RepositoryFacts, Plan)],
    cluster: &str,
    operator: &OperatorFacts,
    deadline: Option<Timestamp>,
) -> Result<PlannedJob, ExecutorError> {
    let namespace = session.namespace().unwrap_or_default();
    let needed: Vec<&(RepositoryFacts, Plan)> =
        repositories.iter().filter(|(_, plan)| needs_job(plan)).collect();
    let local: BTreeSet<_> = needed
        .iter()
        .filter(|(facts, _)| volumes::of_storage(&facts.storage, false).is_some())
        .map(|(facts, _)| (facts.storage.namespace(), facts.storage.name_any()))
        .collect();
    let mut pod_volumes = Volumes::default();
    let mut data = SecretData::new();
    let mut planned = Vec::new();
    let mut works = BTreeMap::new();
    for (index, (facts, plan)) in needed.into_iter().enumerate() {
        if let Some((volume, mount, _)) = volumes::of_storage(&facts.storage, local.len() > 1) {
            pod_volumes.volume(volume);
            pod_volumes.mount(mount);
        }
        let (repository, values) = plan::repository(facts, index, local.len() > 1);
        data.extend(values);
        works.insert(repository.name.clone(), work(plan));
        planned.push(RetentionRepository {
            repository,
            components: plan.components.clone(),
            prune: plan.prune,
            documents: plan.documents.clone(),
        });
    }
    volumes::scratch(&mut pod_volumes);
    let works = serde_json::to_string(&works).map_err(|e| ExecutorError::Missing(e.to_string()))?;
    let mut annotations = backup::invoker(&namespace, &session.name_any());
    annotations.insert(WORK_ANNOTATION.to_owned(), works);
    let addon = config.addon.clone().unwrap_or_default();
    let owner = volume_owner::of(repositories.iter().map(|(facts, _)| &facts.storage));
    let frame = JobFrame {
        name: name(session),
        namespace: namespace.clone(),
        labels: backup::offshoot(session, labels::component::RETENTION_POLICY),
        annotations,
        service_account: account(session),
        template: None,
        container_settings: addon.container_runtime_settings.as_ref(),
        user: Some(given_user(config).or(owner.user).unwrap_or(NOBODY)),
        groups: owner.groups,
        node: None,
        image: operator.image.clone(),
        proxy: operator.proxy.clone(),
        memory: MEMORY,
        secret_keys: data.keys().cloned().collect(),
        without_plan: false,
    };
    let container = TaskContainer {
        task: "retention-policy".to_owned(),
        component: String::new(),
        function: crate::api::addons::FunctionSpec {
            command: vec!["/kubestash".to_owned()],
            args: vec!["job".to_owned(), "retention".to_owned()],
            ..crate::api::addons::FunctionSpec::default()
        },
        volumes: pod_volumes,
        plan_key: plan::key(0),
        ..TaskContainer::default()
    };
    let plans = [JobPlan::Retention(RetentionPlan {
        namespace,
        backup_session: session.name_any(),
        repositories: planned,
        deadline,
        cluster: cluster.to_owned(),
    })];
    backup::planned(&frame, &[container], &plans, data, Vec::new())
}

/// The ServiceAccount of the Job: it runs in the session's namespace, so it is the session's own.
#[must_use]
pub fn account(session: &BackupSession) -> String {
    let namespace = session.namespace().unwrap_or_default();
    generated_account(&namespace, &name(session), &namespace)
}

/// The user whom the session gives its backups, who wrote the repository: files of a local storage are that user's.
fn given_user(config: &Session) -> Option<i64> {
    let template = config.addon.as_ref()?.job_template.as_ref();
    template
        .and_then(|template| template.spec.as_ref())
        .and_then(|spec| spec.security_context.as_ref())
        .and_then(|context| context.run_as_user)
}

/// True when another session of the namespace keeps this one from touching its Repositories: it still writes to one of
/// them, or has its own retention to do there and is older.
#[must_use]
pub fn blocked_by<'a>(session: &BackupSession, others: &'a [BackupSession]) -> Option<&'a BackupSession> {
    let own = used(session);
    others.iter().find(|other| {
        if other.name_any() == session.name_any() || !backup::started(other) || used(other).is_disjoint(&own)
        {
            return false;
        }
        let status = other.status.clone().unwrap_or_default();
        let writing = status
            .snapshots
            .iter()
            .any(|s| !matches!(s.phase, Some(SnapshotPhase::Succeeded | SnapshotPhase::Failed)));
        let cleaning = status
            .retention_policy
            .iter()
            .any(|entry| entry.phase == Some(RetentionPolicyApplyPhase::Pending));
        writing || (cleaning && age(other) < age(session))
    })
}

fn used(session: &BackupSession) -> BTreeSet<String> {
    let status = session.status.iter();
    status
        .flat_map(|s| &s.snapshots)
        .map(|s| s.repository.clone())
        .collect()
}

fn age(session: &BackupSession) -> (Option<Timestamp>, String) {
    (
        session.creation_timestamp().map(|time| time.0),
        session.name_any(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::config::job_plan::RetentionComponent, decide::plan::tests::facts};

    fn session(name: &str, status: &serde_json::Value) -> BackupSession {
        serde_json::from_value(json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"name": name, "namespace": "demo", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"invoker": {"kind": "BackupConfiguration", "name": "bc"}, "session": "daily"}, "status": status}))
        .unwrap()
    }

    #[test]
    fn one_job_for_all_repositories_that_need_one() {
        let due = Plan {
            stale: vec!["old".into()],
            components: vec![RetentionComponent {
                component_path: "repository/v1/daily/dump".into(),
                forget: vec!["abc".into()],
            }],
            documents: vec!["snapshots/old.yaml".into()],
            ..Plan::default()
        };
        let session = session("bc-daily-17", &json!({}));
        let planned = job(
            &session,
            &Session::default(),
            &[(facts("repo"), due.clone()), (facts("copy"), Plan::default())],
            "uid",
            &OperatorFacts::default(),
            None,
        )
        .unwrap();
        assert_eq!(planned.job.name_any(), "retention-policy-bc-daily-17");
        assert_eq!(
            work_of(&planned.job),
            BTreeMap::from([("repo".to_owned(), work(&due))])
        );
        let text = &planned.secret.data.as_ref().unwrap()["plan.json"].0;
        let JobPlan::Retention(plan) = serde_json::from_slice(text).unwrap() else {
            panic!()
        };
        assert_eq!(plan.repositories.len(), 1);
        assert_eq!(plan.repositories[0].components[0].forget, ["abc"]);
    }

    #[test]
    fn no_cleaning_while_another_session_writes_there() {
        let snapshots = |phase: &str| json!([{"name": "s", "repository": "repo", "phase": phase}]);
        let own = session(
            "bc-daily-2",
            &json!({"phase": "Running", "totalSnapshots": 1, "snapshots": snapshots("Succeeded")}),
        );
        let other = |name: &str, status: serde_json::Value| session(name, &status);
        let writing = other(
            "bc-daily-1",
            json!({"phase": "Running", "totalSnapshots": 1, "snapshots": snapshots("Running")}),
        );
        assert!(blocked_by(&own, &[writing]).is_some());
        let mut elsewhere = snapshots("Running");
        elsewhere[0]["repository"] = json!("else");
        let elsewhere = other(
            "bc-daily-1",
            json!({"phase": "Running", "totalSnapshots": 1, "snapshots": elsewhere}),
        );
        assert!(blocked_by(&own, &[elsewhere]).is_none());
        let cleaning = json!({"phase": "Running", "totalSnapshots": 1, "snapshots": snapshots("Succeeded"),
            "retentionPolicy": [{"repository": "repo", "phase": "Pending"}]});
        assert!(
            blocked_by(&own, &[other("bc-daily-1", cleaning.clone())]).is_some(),
            "the older goes first"
        );
        assert!(
            blocked_by(&own, &[other("bc-daily-3", cleaning)]).is_none(),
            "and never waits for the younger"
        );
        assert!(blocked_by(&own, std::slice::from_ref(&own)).is_none());
    }
}
