//! A reader in the cluster: one that lives, or a new one asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::ReaderArgs;
use crate::api::config::reader::{ANSWER_ANNOTATION, REQUEST_ANNOTATION, ReaderAnswer, ReaderRequest};
use crate::api::storage::Repository;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::output::human;

/// The operator answers within this, or is not there.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked.
pub(super) const EVERY: Duration = Duration::from_millis(150);
/// Label on a Job's pods, set by Kubernetes.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// A reader that ends sooner is not begun to be used.
const LEFT: i64 = 90;

/// Where a reader is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) pod: String,
    /// When Kubernetes ends it.
    until: Option<Timestamp>,
    /// Made for this command, so with the Secrets as they are now.
    pub(super) fresh: bool,
}

impl Place {
    /// A pod that is known to be a reader's.
    pub(super) fn of(namespace: &str, pod: &str) -> Self {
        Place {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            until: None,
            fresh: false,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodView {
    metadata: PodMeta,
    status: StatusView,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodMeta {
    name: String,
    labels: BTreeMap<String, String>,
    deletion_timestamp: Option<Timestamp>,
}

impl PodView {
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The Job that made it.
    pub(super) fn job(&self) -> Option<&str> {
        self.metadata.labels.get(JOB_NAME).map(String::as_str)
    }

    pub(super) fn runs(&self) -> bool {
        runs(self)
    }

    /// Whether it is on its way to run.
    pub(super) fn starts(&self) -> bool {
        self.metadata.deletion_timestamp.is_none() && self.status.phase == "Pending"
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusView {
    phase: String,
    reason: String,
    conditions: Vec<crate::cli::views::Condition>,
    container_statuses: Vec<ContainerView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerView {
    state: StateView,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StateView {
    waiting: Option<ReasonView>,
    running: Option<serde_json::Value>,
    terminated: Option<ReasonView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReasonView {
    reason: String,
    message: String,
}

/// A reader that lives long enough, or a new one that does.
pub(super) async fn find(
    context: &Context,
    args: &ReaderArgs,
    repository: &Repository,
    seconds: u32,
    anew: bool,
) -> Result<Place, CliError> {
    let cluster = context.cluster().await?;
    let known = answered(repository);
    let wanted = i64::from(seconds).min(LEFT);
    if !anew
        && let Some(answer) = &known
        && let Some(place) = living(cluster, answer, wanted.max(i64::from(seconds) / 2), seconds).await?
    {
        return Ok(place);
    }
    let progress = context.ui.progress();
    progress.tick(&format!(
        "asking for a reader of Repository {}",
        repository.name_any()
    ));
    let answer = ask(cluster, repository, seconds, known.as_ref()).await?;
    progress.tick(&format!(
        "waiting for the reader {}/{} to start",
        answer.namespace, answer.job
    ));
    start(cluster, &answer, args.reader_timeout).await
}

pub(super) fn answered(repository: &Repository) -> Option<ReaderAnswer> {
    let text = repository.annotations().get(ANSWER_ANNOTATION)?;
    serde_json::from_str(text).ok()
}

/// The pod of an earlier reader, if it runs and has time left.
async fn living(
    cluster: &Cluster,
    answer: &ReaderAnswer,
    most: i64,
    seconds: u32,
) -> Result<Option<Place>, CliError> {
    // Short work is content with what is left of a quarter of an hour; long work wants its time.
    let least = if seconds <= crate::api::config::reader::LIVES {
        LEFT
    } else {
        most
    };
    let enough = answer
        .until
        .is_some_and(|until| until.duration_since(Timestamp::now()).as_secs() > least);
    if answer.job.is_empty() || !enough {
        return Ok(None);
    }
    let Some(pod) = pod_of(cluster, answer).await? else {
        return Ok(None);
    };
    Ok(runs(&pod).then(|| Place {
        namespace: answer.namespace.clone(),
        pod: pod.metadata.name,
        until: answer.until,
        fresh: false,
    }))
}

fn runs(pod: &PodView) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.phase == "Running"
        && pod
            .status
            .container_statuses
            .iter()
            .any(|c| c.state.running.is_some())
}

async fn pod_of(cluster: &Cluster, answer: &ReaderAnswer) -> Result<Option<PodView>, CliError> {
    let selector = format!("{JOB_NAME}={}", answer.job);
    let options = ListOptions::of(&answer.namespace).labelled(selector);
    match cluster.list::<PodView>(&kinds::POD, &options).await {
        Ok(pods) => Ok(pods.into_iter().next()),
        Err(error @ Error::Forbidden { .. }) => Err(CliError::from(error).hint(format!(
            "looking into snapshots takes the rights of the ClusterRole kubestash-browse in namespace {}",
            answer.namespace
        ))),
        Err(error) => Err(error.into()),
    }
}

/// A request of our own.
pub(super) fn request(seconds: u32) -> ReaderRequest {
    let id = ulid::Ulid::generate().to_string().to_lowercase();
    ReaderRequest {
        // The end of it is random; the beginning is the time.
        id: id.get(id.len().saturating_sub(10)..).unwrap_or(&id).to_owned(),
        at: Some(Timestamp::now()),
        seconds,
    }
}

/// Writes the request and waits for the operator's answer.
async fn ask(
    cluster: &Cluster,
    repository: &Repository,
    seconds: u32,
    known: Option<&ReaderAnswer>,
) -> Result<ReaderAnswer, CliError> {
    let (name, namespace) = (repository.name_any(), repository.namespace().unwrap_or_default());
    let request = request(seconds);
    let text = serde_json::to_string(&request).map_err(|e| CliError::new(Exit::Error, e.to_string()))?;
    let patch = json!({"metadata": {"annotations": {REQUEST_ANNOTATION: text}}});
    let patched = cluster
        .merge(&kinds::REPOSITORY, Some(&namespace), &name, &patch)
        .await;
    patched.map_err(|error| match error {
        Error::Forbidden { .. } => CliError::from(error).hint(format!(
            "looking into snapshots takes the rights of the ClusterRole kubestash-browse in namespace {namespace}; with rights on its Secrets `--local` works too"
        )),
        error => error.into(),
    })?;
    let deadline = Instant::now() + ANSWER_WITHIN;
    loop {
        let now: Repository = cluster.get(&kinds::REPOSITORY, Some(&namespace), &name).await?;
        // Somebody else's request may have taken the place of ours: their reader serves as well.
        if let Some(answer) = answered(&now).filter(|a| a.id == request.id || Some(a) != known) {
            if answer.error.is_empty() {
                return Ok(answer);
            }
            return Err(
                CliError::new(Exit::Precondition, format!("Repository {name} cannot be opened"))
                    .cause(answer.error),
            );
        }
        if Instant::now() > deadline {
            return Err(CliError::new(
                Exit::TimedOut,
                format!(
                    "the operator did not make a reader of Repository {name} within {}",
                    human::go_duration(ANSWER_WITHIN)
                ),
            )
            .hint("`kubectl kubestash doctor` finds out whether the operator runs")
            .hint("`--local` needs no operator, but your own rights on the Secrets and a restic on this machine"));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits until the reader runs.
pub(super) async fn start(
    cluster: &Cluster,
    answer: &ReaderAnswer,
    within: Duration,
) -> Result<Place, CliError> {
    let deadline = Instant::now() + within;
    loop {
        let pod = pod_of(cluster, answer).await?;
        if let Some(pod) = pod.as_ref().filter(|pod| runs(pod)) {
            return Ok(Place {
                namespace: answer.namespace.clone(),
                pod: pod.metadata.name.clone(),
                until: answer.until,
                fresh: true,
            });
        }
        let why = pod.as_ref().map_or_else(
            || format!("Job {}/{} has no pod", answer.namespace, answer.job),
            waits_for,
        );
        let ended = pod.as_ref().is_some_and(|p| p.status.phase == "Failed");
        if ended || Instant::now() > deadline {
            let exit = if ended { Exit::Failed } else { Exit::TimedOut };
            return Err(CliError::new(
                exit,
                format!(
                    "the reader {}/{} did not start within {}",
                    answer.namespace,
                    answer.job,
                    human::go_duration(within)
                ),
            )
            .cause(why)
            .hint(format!(
                "`kubectl describe job {} -n {}` shows its pod and events; `--reader-timeout` waits longer",
                answer.job, answer.namespace
            )));
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn waits_for(pod: &PodView) -> String {
    let name = &pod.metadata.name;
    let state = pod.status.container_statuses.iter().find_map(|c| {
        let state = c.state.waiting.as_ref().or(c.state.terminated.as_ref())?;
        (!state.reason.is_empty()).then(|| format!("pod {name}: {} {}", state.reason, state.message))
    });
    let unscheduled = || {
        let held = pod
            .status
            .conditions
            .iter()
            .find(|c| c.status == "False" && !c.message.is_empty())?;
        Some(format!("pod {name}: {}", held.message))
    };
    state
        .or_else(unscheduled)
        .unwrap_or_else(|| format!("pod {name} is {}", pod.status.phase))
        .trim_end()
        .to_owned()
}

/// What became of a reader that went away.
pub(super) async fn fate(cluster: &Cluster, place: &Place, now: Timestamp) -> String {
    if place
        .until
        .is_some_and(|until| now.duration_since(until).as_secs() >= -3)
    {
        return "its time was up".to_owned();
    }
    let pod: Result<Option<PodView>, Error> = cluster
        .find(&kinds::POD, Some(&place.namespace), &place.pod)
        .await;
    match pod {
        Ok(None) => format!("its pod {}/{} was deleted", place.namespace, place.pod),
        Ok(Some(pod)) if pod.status.reason == "DeadlineExceeded" => "its time was up".to_owned(),
        Ok(Some(pod)) if runs(&pod) => format!(
            "the connection to its pod {}/{} broke",
            place.namespace, place.pod
        ),
        Ok(Some(pod)) => waits_for(&pod),
        Err(error) => error.to_string(),
    }
}
