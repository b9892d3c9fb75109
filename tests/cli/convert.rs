//! `convert`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::world::{shown, world};

const STASH: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: s3-secret, namespace: demo}
stringData: {RESTIC_PASSWORD: hush-hush, AWS_ACCESS_KEY_ID: a, AWS_SECRET_ACCESS_KEY: b}
---
apiVersion: stash.appscode.com/v1alpha1
kind: Repository
metadata: {name: repo, namespace: demo}
spec:
  backend:
    s3: {endpoint: s3.amazonaws.com, bucket: convert-b, prefix: demo}
    storageSecretName: s3-secret
---
apiVersion: stash.appscode.com/v1beta1
kind: BackupConfiguration
metadata: {name: app, namespace: demo}
spec:
  repository: {name: repo}
  schedule: \"*/5 * * * *\"
  target:
    ref: {apiVersion: apps/v1, kind: Deployment, name: web}
    paths: [/data]
  retentionPolicy: {name: keep-last-5, keepLast: 5}
";

/// Nobody knows whether the labels of the namespace match.
const SELECTED: &str = r"apiVersion: stash.appscode.com/v1alpha1
kind: Repository
metadata: {name: repo, namespace: demo}
spec:
  backend: {s3: {endpoint: s3.example.com, bucket: b}, storageSecretName: keys}
  usagePolicy: {allowedNamespaces: {from: Selector, selector: {matchLabels: {a: b}}}}
---
apiVersion: stash.appscode.com/v1beta1
kind: BackupConfiguration
metadata: {name: web, namespace: demo}
spec:
  schedule: '0 3 * * *'
  repository: {name: repo}
  target:
    ref: {apiVersion: apps/v1, kind: Deployment, name: web}
    paths: [/data]
  retentionPolicy: {name: k, keepLast: 5, prune: true}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: demo}
stringData: {RESTIC_PASSWORD: a, AWS_ACCESS_KEY_ID: b, AWS_SECRET_ACCESS_KEY: c}
";

const RESTORE: &str = "\
apiVersion: stash.appscode.com/v1beta1
kind: RestoreSession
metadata:
  name: back
  namespace: demo
spec:
  repository: {name: repo}
  target:
    ref: {apiVersion: apps/v1, kind: Deployment, name: web}
    rules:
    - snapshots: [abcd1234]
";

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn a_folder_becomes_a_folder_that_is_valid() {
    let world = world();
    world.file("convert-in/team/stash.yaml", STASH);
    let convert = [
        "convert",
        "--source-dir",
        "./convert-in/",
        "--target-dir",
        "convert-out",
        "--report",
        "convert.json",
    ];
    shown!(world.run(&convert), @r"
    exit 0
    err| ./convert-in/team/stash.yaml:12:5: changed: Repository demo/repo spec.backend.storageSecretName → Secret demo/repo-encryption-secret data.RESTIC_PASSWORD: KubeStash reads the password from a Secret of its own; Secret s3-secret stays for the credentials
    err| ./convert-in/team/stash.yaml:6:1: to do: Repository demo/repo: the backups that Stash made stay where they are, and KubeStash does not read them: the first backup into this storage is a full one; keep Stash, or restic and the old password, until you need the old backups no more
    err| 2 objects of Stash became 4 manifests in 2 files: convert-out/team/stash-secrets.yaml, convert-out/team/stash.yaml.
    err| Fields: 10 carried, 1 changed, 0 not carried; 0 to fill in, 1 to do.
    ");
    let dir = world.command(&[]).get_current_dir().unwrap().to_owned();
    let text = read(&dir, "convert-out/team/stash.yaml");
    assert!(
        text.contains("kind: BackupStorage") && text.contains("kind: RetentionPolicy"),
        "{text}"
    );
    assert!(!text.contains("kind: Secret"), "{text}");
    let secrets = dir.join("convert-out/team/stash-secrets.yaml");
    assert_eq!(
        fs::metadata(&secrets).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        !world.run(&convert).all().contains("hush"),
        "and the password is never said"
    );
    assert_eq!(
        read(&dir, "convert-in/team/stash.yaml"),
        STASH,
        "sources stay as they are"
    );
    let valid = world.run(&["validate", "-f", "convert-out", "-R", "--offline"]);
    assert_eq!(valid.code, 0, "{}", valid.all());
    let report = read(&dir, "convert.json");
    world.valid("convert-report", &report);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["complete"], true);
    assert_eq!(report["summary"]["manifests"], 4);
}

