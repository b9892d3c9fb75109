//! Several configurations at once, events, JUnit, cancel, retry, show, pause and resume.

use serde_json::{Value, json};

use super::world::{configuration, shown, snapshot, world};

fn with_labels(mut object: Value, labels: &Value) -> Value {
    object["metadata"]["labels"] = labels.clone();
    object
}

fn session(namespace: &str, name: &str, phase: &str) -> Value {
    json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"session": "daily", "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "sample"}},
        "status": {"phase": phase, "duration": "12s", "snapshots": [
            {"name": format!("repo-{name}"), "phase": phase, "repository": "repo"}]}})
}

#[test]
fn one_that_cannot_run_does_not_keep_the_others() {
    let world = world();
    world.namespace("several");
    world.create(&with_labels(
        configuration("several", "first"),
        &json!({"team": "a"}),
    ));
    let mut paused = with_labels(configuration("several", "second"), &json!({"team": "a"}));
    paused["spec"]["paused"] = json!(true);
    world.create(&paused);
    shown!(world.run(&["backup", "now", "first", "bc/second", "-n", "several"]), @r"
    exit 4
    out| backupsession.core.kubestash.com/first-daily-[unix] created
    err| Follow it with `kubectl kubestash logs first-daily-[unix] -f -n several`.
    err| error: BackupConfiguration second is paused.
    err| hint: `kubectl kubestash resume second -n several` resumes it
    ");
    shown!(world.run(&["backup", "now", "-l", "team=a", "-n", "several"]), @r"
    exit 0
    out| backupsession.core.kubestash.com/first-daily-[unix] created
    err| Follow it with `kubectl kubestash logs first-daily-[unix] -f -n several`.
    err| warning: left out: BackupConfiguration second is paused.
    ");
    shown!(world.run(&["backup", "now", "-l", "team=b", "-n", "several"]), @r"
    exit 6
    err| error: there is no BackupConfiguration with labels team=b in namespace several.
    err| hint: `kubectl get bc -A --show-labels` lists those there are
    ");
    shown!(world.run(&["backup", "now", "-l", "team=a", "--session", "weekly", "-n", "several"]), @r"
    exit 6
    err| error: none of the BackupConfigurations has a session weekly that can run.
    ");
    shown!(world.run_with(&["backup", "now", "-", "-n", "several", "-o", "name"], "backupconfiguration.core.kubestash.com/first\n"), @r"
    exit 0
    out| backupsession.core.kubestash.com/first-daily-[unix]
    err| Follow it with `kubectl kubestash logs first-daily-[unix] -f -n several`.
    ");
    shown!(world.run(&["backup", "now", "-n", "several"]), @r"
    exit 2
    err| error: the following required arguments were not provided:
    err|   <BACKUPCONFIGURATION>...
    err|
    err| Usage: kubectl kubestash backup now --namespace <NAMESPACE> <BACKUPCONFIGURATION>...
    err|
    err| For more information, try '--help'.
    ");
    shown!(world.run(&["backup", "now", "first", "--all", "-n", "several"]), @r"
    exit 2
    err| error: the argument '[BACKUPCONFIGURATION]...' cannot be used with '--all'
    err|
    err| Usage: kubectl kubestash backup now --namespace <NAMESPACE> <BACKUPCONFIGURATION>...
    err|
    err| For more information, try '--help'.
    ");
    shown!(world.run(&["trigger", "first", "--sessions", "typo", "-n", "several"]), @r#"
    exit 6
    err| error: BackupConfiguration first has no session "typo".
    err| hint: it has: daily
    "#);
    let json = world.run(&[
        "trigger",
        "bc/first",
        "--sessions=daily",
        "-n",
        "several",
        "-o",
        "json",
    ]);
    world.valid("trigger", &json.out);
}

#[test]
fn events_are_what_the_schema_says() {
    let world = world();
    world.namespace("events");
    world.create(&configuration("events", "sample"));
    world.later(
        "backupsessions",
        "events",
        "sample-daily-",
        json!({"phase": "Failed", "duration": "3s", "conditions": [{"type": "BackupExecutorEnsured", "status": "False",
            "reason": "FailedToEnsureBackupExecutor", "message": "no such task", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
    );
    let run = world.run(&[
        "backup",
        "now",
        "sample",
        "-n",
        "events",
        "--events",
        "json",
        "--junit",
        "result.xml",
        "-q",
    ]);
    assert_eq!(run.code, 3, "{}", run.all());
    assert!(
        run.out.lines().all(|l| l.starts_with('{') && l.ends_with('}')),
        "one document a line:\n{}",
        run.out
    );
    let events = world.valid("events", &run.out);
    let types: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(types.first(), Some(&"created"));
    assert!(types.contains(&"phase"), "{types:?}");
    assert_eq!(&types[types.len() - 2..], ["ended", "result"]);
    assert_eq!(events.last().unwrap()["exitCode"], 3);
    assert_eq!(events[events.len() - 2]["causes"][0], "no such task");
    let xml = world.read("result.xml");
    assert!(xml.contains(r#"tests="1" failures="1" errors="0""#), "{xml}");
    assert!(
        xml.contains(r#"<testcase classname="events.sample" name="daily" time="3.000">"#),
        "{xml}"
    );
}

#[test]
fn what_could_not_begin_is_in_the_junit_file_too() {
    let world = world();
    world.namespace("junit");
    let run = world.run(&[
        "backup",
        "now",
        "nobody",
        "-n",
        "junit",
        "--junit",
        "nobody.xml",
        "--events",
        "json",
    ]);
    assert_eq!(run.code, 6, "{}", run.all());
    assert_eq!(world.valid("events", &run.out)[0]["exitCode"], 6);
    assert!(
        world
            .read("nobody.xml")
            .contains("BackupConfiguration nobody in namespace junit not found.")
    );
    shown!(world.run(&["backup", "now", "nobody", "-n", "junit", "--events", "json", "-o", "json"]), @r"
    exit 2
    err| error: the argument '--events <FORM>' cannot be used with '--output <FORMAT>'
    err|
    err| Usage: kubectl kubestash backup now --namespace <NAMESPACE> --events <FORM> <BACKUPCONFIGURATION>...
    err|
    err| For more information, try '--help'.
    ");
}

#[test]
fn an_interrupted_wait_says_how_to_go_on() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::io::Read;
    let world = world();
    world.namespace("go-on");
    world.create(&configuration("go-on", "sample"));
    let mut child = world
        .command(&[
            "backup",
            "now",
            "sample",
            "-n",
            "go-on",
            "--events",
            "json",
            "--junit",
            "stopped.xml",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    child.stderr.as_mut().unwrap().read_exact(&mut first).unwrap();
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(
        err.contains("goes on in the cluster")
            && err.contains("kubectl kubestash backup cancel sample-daily-"),
        "{err}"
    );
    let events = world.valid("events", &String::from_utf8(output.stdout).unwrap());
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["exitCode"]),
        (&json!("result"), &json!(130))
    );
    assert!(
        world
            .read("stopped.xml")
            .contains("interrupted while sample-daily-")
    );
    assert_eq!(
        world
            .run(&["backup", "list", "-n", "go-on", "-o", "name"])
            .out
            .lines()
            .count(),
        1
    );
}

#[test]
fn cancel_asks_the_operator_and_waits_for_the_end() {
    let world = world();
    world.namespace("cancel");
    world.create(&configuration("cancel", "sample"));
    world.create(&session("cancel", "done", "Succeeded"));
    world.create(&session("cancel", "busy", "Running"));
    shown!(world.run(&["backup", "cancel", "done", "-n", "cancel"]), @r"
    exit 7
    err| error: BackupSession done has ended already: it is Succeeded.
    ");
    shown!(world.run(&["backup", "cancel", "nobody", "-n", "cancel"]), @r"
    exit 6
    err| error: BackupSession nobody in namespace cancel not found.
    err| hint: `kubectl kubestash backup list -n cancel` lists them; bc/nobody means those of a BackupConfiguration
    ");
    shown!(world.run(&["backup", "cancel", "bc/other", "-n", "cancel"]), @r"
    exit 6
    err| error: BackupConfiguration other in namespace cancel not found.
    err| hint: namespace cancel has: sample
    ");
    shown!(world.run(&["backup", "cancel", "busy", "-n", "cancel", "--timeout", "1s", "--reason", "too slow"]), @r"
    exit 5
    err| busy: backing up (1 Snapshot)
    err| error: BackupSession busy did not end within [age].
    err| hint: the operator ends it; `kubectl get pods -A -l app.kubernetes.io/name=kubestash-operator` shows whether it runs
    err| hint: `kubectl kubestash why backupsession/busy -n cancel` says what it waits for
    ");
    let asked = world.run(&[
        "backup",
        "list",
        "-n",
        "cancel",
        "-o",
        r"jsonpath={.items[?(@.metadata.name=='busy')].metadata.annotations.kubestash\.com/cancel}",
    ]);
    assert!(
        asked.out.starts_with("by ") && asked.out.ends_with(": too slow"),
        "{}",
        asked.all()
    );
    world.later_when(
        "backupsessions",
        "cancel",
        "late",
        json!({"phase": "Failed"}),
        |session| session.metadata.annotations.is_some(),
    );
    world.later("backupsessions", "cancel", "busy", json!({"phase": "Failed"}));
    world.create(&session("cancel", "late", "Running"));
    shown!(world.run(&["backup", "cancel", "late", "-n", "cancel", "-q"]), @r"
    exit 0
    out| backupsession.core.kubestash.com/late cancelled
    ");
}

#[test]
fn retry_runs_what_failed_and_nothing_else() {
    let world = world();
    world.namespace("retry");
    world.create(&configuration("retry", "sample"));
    world.create(&session("retry", "done", "Succeeded"));
    shown!(world.run(&["backup", "retry", "done", "-n", "retry"]), @r"
    exit 7
    err| error: BackupSession done succeeded; there is nothing to run again.
    err| hint: `kubectl kubestash backup now sample --session daily -n retry` makes another backup
    ");
    shown!(world.run(&["backup", "retry", "bc/sample", "-n", "retry"]), @r"
    exit 6
    err| error: no session of BackupConfiguration sample has failed last.
    err| hint: `kubectl kubestash backup now sample -n retry` makes another backup
    ");
    world.create(&session("retry", "busy", "Running"));
    shown!(world.run(&["backup", "retry", "busy", "-n", "retry"]), @r"
    exit 7
    err| error: BackupSession busy has not ended yet.
    err| hint: `kubectl kubestash logs busy -f -n retry` follows it, `kubectl kubestash backup cancel busy -n retry` ends it
    ");
    world.create(&session("retry", "failed", "Failed"));
    shown!(world.run(&["backup", "retry", "failed", "-n", "retry"]), @r"
    exit 0
    out| backupsession.core.kubestash.com/sample-daily-[unix] created
    err| Follow it with `kubectl kubestash logs sample-daily-[unix] -f -n retry`.
    ");
}

#[test]
fn show_describes_a_backup_and_its_snapshot() {
    let world = world();
    world.namespace("show");
    world.create(&snapshot("show", "repo-b", "Failed", "2026-01-01T00:00:00Z"));
    world.create(&session("show", "b", "Failed"));
    shown!(world.run(&["backup", "show", "b", "-n", "show"]), @r"
    exit 0
    out| Name:             b
    out| Namespace:        show
    out| Configuration:    sample
    out| Session:          daily
    out| Phase:            Failed
    out| Created:          [time] ([age] ago)
    out| Duration:         [age]
    out|
    out| Snapshot repo-b
    out|   Repository:     repo
    out|   Phase:          Failed
    out|   COMPONENT   PHASE    SIZE   NEW   TOOK   PATH
    out|   dump        Failed
    out|   dump failed:
    out|     disk is full
    out|
    out| Why
    out|   component dump: disk is full
    out|
    out| `kubectl kubestash why backupsession/b -n show` says how to mend it.
    ");
    shown!(world.run(&["snapshot", "show", "snapshot/repo-b", "-n", "show"]), @r"
    exit 0
    out| Name:             repo-b
    out| Namespace:        show
    out| Application:      PersistentVolumeClaim/data
    out| Repository:       repo
    out| Session:          daily
    out| Backup session:   b
    out| Phase:            Failed
    out| Taken:            [time] ([days] ago)
    out| Size:             1.5 MiB
    out| Integrity:        intact when last checked
    out| Verification:     NotVerified
    out| Deletion policy:  Delete (deleting it leaves its data)
    out|
    out| Components
    out|   COMPONENT   PHASE    SIZE   NEW   TOOK   PATH
    out|   dump        Failed
    out|   dump failed:
    out|     disk is full
    out|
    out| Why
    out|   component dump: disk is full
    ");
    let json = world.run(&["backup", "show", "b", "-n", "show", "-o", "json"]);
    assert_eq!(
        world.valid("backup-show", &json.out)[0]["causes"][0],
        "component dump: disk is full"
    );
    let json = world.run(&["snapshot", "show", "repo-b", "-n", "show", "-o", "json"]);
    world.valid("snapshot-show", &json.out);
    shown!(world.run(&["backup", "show", "nobody", "-n", "show"]), @r"
    exit 6
    err| error: BackupSession nobody in namespace show not found.
    err| hint: `kubectl kubestash backup list -n show` lists the backups that ran
    ");
    shown!(world.run(&["snapshot", "show", "repo-b", "-n", "show", "--as", "nobody"]), @r#"
    exit 8
    err| error: snapshots.storage.kubestash.com "repo-b" is forbidden: User "nobody" cannot get resource "snapshots" in API group "storage.kubestash.com" in the namespace "show".
    err| hint: ask an administrator for the ClusterRole kubestash-edit (or kubestash-view to look only) in this namespace
    err| hint: `kubectl kubestash snapshot list -n show` lists them
    "#);
}

#[test]
fn pause_and_resume_are_said_as_they_are() {
    let world = world();
    world.namespace("pause");
    world.create(&configuration("pause", "first"));
    world.create(&configuration("pause", "second"));
    shown!(world.run(&["pause", "first", "-n", "pause"]), @r"
    exit 0
    out| backupconfiguration.core.kubestash.com/first paused
    ");
    shown!(world.run(&["pause", "--all", "-n", "pause"]), @r"
    exit 0
    out| backupconfiguration.core.kubestash.com/first is paused already
    out| backupconfiguration.core.kubestash.com/second paused
    ");
    let json = world.run(&["resume", "bc", "first", "second", "-n", "pause", "-o", "json"]);
    assert_eq!(
        world.valid("resume", &json.out)[0]["items"][1]["spec"]["paused"],
        json!(false)
    );
    shown!(world.run(&["resume", "first", "-n", "pause"]), @r"
    exit 0
    out| backupconfiguration.core.kubestash.com/first was not paused
    ");
    shown!(world.run(&["pause", "third", "-n", "pause"]), @r"
    exit 6
    err| error: BackupConfiguration third in namespace pause not found.
    err| hint: namespace pause has: first, second
    ");
    shown!(world.run(&["pause", "first", "-n", "pause", "--as", "nobody"]), @r#"
    exit 8
    err| error: backupconfigurations.core.kubestash.com "first" is forbidden: User "nobody" cannot get resource "backupconfigurations" in API group "core.kubestash.com" in the namespace "pause".
    err| hint: ask an administrator for the ClusterRole kubestash-edit (or kubestash-view to look only) in this namespace
    "#);
}
