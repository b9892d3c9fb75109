//! The README and the guides, typed as they stand. Each page is one `bash` with the plugin on its PATH; its blocks run in
//! order and share variables, files and the cluster. The convention is written down for readers in `docs/guide/README.md`:
//!
//! - ` ```sh ` runs, and must end well;
//! - ` ```console ` runs what stands after `$`; the lines that follow must be printed, in that order, numbers and times aside
//!   (where no terminal is, lines of progress stand between them);
//! - `export NAME=…` is left out: the test has set it;
//! - a block below `<!-- not run: REASON -->` is left out, and said.
//!
//! Blocks in other languages are for looking at.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scene::deployment_yaml;
use super::stage::{BUCKET, Said, Stage, run, stage};

/// Pages that are one story, in the order of the index.
const STORY: [&str; 4] = [
    "docs/guide/first-backup.md",
    "docs/guide/one-file-back.md",
    "docs/guide/ci.md",
    "docs/guide/moving-from-kubestash.md",
];
/// What begins a command in the output.
const MARK: &str = "@@guide ";

/// A block that runs.
#[derive(Debug)]
struct Block {
    /// The line of its first command in the page.
    line: usize,
    script: String,
    /// What is printed, where the page says.
    output: Option<String>,
}

/// What a page holds: what runs, and what does not, with the reason.
#[derive(Debug, Default)]
struct Page {
    blocks: Vec<Block>,
    not_run: Vec<(usize, String)>,
}

impl Page {
    fn read(name: &str) -> Page {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        Page::parse(&std::fs::read_to_string(path).unwrap())
    }

    fn parse(text: &str) -> Page {
        let mut page = Page::default();
        let mut reason: Option<String> = None;
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let trimmed = line.trim_start();
            if let Some(rest) = trimmed.strip_prefix("<!-- not run: ") {
                reason = Some(rest.trim_end_matches("-->").trim().to_owned());
                continue;
            }
            let Some(language) = trimmed.strip_prefix("```") else {
                continue;
            };
            let indent = line.len() - trimmed.len();
            let body: Vec<&str> = lines
                .by_ref()
                .map(|(_, l)| l)
                .take_while(|l| l.trim() != "```")
                .map(|l| l.get(indent..).unwrap_or_default())
                .collect();
            let line = number + 2;
            match (language, reason.take()) {
                ("sh" | "console", Some(reason)) => page.not_run.push((line, reason)),
                ("sh", None) => page.blocks.push(Block {
                    line,
                    script: without_placeholders(&body),
                    output: None,
                }),
                ("console", None) => page.console(line, &body),
                _ => {}
            }
        }
        page
    }

    fn console(&mut self, line: usize, body: &[&str]) {
        for (offset, text) in body.iter().enumerate() {
            if let Some(command) = text.strip_prefix("$ ") {
                self.blocks.push(Block {
                    line: line + offset,
                    script: command.to_owned(),
                    output: Some(String::new()),
                });
            } else if let Some(output) = self.blocks.last_mut().and_then(|b| b.output.as_mut()) {
                let _ = writeln!(output, "{text}");
            }
        }
    }

    /// One script that says before each block where it stands.
    fn script(&self) -> String {
        let mut script = "exec 2>&1\nset -e -o pipefail\n".to_owned();
        for block in &self.blocks {
            let _ = writeln!(script, "printf '\\n{MARK}%d\\n' {}\n{}", block.line, block.script);
        }
        let _ = writeln!(script, "printf '\\n{MARK}%d\\n' 0");
        script
    }
}

/// `export NAME=…` is the reader's to fill in.
fn without_placeholders(body: &[&str]) -> String {
    let kept: Vec<&str> = body
        .iter()
        .copied()
        .filter(|l| !(l.starts_with("export ") && l.ends_with("=…")))
        .collect();
    kept.join("\n")
}

