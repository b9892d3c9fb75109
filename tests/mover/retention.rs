//! Forget and prune.

use std::fs;

use kubestash::api::config::job_plan::{JobPlan, RetentionComponent, RetentionPlan, RetentionRepository};

use super::fixture::{COMPONENT_PATH, Ended, Fixture, Small};
use super::tree;

fn retain(fixture: &Fixture, forget: &[&str], prune: bool, documents: &[&str]) -> Ended {
    let plan = RetentionPlan {
        namespace: "demo".into(),
        backup_session: "bc-daily-1".into(),
        repositories: vec![RetentionRepository {
            repository: fixture.repository(),
            components: vec![RetentionComponent {
                component_path: COMPONENT_PATH.into(),
                forget: forget.iter().map(|id| (*id).to_owned()).collect(),
            }],
            prune,
            documents: documents.iter().map(|path| (*path).to_owned()).collect(),
        }],
        deadline: None,
        cluster: "cluster-1".into(),
    };
    fixture.write_plan(&JobPlan::Retention(plan));
    fixture.job(&["retention".to_owned()])
}

fn snapshots(fixture: &Fixture) -> usize {
    let listed = fixture.plain_restic(&["snapshots", "--json"]);
    serde_json::from_str::<serde_json::Value>(&listed)
        .unwrap()
        .as_array()
        .unwrap()
        .len()
}

fn stored(fixture: &Fixture) -> u64 {
    let data = fixture.repository_dir().join("data");
    let packs = fs::read_dir(data)
        .unwrap()
        .flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap().flatten());
    packs.map(|pack| pack.metadata().unwrap().len()).sum()
}

#[test]
fn exactly_the_given_snapshots_go_and_space_only_when_asked() {
    let Some(fixture) = Fixture::local() else { return };
    tree::make(&fixture.data());
    let first = fixture.good_backup("s-1", false);
    fs::remove_file(fixture.data().join("sub/large")).unwrap();
    let second = fixture.good_backup("s-2", true);
    let document = fixture.path("storage/demo/repo/snapshots/s-1.yaml");
    fs::create_dir_all(document.parent().unwrap()).unwrap();
    fs::write(&document, "x").unwrap();
    let before = stored(&fixture);

    let gone = "f".repeat(64);
    let ended = retain(&fixture, &[&first, &gone], false, &["snapshots/s-1.yaml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!((snapshots(&fixture), stored(&fixture)), (1, before));
    assert!(!ended.result.repositories[0].pruned && !document.exists());

    let ended = retain(&fixture, &[], true, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.result.repositories[0].pruned);
    assert!(stored(&fixture) < before / 2, "{} of {before}", stored(&fixture));
    fixture.plain_restic(&["check", "--read-data"]);
    assert!(fixture.plain_restic(&["snapshots", "--json"]).contains(&second));
    assert_eq!((fixture.locks(), fixture.records()), (0, 0));
}

#[test]
fn snapshots_are_forgotten_even_when_the_storage_is_full() {
    let Some(fixture) = Fixture::local() else { return };
    let small = fixture.path("storage");
    fs::remove_dir(&small).unwrap();
    let Some(small) = Small::mount(&small, "24m") else {
        return;
    };
    tree::make(&fixture.data());
    let first = fixture.good_backup("s-1", false);
    let second = fixture.good_backup("s-2", true);
    let mut filler = fs::File::create(small.0.join("filler")).unwrap();
    assert!(
        std::io::copy(&mut std::io::repeat(7), &mut filler).is_err(),
        "the storage must be full"
    );
    let ended = retain(&fixture, &[&first], false, &[]);
    assert_eq!(
        (ended.code, ended.result.repositories[0].forgotten),
        (Some(0), 1),
        "{}",
        ended.log
    );
    fs::remove_file(small.0.join("filler")).unwrap();
    assert_eq!(snapshots(&fixture), 1);
    fixture.plain_restic(&["cat", "snapshot", &second]);
    fixture.plain_restic(&["check"]);
}

#[test]
fn a_repository_in_use_is_not_pruned() {
    let Some(fixture) = Fixture::local() else { return };
    fs::write(fixture.data().join("f"), "x").unwrap();
    fixture.good_backup("s-1", false);
    // Somebody's laptop holds a lock that we know nothing of.
    let mut holder = std::process::Command::new(&fixture.restic)
        .args(["--no-cache", "-r"])
        .arg(fixture.repository_dir())
        .args(["backup", "--stdin"])
        .env("RESTIC_PASSWORD", super::fixture::PASSWORD)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    super::fixture::await_that("the lock", || fixture.locks() == 1);
    let ended = retain(&fixture, &[], true, &[]);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let result = &ended.result.repositories[0];
    assert!(
        !result.pruned && result.warnings[0].contains("in use"),
        "{result:?}"
    );
}
