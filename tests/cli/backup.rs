//! `backup now` and `backup list`.

use serde_json::json;

use super::world::{configuration, shown, snapshot, world};

#[test]
fn now_creates_a_session_as_the_schedule_would() {
    let world = world();
    world.namespace("now");
    world.create(&configuration("now", "sample"));
    shown!(world.run(&["backup", "now", "bc/sample", "-n", "now"]), @r"
    exit 0
    out| backupsession.core.kubestash.com/sample-daily-[unix] created
    err| Follow it with `kubectl kubestash logs sample-daily-[unix] -f -n now`.
    ");
    let json = world.run(&["backup", "now", "sample", "-n", "now", "-o", "json", "-q"]);
    let made: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        made["spec"]["retryLeft"],
        json!(null),
        "whoever asks by hand looks at the result"
    );
    assert_eq!(made["metadata"]["labels"]["kubestash.com/invoker-name"], "sample");
    assert_eq!(
        made["metadata"]["ownerReferences"][0]["kind"],
        "BackupConfiguration"
    );
    assert_eq!(json.err, "");
    let list = world.run(&["backup", "list", "sample", "-n", "now"]);
    assert_eq!(
        list.out.lines().count(),
        3,
        "two of the same moment do not collide:\n{}",
        list.out
    );
    let names = world.run(&["backup", "list", "-n", "now", "-o", "name"]);
    assert!(
        names
            .out
            .lines()
            .all(|l| l.starts_with("backupsession.core.kubestash.com/sample-daily-")),
        "{}",
        names.out
    );
}

#[test]
fn now_refuses_with_the_reason_and_the_way_out() {
    let world = world();
    world.namespace("refuse");
    let mut paused = configuration("refuse", "paused");
    paused["spec"]["paused"] = json!(true);
    world.create(&paused);
    let mut missing = configuration("refuse", "missing");
    missing["status"] = json!({"phase": "NotReady", "targetFound": false});
    world.create(&missing);
    shown!(world.run(&["backup", "now", "paused", "-n", "refuse"]), @r"
    exit 7
    err| error: BackupConfiguration paused is paused.
    err| hint: `kubectl kubestash resume paused -n refuse` resumes it
    ");
    shown!(world.run(&["backup", "now", "missing", "-n", "refuse"]), @r"
    exit 7
    err| error: BackupConfiguration missing is not ready.
    err|   cause: its target PersistentVolumeClaim refuse/data does not exist
    err| hint: `kubectl kubestash why bc/missing -n refuse` says what it waits for
    ");
    shown!(world.run(&["backup", "now", "paused", "-n", "refuse", "--session", "dayly"]), @r#"
    exit 6
    err| error: BackupConfiguration paused has no session "dayly".
    err| hint: it has: daily
    "#);
    shown!(world.run(&["backup", "now", "other", "-n", "refuse"]), @r"
    exit 6
    err| error: BackupConfiguration other in namespace refuse not found.
    err| hint: namespace refuse has: missing, paused
    ");
    shown!(world.run(&["backup", "now", "pod/x", "-n", "refuse"]), @r#"
    exit 2
    err| error: "pod/x": this command works on BackupConfiguration.
    err| hint: `kubectl kubestash backup now --help` shows what it takes
    "#);
    shown!(world.run(&["backup", "now", "paused", "-A"]), @r"
    exit 2
    err| error: this command works in one namespace; use -n instead of -A.
    err| hint: `kubectl kubestash backup now --help` shows what it takes
    ");
}

#[test]
fn waiting_ends_with_a_code_that_says_how() {
    let world = world();
    for (namespace, phase) in [
        ("wait-ok", "Succeeded"),
        ("wait-failed", "Failed"),
        ("wait-skipped", "Skipped"),
    ] {
        world.namespace(namespace);
        world.create(&configuration(namespace, "sample"));
        let mut status = json!({"phase": phase, "duration": "12s"});
        match phase {
            "Failed" => {
                world.create(&snapshot(namespace, "repo-x", "Failed", "2026-01-01T00:00:00Z"));
                status["snapshots"] = json!([{"name": "repo-x", "phase": "Failed", "repository": "repo"}]);
            }
            "Skipped" => {
                status["conditions"] = json!([{"type": "BackupSkipped", "status": "True", "reason": "PreRequisitesNotSatisfied",
                    "message": "another session is running", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
            }
            _ => {}
        }
        world.later("backupsessions", namespace, "sample-daily-", status);
    }
    shown!(world.run(&["backup", "now", "sample", "-n", "wait-ok", "--wait", "-q"]), @r"
    exit 0
    out| NAME                      PHASE       DURATION
    out| sample-daily-[unix]   Succeeded   [age]
    ");
    shown!(world.run(&["backup", "now", "sample", "-n", "wait-failed", "--wait", "-q", "-o", "jsonpath={.status.phase}"]), @r"
    exit 3
    out| Failed
    err| error: BackupSession sample-daily-[unix] failed.
    err|   cause: component dump: disk is full
    err| hint: `kubectl kubestash logs backupsession/sample-daily-[unix] -n wait-failed` shows what its pods said
    ");
    shown!(world.run(&["backup", "now", "sample", "-n", "wait-skipped", "--wait", "-q", "-o", "name"]), @r"
    exit 7
    out| backupsession.core.kubestash.com/sample-daily-[unix]
    err| error: BackupSession sample-daily-[unix] was skipped.
    err|   cause: another session is running
    err| hint: `kubectl kubestash why backupsession/sample-daily-[unix] -n wait-skipped` says what to do
    ");
}

#[test]
fn a_wait_has_a_bound() {
    let world = world();
    world.namespace("late");
    world.create(&configuration("late", "sample"));
    shown!(world.run(&["backup", "now", "sample", "-n", "late", "--wait", "--timeout", "1s", "-q"]), @r"
    exit 5
    err| error: sample-daily-[unix] did not end within [age], and goes on.
    err| hint: `kubectl kubestash logs sample-daily-[unix] -f -n late` follows it, `kubectl kubestash why backupsession/sample-daily-[unix] -n late` says what it waits for
    ");
}

#[test]
fn a_list_may_be_empty() {
    let world = world();
    world.namespace("empty");
    shown!(world.run(&["backup", "list", "-n", "empty"]), @r"
    exit 0
    err| No BackupSessions in namespace empty.
    ");
    shown!(world.run(&["backup", "list", "-n", "empty", "-o", "jsonpath={.items}"]), @r"
    exit 0
    out| []
    ");
    shown!(world.run(&["backup", "list", "nobody", "-n", "empty"]), @r"
    exit 6
    err| error: BackupConfiguration nobody in namespace empty not found.
    ");
}