/// A text without what differs from run to run: numbers, times, sizes, the widths of columns.
fn alike(text: &str) -> String {
    let size = |w: &str| matches!(w, "B" | "KiB" | "MiB" | "GiB" | "KB" | "MB");
    let mut all = String::new();
    for line in text.trim().lines() {
        let mut words: Vec<String> = Vec::new();
        for word in line.split_whitespace() {
            let mut masked = String::new();
            for c in word.chars() {
                // `1m4s`, `12.5` and `2026-11-21T10:11:46Z` are all one number.
                let part = c.is_ascii_digit() || ".:".contains(c) && masked.ends_with('#');
                if part && masked.ends_with('#') {
                    continue;
                }
                masked.push(if part { '#' } else { c });
            }
            if size(&masked) && words.last().is_some_and(|w| w == "#") {
                continue;
            }
            let duration =
                masked.trim_matches(['s', 'm', 'h', 'd', 'w', '#']).is_empty() && masked.contains('#');
            words.push(if duration { "#".to_owned() } else { masked });
        }
        all.push_str(&words.join(" "));
        all.push('\n');
    }
    all
}

/// A reader at the keyboard: a directory, and the environment in which the commands run.
struct Reader<'s> {
    stage: &'s Stage,
    dir: tempfile::TempDir,
    prefix: String,
    namespace: &'static str,
}

impl<'s> Reader<'s> {
    /// At the keyboard of a cluster where the namespace is theirs.
    fn new(stage: &'s Stage, namespace: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let program = bin.join("kubectl-kubestash");
        match std::env::var("KUBESTASH_E2E_IMAGE") {
            // A cluster that has no access to our released image is told which one it has.
            Ok(image) => {
                let script = format!(
                    "#!/bin/sh\n[ \"$1\" = install ] && shift && set -- install --image {image} \"$@\"\nexec {} \"$@\"\n",
                    super::stage::program()
                );
                std::fs::write(&program, script).unwrap();
                std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                    .unwrap();
            }
            Err(_) => std::os::unix::fs::symlink(super::stage::program(), &program).unwrap(),
        }
        std::fs::copy(&stage.kubeconfig, dir.path().join("kubeconfig")).unwrap();
        let prefix = format!("guides-{}", std::process::id());
        let reader = Reader {
            stage,
            dir,
            prefix,
            namespace,
        };
        reader.lose_the_namespace();
        reader
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn bash(&self, script: &str) -> Said {
        std::fs::create_dir_all(self.work()).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc", "-c", script])
            .current_dir(self.work())
            .env("PATH", format!("{}/bin:{path}", self.dir.path().display()))
            .env("HOME", self.dir.path())
            .env("KUBECONFIG", self.dir.path().join("kubeconfig"))
            .env("NO_COLOR", "1")
            .env("S3_ENDPOINT", &self.stage.s3.endpoint)
            .env("S3_BUCKET", BUCKET)
            .env("S3_PREFIX", &self.prefix)
            .env("AWS_ACCESS_KEY_ID", &self.stage.s3.key)
            .env("AWS_SECRET_ACCESS_KEY", &self.stage.s3.secret);
        run(&mut command, None)
    }

    /// Types a page through and compares what it says is printed.
    #[track_caller]
    fn types(&self, name: &str) {
        let page = Page::read(name);
        for (line, reason) in &page.not_run {
            eprintln!("{name}:{line}: not run: {reason}");
        }
        let said = self.bash(&page.script());
        let mut printed: Vec<(usize, String)> = Vec::new();
        for line in said.out.lines() {
            if let Some(number) = line.strip_prefix(MARK) {
                printed.push((number.parse().unwrap(), String::new()));
            } else if let Some((_, text)) = printed.last_mut() {
                let _ = writeln!(text, "{line}");
            }
        }
        let last = printed.last().cloned().unwrap_or_default();
        assert!(
            said.code == 0 && last.0 == 0,
            "{name}:{}: ended with {}:\n{}{}",
            last.0,
            said.code,
            last.1,
            said.err
        );
        for block in &page.blocks {
            let Some(wanted) = &block.output else { continue };
            let (_, text) = printed.iter().find(|(line, _)| *line == block.line).unwrap();
            let printed = alike(text);
            let mut rest = printed.lines();
            let missing = alike(wanted)
                .lines()
                .find(|w| !rest.any(|l| l == *w))
                .map(str::to_owned);
            assert_eq!(
                missing, None,
                "{name}:{}: `{}` prints something else:\n{text}",
                block.line, block.script
            );
        }
    }

    fn lose_the_namespace(&self) {
        self.stage
            .kubectl(&[
                "delete",
                "namespace",
                self.namespace,
                "--timeout=3m",
                "--ignore-not-found",
            ])
            .ok();
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stage.kubectl(&[
                "delete",
                "namespace",
                self.namespace,
                "--wait=false",
                "--ignore-not-found",
            ]);
        }
    }
}

