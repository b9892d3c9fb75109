//! A Snapshot compared with its volume as it is now, and Snapshots deleted.

use std::time::Duration;

use serde_json::Value;

use super::super::stage::{eventually, program, stage};
use super::{Looker, twice};

/// Changes of a diff as `M path`.
fn told(diff: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = diff["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|c| format!("{} {}", text(&c["change"]), text(&c["path"])))
        .collect()
}

#[test]
fn a_snapshot_is_compared_with_its_volume_as_it_is_now() {
    let Some(stage) = stage() else { return };
    let (scene, old, new) = twice(stage, "live");
    let look = Looker::new(&scene, false);
    let quiet = look.json(&["diff", &new, "live"]);
    assert_eq!(told(&quiet), Vec::<String>::new(), "nothing changed since");
    let since = told(&look.json(&["diff", &old, "live"]));
    for change in [
        "M /kubestash-data/deep/er/app.yaml",
        "- /kubestash-data/gone",
        "U /kubestash-data/many/f4",
    ] {
        assert!(since.iter().any(|c| c == change), "{change} is not in {since:?}");
    }
    stage.sh(
        &scene.namespace,
        "data-pod",
        "set -e; cd /data; echo more >> private; touch -d '2002-02-02 02:02:02' many/f5; chmod 0640 many/f6; chmod 0644 many/f6; rm many/f7; mkdir -p many; touch -r many/f8 mark; printf X | dd of=many/f8 bs=1 seek=0 conv=notrunc 2>/dev/null; touch -r mark many/f8; rm mark",
    );
    let seen = told(&look.json(&["diff", "bc/look", "live"]));
    let without =
        |all: &[String]| -> Vec<String> { all.iter().filter(|c| !c.ends_with('/')).cloned().collect() };
    let at = |change: &str, name: &str| format!("{change} /kubestash-data/{name}");
    assert_eq!(
        without(&seen),
        [at("M", "many/f5"), at("-", "many/f7"), at("M", "private")],
        "{seen:?}"
    );
    let seen = told(&look.json(&["diff", "bc/look", "live", "--content"]));
    assert_eq!(
        without(&seen),
        [
            at("U", "many/f5"),
            at("-", "many/f7"),
            at("M", "many/f8"),
            at("M", "private")
        ],
        "a file that says nothing of its change is found out: {seen:?}"
    );
    let table = look.text(&["diff", "bc/look", "live"]);
    assert!(table.contains("M  /kubestash-data/private\n"), "{table}");
    assert_eq!(look.asked(&["diff", &old, &new, "--content"]).code, 2);
    eventually("the volume to be let go", Duration::from_secs(120), || {
        let pods = stage.list(
            &scene.namespace,
            "pod,job",
            "app.kubernetes.io/component=kubestash-live",
        );
        pods.is_empty().then_some(())
    });
    // Kubernetes keeps a claim as long as any pod names it, ended ones too: the operator lets go of its own.
    stage
        .kubectl(&["delete", "pod", "data-pod", "-n", &scene.namespace, "--wait=true"])
        .ok();
    stage
        .kubectl(&["delete", "pvc", "data", "-n", &scene.namespace, "--wait=true"])
        .ok();
    let gone = look.asked(&["diff", &new, "live"]);
    assert_eq!(gone.code, 7, "{}", gone.err);
    assert!(gone.err.contains("does not exist any more"), "{}", gone.err);
}

#[test]
fn a_snapshot_goes_only_when_somebody_says_so_and_its_data_only_by_policy() {
    let Some(stage) = stage() else { return };
    let (scene, old, new) = twice(stage, "delete");
    let look = Looker::new(&scene, false);
    let kept = || {
        let said = scene.restic("look", "dump", &["snapshots", "--json", "--no-lock"]);
        serde_json::from_str::<Vec<Value>>(&said.ok()).unwrap().len()
    };
    assert_eq!(kept(), 2);
    let unasked = look.asked(&["delete", &old]);
    assert_eq!(unasked.code, 2, "{}", unasked.err);
    // Somebody is asked, and says something else.
    let mut command = std::process::Command::new(program());
    command
        .env("KUBECONFIG", &stage.kubeconfig)
        .args(["snapshot", "delete", &old, "-n", &scene.namespace]);
    let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    terminal.exp_string(&format!("Type {old} to delete:")).unwrap();
    terminal.send_line("yes").unwrap();
    let said = terminal.exp_eof().unwrap();
    assert!(said.contains("nothing was deleted"), "{said}");
    assert_eq!(scene.snapshots("look-repo").len(), 2);

    let missing = look.asked(&["delete", "no-such-snapshot", "--yes"]);
    assert_ne!(missing.code, 0);
    let wiped = look.asked(&["delete", &old, "--policy", "WipeOut", "--yes"]);
    assert_eq!(wiped.code, 0, "{}", wiped.err);
    assert!(
        wiped.err.contains("removed from the storage for good"),
        "{}",
        wiped.err
    );
    assert_eq!(kept(), 1, "its data is gone");
    let left = look.asked(&["delete", &new, "--yes"]);
    assert_eq!(left.code, 0, "{}", left.err);
    assert!(
        stage
            .get(&scene.namespace, "snapshots.storage.kubestash.com", &new)
            .is_none()
    );
    assert_eq!(kept(), 1, "its data stays");
    scene.judge("look", "dump");
}
