//! Backups that succeed, and backups that must not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use jiff::{SignedDuration, Timestamp};
use kubestash::api::config::job_plan::JobPlan;
use kubestash::api::config::job_result::{JobCause, JobOutcome};

use super::fixture::{COMPONENT, Fixture};
use super::tree;

#[test]
fn two_backups_are_recorded_with_sizes_ids_and_times() {
    let Some(fixture) = Fixture::local() else { return };
    tree::make(&fixture.data());
    let first = fixture.good_backup("s-1", false);
    let second = fixture.good_backup("s-2", true);
    assert_ne!(first, second);
    for snapshot in ["s-1", "s-2"] {
        let last = fixture.last_state(snapshot);
        assert_eq!(last["phase"], "Succeeded");
        assert_eq!(last["driver"], "Restic");
        assert_eq!(last["integrity"], true);
        assert_eq!(last["path"], "repository/v1/daily/dump-pod-0");
        assert!(last["duration"].as_str().unwrap().ends_with('s'));
        assert!(last["size"].as_str().unwrap().ends_with(" MiB"), "{last}");
        let stats = &last["resticStats"][0];
        assert!(stats.get("progress").is_none());
        let summary = &stats["summary"];
        assert_eq!(summary["hostPath"], fixture.data().to_str().unwrap());
        assert!(summary["size"].as_str().unwrap().ends_with("MiB"));
        assert!(summary["startTime"].as_str().unwrap() <= summary["endTime"].as_str().unwrap());
    }
    let uploaded =
        |snapshot: &str| fixture.last_state(snapshot)["resticStats"][0]["summary"]["uploaded"].clone();
    assert!(uploaded("s-1").as_str().unwrap().ends_with("MiB"));
    assert!(
        !uploaded("s-2").as_str().unwrap().ends_with("MiB"),
        "nothing changed: {}",
        uploaded("s-2")
    );
    let path = &fixture.api.paths()[0];
    assert!(
        path.starts_with("/apis/storage.kubestash.com/v1alpha1/namespaces/demo/snapshots/s-1/status?")
            && path.contains("fieldManager=kubestash-job-dump-pod-0")
            && path.contains("force=true"),
        "{path}"
    );
    let listed = fixture.plain_restic(&["snapshots", "--json", "--host", COMPONENT]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&listed)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!((fixture.locks(), fixture.records()), (0, 0));
    let left: Vec<_> = fs::read_dir(fixture.path("scratch"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["restic-cache"], "temporary files stay behind");
}

#[test]
fn every_path_becomes_a_restic_snapshot_of_its_own() {
    let Some(fixture) = Fixture::local() else { return };
    for name in ["a", "b"] {
        fs::create_dir(fixture.data().join(name)).unwrap();
        fs::write(fixture.data().join(name).join("file"), name).unwrap();
    }
    fs::write(fixture.data().join("b/skip.tmp"), "x").unwrap();
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s", false)));
    let data = fixture.data();
    let mut arguments = fixture.backup_arguments(&format!("{0}/a, {0}/b", data.display()));
    arguments.push("--exclude=*.tmp".into());
    arguments.retain(|argument| argument != "--exclude=");
    let ended = fixture.job(&arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let stats = fixture.last_state("s")["resticStats"].as_array().unwrap().clone();
    assert_eq!(stats.len(), 2);
    let id = stats[1]["summary"]["id"].as_str().unwrap();
    let listed = fixture.plain_restic(&["ls", id]);
    assert!(
        listed.contains("/b/file") && !listed.contains("/a/file") && !listed.contains("skip.tmp"),
        "{listed}"
    );
}

#[test]
fn a_wrong_password_is_told_from_everything_else() {
    let Some(fixture) = Fixture::local() else { return };
    fs::write(fixture.data().join("f"), "x").unwrap();
    fixture.good_backup("s-1", false);
    // Even where metadata does not know of the repository, a wrong password must never lead to init.
    fixture.write_plan_with(
        &JobPlan::Backup(fixture.backup_plan("s-2", false)),
        "another-password",
    );
    let ended = fixture.job(&fixture.backup_arguments(fixture.data().to_str().unwrap()));
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.result.cause, Some(JobCause::WrongPassword));
    assert!(
        ended.result.log_tail.contains("wrong password"),
        "the last lines of every failure are kept: {:?}",
        ended.result
    );
    let last = fixture.last_state("s-2");
    assert_eq!(last["phase"], "Failed");
    assert!(
        last["error"].as_str().unwrap().contains("RESTIC_PASSWORD"),
        "{last}"
    );
    fixture.plain_restic(&["check"]);
}

#[test]
fn a_repository_that_was_initialised_is_never_initialised_again() {
    let Some(fixture) = Fixture::local() else { return };
    fs::write(fixture.data().join("f"), "x").unwrap();
    let ended = fixture.back_up("s", true);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.result.cause, Some(JobCause::RepositoryMissing));
    assert!(!fixture.repository_dir().join("config").exists());
    assert!(
        fixture.last_state("s")["error"]
            .as_str()
            .unwrap()
            .contains("no restic repository")
    );
}

#[test]
fn a_missing_source_path_fails_and_is_named() {
    let Some(fixture) = Fixture::local() else { return };
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s", false)));
    let missing = fixture.data().join("missing");
    let paths = format!("{},{}", fixture.data().display(), missing.display());
    let ended = fixture.job(&fixture.backup_arguments(&paths));
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.result.cause, Some(JobCause::SourceMissing));
    assert!(
        fixture.last_state("s")["error"]
            .as_str()
            .unwrap()
            .contains(missing.to_str().unwrap())
    );
}

