//! Running the Jobs of [`crate::decide::storage_job`] to their end, one small step per reconcile.
//!
//! Nothing waits here: a Job that runs is looked at again when it changes, because its controller watches it. A finished
//! Job stays until its outcome has been taken into a status, and is then removed together with its plan Secret (which it
//! owns), so a controller killed in between takes the same outcome again.

use futures::future::BoxFuture;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{EnvVar, Pod, Secret, ServiceAccount},
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams, ObjectMeta},
    runtime::watcher,
};
use sha2::{Digest, Sha256};

use super::{Context, Error, executor};
use crate::api::config::job_plan::JobPlan;
use crate::api::config::job_result::{Document, JobOutcome, JobResult};
use crate::api::labels;
use crate::decide::backup::owner;
use crate::decide::explain;
use crate::decide::storage_job::{PLAN_HASH_ANNOTATION, Wanted, build};

/// What Jobs that forget data may do.
const RETENTION_ROLE: &str = "kubestash-retention-policy-job";

/// A pod that has not started after this long is told about.
pub const STALLED_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// Output above this size is not read: documents are small.
const OUTPUT_LIMIT: i64 = 64 << 20;

/// How far a Job is.
#[derive(Debug)]
pub enum Progress {
    /// It runs, or has just been created.
    Running,
    /// It did what was asked.
    Succeeded(Box<Job>),
    /// It did not, for this reason.
    Failed(Box<Job>, String),
}

/// Jobs of objects of this kind.
#[must_use]
pub fn watched(kind: &str) -> watcher::Config {
    watcher::Config::default().labels(&format!(
        "{}={},{}={kind}",
        labels::MANAGED_BY,
        labels::MANAGED_BY_KUBESTASH,
        labels::INVOKER_KIND
    ))
}

/// Makes sure that the wanted Job exists, and says how far it is. A finished Job of the same name that did something else
/// is removed first.
///
/// # Errors
/// What the API server answered; [`Error::Step`] while the name is still taken by another Job.
pub fn run<'a>(ctx: &'a Context, wanted: &'a Wanted<'_>) -> BoxFuture<'a, Result<Progress, Error>> {
    Box::pin(step(ctx, wanted))
}

async fn step(ctx: &Context, wanted: &Wanted<'_>) -> Result<Progress, Error> {
    let jobs: Api<Job> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let hash = wanted.hash().map_err(|error| Error::Step(error.to_string()))?;
    let Some(job) = jobs.get_opt(&wanted.name).await? else {
        create(ctx, wanted).await?;
        return Ok(Progress::Running);
    };
    let taken = || {
        Error::Step(format!(
            "the name of Job {}/{} is still taken",
            wanted.namespace, wanted.name
        ))
    };
    if job.metadata.deletion_timestamp.is_some() {
        return Err(taken());
    }
    let same = job.annotations().get(PLAN_HASH_ANNOTATION) == Some(&hash);
    match (finished(&job), same) {
        (None, true) => {
            // Killed between Job and Secret: the pod waits for its plan.
            ensure_secret(ctx, wanted, &job).await?;
            Ok(Progress::Running)
        }
        (None, false) => Err(taken()),
        (Some(_), false) => {
            ctx.applier.delete_object(&job).await?;
            Err(Error::Conflict(format!(
                "Job {}/{}",
                wanted.namespace, wanted.name
            )))
        }
        (Some(true), true) => Ok(Progress::Succeeded(Box::new(job))),
        (Some(false), true) => {
            let reason = why(ctx, &job).await?;
            Ok(Progress::Failed(Box::new(job), reason))
        }
    }
}

