//! The API server through the real kubectl, over TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use kubestash::sandbox::{Identity, Options, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::client::{WIDGETS, account};

const LIMIT: Duration = Duration::from_secs(60);

/// A served sandbox and a kubeconfig for it.
struct Cluster {
    server: Server,
    dir: TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Cluster {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(&Options::default()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = server.clone();
        tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            serving.serve_tls(listener, until).await.unwrap();
        });
        fs::write(dir.path().join("ca.crt"), server.ca_pem()).unwrap();
        let cluster = Self {
            server,
            dir,
            stop: Some(stop),
        };
        cluster.kubeconfig("config", port, cluster.server.admin_token());
        account(&cluster.server.client(Identity::Admin), "default", "default").await;
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn kubeconfig(&self, file: &str, port: u16, token: &str) {
        let ca = self.path("ca.crt");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: {}}}}}]\n\
             users: [{{name: u, user: {{token: '{token}'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
            ca.display()
        );
        fs::write(self.path(file), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(args)
            .env("KUBECONFIG", self.path("config"))
            .env("HOME", self.dir.path())
            .env("KUBECACHEDIR", self.path("cache"))
            .kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        tokio::time::timeout(LIMIT, child.wait_with_output())
            .await
            .unwrap()
            .unwrap()
    }

    /// Runs kubectl, which must succeed; answers what it printed, warnings included.
    async fn ok(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input).await;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "kubectl {args:?} failed:\n{text}");
        text
    }

    /// Runs kubectl, which must fail; answers what it complained about.
    async fn fails(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input).await;
        assert!(!output.status.success(), "kubectl {args:?} should have failed");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    async fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["-o", "json"]].concat(), "").await;
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: nginx, env: [{name: X, value: '1'}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_applied_and_unknown_kinds_named() {
    let cluster = Cluster::start().await;
    let list = "apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}
";
    has(
        &cluster.ok(&["apply", "-f", "-"], list).await,
        &["configmap/one created", "configmap/two created"],
    );
    let unknown = "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: x}\n";
    let said = cluster.fails(&["apply", "-f", "-"], unknown).await;
    has(
        &said,
        &["no matches for kind \"ServiceMonitor\" in version \"monitoring.coreos.com/v1\""],
    );
    has(
        &cluster.ok(&["get", "--raw", "/openapi/v2"], "").await,
        &["\"swagger\""],
    );
}

const WIDGET: &str = "apiVersion: test.io/v1
kind: Widget
metadata: {name: one}
spec: {color: red}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_get_edit_patch_delete() {
    let cluster = Cluster::start().await;
    has(
        &cluster.ok(&["apply", "-f", "-"], DEPLOYMENT).await,
        &["deployment.apps/web created"],
    );
    has(
        &cluster.ok(&["apply", "-f", "-"], DEPLOYMENT).await,
        &["deployment.apps/web unchanged"],
    );
    let changed = DEPLOYMENT.replace("name: a, image: nginx", "name: a, image: httpd");
    has(&cluster.ok(&["diff", "-f", "-"], DEPLOYMENT).await, &[]);
    has(
        &cluster.ok(&["apply", "-f", "-"], &changed).await,
        &["deployment.apps/web configured"],
    );
    let table = cluster
        .ok(&["get", "deploy", "-o", "wide", "--show-labels"], "")
        .await;
    has(&table, &["READY", "UP-TO-DATE", "0/1", "httpd", "app=web"]);
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"b","image":"x"}]}}}}"#;
    cluster.ok(&["patch", "deploy", "web", "-p", patch], "").await;
    let containers = &cluster.json(&["get", "deploy", "web"]).await["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().unwrap().len(), 2);
    cluster.ok(&["scale", "deploy", "web", "--replicas=3"], "").await;
    cluster.ok(&["set", "image", "deploy/web", "a=other"], "").await;
    cluster.ok(&["label", "deploy", "web", "tier=1"], "").await;
    cluster.ok(&["annotate", "deploy", "web", "note=x"], "").await;
    let live = cluster.json(&["get", "deploy", "web"]).await;
    assert_eq!(
        (&live["spec"]["replicas"], &live["metadata"]["labels"]["tier"]),
        (&3.into(), &"1".into())
    );
    let script = cluster.path("editor.sh");
    fs::write(&script, "#!/bin/sh\nsed -i 's/replicas: 3/replicas: 5/' \"$1\"\n").unwrap();
    executable(&script);
    let mut edit = cluster.command(&["edit", "deploy", "web"]);
    edit.env("EDITOR", &script);
    assert!(edit.output().await.unwrap().status.success());
    assert_eq!(
        cluster.json(&["get", "deploy", "web"]).await["spec"]["replicas"],
        5
    );
    has(
        &cluster.ok(&["describe", "deploy", "web"], "").await,
        &["Name:", "web", "RollingUpdate"],
    );
    has(
        &cluster.ok(&["delete", "deploy", "web"], "").await,
        &["\"web\" deleted"],
    );
    has(
        &cluster.fails(&["get", "deploy", "web"], "").await,
        &["Error from server (NotFound): deployments.apps \"web\" not found"],
    );
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_side_apply_and_validation() {
    let cluster = Cluster::start().await;
    has(
        &cluster
            .ok(&["apply", "--server-side", "-f", "-"], DEPLOYMENT)
            .await,
        &["serverside-applied"],
    );
    cluster.ok(&["scale", "deploy", "web", "--replicas=3"], "").await;
    let wanting = DEPLOYMENT.replace("spec:\n  selector", "spec:\n  replicas: 2\n  selector");
    let clash = cluster
        .fails(&["apply", "--server-side", "-f", "-"], &wanting)
        .await;
    has(
        &clash,
        &[
            "Apply failed with 1 conflict: conflict with \"kubectl\"",
            ".spec.replicas",
            "--force-conflicts",
        ],
    );
    cluster
        .ok(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &wanting,
        )
        .await;
    assert_eq!(
        cluster.json(&["get", "deploy", "web"]).await["spec"]["replicas"],
        2
    );
    let typo = DEPLOYMENT.replace("image: nginx", "imagee: nginx, image: httpd");
    has(
        &cluster.fails(&["apply", "-f", "-"], &typo).await,
        &["strict decoding error: unknown field \"spec.template.spec.containers[0].imagee\""],
    );
    let warned = cluster.ok(&["apply", "--validate=warn", "-f", "-"], &typo).await;
    has(
        &warned,
        &["Warning: unknown field \"spec.template.spec.containers[0].imagee\""],
    );
    let invalid = DEPLOYMENT.replace("labels: {app: web}}\n    spec", "labels: {app: other}}\n    spec");
    let said = cluster
        .fails(&["create", "-f", "-"], &invalid.replace("name: web", "name: bad"))
        .await;
    has(
        &said,
        &[
            "The Deployment \"bad\" is invalid",
            "`selector` does not match template `labels`",
        ],
    );
    let wrong = DEPLOYMENT.replace("spec:\n  selector", "spec:\n  replicas: many\n  selector");
    has(
        &cluster.fails(&["create", "-f", "-"], &wrong).await,
        &["cannot unmarshal string into Go struct field"],
    );
    let dry = cluster
        .ok(
            &["create", "--dry-run=server", "-f", "-"],
            &DEPLOYMENT.replace("name: web", "name: dry"),
        )
        .await;
    has(&dry, &["created (server dry run)"]);
    has(&cluster.fails(&["get", "deploy", "dry"], "").await, &["NotFound"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_kinds_are_first_class() {
    let cluster = Cluster::start().await;
    cluster.ok(&["apply", "-f", "-"], WIDGETS).await;
    cluster
        .ok(
            &["wait", "--for=condition=Established", "crd/widgets.test.io"],
            "",
        )
        .await;
    cluster.ok(&["apply", "-f", "-"], WIDGET).await;
    has(
        &cluster.ok(&["get", "wd"], "").await,
        &["NAME", "COLOR", "PHASE", "AGE", "one", "red"],
    );
    has(&cluster.ok(&["get", "all"], "").await, &["widget.test.io/one"]);
    has(
        &cluster.ok(&["explain", "widget.spec"], "").await,
        &["What is wanted.", "color\t<string> -required-", "Its color."],
    );
    has(
        &cluster.ok(&["explain", "widget", "--recursive"], "").await,
        &["parts\t<[]Object>", "size\t<integer>", "ownerReferences"],
    );
    has(
        &cluster.ok(&["explain", "pod.spec.containers.env"], "").await,
        &["valueFrom\t<EnvVarSource>", "List of environment variables"],
    );
    has(
        &cluster.ok(&["api-resources"], "").await,
        &["widgets", "wd", "test.io/v1", "deployments", "deploy"],
    );
    has(
        &cluster
            .fails(&["apply", "-f", "-"], &WIDGET.replace("red", "green"))
            .await,
        &["Unsupported value: \"green\""],
    );
    has(
        &cluster
            .fails(
                &["apply", "-f", "-"],
                &WIDGET.replace("color", "colour: x, color"),
            )
            .await,
        &["unknown field \"spec.colour\""],
    );
    let list = cluster
        .ok(
            &[
                "get",
                "widgets",
                "--field-selector",
                "spec.color=red",
                "-o",
                "name",
            ],
            "",
        )
        .await;
    assert_eq!(list.trim(), "widget.test.io/one");
    cluster.ok(&["scale", "widget/one", "--replicas=4"], "").await;
    cluster
        .ok(
            &[
                "patch",
                "widget",
                "one",
                "--subresource=status",
                "--type=merge",
                "-p",
                r#"{"status":{"phase":"Ready"}}"#,
            ],
            "",
        )
        .await;
    cluster
        .ok(
            &[
                "wait",
                "--for=jsonpath={.status.phase}=Ready",
                "widget/one",
                "--timeout=5s",
            ],
            "",
        )
        .await;
    cluster
        .ok(
            &[
                "patch",
                "widget",
                "one",
                "--type=merge",
                "-p",
                r#"{"metadata":{"finalizers":["x.io/y"]}}"#,
            ],
            "",
        )
        .await;
    cluster.ok(&["delete", "widget", "one", "--wait=false"], "").await;
    assert!(cluster.json(&["get", "widget", "one"]).await["metadata"]["deletionTimestamp"].is_string());
    cluster
        .ok(
            &[
                "patch",
                "widget",
                "one",
                "--type=json",
                "-p",
                r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
            ],
            "",
        )
        .await;
    cluster
        .ok(&["wait", "--for=delete", "widget/one", "--timeout=5s"], "")
        .await;
    cluster.ok(&["delete", "crd", "widgets.test.io"], "").await;
    has(
        &cluster.fails(&["get", "widgets"], "").await,
        &["Error from server (NotFound)"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_print_as_things_happen() {
    let cluster = Cluster::start().await;
    cluster
        .ok(&["create", "configmap", "first", "--from-literal=a=b"], "")
        .await;
    let mut child = cluster
        .command(&["get", "configmaps", "-w"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || {
        tokio::time::timeout(LIMIT, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    has(&next().await, &["NAME", "DATA", "AGE"]);
    has(&next().await, &["first", "1"]);
    cluster.ok(&["create", "configmap", "second"], "").await;
    has(&next().await, &["second", "0"]);
    cluster.ok(&["delete", "configmap", "first"], "").await;
    has(&next().await, &["first"]);
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generators_and_selectors() {
    let cluster = Cluster::start().await;
    cluster
        .ok(&["create", "configmap", "cm", "--from-literal=a=b"], "")
        .await;
    cluster
        .ok(&["create", "secret", "generic", "se", "--from-literal=k=v"], "")
        .await;
    cluster
        .ok(
            &[
                "create",
                "deployment",
                "de",
                "--image=nginx",
                "--replicas=2",
                "--port=80",
                "--",
                "sleep",
                "1",
            ],
            "",
        )
        .await;
    cluster
        .ok(&["create", "job", "jo", "--image=busybox", "--", "true"], "")
        .await;
    for name in ["z", "y"] {
        cluster
            .ok(&["create", "configmap", name, "--from-literal=k=v"], "")
            .await;
    }
    let sorted = cluster
        .ok(&["get", "configmap", "--sort-by=.metadata.resourceVersion"], "")
        .await;
    let place = |name: &str| sorted.lines().position(|l| l.starts_with(&format!("{name} ")));
    assert!(place("z").is_some() && place("z") < place("y"), "{sorted}");
    cluster
        .ok(
            &[
                "create",
                "cronjob",
                "cj",
                "--image=busybox",
                "--schedule=*/5 * * * *",
                "--",
                "true",
            ],
            "",
        )
        .await;
    cluster.ok(&["create", "namespace", "other"], "").await;
    cluster.ok(&["create", "serviceaccount", "sa"], "").await;
    cluster
        .ok(
            &[
                "create",
                "role",
                "ro",
                "--verb=get,list",
                "--resource=pods,deployments.apps",
            ],
            "",
        )
        .await;
    cluster
        .ok(
            &[
                "create",
                "rolebinding",
                "rb",
                "--role=ro",
                "--serviceaccount=default:sa",
            ],
            "",
        )
        .await;
    cluster
        .ok(&["create", "service", "clusterip", "svc", "--tcp=80:8080"], "")
        .await;
    cluster
        .ok(&["run", "po", "--image=busybox", "--labels=x=1,y=2"], "")
        .await;
    cluster.ok(&["expose", "deployment", "de", "--port=80"], "").await;
    let secret = cluster.json(&["get", "secret", "se"]).await;
    assert_eq!(secret["data"]["k"], "dg==");
    let deployment = cluster.json(&["get", "deployment", "de"]).await;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["sleep", "1"]));
    assert_eq!(container["ports"][0]["containerPort"], 80);
    assert_eq!(deployment["spec"]["replicas"], 2);
    let service = cluster.json(&["get", "service", "svc"]).await;
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
    has(
        &cluster.ok(&["get", "pods", "-l", "x in (1),y!=3"], "").await,
        &["po", "0/1", "Pending"],
    );
    has(
        &cluster.ok(&["get", "pods", "-l", "x=2"], "").await,
        &["No resources found"],
    );
    has(
        &cluster.ok(&["get", "jobs,cronjobs,svc"], "").await,
        &["job.batch/jo", "cronjob.batch/cj", "*/5 * * * *", "80/TCP"],
    );
    let named = cluster
        .ok(&["get", "configmaps", "-A", "--chunk-size=1", "-o", "name"], "")
        .await;
    has(&named, &["configmap/cm"]);
    cluster.ok(&["delete", "configmaps", "--all"], "").await;
    let token = cluster.ok(&["create", "token", "sa"], "").await;
    assert_eq!(token.trim().split('.').count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_are_checked_and_told() {
    let cluster = Cluster::start().await;
    cluster.ok(&["create", "serviceaccount", "sa"], "").await;
    cluster
        .ok(
            &[
                "create",
                "rolebinding",
                "view",
                "--clusterrole=view",
                "--serviceaccount=default:sa",
            ],
            "",
        )
        .await;
    let who = "--as=system:serviceaccount:default:sa";
    has(
        &cluster.ok(&["auth", "can-i", "list", "pods", who], "").await,
        &["yes"],
    );
    has(
        &cluster
            .run(&["auth", "can-i", "delete", "pods", who], "")
            .await
            .stdout_text(),
        &["no"],
    );
    has(
        &cluster.ok(&["auth", "can-i", "--list", who], "").await,
        &["configmaps", "[get list watch]", "selfsubjectaccessreviews"],
    );
    has(
        &cluster.ok(&["auth", "whoami", who], "").await,
        &["system:serviceaccount:default:sa", "system:serviceaccounts"],
    );
    has(
        &cluster.fails(&["get", "secrets", who], "").await,
        &[
            "Error from server (Forbidden): secrets is forbidden: User \"system:serviceaccount:default:sa\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"",
        ],
    );
    // With the account's own token it is the same, until the account goes.
    let token = cluster.ok(&["create", "token", "sa"], "").await;
    let port = fs::read_to_string(cluster.path("config")).unwrap();
    let port = port
        .split("127.0.0.1:")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    cluster.kubeconfig("sa-config", port, token.trim());
    let config = cluster.path("sa-config");
    let flag = format!("--kubeconfig={}", config.display());
    cluster.ok(&["get", "pods", &flag], "").await;
    cluster.ok(&["delete", "serviceaccount", "sa"], "").await;
    has(
        &cluster.fails(&["get", "pods", &flag], "").await,
        &["Unauthorized"],
    );
    cluster.kubeconfig("bad-config", port, "nonsense");
    let flag = format!("--kubeconfig={}", cluster.path("bad-config").display());
    has(
        &cluster.fails(&["get", "pods", &flag], "").await,
        &["Unauthorized"],
    );
}

trait Text {
    fn stdout_text(&self) -> String;
}

impl Text for Output {
    fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_and_exec() {
    let cluster = Cluster::start().await;
    super::streams::with_pod(&cluster.server).await;
    assert_eq!(
        cluster.ok(&["logs", "p", "--tail=2"], "").await,
        "container a\nfollow false tail Some(2)\n"
    );
    let output = cluster
        .run(&["exec", "-i", "p", "--", "tool"], "some input")
        .await;
    assert_eq!(output.stdout_text(), "SOME INPUT");
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "tool");
    assert!(output.status.success());
    let output = cluster.run(&["exec", "p", "--", "tool", "b", "c"], "").await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn ports_are_forwarded() {
    let cluster = Cluster::start().await;
    let pods = super::streams::with_pod(&cluster.server).await;
    let running = serde_json::json!({"status": {"phase": "Running"}});
    pods.patch_status("p", &Default::default(), &kube::api::Patch::Merge(&running))
        .await
        .unwrap();
    let mut child = cluster
        .command(&["port-forward", "pod/p", ":8080", ":1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ports = Vec::new();
    while ports.len() < 2 {
        let line = tokio::time::timeout(LIMIT, said.next_line()).await.unwrap();
        let line = line.unwrap().expect("kubectl ended");
        // Said for 127.0.0.1 and for ::1.
        if let Some(rest) = line.strip_prefix("Forwarding from 127.0.0.1:") {
            ports.push(rest.split(' ').next().unwrap().parse::<u16>().unwrap());
        }
    }
    // Three connections, one after another and larger than one frame: streams of one tunnel do not mix.
    for size in [4usize, 200_000, 1] {
        let mut connection = tokio::net::TcpStream::connect(("127.0.0.1", ports[0]))
            .await
            .unwrap();
        let sent: Vec<u8> = (0..size).map(|n| (n * 7 % 251) as u8).collect();
        let (mut from, mut to) = connection.split();
        let write = async {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut from, &mut answer);
        let (_, read) = tokio::time::timeout(LIMIT, async { tokio::join!(write, read) })
            .await
            .unwrap();
        read.unwrap();
        assert!(answer == sent, "{size} bytes came back as {}", answer.len());
    }
    // Nothing listens behind the second port; kubectl says what the node answered.
    let _ = tokio::net::TcpStream::connect(("127.0.0.1", ports[1]))
        .await
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = tokio::time::timeout(LIMIT, errors.next_line()).await.unwrap();
        let line = line.unwrap().expect("kubectl said nothing of the error");
        if line.contains("nothing listens there") {
            break;
        }
    }
    child.kill().await.unwrap();
}
