//! Objects are named as kubectl's users name them, by every command that takes names.

use serde_json::json;

use super::restore::catalog;
use super::world::{World, configuration, shown, snapshot, world};

fn session(namespace: &str, name: &str, phase: &str) -> serde_json::Value {
    json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubestash.com/invoker-name": "sample"}},
        "spec": {"session": "daily", "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "sample"}},
        "status": {"phase": phase, "duration": "12s"}})
}

/// Runs a command with the object named in each way, and compares what it prints.
#[track_caller]
fn alike(world: &World, command: &[&str], ways: &[&[&str]]) {
    alike_with(world, "naming", 0, command, ways);
}

/// As [`alike`], of a command that ends with a code.
#[track_caller]
fn alike_with(world: &World, namespace: &str, code: i32, command: &[&str], ways: &[&[&str]]) -> String {
    let run = |way: &[&str]| {
        let all: Vec<&str> = command
            .iter()
            .chain(way)
            .copied()
            .chain(["-n", namespace])
            .collect();
        let run = world.run(&all);
        assert_eq!(run.code, code, "{all:?}: {}", run.all());
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
    first
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
    err| hint: this command works on one at a time: run it once for each
    ");
}

/// A namespace with a Repository, a Snapshot in it and a BackupConfiguration, and manifests of them as files.
fn shelf(world: &World, namespace: &str) {
    world.namespace(namespace);
    world.create(&configuration(namespace, "sample"));
    world.create(&snapshot(
        namespace,
        "repo-1",
        "Succeeded",
        "2026-01-01T00:00:00Z",
    ));
    world.create(&snapshot(
        namespace,
        "repo-2",
        "Succeeded",
        "2026-01-02T00:00:00Z",
    ));
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": "repo", "namespace": namespace},
        "spec": {"appRef": {"name": "x"}, "storageRef": {"name": "s"}, "path": "/x", "encryptionSecret": {"name": "k"}}}));
    for (kind, group, name) in [
        ("Repository", "storage", "repo"),
        ("Repository", "storage", "no-repo"),
        ("Snapshot", "storage", "repo-1"),
        ("BackupConfiguration", "core", "sample"),
    ] {
        world.file(
            &format!("{namespace}-{name}.yaml"),
            &format!(
                "apiVersion: {group}.kubestash.com/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
            ),
        );
    }
}

