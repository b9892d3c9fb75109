//! `snapshot list`, and paths that no Snapshot has.

use serde_json::json;

use super::world::{configuration, shown, snapshot, world};

#[test]
fn the_list_takes_every_form() {
    let world = world();
    world.namespace("snaps");
    world.create(&snapshot("snaps", "repo-a", "Succeeded", "2026-01-01T00:00:00Z"));
    world.create(&snapshot("snaps", "repo-b", "Failed", "2026-01-02T00:00:00Z"));
    shown!(world.run(&["snapshot", "list", "-n", "snaps"]), @r"
    exit 0
    out| NAME     REPOSITORY   SESSION   SNAPSHOT-TIME          SIZE      PHASE       AGE
    out| repo-a   repo         daily     [time]   1.5 MiB   Succeeded   [age]
    out| repo-b   repo         daily     [time]   1.5 MiB   Failed      [age]
    ");
    shown!(world.run(&["snapshot", "list", "-n", "snaps", "-o", "wide", "--no-headers", "--repo", "repo"]), @r"
    exit 0
    out| repo-a   repo   daily   [time]   1.5 MiB   Succeeded   [age]   PersistentVolumeClaim/data   1   true   NotVerified   Delete
    out| repo-b   repo   daily   [time]   1.5 MiB   Failed      [age]   PersistentVolumeClaim/data   1   true   NotVerified   Delete
    ");
    shown!(world.run(&["snapshot", "list", "-n", "snaps", "-o", "name"]), @r"
    exit 0
    out| snapshot.storage.kubestash.com/repo-a
    out| snapshot.storage.kubestash.com/repo-b
    ");
    let failed = r#"jsonpath={range .items[?(@.status.phase=="Failed")]}{.metadata.name}{"\n"}{end}"#;
    shown!(world.run(&["snapshot", "list", "-n", "snaps", "-o", failed]), @r"
    exit 0
    out| repo-b
    ");
    shown!(world.run(&["snapshot", "list", "-n", "snaps", "-o", "custom-columns=N:.metadata.name,P:.status.phase,X:.spec.x"]), @r"
    exit 0
    out| N        P           X
    out| repo-a   Succeeded   <none>
    out| repo-b   Failed      <none>
    ");
    let all = world.run(&["snapshot", "list", "-A", "-l", "kubestash.com/repo-name=repo"]);
    assert!(
        all.out.starts_with("NAMESPACE") && all.out.contains("\nsnaps "),
        "{}",
        all.out
    );
    let yaml = world.run(&["snapshot", "list", "-n", "snaps", "-o", "yaml"]);
    assert!(
        yaml.out
            .starts_with("apiVersion: v1\nitems:\n- apiVersion: storage.kubestash.com/v1alpha1\n"),
        "{}",
        yaml.out
    );
    assert!(!yaml.out.contains("managedFields"));
}

#[test]
fn nothing_is_not_the_same_as_no_repository() {
    let world = world();
    world.namespace("no-snaps");
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": "fresh", "namespace": "no-snaps"},
        "spec": {"appRef": {"name": "x"}, "storageRef": {"name": "s"}, "path": "/x", "encryptionSecret": {"name": "k"}}}));
    shown!(world.run(&["snapshot", "list", "-n", "no-snaps", "--repo", "fresh"]), @r"
    exit 0
    err| No Snapshots in namespace no-snaps.
    ");
    shown!(world.run(&["snapshot", "list", "-n", "no-snaps", "--repo", "other"]), @r"
    exit 6
    err| error: Repository other in namespace no-snaps not found.
    ");
}

#[test]
fn long_histories_come_in_pages() {
    let world = world();
    world.namespace("many");
    for i in 0..1203 {
        world.create(&snapshot(
            "many",
            &format!("repo-{i:04}"),
            "Succeeded",
            "2026-01-01T00:00:00Z",
        ));
    }
    let list = world.run(&["snapshot", "list", "-n", "many"]);
    let names: Vec<&str> = list
        .out
        .lines()
        .skip(1)
        .map(|l| l.split(' ').next().unwrap())
        .collect();
    assert_eq!(names.len(), 1203);
    assert_eq!((names[0], names[1202]), ("repo-0000", "repo-1202"));
}

#[test]
fn a_path_beside_everything_that_was_backed_up_starts_no_reader() {
    let world = world();
    world.namespace("beside");
    world.create(&configuration("beside", "sample"));
    let mut snapshot = snapshot("beside", "repo-1", "Succeeded", "2026-01-01T00:00:00Z");
    let read = |id: &str, path: &str| {
        json!({"phase": "Succeeded", "driver": "Restic", "path": "repository/v1/daily/x",
            "resticStats": [{"summary": {"id": id, "hostPath": path, "size": "1 B", "uploaded": "1 B"}}]})
    };
    snapshot["status"]["components"] = json!({"dump-pod-0": read("a1", "/var/lib/db"),
        "dump-pod-1": read("a2", "/var/lib/db"), "config": read("a3", "/etc/app")});
    world.create(&snapshot);
    let said = "exit 6\n\
        err| error: /srv/db is not in Snapshot repo-1.\n\
        err| hint: it holds: /etc/app (config), /var/lib/db (dump-pod-0, dump-pod-1)\n\
        err| hint: a path without a slash in front is meant below each of them\n";
    let to = tempfile::tempdir().unwrap();
    let new = to.path().join("new");
    for args in [
        &["ls", "repo-1", "/srv/db"][..],
        &["tree", "repo-1", "/srv/db"],
        &["cat", "repo-1", "/srv/db"],
        &[
            "download",
            "bc/sample",
            "config.yaml",
            "/srv/db",
            "-o",
            "tar",
            "-q",
        ],
        &[
            "download",
            "bc/sample",
            "/srv/db",
            "--to",
            new.to_str().unwrap(),
            "-q",
        ],
    ] {
        let run = world.run(&[&["snapshot", "-n", "beside"], args].concat());
        assert_eq!(run.all(), said, "{args:?}");
    }
    assert!(!new.exists(), "nothing is made for what cannot be there");
    shown!(world.run(&["snapshot", "history", "/srv/db", "--in", "repo-1", "-n", "beside"]), @r"
    exit 6
    err| error: no Snapshot has /srv/db.
    err| hint: they hold: /etc/app (config), /var/lib/db (dump-pod-0, dump-pod-1)
    err| hint: `kubectl kubestash snapshot find PATTERN` looks for names
    ");
}

#[test]
fn show_takes_the_newest_of_a_configuration_as_the_commands_that_look_inside_do() {
    let world = world();
    world.namespace("newest");
    world.create(&configuration("newest", "sample"));
    let mut none = configuration("newest", "none");
    none["spec"]["sessions"][0]["repositories"][0]["name"] = json!("none");
    world.create(&none);
    world.create(&snapshot("newest", "repo-1", "Succeeded", "2026-01-01T00:00:00Z"));
    world.create(&snapshot("newest", "repo-2", "Succeeded", "2026-01-02T00:00:00Z"));
    world.create(&snapshot("newest", "repo-3", "Failed", "2026-01-03T00:00:00Z"));
    let show = |words: &[&str]| {
        let command = ["snapshot", "show", "-n", "newest", "-o", "jsonpath={.name}"];
        world.run(&[&command, words].concat())
    };
    shown!(show(&["bc/sample"]), @r"
    exit 0
    out| repo-2
    err| Snapshot repo-2, taken [days] ago: the newest of BackupConfiguration sample that succeeded
    ");
    shown!(show(&["repo/repo"]), @r"
    exit 0
    out| repo-2
    err| Snapshot repo-2, taken [days] ago: the newest of Repository repo that succeeded
    ");
    for words in [
        &["sample"][..],
        &["BackupConfiguration", "sample"],
        &["backupconfigurations.core.kubestash.com/sample"],
    ] {
        assert_eq!(show(words).out, "repo-2", "{words:?}");
    }
    shown!(show(&["repo-3"]), @r"
    exit 0
    out| repo-3
    ");
    shown!(show(&["bc/none"]), @r"
    exit 6
    err| error: none has no Snapshot that succeeded.
    err| hint: `kubectl kubestash snapshot list -n newest` lists what there is
    ");
    shown!(show(&["bc/nobody"]), @r"
    exit 6
    err| error: BackupConfiguration nobody in namespace newest not found.
    ");
    shown!(show(&["nobody"]), @r"
    exit 6
    err| error: Snapshot or BackupConfiguration nobody in namespace newest not found.
    err| hint: `kubectl kubestash snapshot list -n newest` lists the Snapshots
    ");
    shown!(show(&["pod/x"]), @r#"
    exit 2
    err| error: "pod/x": this command works on Snapshot, BackupConfiguration, Repository.
    err| hint: `kubectl kubestash snapshot show --help` shows what it takes
    "#);
}
