//! The proof that a storage can be used, before anything is written: a short Job in the cluster, with the network, the
//! identity and the image that the real Jobs will have, lists, writes, reads and deletes one small file.
//!
//! The Job comes first and the Secret with the credentials after it, owned by it: whatever ends this process, the Job
//! has a deadline and a time to live, and takes the Secret with it. In every other case both are removed here.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use crate::api::config::job_result::{JobCause, JobOutcome, JobResult, ProofStep};
use crate::api::labels;
use crate::api::storage::BackupStorage;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report::text;
use crate::cluster::{Cluster, Error, kinds};
use crate::decide::plan::SecretData;
use crate::decide::storage_job::{Wanted, build, plan_backend};
use crate::output::human;
use crate::output::ui::Progress;

/// How often the Job's pod is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// How long removing may take.
const REMOVAL: Duration = Duration::from_secs(15);
/// A Job that nobody removed goes by itself after so many seconds.
const GONE_AFTER: i32 = 30;

/// What is to be proven.
pub(in crate::cli::commands) struct Proof<'p> {
    /// The BackupStorage, as it would be written.
    pub(in crate::cli::commands) storage: &'p Value,
    /// The Secret with the credentials: the new one, or the one that exists.
    pub(in crate::cli::commands) secret: Option<Secret>,
    /// The image; empty: the one that the operator runs.
    pub(in crate::cli::commands) image: &'p str,
    /// How long everything may take.
    pub(in crate::cli::commands) limit: Duration,
}

/// Proves it.
///
/// # Errors
/// Why the storage cannot be used, or why that could not be found out.
pub(super) async fn prove(context: &Context, cluster: &Cluster, proof: &Proof<'_>) -> Result<(), CliError> {
    let result = Box::pin(attempt(context, cluster, proof)).await?;
    tell(context, text(proof.storage, "/metadata/name"), &result)
}

/// Lists, writes, reads and deletes, in the cluster, and answers with how far it came.
///
/// # Errors
/// Why that could not be found out.
pub(in crate::cli::commands) async fn attempt(
    context: &Context,
    cluster: &Cluster,
    proof: &Proof<'_>,
) -> Result<JobResult, CliError> {
    let storage: BackupStorage = serde_json::from_value(proof.storage.clone())
        .map_err(|e| CliError::new(Exit::Error, "the BackupStorage cannot be read").cause(e.to_string()))?;
    let image = if proof.image.is_empty() {
        image(cluster).await
    } else {
        proof.image.to_owned()
    };
    let (job, secret) = objects(&storage, proof, &image)?;
    let progress = context.ui.progress();
    progress.step("proving that the storage can be listed, written, read and deleted from");
    let (namespace, name) = (storage.namespace().unwrap_or_default(), job.name_any());
    let jobs: Api<Job> = Api::namespaced(cluster.client().clone(), &namespace);
    let secrets: Api<Secret> = Api::namespaced(cluster.client().clone(), &namespace);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(proof.limit, run(cluster, &jobs, &secrets, job, secret, &progress)) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(Err(interrupted())),
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(_) => Err(late(cluster, &namespace, &name, proof.limit).await),
    };
    let left = remove(&jobs, &secrets, &name).await;
    drop(progress);
    if let Err(what) = left {
        context.ui.warn(&format!(
            "{what} of the proof could not be removed; it goes by itself in a few minutes, or `kubectl delete job,secret {name} -n {namespace}` removes it"
        ));
    }
    outcome
}

fn interrupted() -> CliError {
    CliError {
        silent: true,
        ..CliError::new(Exit::Interrupted, "nothing was changed")
    }
}

/// The Job and the Secret with its plan.
fn objects(storage: &BackupStorage, proof: &Proof<'_>, image: &str) -> Result<(Job, Secret), CliError> {
    let mut data = SecretData::new();
    let backend = plan_backend(storage, proof.secret.as_ref(), &mut data);
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action: StorageAction::Prove,
        deadline: None,
    });
    let id = ulid::Ulid::generate().to_string().to_lowercase();
    let name = crate::decide::naming::bounded(&format!("prove-{}", storage.name_any()), 50);
    let mut wanted = Wanted::new(
        format!("{name}-{}", id.get(16..).unwrap_or(&id)),
        labels::component::INITIALIZER,
        "BackupStorage",
        storage,
        storage,
        plan,
        data,
    );
    wanted.deadline = i64::try_from(proof.limit.as_secs()).unwrap_or(120).max(10);
    let (mut job, secret) = build(&wanted, image, &[]).map_err(|e| {
        CliError::new(Exit::Error, "the Job of the proof cannot be made").cause(e.to_string())
    })?;
    if let Some(spec) = job.spec.as_mut() {
        spec.ttl_seconds_after_finished = Some(GONE_AFTER);
    }
    Ok((job, secret))
}

