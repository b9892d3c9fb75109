use serde_json::json;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn configuration(spec: &Value) -> BackupConfiguration {
    let mut all = json!({"sessions": [{"name": "hourly", "scheduler": {"schedule": "0 * * * *"}, "repositories": [{"name": "repo"}]}]});
    all.as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "metadata": {"name": "b", "namespace": "demo", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": all, "status": {"phase": "Ready"},
    }))
    .unwrap()
}

fn backup(phase: &str, created: &str) -> BackupSession {
    serde_json::from_value(json!({
        "metadata": {"name": created, "namespace": "demo", "creationTimestamp": created},
        "spec": {"invoker": {"name": "b"}, "session": "hourly"}, "status": {"phase": phase},
    }))
    .unwrap()
}

fn facts(backups: Vec<BackupSession>) -> Facts {
    Facts {
        configurations: vec![configuration(&json!({}))],
        backups,
        ..Facts::default()
    }
}

fn state(facts: &Facts, now: &str) -> State {
    facts.view(None, at(now)).configurations[0].state
}

#[test]
fn a_session_is_protected_until_the_next_backup_is_late() {
    let ran = facts(vec![backup("Succeeded", "2026-01-01T01:00:05Z")]);
    assert_eq!(state(&ran, "2026-01-01T01:30:00Z"), State::Protected);
    assert_eq!(state(&ran, "2026-01-01T02:05:00Z"), State::Protected);
    assert_eq!(state(&ran, "2026-01-01T02:30:00Z"), State::Stale);
    let view = ran.view(None, at("2026-01-01T02:30:00Z"));
    assert_eq!(
        view.configurations[0].overdue_since.as_deref(),
        Some("2026-01-01T02:00:00Z")
    );
    assert_eq!(
        view.configurations[0].next_run.as_deref(),
        Some("2026-01-01T03:00:00Z")
    );
    assert_eq!(
        view.attention[0].message,
        "session hourly: a backup was due 30m ago and has not succeeded"
    );
    assert_eq!((view.summary.sessions, view.summary.stale), (1, 1));
}

#[test]
fn what_is_paused_owes_nothing() {
    let mut paused = facts(vec![backup("Succeeded", "2026-01-01T01:00:05Z")]);
    paused.configurations = vec![configuration(&json!({"paused": true}))];
    let view = paused.view(None, at("2026-01-05T00:00:00Z"));
    assert_eq!(view.configurations[0].state, State::Paused);
    assert_eq!(view.configurations[0].next_run, None);
    assert!(view.attention.is_empty());
}

#[test]
fn the_last_run_decides_whether_it_fails() {
    let ran = vec![
        backup("Failed", "2026-01-01T00:00:00Z"),
        backup("Succeeded", "2026-01-01T01:00:05Z"),
    ];
    let well = facts(ran.clone());
    assert_eq!(state(&well, "2026-01-01T01:30:00Z"), State::Protected);
    let bad = facts(ran[..1].to_vec()).view(None, at("2026-01-01T00:30:00Z"));
    assert_eq!(bad.configurations[0].state, State::Failing);
    assert_eq!(
        bad.attention[0].message,
        "session hourly: failed 30m ago, none has ever succeeded"
    );
    assert_eq!(
        bad.attention[0].look,
        "kubectl kubestash why backupsession/2026-01-01T00:00:00Z -n demo"
    );
}

#[test]
fn a_repository_remembers_the_success_that_the_history_forgot() {
    let mut failing = facts(vec![backup("Failed", "2026-01-01T02:00:00Z")]);
    failing.repositories = vec![
        serde_json::from_value(json!({
            "metadata": {"name": "repo", "namespace": "demo"},
            "status": {"recentSnapshots": [
                {"name": "a", "phase": "Succeeded", "session": "hourly", "snapshotTime": "2026-01-01T01:00:00Z"},
                {"name": "c", "phase": "Succeeded", "session": "other", "snapshotTime": "2026-01-01T01:50:00Z"},
                {"name": "b", "phase": "Failed", "session": "hourly", "snapshotTime": "2026-01-01T02:00:00Z"},
            ]},
        }))
        .unwrap(),
    ];
    let view = failing.view(None, at("2026-01-01T02:30:00Z"));
    assert_eq!(
        view.attention[0].message,
        "session hourly: failed 30m ago, the last success is 90m ago"
    );
}

#[test]
fn a_backup_that_runs_is_not_late() {
    let running = facts(vec![backup("Running", "2026-01-01T02:00:00Z")]);
    assert_eq!(state(&running, "2026-01-01T04:00:00Z"), State::Waiting);
    assert_eq!(running.view(None, at("2026-01-01T04:00:00Z")).running.len(), 1);
}

#[test]
fn of_several_repositories_the_one_behind_counts() {
    let mut facts = facts(vec![]);
    facts.configurations[0].spec.sessions[0]
        .repositories
        .push(serde_json::from_value(json!({"name": "second"})).unwrap());
    facts.repositories = vec![
        serde_json::from_value(
            json!({"metadata": {"name": "repo", "namespace": "demo"}, "status": {"recentSnapshots": [
            {"phase": "Succeeded", "session": "hourly", "snapshotTime": "2026-01-01T01:00:00Z"}]}}),
        )
        .unwrap(),
    ];
    let view = facts.view(None, at("2026-01-01T01:30:00Z"));
    assert_eq!(view.configurations[0].last_success, None);
}

#[test]
fn old_restores_are_history() {
    let restore = |created: &str| -> RestoreSession {
        serde_json::from_value(
            json!({"metadata": {"name": "r", "namespace": "demo", "creationTimestamp": created},
            "status": {"phase": "Failed"}}),
        )
        .unwrap()
    };
    let mut facts = Facts {
        restores: vec![restore("2026-01-01T00:00:00Z")],
        ..Facts::default()
    };
    assert_eq!(facts.view(None, at("2026-01-02T00:00:00Z")).attention.len(), 1);
    assert_eq!(facts.view(None, at("2026-01-20T00:00:00Z")).attention.len(), 0);
    facts.restores.clear();
    assert!(facts.is_empty());
}

#[test]
fn an_operator_that_does_not_run_comes_first() {
    let mut facts = facts(vec![backup("Succeeded", "2026-01-01T01:00:05Z")]);
    let now = at("2026-01-01T01:30:00Z");
    for (operator, message) in [
        (Operator::Unknown, ""),
        (Operator::Up("kubestash".into(), "kubestash-operator".into()), ""),
        (Operator::Missing, "the operator is not installed: no backup runs"),
        (
            Operator::Down(
                "kubestash".into(),
                "o".into(),
                "its Deployment is scaled to 0".into(),
            ),
            "the operator does not run, so no backup does: its Deployment is scaled to 0",
        ),
    ] {
        facts.operator = operator;
        let view = facts.view(None, now);
        let first = view.attention.first().map_or("", |a| a.message.as_str());
        assert_eq!(first, message);
    }
}
