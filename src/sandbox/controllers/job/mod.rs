//! Jobs: makes their pods, counts how they end, and says when the Job is over.
//!
//! A pod carries a finalizer until its end is counted, so that no end is lost when somebody deletes the pod:
//! first the pod's uid is written into `status.uncountedTerminatedPods`, then the finalizer goes, then the counters
//! grow. A crash between any two of these steps counts nothing twice and forgets nothing.

mod decide;
mod indexes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube::ResourceExt;

use decide::{Failures, INDEX, has_failed, index_of, is_indexed};
pub(super) use decide::{ended, is_over};

use super::claim::claim;
use super::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, controller_of, controller_reference,
    is_terminating, now,
};
use super::pods::{from_template, is_finished, label, name_prefix};

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const CONTROLLER_NAME: &str = "kubernetes.io/job-controller";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// The controller of Jobs.
pub(super) struct Jobs {
    jobs: Arc<Informer<Job>>,
    pods: Arc<Informer<Pod>>,
    events: Recorder,
    backoff: Duration,
    failures: Mutex<HashMap<String, Failures>>,
}

impl Jobs {
    /// Listens to Jobs and pods; returns the controller and its queue. `backoff` is the pause before the first
    /// failed pod is replaced.
    pub(super) fn new(
        jobs: &Arc<Informer<Job>>,
        pods: &Arc<Informer<Pod>>,
        events: &Recorder,
        backoff: Duration,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        jobs.on_change(move |old, new| {
            if let Some(job) = new.or(old) {
                inbox.add(Key::of(job.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        pods.on_change(move |old, new| {
            let Some(pod) = new.or(old) else { return };
            if let Some(key) = Key::of_controller(pod.as_ref(), "Job") {
                inbox.add(key);
            } else if is_tracked(pod) {
                inbox.add(Key::new(
                    pod.namespace().unwrap_or_default(),
                    label(pod, JOB_NAME),
                ));
            }
        });
        let controller = Self {
            jobs: Arc::clone(jobs),
            pods: Arc::clone(pods),
            events: events.of("job-controller"),
            backoff,
            failures: Mutex::default(),
        };
        (controller, queue)
    }

    /// Lets go of pods whose Job is gone, or that were taken from it.
    async fn release_strays(&self, key: &Key) -> Result<(), Error> {
        for pod in self.pods.in_namespace(&key.namespace) {
            let of_this_job = match controller_of(pod.as_ref()) {
                Some(owner) => owner.kind == "Job" && owner.name == key.name,
                None => label(&pod, JOB_NAME) == key.name,
            };
            let has_job = || {
                let owner = controller_of(pod.as_ref())?;
                let job = self.jobs.get(key)?;
                (job.uid().as_deref() == Some(owner.uid.as_str())).then_some(())
            };
            if of_this_job && is_tracked(&pod) && has_job().is_none() {
                self.release(&pod).await?;
            }
        }
        Ok(())
    }

    async fn release(&self, pod: &Pod) -> Result<(), Error> {
        if !is_tracked(pod) {
            return Ok(());
        }
        let mut released = pod.clone();
        released
            .finalizers_mut()
            .retain(|finalizer| finalizer != FINALIZER);
        match self.pods.update(pod, &released).await {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome,
        }
    }

    /// Writes down the pods that have ended since the last look and lets them go. Returns the Job as it is then.
    async fn track(&self, job: Arc<Job>, pods: &[Arc<Pod>]) -> Result<Arc<Job>, Error> {
        let mut status = job.status.clone().unwrap_or_default();
        let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
        let known = |uncounted: &UncountedTerminatedPods, uid: &String| {
            let lists = [&uncounted.succeeded, &uncounted.failed];
            lists.into_iter().flatten().flatten().any(|known| known == uid)
        };
        let mut ended: Vec<_> = pods
            .iter()
            .filter(|pod| is_tracked(pod) && (is_finished(pod) || has_failed(pod)))
            .collect();
        ended.sort_by_key(|pod| finished_at(pod));
        let mut fresh = false;
        for pod in &ended {
            let uid = pod.uid().unwrap_or_default();
            if known(&uncounted, &uid) {
                continue;
            }
            self.note_end(&job, pod);
            if has_failed(pod) {
                fresh = true;
                uncounted.failed.get_or_insert_default().push(uid);
            } else if !is_indexed(&job) {
                fresh = true;
                uncounted.succeeded.get_or_insert_default().push(uid);
            } else if index_of(pod).is_some() {
                fresh |= add_index(&job, &mut status, pod);
            }
        }
        let mut job = job;
        if fresh {
            let mut next = job.as_ref().clone();
            status.uncounted_terminated_pods = Some(uncounted);
            next.status = Some(status);
            self.jobs.update_status(&job, &next).await?;
            job = self.jobs.get(&Key::of(job.as_ref())).unwrap_or(job);
        }
        for pod in ended {
            self.release(pod).await?;
        }
        Ok(job)
    }

    fn note_end(&self, job: &Job, pod: &Pod) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let record = failures.entry(job.uid().unwrap_or_default()).or_default();
        if has_failed(pod) {
            record.count += 1;
            record.last = Some(finished_at(pod).unwrap_or_else(|| now().0));
        } else {
            *record = Failures::default();
        }
    }

    fn failures_of(&self, job: &Job) -> Failures {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .get(&job.uid().unwrap_or_default())
            .cloned()
            .unwrap_or_default()
    }

    fn forget_failures(&self, job: &Job) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&job.uid().unwrap_or_default());
    }

    async fn make(&self, job: &Job, index: Option<i32>) -> Result<(), Error> {
        match self.pods.create(&new_pod(job, index)).await {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.name_any());
                self.events.normal(job, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                self.events
                    .warning(job, "FailedCreate", format!("Error creating: {error}"));
                Err(error)
            }
        }
    }

    async fn remove(&self, job: &Job, pod: &Pod) -> Result<(), Error> {
        self.pods.delete(pod, None).await?;
        let message = format!("Deleted pod: {}", pod.name_any());
        self.events.normal(job, "SuccessfulDelete", message);
        Ok(())
    }

    async fn sync(&self, job: Arc<Job>) -> Result<Next, Error> {
        let namespace = job.namespace().unwrap_or_default();
        let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let reference = controller_reference(job.as_ref());
        let own = claim(
            &self.pods,
            &namespace,
            selector,
            &reference,
            is_terminating(job.as_ref()),
        )
        .await?;
        if is_over(&job) || is_terminating(job.as_ref()) {
            for pod in own
                .iter()
                .filter(|pod| is_over(&job) || !super::pods::is_active(pod))
            {
                self.release(pod).await?;
            }
            return Ok(None);
        }
        let job = self.track(job, &own).await?;
        let plan = decide::decide(&job, &own, &self.failures_of(&job), self.backoff, &now());
        // The pods first: that is what everybody waits for. The status follows whatever becomes of them.
        let mut outcome = Ok(());
        let made = futures::future::join_all(plan.create.iter().map(|index| self.make(&job, *index))).await;
        for result in made {
            outcome = outcome.and(result);
        }
        for pod in &plan.dismiss {
            self.release(pod).await?;
            let pod = self
                .pods
                .get(&Key::of(pod.as_ref()))
                .unwrap_or_else(|| Arc::clone(pod));
            self.remove(&job, &pod).await?;
        }
        outcome?;
        let mut next = job.as_ref().clone();
        next.status = Some(plan.status);
        self.jobs.update_status(&job, &next).await?;
        for pod in &plan.stop {
            self.remove(&job, pod).await?;
        }
        for (reason, message, warns) in plan.events {
            if warns {
                self.events.warning(job.as_ref(), reason, message);
            } else {
                self.events.normal(job.as_ref(), reason, message);
            }
        }
        if is_over(&next) {
            self.forget_failures(&job);
        }
        Ok(plan.next)
    }
}

impl Controller for Jobs {
    const NAME: &'static str = "job";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        self.release_strays(key).await?;
        let Some(job) = self.jobs.get(key) else {
            return Ok(None);
        };
        let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
        if manager.is_some_and(|manager| manager != CONTROLLER_NAME) {
            return Ok(None);
        }
        self.sync(job).await
    }
}

