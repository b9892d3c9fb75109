//! Restores: everything comes back, and what is wrong is named.

use std::fs;
use std::path::Path;
use std::process::Command;

use kubestash::api::config::job_plan::JobPlan;
use kubestash::api::config::job_result::JobCause;

use super::fixture::{Fixture, Small};
use super::tree;

fn below(root: &Path, fixture: &Fixture) -> std::path::PathBuf {
    root.join(fixture.data().strip_prefix("/").unwrap())
}

#[test]
fn every_byte_and_attribute_comes_back_to_where_it_was() {
    let Some(fixture) = Fixture::local() else { return };
    tree::make(&fixture.data());
    let before = tree::describe(&fixture.data());
    let id = fixture.good_backup("s", false);
    for entry in fs::read_dir(fixture.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let parent = fs::metadata(fixture.dir.path()).unwrap();
    let ended = fixture.restore(&id, Path::new("/"), &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    tree::assert_same(&before, &tree::describe(&fixture.data()));
    let after = fs::metadata(fixture.dir.path()).unwrap();
    assert_eq!(
        parent.permissions(),
        after.permissions(),
        "parents of the path are left alone"
    );
    let last = fixture.last_state("restore-1");
    assert_eq!(last["phase"], "Succeeded");
    assert!(last["duration"].as_str().unwrap().ends_with('s'));
    let paths = fixture.api.paths();
    let path = paths.last().unwrap();
    assert!(
        path.starts_with(
            "/apis/core.kubestash.com/v1alpha1/namespaces/demo/restoresessions/restore-1/status?"
        ),
        "{path}"
    );
}

#[test]
fn patterns_choose_files() {
    let Some(fixture) = Fixture::local() else { return };
    tree::make(&fixture.data());
    let id = fixture.good_backup("s", false);
    let root = fixture.path("included");
    let include = format!("--include={}", fixture.data().join("sub/large").display());
    assert_eq!(fixture.restore(&id, &root, &[&include]).code, Some(0));
    assert_eq!(
        tree::describe(&below(&root, &fixture))
            .keys()
            .filter(|k| k.ends_with(b"large"))
            .count(),
        1
    );
    assert!(!below(&root, &fixture).join("text").exists());
    let root = fixture.path("excluded");
    assert_eq!(fixture.restore(&id, &root, &["--exclude=large"]).code, Some(0));
    assert!(
        below(&root, &fixture).join("text").exists() && !below(&root, &fixture).join("sub/large").exists()
    );
}

#[test]
fn a_snapshot_that_is_not_there_is_named() {
    let Some(fixture) = Fixture::local() else { return };
    fs::write(fixture.data().join("f"), "x").unwrap();
    fixture.good_backup("s", false);
    let ended = fixture.restore(&"0".repeat(64), &fixture.path("out"), &[]);
    assert_eq!(
        (ended.code, ended.result.cause),
        (Some(1), Some(JobCause::SnapshotMissing)),
        "{}",
        ended.log
    );
    assert_eq!(fixture.last_state("restore-1")["phase"], "Failed");
}

#[test]
fn an_empty_snapshot_is_refused_unless_told() {
    let Some(fixture) = Fixture::local() else { return };
    let id = fixture.good_backup("s", false);
    let root = fixture.path("out");
    fs::create_dir(&root).unwrap();
    let mut plan = fixture.restore_plan(&id, &root);
    plan.target.restic[0].size = None;
    fixture.write_plan(&JobPlan::Restore(plan));
    let refused = fixture.job(&fixture.restore_arguments(&[]));
    assert_eq!(
        (refused.code, refused.result.cause),
        (Some(1), Some(JobCause::EmptySnapshot)),
        "{}",
        refused.log
    );
    let told = fixture.job(&fixture.restore_arguments(&["--allow-empty=true"]));
    assert_eq!(told.code, Some(0), "{}", told.log);
    assert!(below(&root, &fixture).is_dir());
}

#[test]
fn a_path_without_a_volume_is_refused() {
    let Some(fixture) = Fixture::local() else { return };
    fs::write(fixture.data().join("f"), "x").unwrap();
    let id = fixture.good_backup("s", false);
    let mut plan = fixture.restore_plan(&id, Path::new("/"));
    plan.target.root = None;
    plan.target.restic[0].host_path = "/no-volume-is-mounted-here".into();
    fixture.write_plan(&JobPlan::Restore(plan));
    let ended = fixture.job(&fixture.restore_arguments(&[]));
    assert_eq!(ended.result.cause, Some(JobCause::Misconfigured));
    assert!(
        ended.result.message.contains("no volume is mounted"),
        "{:?}",
        ended.result
    );
    assert!(!Path::new("/no-volume-is-mounted-here").exists());
}

#[test]
fn a_full_target_volume_is_named() {
    let Some(fixture) = Fixture::local() else { return };
    tree::make(&fixture.data());
    let id = fixture.good_backup("s", false);
    let Some(small) = Small::mount(&fixture.path("small"), "4m") else {
        return;
    };
    let ended = fixture.restore(&id, &small.0, &[]);
    assert_eq!(
        (ended.code, ended.result.cause),
        (Some(1), Some(JobCause::NoSpace)),
        "{}",
        ended.log
    );
    assert!(
        ended.result.message.contains("the target volume is full"),
        "{}",
        ended.result.message
    );
    assert_eq!(fixture.last_state("restore-1")["phase"], "Failed");
}

#[test]
fn damaged_data_is_no_success_and_the_file_is_named() {
    let Some(fixture) = Fixture::local() else { return };
    tree::make(&fixture.data());
    let id = fixture.good_backup("s", false);
    let data = fixture.repository_dir().join("data");
    let packs = fs::read_dir(data)
        .unwrap()
        .flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap().flatten());
    let largest = packs
        .max_by_key(|pack| pack.metadata().unwrap().len())
        .unwrap()
        .path();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[1000] ^= 1;
    Command::new("chmod").arg("u+w").arg(&largest).status().unwrap();
    fs::write(&largest, bytes).unwrap();
    let ended = fixture.restore(&id, &fixture.path("out"), &[]);
    assert_eq!(
        (ended.code, ended.result.cause),
        (Some(1), Some(JobCause::Corrupt)),
        "{:?} {}",
        ended.result,
        ended.log
    );
    assert!(ended.result.message.contains("large"), "{}", ended.result.message);
    assert!(
        below(&fixture.path("out"), &fixture).join("text").exists(),
        "all other files are restored"
    );
}
