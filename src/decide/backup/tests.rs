use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::addons::{Addon, Function};
use crate::decide::{plan::tests::facts, target::tests as targets};

fn session() -> BackupSession {
    serde_json::from_value(json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": "bc-daily-17", "namespace": "demo", "labels": {"kubestash.com/invoker-name": "bc"}},
        "spec": {"invoker": {"kind": "BackupConfiguration", "name": "bc"}, "session": "daily", "retryLeft": 1}}))
    .unwrap()
}

fn configuration(phase: &str) -> BackupConfiguration {
    serde_json::from_value(json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "bc", "namespace": "demo"},
        "spec": {"sessions": [
            {"name": "daily", "retryConfig": {"maxRetry": 2, "delay": "1m"},
             "repositories": [{"name": "repo", "directory": "/repo"}, {"name": "copy", "directory": "/copy"}],
             "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup", "params": {"paths": "/source/data"}}]}},
            {"name": "weekly", "repositories": [{"name": "copy", "directory": "/copy"}]},
            {"name": "apart", "repositories": [{"name": "else", "directory": "/else"}]}]},
        "status": {"phase": phase, "targetFound": true}}))
    .unwrap()
}

fn tasks(config: &Session) -> Vec<SessionTask> {
    let addon: Addon = serde_json::from_value(
        json!({"apiVersion": "addons.kubestash.com/v1alpha1", "kind": "Addon",
        "metadata": {"name": "workload-addon"}, "spec": {"backupTasks": [
            {"name": "logical-backup", "function": "workload-backup", "driver": "Restic", "executor": "Job",
             "parameters": [{"name": "paths", "required": true}]}]}}),
    )
    .unwrap();
    let function: Function = serde_json::from_value(json!({"apiVersion": "addons.kubestash.com/v1alpha1", "kind": "Function",
        "metadata": {"name": "workload-backup"},
        "spec": {"args": ["job", "workload-backup", "--namespace=${namespace:=default}", "--backupsession=${backupSession:=}", "--paths=${paths:=}"]}}))
    .unwrap();
    let functions = BTreeMap::from([("workload-backup".to_owned(), function)]);
    addon::tasks(
        config.addon.as_ref().unwrap(),
        Some(&addon),
        &functions,
        addon::Direction::Backup,
    )
    .unwrap()
}

fn planned(replicas: i32, change: impl FnOnce(&mut BackupConfiguration)) -> Vec<PlannedJob> {
    let mut configuration = configuration("Ready");
    change(&mut configuration);
    let config = &configuration.spec.sessions[0];
    let tasks = tasks(config);
    let target = targets::stateful_set(replicas);
    let claims = (0..replicas)
        .map(|n| format!("data-db-{n}"))
        .map(|name| (name.clone(), targets::claim(&name, "ReadWriteOnce")))
        .collect();
    let mut repo = facts("repo");
    repo.repository.status =
        Some(serde_json::from_value(json!({"componentPaths": ["repository/v1/daily/dump-pod-0"]})).unwrap());
    jobs(&BackupFacts {
        session: &session(),
        config,
        tasks: &tasks,
        target: &target,
        repositories: &[repo, facts("copy")],
        claims: &claims,
        cluster: "uid",
        operator: &OperatorFacts {
            image: "registry/ours:1".into(),
            proxy: Vec::new(),
        },
        deadline: None,
    })
    .unwrap()
}

