//! Jobs of sessions: making them with what they may do, and telling how they ended.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerState, EnvVar, Pod, Secret, ServiceAccount},
    rbac::v1::{RoleBinding, RoleRef, Subject},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams, ObjectMeta},
};
use serde_json::json;

use super::{Context, Error, lookup};
use crate::{
    api::{config::job_result::JobResult, labels, storage::BackupStorage},
    decide::{
        backup::{
            COMPONENTS_ANNOTATION, INVOKER_ANNOTATION, OperatorFacts, PlannedJob, generated_account, label,
        },
        explain,
    },
};

/// How long a pod may wait for a node before that is worth a warning.
pub const PENDING_TOO_LONG: SignedDuration = SignedDuration::from_mins(10);

/// How much of a log is kept in a status.
const LAST_LINES: i64 = 20;
/// The same in bytes.
const LAST_BYTES: i64 = 2048;
/// A node that does not answer must not hold a session up.
const LOG_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Whom a session's Jobs are, and what they may do.
pub struct Access<'a> {
    /// Namespace of the session.
    pub namespace: &'a str,
    /// Name of the session.
    pub session: &'a str,
    /// Where the Jobs run.
    pub job_namespace: &'a str,
    /// The ServiceAccount that the user named; it is only bound, never made nor removed.
    pub given: Option<&'a str>,
    /// The ClusterRole.
    pub role: &'a str,
    /// Labels of what is made.
    pub labels: &'a BTreeMap<String, String>,
    /// Annotations of what is made.
    pub annotations: &'a BTreeMap<String, String>,
    /// Cloud identities for the generated ServiceAccount.
    pub identities: BTreeMap<String, String>,
}

/// What the operator adds to every Job.
#[must_use]
pub fn operator_facts(ctx: &Context) -> OperatorFacts {
    let names = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ];
    let proxy = names
        .into_iter()
        .filter_map(|name| std::env::var(name).ok().map(|value| (name, value)))
        .map(|(name, value)| EnvVar {
            name: name.to_owned(),
            value: Some(value),
            value_from: None,
        })
        .collect();
    OperatorFacts {
        image: ctx.options.image.clone(),
        proxy,
    }
}

/// The annotations of storages that give a ServiceAccount an identity at a cloud provider.
#[must_use]
pub fn identities<'a>(storages: impl IntoIterator<Item = &'a BackupStorage>) -> BTreeMap<String, String> {
    storages
        .into_iter()
        .filter_map(|storage| storage.spec.runtime_settings.as_ref()?.pod.as_ref())
        .flat_map(|pod| pod.service_account_annotations.clone())
        .collect()
}

/// Makes the ServiceAccount (unless the user named one) and binds the role where the Jobs write and where they run.
///
/// # Errors
/// What the API server answered.
pub async fn ensure_access(ctx: &Context, access: &Access<'_>) -> Result<(), Error> {
    let generated = generated_account(access.namespace, access.session, access.job_namespace);
    let account = access.given.map_or_else(|| generated.clone(), str::to_owned);
    let metadata = |namespace: &str, name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(access.labels.clone()),
        annotations: Some(access.annotations.clone()),
        ..ObjectMeta::default()
    };
    let mut bindings = vec![(access.namespace, label(access.session))];
    if access.job_namespace != access.namespace {
        bindings.push((access.job_namespace, generated.clone()));
    }
    let bind = bindings.into_iter().map(|(namespace, name)| {
        let binding = RoleBinding {
            metadata: metadata(namespace, &name),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".into()),
                kind: "ClusterRole".into(),
                name: access.role.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".into(),
                name: account.clone(),
                namespace: Some(access.job_namespace.to_owned()),
                ..Subject::default()
            }]),
        };
        async move { ctx.applier.create(&binding).await }
    });
    let (_, ()) = futures::future::try_join(try_join_all(bind), ensure_account(ctx, access)).await?;
    Ok(())
}