/// The story of `shop`: a first backup, one file, a pipeline, manifests that exist already; then the namespace is lost
/// with everything in it, and comes back from the bucket and the password.
#[test]
fn the_guides_are_a_story_that_works() {
    let Some(stage) = stage() else { return };
    let reader = Reader::new(stage, "shop");
    for page in STORY {
        if page.ends_with("moving-from-kubestash.md") {
            reader
                .bash("mkdir -p manifests && kubectl get backupstorage,retentionpolicy,backupconfiguration -n shop -o yaml > manifests/all.yaml")
                .ok();
        }
        reader.types(page);
    }
    reader.lose_the_namespace();
    reader.types("docs/guide/disaster-recovery.md");
}

#[test]
fn the_way_from_stash_works() {
    let Some(stage) = stage() else { return };
    let reader = Reader::new(stage, "stash-demo");
    let (endpoint, prefix) = (&stage.s3.endpoint, format!("{}-stash", reader.prefix));
    let image = &stage.workload_image;
    let (key, secret) = (&stage.s3.key, &stage.s3.secret);
    std::fs::create_dir_all(reader.work().join("stash")).unwrap();
    std::fs::write(
        reader.work().join("stash/stash.yaml"),
        format!(
            r#"
apiVersion: v1
kind: Secret
metadata: {{name: s3-secret, namespace: stash-demo}}
stringData: {{RESTIC_PASSWORD: changeit, AWS_ACCESS_KEY_ID: "{key}", AWS_SECRET_ACCESS_KEY: "{secret}"}}
---
apiVersion: stash.appscode.com/v1alpha1
kind: Repository
metadata: {{name: s3-repo, namespace: stash-demo}}
spec:
  backend:
    s3: {{endpoint: "{endpoint}", bucket: {BUCKET}, prefix: {prefix}, region: us-east-1}}
    storageSecretName: s3-secret
---
apiVersion: stash.appscode.com/v1beta1
kind: BackupConfiguration
metadata: {{name: app-backup, namespace: stash-demo}}
spec:
  repository: {{name: s3-repo}}
  schedule: "*/30 * * * *"
  target:
    ref: {{apiVersion: apps/v1, kind: Deployment, name: app}}
    volumeMounts: [{{name: data, mountPath: /data}}]
    paths: [/data]
    args: ["--limit-upload", "1000"]
  retentionPolicy: {{name: keep-last-5, keepLast: 5, prune: true}}
---
apiVersion: stash.appscode.com/v1beta1
kind: RestoreSession
metadata: {{name: app-restore, namespace: stash-demo}}
spec:
  repository: {{name: s3-repo}}
  target:
    ref: {{apiVersion: apps/v1, kind: Deployment, name: app}}
    rules: [{{paths: [/data], snapshots: [abcd1234]}}]
"#
        ),
    )
    .unwrap();
    stage.kubectl(&["create", "namespace", "stash-demo"]).ok();
    let app = deployment_yaml(
        "stash-demo",
        image,
        "app-data",
        1,
        "/data",
        "echo something > /data/file",
    );
    stage.apply(&format!(
        r#"
apiVersion: v1
kind: Secret
metadata: {{name: s3-secret, namespace: stash-demo}}
stringData: {{AWS_ACCESS_KEY_ID: "{key}", AWS_SECRET_ACCESS_KEY: "{secret}"}}
---{app}"#
    ));
    stage
        .kubectl(&[
            "rollout",
            "status",
            "deployment/app",
            "-n",
            "stash-demo",
            "--timeout=2m",
        ])
        .ok();
    reader.types("docs/guide/moving-from-stash.md");
}

