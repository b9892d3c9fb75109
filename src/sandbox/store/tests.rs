use std::fs;

use serde_json::json;

use super::shelf::HISTORY_EVENTS;
use super::*;

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

fn pod(name: &str, text: &str) -> Value {
    json!({"metadata": {"namespace": "default", "name": name}, "text": text})
}

#[test]
fn writes_need_the_version_they_change() {
    let store = Store::open(None).unwrap();
    let first = store.create(&pods(), pod("a", "1")).unwrap();
    assert!(matches!(
        store.create(&pods(), pod("a", "1")),
        Err(WriteError::Exists)
    ));
    let version = object::resource_version(&first).to_owned();
    let second = store.update(&pods(), pod("a", "2"), &version).unwrap();
    assert!(matches!(
        store.update(&pods(), pod("a", "3"), &version),
        Err(WriteError::Conflict)
    ));
    assert!(matches!(
        store.delete(&pods(), "default", "a", &version),
        Err(WriteError::Conflict)
    ));
    let gone = store
        .delete(&pods(), "default", "a", object::resource_version(&second))
        .unwrap();
    assert_eq!(gone["text"], "2");
    assert!(store.get(&pods(), "default", "a").is_none());
    let changes = store.changes(&pods(), version.parse().unwrap()).unwrap();
    assert_eq!(
        changes.iter().map(|c| c.deleted).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn history_is_bounded_and_says_so() {
    let store = Store::open(None).unwrap();
    let mut last = store.create(&pods(), pod("a", "")).unwrap();
    let begin: u64 = object::resource_version(&last).parse().unwrap();
    for i in 0..HISTORY_EVENTS + 5 {
        let expected = object::resource_version(&last).to_owned();
        last = store
            .update(&pods(), pod("a", &i.to_string()), &expected)
            .unwrap();
    }
    assert!(store.changes(&pods(), begin).is_err());
    assert_eq!(store.changes(&pods(), store.version() - 3).unwrap().len(), 3);
}

#[test]
fn older_states_are_kept_as_text_and_read_the_same() {
    let store = Store::open(None).unwrap();
    let still = store.create(&pods(), pod("still", "")).unwrap();
    let mut last = store.create(&pods(), pod("a", "0")).unwrap();
    let begin = store.version();
    for i in 1..300 {
        let expected = object::resource_version(&last).to_owned();
        last = store
            .update(&pods(), pod("a", &i.to_string()), &expected)
            .unwrap();
    }
    let changes = store.changes(&pods(), begin).unwrap();
    assert_eq!(changes.len(), 299);
    for (at, change) in changes.iter().enumerate() {
        assert_eq!(change.object.value()["text"], (at + 1).to_string());
        assert_eq!(change.previous.as_ref().unwrap().value()["text"], at.to_string());
    }
    let parsed = changes.iter().filter(|c| c.object.parsed().is_some()).count();
    assert!(parsed < 150, "{parsed} are parsed");
    let first = store.changes(&pods(), begin - 2).unwrap().remove(0);
    assert!(
        Arc::ptr_eq(first.object.parsed().unwrap(), &still),
        "it is still this"
    );
}

#[test]
fn state_survives_a_restart_and_a_torn_record() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let store = Store::open(Some(dir.path())).unwrap();
        let a = store.create(&pods(), pod("a", "kept")).unwrap();
        store.create(&pods(), pod("b", "kept")).unwrap();
        store
            .delete(&pods(), "default", "a", object::resource_version(&a))
            .unwrap();
        store.version()
    };
    let path = dir.path().join("objects.log");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"v\":99,\"r\":\"pods\",\"o\":{\"meta");
    fs::write(&path, bytes).unwrap();
    let store = Store::open(Some(dir.path())).unwrap();
    assert_eq!(store.version(), before);
    assert!(store.get(&pods(), "default", "a").is_none());
    assert_eq!(store.get(&pods(), "default", "b").unwrap()["text"], "kept");
    let c = store.create(&pods(), pod("c", "")).unwrap();
    assert_eq!(object::resource_version(&c), (before + 1).to_string());
    drop(store);
    assert!(
        Store::open(Some(dir.path()))
            .unwrap()
            .get(&pods(), "default", "c")
            .is_some()
    );
}

#[test]
fn a_log_of_many_overwrites_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Some(dir.path())).unwrap();
    let big = "x".repeat(1 << 16);
    let mut last = store.create(&pods(), pod("a", &big)).unwrap();
    store.create(&pods(), pod("b", "small")).unwrap();
    for _ in 0..100 {
        let expected = object::resource_version(&last).to_owned();
        last = store.update(&pods(), pod("a", &big), &expected).unwrap();
    }
    assert!(fs::metadata(dir.path().join("objects.log")).unwrap().len() < SMALL_ENOUGH);
    let version = store.version();
    drop(store);
    let store = Store::open(Some(dir.path())).unwrap();
    assert_eq!(store.version(), version);
    assert_eq!(store.get(&pods(), "default", "a").unwrap()["text"], json!(big));
    assert_eq!(store.get(&pods(), "default", "b").unwrap()["text"], "small");
}

/// A hundred overwrites of 64 KiB are 6.4 MiB; compaction starts at 4.
const SMALL_ENOUGH: u64 = 5 << 20;