/// The image of the operator's Jobs: that of the installed Functions, or this program's own.
async fn image(cluster: &Cluster) -> String {
    let found: Result<Value, Error> = cluster.get(&kinds::FUNCTION, None, "pvc-backup").await;
    found
        .ok()
        .and_then(|f| {
            f.pointer("/spec/image")
                .and_then(Value::as_str)
                .map(ToOwned::to_owned)
        })
        .filter(|image| !image.is_empty())
        .unwrap_or_else(|| crate::IMAGE.to_owned())
}

async fn run(
    cluster: &Cluster,
    jobs: &Api<Job>,
    secrets: &Api<Secret>,
    job: Job,
    mut secret: Secret,
    progress: &Progress<'_>,
) -> Result<JobResult, CliError> {
    let refused = |error: kube::Error, what: &str| {
        CliError::from(Error::from_kube(error, cluster.server()))
            .cause(format!("while the {what} of the proof was created"))
            .hint("`--skip-check` goes without the proof")
    };
    let job = jobs
        .create(&PostParams::default(), &job)
        .await
        .map_err(|e| refused(e, "Job"))?;
    secret.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .map_err(|e| refused(e, "Secret"))?;
    loop {
        match state(cluster, &job.namespace().unwrap_or_default(), &job.name_any()).await? {
            State::Ended(result) => return Ok(*result),
            State::Waiting(why) => progress.tick(&format!("proving the storage: {why}")),
            State::Running => progress.tick("proving the storage: list, write, read, delete"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// How far the Job is.
enum State {
    /// Its pod does not run yet, for this reason.
    Waiting(String),
    /// It runs.
    Running,
    /// It is over.
    Ended(Box<JobResult>),
}

async fn state(cluster: &Cluster, namespace: &str, job: &str) -> Result<State, CliError> {
    let pods: Api<Pod> = Api::namespaced(cluster.client().clone(), namespace);
    let mine = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let found = pods
        .list(&mine)
        .await
        .map_err(|e| CliError::from(Error::from_kube(e, cluster.server())))?;
    let Some(pod) = found.items.into_iter().next() else {
        return Ok(State::Waiting("no pod yet".to_owned()));
    };
    Ok(state_of(&pod))
}

fn state_of(pod: &Pod) -> State {
    let status = pod.status.clone().unwrap_or_default();
    let container = status.container_statuses.into_iter().flatten().next();
    let state = container.and_then(|c| c.state).unwrap_or_default();
    if let Some(end) = state.terminated {
        let said = end
            .message
            .as_deref()
            .and_then(JobResult::from_termination_message);
        return State::Ended(Box::new(said.unwrap_or_else(|| JobResult {
            outcome: JobOutcome::Failed,
            cause: Some(JobCause::Other),
            message: match end.message.filter(|m| !m.is_empty()) {
                Some(message) => format!("the proof ended with code {}: {message}", end.exit_code),
                None => format!(
                    "the proof ended with code {} and said nothing{}",
                    end.exit_code,
                    end.reason.map(|r| format!(" ({r})")).unwrap_or_default()
                ),
            },
            ..JobResult::default()
        })));
    }
    if state.running.is_some() {
        return State::Running;
    }
    if let Some(waiting) = state.waiting {
        let reason = waiting.reason.unwrap_or_default();
        let message = waiting.message.unwrap_or_default();
        return State::Waiting(
            [reason, message]
                .iter()
                .filter(|s| !s.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join(": "),
        );
    }
    let unscheduled = status
        .conditions
        .into_iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    State::Waiting(
        unscheduled
            .and_then(|c| c.message)
            .unwrap_or_else(|| "the pod starts".to_owned()),
    )
}

/// The proof took too long: the reason is the pod's.
async fn late(cluster: &Cluster, namespace: &str, job: &str, limit: Duration) -> CliError {
    let why = match state(cluster, namespace, job).await {
        Ok(State::Waiting(why)) => format!("its pod did not start: {why}"),
        Ok(_) => "its pod runs, but the storage did not answer".to_owned(),
        Err(error) => error.message,
    };
    let limit = human::go_duration(limit);
    CliError::new(Exit::TimedOut, format!("the proof of the storage did not end within {limit}"))
        .cause(why)
        .hint("`--check-timeout` allows more time, `--image` names another image, `--skip-check` goes without the proof")
}

/// Removes the Job with its pods, and the Secret.
async fn remove(jobs: &Api<Job>, secrets: &Api<Secret>, name: &str) -> Result<(), &'static str> {
    let gone = |outcome: Result<(), kube::Error>| match outcome {
        Err(kube::Error::Api(status)) if status.code == 404 => true,
        other => other.is_ok(),
    };
    let both = async {
        let parameters = DeleteParams::background().grace_period(0);
        let job = jobs.delete(name, &parameters).await.map(|_| ());
        let secret = secrets.delete(name, &DeleteParams::default()).await.map(|_| ());
        (gone(job), gone(secret))
    };
    match tokio::time::timeout(REMOVAL, both).await {
        Ok((true, true)) => Ok(()),
        Ok((true, false)) => Err("the Secret"),
        Ok((false, true)) => Err("the Job"),
        _ => Err("the Job and the Secret"),
    }
}

/// Says what went well, and what did not.
fn tell(context: &Context, name: &str, result: &JobResult) -> Result<(), CliError> {
    context
        .ui
        .say(&format!("Proof of the storage: {}", marks(context, result)));
    if result.outcome == JobOutcome::Succeeded {
        return Ok(());
    }
    Err(failure(name, result))
}

/// The steps, each with how it went.
fn marks(context: &Context, result: &JobResult) -> String {
    let style = context.ui.style();
    let broken = ProofStep::ALL
        .into_iter()
        .find(|step| !result.proven.contains(step));
    let marks: Vec<String> = ProofStep::ALL
        .iter()
        .map(|step| {
            if result.proven.contains(step) {
                style.good(&format!("✓ {}", step.verb()))
            } else if broken == Some(*step) {
                style.bad(&format!("✗ {}", step.verb()))
            } else {
                style.faint(&format!("· {}", step.verb()))
            }
        })
        .collect();
    marks.join("  ")
}

fn failure(name: &str, result: &JobResult) -> CliError {
    let step = ProofStep::ALL
        .into_iter()
        .find(|step| !result.proven.contains(step));
    let what = match step {
        Some(ProofStep::List) | None => "cannot be used",
        Some(ProofStep::Write) => "cannot be written to",
        Some(ProofStep::Read) => "cannot be read from",
        Some(ProofStep::Delete) => "does not let files be deleted",
    };
    let error = CliError::new(
        Exit::Precondition,
        format!("the storage {name} {what}; nothing was written to the cluster"),
    );
    let error = match result.cause {
        Some(cause) => error.cause(format!("{cause}: {}", result.message)),
        None => error.cause(result.message.clone()),
    };
    error.hint("`--skip-check` creates it all the same")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_step_that_failed_names_what_is_wrong() {
        let result = JobResult {
            cause: Some(JobCause::AccessDenied),
            message: "the bucket refuses access".into(),
            proven: vec![ProofStep::List, ProofStep::Write, ProofStep::Read],
            ..JobResult::default()
        };
        let error = failure("s3", &result);
        assert_eq!(
            error.message,
            "the storage s3 does not let files be deleted; nothing was written to the cluster."
        );
        assert_eq!(error.causes, ["AccessDenied: the bucket refuses access"]);
        assert_eq!(error.exit, Exit::Precondition);
    }

    #[test]
    fn a_pod_that_cannot_start_says_why() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": {"containerStatuses": [{"name": "c", "image": "i",
            "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}}))
        .unwrap();
        assert!(matches!(state_of(&pod), State::Waiting(why) if why == "ImagePullBackOff: no such image"));
    }

    #[test]
    fn the_job_and_its_secret_go_by_themselves() {
        let storage = json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s3", "namespace": "demo"},
            "spec": {"storage": {"provider": "s3", "s3": {"bucket": "b", "secretName": "k"}}}});
        let proof = Proof {
            storage: &storage,
            secret: serde_json::from_value(
                json!({"metadata": {"name": "k"}, "data": {"AWS_ACCESS_KEY_ID": "aWQ="}}),
            )
            .ok(),
            image: "i",
            limit: Duration::from_secs(90),
        };
        let (job, secret) = objects(&serde_json::from_value(storage.clone()).unwrap(), &proof, "i").unwrap();
        let spec = job.spec.unwrap();
        assert_eq!(
            (spec.active_deadline_seconds, spec.ttl_seconds_after_finished),
            (Some(90), Some(30))
        );
        let data = secret.data.unwrap();
        assert!(String::from_utf8_lossy(&data["plan.json"].0).contains("\"Prove\""));
        assert_eq!(data["backend-0.AWS_ACCESS_KEY_ID"].0, b"id");
    }
}
