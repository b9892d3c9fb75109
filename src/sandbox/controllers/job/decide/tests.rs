//! What a Job does in each situation.

use serde_json::json;

use super::*;
use crate::sandbox::controllers::pods::tests::pod;

const BASE: Duration = Duration::from_secs(10);

fn job(mut spec: serde_json::Value, status: impl serde::Serialize) -> Job {
    let status = json!(status);
    spec["template"] =
        json!({"spec": {"containers": [], "restartPolicy": spec["restart"].as_str().unwrap_or("Never")}});
    serde_json::from_value(json!({
        "metadata": {"name": "j", "namespace": "ns", "uid": "u"}, "spec": spec, "status": status
    }))
    .unwrap()
}

fn at(second: i64) -> Time {
    Time(jiff::Timestamp::from_second(1_800_000_000 + second).unwrap())
}

fn pods(of: &[(&str, &str)]) -> Vec<Arc<Pod>> {
    of.iter()
        .map(|(name, phase)| Arc::new(pod(name, phase)))
        .collect()
}

fn plan(job: &Job, pods: &[Arc<Pod>]) -> Plan {
    decide(job, pods, &Failures::default(), BASE, &at(0))
}

fn condition_types(status: &JobStatus) -> Vec<&str> {
    let conditions = status.conditions.iter().flatten();
    conditions
        .filter(|c| c.status == "True")
        .map(|c| c.type_.as_str())
        .collect()
}

#[test]
fn a_new_job_starts_and_makes_its_pods() {
    let plan = plan(
        &job(
            json!({"completions": 3, "parallelism": 2, "backoffLimit": 6}),
            json!({}),
        ),
        &[],
    );
    assert_eq!(plan.create, [None, None]);
    assert_eq!(plan.status.start_time, Some(at(0)));
    assert_eq!(plan.status.active, Some(2));
}

#[test]
fn no_more_pods_than_completions_are_missing() {
    let job = job(
        json!({"completions": 3, "parallelism": 2}),
        json!({"succeeded": 2}),
    );
    assert_eq!(plan(&job, &[]).create.len(), 1);
}

#[test]
fn the_last_success_completes_the_job_by_two_conditions() {
    let job = job(
        json!({"completions": 1, "parallelism": 1}),
        json!({"startTime": "2026-01-01T00:00:00Z", "uncountedTerminatedPods": {"succeeded": ["uid-a"]}}),
    );
    let plan = plan(&job, &pods(&[("a", "Succeeded")]));
    assert_eq!(condition_types(&plan.status), ["SuccessCriteriaMet", "Complete"]);
    assert_eq!(plan.status.succeeded, Some(1));
    assert_eq!(plan.status.completion_time, Some(at(0)));
    assert!(plan.status.uncounted_terminated_pods.is_none());
    assert!(plan.create.is_empty());
}

#[test]
fn a_failure_is_retried_after_a_pause() {
    let job = job(
        json!({"completions": 1, "parallelism": 1, "backoffLimit": 2}),
        json!({"startTime": "2026-01-01T00:00:00Z", "uncountedTerminatedPods": {"failed": ["uid-a"]}}),
    );
    let failures = Failures {
        count: 1,
        last: Some(at(-4).0),
    };
    let waiting = decide(&job, &pods(&[("a", "Failed")]), &failures, BASE, &at(0));
    assert!(waiting.create.is_empty());
    assert_eq!(waiting.next, Some(Duration::from_secs(6)));
    assert_eq!(waiting.status.failed, Some(1));
    let later = decide(&job, &pods(&[("a", "Failed")]), &failures, BASE, &at(6));
    assert_eq!(later.create.len(), 1);
}

#[test]
fn more_failures_than_the_limit_fail_the_job_and_stop_its_pods() {
    let job = job(
        json!({"completions": 2, "parallelism": 2, "backoffLimit": 0}),
        json!({"startTime": "2026-01-01T00:00:00Z", "uncountedTerminatedPods": {"failed": ["uid-a"]}}),
    );
    let first = plan(&job, &pods(&[("a", "Failed"), ("b", "Running")]));
    assert_eq!(condition_types(&first.status), ["FailureTarget"]);
    assert_eq!(first.stop.len(), 1);
    assert_eq!(first.status.failed, Some(1));
    let mut job = job;
    job.status = Some(first.status);
    let last = plan(&job, &pods(&[("a", "Failed")]));
    assert_eq!(condition_types(&last.status), ["FailureTarget", "Failed"]);
    let failed = last.status.conditions.unwrap().pop().unwrap();
    assert_eq!(failed.reason.as_deref(), Some("BackoffLimitExceeded"));
    assert!(last.status.completion_time.is_none());
}

