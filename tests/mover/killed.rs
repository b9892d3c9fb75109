//! Movers that end before their time, and the locks they leave.

use std::fs;
use std::process::Stdio;

use kubestash::api::config::job_plan::{JobPlan, ReaderPlan};
use kubestash::api::config::job_result::JobCause;
use kubestash::reader::op::{Op, Request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fixture::{COMPONENT_PATH, Fixture, await_that, host_name};

/// Enough bytes, and none of them alike, that a backup takes a while.
fn much_data(fixture: &Fixture) {
    use std::io::Read as _;
    let mut random = fs::File::open("/dev/urandom").unwrap().take(400 << 20);
    let mut file = fs::File::create(fixture.data().join("random")).unwrap();
    std::io::copy(&mut random, &mut file).unwrap();
}

fn children(pid: u32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn at_work(fixture: &Fixture) -> bool {
    let data = fixture.repository_dir().join("data");
    let packs = |dir: fs::DirEntry| fs::read_dir(dir.path()).map_or(0, Iterator::count);
    fixture.locks() > 0 && fs::read_dir(data).is_ok_and(|dirs| dirs.flatten().map(packs).sum::<usize>() > 0)
}

/// Starts a backup and kills the whole pod in its middle.
fn kill_in_the_middle(fixture: &Fixture) {
    much_data(fixture);
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s-1", false)));
    let mut child = fixture.start(&fixture.backup_arguments(fixture.data().to_str().unwrap()));
    await_that("the backup", || at_work(fixture));
    let restic = children(child.id());
    child.kill().unwrap();
    for pid in restic {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    child.wait().unwrap();
    await_that("the lock", || fixture.locks() == 1);
    assert_eq!(fixture.records(), 1, "the record of the killed pod must be there");
}

#[test]
fn after_a_kill_the_lock_goes_when_the_pod_has_ended_or_is_gone_and_the_repository_is_whole() {
    for ended in [true, false] {
        let Some(fixture) = Fixture::local() else { return };
        kill_in_the_middle(&fixture);
        if ended {
            fixture.api.pod(&host_name(), "pod-1", "Failed");
        }
        fixture.good_backup("s-2", true);
        assert_eq!((fixture.locks(), fixture.records()), (0, 0));
        let checked = fixture.plain_restic(&["check", "--read-data"]);
        assert!(checked.contains("no errors were found"), "{checked}");
    }
}

#[test]
fn the_lock_of_a_pod_that_nobody_saw_end_stays_while_it_may_be_refreshed() {
    let Some(fixture) = Fixture::local() else { return };
    kill_in_the_middle(&fixture);
    fixture.api.pod(&host_name(), "pod-1", "Lost");
    let ended = fixture.back_up("s-2", true);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!((fixture.locks(), fixture.records()), (1, 1));
    let warning = &ended.result.repositories[0].warnings[0];
    assert!(
        warning.contains("nobody saw it end") && warning.contains("the lock can go at"),
        "{warning}"
    );
}

#[test]
fn records_of_pods_that_ended_go_with_the_next_job() {
    let Some(fixture) = Fixture::local() else { return };
    fixture.good_backup("s-1", false);
    let holders = fixture.path("storage/demo/repo/holders");
    fs::create_dir_all(&holders).unwrap();
    let cluster = fixture.backup_plan("s-2", true).cluster;
    for (host, cluster) in [("ended", cluster.as_str()), ("theirs", "another")] {
        let record = format!(
            r#"{{"cluster":"{cluster}","namespace":"demo","pod":"{host}","uid":"u-{host}","host":"{host}"}}"#
        );
        fs::write(holders.join(format!("{host}.json")), record).unwrap();
        fixture.api.pod(host, &format!("u-{host}"), "Failed");
    }
    fixture.good_backup("s-2", true);
    assert!(!holders.join("ended.json").exists());
    assert!(
        holders.join("theirs.json").exists(),
        "another cluster's records are not ours to judge"
    );
}

#[test]
fn a_restic_that_is_killed_leaves_a_lock_that_goes_with_its_pod() {
    let Some(fixture) = Fixture::local() else { return };
    much_data(&fixture);
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s-1", false)));
    let child = fixture.start(&fixture.backup_arguments(fixture.data().to_str().unwrap()));
    await_that("the backup", || at_work(&fixture));
    // As the kernel does it where memory is short: the mover lives on.
    for pid in children(child.id()) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    let ended = fixture.finish(child);
    assert_ne!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(
        (fixture.locks(), fixture.records()),
        (1, 1),
        "without its record nobody could ever prove that the lock is nobody's: {}",
        ended.log
    );
    fixture.api.pod(&host_name(), "pod-1", "Failed");
    fixture.good_backup("s-2", true);
    assert_eq!((fixture.locks(), fixture.records()), (0, 0));
}

/// One life of a reader pod: it is asked once, and told to stop.
fn reader_comes_and_goes(fixture: &Fixture) {
    use std::io::Write as _;
    let announced = fixture.path("scratch/announced");
    let _ = fs::remove_file(&announced);
    let start = |part: &str| {
        let mut command = fixture.role("reader", "pod-1");
        command
            .arg(part)
            .env("TMPDIR", fixture.path("scratch"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut pod = start("serve");
    await_that("the record of the reader", || announced.exists());
    let request = Request {
        component_path: COMPONENT_PATH.into(),
        op: Op::Keys,
    };
    let mut asked = start("run");
    let mut stdin = asked.stdin.take().unwrap();
    writeln!(stdin, "{}", serde_json::to_string(&request).unwrap()).unwrap();
    assert!(asked.wait().unwrap().success());
    kill(Pid::from_raw(i32::try_from(pod.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(pod.wait().unwrap().success());
}

#[test]
fn a_reader_leaves_its_record_where_it_leaves_a_lock() {
    let Some(fixture) = Fixture::local() else { return };
    kill_in_the_middle(&fixture);
    fixture.write_plan(&JobPlan::Reader(ReaderPlan {
        repository: fixture.repository(),
        ..ReaderPlan::default()
    }));
    reader_comes_and_goes(&fixture);
    assert_eq!((fixture.locks(), fixture.records()), (1, 1));
    for lock in fs::read_dir(fixture.repository_dir().join("locks")).unwrap() {
        fs::remove_file(lock.unwrap().path()).unwrap();
    }
    reader_comes_and_goes(&fixture);
    assert_eq!((fixture.locks(), fixture.records()), (0, 0));
}

#[test]
fn a_lock_stays_as_long_as_its_pod_may_run() {
    let Some(fixture) = Fixture::local() else { return };
    kill_in_the_middle(&fixture);
    fixture.api.pod(&host_name(), "pod-1", "Running");
    let ended = fixture.back_up("s-2", true);
    assert_eq!(
        ended.code,
        Some(0),
        "an ordinary lock stops no backup: {}",
        ended.log
    );
    assert_eq!(fixture.locks(), 1);
    let warning = &ended.result.repositories[0].warnings[0];
    assert!(warning.contains("is running"), "{warning}");
}

#[test]
fn a_lock_that_nobody_left_a_record_of_is_never_touched() {
    let Some(fixture) = Fixture::local() else { return };
    kill_in_the_middle(&fixture);
    fs::remove_dir_all(fixture.path("storage/demo/repo/holders")).unwrap();
    fixture.good_backup("s-2", true);
    assert_eq!(fixture.locks(), 1);
}

#[test]
fn sigterm_stops_restic_and_is_recorded() {
    let Some(fixture) = Fixture::local() else { return };
    much_data(&fixture);
    fixture.write_plan(&JobPlan::Backup(fixture.backup_plan("s-1", false)));
    let child = fixture.start(&fixture.backup_arguments(fixture.data().to_str().unwrap()));
    await_that("the backup", || at_work(&fixture));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let ended = fixture.finish(child);
    assert_eq!(
        (ended.code, ended.result.cause),
        (Some(143), Some(JobCause::Killed)),
        "{}",
        ended.log
    );
    assert_eq!(fixture.last_state("s-1")["phase"], "Failed");
    assert_eq!(
        (fixture.locks(), fixture.records()),
        (0, 0),
        "restic takes its lock with it"
    );
}
