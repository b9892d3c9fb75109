//! KubeStash's own commands: copy, clone, debug; and what a terminal shows while a backup runs.

use serde_json::json;

use super::world::{configuration, shown, world};

#[test]
fn a_secret_is_copied_as_it_is_and_nothing_is_overwritten() {
    let world = world();
    world.namespace("copy-a");
    world.namespace("copy-b");
    world.create(&json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "immutable": true,
        "metadata": {"name": "login", "namespace": "copy-a", "labels": {"app": "x"}}, "data": {"username": "bWU=", "password": "c2VjcmV0"}}));
    let copy = |more: &[&str]| {
        let mut args = vec!["copy", "secret", "login", "-n", "copy-a"];
        args.extend(more);
        world.run(&args)
    };
    shown!(copy(&["--to-namespace", "copy-b"]), @r"
    exit 0
    out| secret/login copied into namespace copy-b
    ");
    shown!(copy(&["--to-namespace", "copy-b"]), @r"
    exit 0
    out| secret/login is there already, with the same content, in namespace copy-b
    ");
    let json = copy(&["--to-namespace", "copy-b", "-o", "json"]);
    let secret = &world.valid("copy-secret", &json.out)[0];
    assert_eq!(
        (&secret["type"], &secret["immutable"]),
        (&json!("kubernetes.io/basic-auth"), &json!(true))
    );
    assert!(!json.all().contains("c2VjcmV0"), "values are not printed");
    world.namespace("copy-c");
    world.create(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "copy-c"}, "data": {}}));
    shown!(copy(&["--to-namespace", "copy-c"]), @r"
    exit 7
    err| error: Secret login exists in namespace copy-c with another content.
    err| hint: --force replaces it
    ");
    shown!(copy(&["--to-namespace", "copy-c", "--force"]), @r"
    exit 0
    out| secret/login replaced in namespace copy-c
    ");
    shown!(copy(&["--to-namespace", "copy-a"]), @r"
    exit 2
    err| error: it is in namespace copy-a already; --to-namespace names another one.
    err| hint: `kubectl kubestash copy secret --help` shows what it takes
    ");
    shown!(copy(&["--to-namespace", "nowhere"]), @r"
    exit 6
    err| error: namespace nowhere does not exist.
    err| hint: `kubectl create namespace nowhere` creates it
    ");
    assert_eq!(copy(&[]).code, 2);
    let missing = world.run(&[
        "cp",
        "volumesnapshot",
        "v",
        "-n",
        "copy-a",
        "--to-namespace",
        "copy-b",
    ]);
    assert!(matches!(missing.code, 6 | 7), "{}", missing.all());
    assert!(
        !missing.err.contains("KubeStash is not installed"),
        "{}",
        missing.err
    );
}

#[test]
fn a_clone_checks_before_it_makes_anything() {
    let world = world();
    world.namespace("clone-a");
    world.namespace("clone-b");
    let clone = |more: &[&str]| {
        let mut args = vec![
            "clone",
            "pvc",
            "data",
            "-n",
            "clone-a",
            "--encrypt-secret",
            "key",
            "-q",
        ];
        args.extend(more);
        world.run(&args)
    };
    shown!(clone(&["--to-namespace", "clone-b", "--storage-name", "s3"]), @r"
    exit 6
    err| error: PersistentVolumeClaim data in namespace clone-a not found.
    ");
    world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "clone-a"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    shown!(clone(&["--to-namespace", "clone-b"]), @r"
    exit 2
    err| error: --provider is needed, as no --storage-name is given.
    err| hint: `kubectl get backupstorages -A` lists the storages there are
    ");
    shown!(clone(&["--to-namespace", "clone-b", "--provider", "s3", "--bucket", "b"]), @r"
    exit 2
    err| error: --endpoint is needed, as no --storage-name is given.
    err| hint: `kubectl get backupstorages -A` lists the storages there are
    ");
    shown!(clone(&["--to-namespace", "clone-a", "--storage-name", "s3"]), @r"
    exit 2
    err| error: a claim cannot be cloned onto itself; --to-namespace or --to-name names another one.
    err| hint: `kubectl kubestash clone pvc --help` shows what it takes
    ");
    let late = clone(&[
        "--to-namespace",
        "clone-b",
        "--provider",
        "s3",
        "--bucket",
        "b",
        "--endpoint",
        "http://x",
        "--timeout",
        "2s",
    ]);
    assert_eq!(late.code, 5, "{}", late.all());
    let left = world.run(&["status", "-n", "clone-a", "-o", "jsonpath={.storages}"]);
    assert_eq!(left.out, "[]", "what was made is removed after a timeout too");
}

#[test]
fn debug_says_something_whatever_the_state() {
    let world = world();
    world.namespace("debug");
    world.create(&configuration("debug", "sample"));
    let run = world.run(&["debug", "backup", "sample", "-n", "debug"]);
    assert_eq!(run.code, 0, "{}", run.all());
    assert!(
        run.out
            .starts_with("BackupConfiguration debug/sample is not all right"),
        "{}",
        run.out
    );
    assert!(
        run.err
            .contains("No backup of BackupConfiguration sample has run yet."),
        "{}",
        run.err
    );
    shown!(world.run(&["debug", "backup", "sample", "--sessions", "x", "-n", "debug"]), @r#"
    exit 6
    err| error: BackupConfiguration sample has no session "x".
    err| hint: it has: daily
    "#);
    shown!(world.run(&["debug", "operator"]), @r"
    exit 7
    err| error: no KubeStash operator is installed in this cluster.
    err| hint: `kubectl kubestash install` installs it
    ");
    shown!(world.run(&["debug", "backupstorage", "nobody", "-n", "debug"]), @r"
    exit 6
    err| error: BackupStorage nobody in namespace debug not found.
    ");
    shown!(world.run(&["debug", "restore", "nobody", "-n", "debug"]), @r"
    exit 6
    err| error: RestoreSession nobody in namespace debug not found.
    ");
    shown!(world.run(&["logs", "bc/sample", "-n", "debug"]), @r"
    exit 6
    err| error: no backup of BackupConfiguration sample has run yet.
    err| hint: `kubectl kubestash backup now sample -n debug --logs` runs one
    ");
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let world = world();
    world.namespace("pty");
    world.create(&configuration("pty", "sample"));
    let mut running = super::world::snapshot("pty", "repo-x", "Running", "2026-01-01T00:00:00Z");
    running["status"]["components"] = json!({"dump": {"phase": "Running", "driver": "Restic", "resticStats": [{"progress": {
        "percentDone": "25.00%", "backupDone": "1.0 GB", "total": "4.0 GB", "filesDone": 10, "totalFiles": 40,
        "speed": "50.0 MB/s", "secondsElapsed": 20}}]}});
    world.create(&running);
    world.later(
        "backupsessions",
        "pty",
        "sample-daily-",
        json!({"phase": "Running", "snapshots": [{"name": "repo-x", "phase": "Running", "repository": "repo"}]}),
    );
    let mut command = world.command(&["backup", "now", "sample", "-n", "pty", "--wait"]);
    command.env("TERM", "xterm-256color");
    let mut terminal = rexpect::session::spawn_command(command, Some(30_000)).unwrap();
    terminal.exp_string("25%").unwrap();
    terminal.exp_string("1.0 GB of 4.0 GB").unwrap();
    terminal.exp_string("10 of 40 files").unwrap();
    world.later(
        "backupsessions",
        "pty",
        "sample-daily-",
        json!({"phase": "Succeeded", "duration": "3s"}),
    );
    terminal.exp_string("DURATION").unwrap();
    terminal.exp_string("Succeeded").unwrap();
    terminal.exp_eof().unwrap();
}
