//! Jobs that work on the documents of a local storage.

use std::collections::BTreeMap;
use std::fs;

use kubestash::api::config::job_plan::{JobPlan, StorageAction, StoragePlan};
use kubestash::api::config::job_result::{Document, ProofStep};

use super::fixture::{Ended, Fixture};

fn act(fixture: &Fixture, action: StorageAction) -> Ended {
    fixture.write_plan(&JobPlan::Storage(StoragePlan {
        backend: fixture.backend(),
        action,
        deadline: None,
    }));
    fixture.job(&["storage".to_owned()])
}

fn init(text: &str) -> StorageAction {
    StorageAction::Init {
        metadata: text.into(),
    }
}

fn documents(ended: &Ended) -> Vec<Document> {
    ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn metadata_is_written_once_and_read_back_ever_after() {
    let Some(fixture) = Fixture::local() else { return };
    let first = act(&fixture, init("kind: BackendMeta\n"));
    assert_eq!(
        (first.code, first.result.documents.as_ref().unwrap().count),
        (Some(0), 0),
        "{}",
        first.log
    );
    let second = act(&fixture, init("another"));
    let found = documents(&second);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].document.as_str(), found[0].content.as_str()),
        ("metadata.yaml", "kind: BackendMeta\n")
    );
    assert_eq!(second.result.documents.unwrap().count, 1);
}

#[test]
fn documents_are_uploaded_read_and_wiped() {
    let Some(fixture) = Fixture::local() else { return };
    let upload = BTreeMap::from([
        ("demo/repo/repository.yaml".to_owned(), "r".to_owned()),
        ("demo/repo/snapshots/a.yaml".to_owned(), "a".to_owned()),
        ("demo/repo/snapshots/b.yaml".to_owned(), "b".to_owned()),
    ]);
    let action = StorageAction::Upload {
        documents: upload,
        remove: vec!["demo/repo/snapshots/gone.yaml".into()],
    };
    assert_eq!(act(&fixture, action).code, Some(0));
    let ended = act(
        &fixture,
        StorageAction::Read {
            paths: vec![
                "demo/repo/repository.yaml".into(),
                "demo/repo/snapshots".into(),
                "demo/none".into(),
            ],
        },
    );
    let contents: Vec<_> = documents(&ended)
        .into_iter()
        .map(|document| document.content)
        .collect();
    assert_eq!(contents, ["r", "a", "b"], "{}", ended.log);
    let summary = ended.result.documents.unwrap();
    // printf 'rab' | sha256sum
    assert_eq!((summary.count, summary.sha256.len()), (3, 64));
    fs::create_dir_all(fixture.path("storage/demo/repo/repository/v1/data/00")).unwrap();
    fs::write(fixture.path("storage/other"), "x").unwrap();
    assert_eq!(
        act(
            &fixture,
            StorageAction::Wipe {
                path: "demo/repo".into()
            }
        )
        .code,
        Some(0)
    );
    assert!(!fixture.path("storage/demo/repo").exists() && fixture.path("storage/other").exists());
    assert_eq!(
        act(&fixture, StorageAction::Wipe { path: String::new() }).code,
        Some(0)
    );
    assert!(fs::read_dir(fixture.path("storage")).unwrap().next().is_none());
}

#[test]
fn a_volume_that_is_not_mounted_is_named() {
    let Some(fixture) = Fixture::local() else { return };
    fs::remove_dir_all(fixture.path("storage")).unwrap();
    let ended = act(&fixture, init("x"));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.result.message.contains("BackupStorage demo/storage"),
        "{:?}",
        ended.result
    );
}

#[test]
fn a_storage_is_proven_and_nothing_stays_behind() {
    let Some(fixture) = Fixture::local() else { return };
    let ended = act(&fixture, StorageAction::Prove);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(ended.result.proven, ProofStep::ALL);
    let left: Vec<_> = fs::read_dir(fixture.path("storage")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
