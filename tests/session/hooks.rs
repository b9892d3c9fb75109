//! Hooks of sessions: before the work, after it, and what becomes of a session whose hook fails.

use k8s_openapi::api::{batch::v1::Job, core::v1::ServiceAccount, rbac::v1::RoleBinding};
use kube::ResourceExt;
use kubestash::api::{
    conditions::{backup_session as backup_types, restore_session as restore_types},
    core::{BackupConfiguration, BackupSession, BackupSessionPhase, RestorePhase, RestoreSession},
    shared::{HookExecution, HookExecutionPhase},
    storage::Snapshot,
};
use serde_json::{Value, json};

use super::{
    counting::Meter,
    restores::{backed_up, restore_of},
    world::{End, Tasks, World, made_for, says},
};

/// A world whose configuration has these hooks.
async fn with_hooks(hooks: Value) -> (World, Tasks) {
    let world = World::new().await;
    world.hook_templates().await;
    let operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world
        .configure(|bc| bc["spec"]["sessions"][0]["hooks"] = hooks)
        .await;
    (world, operator)
}

fn lines(entries: &[HookExecution]) -> Vec<(&str, HookExecutionPhase)> {
    entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.phase.unwrap_or_default()))
        .collect()
}

use HookExecutionPhase::{Failed, Pending, Succeeded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_backed_up_before_the_hook_before_it_has_ended() {
    let (world, _operator) = with_hooks(json!({
        "preBackup": [{"name": "freeze", "hookTemplate": {"name": "enter"}, "params": {"mode": "fast"}}],
        "postBackup": [
            {"name": "thaw", "hookTemplate": {"name": "knock"}, "executionPolicy": "OnSuccess"},
            {"name": "alarm", "hookTemplate": {"name": "knock"}, "executionPolicy": "OnFailure"}]}))
    .await;
    world.ends("-pre-0", End::Never);
    let name = world.initial().await;
    let hook = format!("hook-backup-{name}-pre-0-0");
    let job = world.wait::<Job>(&hook, |_| true).await;
    assert_eq!(job.labels()["app.kubernetes.io/component"], "kubestash-hook");
    let pending = |s: &BackupSession| {
        let hooks = s.status.as_ref().and_then(|status| status.hooks.clone());
        hooks.is_some_and(|hooks| lines(&hooks.pre_hooks) == [("freeze", Pending)])
    };
    world.wait::<BackupSession>(&name, pending).await;
    let snapshots = world.api::<Snapshot>().list(&Default::default()).await.unwrap();
    assert!(snapshots.items.is_empty(), "the application is not frozen yet");
    let binding = world
        .api::<RoleBinding>()
        .get(&format!("hook-backup-{name}"))
        .await
        .unwrap();
    assert_eq!(
        binding.role_ref.name, "kubestash-hook-job",
        "a hook that enters pods may do so"
    );

    world.ends("-pre-0", End::Success);
    world.touch(&hook).await;
    let session = world.finished(&name).await;
    let status = session.status.clone().unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Succeeded), "{status:#?}");
    for type_ in [
        backup_types::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
        backup_types::POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
    ] {
        assert!(
            says(&status.conditions, type_).starts_with("True Successfully"),
            "{status:#?}"
        );
    }
    let hooks = status.hooks.unwrap();
    assert_eq!(lines(&hooks.pre_hooks), [("freeze", Succeeded)]);
    assert_eq!(
        lines(&hooks.post_hooks),
        [("thaw", Succeeded)],
        "nothing failed: no alarm"
    );

    world
        .api::<BackupSession>()
        .delete(&name, &Default::default())
        .await
        .unwrap();
    let gone = kube::runtime::wait::await_condition(
        world.api::<BackupSession>(),
        &name,
        |s: Option<&BackupSession>| s.is_none(),
    );
    tokio::time::timeout(std::time::Duration::from_secs(10), gone)
        .await
        .unwrap()
        .unwrap();
    assert!(
        world
            .api::<Job>()
            .list(&made_for(&name))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        world
            .api::<ServiceAccount>()
            .get_opt(&format!("hook-backup-{name}"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        world
            .api::<RoleBinding>()
            .get_opt(&format!("hook-backup-{name}"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_fails_before_the_backup_is_retried_and_then_there_is_no_backup() {
    let (world, _operator) = with_hooks(json!({
        "preBackup": [
            {"name": "freeze", "hookTemplate": {"name": "knock"}, "maxRetry": 1},
            {"name": "never", "hookTemplate": {"name": "knock"}}],
        "postBackup": [
            {"name": "thaw", "hookTemplate": {"name": "knock"}},
            {"name": "cheer", "hookTemplate": {"name": "knock"}, "executionPolicy": "OnSuccess"},
            {"name": "alarm", "hookTemplate": {"name": "knock"}, "executionPolicy": "OnFailure"}]}))
    .await;
    world.ends("-pre-0", End::Crash);
    let name = world.initial().await;
    world.wait::<BackupSession>(&name, |_| true).await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let why = says(
        &status.conditions,
        backup_types::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
    );
    assert!(
        why.starts_with("False FailedToExecutePreBackupHooks: hook \"freeze\": failed 2 times")
            && why.contains("OOMKilled"),
        "{why}"
    );
    let hooks = status.hooks.unwrap();
    assert_eq!(lines(&hooks.pre_hooks), [("freeze", Failed), ("never", Pending)]);
    assert_eq!(
        lines(&hooks.post_hooks),
        [("thaw", Succeeded), ("alarm", Succeeded)]
    );
    let snapshots = world.api::<Snapshot>().list(&Default::default()).await.unwrap();
    assert!(snapshots.items.is_empty());
    let jobs = world.api::<Job>().list(&made_for(&name)).await.unwrap();
    let mut names: Vec<_> = jobs.items.iter().map(ResourceExt::name_any).collect();
    names.sort();
    let expected =
        ["post-0-0", "post-2-0", "pre-0-0", "pre-0-1"].map(|end| format!("hook-backup-{name}-{end}"));
    assert_eq!(names, expected);
    let bindings = world
        .api::<RoleBinding>()
        .get_opt(&format!("hook-backup-{name}"))
        .await
        .unwrap();
    assert!(bindings.is_none(), "hooks that enter no pod may do nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_fails_after_the_backup_fails_the_session_and_keeps_the_snapshot() {
    let (world, _operator) =
        with_hooks(json!({"postBackup": [{"name": "thaw", "hookTemplate": {"name": "knock"}}]})).await;
    world.ends("-post-0", End::Crash);
    let name = world.initial().await;
    world.wait::<BackupSession>(&name, |_| true).await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    assert!(
        says(
            &status.conditions,
            backup_types::POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED
        )
        .contains("hook \"thaw\""),
        "{status:#?}"
    );
    let snapshot = world
        .api::<Snapshot>()
        .get(&status.snapshots[0].name)
        .await
        .unwrap();
    assert_eq!(
        snapshot.status.unwrap().phase,
        Some(kubestash::api::storage::SnapshotPhase::Succeeded)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hook_lacks_is_named() {
    for (hook, expected) in [
        (
            json!({"name": "h", "hookTemplate": {"name": "gone"}}),
            "HookTemplate \"demo/gone\" not found",
        ),
        (
            json!({"name": "h", "hookTemplate": {"name": "enter"}}),
            "requires the parameter \"mode\"",
        ),
        (json!({"name": "h"}), "names no hookTemplate"),
    ] {
        let (world, _operator) = with_hooks(json!({"preBackup": [hook]})).await;
        let name = world.initial().await;
        world.wait::<BackupSession>(&name, |_| true).await;
        let status = world.finished(&name).await.status.unwrap();
        let why = says(
            &status.conditions,
            backup_types::PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
        );
        assert!(why.starts_with("False ") && why.contains(expected), "{why}");
        assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_has_hooks_around_it() {
    let (world, _operator) = backed_up().await;
    world.hook_templates().await;
    let hooks = json!({
        "preRestore": [{"name": "stop", "hookTemplate": {"name": "knock"}}],
        "postRestore": [{"name": "start", "hookTemplate": {"name": "knock"}}]});
    restore_of(&world, "back", |rs| rs["spec"]["hooks"] = hooks.clone()).await;
    let status = world.restored("back").await.status.unwrap();
    assert_eq!(status.phase, Some(RestorePhase::Succeeded), "{status:#?}");
    let ran = status.hooks.unwrap();
    assert_eq!(lines(&ran.pre_hooks), [("stop", Succeeded)]);
    assert_eq!(lines(&ran.post_hooks), [("start", Succeeded)]);

    world.ends("again-pre-0", End::Crash);
    restore_of(&world, "again", |rs| rs["spec"]["hooks"] = hooks.clone()).await;
    let status: RestoreSession = world.restored("again").await;
    let status = status.status.unwrap();
    assert_eq!(status.phase, Some(RestorePhase::Failed));
    let why = says(
        &status.conditions,
        restore_types::PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED,
    );
    assert!(why.contains("hook \"stop\""), "{why}");
    assert_eq!(lines(&status.hooks.unwrap().post_hooks), [("start", Succeeded)]);
    let jobs = world.api::<Job>().list(&made_for("again")).await.unwrap();
    assert!(
        jobs.items.iter().all(|job| job.name_any().starts_with("hook-")),
        "nothing was restored"
    );
    assert!(
        !world
            .api::<BackupConfiguration>()
            .get("bc")
            .await
            .unwrap()
            .spec
            .paused,
        "resumed"
    );
}

/// What the hook's Job was told.
async fn plan_of(world: &World, job: &str) -> kubestash::api::config::job_plan::HookPlan {
    let secret = world
        .api::<k8s_openapi::api::core::v1::Secret>()
        .get(job)
        .await
        .unwrap();
    match serde_json::from_slice(&secret.data.unwrap()["plan.json"].0).unwrap() {
        kubestash::api::config::job_plan::JobPlan::Hook(plan) => plan,
        other => panic!("{other:?}"),
    }
}

/// Hooks after the backup, one for every policy.
fn one_of_each() -> Value {
    json!([
        {"name": "thaw", "hookTemplate": {"name": "knock"}},
        {"name": "cheer", "hookTemplate": {"name": "knock"}, "executionPolicy": "OnSuccess"},
        {"name": "alarm", "hookTemplate": {"name": "knock"}, "executionPolicy": "OnFailure"}])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_after_a_backup_that_failed_are_told_why() {
    let (world, _operator) = with_hooks(json!({"postBackup": one_of_each()})).await;
    world.ends("-pod-", End::Reported("the disk is on fire"));
    let name = world.initial().await;
    world.wait::<BackupSession>(&name, |_| true).await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    assert_eq!(
        lines(&status.hooks.unwrap().post_hooks),
        [("thaw", Succeeded), ("alarm", Succeeded)]
    );
    let told = plan_of(&world, &format!("hook-backup-{name}-post-2-0"))
        .await
        .summary
        .status;
    assert_eq!(told.phase, "Failed");
    assert!(!told.error.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_after_a_cancelled_backup_run_as_after_a_failed_one() {
    let (world, _operator) = with_hooks(json!({"postBackup": one_of_each()})).await;
    world.ends("-pod-", End::Never);
    let name = world.initial().await;
    world.wait::<Job>(&format!("demo-{name}-pod-0"), |_| true).await;
    cancel(&world, &name).await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    assert_eq!(
        lines(&status.hooks.unwrap().post_hooks),
        [("thaw", Succeeded), ("alarm", Succeeded)],
        "what was put to rest before the backup wakes up again"
    );
    let told = plan_of(&world, &format!("hook-backup-{name}-post-0-0"))
        .await
        .summary
        .status;
    assert_eq!(told.phase, "Failed");
    assert!(told.error.contains("cancelled by a test"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_the_hook_that_runs_and_begins_no_backup() {
    let (world, _operator) = with_hooks(json!({
        "preBackup": [{"name": "freeze", "hookTemplate": {"name": "knock"}}], "postBackup": one_of_each()}))
    .await;
    world.ends("-pre-0", End::Never);
    let name = world.initial().await;
    world
        .wait::<Job>(&format!("hook-backup-{name}-pre-0-0"), |_| true)
        .await;
    cancel(&world, &name).await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed), "{status:#?}");
    assert_eq!(
        lines(&status.hooks.unwrap().post_hooks),
        [("thaw", Succeeded), ("alarm", Succeeded)]
    );
    let jobs = world.api::<Job>().list(&made_for(&name)).await.unwrap();
    let mut names: Vec<_> = jobs.items.iter().map(ResourceExt::name_any).collect();
    names.sort();
    let expected = ["post-0-0", "post-2-0"].map(|end| format!("hook-backup-{name}-{end}"));
    assert_eq!(names, expected, "neither the hook before nor a backup is left");
}

async fn cancel(world: &World, name: &str) {
    let why = json!({"metadata": {"annotations": {kubestash::decide::cancel::ANNOTATION: "by a test"}}});
    world
        .api::<BackupSession>()
        .patch(
            name,
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(why),
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_of_one_name_run_each_and_requests_have_their_parameters() {
    let world = World::new().await;
    super::world::create(
        &world.client,
        json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "HookTemplate", "metadata": {"name": "post", "namespace": "demo"},
            "spec": {"params": [{"name": "room", "required": true}, {"name": "sign", "default": "backup"}],
                "action": {"httpPost": {"host": "chat", "port": 80, "path": "/${room}",
                    "httpHeaders": [{"name": "X-Sign", "value": "${sign}"}],
                    "body": "{{ .Status.Phase }} of ${targetName} in ${room}"}},
                "executor": {"type": "Operator"}}}),
    )
    .await;
    super::world::create(
        &world.client,
        json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "HookTemplate", "metadata": {"name": "ask", "namespace": "demo"},
            "spec": {"action": {"httpGet": {"host": "chat", "port": 80, "path": "/${backupSession}"}},
                "executor": {"type": "Operator"}}}),
    )
    .await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world
        .configure(|bc| {
            bc["spec"]["sessions"][0]["hooks"] = json!({
                "preBackup": [{"name": "tell", "hookTemplate": {"name": "ask"}}],
                "postBackup": [
                    {"name": "tell", "hookTemplate": {"name": "post"}, "params": {"room": "ops"}},
                    {"name": "tell", "hookTemplate": {"name": "post"}, "params": {"room": "dev", "sign": "x"}}]});
        })
        .await;
    let name = world.initial().await;
    world.wait::<BackupSession>(&name, |_| true).await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Succeeded), "{status:#?}");
    assert_eq!(
        lines(&status.hooks.unwrap().post_hooks),
        [("tell", Succeeded), ("tell", Succeeded)]
    );
    let mut asked = Vec::new();
    for index in 0..2 {
        let plan = plan_of(&world, &format!("hook-backup-{name}-post-{index}-0")).await;
        let post = plan.action.http_post.unwrap();
        asked.push((
            post.path.unwrap(),
            post.http_headers[0].value.clone(),
            post.body.unwrap(),
        ));
    }
    let words = "{{ .Status.Phase }} of db in";
    assert_eq!(
        asked,
        [
            ("/ops".into(), "backup".into(), format!("{words} ops")),
            ("/dev".into(), "x".into(), format!("{words} dev")),
        ]
    );
    let get = plan_of(&world, &format!("hook-backup-{name}-pre-0-0")).await;
    assert_eq!(get.action.http_get.unwrap().path.unwrap(), format!("/{name}"));
}