/// Makes the ServiceAccount alone (unless the user named one): for Jobs that may do nothing.
///
/// # Errors
/// What the API server answered.
pub async fn ensure_account(ctx: &Context, access: &Access<'_>) -> Result<(), Error> {
    if access.given.is_some() {
        return Ok(());
    }
    let name = generated_account(access.namespace, access.session, access.job_namespace);
    let mut account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(access.job_namespace.to_owned()),
            labels: Some(access.labels.clone()),
            annotations: Some(access.annotations.clone()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    account.annotations_mut().extend(access.identities.clone());
    if access.identities.contains_key(labels::AZURE_CLIENT_ID) {
        account
            .labels_mut()
            .insert(labels::AZURE_USE.into(), "true".into());
    }
    ctx.applier.create(&account).await?;
    Ok(())
}

/// Makes the Job and, before it, its plan Secret; then hands the Secret to the Job, so that both go together. Interrupted
/// anywhere, the next call finishes it.
///
/// # Errors
/// What the API server answered.
pub async fn ensure_job(ctx: &Context, planned: &PlannedJob) -> Result<(), Error> {
    ctx.applier.create(&planned.secret).await?;
    ctx.applier.create(&planned.job).await?;
    Ok(())
}

/// Makes every Job the owner of its plan Secret.
///
/// # Errors
/// What the API server answered.
pub async fn own_secrets(ctx: &Context, jobs: &[Job]) -> Result<(), Error> {
    let each = jobs.iter().map(|job| async move {
        let namespace = job.namespace().unwrap_or_default();
        let Some(secret) = lookup::get::<Secret>(&ctx.client, &namespace, &job.name_any()).await? else {
            return Ok(());
        };
        if !secret.owner_references().is_empty() {
            return Ok(());
        }
        let owner = crate::decide::backup::owner(job);
        let patch = json!({ "metadata": { "ownerReferences": [owner] } });
        ctx.applier.merge(&secret, patch).await.map(|_| ())
    });
    try_join_all(each).await.map(|_| ())
}

/// The Jobs with `component` made for the session, wherever they run.
///
/// # Errors
/// When they cannot be listed.
pub async fn jobs(ctx: &Context, namespace: &str, session: &str, component: &str) -> Result<Vec<Job>, Error> {
    let api: Api<Job> = Api::all(ctx.client.clone());
    let selector = format!(
        "{}={},{}={},{}={component}",
        labels::INVOKER_NAME,
        label(session),
        labels::INVOKER_NAMESPACE,
        label(namespace),
        labels::COMPONENT,
    );
    let mut jobs = lookup::list(&api, ListParams::default().labels(&selector)).await?;
    // Labels may be shortened; the annotation is exact.
    let exact = format!("{namespace}/{session}");
    jobs.retain(|job| job.annotations().get(INVOKER_ANNOTATION) == Some(&exact));
    Ok(jobs)
}

/// How far a Job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPhase {
    /// Not finished.
    Active,
    /// Complete.
    Succeeded,
    /// Failed for good.
    Failed,
}

/// How far the Job is. A Job that never completes because it failed is finished all the same.
#[must_use]
pub fn phase(job: &Job) -> JobPhase {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    for condition in conditions.into_iter().flatten().filter(|c| c.status == "True") {
        match condition.type_.as_str() {
            "Complete" => return JobPhase::Succeeded,
            "Failed" => return JobPhase::Failed,
            _ => {}
        }
    }
    JobPhase::Active
}

/// Why Kubernetes itself says that the Job failed.
fn failure(job: &Job) -> (String, String) {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let failed = conditions
        .into_iter()
        .flatten()
        .find(|c| c.type_ == "Failed" && c.status == "True");
    failed.map_or_else(Default::default, |c| {
        (
            c.reason.clone().unwrap_or_default(),
            c.message.clone().unwrap_or_default(),
        )
    })
}

/// The Job that writes a component.
#[must_use]
pub fn job_of<'a>(jobs: &'a [Job], component: &str) -> Option<&'a Job> {
    jobs.iter().find(|job| {
        job.annotations()
            .get(COMPONENTS_ANNOTATION)
            .is_some_and(|written| written.split(',').any(|one| one == component))
    })
}

/// How one container of a Job's pod ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerEnd {
    /// Name of the container.
    pub container: String,
    /// Its exit code.
    pub exit_code: i32,
    /// Kubernetes' word for it.
    pub reason: String,
    /// What the program handed back.
    pub result: Option<JobResult>,
    /// The termination message where it is no [`JobResult`].
    pub message: String,
}

/// The pods of a Job.
///
/// # Errors
/// When they cannot be listed.
pub async fn pods(ctx: &Context, job: &Job) -> Result<Vec<Pod>, Error> {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &job.namespace().unwrap_or_default());
    let selector = format!("job-name={}", job.name_any());
    lookup::list(&api, ListParams::default().labels(&selector)).await
}

/// How the containers of these pods ended, those that failed first.
#[must_use]
pub fn ends(pods: &[Pod]) -> Vec<ContainerEnd> {
    let mut all: Vec<ContainerEnd> = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref())
        .flat_map(|status| {
            let init = status.init_container_statuses.iter().flatten();
            init.chain(status.container_statuses.iter().flatten())
        })
        .filter_map(|container| {
            let ended = container.state.as_ref()?.terminated.as_ref()?;
            let message = ended.message.clone().unwrap_or_default();
            Some(ContainerEnd {
                container: container.name.clone(),
                exit_code: ended.exit_code,
                reason: ended.reason.clone().unwrap_or_default(),
                result: JobResult::from_termination_message(&message),
                message,
            })
        })
        .collect();
    all.sort_by_key(|end| end.exit_code == 0);
    all
}

