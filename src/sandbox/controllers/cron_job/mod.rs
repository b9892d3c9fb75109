//! CronJobs: make a Job at each scheduled time, know which of them run, keep some of the finished ones.

pub(crate) mod schedule;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use kube::api::PropagationPolicy;

use schedule::Schedule;

use super::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, controller_reference, is_terminating, until,
};
use super::job::{ended, is_over};

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Timers may fire a moment early; a moment later the scheduled time has surely come.
const MOMENT: Duration = Duration::from_millis(5);

/// The controller of CronJobs.
pub(super) struct CronJobs {
    cron_jobs: Arc<Informer<CronJob>>,
    jobs: Arc<Informer<Job>>,
    events: Recorder,
}

/// What is due now.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// Nothing before the time given.
    Later(Option<Timestamp>),
    /// A Job for this time.
    Start { time: Timestamp, many_missed: bool },
    /// The time has passed and its deadline too.
    TooLate(Timestamp),
}

impl CronJobs {
    /// Listens to CronJobs and Jobs; returns the controller and its queue.
    pub(super) fn new(
        cron_jobs: &Arc<Informer<CronJob>>,
        jobs: &Arc<Informer<Job>>,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        cron_jobs.on_change(move |_, new| {
            if let Some(cron_job) = new {
                inbox.add(Key::of(cron_job.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        jobs.on_change(move |old, new| {
            if let Some(key) = new
                .or(old)
                .and_then(|job| Key::of_controller(job.as_ref(), "CronJob"))
            {
                inbox.add(key);
            }
        });
        let controller = Self {
            cron_jobs: Arc::clone(cron_jobs),
            jobs: Arc::clone(jobs),
            events: events.of("cronjob-controller"),
        };
        (controller, queue)
    }

    /// Takes finished and vanished Jobs off the active list.
    fn refresh(&self, cron_job: &CronJob, jobs: &[Arc<Job>]) -> CronJob {
        let mut next = cron_job.clone();
        let status = next.status.get_or_insert_default();
        let mut active = status.active.take().unwrap_or_default();
        active.retain(|reference| {
            let job = jobs.iter().find(|job| job.uid() == reference.uid);
            let name = reference.name.as_deref().unwrap_or_default();
            let Some(job) = job else {
                let message = format!("Active job went missing: {name}");
                self.events.normal(cron_job, "MissingJob", message);
                return false;
            };
            let Some(end) = ended(job) else { return true };
            let message = format!("Saw completed job: {name}, condition: {}", end.type_);
            self.events.normal(cron_job, "SawCompletedJob", message);
            false
        });
        status.active = Some(active).filter(|active| !active.is_empty());
        let completions = jobs
            .iter()
            .filter_map(|job| job.status.as_ref()?.completion_time.clone());
        if let Some(last) = completions.max()
            && status
                .last_successful_time
                .as_ref()
                .is_none_or(|known| *known < last)
        {
            status.last_successful_time = Some(last);
        }
        next
    }

    /// Deletes finished Jobs beyond what the CronJob keeps.
    async fn clean_up(&self, cron_job: &CronJob, jobs: &[Arc<Job>]) -> Result<(), Error> {
        let spec = &cron_job.spec;
        let kept = [
            ("Complete", spec.successful_jobs_history_limit.unwrap_or(3)),
            ("Failed", spec.failed_jobs_history_limit.unwrap_or(1)),
        ];
        for (end, limit) in kept {
            for job in beyond(jobs, end, limit) {
                self.jobs
                    .delete(&job, Some(PropagationPolicy::Background))
                    .await?;
                let message = format!("Deleted job {}", job.name_any());
                self.events.normal(cron_job, "SuccessfulDelete", message);
            }
        }
        Ok(())
    }

    async fn start(
        &self,
        cron_job: &CronJob,
        schedule: &Schedule,
        time: Timestamp,
    ) -> Result<Arc<Job>, Error> {
        let job = new_job(cron_job, schedule, time);
        match self.jobs.create(&job).await {
            Ok(job) => {
                let message = format!("Created job {}", job.name_any());
                self.events.normal(cron_job, "SuccessfulCreate", message);
                Ok(job)
            }
            // Made before a restart that came before the status was written.
            Err(error) if error.is_conflict() => self.jobs.fetch(&Key::of(&job)).await?.ok_or(error),
            Err(error) => {
                let message = format!("Error creating job: {error}");
                self.events.warning(cron_job, "FailedCreate", message);
                Err(error)
            }
        }
    }

    /// Starts the Job of this time unless the concurrency policy is against it; returns what to add to the status.
    async fn begin(
        &self,
        cron_job: &CronJob,
        schedule: &Schedule,
        time: Timestamp,
        jobs: &[Arc<Job>],
    ) -> Result<Option<CronJob>, Error> {
        let mut next = cron_job.clone();
        let policy = cron_job.spec.concurrency_policy.as_deref();
        let status = next.status.get_or_insert_default();
        let active = status.active.get_or_insert_default();
        match policy {
            Some("Forbid") if !active.is_empty() => {
                let message =
                    "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.events.normal(cron_job, "JobAlreadyActive", message);
                return Ok(None);
            }
            Some("Replace") => {
                for reference in active.drain(..) {
                    if let Some(job) = jobs.iter().find(|job| job.uid() == reference.uid) {
                        self.jobs.delete(job, Some(PropagationPolicy::Background)).await?;
                        let message = format!("Deleted job {}", job.name_any());
                        self.events.normal(cron_job, "SuccessfulDelete", message);
                    }
                }
            }
            _ => {}
        }
        let job = self.start(cron_job, schedule, time).await?;
        if !is_over(&job) && active.iter().all(|known| known.uid != job.uid()) {
            active.push(ObjectReference {
                api_version: Some("batch/v1".to_owned()),
                kind: Some("Job".to_owned()),
                name: Some(job.name_any()),
                namespace: job.namespace(),
                uid: job.uid(),
                resource_version: job.resource_version(),
                field_path: None,
            });
        }
        status.last_schedule_time = Some(Time(time));
        Ok(Some(next))
    }

    async fn sync(&self, cron_job: &CronJob, now: Timestamp) -> Result<Next, Error> {
        let jobs = self.jobs.controlled_by(&cron_job.uid().unwrap_or_default());
        let refreshed = self.refresh(cron_job, &jobs);
        self.cron_jobs.update_status(cron_job, &refreshed).await?;
        self.clean_up(cron_job, &jobs).await?;
        let current = self
            .cron_jobs
            .get(&Key::of(cron_job))
            .unwrap_or_else(|| Arc::new(refreshed));
        let spec = &current.spec;
        if spec.suspend == Some(true) {
            return Ok(None);
        }
        let schedule = match schedule::parse(&spec.schedule, spec.time_zone.as_deref()) {
            Ok(schedule) => schedule,
            Err(message) => {
                let reason = if message.starts_with("unknown time zone") {
                    "UnknownTimeZone"
                } else {
                    "UnparseableCronJobSchedule"
                };
                self.events.warning(cron_job, reason, message);
                return Ok(None);
            }
        };
        let due = due(&current, &schedule, now);
        let next = match due {
            Due::Later(next) => next,
            Due::TooLate(time) => {
                let message = format!("Missed scheduled time to start a job: {time}");
                self.events.warning(cron_job, "MissSchedule", message);
                schedule.next(now)
            }
            Due::Start { time, many_missed } => {
                if many_missed {
                    let message = "too many missed start times (> 100). Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                    self.events.warning(cron_job, "TooManyMissedTimes", message);
                }
                if let Some(begun) = self.begin(&current, &schedule, time, &jobs).await? {
                    self.cron_jobs.update_status(&current, &begun).await?;
                }
                schedule.next(now)
            }
        };
        Ok(next.map(|next| until(next, Timestamp::now()) + MOMENT))
    }
}

impl Controller for CronJobs {
    const NAME: &'static str = "cronjob";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        match self.cron_jobs.get(key) {
            Some(cron_job) if !is_terminating(cron_job.as_ref()) => {
                self.sync(&cron_job, Timestamp::now()).await
            }
            _ => Ok(None),
        }
    }
}

/// What is due at the moment `now`.
fn due(cron_job: &CronJob, schedule: &Schedule, now: Timestamp) -> Due {
    let last = cron_job
        .status
        .as_ref()
        .and_then(|status| status.last_schedule_time.as_ref());
    let since = last
        .or(cron_job.metadata.creation_timestamp.as_ref())
        .map_or(now, |time| time.0);
    let deadline = cron_job.spec.starting_deadline_seconds;
    let deadline = deadline.map(SignedDuration::from_secs);
    let earliest = deadline.map_or(since, |deadline| since.max(now - deadline));
    match schedule.due(earliest, now) {
        None => Due::Later(schedule.next(now)),
        Some((time, _)) if deadline.is_some_and(|deadline| time + deadline < now) => Due::TooLate(time),
        Some((time, many_missed)) => Due::Start { time, many_missed },
    }
}

/// The oldest finished Jobs of this kind of end that are more than `limit`.
fn beyond(jobs: &[Arc<Job>], end: &str, limit: i32) -> Vec<Arc<Job>> {
    let of_end = |job: &&Arc<Job>| ended(job).is_some_and(|condition| condition.type_ == end);
    let mut finished: Vec<_> = jobs
        .iter()
        .filter(of_end)
        .filter(|job| !is_terminating(job.as_ref()))
        .cloned()
        .collect();
    finished.sort_by_key(|job| {
        let start = job.status.as_ref().and_then(|status| status.start_time.clone());
        (start, job.name_any())
    });
    finished.truncate(finished.len().saturating_sub(usize::try_from(limit).unwrap_or(0)));
    finished
}

fn new_job(cron_job: &CronJob, schedule: &Schedule, time: Timestamp) -> Job {
    let template = cron_job.spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), schedule.written(time));
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", cron_job.name_any(), time.as_second() / 60)),
            namespace: cron_job.namespace(),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(cron_job)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cron_job(extra: &serde_json::Value) -> CronJob {
        let mut spec = json!({"schedule": "*/10 * * * *", "jobTemplate": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}}});
        json_patch::merge(&mut spec, extra);
        serde_json::from_value(json!({"metadata": {"name": "c", "namespace": "ns", "uid": "u",
            "creationTimestamp": "2026-01-01T00:01:00Z"}, "spec": spec}))
        .unwrap()
    }

    fn ten() -> Schedule {
        schedule::parse("*/10 * * * *", None).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_due_before_the_first_time_after_creation() {
        let later = due(&cron_job(&json!({})), &ten(), at("2026-01-01T00:05:00Z"));
        assert_eq!(later, Due::Later(Some(at("2026-01-01T00:10:00Z"))));
    }

    #[test]
    fn each_time_is_due_once() {
        let mut cron_job = cron_job(&json!({}));
        let now = at("2026-01-01T00:10:00Z");
        assert_eq!(
            due(&cron_job, &ten(), now),
            Due::Start {
                time: now,
                many_missed: false
            }
        );
        cron_job.status =
            serde_json::from_value(json!({"lastScheduleTime": "2026-01-01T00:10:00Z"})).unwrap();
        assert_eq!(
            due(&cron_job, &ten(), now),
            Due::Later(Some(at("2026-01-01T00:20:00Z")))
        );
    }

    #[test]
    fn a_missed_time_is_made_up_for_only_within_its_deadline() {
        let now = at("2026-01-01T00:13:00Z");
        let patient = cron_job(&json!({"startingDeadlineSeconds": 300}));
        assert!(matches!(due(&patient, &ten(), now), Due::Start { .. }));
        let strict = cron_job(&json!({"startingDeadlineSeconds": 60}));
        assert_eq!(
            due(&strict, &ten(), now),
            Due::Later(Some(at("2026-01-01T00:20:00Z")))
        );
    }

    #[test]
    fn a_job_is_named_after_its_minute_and_carries_its_time() {
        let job = new_job(&cron_job(&json!({})), &ten(), at("2026-01-01T00:10:00Z"));
        assert_eq!(
            job.name_any(),
            format!("c-{}", at("2026-01-01T00:10:00Z").as_second() / 60)
        );
        assert_eq!(job.annotations()[SCHEDULED], "2026-01-01T00:10:00Z");
        assert_eq!(job.labels()["a"], "b");
        assert_eq!(job.owner_references()[0].kind, "CronJob");
    }

    #[test]
    fn the_oldest_finished_jobs_go_first() {
        let job = |name: &str, end: &str, start: &str| -> Arc<Job> {
            let status = json!({"startTime": start, "conditions": [{"type": end, "status": "True"}]});
            Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap())
        };
        let jobs = [
            job("b", "Complete", "2026-01-01T00:02:00Z"),
            job("a", "Complete", "2026-01-01T00:01:00Z"),
            job("f", "Failed", "2026-01-01T00:00:00Z"),
        ];
        let gone = beyond(&jobs, "Complete", 1);
        assert_eq!(gone.iter().map(|job| job.name_any()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(beyond(&jobs, "Failed", 0).len(), 1);
    }
}
