//! A claim that somebody deletes is not held by what has ended.

use k8s_openapi::api::{batch::v1::Job, core::v1::PersistentVolumeClaim};
use kube::api::{DeleteParams, Patch, PatchParams};
use kubestash::api::core::BackupSession;
use serde_json::json;

use super::{
    counting::Meter,
    world::{End, World, made_for},
};

/// Deletes the claim, which something else still holds, as Kubernetes' protection does.
async fn let_go(world: &World, claim: &str) {
    let claims = world.api::<PersistentVolumeClaim>();
    let held = json!({"metadata": {"finalizers": ["kubernetes.io/pvc-protection"]}});
    claims
        .patch(claim, &PatchParams::default(), &Patch::Merge(held))
        .await
        .unwrap();
    claims.delete(claim, &DeleteParams::default()).await.unwrap();
}

async fn gone(world: &World, job: &str) {
    let absent = |job: Option<&Job>| job.is_none();
    let gone = kube::runtime::wait::await_condition(world.api::<Job>(), job, absent);
    tokio::time::timeout(std::time::Duration::from_secs(20), gone)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_goes_takes_the_ended_jobs_that_name_it_along() {
    let world = World::new().await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|_| {}).await;
    let name = world.initial().await;
    world.wait::<BackupSession>(&name, |_| true).await;
    world.finished(&name).await;
    let job = format!("demo-{name}-pod-0");
    world.wait::<Job>(&job, |_| true).await;
    let_go(&world, "data-db-0").await;
    gone(&world, &job).await;
    // The Job of the other claim stays for its log.
    let left = world.api::<Job>().list(&made_for(&name)).await.unwrap();
    assert!(
        left.items
            .iter()
            .any(|job| job.metadata.name.as_deref() == Some(&format!("demo-{name}-pod-1"))),
        "{:?}",
        left.items
            .iter()
            .map(|job| &job.metadata.name)
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_runs_keeps_its_claim() {
    let world = World::new().await;
    world.ends("-pod-0", End::Never);
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|_| {}).await;
    let name = world.initial().await;
    let job = format!("demo-{name}-pod-0");
    let other = format!("demo-{name}-pod-1");
    world.wait::<Job>(&job, |_| true).await;
    // The other Job has ended, but the session may still ask how.
    let ended = |job: &Job| {
        job.status
            .as_ref()
            .is_some_and(|status| status.conditions.is_some())
    };
    world.wait::<Job>(&other, ended).await;
    let_go(&world, "data-db-0").await;
    let_go(&world, "data-db-1").await;
    // Something later that the operator does for certain: it has seen the claims then.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(world.api::<Job>().get_opt(&job).await.unwrap().is_some());
    assert!(world.api::<Job>().get_opt(&other).await.unwrap().is_some());
}
