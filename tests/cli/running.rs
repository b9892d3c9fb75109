//! What a run says while it runs and when it is left: the bound with its JUnit file, a line every ten seconds where no
//! terminal is, Ctrl-C, and whose turn it is.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{configuration, shown, world};

fn with_labels(mut object: Value, labels: &Value) -> Value {
    object["metadata"]["labels"] = labels.clone();
    object
}

#[test]
fn a_bound_ends_with_five_and_a_file_that_is_xml() {
    let world = world();
    world.namespace("bound");
    world.namespace("bound-b");
    for (namespace, name) in [("bound", "one"), ("bound", "two"), ("bound-b", "three")] {
        world.create(&with_labels(
            configuration(namespace, name),
            &json!({"team": "bound"}),
        ));
    }
    world.later(
        "backupsessions",
        "bound",
        "two-daily-",
        json!({"phase": "Succeeded", "duration": "1s"}),
    );
    let run = world.run(&[
        "backup",
        "now",
        "-l",
        "team=bound",
        "-A",
        "--timeout",
        "3s",
        "--junit",
        "bound.xml",
        "-q",
    ]);
    assert_eq!(run.code, 5, "{}", run.all());
    assert!(
        run.err.contains("one-daily-") && run.err.contains("did not end within 3s, and goes on."),
        "{}",
        run.err
    );
    let xml = world.read("bound.xml");
    assert!(
        xml.contains(r#"tests="3" failures="0" errors="2" skipped="0""#),
        "{xml}"
    );
    assert!(
        xml.contains(r#"<testcase classname="bound.two" name="daily" time="1.000"/>"#),
        "{xml}"
    );
    assert!(
        xml.contains(r#"classname="bound-b.three""#) && xml.contains("did not end in time, and goes on"),
        "{xml}"
    );
    // Every tag that is opened is closed, in order: what CI systems refuse otherwise.
    let mut open: Vec<&str> = Vec::new();
    for tag in xml.split('<').skip(1).filter_map(|t| t.split('>').next()) {
        if tag.starts_with('?') || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{xml}"),
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty() && xml.ends_with("</testsuites>\n"), "{xml}");
}

#[test]
fn all_of_a_namespace_and_several_by_name() {
    let world = world();
    world.namespace("everything");
    for name in ["one", "two"] {
        world.create(&configuration("everything", name));
    }
    for name in ["one-daily-", "two-daily-"] {
        world.later(
            "backupsessions",
            "everything",
            name,
            json!({"phase": "Succeeded", "duration": "1s"}),
        );
    }
    shown!(world.run(&["backup", "now", "--all", "-n", "everything", "--wait", "-q"]), @r"
    exit 0
    out| NAME                   PHASE       DURATION
    out| one-daily-[unix]   Succeeded   [age]
    out| two-daily-[unix]   Succeeded   [age]
    ");
    shown!(world.run(&["backup", "list", "-n", "everything", "-o", "name"]), @r"
    exit 0
    out| backupsession.core.kubestash.com/one-daily-[unix]
    out| backupsession.core.kubestash.com/two-daily-[unix]
    ");
}

/// Starts `backup now` on a configuration whose backup makes progress and never ends, and interrupts it.
#[test]
fn one_plain_line_every_ten_seconds_and_a_way_on_after_ctrl_c() {
    let world = world();
    world.namespace("slow");
    world.create(&configuration("slow", "sample"));
    world.create(&super::world::snapshot(
        "slow",
        "repo-a",
        "Running",
        "2026-01-01T00:00:00Z",
    ));
    world.later(
        "backupsessions",
        "slow",
        "sample-daily-",
        json!({"phase": "Running", "snapshots": [{"name": "repo-a", "phase": "Running", "repository": "repo"}]}),
    );
    world.later(
        "snapshots",
        "slow",
        "repo-a",
        json!({"phase": "Running", "components": {"dump": {"phase": "Running", "driver": "Restic",
            "resticStats": [{"progress": {"percentDone": "40.00%", "backupDone": "400 B", "total": "1000 B"}}]}}}),
    );
    let mut child = world
        .command(&["backup", "now", "sample", "-n", "slow", "--wait"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let (mut told, mut said) = (Vec::new(), String::new());
    while told.len() < 2 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no two lines in a minute: {said}"
        );
        let line = lines.next().unwrap();
        if line.contains("40%") {
            told.push(Instant::now());
        }
        said.push_str(&format!("{line}\n"));
    }
    let between = told[1] - told[0];
    assert!(
        (9..14).contains(&between.as_secs()),
        "a line every ten seconds, not {between:?}: {said}"
    );
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let interrupted = Instant::now();
    said.extend(lines.map(|l| format!("{l}\n")));
    let output = child.wait_with_output().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(5), "it ends at once");
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(output.stdout.is_empty(), "no data without an end");
    assert!(
        !said.contains('\u{1b}') && !said.contains('\r'),
        "nothing is drawn: {said:?}"
    );
    assert!(
        said.contains("goes on in the cluster.") && said.contains("backup cancel sample-daily-"),
        "{said}"
    );
}

#[test]
fn what_is_left_by_ctrl_c_is_named() {
    let world = world();
    world.namespace("left");
    world.create(
        &json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": "sample-daily-1", "namespace": "left"},
        "spec": {"session": "daily", "invoker": {"kind": "BackupConfiguration", "name": "sample"}},
        "status": {"phase": "Running"}}),
    );
    for (args, says) in [
        (
            vec!["logs", "sample-daily-1", "-f"],
            "goes on without you; `kubectl kubestash logs backupsession/sample-daily-1 -f -n left`",
        ),
        (
            vec!["backup", "cancel", "sample-daily-1"],
            "the operator still ends sample-daily-1",
        ),
    ] {
        let child = world
            .command(&args)
            .args(["-n", "left"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs(3));
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

#[test]
fn backups_into_one_repository_take_turns() {
    let world = world();
    world.namespace("turns");
    let mut both = configuration("turns", "sample");
    let mut weekly = both["spec"]["sessions"][0].clone();
    weekly["name"] = json!("weekly");
    both["spec"]["sessions"].as_array_mut().unwrap().push(weekly);
    world.create(&both);
    shown!(world.run(&["backup", "now", "sample", "-n", "turns"]), @r"
    exit 4
    out| backupsession.core.kubestash.com/sample-daily-[unix] created
    err| Follow it with `kubectl kubestash logs sample-daily-[unix] -f -n turns`.
    err| error: session weekly of BackupConfiguration sample cannot run beside session daily: both use the Repository repo.
    err| hint: `kubectl kubestash backup now sample --session weekly --wait -n turns` begins when the other has ended
    ");
    world.namespace("turns-b");
    both["metadata"]["namespace"] = json!("turns-b");
    world.create(&both);
    for session in ["daily", "weekly"] {
        world.later(
            "backupsessions",
            "turns-b",
            &format!("sample-{session}-"),
            json!({"phase": "Succeeded", "duration": "1s"}),
        );
    }
    let run = world.run(&[
        "backup", "now", "sample", "-n", "turns-b", "--events", "json", "-q",
    ]);
    assert_eq!(run.code, 0, "{}", run.all());
    let events = world.valid("events", &run.out);
    let order: Vec<String> = events
        .iter()
        .filter(|e| ["created", "ended"].contains(&e["type"].as_str().unwrap()))
        .map(|e| {
            let name = e["name"].as_str().unwrap();
            let name = name.rsplit_once('-').unwrap().0;
            format!("{} {name}", e["type"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        order,
        [
            "created sample-daily",
            "ended sample-daily",
            "created sample-weekly",
            "ended sample-weekly"
        ]
    );
}