fn is_tracked(pod: &Pod) -> bool {
    pod.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Adds the pod's index to the completed ones; says whether it was new.
fn add_index(job: &Job, status: &mut k8s_openapi::api::batch::v1::JobStatus, pod: &Pod) -> bool {
    let completions = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(0);
    let mut done = indexes::parse(status.completed_indexes.as_deref().unwrap_or_default());
    let index = index_of(pod).filter(|index| (0..completions).contains(index));
    let added = index.is_some_and(|index| done.insert(index));
    if added {
        status.completed_indexes = Some(indexes::format(&done));
        status.succeeded = i32::try_from(done.len()).ok();
    }
    added
}

/// When the last of the pod's containers ended, or when its deletion was asked for.
fn finished_at(pod: &Pod) -> Option<jiff::Timestamp> {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let ends = statuses.into_iter().flatten().filter_map(|container| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        Some(terminated.finished_at.as_ref()?.0)
    });
    ends.max().or_else(|| {
        // The timestamp is when the grace period ends.
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let deletion = pod.metadata.deletion_timestamp.as_ref()?.0;
        Some(deletion - jiff::SignedDuration::from_secs(grace))
    })
}

fn new_pod(job: &Job, index: Option<i32>) -> Pod {
    let Some(spec) = &job.spec else {
        return Pod::default();
    };
    let namespace = job.namespace().unwrap_or_default();
    let mut pod = from_template(&spec.template, &namespace, controller_reference(job));
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    for (label, value) in [
        ("job-name", &name),
        (JOB_NAME, &name),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ] {
        pod.labels_mut()
            .entry(label.to_owned())
            .or_insert_with(|| value.clone());
    }
    pod.finalizers_mut().push(FINALIZER.to_owned());
    pod.metadata.generate_name = Some(name_prefix(&name));
    if let Some(index) = index {
        pod.metadata.generate_name = Some(name_prefix(&format!("{name}-{index}")));
        pod.annotations_mut().insert(INDEX.to_owned(), index.to_string());
        pod.labels_mut().insert(INDEX.to_owned(), index.to_string());
        let spec = pod.spec.get_or_insert_default();
        spec.hostname.get_or_insert_with(|| format!("{name}-{index}"));
        let containers = spec
            .containers
            .iter_mut()
            .chain(spec.init_containers.iter_mut().flatten());
        for container in containers {
            let env = container.env.get_or_insert_default();
            if env.iter().all(|variable| variable.name != "JOB_COMPLETION_INDEX") {
                env.push(index_variable());
            }
        }
    }
    pod
}

fn index_variable() -> EnvVar {
    EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
