//! Jobs and CronJobs from their creation to their end.

use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use super::cluster::{Cluster, eventually, holds, names, number, template, text, until_gone, within};

fn job(name: &str, end: &str, spec: &Value) -> Value {
    let annotations = if end.is_empty() {
        json!({})
    } else {
        json!({"test/end": end})
    };
    let mut whole =
        json!({"template": template(&json!({}), &annotations, &json!({"restartPolicy": "Never"}))});
    json_patch::merge(&mut whole, spec);
    json!({"metadata": {"name": name}, "spec": whole})
}

#[tokio::test]
async fn a_job_makes_its_pod_at_once_and_completes() {
    let cluster = Cluster::start().await;
    cluster.create::<Job>(job("main", "Succeeded", &json!({}))).await;
    let pods = cluster
        .until_pods("job-name=main", "a pod", |pods| !pods.is_empty())
        .await;
    let pod = &pods[0];
    assert!(pod.name_any().starts_with("main-"));
    let done = cluster
        .until::<Job>("main", "is complete", |job| holds(job, "Complete").is_some())
        .await;
    assert_eq!(
        holds(&done, "SuccessCriteriaMet").as_deref(),
        Some("CompletionsReached")
    );
    assert_eq!(number(&done, "/status/succeeded"), 1);
    assert!(
        !text(&done, "/status/startTime").is_empty() && !text(&done, "/status/completionTime").is_empty()
    );
    for label in [
        "batch.kubernetes.io/job-name",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
    ] {
        assert!(pod.labels().contains_key(label), "{label}");
    }
    assert_eq!(pod.labels()["controller-uid"], done.uid().unwrap());
    eventually("the pod's release", || async {
        let pods = cluster.pods("job-name=main").await;
        if pods[0].finalizers().is_empty() {
            Ok(())
        } else {
            Err(pods[0].finalizers().to_vec())
        }
    })
    .await;
    eventually("the events", || async {
        let list = cluster
            .namespaced::<Event>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let of_job = list
            .items
            .iter()
            .filter(|event| event.involved_object.name.as_deref() == Some("main"));
        let reasons: Vec<_> = of_job.filter_map(|event| event.reason.clone()).collect();
        let has = |reason: &str| reasons.iter().any(|known| known == reason);
        if has("SuccessfulCreate") && has("Completed") {
            Ok(())
        } else {
            Err(reasons)
        }
    })
    .await;
}

#[tokio::test]
async fn a_pod_follows_its_job_within_moments() {
    let cluster = Cluster::start().await;
    let mut times = Vec::new();
    for number in 0..9 {
        let name = format!("job-{number}");
        let of_job = watcher::Config::default().labels(&format!("job-name={name}"));
        let mut pods = Box::pin(watcher(cluster.namespaced::<Pod>(), of_job).applied_objects());
        let start = Instant::now();
        cluster.create::<Job>(job(&name, "", &json!({}))).await;
        let assigned = async {
            loop {
                let pod = pods.next().await.unwrap().unwrap();
                if !text(&pod, "/spec/nodeName").is_empty() {
                    return;
                }
            }
        };
        within("a pod with a node", assigned).await;
        times.push(start.elapsed());
    }
    times.sort();
    // Some 10 ms where nothing else runs; tests share their processors with many others.
    assert!(times[4] < Duration::from_millis(300), "{times:?}");
    println!("from a Job to its pod on a node: {times:?}");
}

#[tokio::test]
async fn a_failing_job_is_tried_again_and_then_fails() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Job>(job("bad", "Failed", &json!({"backoffLimit": 1})))
        .await;
    let failed = cluster
        .until::<Job>("bad", "has failed", |job| holds(job, "Failed").is_some())
        .await;
    assert_eq!(holds(&failed, "Failed").as_deref(), Some("BackoffLimitExceeded"));
    assert_eq!(
        holds(&failed, "FailureTarget").as_deref(),
        Some("BackoffLimitExceeded")
    );
    assert_eq!(number(&failed, "/status/failed"), 2);
    assert_eq!(cluster.pods("job-name=bad").await.len(), 2);
}

#[tokio::test]
async fn a_deleted_pod_counts_as_a_failure_and_is_replaced() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Job>(job("long", "", &json!({"backoffLimit": 3})))
        .await;
    let first = cluster
        .until_pods("job-name=long", "a pod", |pods| pods.len() == 1)
        .await;
    cluster
        .namespaced::<Pod>()
        .delete(&first[0].name_any(), &DeleteParams::default())
        .await
        .unwrap();
    let next = cluster
        .until_pods("job-name=long", "another pod", |pods| {
            pods.len() == 1 && names(pods) != names(&first)
        })
        .await;
    assert_eq!(next.len(), 1);
    let job = cluster
        .until::<Job>("long", "has counted", |job| number(job, "/status/failed") == 1)
        .await;
    assert_eq!(number(&job, "/status/active"), 1);
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_stopped() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Job>(job("slow", "", &json!({"activeDeadlineSeconds": 1})))
        .await;
    let failed = cluster
        .until::<Job>("slow", "has failed", |job| holds(job, "Failed").is_some())
        .await;
    assert_eq!(holds(&failed, "Failed").as_deref(), Some("DeadlineExceeded"));
    cluster
        .until_pods("job-name=slow", "no pod", <[Pod]>::is_empty)
        .await;
}

