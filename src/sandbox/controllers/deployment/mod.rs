//! Deployments: one ReplicaSet per pod template, moved over from old to new step by step.

mod rolling;
mod sets;
mod status;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PropagationPolicy;

use rolling::{Resize, actual, recreates, size, tolerances, wanted};
use sets::{
    REVISION, REVISIONS, handed_down, new_set, next_revision, note_size, revision, same_template,
    template_hash,
};
use status::Newest;

use super::claim::claim;
use super::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, controller_reference, is_terminating, now,
};
use super::pods::is_finished;

/// The controller of Deployments.
pub(super) struct Deployments {
    deployments: Arc<Informer<Deployment>>,
    sets: Arc<Informer<ReplicaSet>>,
    pods: Arc<Informer<Pod>>,
    events: Recorder,
}

impl Deployments {
    /// Listens to Deployments, ReplicaSets and pods; returns the controller and its queue.
    pub(super) fn new(
        deployments: &Arc<Informer<Deployment>>,
        sets: &Arc<Informer<ReplicaSet>>,
        pods: &Arc<Informer<Pod>>,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        deployments.on_change(move |old, new| {
            if let Some(deployment) = new.or(old) {
                inbox.add(Key::of(deployment.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        sets.on_change(move |old, new| {
            for set in [old, new].into_iter().flatten() {
                inbox_of(&inbox, set);
            }
        });
        // A Deployment that recreates waits for its last old pod to go.
        let inbox = Arc::clone(&queue);
        let known = Arc::clone(sets);
        pods.on_change(move |old, new| {
            if let (Some(pod), None) = (old, new)
                && let Some(key) = Key::of_controller(pod.as_ref(), "ReplicaSet")
                && let Some(set) = known.get(&key)
            {
                inbox_of(&inbox, &set);
            }
        });
        let controller = Self {
            deployments: Arc::clone(deployments),
            sets: Arc::clone(sets),
            pods: Arc::clone(pods),
            events: events.of("deployment-controller"),
        };
        (controller, queue)
    }

    /// Makes the ReplicaSet of the Deployment's present template.
    async fn make_newest(
        &self,
        deployment: &Deployment,
        old: &[Arc<ReplicaSet>],
    ) -> Result<Arc<ReplicaSet>, Error> {
        let hash = template_hash(deployment);
        let mut set = new_set(deployment, &hash, next_revision(old));
        let all: Vec<_> = old.to_vec();
        let room =
            wanted(deployment) + tolerances(deployment).0 - all.iter().map(|set| size(set)).sum::<i32>();
        let first = if recreates(deployment) {
            wanted(deployment)
        } else {
            room.clamp(0, wanted(deployment))
        };
        set.spec.replicas = Some(first);
        let created = match self.sets.create(&set).await {
            Err(error) if error.is_conflict() => self.collided(deployment, &set, error).await?,
            outcome => outcome?,
        };
        if first > 0 {
            self.tell_scaled(deployment, &created, 0, first);
        }
        Ok(created)
    }

    /// The name is taken: by our own set, which the cache did not know yet, or by another one, which is a collision
    /// of hashes.
    async fn collided(
        &self,
        deployment: &Deployment,
        set: &ReplicaSet,
        error: Error,
    ) -> Result<Arc<ReplicaSet>, Error> {
        let found = self.sets.fetch(&Key::of(set)).await?.ok_or(error)?;
        let owner = super::engine::controller_of(found.as_ref()).map(|owner| owner.uid.clone());
        if owner == deployment.uid() && same_template(deployment, &found) {
            return Ok(found);
        }
        let mut next = deployment.clone();
        let status = next.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.deployments.update_status(deployment, &next).await?;
        Err(Error::Other(format!("the name {} is taken", set.name_any())))
    }

    async fn resize(&self, deployment: &Deployment, set: &ReplicaSet, to: i32) -> Result<(), Error> {
        let from = size(set);
        let mut resized = set.clone();
        resized.spec.replicas = Some(to);
        note_size(deployment, &mut resized);
        self.sets.update(set, &resized).await?;
        if from != to {
            self.tell_scaled(deployment, set, from, to);
        }
        Ok(())
    }

    fn tell_scaled(&self, deployment: &Deployment, set: &ReplicaSet, from: i32, to: i32) {
        let direction = if to > from { "up" } else { "down" };
        let message = format!(
            "Scaled {direction} replica set {} from {from} to {to}",
            set.name_any()
        );
        self.events.normal(deployment, "ScalingReplicaSet", message);
    }

    async fn resize_all(&self, deployment: &Deployment, resized: Vec<Resize>) -> Result<(), Error> {
        for (set, to) in resized {
            self.resize(deployment, &set, to).await?;
        }
        Ok(())
    }

    /// One step of the rollout. Returns the newest set once it exists.
    async fn step(
        &self,
        deployment: &Arc<Deployment>,
        all: &[Arc<ReplicaSet>],
    ) -> Result<Option<Newest>, Error> {
        let newest = all.iter().find(|set| same_template(deployment, set)).cloned();
        let old: Vec<_> = all
            .iter()
            .filter(|set| newest.as_ref().is_none_or(|newest| newest.uid() != set.uid()))
            .cloned()
            .collect();
        let paused = deployment.spec.paused == Some(true);
        if paused || rolling::was_resized(deployment, all) {
            let resized = rolling::share_out(deployment, newest.as_ref(), &old);
            self.resize_all(deployment, resized).await?;
            return Ok(newest.map(|_| Newest::Found));
        }
        if recreates(deployment) {
            let still: Vec<_> = old
                .iter()
                .filter(|set| size(set) > 0)
                .map(|set| (Arc::clone(set), 0))
                .collect();
            let any = !still.is_empty();
            self.resize_all(deployment, still).await?;
            let runs = |set: &Arc<ReplicaSet>| {
                let pods = self.pods.controlled_by(&set.uid().unwrap_or_default());
                pods.iter().any(|pod| !is_finished(pod))
            };
            if any || old.iter().any(runs) {
                return Ok(newest.map(|_| Newest::Found));
            }
        }
        let Some(newest) = newest else {
            self.make_newest(deployment, &old).await?;
            return Ok(Some(Newest::Created));
        };
        self.keep_revision(deployment, &newest, &old).await?;
        let newest = self.sets.get(&Key::of(newest.as_ref())).unwrap_or(newest);
        let to = rolling::newest_size(deployment, &newest, all);
        if to != size(&newest) {
            self.resize(deployment, &newest, to).await?;
        } else if !recreates(deployment) {
            let shrunk = rolling::shrink_old(deployment, &newest, &old);
            self.resize_all(deployment, shrunk).await?;
        }
        Ok(Some(Newest::Found))
    }

    /// The newest set carries the highest revision, also when it is an old one that came back (`rollout undo`), and
    /// the annotations of its Deployment.
    async fn keep_revision(
        &self,
        deployment: &Deployment,
        newest: &ReplicaSet,
        old: &[Arc<ReplicaSet>],
    ) -> Result<(), Error> {
        let mut kept = newest.clone();
        let next = next_revision(old);
        let known = revision(newest);
        if known < next {
            let annotations = kept.annotations_mut();
            if let Some(before) = annotations.insert(REVISION.to_owned(), next.to_string()) {
                let history = annotations.entry(REVISIONS.to_owned()).or_default();
                *history = if history.is_empty() {
                    before
                } else {
                    format!("{history},{before}")
                };
            }
        }
        kept.annotations_mut().extend(handed_down(deployment));
        note_size(deployment, &mut kept);
        self.sets.update(newest, &kept).await
    }

    /// Deletes empty old sets beyond the history the Deployment keeps.
    async fn clean_up(&self, deployment: &Deployment, old: &[Arc<ReplicaSet>]) -> Result<(), Error> {
        let limit = deployment.spec.revision_history_limit.unwrap_or(10);
        let limit = usize::try_from(limit).unwrap_or(0);
        let mut empty: Vec<_> = old
            .iter()
            .filter(|set| size(set) == 0 && actual(set) == 0 && !is_terminating(set.as_ref()))
            .collect();
        empty.sort_by_key(|set| revision(set));
        for set in &empty[..empty.len().saturating_sub(limit)] {
            self.sets.delete(set, Some(PropagationPolicy::Background)).await?;
        }
        Ok(())
    }

    async fn write_status(
        &self,
        deployment: &Deployment,
        uid: &str,
        step: Option<Newest>,
    ) -> Result<Next, Error> {
        let all = self.sets.controlled_by(uid);
        let newest = all.iter().find(|set| same_template(deployment, set));
        let revised = newest.and_then(|set| set.annotations().get(REVISION));
        if let Some(revised) =
            revised.filter(|revised| deployment.annotations().get(REVISION) != Some(revised))
        {
            let mut annotated = deployment.clone();
            annotated
                .annotations_mut()
                .insert(REVISION.to_owned(), revised.clone());
            self.deployments.update(deployment, &annotated).await?;
        }
        let deployment = self
            .deployments
            .get(&Key::of(deployment))
            .unwrap_or_else(|| Arc::new(deployment.clone()));
        let newest = newest.map(|set| (set, step.unwrap_or(Newest::Found)));
        let (status, next) = status::status(&deployment, newest, &all, &now());
        if status::is_complete(&deployment, &status) || wanted(&deployment) == 0 {
            let old: Vec<_> = all
                .iter()
                .filter(|set| newest.is_none_or(|(newest, _)| newest.uid() != set.uid()))
                .cloned()
                .collect();
            self.clean_up(&deployment, &old).await?;
        }
        let mut written = deployment.as_ref().clone();
        written.status = Some(status);
        self.deployments.update_status(&deployment, &written).await?;
        Ok(next)
    }
}

impl Controller for Deployments {
    const NAME: &'static str = "deployment";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(deployment) = self.deployments.get(key) else {
            return Ok(None);
        };
        let selector = Some(&deployment.spec.selector);
        let reference = controller_reference(deployment.as_ref());
        let terminating = is_terminating(deployment.as_ref());
        let all = claim(&self.sets, &key.namespace, selector, &reference, terminating).await?;
        let step = if terminating {
            None
        } else {
            self.step(&deployment, &all).await?
        };
        self.write_status(&deployment, &reference.uid, step).await
    }
}

fn inbox_of(inbox: &Queue, set: &ReplicaSet) {
    if let Some(key) = Key::of_controller(set, "Deployment") {
        inbox.add(key);
    }
}