#[test]
fn files_that_differ_are_left_alone_unless_forced() {
    let world = world();
    world.file("force-in/stash.yaml", STASH);
    world.file("force-out/stash.yaml", "mine: true\n");
    let convert = ["convert", "--source-dir", "force-in", "--target-dir", "force-out"];
    shown!(world.run(&convert), @r"
    exit 1
    err| error: nothing was written, as files are there already and differ.
    err|   cause: force-out/stash.yaml
    err| hint: `--force` overwrites them
    ");
    let dir = world.command(&[]).get_current_dir().unwrap().to_owned();
    assert_eq!(read(&dir, "force-out/stash.yaml"), "mine: true\n");
    assert!(
        !dir.join("force-out/stash-secrets.yaml").exists(),
        "nothing was written"
    );
    let forced = world.run(&[&convert[..], &["--force"]].concat());
    assert_eq!(forced.code, 0, "{}", forced.all());
    let first = read(&dir, "force-out/stash.yaml");
    assert_eq!(world.run(&convert).code, 0, "the same once more changes nothing");
    assert_eq!(read(&dir, "force-out/stash.yaml"), first);
    assert_eq!(
        world
            .run(&[
                "convert",
                "--source-dir",
                "force-in",
                "--target-dir",
                "./force-in"
            ])
            .code,
        2
    );
}

#[test]
fn what_stands_on_top_always_says_what_to_do() {
    let run = world().run_with(&["convert", "-f", "-"], SELECTED);
    assert_eq!(run.code, 4, "{}", run.all());
    let above: Vec<&str> = run.out.lines().filter(|line| line.starts_with("#   ")).collect();
    assert_eq!(above.len(), 1, "{}", run.out);
    assert!(
        above[0].contains("spec.backends[0].storageRef: namespace demo may not refer to"),
        "{above:?}"
    );
}

#[test]
fn what_is_left_to_a_person_ends_with_4_and_stands_on_top() {
    let world = world();
    shown!(world.run_with(&["convert", "-f", "-"], RESTORE), @r"
    exit 4
    out| # To fill in before it is applied:
    out| #   spec.dataSource.snapshot: `latest`, or a name from `kubectl kubestash snapshot list`; --snapshot fills it in everywhere
    out| apiVersion: core.kubestash.com/v1alpha1
    out| kind: RestoreSession
    out| metadata:
    out|   name: back
    out|   namespace: demo
    out| spec:
    out|   addon:
    out|     name: workload-addon
    out|     tasks:
    out|     - name: logical-backup-restore
    out|   dataSource:
    out|     encryptionSecret:
    out|       name: repo-encryption-secret
    out|       namespace: demo
    out|     namespace: demo
    out|     repository: repo
    out|   target:
    out|     apiGroup: apps
    out|     kind: Deployment
    out|     name: web
    out|     namespace: demo
    err| -:7:3: changed: RestoreSession demo/back spec.repository → RestoreSession demo/back spec.dataSource.repository: the configuration that filled the Repository was not given: check the name and namespace that its Repository has
    err| warning: -:1:1: to fill in: RestoreSession demo/back → RestoreSession demo/back spec.dataSource.snapshot: Snapshots of KubeStash exist once it has made a backup; `latest`, or a name from `kubectl kubestash snapshot list`; --snapshot fills it in everywhere
    err| warning: -:11:7: not carried: RestoreSession demo/back spec.target.rules[0].snapshots: the snapshots of Stash are not among KubeStash's; restore them with Stash, or with restic and the old repository
    err| 1 object of Stash became 1 manifest.
    err| Fields: 2 carried, 1 changed, 1 not carried; 1 to fill in, 0 to do.
    ");
    let json = world.run_with(
        &["convert", "-f", "-", "-o", "json", "-q", "--snapshot", "latest"],
        RESTORE,
    );
    world.valid("convert", &json.out);
    assert_eq!(json.code, 4, "the old snapshot is still not carried");
}

#[test]
fn nothing_of_stash_and_broken_files_are_errors() {
    let world = world();
    shown!(world.run_with(&["convert", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), @r"
    exit 6
    err| error: the files hold no objects of stash.appscode.com (1 of others).
    err| hint: `kubectl get repositories.stash.appscode.com,backupconfigurations.stash.appscode.com,restoresessions.stash.appscode.com -A -o yaml` fetches them from a cluster
    ");
    shown!(world.run_with(&["convert", "-f", "-"], "a: [1\n"), @r"
    exit 1
    err| error: nothing was converted, as not every file can be read.
    err|   cause: -:1:4: error: unclosed bracket '['
    err| hint: templates must be rendered first; leave out what is no manifest
    ");
    shown!(world.run(&["convert"]), @r"
    exit 2
    err| error: nothing to read: name a directory with --source-dir, or files with -f.
    err| hint: `kubectl kubestash convert -f - < stash.yaml` reads standard input
    ");
    shown!(world.run_with(&["convert", "-f", "-", "-o", "wide"], RESTORE), @r"
    exit 2
    err| error: invalid value 'wide' for '--output <FORMAT>': the forms are yaml and json
    err|
    err| For more information, try '--help'.
    ");
}
