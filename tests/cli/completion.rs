//! Completion in real shells, with names from the cluster.

use std::path::Path;
use std::process::Command;

use super::world::{World, configuration, world};

/// The program under another name, in a directory of its own.
fn linked(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-kubestash"), dir.path().join(name)).unwrap();
    dir
}

/// A namespace with two configurations.
fn prepared(namespace: &str) -> &'static World {
    let world = world();
    world.namespace(namespace);
    world.create(&configuration(namespace, "sample-a"));
    world.create(&configuration(namespace, "sample-b"));
    world
}

/// Runs a program with the kubeconfig of the world and our programs on the PATH.
fn output(world: &World, program: &str, args: &[&str], dir: &Path) -> Option<String> {
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    let output = Command::new(program)
        .args(args)
        .env("KUBECONFIG", world.kubeconfig())
        .env("PATH", path)
        .env("HOME", dir)
        .output();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            eprintln!("SKIPPED: {program} is not installed (run `make test`)");
            None
        }
    }
}

#[test]
fn kubectl_is_answered() {
    let world = prepared("complete-kubectl");
    let dir = linked("kubectl_complete-kubestash");
    let program = dir.path().join("kubectl_complete-kubestash");
    let args = ["backup", "now", "-n", "complete-kubectl", "sam"];
    let answer = output(world, program.to_str().unwrap(), &args, dir.path()).unwrap();
    assert_eq!(answer, "sample-a\nsample-b\n:4\n");
    let args = ["status", "-n", "complete-kub"];
    let answer = output(world, program.to_str().unwrap(), &args, dir.path()).unwrap();
    assert_eq!(answer, "complete-kubectl\n:4\n");
    let args = ["restore", "-n", "complete-kubectl", "bc/sample-b"];
    let answer = output(world, program.to_str().unwrap(), &args, dir.path()).unwrap();
    assert_eq!(answer, "bc/sample-b\n:4\n");
    let args = ["snapshot", "ls", "-n", "complete-kubectl", "bc/sample-b"];
    let answer = output(world, program.to_str().unwrap(), &args, dir.path()).unwrap();
    assert_eq!(answer, "bc/sample-b\n:4\n");
    let args = [
        "backup",
        "now",
        "sample-b",
        "-n",
        "complete-kubectl",
        "--session",
        "",
    ];
    let answer = output(world, program.to_str().unwrap(), &args, dir.path()).unwrap();
    assert_eq!(answer, "daily\n:4\n");
}

#[test]
fn bash_completes_names() {
    let world = prepared("complete-bash");
    let dir = linked("kubectl-kubestash");
    let script = r#"
        source <(kubectl-kubestash completion bash)
        function_name=$(complete -p kubectl-kubestash | sed 's/.*-F \([^ ]*\).*/\1/')
        COMP_WORDS=(kubectl-kubestash backup now -n complete-bash sam) COMP_CWORD=5 COMP_TYPE=9
        $function_name kubectl-kubestash sam complete-bash
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let Some(answer) = output(world, "bash", &["-c", script], dir.path()) else {
        return;
    };
    let words: Vec<&str> = answer.split_whitespace().collect();
    assert_eq!(words, ["sample-a", "sample-b"], "{answer}");
}

#[test]
fn fish_completes_names() {
    let world = prepared("complete-fish");
    let dir = linked("kubectl-kubestash");
    let script = "kubectl-kubestash completion fish | source; complete -C 'kubectl-kubestash backup now -n complete-fish sam'";
    let Some(answer) = output(world, "fish", &["--no-config", "-c", script], dir.path()) else {
        return;
    };
    let words: Vec<&str> = answer.split_whitespace().collect();
    assert_eq!(words, ["sample-a", "sample-b"], "{answer}");
}

#[test]
fn zsh_completes_a_command_and_a_name() {
    let world = world();
    world.namespace("complete-zsh");
    world.create(&configuration("complete-zsh", "onlyone"));
    let dir = linked("kubectl-kubestash");
    if output(world, "zsh", &["--version"], dir.path()).is_none() {
        return;
    }
    let mut command = Command::new("zsh");
    command
        .args(["-f", "-i"])
        .env("KUBECONFIG", world.kubeconfig())
        .env("HOME", dir.path())
        .env("TERM", "dumb")
        .env("PS1", "ready> ")
        .env(
            "PATH",
            format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap()),
        );
    let mut shell = rexpect::session::spawn_command(command, Some(30_000)).unwrap();
    shell
        .send_line("autoload -Uz compinit && compinit -u -D; source <(kubectl-kubestash completion zsh); echo pre''pared")
        .unwrap();
    shell.exp_string("prepared").unwrap();
    // A TAB completes what is unambiguous at once: a command, then a name of the cluster.
    shell.send("kubectl-kubestash backup no\t").unwrap();
    shell.flush().unwrap();
    shell.exp_string("backup now").unwrap();
    shell.send("-n complete-zsh only\t").unwrap();
    shell.flush().unwrap();
    shell.exp_string("onlyone").unwrap();
    shell.send_control('c').unwrap();
}

#[test]
fn the_installation_puts_script_and_link_where_shells_look() {
    let world = world();
    let dir = linked("kubectl-kubestash");
    let program = dir.path().join("kubectl-kubestash");
    let args = ["completion", "install", "--shell", "bash"];
    output(world, program.to_str().unwrap(), &args, dir.path()).unwrap();
    let script = dir
        .path()
        .join(".local/share/bash-completion/completions/kubectl-kubestash");
    assert!(std::fs::read_to_string(script).unwrap().contains("COMPLETE="));
    let link = dir.path().join(".local/bin/kubectl_complete-kubestash");
    assert!(link.exists(), "{}", link.display());
}