/// Why a failed Job failed, as far as its pods still tell.
#[must_use]
pub fn why(job: &Job, pods: &[Pod]) -> String {
    if let Some(end) = ends(pods).into_iter().find(|end| end.exit_code != 0) {
        let mut text = explain::job_failure(
            &end.container,
            Some(end.exit_code),
            &end.reason,
            end.result.as_ref(),
        );
        if end.result.is_none() && !end.message.is_empty() {
            text.push_str("\nIts last words:\n");
            text.push_str(end.message.trim_end());
        }
        return text;
    }
    let pod = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref())
        .find(|status| status.reason.is_some());
    if let Some(status) = pod {
        return format!(
            "the pod was terminated. Reason: {}{}",
            status.reason.clone().unwrap_or_default(),
            status
                .message
                .as_ref()
                .map(|m| format!(": {m}"))
                .unwrap_or_default()
        );
    }
    let (reason, message) = failure(job);
    format!(
        "Job \"{}\" failed and its pod is gone. Reason: {reason} {message}",
        job.name_any()
    )
    .trim_end()
    .to_owned()
}

/// Why a failed Job failed, with the last lines of its log where the pods are still there to ask.
///
/// # Errors
/// When the pods cannot be listed.
pub async fn told(ctx: &Context, job: &Job) -> Result<String, Error> {
    let pods = pods(ctx, job).await?;
    let mut text = why(job, &pods);
    let silent = ends(&pods)
        .first()
        .is_some_and(|end| end.result.is_none() && end.message.is_empty());
    if silent {
        text.push_str(&last_lines(ctx, &pods).await);
    }
    Ok(text)
}

/// The last lines of the log of the newest pod's container that failed, runs, or ended last: a paragraph to add to a
/// reason. Of a pod that has not started, what it waits for. Empty when there is nothing to be had; a log that cannot be
/// read is no reason to fail.
pub async fn last_lines(ctx: &Context, pods: &[Pod]) -> String {
    let newest = pods
        .iter()
        .max_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let Some(pod) = newest else { return String::new() };
    if let Some(waits) = not_started(pod) {
        return waits;
    }
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &pod.namespace().unwrap_or_default());
    let params = LogParams {
        container: speaker(pod),
        tail_lines: Some(LAST_LINES),
        limit_bytes: Some(LAST_BYTES),
        ..LogParams::default()
    };
    let name = pod.name_any();
    let read = tokio::time::timeout(LOG_WITHIN, api.logs(&name, &params));
    let Ok(Ok(text)) = read.await else {
        return String::new();
    };
    if text.trim().is_empty() {
        return String::new();
    }
    format!("\nLast lines of its log:\n{}", text.trim_end())
}

/// That a pod has not started, and what it waits for.
fn not_started(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let none_ran = status.init_container_statuses.iter().flatten().all(|container| {
        container
            .state
            .as_ref()
            .is_none_or(|state| state.running.is_none() && state.terminated.is_none())
    });
    (status.phase.as_deref() == Some("Pending") && none_ran).then(|| {
        format!(
            "\nIts pod {} never started: {}",
            pod.name_any(),
            waiting_for(pod).trim()
        )
    })
}

/// The container whose log tells most: one that failed, else one that runs, else the last that ended.
fn speaker(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    let all: Vec<_> = init.chain(status.container_statuses.iter().flatten()).collect();
    let state = |test: fn(&ContainerState) -> bool| {
        all.iter()
            .rev()
            .find(|container| container.state.as_ref().is_some_and(test))
    };
    let failed = state(|state| state.terminated.as_ref().is_some_and(|end| end.exit_code != 0));
    failed
        .or_else(|| state(|state| state.running.is_some()))
        .or_else(|| state(|state| state.terminated.is_some()))
        .map(|container| container.name.clone())
}

