//! From a BackupConfiguration to finished sessions: what exists, what the status says, what happens when things go wrong.

use k8s_openapi::api::{
    batch::v1::{CronJob, Job},
    core::v1::ServiceAccount,
    rbac::v1::RoleBinding,
};
use kube::{ResourceExt, api::PostParams};
use kubestash::{
    api::{
        conditions::backup_session as types,
        core::{
            BackupConfiguration, BackupConfigurationPhase, BackupSession, BackupSessionPhase,
            RetentionPolicyApplyPhase,
        },
        storage::{Repository, Snapshot, SnapshotPhase},
    },
    decide::{backup, trigger},
};
use serde_json::json;

use super::{
    counting::Meter,
    world::{End, World, made_for, says},
};

/// A session of `bc` made as the trigger makes it.
async fn session(world: &World, number: i64, retries: i32) -> String {
    let configuration: BackupConfiguration = world.api().get("bc").await.unwrap();
    let made = trigger::backup_session(&configuration, &configuration.spec.sessions[0], number, retries);
    let api = world.api::<BackupSession>();
    api.create(&PostParams::default(), &made)
        .await
        .unwrap()
        .name_any()
}

async fn ready(world: &World) {
    let is_ready = |it: &BackupConfiguration| {
        it.status
            .as_ref()
            .is_some_and(|status| status.phase == Some(BackupConfigurationPhase::Ready))
    };
    world.wait::<BackupConfiguration>("bc", is_ready).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_becomes_ready_and_its_first_backup_succeeds() {
    let world = World::new().await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|_| {}).await;
    ready(&world).await;
    let first = world.finished(&world.initial().await).await;
    let status = first.status.clone().unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Succeeded), "{status:#?}");
    assert_eq!(
        status.conditions.last().unwrap().type_,
        types::METRICS_PUSHED,
        "always the last step"
    );
    assert_eq!(
        status.retention_policy[0].phase,
        Some(RetentionPolicyApplyPhase::Applied)
    );
    assert_eq!(first.owner_references()[0].kind, "BackupConfiguration");
    assert_eq!(first.finalizers(), ["kubestash.com/cleanup"]);

    let cron_job = world.api::<CronJob>().get("trigger-bc-daily").await.unwrap();
    assert_eq!(cron_job.spec.schedule, "0 3 1 1 *");
    assert_eq!(cron_job.owner_references()[0].name, "bc");
    let repository = world.api::<Repository>().get("repo").await.unwrap();
    assert_eq!(repository.spec.path, "/db");

    let snapshot = world
        .api::<Snapshot>()
        .get(&format!("repo-{}", first.name_any()))
        .await
        .unwrap();
    assert_eq!(
        snapshot.status.as_ref().unwrap().phase,
        Some(SnapshotPhase::Succeeded)
    );
    assert_eq!(snapshot.owner_references()[0].kind, "Repository");
    assert_eq!(
        snapshot.status.unwrap().components.keys().collect::<Vec<_>>(),
        ["dump-pod-0", "dump-pod-1"]
    );

    let jobs = world
        .api::<Job>()
        .list(&made_for(&first.name_any()))
        .await
        .unwrap();
    let mut names: Vec<_> = jobs.items.iter().map(ResourceExt::name_any).collect();
    names.sort();
    assert_eq!(
        names,
        [
            format!("demo-{}-pod-0", first.name_any()),
            format!("demo-{}-pod-1", first.name_any())
        ]
    );
    world
        .plans_are_owned(&first.name_any(), "the plan goes with its Job")
        .await;
    let status = serde_json::to_string(&first).unwrap();
    assert!(!status.contains("hunter2") && !status.contains("much-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_job_makes_the_session_fail_with_its_reason() {
    let world = World::new().await;
    world.ends("pod-1", End::Crash);
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|_| {}).await;
    ready(&world).await;
    let first = world.finished(&world.initial().await).await;
    let status = first.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let why = says(&status.conditions, types::BACKUP_INCOMPLETE);
    assert!(
        why.starts_with("True BackupExecutorTerminatedBeforeCompletion") && why.contains("OOMKilled"),
        "{why}"
    );
    let name = format!("repo-{}", world.initial().await);
    let snapshot = world.api::<Snapshot>().get(&name).await.unwrap().status.unwrap();
    let why = says(&snapshot.conditions, "BackupIncomplete");
    assert!(
        why.starts_with("True BackupExecutorTerminatedBeforeCompletion"),
        "{why}"
    );
    assert!(why.contains("exited with 137. Reason: OOMKilled"), "{why}");
    assert_eq!(snapshot.phase, Some(SnapshotPhase::Failed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reported_failure_is_retried_and_the_retry_counts_down() {
    let world = World::new().await;
    world.ends("pod-0", End::Reported("wrong password or no key found"));
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world
        .configure(|bc| bc["spec"]["sessions"][0]["retryConfig"] = json!({"maxRetry": 1, "delay": "0s"}))
        .await;
    ready(&world).await;
    let initial = world.initial().await;
    let failed = world
        .wait::<BackupSession>(&initial, |s| {
            s.status
                .as_ref()
                .is_some_and(|status| status.retried == Some(true))
        })
        .await;
    let status = failed.status.unwrap();
    let why = says(&status.conditions, types::BACKUP_INCOMPLETE);
    assert!(
        why.starts_with("True BackupFailed") && why.contains("wrong password or no key found"),
        "{why}"
    );
    let at = status.next_retry.unwrap().0.as_second();
    let retry = world.finished(&format!("bc-daily-{at}")).await;
    assert_eq!(retry.spec.retry_left, 0);
    let status = retry.status.unwrap();
    assert_eq!(
        (status.phase, status.next_retry),
        (Some(BackupSessionPhase::Failed), None)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_skipped_with_leave_is_a_warning() {
    let world = World::new().await;
    world.ends("pod-0", End::Partial);
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|_| {}).await;
    ready(&world).await;
    let status = world.finished(&world.initial().await).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Succeeded));
    assert!(
        says(&status.conditions, "FilesSkipped").contains("/source/data/secret"),
        "{status:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_at_once_one_runs_and_one_is_skipped() {
    let world = World::new().await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|_| {}).await;
    ready(&world).await;
    world.finished(&world.initial().await).await;
    world.ends("pod-1", End::Never);
    let (one, two) = tokio::join!(session(&world, 100, 0), session(&world, 200, 0));
    let begun = |s: &BackupSession| {
        s.status
            .as_ref()
            .is_some_and(|status| status.phase.is_some() && (backup::started(s) || backup::finished(s)))
    };
    let (one, two) = tokio::join!(
        world.wait::<BackupSession>(&one, begun),
        world.wait::<BackupSession>(&two, begun)
    );
    let skipped: Vec<_> = [&one, &two].into_iter().filter(|s| backup::finished(s)).collect();
    assert_eq!(skipped.len(), 1, "one of them runs");
    let status = skipped[0].status.clone().unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Skipped));
    let why = says(&status.conditions, types::BACKUP_SKIPPED);
    assert!(
        why.contains("PreRequisitesNotSatisfied") && why.contains("still running"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_runs_out_of_time_is_stopped() {
    let world = World::new().await;
    world.ends("pod-1", End::Never);
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world
        .configure(|bc| bc["spec"]["sessions"][0]["backupTimeout"] = json!("1s"))
        .await;
    ready(&world).await;
    let name = world.initial().await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let why = says(&status.conditions, types::BACKUP_INCOMPLETE);
    assert!(
        why.starts_with("True BackupExecutorTerminatedBeforeCompletion")
            && why.contains("deadline exceeded")
            && why.contains("backupTimeout"),
        "{why}"
    );
    let snapshot = world
        .api::<Snapshot>()
        .get(&format!("repo-{name}"))
        .await
        .unwrap()
        .status
        .unwrap();
    assert!(says(&snapshot.conditions, "BackupIncomplete").contains("deadline exceeded"));
    assert!(
        world
            .api::<Job>()
            .get_opt(&format!("demo-{name}-pod-1"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_user_can_mend_is_said_and_not_retried() {
    for (change, expected) in [
        (
            json!({"name": "gone-addon", "tasks": [{"name": "logical-backup"}]}),
            "Addon \"gone-addon\" not found",
        ),
        (
            json!({"name": "workload-addon", "tasks": [{"name": "physical"}]}),
            "has no task \"physical\"",
        ),
        (
            json!({"name": "workload-addon", "tasks": [{"name": "logical-backup"}]}),
            "requires the parameter \"paths\"",
        ),
    ] {
        let world = World::new().await;
        let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
        world
            .configure(|bc| bc["spec"]["sessions"][0]["addon"] = change)
            .await;
        ready(&world).await;
        let status = world.finished(&world.initial().await).await.status.unwrap();
        assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
        let why = says(&status.conditions, types::BACKUP_EXECUTOR_ENSURED);
        assert!(
            why.starts_with("False FailedToEnsureBackupExecutor") && why.contains(expected),
            "{why}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_secrets_are_named() {
    let world = World::new().await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world
        .configure(|bc| {
            bc["spec"]["sessions"][0]["repositories"][0]["encryptionSecret"]["name"] = json!("absent");
        })
        .await;
    ready(&world).await;
    let status = world.finished(&world.initial().await).await.status.unwrap();
    let why = says(&status.conditions, types::BACKUP_EXECUTOR_ENSURED);
    assert!(
        why.contains("Secret \"demo/absent\"") && why.contains("RESTIC_PASSWORD"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmet_preconditions_skip_the_session() {
    let world = World::new().await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world
        .configure(|bc| bc["spec"]["target"]["name"] = json!("gone"))
        .await;
    let missing =
        |it: &BackupConfiguration| it.status.as_ref().is_some_and(|s| s.target_found == Some(false));
    world.wait::<BackupConfiguration>("bc", missing).await;
    let name = session(&world, 100, 0).await;
    let status = world.finished(&name).await.status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Skipped));
    assert!(
        says(&status.conditions, types::BACKUP_SKIPPED)
            .contains("target StatefulSet demo/gone does not exist")
    );
    // A session that the configuration does not know.
    let mut unknown = world.api::<BackupSession>().get(&name).await.unwrap();
    unknown.metadata = kube::api::ObjectMeta {
        name: Some("bc-hourly-1".into()),
        namespace: Some("demo".into()),
        ..Default::default()
    };
    unknown.spec.session = "hourly".into();
    unknown.status = None;
    world
        .api::<BackupSession>()
        .create(&PostParams::default(), &unknown)
        .await
        .unwrap();
    let status = world.finished("bc-hourly-1").await.status.unwrap();
    assert!(says(&status.conditions, types::BACKUP_SKIPPED).contains("has no session \"hourly\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_retention_let_the_old_go_with_all_that_was_theirs() {
    let world = World::new().await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world
        .configure(|bc| bc["spec"]["sessions"][0]["sessionHistoryLimit"] = json!(2))
        .await;
    ready(&world).await;
    let initial = world.initial().await;
    world.finished(&initial).await;
    let mut last = None;
    for number in [100, 200, 300] {
        let name = session(&world, number, 0).await;
        last = Some(world.finished(&name).await);
    }
    let status = last.unwrap().status.unwrap();
    assert_eq!(status.phase, Some(BackupSessionPhase::Succeeded), "{status:#?}");
    assert_eq!(
        status.retention_policy[0].phase,
        Some(RetentionPolicyApplyPhase::Applied),
        "{status:#?}"
    );
    let gone = kube::runtime::wait::await_condition(
        world.api::<BackupSession>(),
        &initial,
        |s: Option<&BackupSession>| s.is_none(),
    );
    tokio::time::timeout(std::time::Duration::from_secs(10), gone)
        .await
        .unwrap()
        .unwrap();
    assert!(
        world
            .api::<Job>()
            .list(&made_for(&initial))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        world
            .api::<ServiceAccount>()
            .get_opt(&initial)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        world
            .api::<RoleBinding>()
            .get_opt(&initial)
            .await
            .unwrap()
            .is_none()
    );
    let kept: Vec<_> = world
        .api::<Snapshot>()
        .list(&Default::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert!(
        !kept.contains(&format!("repo-{initial}")),
        "last: 2 keeps two: {kept:?}"
    );
    assert!(kept.contains(&"repo-bc-daily-300".to_owned()), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pausing_suspends_and_deleting_follows_the_policies() {
    let world = World::new().await;
    let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
    world.configure(|bc| bc["spec"]["paused"] = json!(true)).await;
    let suspended = |job: &CronJob| job.spec.suspend == Some(true);
    world.wait::<CronJob>("trigger-bc-daily", suspended).await;
    ready(&world).await;
    assert!(
        world
            .api::<BackupSession>()
            .list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty(),
        "no first backup while paused"
    );
    world
        .api::<BackupConfiguration>()
        .delete("bc", &Default::default())
        .await
        .unwrap();
    let gone =
        kube::runtime::wait::await_condition(world.api::<Repository>(), "repo", |r: Option<&Repository>| {
            r.is_none_or(|r| {
                r.spec.deletion_policy == kubestash::api::storage::DeletionPolicy::WipeOut
                    && r.metadata.deletion_timestamp.is_some()
            })
        });
    tokio::time::timeout(std::time::Duration::from_secs(10), gone)
        .await
        .unwrap()
        .unwrap();
}