/// As [`run`], for Jobs of whose success nothing is read: true once it is over and removed.
///
/// # Errors
/// As [`run`], and [`Error::Step`] with the reason when the Job failed.
pub async fn finish(ctx: &Context, wanted: &Wanted<'_>) -> Result<bool, Error> {
    match succeeded(ctx, wanted).await? {
        Some(job) => {
            discard(ctx, &job).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// As [`run`]: the Job once it has succeeded, which stays until [`discard`].
///
/// # Errors
/// As [`run`], and [`Error::Step`] with the reason when the Job failed, which is then removed.
pub async fn succeeded(ctx: &Context, wanted: &Wanted<'_>) -> Result<Option<Box<Job>>, Error> {
    match run(ctx, wanted).await? {
        Progress::Running => Ok(None),
        Progress::Succeeded(job) => Ok(Some(job)),
        Progress::Failed(job, reason) => {
            discard(ctx, &job).await?;
            Err(Error::Step(reason))
        }
    }
}

/// Removes a finished Job with its pods and its Secret. One that failed stays until [`APART`] has passed since: while it
/// stays no other attempt is made, and callers come back with growing delays.
///
/// # Errors
/// What the API server answered.
pub async fn discard(ctx: &Context, job: &Job) -> Result<(), Error> {
    if failed_at(job).is_some_and(|moment| Timestamp::now().duration_since(moment) < APART) {
        return Ok(());
    }
    ctx.applier.delete_object(job).await
}

/// When a Job failed, where it did.
fn failed_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions
        .iter()
        .find(|c| c.type_ == "Failed" && c.status == "True")?;
    failed.last_transition_time.as_ref().map(|time| time.0)
}

async fn create(ctx: &Context, wanted: &Wanted<'_>) -> Result<(), Error> {
    let (job, secret) = built(ctx, wanted)?;
    // Plan and account come first, so that the pod need not wait for them; they get their owner once that exists.
    account(ctx, wanted, None).await?;
    ctx.applier.apply(&secret).await?;
    let (job, _) = ctx.applier.create_if_absent(&job).await?;
    account(ctx, wanted, Some(&job)).await?;
    ensure_secret(ctx, wanted, &job).await
}

/// The ServiceAccount of a Job that asks the API about holders of locks, and what it may do. Nothing is made when the
/// Job needs none or the storage's runtimeSettings name one.
async fn account(ctx: &Context, wanted: &Wanted<'_>, job: Option<&Job>) -> Result<(), Error> {
    let pod = wanted
        .storage
        .spec
        .runtime_settings
        .as_ref()
        .and_then(|settings| settings.pod.clone())
        .unwrap_or_default();
    if wanted.service_account.is_empty() || pod.service_account_name.is_some_and(|name| !name.is_empty()) {
        return Ok(());
    }
    let metadata = ObjectMeta {
        name: Some(wanted.service_account.clone()),
        namespace: Some(wanted.namespace.clone()),
        labels: Some(
            [(
                labels::MANAGED_BY.to_owned(),
                labels::MANAGED_BY_KUBESTASH.to_owned(),
            )]
            .into(),
        ),
        owner_references: job.map(|job| vec![owner(job)]),
        ..ObjectMeta::default()
    };
    let mut account = ServiceAccount {
        metadata: metadata.clone(),
        ..ServiceAccount::default()
    };
    account.annotations_mut().extend(pod.service_account_annotations);
    if account.annotations().contains_key(labels::AZURE_CLIENT_ID) {
        account
            .labels_mut()
            .insert(labels::AZURE_USE.to_owned(), "true".to_owned());
    }
    ctx.applier.apply(&account).await?;
    if matches!(wanted.plan, JobPlan::Reader(_)) {
        // An identity at the storage's provider, and no right in the cluster.
        return Ok(());
    }
    let binding = RoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "ClusterRole".to_owned(),
            name: RETENTION_ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: wanted.service_account.clone(),
            namespace: Some(wanted.namespace.clone()),
            ..Subject::default()
        }]),
    };
    ctx.applier.apply(&binding).await?;
    Ok(())
}

async fn ensure_secret(ctx: &Context, wanted: &Wanted<'_>, job: &Job) -> Result<(), Error> {
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let uid = job.uid();
    let known = secrets.get_opt(&wanted.name).await?;
    if known.is_some_and(|secret| {
        secret
            .owner_references()
            .iter()
            .any(|o| Some(&o.uid) == uid.as_ref())
    }) {
        return Ok(());
    }
    let (_, mut secret) = built(ctx, wanted)?;
    secret.metadata.owner_references = Some(vec![owner(job)]);
    ctx.applier.apply(&secret).await?;
    Ok(())
}

fn built(ctx: &Context, wanted: &Wanted<'_>) -> Result<(Job, Secret), Error> {
    build(wanted, &ctx.options.image, &proxy()).map_err(|error| Error::Step(error.to_string()))
}

/// The operator's own proxy variables: what it needs to reach a storage, its Jobs need, too.
fn proxy() -> Vec<EnvVar> {
    [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ]
    .into_iter()
    .filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(EnvVar {
            name: name.to_owned(),
            value: Some(value),
            value_from: None,
        })
    })
    .collect()
}

