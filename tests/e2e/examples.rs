//! The examples of every command's help, run as they stand: objects are called as in the examples, so that whoever reads
//! `--help` can believe it. An example that ends otherwise than well is named here with its code and the reason, and so
//! is one that is not run.

use std::collections::BTreeMap;
use std::process::Command;

use super::scene::stateful_set_yaml;
use super::stage::{BUCKET, Scene, run, stage};

/// Examples that end with another code than 0, by their beginning: the code, and why it is right.
const ENDS_WITH: &[(&str, &[i32], &str)] = &[
    (
        "backup cancel bc/sample-backup",
        &[6],
        "nothing runs at the moment",
    ),
    ("backup cancel sample-backup-daily", &[7], "it has ended already"),
    ("backup retry bc/", &[6], "nothing has failed"),
    ("backup retry sample-backup-daily", &[7], "it has succeeded"),
    ("create backup", &[2], "nobody is there to answer its questions"),
    ("create restore", &[2], "nobody is there to answer its questions"),
    (
        "create retention",
        &[2],
        "nobody is there to answer its questions",
    ),
    ("create storage", &[2], "nobody is there to answer its questions"),
    (
        "restore snapshot/s3-repo-sample-backup-daily-1700000000 --target pvc/other",
        &[7],
        "the Snapshot is of a StatefulSet here, whose data does not go into a claim",
    ),
    (
        "snapshot diff s3-repo-sample-backup-daily-1700000000 bc/",
        &[0, 7],
        "the newest Snapshot may be of the weekly session, which has nothing in common with it",
    ),
    ("snapshot find -i 'INVOICE*'", &[6], "no file is called so"),
    (
        "unlock s3-repo --paths",
        &[6],
        "the components of a StatefulSet are called dump-pod-0",
    ),
    ("restore", &[2], "nobody is there to answer its questions"),
    ("status -A --watch", &[124], "it goes on until it is ended"),
    (
        "backup now sample-backup",
        &[4, 7],
        "its sessions share a Repository, and without --wait only one of them can begin",
    ),
    (
        "trigger sample-backup",
        &[0, 4, 7],
        "as above: without --wait only one of its sessions can begin",
    ),
];

/// Examples that are not run, by what is in them, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("--all -A", "it would back up or pause what other tests work with"),
    (
        "sandbox ",
        "sandboxes have tests of their own, which start and end them",
    ),
    (
        "uninstall",
        "it would end the stage; tests/cli/uninstall.rs runs it",
    ),
    (
        "kubestash install",
        "the stage is installed already; tests/cli/install.rs and the guides run it",
    ),
    (
        "debug operator --context",
        "the stage has no context called production",
    ),
    ("--region eu-central-1", "it speaks to Amazon"),
    (
        "minio.minio.svc",
        "there is no such server; the guides make storages",
    ),
    (
        "helm template",
        "there is no chart; tests/cli/validate.rs reads standard input",
    ),
    (
        "completion",
        "tests/cli/completion.rs runs it in the shells themselves",
    ),
    (
        "convert",
        "tests/cli/convert.rs and the guide run it over manifests of Stash",
    ),
    (
        "clone pvc",
        "tests/cli/familiar.rs runs it: it makes objects in several namespaces",
    ),
    ("copy ", "tests/cli/familiar.rs runs it"),
    ("cp ", "tests/cli/familiar.rs runs it"),
    (
        "repo key",
        "its keys change what the other examples open; tests of the keys run it",
    ),
    ("password ", "as `repo key`"),
    ("pw ", "as `repo key`"),
    ("4fbd8d2a", "the id of a key is made by restic"),
    ("SNAPSHOT-A", "it stands for two names"),
    (
        "--components dump ",
        "the components of a StatefulSet are called dump-pod-0",
    ),
    ("snapshot delete", "the other examples look at it"),
    (
        "manifest-",
        "no manifests are backed up on the stage; tests/e2e/repos.rs shows and restores some",
    ),
    (
        "doctor",
        "it judges the whole cluster, and other tests break some of it on purpose",
    ),
    (
        "create backup app --target",
        "its Deployment is not on the stage; tests/e2e/create.rs makes one",
    ),
    (
        "create restore --repo app",
        "its Repository is not on the stage; tests/e2e/create.rs makes one",
    ),
    ("create restore back --repo app", "as the example above it"),
];