/// What the first lines of the README are about: `app` in namespace `demo`, with one backup.
const DEMO: &str = r#"
exec 2>&1
set -e
kubectl create namespace demo
kubectl apply -f - <<'YAML'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: demo}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer, namespace: demo}
spec:
  restartPolicy: Never
  containers:
  - name: writer
    image: IMAGE
    command: [sh, -c, "echo hello > /data/hello.txt"]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
YAML
kubectl wait -n demo pod/writer --for=jsonpath='{.status.phase}'=Succeeded --timeout 2m
kubectl kubestash create storage s3 -n demo --endpoint "$S3_ENDPOINT" --bucket "$S3_BUCKET" --prefix "$S3_PREFIX-demo" --from-env --wait
kubectl kubestash create backup app -n demo --target pvc/data --storage s3 --schedule @daily --keep-last 1 --wait
kubectl wait -n demo backupsession -l kubestash.com/invoker-name=app --for=jsonpath='{.status.phase}'=Succeeded --timeout 2m ||
  kubectl kubestash backup now app -n demo --wait
"#;

/// The README makes a sandbox of its own, so it runs where there is one.
#[test]
fn the_readme_works() {
    struct Down<'r, 's>(&'r Reader<'s>);
    impl Drop for Down<'_, '_> {
        fn drop(&mut self) {
            self.0.bash("kubectl-kubestash sandbox down");
        }
    }
    let Some(stage) = stage() else { return };
    let reader = Reader::new(stage, "demo");
    let _down = Down(&reader);
    reader.bash(&DEMO.replace("IMAGE", &stage.workload_image)).ok();
    reader.types("README.md");
}

/// Every fenced block of every page either runs, or says why it does not, or is no command.
#[test]
fn every_command_of_the_pages_runs_or_says_why_not() {
    let mut pages = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide")).unwrap() {
        pages.push(format!(
            "docs/guide/{}",
            entry.unwrap().file_name().to_string_lossy()
        ));
    }
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/concepts")).unwrap() {
        let name = format!("docs/concepts/{}", entry.unwrap().file_name().to_string_lossy());
        let page = Page::read(&name);
        assert!(
            page.blocks.is_empty() && page.not_run.is_empty(),
            "{name} is for reading, not for typing"
        );
    }
    let mut run = 0;
    for name in &pages {
        let page = Page::read(name);
        run += page.blocks.len();
        for (line, reason) in &page.not_run {
            assert!(
                reason.split_whitespace().count() >= 4,
                "{name}:{line}: {reason:?} is no reason"
            );
        }
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        for (number, line) in text.lines().enumerate() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                assert!(
                    ["", "sh", "console", "yaml", "text"].contains(&language),
                    "{name}:{}: blocks are sh, console, yaml or text",
                    number + 1
                );
            }
        }
        let told = STORY.contains(&name.as_str())
            || name.ends_with("disaster-recovery.md")
            || name.ends_with("moving-from-stash.md")
            || name.ends_with("README.md");
        assert!(told, "{name} is typed by no test");
    }
    assert!(run > 40, "{run} blocks");
}

#[test]
fn what_differs_from_run_to_run_is_no_difference() {
    let page = Page::parse(
        "a\n```console\n$ x now\nNAME   PHASE\nb-1    Ok\n\n$ y\n```\n<!-- not run: it is for another day -->\n```sh\nz\n```\n",
    );
    assert_eq!(page.blocks.len(), 2);
    assert_eq!(
        page.blocks[0].output.as_deref(),
        Some("NAME   PHASE\nb-1    Ok\n\n")
    );
    assert_eq!(page.blocks[1].line, 7);
    assert_eq!(page.not_run, [(11, "it is for another day".to_owned())]);
    assert_eq!(
        alike("app-1795255948   Succeeded  4s  20.002 MiB 2026-11-21T10:11:46Z"),
        alike("app-1   Succeeded   1m12s 1 KiB 2027-01-01T00:00:00Z")
    );
    assert_ne!(alike("a Succeeded 4s"), alike("a Failed 4s"));
    assert_eq!(without_placeholders(&["export A=…", "b"]), "b");
}