#[test]
fn a_missing_key_of_the_encryption_secret_is_named() {
    let Some(fixture) = Fixture::local() else { return };
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s", false)));
    fs::remove_file(fixture.path("plan/encryption-0.RESTIC_PASSWORD")).unwrap();
    let ended = fixture.job(&fixture.backup_arguments(fixture.data().to_str().unwrap()));
    assert!(
        ended
            .result
            .message
            .contains("Secret demo/encrypt has no key RESTIC_PASSWORD"),
        "{:?}",
        ended.result
    );
}

/// Runs the job as an ordinary user, as backup Jobs run by default.
fn as_nobody(fixture: &Fixture, allow: bool) -> super::fixture::Ended {
    use std::os::unix::fs::chown;
    for name in ["", "storage", "data", "scratch", "plan"] {
        chown(fixture.path(name), Some(65534), Some(65534)).unwrap();
    }
    let mut arguments = fixture.backup_arguments(fixture.data().to_str().unwrap());
    if allow {
        arguments.retain(|argument| argument != "--allow-partial=");
        arguments.push("--allow-partial=true".into());
    }
    let _ = fs::remove_file(fixture.path("termination-log"));
    // The binary may lie where only its owner may look.
    let program = fixture.path("kubestash");
    fs::copy(env!("CARGO_BIN_EXE_kubectl-kubestash"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let prepared = fixture.command(&arguments, "pod-1");
    let mut command = std::process::Command::new(&program);
    command
        .arg0("kubestash")
        .args(prepared.get_args())
        .uid(65534)
        .gid(65534);
    for (name, value) in prepared.get_envs() {
        command.env(name, value.unwrap());
    }
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    fixture.finish(command.spawn().unwrap())
}

#[test]
fn an_unreadable_file_is_named_and_fails_the_backup_unless_allowed() {
    let Some(fixture) = Fixture::local() else { return };
    if !tree::root_user() {
        eprintln!("SKIPPED: only root can start a Job as another user");
        return;
    }
    for (name, mode) in [("public", 0o644), ("secret one", 0o600)] {
        fs::write(fixture.data().join(name), name).unwrap();
        fs::set_permissions(fixture.data().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s-1", false)));
    let failed = as_nobody(&fixture, false);
    assert_eq!(failed.code, Some(1), "{}", failed.log);
    assert_eq!(failed.result.cause, Some(JobCause::Incomplete));
    assert_eq!(failed.result.repositories[0].skipped_count, 1);
    assert_eq!(
        failed.result.repositories[0].skipped_files,
        [fixture.data().join("secret one").to_str().unwrap()]
    );
    let last = fixture.last_state("s-1");
    assert_eq!(last["phase"], "Failed");
    assert!(last["error"].as_str().unwrap().contains("secret one"));
    assert!(
        last["resticStats"][0]["summary"]["id"].is_string(),
        "what was stored must be known, so that it can be forgotten"
    );
    assert!(
        failed.result.log_tail.contains("secret one"),
        "{:?}",
        failed.result
    );

    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s-2", true)));
    let allowed = as_nobody(&fixture, true);
    assert_eq!(
        (allowed.code, allowed.result.outcome),
        (Some(0), JobOutcome::Partial),
        "{}",
        allowed.log
    );
    assert_eq!(allowed.result.repositories[0].skipped_count, 1);
    let last = fixture.last_state("s-2");
    assert_eq!(last["phase"], "Succeeded");
    assert!(last.get("error").is_none());
}

#[test]
fn a_deadline_ends_the_backup_in_time() {
    let Some(fixture) = Fixture::local() else { return };
    tree::make(&fixture.data());
    let mut plan = fixture.backup_plan("s", false);
    plan.deadline = Some(Timestamp::now() + SignedDuration::from_secs(2));
    fixture.write_plan(&JobPlan::Backup(plan));
    let ended = fixture.job(&fixture.backup_arguments(fixture.data().to_str().unwrap()));
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.result.cause, Some(JobCause::Timeout), "{:?}", ended.result);
    assert!(
        fixture.last_state("s")["error"]
            .as_str()
            .unwrap()
            .contains("deadline")
    );
}

#[test]
fn a_stumbling_api_server_does_not_lose_the_result() {
    let Some(fixture) = Fixture::local() else { return };
    fs::write(fixture.data().join("f"), "x").unwrap();
    fixture.api.fail(3);
    fixture.good_backup("s", false);
    assert_eq!(fixture.last_state("s")["phase"], "Succeeded");
}

#[test]
fn a_plan_for_another_job_is_refused() {
    let Some(fixture) = Fixture::local() else { return };
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s", false)));
    let ended = fixture.job(&["retention".to_owned()]);
    assert_eq!(
        (ended.code, ended.result.cause),
        (Some(1), Some(JobCause::Misconfigured))
    );
}

#[test]
fn an_old_restic_is_refused() {
    let Some(mut fixture) = Fixture::local() else {
        return;
    };
    let old = fixture.path("old-restic");
    fs::write(
        &old,
        "#!/bin/sh\necho 'restic 0.14.0 compiled with go1.19 on linux/amd64'\n",
    )
    .unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    fixture.restic = old;
    let ended = fixture.back_up("s", false);
    assert_eq!(ended.result.cause, Some(JobCause::EngineMissing));
    assert!(
        ended.result.message.contains("0.14.0 is too old"),
        "{:?}",
        ended.result
    );
}