#[test]
fn restarts_in_place_count_against_the_limit() {
    let job = job(
        json!({"completions": 1, "parallelism": 1, "backoffLimit": 2, "restart": "OnFailure"}),
        json!({"startTime": "2026-01-01T00:00:00Z"}),
    );
    let mut running = pod("a", "Running");
    running.status.as_mut().unwrap().container_statuses = serde_json::from_value(
        json!([{"name": "c", "restartCount": 2, "image": "", "imageID": "", "ready": false}]),
    )
    .unwrap();
    assert_eq!(plan(&job, &[Arc::new(running)]).stop.len(), 1);
}

#[test]
fn a_job_that_runs_too_long_fails() {
    let job = job(
        json!({"completions": 1, "parallelism": 1, "activeDeadlineSeconds": 30}),
        json!({"startTime": at(-29)}),
    );
    let pods = pods(&[("a", "Running")]);
    assert_eq!(plan(&job, &pods).next, Some(Duration::from_secs(1)));
    let late = decide(&job, &pods, &Failures::default(), BASE, &at(1));
    assert_eq!(late.stop.len(), 1);
    let target = &late.status.conditions.unwrap()[0];
    assert_eq!(
        (target.type_.as_str(), target.reason.as_deref()),
        ("FailureTarget", Some("DeadlineExceeded"))
    );
}

#[test]
fn a_suspended_job_dismisses_its_pods_and_starts_anew_when_resumed() {
    let mut held = job(
        json!({"completions": 1, "parallelism": 1, "suspend": true}),
        json!({"startTime": at(-5)}),
    );
    let stopped = plan(&held, &pods(&[("a", "Running")]));
    assert_eq!(stopped.dismiss.len(), 1);
    assert_eq!(
        (stopped.status.start_time.as_ref(), stopped.status.failed),
        (None, None)
    );
    assert_eq!(condition_types(&stopped.status), ["Suspended"]);
    held.spec.as_mut().unwrap().suspend = Some(false);
    held.status = Some(stopped.status);
    let resumed = plan(&held, &[]);
    assert_eq!(resumed.create.len(), 1);
    assert_eq!(resumed.status.start_time, Some(at(0)));
    assert!(condition_types(&resumed.status).is_empty());
}

#[test]
fn each_index_is_worked_on_once() {
    let job = job(
        json!({"completions": 4, "parallelism": 3, "completionMode": "Indexed"}),
        json!({"startTime": at(-5), "completedIndexes": "0", "succeeded": 1}),
    );
    let mut running = pod("b", "Running");
    running.annotations_mut().insert(INDEX.to_owned(), "2".to_owned());
    let mut done = pod("a", "Succeeded");
    done.annotations_mut().insert(INDEX.to_owned(), "1".to_owned());
    let plan = plan(&job, &[Arc::new(done), Arc::new(running)]);
    assert_eq!(plan.create, [Some(3)]);
    assert_eq!(plan.status.completed_indexes.as_deref(), Some("0,1"));
    assert_eq!(plan.status.succeeded, Some(2));
}

#[test]
fn a_work_queue_ends_when_one_has_succeeded_and_none_runs() {
    let job = job(
        json!({"parallelism": 2}),
        json!({"startTime": at(-5), "succeeded": 1}),
    );
    let going_on = plan(&job, &pods(&[("b", "Running")]));
    assert!(going_on.create.is_empty() && going_on.stop.is_empty());
    assert!(condition_types(&plan(&job, &[]).status).contains(&"Complete"));
}

#[test]
fn nothing_changes_while_nothing_happens() {
    let mut job = job(json!({"completions": 1, "parallelism": 1}), json!({}));
    let pods = pods(&[("a", "Running")]);
    job.status = Some(plan(&job, &pods).status);
    assert_eq!(
        Some(decide(&job, &pods, &Failures::default(), BASE, &at(9)).status),
        job.status
    );
}
