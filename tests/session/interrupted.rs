//! The operator killed between any two writes loses nothing: another one takes over and comes to the same end.

use kube::{ResourceExt, api::PostParams};
use kubestash::{
    api::{
        core::{BackupConfiguration, BackupSession, BackupSessionPhase, RestorePhase, RestoreSession},
        storage::Snapshot,
    },
    decide::trigger,
};
use serde_json::json;

use super::{
    counting::Meter,
    restores::restore_of,
    world::{World, made_for},
};

/// More writes than a backup or a restore makes.
const ENOUGH: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_survives_a_kill_after_every_write() {
    let world = World::new().await;
    world.hook_templates().await;
    world
        .configure(|bc| {
            bc["spec"]["sessions"][0]["hooks"] = json!({
                "preBackup": [{"name": "freeze", "hookTemplate": {"name": "enter"}, "params": {"mode": "fast"}}],
                "postBackup": [{"name": "thaw", "hookTemplate": {"name": "knock"}}]});
        })
        .await;
    {
        let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
        world
            .finished(&{
                let initial = world.initial().await;
                world.wait::<BackupSession>(&initial, |_| true).await;
                initial
            })
            .await;
    }
    let mut writes = 0;
    for n in 0..ENOUGH {
        let configuration: BackupConfiguration = world.api().get("bc").await.unwrap();
        let number = i64::try_from(n).unwrap() + 1000;
        let made = trigger::backup_session(&configuration, &configuration.spec.sessions[0], number, 0);
        let name = world
            .api::<BackupSession>()
            .create(&PostParams::default(), &made)
            .await
            .unwrap()
            .name_any();
        let meter = Meter::cut_after(n);
        let killed = world.operator(meter.clone());
        // Either the cut is reached or the session ends before it.
        tokio::select! {
            () = async { while !meter.cut() { tokio::task::yield_now().await; } } => {}
            _ = Box::pin(world.finished(&name)) => {}
        }
        let cut = meter.cut();
        drop(killed);
        let operator = world.operator(Meter::cut_after(usize::MAX - 1));
        let session = Box::pin(world.finished(&name)).await;
        drop(operator);
        let status = session.status.unwrap();
        assert_eq!(
            status.phase,
            Some(BackupSessionPhase::Succeeded),
            "killed after {n} writes: {status:#?}"
        );
        assert_eq!(status.snapshots.len(), 1);
        let when = format!("killed after {n} writes");
        world.plans_are_owned(&name, &when).await;
        let jobs = world
            .api::<k8s_openapi::api::batch::v1::Job>()
            .list(&made_for(&name))
            .await
            .unwrap();
        let backups = jobs
            .items
            .iter()
            .filter(|j| j.name_any().starts_with("demo-"))
            .count();
        assert_eq!(backups, 2, "killed after {n} writes");
        let hooks = jobs
            .items
            .iter()
            .filter(|j| j.name_any().starts_with("hook-"))
            .count();
        assert_eq!(hooks, 2, "each hook ran once: killed after {n} writes");
        let snapshot = world
            .api::<Snapshot>()
            .get(&status.snapshots[0].name)
            .await
            .unwrap();
        assert_eq!(snapshot.status.unwrap().total_components, Some(2));
        writes = n;
        if !cut {
            break;
        }
    }
    assert!(writes > 8, "only {writes} writes were interrupted");
    assert!(
        writes < ENOUGH - 1,
        "the session never got through without being cut"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_survives_a_kill_after_every_write_and_resumes_what_it_paused() {
    let world = World::new().await;
    world.hook_templates().await;
    world.configure(|_| {}).await;
    {
        let _operator = world.operator(Meter::cut_after(usize::MAX - 1));
        let initial = world.initial().await;
        world.wait::<BackupSession>(&initial, |_| true).await;
        world.finished(&initial).await;
    }
    let mut writes = 0;
    for n in 0..ENOUGH {
        let name = format!("back-{n}");
        Box::pin(restore_of(&world, &name, |_| {})).await;
        let meter = Meter::cut_after(n);
        let killed = world.operator(meter.clone());
        tokio::select! {
            () = async { while !meter.cut() { tokio::task::yield_now().await; } } => {}
            _ = Box::pin(world.restored(&name)) => {}
        }
        let cut = meter.cut();
        drop(killed);
        let operator = world.operator(Meter::cut_after(usize::MAX - 1));
        let session: RestoreSession = Box::pin(world.restored(&name)).await;
        drop(operator);
        let status = session.status.unwrap();
        assert_eq!(
            status.phase,
            Some(RestorePhase::Succeeded),
            "killed after {n} writes: {status:#?}"
        );
        let configuration: BackupConfiguration = world.api().get("bc").await.unwrap();
        assert!(!configuration.spec.paused, "killed after {n} writes");
        assert_eq!(status.paused_backups.len(), 1);
        let when = format!("killed after {n} writes");
        world.plans_are_owned(&name, &when).await;
        writes = n;
        if !cut {
            break;
        }
    }
    assert!(writes > 6, "only {writes} writes were interrupted");
    assert!(
        writes < ENOUGH - 1,
        "the restore never got through without being cut"
    );
}
