//! What a Job needs next, as a pure function of the Job, its pods, its failures so far and the time. The rules are
//! Kubernetes' own (pkg/controller/job), without podFailurePolicy, successPolicy and backoffLimitPerIndex.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::indexes;
use crate::sandbox::controllers::engine::{is_terminating, until};
use crate::sandbox::controllers::pods::{is_active, is_finished, is_ready, phase};

/// The annotation and label that carry a pod's completion index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// No more pods are made for one Job at once.
const MOST_AT_ONCE: usize = 500;
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

/// How often the Job's pods have failed since one succeeded. Kept in memory only, as Kubernetes does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failures {
    /// Failures in a row.
    pub(super) count: u32,
    /// When the last of them ended.
    pub(super) last: Option<jiff::Timestamp>,
}

impl Failures {
    /// When the next pod may be made: ten seconds (`base`) after the first failure, twice as long after each more.
    fn not_before(&self, base: Duration) -> Option<jiff::Timestamp> {
        let doubled = base.saturating_mul(1 << self.count.checked_sub(1)?.min(16));
        let pause = jiff::SignedDuration::try_from(doubled.min(LONGEST_BACKOFF)).ok()?;
        Some(self.last? + pause)
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Pods to make; the completion index in Indexed mode.
    pub(super) create: Vec<Option<i32>>,
    /// Pods to delete once the status is written. They count as failures when they are seen to go.
    pub(super) stop: Vec<Arc<Pod>>,
    /// Pods to delete that do not count (suspension, lower parallelism).
    pub(super) dismiss: Vec<Arc<Pod>>,
    /// The Job's next status.
    pub(super) status: JobStatus,
    /// When to look again even if nothing changes.
    pub(super) next: Option<Duration>,
    /// What to tell: reason and message, a warning if the flag is set.
    pub(super) events: Vec<(&'static str, String, bool)>,
}

/// The condition of this type, if it is true.
fn holds<'a>(status: &'a JobStatus, type_: &str) -> Option<&'a JobCondition> {
    status
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// Whether the Job has come to its end.
pub(in super::super) fn is_over(job: &Job) -> bool {
    ended(job).is_some()
}

/// The condition that says how the Job ended.
pub(in super::super) fn ended(job: &Job) -> Option<&JobCondition> {
    let status = job.status.as_ref()?;
    holds(status, "Complete").or_else(|| holds(status, "Failed"))
}

/// Whether each pod of the Job works on an index of its own.
pub(super) fn is_indexed(job: &Job) -> bool {
    job.spec
        .as_ref()
        .is_some_and(|spec| spec.completion_mode.as_deref() == Some("Indexed"))
}

/// The completion index of a pod.
pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    pod.annotations().get(INDEX)?.parse().ok()
}

/// Whether the pod counts as a failure. One that is being deleted does, since it may never get to say so itself.
pub(super) fn has_failed(pod: &Pod) -> bool {
    phase(pod) == "Failed" || (is_terminating(pod) && phase(pod) != "Succeeded")
}