/// What the examples speak of: sample-backup of a StatefulSet with sessions daily and weekly, its claim, a second claim.
fn objects(scene: &Scene) -> String {
    let namespace = &scene.namespace;
    let app = stateful_set_yaml(
        namespace,
        &scene.stage.workload_image,
        "app",
        1,
        "/kubestash-data",
        "cd /kubestash-data; mkdir -p config logs; echo a > config/app.yaml; echo l > logo.png; echo d > app.db; echo t > logs/today.log",
    );
    let configuration = scene
        .configuration_yaml(
            "sample-backup",
            "{apiGroup: apps, kind: StatefulSet, name: app}",
            "workload-addon",
            "{paths: /kubestash-data}",
        )
        .replace("sample-backup-repo", "s3-repo")
        .replace("sessionHistoryLimit: 5", "sessionHistoryLimit: 50")
        .replace(
            "metadata: {name: sample-backup,",
            "metadata: {labels: {team: storage}, name: sample-backup,",
        );
    let (head, session) = configuration.split_once("  - name: daily").unwrap();
    let weekly = session.replace("7 3 * * *", "7 3 * * 0");
    format!(
        r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: other, namespace: {namespace}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: documents, namespace: {namespace}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---{app}---
{head}  - name: daily{session}  - name: weekly{weekly}"#
    )
}

/// The examples of all commands, in the order of the help, without those of hidden ones.
fn examples() -> Vec<String> {
    fn walk(command: &clap::Command, all: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            let help = sub.get_long_about().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = help.split_once("Examples:").unwrap_or_default();
            // A long one goes over several lines, as in a shell.
            let examples = examples.replace("\\\n", " ");
            all.extend(
                examples
                    .lines()
                    .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                    .filter(|line| line.contains("kubectl kubestash ")),
            );
            walk(sub, all);
        }
    }
    let mut all = Vec::new();
    walk(&kubestash::cli::definition(), &mut all);
    all
}

/// The words after `kubectl kubestash`.
fn words(example: &str) -> &str {
    let at = example.find("kubectl kubestash ").unwrap() + "kubectl kubestash ".len();
    example.get(at..).unwrap()
}

fn not_run(example: &str) -> Option<&'static str> {
    NOT_RUN
        .iter()
        .find(|(part, _)| example.contains(part))
        .map(|(_, why)| *why)
}

/// The code that an example must end with. Of an example without answers only the bare command counts.
fn codes(example: &str) -> &'static [i32] {
    let words = words(example);
    let bare = |part: &str| {
        matches!(
            part,
            "create backup" | "create restore" | "create retention" | "create storage" | "restore"
        )
    };
    ENDS_WITH
        .iter()
        .find(|(part, ..)| {
            if bare(part) {
                words == *part
            } else {
                words.starts_with(part)
            }
        })
        .map_or(&[0], |(_, codes, _)| *codes)
}

