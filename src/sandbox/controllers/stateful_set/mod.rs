//! StatefulSets: pods with stable names and claims, made, updated and taken away in order.

mod decide;
mod member;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube::ResourceExt;

use decide::{Action, Revisions};

use super::claim::claim;
use super::engine::{
    Controller, Error, Informer, Key, Next, Queue, Recorder, controller_reference, is_terminating, now,
};
use super::revisions::{self, Owner};

/// The controller of StatefulSets.
pub(super) struct StatefulSets {
    sets: Arc<Informer<StatefulSet>>,
    pods: Arc<Informer<Pod>>,
    claims: Arc<Informer<PersistentVolumeClaim>>,
    revisions: Arc<Informer<ControllerRevision>>,
    events: Recorder,
}

impl StatefulSets {
    /// Listens to StatefulSets and pods; returns the controller and its queue.
    pub(super) fn new(
        sets: &Arc<Informer<StatefulSet>>,
        pods: &Arc<Informer<Pod>>,
        claims: &Arc<Informer<PersistentVolumeClaim>>,
        revisions: &Arc<Informer<ControllerRevision>>,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        sets.on_change(move |old, new| {
            if let Some(set) = new.or(old) {
                inbox.add(Key::of(set.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        let known = Arc::clone(sets);
        pods.on_change(move |old, new| {
            for pod in [old, new].into_iter().flatten() {
                if let Some(key) = Key::of_controller(pod.as_ref(), "StatefulSet") {
                    inbox.add(key);
                } else if let Some((set, _)) = pod.name_any().rsplit_once('-') {
                    // An orphan with a member's name: it may be adopted.
                    let key = Key::new(pod.namespace().unwrap_or_default(), set);
                    if known.get(&key).is_some() {
                        inbox.add(key);
                    }
                }
            }
        });
        let controller = Self {
            sets: Arc::clone(sets),
            pods: Arc::clone(pods),
            claims: Arc::clone(claims),
            revisions: Arc::clone(revisions),
            events: events.of("statefulset-controller"),
        };
        (controller, queue)
    }

    async fn ensure_claims(&self, set: &StatefulSet, ordinal: i32) -> Result<(), Error> {
        for mut claim in member::claims(set, ordinal) {
            let key = Key::of(&claim);
            if self.claims.get(&key).is_some() {
                continue;
            }
            let owners = member::claim_owners(set, None, false, &[]);
            claim.metadata.owner_references = Some(owners).filter(|owners| !owners.is_empty());
            let (name, pod) = (claim.name_any(), format!("{}-{ordinal}", set.name_any()));
            match self.claims.create(&claim).await {
                Ok(_) => {
                    let message = format!(
                        "create Claim {name} Pod {pod} in StatefulSet {} success",
                        set.name_any()
                    );
                    self.events.normal(set, "SuccessfulCreate", message);
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn act(&self, set: &StatefulSet, action: Action) -> Result<(), Error> {
        match action {
            Action::Create { ordinal, revision } => {
                self.ensure_claims(set, ordinal).await?;
                let template = self.template(set, &revision);
                let pod = member::pod(set, ordinal, &template, &revision);
                match self.pods.create(&pod).await {
                    Ok(_) => {}
                    // A namesake is in the way; it is ours after adoption, or it must go first.
                    Err(error) if error.is_conflict() => return Ok(()),
                    Err(error) => {
                        let message = format!(
                            "create Pod {} in StatefulSet {} failed error: {error}",
                            pod.name_any(),
                            set.name_any()
                        );
                        self.events.warning(set, "FailedCreate", message);
                        return Err(error);
                    }
                }
                let message = format!(
                    "create Pod {} in StatefulSet {} successful",
                    pod.name_any(),
                    set.name_any()
                );
                self.events.normal(set, "SuccessfulCreate", message);
            }
            Action::Delete(pod) => {
                self.pods.delete(&pod, None).await?;
                let message = format!(
                    "delete Pod {} in StatefulSet {} successful",
                    pod.name_any(),
                    set.name_any()
                );
                self.events.normal(set, "SuccessfulDelete", message);
            }
        }
        Ok(())
    }

    fn template(&self, set: &StatefulSet, revision: &str) -> PodTemplateSpec {
        let key = Key::new(set.namespace().unwrap_or_default(), revision);
        let kept = self
            .revisions
            .get(&key)
            .and_then(|revision| revisions::template(&revision));
        kept.unwrap_or_else(|| set.spec.template.clone())
    }

    /// Gives the claims of all members the owners the retention policy asks for, before any pod is deleted.
    async fn keep_claim_owners(&self, set: &StatefulSet, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let spec = &set.spec;
        for pod in pods {
            let Some(ordinal) = decide::ordinal(&set.name_any(), &pod.name_any()) else {
                continue;
            };
            let condemned = !decide::range(spec).contains(&ordinal);
            for name in member::claim_names(set, ordinal) {
                let Some(claim) = self
                    .claims
                    .get(&Key::new(set.namespace().unwrap_or_default(), name))
                else {
                    continue;
                };
                let owners = member::claim_owners(set, Some(pod), condemned, claim.owner_references());
                if owners != claim.owner_references() {
                    let mut kept = claim.as_ref().clone();
                    kept.metadata.owner_references = Some(owners).filter(|owners| !owners.is_empty());
                    self.claims.update(&claim, &kept).await?;
                }
            }
        }
        Ok(())
    }

    async fn sync(&self, set: &StatefulSet, pods: &[Arc<Pod>]) -> Result<Next, Error> {
        let (name, namespace) = (set.name_any(), set.namespace().unwrap_or_default());
        let template = set.spec.template.clone();
        let reference = controller_reference(set);
        let uid = reference.uid.clone();
        let owner = Owner {
            namespace: &namespace,
            name: &name,
            reference,
            template: &template,
        };
        let update = revisions::newest(&self.revisions, &owner).await?.name_any();
        let before = set
            .status
            .as_ref()
            .and_then(|status| status.current_revision.clone());
        let before = before.filter(|before| self.revisions.get(&Key::new(&namespace, before)).is_some());
        let names = Revisions {
            current: before.unwrap_or_else(|| update.clone()),
            update,
        };
        self.keep_claim_owners(set, pods).await?;
        let plan = decide::decide(set, pods, &names, &now());
        let mut outcome = Ok(());
        for action in plan.actions {
            outcome = outcome.and(self.act(set, action).await);
        }
        let pods = self.pods.controlled_by(&uid);
        let plan = decide::decide(set, &pods, &names, &now());
        let mut written = set.clone();
        written.status = Some(plan.status);
        self.sets.update_status(set, &written).await?;
        let mut in_use: Vec<_> = pods
            .iter()
            .map(|pod| super::pods::label(pod, revisions::LABEL).to_owned())
            .collect();
        in_use.extend([names.current, names.update]);
        let limit = set.spec.revision_history_limit.unwrap_or(10);
        revisions::trim(&self.revisions, &uid, limit, &in_use).await?;
        outcome.map(|()| plan.next)
    }
}

impl Controller for StatefulSets {
    const NAME: &'static str = "statefulset";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(set) = self.sets.get(key) else {
            return Ok(None);
        };
        let selector = Some(&set.spec.selector);
        let reference = controller_reference(set.as_ref());
        let terminating = is_terminating(set.as_ref());
        let own = claim(&self.pods, &key.namespace, selector, &reference, terminating).await?;
        if terminating {
            return Ok(None);
        }
        self.sync(&set, &own).await
    }
}
