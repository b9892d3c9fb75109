//! What holds for every command.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::world::{World, shown, snapshot, world};

#[test]
fn a_cluster_without_our_kinds_says_how_to_install() {
    let world = World::empty();
    for args in [
        &["backup", "list"][..],
        &["snapshot", "list"],
        &["status"],
        &["backup", "now", "x"],
        &["logs", "x"],
    ] {
        let run = world.run(args);
        assert_eq!(run.code, 7, "{args:?}: {}", run.all());
        assert!(
            run.err
                .starts_with("error: KubeStash is not installed in this cluster.\n"),
            "{}",
            run.err
        );
        assert!(
            run.err
                .ends_with("hint: `kubectl kubestash install` installs it\n"),
            "{}",
            run.err
        );
    }
}

#[test]
fn who_may_not_look_is_told_whom_to_ask() {
    shown!(world().run(&["snapshot", "list", "--as", "nobody"]), @r#"
    exit 8
    err| error: snapshots.storage.kubestash.com is forbidden: User "nobody" cannot list resource "snapshots" in API group "storage.kubestash.com" in the namespace "default".
    err| hint: ask an administrator for the ClusterRole kubestash-edit (or kubestash-view to look only) in this namespace
    "#);
}

#[test]
fn without_a_cluster_there_is_a_way_on() {
    let world = World::empty();
    shown!(world.run(&["status", "--kubeconfig", "missing"]), @r#"
    exit 1
    err| error: the kubeconfig cannot be used.
    err|   cause: failed to read kubeconfig from '"missing"': No such file or directory (os error 2)
    "#);
    shown!(world.run(&["status", "--context", "other"]), @r#"
    exit 1
    err| error: context "other" does not exist in the kubeconfig.
    err| hint: there are: c
    "#);
    let run = world.run(&[
        "status",
        "--server",
        "https://127.0.0.1:1",
        "--request-timeout",
        "5s",
    ]);
    assert_eq!(run.code, 1, "{}", run.all());
    assert!(
        run.err.contains("cannot be reached") && run.err.contains("Connection refused"),
        "{}",
        run.err
    );
}

#[test]
fn the_first_screen_is_by_purpose() {
    let run = world().run(&["--help"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert!(
        run.out.starts_with(
            "Back up and restore what runs in Kubernetes.\n\nUsage: kubectl kubestash <COMMAND>"
        ),
        "{}",
        run.out
    );
    shown!(world().run(&["bakcup"]), @r"
    exit 2
    err| error: unrecognized subcommand 'bakcup'
    err|
    err|   tip: a similar subcommand exists: 'backup'
    err|
    err| Usage: kubectl kubestash [OPTIONS] <COMMAND>
    err|
    err| For more information, try '--help'.
    ");
}

#[test]
fn the_version_is_there_at_once() {
    let started = Instant::now();
    let run = world().run(&["--version"]);
    let took = started.elapsed();
    assert_eq!(
        run.out,
        format!("kubectl-kubestash {}\n", env!("CARGO_PKG_VERSION"))
    );
    // Generous for a debug build on a busy machine; the benchmark measures the release build.
    assert!(took < Duration::from_secs(2), "{took:?}");
    shown!(world().run(&["version"]), @r"
    exit 0
    out| kubectl kubestash   0.1.0
    out| operator            not installed
    out| definitions         0.1.0 (all 14 as this program has them)
    out| Kubernetes          1.32.0+sandbox
    ");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_silently() {
    let world = world();
    world.namespace("pipe");
    for i in 0..600 {
        world.create(&snapshot(
            "pipe",
            &format!("repo-{i:04}"),
            "Succeeded",
            "2026-01-01T00:00:00Z",
        ));
    }
    let mut child = world
        .command(&["snapshot", "list", "-n", "pipe", "-o", "yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(0), "")
    );
}

#[test]
fn ctrl_c_ends_a_wait_with_130() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let world = world();
    world.namespace("ctrl-c");
    world.create(&super::world::configuration("ctrl-c", "sample"));
    let mut child = world
        .command(&["backup", "now", "sample", "-n", "ctrl-c", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = child.stderr.take().unwrap();
    let mut first = [0; 8];
    // The first words say that it waits; the signal handler is there by then.
    err.read_exact(&mut first).unwrap();
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