#[test]
fn the_examples_of_the_help_work() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("examples");
    let namespace = scene.namespace.clone();
    scene.storage();
    // Everything stays that an example speaks of.
    let keep = r#"{"spec": {"successfulSnapshots": {"last": 100}}}"#;
    stage
        .kubectl(&[
            "patch",
            "retentionpolicy",
            "keep",
            "-n",
            &namespace,
            "--type=merge",
            "-p",
            keep,
        ])
        .ok();
    stage.apply(&objects(&scene));
    stage
        .kubectl(&[
            "rollout",
            "status",
            "statefulset/app",
            "-n",
            &namespace,
            "--timeout=2m",
        ])
        .ok();
    stage.wait_phase(&namespace, "backupconfiguration", "sample-backup", "Ready");
    // Both sessions, after the first backups that the operator makes by itself.
    scene.backup_now("sample-backup").ok();
    stage.apply(&format!(
        r#"
apiVersion: core.kubestash.com/v1alpha1
kind: BackupSession
metadata: {{name: sample-backup-daily-1700000000, namespace: {namespace}, labels: {{kubestash.com/invoker-name: sample-backup}}}}
spec: {{session: daily, invoker: {{apiGroup: core.kubestash.com, kind: BackupConfiguration, name: sample-backup}}}}
"#
    ));
    stage.wait_phase(
        &namespace,
        "backupsession",
        "sample-backup-daily-1700000000",
        "Succeeded",
    );
    stage
        .cli(&[
            "restore",
            "sample-backup",
            "--name",
            "sample-restore",
            "--wait",
            "-n",
            &namespace,
        ])
        .ok();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(path("bin")).unwrap();
    std::fs::create_dir_all(path("manifests/deep")).unwrap();
    std::os::unix::fs::symlink(super::stage::program(), path("bin/kubectl-kubestash")).unwrap();
    let config = std::fs::read_to_string(&stage.kubeconfig).unwrap();
    std::fs::write(path("kubeconfig"), config).unwrap();
    let manifest = stage
        .kubectl(&["get", "bc", "sample-backup", "-n", &namespace, "-o", "yaml"])
        .ok();
    for name in ["backup.yaml", "sample-backup.yaml", "manifests/deep/backup.yaml"] {
        std::fs::write(path(name), &manifest).unwrap();
    }
    let answers = "target: pvc/documents\nstorage: s3-storage\nschedule: '@daily'\nretention: keep\nencryption-secret: encrypt-secret\n";
    std::fs::write(path("answers.yaml"), answers).unwrap();
    let path_variable = format!("{}:{}", path("bin").display(), std::env::var("PATH").unwrap());
    let bash = |script: &str| {
        let mut command = Command::new("timeout");
        command
            .args(["120", "bash", "--norc", "-o", "pipefail", "-c", script])
            .current_dir(dir.path())
            .env("PATH", &path_variable)
            .env("HOME", dir.path())
            .env("KUBECONFIG", path("kubeconfig"))
            .env("NO_COLOR", "1")
            .env("S3_BUCKET", BUCKET);
        run(&mut command, None)
    };
    bash(&format!(
        "kubectl config set-context --current --namespace {namespace}"
    ))
    .ok();
    let mut wrong = BTreeMap::new();
    let mut count = 0;
    for example in examples() {
        if not_run(&example).is_some() {
            continue;
        }
        // The namespace of the examples is `demo`; that of the scenario has a number.
        let mut script = example.replace("-n demo", &format!("-n {namespace}"));
        if words(&example).contains("--answers backup.yaml") {
            script = script.replace("backup.yaml", "answers.yaml");
        }
        if example.contains("--watch") {
            script = format!("timeout 5 {script}");
        }
        let said = bash(&script);
        count += 1;
        if !codes(&example).contains(&said.code) {
            wrong.insert(
                example,
                format!("ended with {}: {}{}", said.code, said.out, said.err),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 60, "{count} examples");
}

#[test]
fn every_exception_is_of_an_example_and_has_a_reason() {
    let all = examples();
    for (part, why) in NOT_RUN {
        assert!(all.iter().any(|e| e.contains(part)), "no example has {part:?}");
        assert!(why.len() > 8, "{part}: {why:?} is no reason");
    }
    for (part, _, why) in ENDS_WITH {
        assert!(
            all.iter().any(|e| words(e).starts_with(part)),
            "no example begins with {part:?}"
        );
        assert!(why.len() > 8, "{part}: {why:?} is no reason");
    }
    let run = all.iter().filter(|e| not_run(e).is_none()).count();
    assert!(run * 2 > all.len(), "{run} of {} run", all.len());
}