#[tokio::test]
async fn indexes_are_worked_on_one_by_one() {
    let cluster = Cluster::start().await;
    let spec = json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"});
    cluster.create::<Job>(job("many", "Succeeded", &spec)).await;
    let done = cluster
        .until::<Job>("many", "is complete", |job| holds(job, "Complete").is_some())
        .await;
    assert_eq!(text(&done, "/status/completedIndexes"), "0-2");
    let mut hosts: Vec<_> = cluster
        .pods("job-name=many")
        .await
        .iter()
        .map(|pod| text(pod, "/spec/hostname"))
        .collect();
    hosts.sort();
    assert_eq!(hosts, ["many-0", "many-1", "many-2"]);
}

#[tokio::test]
async fn a_suspended_job_waits_until_it_is_resumed() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Job>(job("held", "Succeeded", &json!({"suspend": true})))
        .await;
    cluster
        .until::<Job>("held", "is suspended", |job| holds(job, "Suspended").is_some())
        .await;
    assert!(cluster.pods("job-name=held").await.is_empty());
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    cluster
        .namespaced::<Job>()
        .patch("held", &PatchParams::default(), &resume)
        .await
        .unwrap();
    cluster
        .until::<Job>("held", "is complete", |job| holds(job, "Complete").is_some())
        .await;
}

#[tokio::test]
async fn a_finished_job_goes_with_its_pods_when_its_time_is_up() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Job>(job("short", "Succeeded", &json!({"ttlSecondsAfterFinished": 0})))
        .await;
    until_gone(&cluster.namespaced::<Job>(), "short").await;
    cluster
        .until_pods("job-name=short", "no pod", <[Pod]>::is_empty)
        .await;
}

fn cron_job(name: &str, end: &str, spec: &Value) -> Value {
    let template = job("unused", end, &json!({}))["spec"].clone();
    let mut whole = json!({"schedule": "@every 1s", "jobTemplate": {"spec": template}});
    json_patch::merge(&mut whole, spec);
    json!({"metadata": {"name": name}, "spec": whole})
}

async fn jobs_of(cluster: &Cluster, name: &str) -> Vec<Job> {
    let all = cluster
        .namespaced::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let of = |job: &Job| job.owner_references().iter().any(|owner| owner.name == name);
    all.items.into_iter().filter(of).collect()
}

#[tokio::test]
async fn a_cron_job_makes_jobs_and_remembers_them() {
    let cluster = Cluster::start().await;
    // Every minute is too slow for a test: the creation lies in the past as far as the schedule is concerned.
    cluster
        .create::<CronJob>(cron_job(
            "tick",
            "",
            &json!({"schedule": "* * * * *", "suspend": true}),
        ))
        .await;
    let past = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(90);
    let late = Patch::Merge(json!({"status": {"lastScheduleTime": past.to_string()}}));
    let api = cluster.namespaced::<CronJob>();
    api.patch_status("tick", &PatchParams::default(), &late)
        .await
        .unwrap();
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    api.patch("tick", &PatchParams::default(), &resume).await.unwrap();
    let active = cluster
        .until::<CronJob>("tick", "has an active job", |job| {
            !text(job, "/status/active/0/name").is_empty()
        })
        .await;
    let jobs = jobs_of(&cluster, "tick").await;
    assert_eq!(names(&jobs), [text(&active, "/status/active/0/name")]);
    let scheduled: jiff::Timestamp = text(&active, "/status/lastScheduleTime").parse().unwrap();
    assert_eq!(jobs[0].name_any(), format!("tick-{}", scheduled.as_second() / 60));
    let annotation = &jobs[0].annotations()["batch.kubernetes.io/cronjob-scheduled-timestamp"];
    assert_eq!(annotation.parse::<jiff::Timestamp>().unwrap(), scheduled);
}

#[tokio::test]
async fn a_cron_job_keeps_only_its_history_and_does_not_overlap() {
    let cluster = Cluster::start().await;
    let keep = json!({"successfulJobsHistoryLimit": 0, "concurrencyPolicy": "Forbid"});
    cluster
        .create::<CronJob>(cron_job("clean", "Succeeded", &keep))
        .await;
    let done = |job: &CronJob| !text(job, "/status/lastSuccessfulTime").is_empty();
    cluster
        .until::<CronJob>("clean", "has succeeded once", done)
        .await;
    eventually("an empty history", || async {
        let jobs = jobs_of(&cluster, "clean").await;
        let finished: Vec<_> = jobs
            .iter()
            .filter(|job| holds(*job, "Complete").is_some())
            .cloned()
            .collect();
        if finished.is_empty() {
            Ok(())
        } else {
            Err(names(&finished))
        }
    })
    .await;
}
