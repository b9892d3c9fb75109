//! Pods as local processes: through the API server, with the node of the sandbox.

// JSON literals read best as arguments by value.
#![allow(clippy::needless_pass_by_value)]

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret, ServiceAccount};
use kube::api::{Api, AttachParams, DeleteParams, ListParams, LogParams, PostParams};
use kube::runtime::wait::await_condition;
use kubestash::sandbox::node::{Ids, Image, Node, Options};
use kubestash::sandbox::{Identity, Server};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);
const NODE: &str = "lab";

/// A server and a node; ends both with the test.
pub(super) struct Lab {
    pub(super) client: kube::Client,
    pub(super) dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
    serving: JoinHandle<()>,
}

pub(super) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_kubectl-kubestash"))
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl Lab {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::at(dir, Server::new(&kubestash::sandbox::Options::default()).unwrap()).await
    }

    async fn at(dir: tempfile::TempDir, server: Server) -> Self {
        kubestash::install_crypto_provider();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = server.clone();
        let serving =
            tokio::spawn(async move { serve.serve_tls(listener, std::future::pending()).await.unwrap() });
        let client = server.client(Identity::Admin);
        let options = Options {
            node_name: NODE.into(),
            dir: dir.path().join("node"),
            program: program(),
            images: vec![Image {
                reference: "own/image:1".into(),
                files: vec![("/tool".into(), "/bin/sh".into())],
                entrypoint: vec!["/tool".into()],
            }],
            api_host: "127.0.0.1".into(),
            api_port: port,
            ca: server.ca_pem().to_owned(),
        };
        let ids = Ids::detect(&program()).await.unwrap();
        let node = Node::new(client.clone(), options, ids);
        server.set_kubelet(node.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(node.run(async move {
            let _ = stopped.await;
        }));
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        // The controllers make it on a whole sandbox.
        let _ = accounts
            .create(
                &PostParams::default(),
                &from(json!({"metadata": {"name": "default"}})),
            )
            .await;
        Self {
            client,
            dir,
            stop: Some(stop),
            running: Some(running),
            serving,
        }
    }

    /// Ends the node as the sandbox does; its containers have ended then.
    async fn shut_down(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(LIMIT, self.running.take().unwrap())
            .await
            .unwrap()
            .unwrap();
    }

    pub(super) fn api<T>(&self) -> Api<T>
    where
        T: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        T::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(super) async fn create<T>(&self, value: Value)
    where
        T: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
        T::DynamicType: Default,
    {
        self.api::<T>()
            .create(&PostParams::default(), &from(value))
            .await
            .unwrap();
    }

    /// Creates a pod of this node; the spec is completed with the node's name.
    pub(super) async fn pod(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!(NODE);
        if spec.get("restartPolicy").is_none() {
            spec["restartPolicy"] = json!("Never");
        }
        self.create::<Pod>(json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}))
            .await;
    }

    /// A pod with one container `c` that runs a shell script.
    async fn script(&self, name: &str, script: &str) {
        self.pod(
            name,
            json!({"containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", script]}]}),
        )
        .await;
    }

    /// Waits until the pod is as wanted and returns it; shows it when it never is.
    async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool + Clone) -> Value {
        let pods = self.api::<Pod>();
        let check = wanted.clone();
        let condition =
            move |pod: Option<&Pod>| pod.is_some_and(|p| check(&serde_json::to_value(p).unwrap()));
        let waited = timeout(LIMIT, await_condition(pods.clone(), name, condition)).await;
        let now = serde_json::to_value(pods.get(name).await.unwrap()).unwrap();
        assert!(
            waited.is_ok(),
            "pod {name} stays {:#}\n{:?}",
            now["status"],
            self.events(name).await
        );
        if wanted(&now) {
            now
        } else {
            serde_json::to_value(waited.unwrap().unwrap().unwrap()).unwrap()
        }
    }

    pub(super) async fn phase(&self, name: &str, phase: &str) -> Value {
        let phase = phase.to_owned();
        self.until(name, move |p| p["status"]["phase"] == phase.as_str())
            .await
    }

    pub(super) async fn running(&self, name: &str) -> Value {
        self.until(name, |p| {
            p["status"]["containerStatuses"][0]["state"]["running"].is_object()
        })
        .await
    }

    pub(super) async fn logs(&self, name: &str) -> String {
        self.api::<Pod>().logs(name, &LogParams::default()).await.unwrap()
    }

    /// The pod's log once it has succeeded.
    async fn output(&self, name: &str) -> String {
        self.until(name, |p| {
            p["status"]["phase"] == "Succeeded" || p["status"]["phase"] == "Failed"
        })
        .await;
        self.logs(name).await
    }

    async fn events(&self, name: &str) -> Vec<(String, String)> {
        let list = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        let own = list
            .items
            .into_iter()
            .filter(|e| e.involved_object.name.as_deref() == Some(name));
        own.map(|e| (e.reason.unwrap_or_default(), e.message.unwrap_or_default()))
            .collect()
    }

    async fn event(&self, name: &str, reason: &str) -> String {
        let found = async {
            loop {
                if let Some((_, message)) = self.events(name).await.into_iter().find(|(r, _)| r == reason) {
                    return message;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, found)
            .await
            .unwrap_or_else(|_| panic!("no event {reason} for {name}"))
    }

    async fn delete(&self, name: &str) {
        let pods = self.api::<Pod>();
        let uid = pods.get(name).await.unwrap().metadata.uid.unwrap();
        pods.delete(name, &DeleteParams::default()).await.unwrap();
        timeout(
            LIMIT,
            await_condition(pods, name, kube::runtime::conditions::is_deleted(&uid)),
        )
        .await
        .unwrap()
        .unwrap();
    }

    pub(super) async fn exec(&self, name: &str, command: &[&str]) -> (String, String) {
        let mut attached = self
            .api::<Pod>()
            .exec(name, command.to_vec(), &AttachParams::default())
            .await
            .unwrap();
        let mut text = String::new();
        attached
            .stdout()
            .unwrap()
            .read_to_string(&mut text)
            .await
            .unwrap();
        let status = attached.take_status().unwrap().await.unwrap();
        attached.join().await.unwrap();
        (text, status.status.unwrap_or_default())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.serving.abort();
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_to_its_end() {
    let lab = Lab::new().await;
    lab.script(
        "good",
        "echo out; echo err >&2; hostname; printf bye > /dev/termination-log",
    )
    .await;
    let pod = lab.phase("good", "Succeeded").await;
    let status = &pod["status"];
    let ended = &status["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"], &ended["message"]),
        (&json!(0), &json!("Completed"), &json!("bye"))
    );
    let address: std::net::Ipv4Addr = status["podIP"].as_str().unwrap().parse().unwrap();
    assert!(address.is_loopback(), "{address}");
    assert_eq!(status["qosClass"], "BestEffort");
    let ready = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "Ready")
        .unwrap();
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("PodCompleted"))
    );
    let log = lab.logs("good").await;
    assert!(
        log.contains("out\n") && log.contains("err\n") && log.contains("good\n"),
        "{log}"
    );

    lab.script("bad", "echo before the end; exit 3").await;
    let pod = lab.phase("bad", "Failed").await;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(3), &json!("Error"))
    );

    let fallback = json!({"containers": [{"name": "c", "image": "x", "terminationMessagePolicy": "FallbackToLogsOnError",
        "command": ["sh", "-c", "echo why; exit 1"]}]});
    lab.pod("fallback", fallback).await;
    let pod = lab.phase("fallback", "Failed").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"],
        "why\n"
    );
    for reason in ["Pulled", "Created", "Started"] {
        lab.event("good", reason).await;
    }
    lab.delete("good").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_of_files_and_environment() {
    let lab = Lab::new().await;
    lab.create::<ConfigMap>(
        json!({"metadata": {"name": "settings"}, "data": {"mode": "fast", "other": "x"}}),
    )
    .await;
    let script = "cat /etc/app/mode /etc/app/secret/user /info/labels /usr/share/deep/er/renamed; echo; \
        echo $MODE $USER_NAME $POD_NAME $GREETING; ls /var/run/secrets/kubernetes.io/serviceaccount; stat -c %a /etc/app/secret/user; \
        touch /etc/app/x 2>/dev/null || echo refused; echo $KUBERNETES_SERVICE_HOST; ls /work /tmp";
    let spec = json!({
        "containers": [{"name": "c", "image": "x", "command": ["sh", "-c", script], "workingDir": "/work",
            "env": [
                {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
                {"name": "USER_NAME", "valueFrom": {"secretKeyRef": {"name": "account", "key": "user"}}},
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "GREETING", "value": "hello-$(POD_NAME)"}],
            "volumeMounts": [
                {"name": "all", "mountPath": "/etc/app"},
                {"name": "info", "mountPath": "/info"},
                {"name": "one", "mountPath": "/usr/share/deep/er/renamed", "subPath": "renamed"}]}],
        "volumes": [
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "settings"}},
                {"secret": {"name": "account", "items": [{"key": "user", "path": "secret/user", "mode": 0o400}]}}]}},
            {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "one", "configMap": {"name": "settings", "items": [{"key": "other", "path": "renamed"}]}}]
    });
    lab.pod("files", spec).await;
    let message = lab.event("files", "FailedMount").await;
    assert!(message.contains("secret \"account\" not found"), "{message}");
    let pod = serde_json::to_value(lab.api::<Pod>().get("files").await.unwrap()).unwrap();
    assert_eq!(pod["status"]["phase"], "Pending");
    lab.create::<Secret>(json!({"metadata": {"name": "account"}, "stringData": {"user": "admin"}}))
        .await;
    let log = lab.output("files").await;
    let expected = "fastadminapp=\"files\"x\nfast admin files hello-files\nca.crt\nnamespace\ntoken\n400\nrefused\n127.0.0.1\n";
    assert!(log.starts_with(expected), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_share_volumes_and_start_in_order() {
    let lab = Lab::new().await;
    let host = lab.dir.path().join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("given"), "from the computer").unwrap();
    let spec = json!({
        "initContainers": [
            {"name": "first", "image": "x", "command": ["sh", "-c", "echo one > /shared/log"],
             "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]},
            {"name": "second", "image": "own/image:1", "args": ["-c", "echo two >> /shared/log"],
             "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "containers": [{"name": "c", "image": "x", "command": ["sh", "-c",
                "cat /shared/log /host/given; touch /host/new 2>/dev/null || echo read-only; ls /part; cat /sub/log; touch /here"],
            "volumeMounts": [
                {"name": "shared", "mountPath": "/shared"},
                {"name": "host", "mountPath": "/host", "readOnly": true},
                {"name": "shared", "mountPath": "/part", "subPathExpr": "$(WHO)"},
                {"name": "shared", "mountPath": "/sub/log", "subPath": "log"}],
            "env": [{"name": "WHO", "value": "me"}]}],
        "volumes": [{"name": "shared", "emptyDir": {}}, {"name": "host", "hostPath": {"path": host, "type": "Directory"}}]
    });
    lab.pod("order", spec).await;
    let log = lab.output("order").await;
    assert_eq!(log, "one\ntwo\nfrom the computerread-only\none\ntwo\n");
    assert!(!host.join("new").exists() && !std::path::Path::new("/here").exists());
    let pod = lab.phase("order", "Succeeded").await;
    assert_eq!(
        pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["exitCode"],
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_says_why() {
    let lab = Lab::new().await;
    let only_image = json!({"containers": [{"name": "c", "image": "nginx:1"}]});
    lab.pod("image", only_image).await;
    let waiting =
        |p: &Value| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff";
    let pod = lab.until("image", waiting).await;
    let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("nginx:1") && message.contains("names no command"),
        "{message}"
    );
    assert_eq!(pod["status"]["phase"], "Pending");

    lab.pod(
        "program",
        json!({"containers": [{"name": "c", "image": "x", "command": ["no-such-program"]}]}),
    )
    .await;
    let pod = lab.until("program", waiting).await;
    assert!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
            .as_str()
            .unwrap()
            .contains("no-such-program")
    );

    let spec = json!({"containers": [{"name": "c", "image": "x", "command": ["/data/run"],
        "volumeMounts": [{"name": "d", "mountPath": "/data"}]}], "volumes": [{"name": "d", "emptyDir": {}}]});
    lab.pod("start", spec).await;
    let pod = lab.phase("start", "Failed").await;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&ended["reason"], &ended["exitCode"]),
        (&json!("StartError"), &json!(127))
    );
    assert!(
        ended["message"].as_str().unwrap().contains("/data/run"),
        "{ended}"
    );

    let spec = json!({"securityContext": {"runAsNonRoot": true}, "containers": [{"name": "c", "image": "x", "command": ["true"]}]});
    lab.pod("root", spec).await;
    lab.until("root", |p| {
        p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    })
    .await;
    lab.delete("root").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_follows_the_security_context() {
    if !is_root() {
        // Other ids need the rights of root or subordinate ids.
        return;
    }
    let lab = Lab::new().await;
    let script = "id -u; id -g; id -G; touch /data/file && stat -c '%u %g' /data/file; grep CapEff /proc/self/status; \
        touch /x 2>/dev/null || echo root-read-only; grep NoNewPrivs /proc/self/status";
    let spec = json!({
        "securityContext": {"runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 3456, "supplementalGroups": [4567], "runAsNonRoot": true},
        "containers": [{"name": "c", "image": "x", "command": ["sh", "-c", script],
            "securityContext": {"readOnlyRootFilesystem": true},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "emptyDir": {}}]
    });
    lab.pod("who", spec).await;
    let log = lab.output("who").await;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..2], ["1234", "2345"]);
    assert_eq!(
        lines[2].split(' ').collect::<std::collections::BTreeSet<_>>(),
        ["2345", "3456", "4567"].into()
    );
    assert_eq!(lines[3], "1234 3456");
    assert_eq!(lines[4], "CapEff:\t0000000000000000");
    assert_eq!(lines[5], "root-read-only");
    assert_eq!(lines[6], "NoNewPrivs:\t1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_back_off_and_keep_the_previous_log() {
    let lab = Lab::new().await;
    let spec = json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "x",
        "command": ["sh", "-c", "echo try; ls /data; test -e /data/2 && exit 0; test -e /data/1 && touch /data/2; touch /data/1; exit 7"],
        "volumeMounts": [{"name": "d", "mountPath": "/data"}]}], "volumes": [{"name": "d", "emptyDir": {}}]});
    lab.pod("again", spec).await;
    let pod = lab
        .until("again", |p| {
            p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(
        pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        7
    );
    let pod = lab.phase("again", "Succeeded").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 2);
    assert_eq!(lab.logs("again").await, "try\n1\n2\n");
    let previous = LogParams {
        previous: true,
        ..LogParams::default()
    };
    assert_eq!(
        lab.api::<Pod>().logs("again", &previous).await.unwrap(),
        "try\n1\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_is_graceful_and_then_not() {
    let lab = Lab::new().await;
    let spec = json!({"containers": [{"name": "c", "image": "x",
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}},
        "command": ["sh", "-c", "trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done"]}],
        "terminationGracePeriodSeconds": 20});
    let mut spec_with_finalizer =
        json!({"metadata": {"name": "polite", "finalizers": ["test/hold"]}, "spec": spec});
    spec_with_finalizer["spec"]["nodeName"] = json!(NODE);
    spec_with_finalizer["spec"]["restartPolicy"] = json!("Never");
    lab.create::<Pod>(spec_with_finalizer).await;
    lab.running("polite").await;
    until_log(&lab, "polite", "ready").await;
    lab.api::<Pod>()
        .delete("polite", &DeleteParams::default())
        .await
        .unwrap();
    let pod = lab.phase("polite", "Failed").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        5
    );
    assert!(lab.logs("polite").await.contains("term\n"));

    lab.script(
        "stubborn",
        "trap '' TERM; echo ready; while :; do sleep 0.05; done",
    )
    .await;
    until_log(&lab, "stubborn", "ready").await;
    let at = std::time::Instant::now();
    lab.api::<Pod>()
        .delete("stubborn", &DeleteParams::default().grace_period(1))
        .await
        .unwrap();
    let gone = |p: Option<&Pod>| p.is_none();
    timeout(LIMIT, await_condition(lab.api::<Pod>(), "stubborn", gone))
        .await
        .unwrap()
        .unwrap();
    assert!(
        at.elapsed() >= Duration::from_millis(900),
        "killed too early: {:?}",
        at.elapsed()
    );
}