fn backup_plan(job: &PlannedJob) -> BackupPlan {
    let text = &job.secret.data.as_ref().unwrap()["plan.json"].0;
    match serde_json::from_slice(text).unwrap() {
        JobPlan::Backup(plan) => plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stateful_set_gets_a_job_per_pod_with_its_own_claim_and_node() {
    let jobs = planned(2, |_| {});
    assert_eq!(jobs.len(), 2);
    let one = &jobs[1];
    assert_eq!(one.job.name_any(), "demo-bc-daily-17-pod-1");
    assert_eq!(one.secret.name_any(), one.job.name_any());
    assert_eq!(one.claims, ["data-db-1"]);
    assert_eq!(one.components, ["dump-pod-1"]);
    let pod = one.job.spec.clone().unwrap().template.spec.unwrap();
    let required = pod
        .affinity
        .unwrap()
        .node_affinity
        .unwrap()
        .required_during_scheduling_ignored_during_execution
        .unwrap();
    assert_eq!(
        required.node_selector_terms[0].match_fields.as_ref().unwrap()[0]
            .values
            .as_ref()
            .unwrap(),
        &["node-1"]
    );
    assert_eq!(pod.service_account_name.as_deref(), Some("bc-daily-17"));
    let args = pod.containers[0].args.clone().unwrap();
    assert!(
        args.contains(&"--backupsession=bc-daily-17".to_owned())
            && args.contains(&"--paths=/source/data".to_owned())
    );
}

#[test]
fn labels_lead_back_to_the_session() {
    let jobs = planned(1, |_| {});
    let labels = jobs[0].job.labels();
    assert_eq!(labels["kubestash.com/invoker-name"], "bc-daily-17");
    assert_eq!(labels["kubestash.com/invoker-namespace"], "demo");
    assert_eq!(labels["kubestash.com/session-name"], "daily");
    assert_eq!(labels["app.kubernetes.io/component"], "kubestash-backup");
    assert_eq!(jobs[0].job.annotations()[INVOKER_ANNOTATION], "demo/bc-daily-17");
}

#[test]
fn only_a_path_that_once_succeeded_must_be_there() {
    let plan = backup_plan(&planned(1, |_| {})[0]);
    assert_eq!(plan.targets.len(), 2);
    assert_eq!(plan.targets[0].component_path, "repository/v1/daily/dump-pod-0");
    assert!(plan.targets[0].initialized);
    assert!(!plan.targets[1].initialized);
    assert_eq!(plan.targets[1].snapshot, "copy-bc-daily-17");
    assert_eq!(plan.component, "dump-pod-0");
}

#[test]
fn the_plan_holds_no_secret_and_the_secret_holds_them_all() {
    let jobs = planned(1, |_| {});
    let data = jobs[0].secret.data.as_ref().unwrap();
    assert!(!String::from_utf8_lossy(&data["plan.json"].0).contains("hunter2"));
    for key in [
        "encryption-0.RESTIC_PASSWORD",
        "encryption-1.RESTIC_PASSWORD",
        "backend-0.AWS_ACCESS_KEY_ID",
    ] {
        assert!(data.contains_key(key), "{key}");
    }
}

#[test]
fn a_given_service_account_is_used() {
    let jobs = planned(1, |configuration| {
        let addon = configuration.spec.sessions[0].addon.as_mut().unwrap();
        addon.job_template = serde_json::from_value(json!({"spec": {"serviceAccountName": "mine"}})).unwrap();
    });
    assert_eq!(
        jobs[0]
            .job
            .spec
            .as_ref()
            .unwrap()
            .template
            .spec
            .as_ref()
            .unwrap()
            .service_account_name
            .as_deref(),
        Some("mine")
    );
}

#[test]
fn snapshots_are_named_labelled_owned_and_pending() {
    let configuration = configuration("Ready");
    let target = targets::stateful_set(2);
    let snapshot = snapshot(&session(), &facts("repo"), &target, "01ARZ");
    assert_eq!(snapshot.name_any(), "repo-bc-daily-17");
    assert_eq!(snapshot.labels()["kubestash.com/app-ref-kind"], "StatefulSet");
    assert_eq!(snapshot.labels()["kubestash.com/repo-name"], "repo");
    assert_eq!(snapshot.owner_references()[0].uid, "uid-repo");
    assert_eq!(snapshot.finalizers(), ["kubestash.com/cleanup"]);
    let status = snapshot_status(
        &session(),
        &tasks(&configuration.spec.sessions[0]),
        &target,
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(status.total_components, Some(2));
    assert_eq!(
        status.components["dump-pod-1"].path.as_deref(),
        Some("repository/v1/daily/dump-pod-1")
    );
}

#[test]
fn a_session_is_skipped_for_a_reason_that_says_what_to_do() {
    let skipped = |configuration: Option<&BackupConfiguration>, session: &BackupSession| {
        precondition(session, configuration).unwrap_err()
    };
    assert!(skipped(None, &session()).contains("\"bc\" not found"));
    assert!(skipped(Some(&configuration("NotReady")), &session()).contains("is not Ready"));
    let mut paused = configuration("Ready");
    paused.spec.paused = true;
    assert!(skipped(Some(&paused), &session()).contains("kubectl kubestash resume bc"));
    let mut unknown = session();
    unknown.spec.session = "hourly".into();
    assert!(skipped(Some(&configuration("Ready")), &unknown).contains("it has: daily, weekly, apart"));
    assert_eq!(
        precondition(&session(), Some(&configuration("Ready")))
            .unwrap()
            .name,
        "daily"
    );
}

fn other(name: &str, session: &str, status: serde_json::Value) -> BackupSession {
    let mut other = self::session();
    other.metadata.name = Some(name.into());
    other.spec.session = session.into();
    other.status = serde_json::from_value(status).unwrap();
    other
}

#[test]
fn sessions_overlap_when_they_share_a_repository() {
    let configuration = configuration("Ready");
    let config = &configuration.spec.sessions[0];
    let check = |other: BackupSession| overlap(&session(), config, &configuration, &[other, session()]);
    assert!(
        check(other("bc-weekly-1", "weekly", json!({"phase": "Running"})))
            .unwrap_err()
            .contains("\"copy\"")
    );
    assert!(check(other("bc-daily-1", "daily", json!({"phase": "Running"}))).is_err());
    assert!(check(other("bc-apart-1", "apart", json!({"phase": "Running"}))).is_ok());
    assert!(
        check(other("bc-daily-1", "daily", json!({}))).is_ok(),
        "not begun: it will see this one"
    );
    assert!(
        check(other("bc-daily-1", "daily", json!({"phase": "Skipped"}))).is_ok(),
        "it was skipped and has only its last condition to set"
    );
    let done = json!({"phase": "Succeeded", "conditions": [{"type": "MetricsPushed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    assert!(check(other("bc-daily-1", "daily", done)).is_ok());
}

#[test]
fn history_keeps_the_newest_and_what_still_has_a_retry_to_make() {
    let done = |name: &str, second: i64, extra: serde_json::Value| {
        let mut status = json!({"phase": "Succeeded", "conditions": [{"type": "MetricsPushed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        json_patch::merge(&mut status, &extra);
        let mut session = other(name, "daily", status);
        session.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        session
    };
    let others = [
        done("a", 1, json!({})),
        done("b", 3, json!({})),
        done("c", 2, json!({"nextRetry": "2026-01-01T00:00:00Z"})),
        other("running", "daily", json!({"phase": "Running"})),
        done("weekly", 1, json!({})),
    ];
    let mut others = others.to_vec();
    others[4].spec.session = "weekly".into();
    let names = |limit| {
        history(&session(), limit, &others)
            .iter()
            .map(|s| s.name_any())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(1), ["b", "a"]);
    assert_eq!(names(2), ["a"]);
    assert!(names(9).is_empty());
}

#[test]
fn a_failed_session_is_tried_again_while_tries_are_left() {
    let failed: BackupSessionStatus = serde_json::from_value(json!({"conditions": [
        {"type": "BackupExecutorEnsured", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        {"type": "MetricsPushed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
    .unwrap();
    let configuration = configuration("Ready");
    let config = Some(&configuration.spec.sessions[0]);
    let now = Timestamp::UNIX_EPOCH;
    assert_eq!(
        next_retry(&session(), config, &failed, now),
        Timestamp::from_second(60).ok()
    );
    let soon = Timestamp::from_second(17 - 60).unwrap();
    assert_eq!(
        next_retry(&session(), config, &failed, soon),
        Timestamp::from_second(18).ok(),
        "the successor of bc-daily-17 has another name"
    );
    let mut last = session();
    last.spec.retry_left = 0;
    assert_eq!(next_retry(&last, config, &failed, now), None);
    let mut done = failed.clone();
    done.retried = Some(true);
    assert_eq!(next_retry(&session(), config, &done, now), None);
}

proptest! {
    #[test]
    fn every_job_has_a_name_of_its_own_and_valid(name in "[a-z][a-z0-9-]{0,80}[a-z0-9]", replicas in 1i32..12) {
        let names: Vec<String> = (0..replicas)
            .map(|n| naming::backup_job("demo", &name, Instance::Pod(u32::try_from(n).unwrap()).job_suffix().as_deref()))
            .collect();
        let unique: BTreeSet<_> = names.iter().collect();
        prop_assert_eq!(unique.len(), names.len());
        prop_assert!(names.iter().all(|n| n.len() <= naming::MAX_NAME));
    }
}
