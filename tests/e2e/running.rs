//! Running, ending and running again by hand; and a claim cloned, with nothing left behind.

use std::time::Duration;

use super::scene::condition;
use super::stage::{Said, Scene, eventually, stage};
use crate::documents;

#[test]
fn a_running_backup_is_cancelled_gives_its_lock_back_and_runs_again() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("cancel");
    let namespace = scene.namespace.as_str();
    scene.storage();
    scene.volume("data");
    // A hole of this size takes minutes to read on any machine and no space: the backup cannot end before it is cancelled.
    stage.sh(
        namespace,
        "data-pod",
        "dd if=/dev/urandom of=/data/big bs=1048576 count=64 2>/dev/null; truncate -s 500G /data/hole",
    );
    let target = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";
    scene.configuration("cancelled", target, "pvc-addon", "{}");
    let session = scene.initial_session("cancelled");
    eventually("restic holding its lock", Duration::from_secs(120), || {
        let locks = scene.restic("cancelled", "dump", &["list", "locks", "--no-lock", "-q"]);
        (locks.code == 0 && !locks.out.trim().is_empty()).then_some(())
    });
    let said = stage.cli(&[
        "backup",
        "cancel",
        &session,
        "-n",
        namespace,
        "--reason",
        "a test",
        "--timeout",
        "2m",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let ended = stage.get(namespace, "backupsession", &session).unwrap();
    assert_eq!(ended["status"]["phase"], "Failed", "{ended:#}");
    let why = condition(&ended, "BackupCancelled").unwrap();
    assert_eq!(why["status"], "True");
    assert!(why["message"].as_str().unwrap().ends_with(": a test"), "{why}");
    let selector = format!("kubestash.com/invoker-name={session}");
    eventually("its pods to go", Duration::from_secs(60), || {
        stage.list(namespace, "pod", &selector).is_empty().then_some(())
    });
    let locks = scene.restic("cancelled", "dump", &["list", "locks", "--no-lock", "-q"]);
    assert_eq!(locks.out.trim(), "", "restic gave its lock back: {locks:?}");
    let why = stage.cli(&["why", &format!("backupsession/{session}"), "-n", namespace]);
    assert!(
        why.out.contains("Cause: the backup was cancelled by"),
        "{}",
        why.out
    );
    let again = stage.cli(&["backup", "cancel", &session, "-n", namespace]);
    assert_eq!(again.code, 7, "{again:?}");

    // Some seconds of work, so that there is progress to see.
    stage.sh(namespace, "data-pod", "truncate -s 6G /data/hole");
    let file = tempfile::NamedTempFile::new().unwrap();
    let junit = file.path().to_str().unwrap();
    let said = stage.cli(&[
        "backup",
        "retry",
        &session,
        "-n",
        namespace,
        "--events",
        "json",
        "--logs",
        "--junit",
        junit,
        "--timeout",
        "5m",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let events = documents("events", &said.out);
    let types: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    for wanted in [
        "created",
        "phase",
        "component",
        "progress",
        "log",
        "ended",
        "result",
    ] {
        assert!(types.contains(&wanted), "{wanted} is missing: {types:?}");
    }
    assert_eq!(types.last(), Some(&"result"));
    let progress = events.iter().rfind(|e| e["type"] == "progress").unwrap();
    assert!(
        progress["bytesDone"].as_u64().is_some_and(|b| b > 0),
        "{progress}"
    );
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains(r#"tests="1" failures="0" errors="0""#), "{xml}");

    let status = stage.cli(&["status", "-n", namespace, "-o", "json"]);
    let status = &documents("status", &status.out)[0];
    assert_eq!(status["configurations"][0]["state"], "Protected", "{status:#}");
    let why = stage.cli(&["why", "bc/cancelled", "-n", namespace, "-o", "json"]);
    assert_eq!(documents("why", &why.out)[0]["health"], "healthy", "{}", why.out);
    let shown = stage.cli(&["debug", "backup", "cancelled", "-n", namespace]);
    assert!(
        shown.code == 0 && shown.out.contains("Logs of BackupSession"),
        "{shown:?}"
    );
    let operator = stage.cli(&["debug", "operator"]);
    assert!(
        operator.code == 0 && operator.out.contains("Logs of the operator"),
        "{operator:?}"
    );
}

impl Scene {
    /// Clones the claim `data` into another scene's namespace.
    fn cloned(&self, to: &Scene) -> Said {
        self.stage.cli(&[
            "clone",
            "pvc",
            "data",
            "-n",
            &self.namespace,
            "--to-namespace",
            &to.namespace,
            "--encrypt-secret",
            "encrypt-secret",
            "--storage-name",
            "s3-storage",
            "--storage-namespace",
            &self.namespace,
            "--timeout",
            "4m",
        ])
    }

    /// What is there beside the scene's own storage and policy.
    fn left_of_a_clone(&self) -> Vec<String> {
        let kinds = "backupconfiguration,backupsession,restoresession,retentionpolicy,repository,snapshots.storage.kubestash.com,backupstorage,job";
        let said = self
            .stage
            .kubectl(&["get", kinds, "-n", &self.namespace, "-o", "name"])
            .ok();
        said.lines()
            .filter(|l| !l.contains("s3-storage") && !l.contains("/keep"))
            .map(str::to_owned)
            .collect()
    }
}

#[test]
fn a_claim_is_cloned_and_nothing_else_stays() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("clone");
    let other = stage.scene("clone-to");
    scene.storage();
    scene.volume("data");
    scene.fill("data-pod", "/data");
    let before = scene.fingerprint("data-pod", "/data");
    let said = scene.cloned(&other);
    assert_eq!(said.code, 0, "{said:?}");
    eventually("nothing of the clone to be left", Duration::from_secs(60), || {
        scene.left_of_a_clone().is_empty().then_some(())
    });
    other.volume("data");
    assert_eq!(other.fingerprint("data-pod", "/data"), before);
    let taken = scene.cloned(&other);
    assert_eq!(taken.code, 7, "what is there already is not touched: {taken:?}");
    assert_eq!(scene.left_of_a_clone(), Vec::<String>::new());
}

#[test]
fn an_empty_claim_is_cloned_as_one() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("clone-empty");
    let other = stage.scene("clone-empty-to");
    scene.storage();
    scene.volume("data");
    let said = scene.cloned(&other);
    assert_eq!(said.code, 0, "{said:?}");
    eventually("nothing of the clone to be left", Duration::from_secs(60), || {
        scene.left_of_a_clone().is_empty().then_some(())
    });
    let copy = stage
        .get(&other.namespace, "pvc", "data")
        .expect("the clone stays");
    let source = stage.get(&scene.namespace, "pvc", "data").unwrap();
    assert_eq!(copy["spec"]["resources"], source["spec"]["resources"]);
    other.volume("data");
    let inside = "find /data -mindepth 1; stat -c %a /data";
    let here = stage.sh(&scene.namespace, "data-pod", inside);
    assert_eq!(stage.sh(&other.namespace, "data-pod", inside), here);
    assert_eq!(here.lines().count(), 1, "nothing is in it: {here}");
}