fn set(status: &mut JobStatus, type_: &str, on: bool, reason: &str, message: &str, now: &Time) {
    let conditions = status.conditions.get_or_insert_default();
    let value = if on { "True" } else { "False" };
    let known = conditions.iter().position(|condition| condition.type_ == type_);
    if known.is_some_and(|at| conditions[at].status == value) {
        return;
    }
    let condition = JobCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    match known {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

fn positive(count: usize) -> Option<i32> {
    i32::try_from(count).ok().filter(|count| *count > 0)
}

fn whole(count: Option<i32>) -> usize {
    usize::try_from(count.unwrap_or(0)).unwrap_or(0)
}

fn restarts(pods: &[Arc<Pod>]) -> i32 {
    let of = |list: &Option<Vec<ContainerStatus>>| -> i32 {
        list.iter()
            .flatten()
            .map(|container| container.restart_count)
            .sum()
    };
    pods.iter()
        .filter(|pod| matches!(phase(pod), "Running" | "Pending"))
        .filter_map(|pod| pod.status.as_ref())
        .map(|status| of(&status.container_statuses) + of(&status.init_container_statuses))
        .sum()
}

/// Why the Job must fail, if it must: reason and message.
fn failure(job: &Job, pods: &[Arc<Pod>], failed: usize, now: &Time) -> Option<(&'static str, &'static str)> {
    let spec = job.spec.as_ref()?;
    let limit = spec.backoff_limit.unwrap_or(6);
    let in_place = spec.template.spec.as_ref()?.restart_policy.as_deref() == Some("OnFailure") && {
        let restarts = restarts(pods);
        if limit == 0 {
            restarts > 0
        } else {
            restarts >= limit
        }
    };
    if in_place || failed > whole(Some(limit)) {
        return Some((
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        ));
    }
    let late = deadline(job).is_some_and(|deadline| deadline <= now.0);
    late.then_some((
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
    ))
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
}

fn deadline(job: &Job) -> Option<jiff::Timestamp> {
    if is_suspended(job) {
        return None;
    }
    let seconds = job.spec.as_ref()?.active_deadline_seconds?;
    let start = job.status.as_ref()?.start_time.as_ref()?.0;
    Some(start + jiff::SignedDuration::from_secs(seconds))
}

/// The Job's successes: how many, and which indexes.
fn successes(job: &Job, pods: &[Arc<Pod>]) -> (usize, BTreeSet<i32>) {
    let status = job.status.clone().unwrap_or_default();
    if !is_indexed(job) {
        let uncounted = status.uncounted_terminated_pods.and_then(|pods| pods.succeeded);
        return (
            whole(status.succeeded) + uncounted.map_or(0, |pods| pods.len()),
            BTreeSet::new(),
        );
    }
    let completions = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(0);
    let mut done = indexes::parse(status.completed_indexes.as_deref().unwrap_or_default());
    done.extend(
        pods.iter()
            .filter(|pod| phase(pod) == "Succeeded")
            .filter_map(|pod| index_of(pod)),
    );
    done.retain(|index| (0..completions).contains(index));
    (done.len(), done)
}

/// Decides. `pods` are the Job's own; its status already names every ended pod as uncounted.
pub(super) fn decide(job: &Job, pods: &[Arc<Pod>], failures: &Failures, base: Duration, now: &Time) -> Plan {
    let Some(spec) = &job.spec else {
        return Plan::default();
    };
    let mut plan = Plan::default();
    let mut status = job.status.clone().unwrap_or_default();
    let suspended = is_suspended(job);
    if status.start_time.is_none() && !suspended {
        status.start_time = Some(now.clone());
    }
    let mut timed = job.clone();
    timed.status = Some(status.clone());

    let mut active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).cloned().collect();
    let (succeeded, done) = successes(job, pods);
    let uncounted = status.uncounted_terminated_pods.take();
    let failed = whole(status.failed)
        + uncounted
            .and_then(|pods| pods.failed)
            .map_or(0, |pods| pods.len());

    let ending = if let Some(target) = holds(&status, "FailureTarget") {
        Some(Ending::Failed(
            target.reason.clone().unwrap_or_default(),
            target.message.clone().unwrap_or_default(),
        ))
    } else if holds(&status, "SuccessCriteriaMet").is_some() {
        Some(Ending::Complete)
    } else if let Some((reason, message)) = failure(&timed, pods, failed, now) {
        Some(Ending::Failed(reason.to_owned(), message.to_owned()))
    } else {
        let complete = match spec.completions {
            None => succeeded > 0 && active.is_empty(),
            Some(completions) => succeeded >= whole(Some(completions)),
        };
        complete.then_some(Ending::Complete)
    };

    if let Some(ending) = &ending {
        match ending {
            Ending::Complete => plan.dismiss.append(&mut active),
            Ending::Failed(..) => plan.stop.append(&mut active),
        }
        ending.announce(&mut status, now);
    } else if suspended {
        plan.dismiss.append(&mut active);
        if holds(&status, "Suspended").is_none() {
            set(
                &mut status,
                "Suspended",
                true,
                "JobSuspended",
                "Job suspended",
                now,
            );
            plan.events.push(("Suspended", "Job suspended".to_owned(), false));
        }
        status.start_time = None;
    } else {
        if holds(&status, "Suspended").is_some() {
            set(&mut status, "Suspended", false, "JobResumed", "Job resumed", now);
            status.start_time = Some(now.clone());
            timed.status = Some(status.clone());
            plan.events.push(("Resumed", "Job resumed".to_owned(), false));
        }
        manage(job, pods, &mut active, (succeeded, &done), &mut plan);
        if let Some(at) = failures.not_before(base).filter(|at| *at > now.0)
            && !plan.create.is_empty()
        {
            plan.create.clear();
            plan.next = Some(until(at, now.0));
        }
        if let Some(deadline) = deadline(&timed) {
            let wait = until(deadline, now.0);
            plan.next = Some(plan.next.map_or(wait, |next| next.min(wait)));
        }
    }

    let leaving = pods
        .iter()
        .filter(|pod| is_terminating(pod.as_ref()) && !is_finished(pod))
        .count()
        + plan.stop.len()
        + plan.dismiss.len();
    status.active = positive(active.len() + plan.create.len());
    status.ready = Some(positive(active.iter().filter(|pod| is_ready(pod)).count()).unwrap_or(0));
    status.terminating = Some(positive(leaving).unwrap_or(0));
    status.succeeded = positive(succeeded);
    status.failed = positive(failed);
    if is_indexed(job) && !done.is_empty() {
        status.completed_indexes = Some(indexes::format(&done));
    }
    if let Some(ending) = ending.filter(|_| leaving == 0) {
        ending.conclude(&mut status, now, &mut plan);
    }
    plan.status = status;
    plan
}

/// How many pods there should be, and so which to make or to dismiss.
fn manage(
    job: &Job,
    pods: &[Arc<Pod>],
    active: &mut Vec<Arc<Pod>>,
    (succeeded, done): (usize, &BTreeSet<i32>),
    plan: &mut Plan,
) {
    let Some(spec) = &job.spec else { return };
    let parallelism = whole(Some(spec.parallelism.unwrap_or(1)));
    let wanted = match spec.completions {
        None if succeeded > 0 => active.len().min(parallelism),
        None => parallelism,
        Some(completions) => parallelism.min(whole(Some(completions)).saturating_sub(succeeded)),
    };
    // Younger and less ready pods go first.
    active.sort_by_key(|pod| {
        (
            is_ready(pod),
            phase(pod) == "Running",
            std::cmp::Reverse(pod.creation_timestamp()),
        )
    });
    while active.len() > wanted {
        plan.dismiss.push(active.remove(0));
    }
    let waits_for_end = spec.pod_replacement_policy.as_deref() == Some("Failed");
    let leaving = pods
        .iter()
        .filter(|pod| waits_for_end && is_terminating(pod.as_ref()) && !is_finished(pod));
    let missing = wanted
        .saturating_sub(active.len() + leaving.count())
        .min(MOST_AT_ONCE);
    if is_indexed(job) {
        let busy: BTreeSet<i32> = active.iter().filter_map(|pod| index_of(pod)).collect();
        let completions = spec.completions.unwrap_or(0);
        let free = (0..completions).filter(|index| !busy.contains(index) && !done.contains(index));
        plan.create = free.take(missing).map(Some).collect();
    } else {
        plan.create = vec![None; missing];
    }
}

enum Ending {
    Complete,
    Failed(String, String),
}

const REACHED: &str = "Reached expected number of succeeded pods";

impl Ending {
    /// The condition that says how the Job will end, while its last pods still run.
    fn announce(&self, status: &mut JobStatus, now: &Time) {
        match self {
            Self::Complete => set(
                status,
                "SuccessCriteriaMet",
                true,
                "CompletionsReached",
                REACHED,
                now,
            ),
            Self::Failed(reason, message) => set(status, "FailureTarget", true, reason, message, now),
        }
    }

    /// The last condition.
    fn conclude(&self, status: &mut JobStatus, now: &Time, plan: &mut Plan) {
        match self {
            Self::Complete => {
                set(status, "Complete", true, "CompletionsReached", REACHED, now);
                status.completion_time = Some(now.clone());
                plan.events.push(("Completed", "Job completed".to_owned(), false));
            }
            Self::Failed(reason, message) => {
                set(status, "Failed", true, reason, message, now);
                let known = if reason == "DeadlineExceeded" {
                    "DeadlineExceeded"
                } else {
                    "BackoffLimitExceeded"
                };
                plan.events.push((known, message.clone(), true));
            }
        }
    }
}

#[cfg(test)]
mod tests;
