//! Where the scenarios play: the sandbox (default) or any cluster.
//!
//! - `KUBESTASH_E2E_KUBECONFIG`: a cluster to use instead of the sandbox; `KUBESTASH_E2E_IMAGE`: our image on it.
//! - `KUBESTASH_E2E_WORKLOAD_IMAGE`: an image with `sh`, `find`, `stat`, `sha256sum` (default `busybox:1`).
//! - `KUBESTASH_E2E_S3_ENDPOINT` with `KUBESTASH_E2E_S3_KEY`, `KUBESTASH_E2E_S3_SECRET`: an S3 server that the pods and this process
//!   reach; without it one is started on loopback (`KUBESTASH_S3_SERVER` names the program), which pods on other hosts do not reach.
//! - `KUBESTASH_E2E_PV_DIR`: for clusters that provision no volumes: a directory on the nodes below which hostPath
//!   PersistentVolumes are made beforehand.
//!
//! Each scenario has a namespace and a bucket prefix of its own, so that they run side by side.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The bucket all scenarios share; each has a prefix of its own.
pub(crate) const BUCKET: &str = "e2e";
/// The repository password of all scenarios.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// The S3 server and its keys.
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// A cluster with the operator installed, and an S3 server.
pub(crate) struct Stage {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) s3: S3,
    pub(crate) workload_image: String,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The output of a program that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }
}

static STAGE: OnceLock<Option<Stage>> = OnceLock::new();

/// The stage, set up on first use; `None` (said aloud) where this machine lacks what it needs.
pub(crate) fn stage() -> Option<&'static Stage> {
    let stage = STAGE.get_or_init(Stage::set_up).as_ref();
    if stage.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "the end-to-end suite must run in CI: make test installs what it needs"
        );
        eprintln!("SKIPPED: end to end (needs restic, kubectl and an S3 server: run `make test`)");
    }
    stage
}

/// The plugin's program under test.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_kubectl-kubestash")
}

