//! Locks of pods that live, that ended in order, and that were killed: `repo unlock` removes those of pods that are gone,
//! and no other.

use std::time::Duration;

use serde_json::Value;

use super::stage::{Scene, eventually, stage};
use crate::documents;

/// Stops every restic in a container without ending it, and prints which.
const FREEZE: &str = r#"for p in /proc/[0-9]*; do
  read -r name < $p/comm || continue
  [ "$name" = restic ] || continue
  kill -STOP "${p#/proc/}" && echo "${p#/proc/}"
done 2>/dev/null; true"#;

impl Scene {
    /// The locks of `app`, as `repo unlock` shows them.
    fn locks(&self) -> Vec<Value> {
        let said = self.does(&["repo", "unlock", "app-repo", "--dry-run", "-o", "json"]);
        assert_eq!(said.code, 0, "{said:?}");
        let view = documents("repo-unlock", &said.out).pop().unwrap();
        view["locks"].as_array().unwrap().clone()
    }

    /// Waits for a lock of a pod that runs, and answers with it.
    fn held(&self) -> Value {
        eventually("a lock that is held", Duration::from_secs(120), || {
            let locks = self.locks();
            let of_a_pod = |l: &&Value| l["reason"].as_str().unwrap().contains("is running");
            locks.iter().find(of_a_pod).cloned()
        })
    }

    /// restic in a pod does nothing more, as if its node had lost its power: nobody gives its lock back. `false` where the
    /// mover's image has no shell to do this with, as those of `scripts/image-archive`.
    fn freeze(&self, pod: &str) -> bool {
        let frozen = self
            .stage
            .kubectl(&["exec", "-n", &self.namespace, pod, "--", "sh", "-c", FREEZE]);
        if frozen.err.contains("executable file not found") || frozen.err.contains("no such file") {
            return false;
        }
        assert!(
            frozen.code == 0 && !frozen.out.trim().is_empty(),
            "no restic was found in {pod}: {frozen:?}"
        );
        true
    }

    fn force_deleted(&self, pod: &str) {
        self.stage
            .kubectl(&[
                "delete",
                "pod",
                pod,
                "-n",
                &self.namespace,
                "--grace-period=0",
                "--force",
            ])
            .ok();
    }

    /// The Repository is whole, by restic's own word, and can be written to.
    fn is_whole_and_goes_on(&self) {
        let backup = self.backup_now("app");
        assert_eq!(backup.code, 0, "{backup:?}");
        let check = self
            .does(&["repo", "check", "app-repo", "--read-data", "-o", "json"])
            .ok();
        assert_eq!(
            documents("repo-check", &check)[0]["results"][0]["intact"],
            true,
            "{check}"
        );
        assert_eq!(self.locks(), Vec::<Value>::new());
        self.judge("app", "dump");
    }
}

#[test]
fn the_lock_of_a_killed_backup_goes_when_its_pod_is_gone_and_not_before() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("locks");
    let ns = scene.namespace.as_str();
    scene.backed_up();
    let none = scene.does(&["repo", "unlock", "app-repo"]);
    assert!(none.code == 0 && none.err.contains("no locks"), "{none:?}");

    // A backup that takes long holds a lock of a pod that lives.
    stage.sh(ns, "data-pod", "truncate -s 500G /data/hole");
    let begun = scene.does(&["backup", "now", "app", "-o", "name"]).ok();
    let session = begun.trim().rsplit('/').next().unwrap().to_owned();
    let held = scene.held();
    let (pod, id) = (held["host"].as_str().unwrap(), held["id"].as_str().unwrap());
    assert_eq!(held["state"], "held", "{held:#}");
    assert!(held["reason"].as_str().unwrap().contains(pod), "{held:#}");
    let kept = scene.does(&["repo", "unlock", "app-repo"]);
    assert_eq!(kept.code, 4, "a lock that stays is told by the code: {kept:?}");
    assert!(kept.out.contains("held") && kept.out.contains(pod), "{kept:?}");

    // It is killed. Its Job goes first, so that no other pod of it takes the lock away.
    if !scene.freeze(pod) {
        eprintln!("SKIPPED: a stale lock (the mover's image has no shell with which restic is stopped)");
        stage.sh(ns, "data-pod", "rm /data/hole");
        let cancelled = scene.does(&["backup", "cancel", &session]);
        assert_eq!(cancelled.code, 0, "{cancelled:?}");
        return;
    }
    let selector = format!("kubestash.com/invoker-name={session}");
    stage
        .kubectl(&["delete", "job", "-l", &selector, "-n", ns, "--cascade=orphan"])
        .ok();
    assert_eq!(
        scene.locks()[0]["state"],
        "held",
        "a pod without its Job lives all the same"
    );
    scene.force_deleted(pod);
    eventually("the pod to be gone", Duration::from_secs(60), || {
        stage.get(ns, "pod", pod).is_none().then_some(())
    });
    stage.sh(ns, "data-pod", "rm /data/hole");
    let stale = scene.locks();
    assert_eq!(stale.len(), 1, "{stale:#?}");
    assert_eq!(
        (&stale[0]["id"], &stale[0]["state"]),
        (&Value::from(id), &Value::from("stale")),
        "{stale:#?}"
    );
    assert!(
        stale[0]["reason"]
            .as_str()
            .unwrap()
            .contains(&format!("pod {ns}/{pod} is gone")),
        "{stale:#?}"
    );
    let gone = scene.does(&["repo", "unlock", "repository", "app-repo"]);
    assert_eq!(gone.code, 0, "{gone:?}");
    assert!(gone.out.contains("removed") && gone.out.contains(pod), "{gone:?}");
    let locks = scene.restic("app", "dump", &["list", "locks", "--no-lock", "-q"]);
    assert_eq!(locks.out.trim(), "", "{locks:?}");
    let ended = scene.finished(&session);
    assert_eq!(ended["status"]["phase"], "Failed", "{ended:#}");
    scene.is_whole_and_goes_on();
}
