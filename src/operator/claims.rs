//! Claims that somebody deletes go, although a Job of ours once mounted them.
//!
//! Kubernetes keeps a claim as `Terminating` as long as any pod names it that was given a node: that the pod has ended
//! does not matter. The pods of our ended Jobs stay for their logs until the session leaves the history, which may be
//! weeks. So when a claim is going, the ended Jobs that name it go at once, as soon as their session is over: what they
//! said last is in the session's status. Jobs that still run keep their claim, as everybody else's do.
//!
//! Nothing is asked while no claim is going: the operator watches claims by their metadata alone.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};

use super::executor::{self, JobPhase};
use super::{Context, Error, lookup, watch};
use crate::api::core::{BackupSession, RestoreSession};
use crate::api::labels::{self, component};
use crate::decide::{backup, restore, volumes};

/// How often a claim is looked at that a Job still holds.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Lets claims go until the context stops.
pub async fn run(ctx: Arc<Context>) {
    let mut changes = pin!(watch::metadata::<PersistentVolumeClaim>(
        &ctx,
        watcher::Config::default()
    ));
    let mut going: BTreeSet<(String, String)> = BTreeSet::new();
    loop {
        tokio::select! {
            () = ctx.stopped() => return,
            change = changes.next() => match change {
                Some(Ok(claim)) if claim.metadata.deletion_timestamp.is_some() => {
                    going.insert((claim.namespace().unwrap_or_default(), claim.name_any()));
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => {
                    tracing::debug!(%error, "claims cannot be watched; again");
                    continue;
                }
                None => return,
            },
            () = tokio::time::sleep(LOOK_AGAIN), if !going.is_empty() => {}
        }
        let mut held = BTreeSet::new();
        for (namespace, name) in going {
            match let_go(&ctx, &namespace, &name).await {
                Ok(true) => {}
                Ok(false) => drop(held.insert((namespace, name))),
                Err(error) => {
                    tracing::warn!(%error, namespace, name, "a claim that is going may still be held by ended Jobs");
                    held.insert((namespace, name));
                }
            }
        }
        going = held;
    }
}

/// Removes the ended Jobs that hold the claim. True when none of ours is left.
async fn let_go(ctx: &Context, namespace: &str, name: &str) -> Result<bool, Error> {
    let claim = lookup::get::<PersistentVolumeClaim>(&ctx.client, namespace, name).await?;
    if claim.is_none_or(|claim| claim.metadata.deletion_timestamp.is_none()) {
        return Ok(true);
    }
    let of_sessions = [
        component::BACKUP,
        component::RESTORE,
        component::RETENTION_POLICY,
        component::HOOK,
    ];
    let selector = format!(
        "{}={},{} in ({})",
        labels::MANAGED_BY,
        labels::MANAGED_BY_KUBESTASH,
        labels::COMPONENT,
        of_sessions.join(",")
    );
    let api: Api<Job> = Api::namespaced(ctx.client.clone(), namespace);
    let jobs = lookup::list(&api, ListParams::default().labels(&selector)).await?;
    let mut left = false;
    for job in jobs.iter().filter(|job| names(job, name)) {
        if executor::phase(job) == JobPhase::Active || in_session(ctx, job).await? {
            left = true;
            continue;
        }
        tracing::info!(
            job = job.name_any(),
            namespace,
            claim = name,
            "removed: its claim is being deleted"
        );
        ctx.applier.delete_object(job).await?;
    }
    Ok(!left)
}

/// Whether the Job's pods mount the claim.
fn names(job: &Job, claim: &str) -> bool {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let mounted = pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default();
    volumes::claims(mounted).iter().any(|name| name == claim)
}

/// Whether the Job's session is not over yet, and may still ask how the Job ended.
async fn in_session(ctx: &Context, job: &Job) -> Result<bool, Error> {
    let Some((namespace, name)) = job
        .annotations()
        .get(watch::INVOKER)
        .and_then(|invoker| invoker.split_once('/'))
    else {
        return Ok(false);
    };
    let of_backup = lookup::get::<BackupSession>(&ctx.client, namespace, name).await?;
    if of_backup.is_some_and(|session| !backup::finished(&session)) {
        return Ok(true);
    }
    let of_restore = lookup::get::<RestoreSession>(&ctx.client, namespace, name).await?;
    Ok(of_restore.is_some_and(|session| !restore::finished(&session)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_names_the_claims_that_its_pods_mount() {
        let job: Job = serde_json::from_value(json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
            "containers": [{"name": "c"}], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "t", "emptyDir": {}}]}}}}))
        .unwrap();
        assert!(names(&job, "data") && !names(&job, "t") && !names(&Job::default(), "data"));
    }
}