/// Runs a program to its end, bounded, with `stdin` given.
pub(crate) fn run(command: &mut Command, stdin: Option<&str>) -> Said {
    let mut child = command
        .stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    if let Some(text) = stdin {
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn available(program: &str, arg: &str) -> bool {
    Command::new(program)
        .arg(arg)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Starts a program that ends when this process does, however that ends.
fn start_bound_to_us(program: &Path, args: &[&str], log: &Path) {
    let (program, log) = (program.to_owned(), log.to_owned());
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    // The parent-death signal follows the thread that started the child, so that thread must live as long as we do.
    std::thread::spawn(move || {
        let file = std::fs::File::create(log).unwrap();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let _ = child.wait();
    });
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits for a condition, looking every 100 ms, and fails with what was awaited.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < limit,
            "gave up after {limit:?} waiting for {what}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How the directories of stages begin; the process's id follows.
const PREFIX: &str = "kubestash-e2e-";

/// Removes the directories of runs that have ended: each holds a sandbox with its volumes.
fn remove_leftovers() {
    for entry in std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Stage {
    fn set_up() -> Option<Stage> {
        let server = std::env::var_os("KUBESTASH_S3_SERVER").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/s3/bin/moto_server"),
            PathBuf::from,
        );
        let external = std::env::var("KUBESTASH_E2E_S3_ENDPOINT").ok();
        if !available("restic", "version")
            || !available("kubectl", "version")
            || (external.is_none() && !server.exists())
        {
            return None;
        }
        remove_leftovers();
        // Kept for the whole run: the sandbox lives in it. The next run removes it.
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .unwrap()
            .keep();
        let variable = |name: &str, or: &str| std::env::var(name).unwrap_or_else(|_| or.to_owned());
        let s3 = S3 {
            endpoint: external.clone().unwrap_or_else(|| {
                let port = free_port().to_string();
                start_bound_to_us(&server, &["-H", "127.0.0.1", "-p", &port], &dir.join("s3.log"));
                format!("http://127.0.0.1:{port}")
            }),
            key: variable("KUBESTASH_E2E_S3_KEY", "e2e-access-key"),
            secret: variable("KUBESTASH_E2E_S3_SECRET", "e2e-secret-key"),
        };
        let cluster = std::env::var_os("KUBESTASH_E2E_KUBECONFIG").map(PathBuf::from);
        let kubeconfig = cluster.unwrap_or_else(|| {
            let state = dir.join("sandbox");
            start_bound_to_us(
                Path::new(program()),
                &["sandbox", "up", "--foreground", "--dir", state.to_str().unwrap()],
                &dir.join("sandbox.log"),
            );
            state.join("kubeconfig")
        });
        let stage = Stage {
            kubeconfig,
            s3,
            workload_image: variable("KUBESTASH_E2E_WORKLOAD_IMAGE", "busybox:1"),
        };
        eventually("the API server", Duration::from_secs(60), || {
            (stage.kubectl(&["get", "--raw", "/readyz"]).code == 0).then_some(())
        });
        eventually("the S3 server", Duration::from_secs(60), || {
            stage.make_bucket(BUCKET).then_some(())
        });
        let mut install = vec!["install", "--timeout", "3m"];
        let image = std::env::var("KUBESTASH_E2E_IMAGE").ok();
        if let Some(image) = &image {
            install.extend(["--image", image]);
        }
        let said = stage.cli(&install);
        assert_eq!(
            said.code,
            0,
            "install failed (logs in {})\n{}\n{}",
            dir.display(),
            said.out,
            said.err
        );
        if let Ok(dir) = std::env::var("KUBESTASH_E2E_PV_DIR") {
            stage.make_volumes(&dir);
        }
        eprintln!("end-to-end stage in {}", dir.display());
        Some(stage)
    }

    /// Makes a bucket by a plain PUT, which test servers take unsigned; real ones have the bucket already.
    pub(crate) fn make_bucket(&self, bucket: &str) -> bool {
        let host = self.s3.endpoint.trim_start_matches("http://");
        let Ok(mut stream) = std::net::TcpStream::connect(host) else {
            return self.s3.endpoint.starts_with("https");
        };
        let request = format!(
            "PUT /{bucket} HTTP/1.1\r\nHost: {host}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/s3/aws4_request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.s3.key
        );
        stream.write_all(request.as_bytes()).is_ok() && {
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut stream, &mut answer).is_ok() && !answer.is_empty()
        }
    }

    /// Volumes for clusters that provision none.
    fn make_volumes(&self, dir: &str) {
        let stamp = std::process::id();
        let yaml: String = (0..120)
            .map(|n| {
                format!(
                    "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: e2e-{stamp}-{n}}}\nspec:\n  capacity: {{storage: 1Gi}}\n  accessModes: [ReadWriteOnce]\n  persistentVolumeReclaimPolicy: Retain\n  hostPath: {{path: {dir}/{stamp}-{n}, type: DirectoryOrCreate}}\n"
                )
            })
            .collect();
        self.apply(&yaml);
    }

    /// kubectl against the stage.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Said {
        run(
            Command::new("kubectl")
                .env("KUBECONFIG", &self.kubeconfig)
                .args(args),
            None,
        )
    }

    /// `kubectl apply -f -`, which must succeed. While another scenario has the operator killed, webhooks are away for a
    /// moment; a user would try again, and so does this.
    #[track_caller]
    pub(crate) fn apply(&self, yaml: &str) {
        let apply = || {
            let mut command = Command::new("kubectl");
            run(
                command
                    .env("KUBECONFIG", &self.kubeconfig)
                    .args(["apply", "-f", "-"]),
                Some(yaml),
            )
        };
        let start = Instant::now();
        let mut said = apply();
        while said.err.contains("failed calling webhook") && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(500));
            said = apply();
        }
        assert_eq!(said.code, 0, "{yaml}\n{}{}", said.out, said.err);
    }

    /// The plugin against the stage.
    pub(crate) fn cli(&self, args: &[&str]) -> Said {
        run(
            Command::new(program())
                .env("KUBECONFIG", &self.kubeconfig)
                .env("NO_COLOR", "1")
                .args(args),
            None,
        )
    }

    /// One object as JSON; `None` when it is not there.
    pub(crate) fn get(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        let said = self.kubectl(&["get", "-n", namespace, kind, name, "-o", "json"]);
        (said.code == 0).then(|| serde_json::from_str(&said.out).unwrap())
    }

    /// The items of a list.
    pub(crate) fn list(&self, namespace: &str, kind: &str, selector: &str) -> Vec<Value> {
        let out = self
            .kubectl(&["get", "-n", namespace, kind, "-l", selector, "-o", "json"])
            .ok();
        serde_json::from_str::<Value>(&out).unwrap()["items"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Waits until an object satisfies a condition; on failure shows the object as it is.
    #[track_caller]
    pub(crate) fn wait(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        what: &str,
        test: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let object = self.get(namespace, kind, name);
            if let Some(object) = &object
                && test(object)
            {
                return object.clone();
            }
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "gave up waiting for {kind} {namespace}/{name} to be {what}: {}",
                object.map_or("not there".to_owned(), |o| serde_json::to_string_pretty(&o)
                    .unwrap())
            );
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// Waits for a phase.
    #[track_caller]
    pub(crate) fn wait_phase(&self, namespace: &str, kind: &str, name: &str, phase: &str) -> Value {
        self.wait(namespace, kind, name, phase, |o| o["status"]["phase"] == phase)
    }

    /// Runs a shell script in a pod's first container; it must succeed.
    #[track_caller]
    pub(crate) fn sh(&self, namespace: &str, pod: &str, script: &str) -> String {
        self.kubectl(&["exec", "-n", namespace, pod, "--", "sh", "-c", script])
            .ok()
    }

    /// A fresh namespace, and a scenario in it.
    pub(crate) fn scene(&'static self, name: &str) -> Scene {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let stamp = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            % 1_000_000;
        let namespace = format!("e2e-{name}-{stamp}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &namespace]).ok();
        Scene {
            stage: self,
            namespace,
        }
    }
}

/// One scenario: a namespace, a prefix in the bucket.
pub(crate) struct Scene {
    pub(crate) stage: &'static Stage,
    pub(crate) namespace: String,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = String::new();
            for kind in [
                "backupstorage,repository,backupconfiguration,backupsession,snapshots.storage.kubestash.com,restoresession,job,pod,pvc",
                "events",
            ] {
                let said = self.stage.kubectl(&["get", "-n", &self.namespace, kind]);
                let _ = writeln!(text, "{}{}", said.out, said.err);
            }
            eprintln!("---- what was in {} ----\n{text}", self.namespace);
        } else {
            self.stage
                .kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
        }
    }
}