pub(super) async fn until_log(lab: &Lab, pod: &str, text: &str) {
    lab.running(pod).await;
    let found = async {
        while !lab.logs(pod).await.contains(text) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, found).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exec_enters_the_container() {
    let lab = Lab::new().await;
    lab.script("target", "echo inside > /marker; echo ready; exec sleep 600")
        .await;
    until_log(&lab, "target", "ready").await;
    assert_eq!(
        lab.exec("target", &["sh", "-c", "cat /marker; hostname; echo $HOSTNAME"])
            .await
            .0,
        "inside\ntarget\ntarget\n"
    );
    assert_eq!(lab.exec("target", &["sh", "-c", "exit 4"]).await.1, "Failure");
    assert_eq!(lab.exec("target", &["true"]).await.1, "Success");
    // Ends the container: its first process passes the signal on.
    lab.exec("target", &["kill", "1"]).await;
    let pod = lab.phase("target", "Failed").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        143
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_decide_readiness_and_restarts() {
    let lab = Lab::new().await;
    let spec = json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "x",
        "command": ["sh", "-c", "sleep 600"],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1},
        "livenessProbe": {"exec": {"command": ["sh", "-c", "! test -e /tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1}}]});
    lab.pod("probed", spec).await;
    let ready = |status: &'static str| {
        move |p: &Value| {
            p["status"]["conditions"]
                .as_array()
                .is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == status))
        }
    };
    lab.running("probed").await;
    lab.event("probed", "Unhealthy").await;
    lab.until("probed", ready("False")).await;
    lab.exec("probed", &["touch", "/tmp/ready"]).await;
    lab.until("probed", ready("True")).await;
    lab.exec("probed", &["rm", "/tmp/ready"]).await;
    lab.until("probed", ready("False")).await;
    lab.exec("probed", &["touch", "/tmp/dead"]).await;
    let pod = lab
        .until("probed", |p| {
            p["status"]["containerStatuses"][0]["restartCount"] == 1
        })
        .await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        143
    );
    lab.delete("probed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_pod() {
    let lab = Lab::new().await;
    let spec = json!({"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "x", "command": ["sleep", "600"]}]});
    lab.pod("late", spec).await;
    let pod = lab.phase("late", "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_survive_a_restart_of_the_node_or_say_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&kubestash::sandbox::Options {
        state_dir: Some(dir.path().join("state")),
    })
    .unwrap();
    let mut lab = Lab::at(dir, server.clone()).await;
    let always = json!({"restartPolicy": "Always", "containers": [{"name": "c", "image": "x", "command": ["sleep", "600"]}]});
    lab.pod("always", always).await;
    lab.script("never", "sleep 600").await;
    lab.script("done", "echo kept").await;
    lab.running("always").await;
    lab.running("never").await;
    lab.phase("done", "Succeeded").await;
    lab.shut_down().await;
    let pod = lab.phase("never", "Failed").await;
    assert_eq!(pod["status"]["reason"], "SandboxStopped");
    let dir = std::mem::replace(&mut lab.dir, tempfile::tempdir().unwrap());
    let lab = Lab::at(dir, server).await;
    let pod = lab.until("always", |p| {
        let status = &p["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    pod.await;
    assert_eq!(lab.logs("done").await, "kept\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_a_log_ends_with_the_container() {
    use futures::{AsyncBufReadExt, TryStreamExt};
    let lab = Lab::new().await;
    lab.script("talks", "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done")
        .await;
    lab.running("talks").await;
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let lines = lab
        .api::<Pod>()
        .log_stream("talks", &follow)
        .await
        .unwrap()
        .lines();
    let lines: Vec<String> = timeout(LIMIT, lines.try_collect()).await.unwrap().unwrap();
    assert_eq!(lines, ["line 1", "line 2", "line 3", "line 4", "line 5"]);
    lab.phase("talks", "Succeeded").await;
}