/// How long a failed attempt stands before the next: a Job that can never start must not come back every few seconds.
const APART: SignedDuration = SignedDuration::from_secs(20);

/// Whether the Job is over, and if so whether it succeeded.
fn finished(job: &Job) -> Option<bool> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let holds = |type_: &str| conditions.iter().any(|c| c.type_ == type_ && c.status == "True");
    if holds("Complete") {
        Some(true)
    } else if holds("Failed") {
        Some(false)
    } else {
        None
    }
}

/// Why a Job failed: the words of its newest pod, or else of the Job controller.
async fn why(ctx: &Context, job: &Job) -> Result<String, Error> {
    let pod = newest_pod(ctx, job).await?;
    let statuses = pod
        .as_ref()
        .and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref());
    for status in statuses.into_iter().flatten() {
        if let Some(end) = status.state.as_ref().and_then(|state| state.terminated.as_ref()) {
            let result = end
                .message
                .as_deref()
                .and_then(JobResult::from_termination_message);
            if let Some(result) = result.as_ref().filter(|result| !result.message.is_empty()) {
                return Ok(result.message.clone());
            }
            let reason = end.reason.clone().unwrap_or_default();
            let mut text = explain::job_failure(&status.name, Some(end.exit_code), &reason, result.as_ref());
            // A container that never ran: only the kubelet knows why.
            if let (None, Some(words)) = (&result, end.message.as_deref().map(str::trim)) {
                text.push_str(&format!(": {words}"));
            }
            return Ok(text);
        }
    }
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let said = conditions.into_iter().flatten().find(|c| c.type_ == "Failed");
    Ok(said
        .and_then(|c| c.message.clone())
        .unwrap_or_else(|| format!("Job {} failed", job.name_any())))
}

/// Why the pod of a Job that was created a while ago has not started yet; `None` while there is nothing to tell.
///
/// # Errors
/// What the API server answered.
pub async fn stalled(
    ctx: &Context,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let jobs: Api<Job> = Api::namespaced(ctx.client.clone(), namespace);
    let Some(job) = jobs.get_opt(name).await?.filter(|job| finished(job).is_none()) else {
        return Ok(None);
    };
    let created = job.creation_timestamp().map_or(now, |time| time.0);
    if now.duration_since(created) < STALLED_AFTER {
        return Ok(None);
    }
    let Some(pod) = newest_pod(ctx, &job).await? else {
        return Ok(None);
    };
    let pending = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
    Ok(pending.then(|| {
        let name = pod.name_any();
        format!(
            "pod {name} has not started yet: {}; see kubectl describe pod -n {namespace} {name}",
            executor::waiting_for(&pod).trim()
        )
    }))
}

async fn newest_pod(ctx: &Context, job: &Job) -> Result<Option<Pod>, Error> {
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &job.namespace().unwrap_or_default());
    let selector = format!("batch.kubernetes.io/job-name={}", job.name_any());
    let found = pods.list(&ListParams::default().labels(&selector)).await?;
    let created = |pod: &Pod| pod.creation_timestamp().map_or(Timestamp::MIN, |time| time.0);
    Ok(found.items.into_iter().max_by_key(created))
}

/// The documents that a Job printed. `None` when they did not all arrive: then it must run again.
///
/// # Errors
/// What the API server answered.
pub async fn printed(ctx: &Context, job: &Job) -> Result<Option<Vec<Document>>, Error> {
    let Some(pod) = newest_pod(ctx, job).await? else {
        return Ok(None);
    };
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let result = statuses.into_iter().flatten().find_map(|status| {
        JobResult::from_termination_message(status.state.as_ref()?.terminated.as_ref()?.message.as_deref()?)
    });
    let Some(result) = result.filter(|result| result.outcome == JobOutcome::Succeeded) else {
        return Ok(None);
    };
    let Some(summary) = result.documents else {
        return Ok(Some(Vec::new()));
    };
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &job.namespace().unwrap_or_default());
    let params = LogParams {
        limit_bytes: Some(OUTPUT_LIMIT),
        ..LogParams::default()
    };
    let text = pods.logs(&pod.name_any(), &params).await?;
    let documents: Vec<Document> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let mut digest = Sha256::new();
    for document in &documents {
        digest.update(document.content.as_bytes());
    }
    let hash: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let complete = documents.len() as u64 == summary.count && hash == summary.sha256;
    Ok(complete.then_some(documents))
}
