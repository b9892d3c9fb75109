//! Whole sandboxes: started, used and ended by the command line, as people do it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_job_completed;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::node::program;

const LIMIT: Duration = Duration::from_secs(60);

/// A sandbox of one test; ended and deleted with it.
struct Sandbox {
    place: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        Self {
            place: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.place.path().join("sandbox")
    }

    fn command(&self, arguments: &[&str]) -> Output {
        Command::new(program())
            .arg("sandbox")
            .args(arguments)
            .arg("--dir")
            .arg(self.dir())
            .output()
            .unwrap()
    }

    fn up(&self) {
        let output = self.command(&["up"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let expected = format!("export KUBECONFIG={}\n", self.dir().join("kubeconfig").display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }

    fn status(&self) -> Value {
        let output = self.command(&["status", "-o", "json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        crate::documents("sandbox-status", &text).remove(0)
    }

    async fn client(&self) -> kube::Client {
        kubestash::install_crypto_provider();
        let config = Kubeconfig::read_from(self.dir().join("kubeconfig")).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .unwrap();
        kube::Client::try_from(config).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.command(&["down"]);
    }
}

/// Processes with this word among their arguments.
fn processes(word: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|p| {
        let pid = p.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(p.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line)
            .split('\0')
            .any(|a| a == word)
            .then_some(pid)
    })
    .collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A word that only the processes of this test have among their arguments.
fn mark(name: &str) -> String {
    format!("7{}{}", std::process::id(), name.len())
}

fn sleeper(mark: &str) -> Value {
    json!({"name": "c", "image": "busybox", "command": ["sh", "-c", format!("sleep {mark} & trap '' TERM; wait; wait")]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workloads_run_and_survive_down_and_up() {
    let sandbox = Sandbox::new();
    sandbox.up();
    let client = sandbox.client().await;
    let create = |value: Value| serde_json::from_value(value).unwrap();
    let jobs: Api<Job> = Api::namespaced(client.clone(), "default");
    let job = json!({"metadata": {"name": "once"}, "spec": {"template": {"spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "echo done"]}]}}}});
    jobs.create(&PostParams::default(), &create(job)).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let deployment: Deployment =
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"replicas": 2,
        "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "busybox", "command": ["sleep", "600"]}]}}}}))
        .unwrap();
    deployments
        .create(&PostParams::default(), &deployment)
        .await
        .unwrap();
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), "default");
    let set: StatefulSet = serde_json::from_value(json!({"metadata": {"name": "db"}, "spec": {"serviceName": "db", "replicas": 1,
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "busybox",
            "command": ["sh", "-c", "echo start >> /data/starts; cat /data/starts; exec sleep 600"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}})).unwrap();
    sets.create(&PostParams::default(), &set).await.unwrap();
    timeout(LIMIT, await_condition(jobs, "once", is_job_completed()))
        .await
        .unwrap()
        .unwrap();
    let two = |d: Option<&Deployment>| d.and_then(|d| d.status.as_ref()?.ready_replicas) == Some(2);
    timeout(LIMIT, await_condition(deployments.clone(), "web", two))
        .await
        .unwrap()
        .unwrap();
    let one = |s: Option<&StatefulSet>| s.and_then(|s| s.status.as_ref()?.ready_replicas) == Some(1);
    timeout(LIMIT, await_condition(sets, "db", one))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(sandbox.status()["counts"]["podsRunning"], 3);
    assert_eq!(sandbox.status()["counts"]["claims"], 1);

    let before = std::fs::read(sandbox.dir().join("kubeconfig")).unwrap();
    assert!(sandbox.command(&["down"]).status.success());
    assert_eq!(sandbox.status()["running"], false);
    assert_eq!(sandbox.command(&["status"]).status.code(), Some(6));
    sandbox.up();
    assert!(
        std::fs::read(sandbox.dir().join("kubeconfig")).unwrap() == before,
        "a kubeconfig stays right"
    );
    let client = sandbox.client().await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let again = |p: Option<&Pod>| {
        p.and_then(|p| p.status.as_ref()?.container_statuses.as_ref()?.first().cloned())
            .is_some_and(|c| c.restart_count == 1 && c.state.is_some_and(|s| s.running.is_some()))
    };
    timeout(LIMIT, await_condition(pods.clone(), "db-0", again))
        .await
        .unwrap()
        .unwrap();
    let log = async {
        loop {
            let log = pods.logs("db-0", &LogParams::default()).await.unwrap();
            if log == "start\nstart\n" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, log).await.unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, "default");
    claims.get("data-db-0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outlives_a_killed_sandbox() {
    let sandbox = Sandbox::new();
    sandbox.up();
    let mark = mark("killed");
    let pods: Api<Pod> = Api::namespaced(sandbox.client().await, "default");
    let pod: Pod = serde_json::from_value(
        json!({"metadata": {"name": "orphan"}, "spec": {"containers": [sleeper(&mark)]}}),
    )
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    until("the container runs", || !processes(&mark).is_empty());
    let pid = sandbox.status()["pid"].as_u64().unwrap();
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
    until("its processes are gone", || processes(&mark).is_empty());
    assert_eq!(sandbox.status()["running"], false);
    // The pod's policy is Always: the next start runs it again.
    sandbox.up();
    until("it runs again", || !processes(&mark).is_empty());
    assert!(sandbox.command(&["down"]).status.success());
    until("it has ended", || processes(&mark).is_empty());
}

#[test]
fn up_twice_says_that_it_runs_and_down_twice_that_it_does_not() {
    let sandbox = Sandbox::new();
    sandbox.up();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(sandbox.dir().join("kubeconfig"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let again = sandbox.command(&["up"]);
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("runs already"));
    let foreground = sandbox.command(&["up", "--foreground"]);
    assert_eq!(foreground.status.code(), Some(7));
    let path = sandbox.command(&["kubeconfig"]);
    assert_eq!(
        String::from_utf8_lossy(&path.stdout).trim(),
        sandbox.dir().join("kubeconfig").display().to_string()
    );
    assert!(sandbox.command(&["down"]).status.success());
    let again = sandbox.command(&["down"]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("No sandbox runs"));
    assert!(sandbox.command(&["down", "--delete"]).status.success());
    assert!(!sandbox.dir().exists());
}

#[test]
fn the_foreground_ends_in_good_order_when_interrupted() {
    let sandbox = Sandbox::new();
    let mut child = Command::new(program())
        .args(["sandbox", "up", "--foreground", "--dir"])
        .arg(sandbox.dir())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("it is ready", || sandbox.dir().join("running.json").exists());
    assert_eq!(sandbox.status()["pid"], child.id());
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!sandbox.dir().join("running.json").exists());
}

#[test]
fn a_directory_of_something_else_is_not_deleted() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("precious"), "").unwrap();
    let delete = |dir: &Path| {
        Command::new(program())
            .args(["sandbox", "down", "--delete", "--dir"])
            .arg(dir)
            .output()
            .unwrap()
    };
    let output = delete(place.path());
    assert!(!output.status.success() && place.path().join("precious").exists());
}
