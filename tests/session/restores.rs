//! Restores: what runs, what is refused, what is paused.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kubestash::api::{
    conditions::restore_session as types,
    core::{BackupConfiguration, RestorePhase, RestoreSession},
};
use serde_json::{Value, json};

use super::{
    counting::Meter,
    world::{End, World, create, made_for, says},
};

/// Creates a RestoreSession of the latest backup of `bc`.
pub(super) async fn restore_of(world: &World, name: &str, change: impl FnOnce(&mut Value)) {
    let mut object = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"target": {"apiGroup": "apps", "kind": "StatefulSet", "name": "db", "namespace": "demo"},
            "dataSource": {"repository": "repo", "snapshot": "latest"},
            "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup-restore"}]}}});
    change(&mut object);
    create(&world.client, object).await;
}

/// A world with one backup in it.
pub(super) async fn backed_up() -> (World, super::world::Tasks) {
    let world = World::new().await;
    let operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|_| {}).await;
    let initial = world.initial().await;
    world
        .wait::<kubestash::api::core::BackupSession>(&initial, |_| true)
        .await;
    world.finished(&initial).await;
    (world, operator)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pod_gets_its_own_data_back_and_backups_rest_meanwhile() {
    let (world, _operator) = backed_up().await;
    world.ends("back-pod-1", End::Never);
    restore_of(&world, "back", |_| {}).await;
    let paused = |it: &BackupConfiguration| it.spec.paused;
    world.wait::<BackupConfiguration>("bc", paused).await;
    let running = |it: &RestoreSession| {
        let one = it.status.as_ref().and_then(|s| s.components.get("dump-pod-0"));
        one.is_some_and(|c| c.phase == Some(RestorePhase::Succeeded))
    };
    world.wait::<RestoreSession>("back", running).await;
    world.ends("back-pod-1", End::Success);
    world.touch("back-pod-1").await;
    let status = world.restored("back").await.status.unwrap();
    assert_eq!(status.phase, Some(RestorePhase::Succeeded), "{status:#?}");
    assert_eq!(
        (status.target_found, status.total_components),
        (Some(true), Some(2))
    );
    let bc: BackupConfiguration = world.api().get("bc").await.unwrap();
    assert!(!bc.spec.paused, "resumed");
    let jobs = world.api::<Job>().list(&made_for("back")).await.unwrap();
    let mut names: Vec<_> = jobs.items.iter().map(ResourceExt::name_any).collect();
    names.sort();
    assert_eq!(names, ["back-pod-0", "back-pod-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_paused_by_the_user_stays_paused() {
    let (world, _operator) = backed_up().await;
    let patch = json!({"spec": {"paused": true}});
    let api = world.api::<BackupConfiguration>();
    api.patch("bc", &Default::default(), &kube::api::Patch::Merge(patch))
        .await
        .unwrap();
    restore_of(&world, "back", |rs| {
        rs["spec"]["dataSource"]["components"] = json!(["dump-pod-0"]);
    })
    .await;
    let status = world.restored("back").await.status.unwrap();
    assert_eq!(
        (status.phase, status.total_components),
        (Some(RestorePhase::Succeeded), Some(1))
    );
    assert!(api.get("bc").await.unwrap().spec.paused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_restore_fails_with_its_reason() {
    let (world, _operator) = backed_up().await;
    world.ends("back-pod-0", End::Crash);
    restore_of(&world, "back", |_| {}).await;
    let status = world.restored("back").await.status.unwrap();
    assert_eq!(status.phase, Some(RestorePhase::Failed));
    let why = says(&status.conditions, types::RESTORE_INCOMPLETE);
    assert!(
        why.starts_with("True RestoreExecutorTerminatedBeforeCompletion") && why.contains("OOMKilled"),
        "{why}"
    );
    assert_eq!(
        status.components["dump-pod-1"].phase,
        Some(RestorePhase::Succeeded),
        "what succeeded is still said to have"
    );
    assert!(
        !world
            .api::<BackupConfiguration>()
            .get("bc")
            .await
            .unwrap()
            .spec
            .paused
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_right_is_invalid() {
    let (world, _operator) = backed_up().await;
    let cases: [(&str, Value, &str); 6] = [
        (
            "component",
            json!({"dataSource": {"components": ["dump-pod-9"]}}),
            "has no component \"dump-pod-9\"",
        ),
        (
            "snapshot",
            json!({"dataSource": {"snapshot": "gone"}}),
            "Snapshot \"demo/gone\" not found",
        ),
        (
            "repository",
            json!({"dataSource": {"repository": "gone"}}),
            "Repository \"demo/gone\" not found",
        ),
        (
            "addon",
            json!({"addon": {"name": "gone"}}),
            "Addon \"gone\" not found",
        ),
        (
            "task",
            json!({"addon": {"tasks": [{"name": "gone"}]}}),
            "has no task \"gone\"",
        ),
        (
            "kind",
            json!({"target": {"apiGroup": null, "kind": "PersistentVolumeClaim", "name": "data-db-0"}}),
            "another kind of application",
        ),
    ];
    for (name, change, expected) in cases {
        restore_of(&world, name, |rs| json_patch::merge(&mut rs["spec"], &change)).await;
        let status = world.restored(name).await.status.unwrap();
        assert_eq!(status.phase, Some(RestorePhase::Invalid), "{name}");
        let why = says(&status.conditions, types::VALIDATION_PASSED);
        assert!(
            why.starts_with("False ResourceValidationFailed") && why.contains(expected),
            "{name}: {why}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_target_is_waited_for_until_the_deadline() {
    let (world, _operator) = backed_up().await;
    restore_of(&world, "back", |rs| {
        rs["spec"]["target"]["name"] = json!("gone");
        rs["spec"]["restoreTimeout"] = json!("1s");
    })
    .await;
    let waiting = |it: &RestoreSession| it.status.as_ref().is_some_and(|s| s.target_found == Some(false));
    world.wait::<RestoreSession>("back", waiting).await;
    let status = world.restored("back").await.status.unwrap();
    assert_eq!(status.phase, Some(RestorePhase::Failed));
    assert!(says(&status.conditions, types::RESTORE_EXECUTOR_ENSURED).contains("deadline exceeded"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_running_restore_resumes_what_it_paused() {
    let (world, _operator) = backed_up().await;
    world.ends("back-pod", End::Never);
    restore_of(&world, "back", |_| {}).await;
    world.wait::<BackupConfiguration>("bc", |it| it.spec.paused).await;
    world
        .api::<RestoreSession>()
        .delete("back", &Default::default())
        .await
        .unwrap();
    world
        .wait::<BackupConfiguration>("bc", |it| !it.spec.paused)
        .await;
    let gone = kube::runtime::wait::await_condition(
        world.api::<RestoreSession>(),
        "back",
        |s: Option<&RestoreSession>| s.is_none(),
    );
    Box::pin(tokio::time::timeout(std::time::Duration::from_secs(10), gone))
        .await
        .unwrap()
        .unwrap();
    assert!(
        world
            .api::<Job>()
            .list(&made_for("back"))
            .await
            .unwrap()
            .items
            .is_empty()
    );
}
