//! Objects are named as kubectl's users name them, by every command that takes names.

use serde_json::json;

use super::world::{World, configuration, shown, world};

fn session(namespace: &str, name: &str, phase: &str) -> serde_json::Value {
    json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubestash.com/invoker-name": "sample"}},
        "spec": {"session": "daily", "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "sample"}},
        "status": {"phase": phase, "duration": "12s"}})
}

/// Runs a command with the object named in each way, and compares what it prints.
#[track_caller]
fn alike(world: &World, command: &[&str], ways: &[&[&str]]) {
    let run = |way: &[&str]| {
        let all: Vec<&str> = command
            .iter()
            .chain(way)
            .copied()
            .chain(["-n", "naming"])
            .collect();
        let run = world.run(&all);
        assert_eq!(run.code, 0, "{all:?}: {}", run.all());
        // Ages grow meanwhile.
        let ages = |word: &str| {
            word.trim_start_matches('(')
                .trim_end_matches(['s', 'm'])
                .parse::<u32>()
                .is_ok()
        };
        let all = run.all();
        let words = all.split_whitespace().map(|w| if ages(w) { "[age]" } else { w });
        words.collect::<Vec<_>>().join(" ")
    };
    let first = run(ways[0]);
    for way in &ways[1..] {
        assert_eq!(first, run(way), "{command:?} {way:?}");
    }
}

#[test]
fn every_command_takes_every_way_to_name_an_object() {
    let world = world();
    world.namespace("naming");
    world.create(&configuration("naming", "sample"));
    world.create(&session("naming", "sample-daily-1", "Succeeded"));
    world.create(&json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": {"name": "back", "namespace": "naming"},
        "spec": {"dataSource": {"repository": "repo", "snapshot": "latest"}, "addon": {"name": "a", "tasks": [{"name": "t"}]}},
        "status": {"phase": "Succeeded"}}));
    world.file(
        "naming.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n---\napiVersion: core.kubestash.com/v1alpha1\nkind: BackupConfiguration\nmetadata: {name: sample, namespace: naming}\n",
    );
    world.file(
        "naming-run.yaml",
        "apiVersion: core.kubestash.com/v1alpha1\nkind: BackupSession\nmetadata: {name: sample-daily-1, namespace: naming}\n",
    );
    let configurations: &[&[&str]] = &[
        &["bc/sample"],
        &["bc", "sample"],
        &["backupconfiguration.core.kubestash.com/sample"],
        &["-f", "naming.yaml"],
    ];
    let runs: &[&[&str]] = &[
        &["backupsession/sample-daily-1"],
        &["backupsession", "sample-daily-1"],
        &["BackupSessions", "sample-daily-1"],
    ];
    let run_files: &[&[&str]] = &[runs[0], &["sample-daily-1"], runs[1], &["-f", "naming-run.yaml"]];
    alike(world, &["why"], configurations);
    alike(world, &["why"], runs);
    alike(world, &["backup", "list"], configurations);
    alike(world, &["backup", "show"], run_files);
    alike(world, &["debug", "backup"], configurations);
    alike(
        world,
        &["debug", "restore"],
        &[&["back"], &["restoresession", "back"], &["restore/back"]],
    );
    alike(world, &["logs"], runs);
    alike(world, &["logs"], &[runs[0], &["--filename", "naming-run.yaml"]]);
    alike(
        world,
        &["resume"],
        &[
            configurations[0],
            configurations[1],
            configurations[3],
            &["sample"],
        ],
    );
    let paused = world.run(&["pause", "bc", "sample", "-n", "naming"]);
    assert_eq!(paused.code, 0, "{}", paused.all());
    let piped = world.run_with(
        &["resume", "-"],
        &world.run(&["pause", "sample", "-n", "naming", "-o", "yaml"]).out,
    );
    shown!(piped, @r"
    exit 0
    out| backupconfiguration.core.kubestash.com/sample resumed
    ");
    shown!(world.run_with(&["backup", "cancel", "-", "-n", "naming"], "backupsession.core.kubestash.com/sample-daily-1\n"), @r"
    exit 7
    err| error: BackupSession sample-daily-1 has ended already: it is Succeeded.
    ");
    shown!(world.run(&["backup", "retry", "backupsession", "sample-daily-1", "-n", "naming"]), @r"
    exit 7
    err| error: BackupSession sample-daily-1 succeeded; there is nothing to run again.
    err| hint: `kubectl kubestash backup now sample --session daily -n naming` makes another backup
    ");
    shown!(world.run(&["why", "-f", "naming.yaml", "-n", "elsewhere"]), @r"
    exit 2
    err| error: the manifest is of namespace naming, and not of elsewhere.
    ");
    shown!(world.run(&["debug", "backup", "a", "b", "-n", "naming"]), @r"
    exit 2
    err| error: name one object (NAME, KIND/NAME or KIND NAME), not 2.
    err| hint: `kubectl kubestash debug backup --help` shows what it takes
    ");
}