#[test]
fn commands_on_repositories_take_every_way() {
    let world = world();
    shelf(world, "naming-repos");
    let ways: &[&[&str]] = &[
        &["repo"],
        &["repo/repo"],
        &["repository", "repo"],
        &["repositories.storage.kubestash.com/repo"],
        &["-f", "naming-repos-repo.yaml"],
    ];
    alike_with(world, "naming-repos", 0, &["repo", "show"], ways);
    // There is no operator here that would start a reader: what is said of one that is not there shows how it was read.
    let ways: &[&[&str]] = &[
        &["no-repo"],
        &["repo/no-repo"],
        &["repository", "no-repo"],
        &["-f", "naming-repos-no-repo.yaml"],
    ];
    for command in [
        &["repo", "show"][..],
        &["repo", "check"],
        &["repo", "unlock"],
        &["repo", "key", "list"],
        &["repo", "key", "rotate", "--yes"],
        &["unlock"],
        &["password", "list"],
        &["password", "remove", "--id-paths", "ab:x"],
    ] {
        let said = alike_with(world, "naming-repos", 6, command, ways);
        assert!(
            said.contains("Repository no-repo in namespace naming-repos not found"),
            "{command:?}: {said}"
        );
    }
    let ways: &[&[&str]] = &[
        &["no-repo", "4fbd8d2a"],
        &["repo/no-repo", "4fbd8d2a"],
        &["repo", "no-repo", "4fbd8d2a"],
        &["-f", "naming-repos-no-repo.yaml", "4fbd8d2a"],
        &["4fbd8d2a", "-f", "naming-repos-no-repo.yaml"],
    ];
    alike_with(world, "naming-repos", 6, &["repo", "key", "remove"], ways);
    let piped = world.run_with(
        &[
            "repo",
            "show",
            "-",
            "-o",
            "jsonpath={.name}",
            "-n",
            "naming-repos",
        ],
        &world
            .run(&["repo", "list", "-n", "naming-repos", "-o", "name"])
            .out,
    );
    assert_eq!((piped.code, piped.out.as_str()), (0, "repo"), "{}", piped.all());
    shown!(world.run(&["repo", "show", "a", "b", "c", "-n", "naming-repos"]), @r"
    exit 2
    err| error: name one object (NAME, KIND/NAME or KIND NAME), not 3.
    err| hint: `kubectl kubestash repo show --help` shows what it takes
    err| hint: this command works on one at a time: run it once for each
    ");
    let keyless = world.run(&["repo", "key", "remove", "repo/repo", "-n", "naming-repos"]);
    assert!(
        keyless.code == 2 && keyless.err.contains("<KEY>"),
        "{}",
        keyless.all()
    );
    shown!(world.run(&["repo", "key", "remove", "-f", "naming-repos-repo.yaml", "a", "b", "-n", "naming-repos"]), @r"
    exit 2
    err| error: name one key after the Repository, not 2.
    err| hint: `kubectl kubestash repo key remove --help` shows what it takes
    err| hint: `kubectl kubestash repo key list repo` lists them
    ");
    // Those that can work on several say of each what is wrong with it.
    shown!(world.run_with(&["repo", "check", "-", "-n", "naming-repos"], "repo/no-1\nrepo/no-2\nrepo/no-1\n"), @r"
    exit 6
    err| error: Repository no-1 in namespace naming-repos not found.
    err| error: Repository no-2 in namespace naming-repos not found.
    ");
}

#[test]
fn commands_on_snapshots_take_every_way() {
    let world = world();
    shelf(world, "naming-snaps");
    let in_place = |command: &[&str]| -> Vec<String> {
        let all = [command, &["-n", "naming-snaps"]].concat();
        all.into_iter().map(ToOwned::to_owned).collect()
    };
    let run = |command: &[&str]| {
        let all = in_place(command);
        world.run(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let named: &[&[&str]] = &[
        &["repo-1"],
        &["snapshot/repo-1"],
        &["snapshots", "repo-1"],
        &["snapshot.storage.kubestash.com/repo-1"],
        &["-f", "naming-snaps-repo-1.yaml"],
    ];
    for way in named {
        let shown = run(&[&["snapshot", "show", "-o", "jsonpath={.name}"], *way].concat());
        assert_eq!((shown.code, shown.out.as_str()), (0, "repo-1"), "{}", shown.all());
    }
    // The Snapshots hold no files of restic's, which is said before any reader is asked for.
    for (command, rest) in [
        (&["snapshot", "ls"][..], &[][..]),
        (&["snapshot", "ls"], &["etc"]),
        (&["snapshot", "tree"], &["etc"]),
        (&["snapshot", "cat"], &["etc/hosts"]),
        (&["snapshot", "download", "--to", "out"], &[]),
        (&["snapshot", "download", "--to", "out"], &["a", "b"]),
        (&["snapshot", "diff"], &["live"]),
        (&["snapshot", "diff"], &["snapshot/repo-2"]),
    ] {
        for way in named {
            let said = run(&[command, *way, rest].concat());
            assert_eq!(said.code, 7, "{command:?} {way:?} {rest:?}: {}", said.all());
            assert!(
                said.err.contains("Snapshot repo-1 has no files to look at"),
                "{command:?} {way:?} {rest:?}: {}",
                said.all()
            );
        }
        // The latest of what made it, or of where it is.
        for way in [
            &["bc/sample"][..],
            &["backupconfiguration", "sample"],
            &["repo/repo"],
            &["-f", "naming-snaps-sample.yaml"],
        ] {
            let said = run(&[command, way, rest].concat());
            assert!(
                said.code == 7 && said.err.contains("Snapshot repo-2 has no files to look at"),
                "{command:?} {way:?} {rest:?}: {}",
                said.all()
            );
        }
    }
    let piped = world.run_with(
        &["snapshot", "diff", "-", "-n", "naming-snaps"],
        &run(&["snapshot", "list", "-o", "name"]).out,
    );
    assert!(
        piped.code == 7 && piped.err.contains("repo-1"),
        "two are read from standard input: {}",
        piped.all()
    );
    shown!(run(&["snapshot", "diff", "repo-1"]), @r"
    exit 2
    err| error: name two objects (NAME, KIND/NAME or KIND NAME NAME), not 1.
    err| hint: `kubectl kubestash snapshot diff --help` shows what it takes
    ");
    shown!(run(&["snapshot", "ls", "repo-1", "a", "b"]), @r"
    exit 7
    err| error: Snapshot repo-1 has no files to look at.
    err|   cause: of these components there are none: dump
    ");
    for place in [
        &["--repo", "repo/repo"][..],
        &["--in", "bc/sample"],
        &["--in", "repo/repo"],
        &["-f", "naming-snaps-sample.yaml"],
    ] {
        let said = run(&[&["snapshot", "find", "x"], place].concat());
        assert_eq!(said.code, 6, "{place:?}: {}", said.all());
        assert!(said.err.contains("Nothing matches"), "{place:?}: {}", said.all());
    }
    for place in [
        &["--repo", "nothing"][..],
        &["--in", "bc/nothing"],
        &["--in", "repo/nothing"],
        &["--in", "nothing"],
    ] {
        let said = run(&[&["snapshot", "find", "x"], place].concat());
        assert!(
            said.code == 6 && said.err.contains("nothing in namespace naming-snaps not found"),
            "{place:?}: {}",
            said.all()
        );
    }
    let listed = run(&["snapshot", "list", "--repo", "repository/repo", "-o", "name"]);
    assert_eq!(listed.out.lines().count(), 2, "{}", listed.all());
    shown!(world.run_with(&["snapshot", "delete", "-", "-n", "naming-snaps"], "snapshot/repo-1\nsnapshot/repo-2\n"), @r"
    exit 2
    err| Snapshot repo-1 of Repository repo, taken [days] ago: its data stays in the storage.
    err| Snapshot repo-2 of Repository repo, taken [days] ago: its data stays in the storage.
    err| error: nobody is there to confirm this: standard input is no terminal.
    err| hint: `kubectl kubestash snapshot delete --help` shows what it takes
    err| hint: `--yes` says delete without being asked
    ");
    let gone = world.run_with(
        &[
            "snapshot",
            "delete",
            "-f",
            "-",
            "--yes",
            "-q",
            "-n",
            "naming-snaps",
        ],
        &run(&["snapshot", "list", "-o", "yaml"]).out,
    );
    assert_eq!(gone.code, 0, "{}", gone.all());
    assert_eq!(gone.out.lines().count(), 2, "{}", gone.all());
    assert!(
        world
            .names("snapshots.storage.kubestash.com", "naming-snaps")
            .is_empty()
    );
}

#[test]
fn a_restore_takes_every_way() {
    let world = world();
    catalog(world);
    shelf(world, "naming-back");
    world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "naming-back"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    let restore = |way: &[&str], input: &str| {
        let base = [
            "restore",
            "-q",
            "-n",
            "naming-back",
            "-o",
            "jsonpath={.spec.dataSource.snapshot}",
        ];
        let run = world.run_with(&[&base[..], way].concat(), input);
        assert_eq!(run.code, 0, "{way:?}: {}", run.all());
        run.out
    };
    for way in [
        &["sample"][..],
        &["bc/sample"],
        &["bc", "sample"],
        &["-f", "naming-back-sample.yaml"],
        &["sample", "--repo", "repo/repo"],
    ] {
        assert_eq!(restore(way, ""), "repo-2", "{way:?}");
    }
    for way in [
        &["repo-1"][..],
        &["snapshot/repo-1"],
        &["snapshot", "repo-1"],
        &["-f", "naming-back-repo-1.yaml"],
        &["sample", "--snapshot", "snapshot/repo-1"],
    ] {
        assert_eq!(restore(way, ""), "repo-1", "{way:?}");
    }
    assert_eq!(
        restore(&["-"], "snapshot.storage.kubestash.com/repo-1\n"),
        "repo-1"
    );
    shown!(world.run(&["restore", "bc/sample", "snapshot/repo-1", "-n", "naming-back"]), @r"
    exit 2
    err| error: name one object (NAME, KIND/NAME or KIND NAME), not 2.
    err| hint: `kubectl kubestash restore --help` shows what it takes
    err| hint: this command works on one at a time: run it once for each
    ");
    shown!(world.run_with(&["restore", "-", "-n", "naming-back"], ""), @r"
    exit 6
    err| error: standard input names no BackupConfiguration or Snapshot.
    ");
}