/// Why a pod of an active Job has waited too long for its start, if one has.
///
/// # Errors
/// When the pods cannot be listed.
pub async fn pending(ctx: &Context, jobs: &[Job], now: Timestamp) -> Result<Option<String>, Error> {
    for job in jobs.iter().filter(|job| phase(job) == JobPhase::Active) {
        let created = job.creation_timestamp().map_or(now, |time| time.0);
        let ready = job.status.as_ref().and_then(|status| status.ready).unwrap_or(0);
        if ready > 0 || now.duration_since(created) < PENDING_TOO_LONG {
            continue;
        }
        let pods = pods(ctx, job).await?;
        let waiting = pods
            .iter()
            .find(|pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Pending"));
        if let Some(pod) = waiting {
            return Ok(Some(format!(
                "pod \"{}\" has been Pending since {created}: {}",
                pod.name_any(),
                waiting_for(pod)
            )));
        }
    }
    Ok(None)
}

/// What a pod that is Pending waits for, as far as its status tells.
#[must_use]
pub fn waiting_for(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return String::new();
    };
    let container = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .filter_map(|c| c.state.as_ref()?.waiting.as_ref())
        .find(|waiting| waiting.reason.is_some());
    if let Some(waiting) = container {
        return format!(
            "{} {}",
            waiting.reason.clone().unwrap_or_default(),
            waiting.message.clone().unwrap_or_default()
        );
    }
    status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status != "True")
        .and_then(|c| c.message.clone())
        .unwrap_or_else(|| "waiting".to_owned())
}

/// Removes the Jobs of a session with what was made for them: of the ServiceAccounts and RoleBindings at `places`
/// (namespace and name) those that are the session's. A ServiceAccount that the user named stays.
///
/// # Errors
/// What the API server answered; repeating it is safe.
pub async fn remove(
    ctx: &Context,
    namespace: &str,
    session: &str,
    jobs: &[Job],
    places: &[(String, String)],
) -> Result<(), Error> {
    for job in jobs {
        let place = job.namespace().unwrap_or_default();
        ctx.applier.delete::<Job>(&place, &job.name_any()).await?;
        ctx.applier.delete::<Secret>(&place, &job.name_any()).await?;
    }
    let exact = format!("{namespace}/{session}");
    let ours = |annotations: &BTreeMap<String, String>| annotations.get(INVOKER_ANNOTATION) == Some(&exact);
    let mut places = places.to_vec();
    places.sort();
    places.dedup();
    for (place, name) in places {
        let account = lookup::get::<ServiceAccount>(&ctx.client, &place, &name).await?;
        if account.is_some_and(|it| ours(it.annotations())) {
            ctx.applier.delete::<ServiceAccount>(&place, &name).await?;
        }
        let binding = lookup::get::<RoleBinding>(&ctx.client, &place, &name).await?;
        if binding.is_some_and(|it| ours(it.annotations())) {
            ctx.applier.delete::<RoleBinding>(&place, &name).await?;
        }
    }
    Ok(())
}

/// Where [`ensure_access`] put things for a session whose Jobs ran in these namespaces.
#[must_use]
pub fn places(namespace: &str, session: &str, job_namespaces: &[String]) -> Vec<(String, String)> {
    let mut all = vec![(namespace.to_owned(), label(session))];
    for place in job_namespaces {
        all.push((place.clone(), generated_account(namespace, session, place)));
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(conditions: &serde_json::Value) -> Job {
        serde_json::from_value(json!({"metadata": {"name": "j", "annotations": {"kubestash.com/components": "dump-pod-0,manifest"}},
            "status": {"conditions": conditions}}))
        .unwrap()
    }

    #[test]
    fn a_failed_job_is_finished() {
        assert_eq!(phase(&job(&json!([]))), JobPhase::Active);
        assert_eq!(
            phase(&job(&json!([{"type": "Complete", "status": "True"}]))),
            JobPhase::Succeeded
        );
        assert_eq!(
            phase(&job(&json!([{"type": "FailureTarget", "status": "True"}]))),
            JobPhase::Active
        );
        assert_eq!(
            phase(&job(&json!([{"type": "Failed", "status": "True"}]))),
            JobPhase::Failed
        );
    }

    #[test]
    fn a_component_finds_its_job() {
        let jobs = [job(&json!([]))];
        assert!(job_of(&jobs, "manifest").is_some());
        assert!(job_of(&jobs, "dump-pod-1").is_none());
    }

    #[test]
    fn the_reason_outlives_the_pod() {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [
            {"name": "logical-backup-0", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}),
        )
        .unwrap();
        let failed = job(
            &json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}]),
        );
        assert!(why(&failed, &[pod]).contains("exited with 137. Reason: OOMKilled"));
        assert!(why(&failed, &[]).contains("pod is gone. Reason: BackoffLimitExceeded m"));
        let evicted: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p"}, "status": {"reason": "Evicted", "message": "disk"}}),
        )
        .unwrap();
        assert!(why(&failed, &[evicted]).contains("Evicted: disk"));
    }
}
