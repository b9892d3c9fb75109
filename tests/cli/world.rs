//! One API server for all tests, and the program run against it.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use kubestash::cli::manifests::Manifests;
use kubestash::cluster::kinds;
use kubestash::sandbox::{Identity, Options, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A served API server and a kubeconfig for it.
pub(crate) struct World {
    dir: TempDir,
    runtime: Runtime,
    server: Server,
}

/// What a run of the program left.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// All of it in one text for snapshots.
    pub(crate) fn all(&self) -> String {
        let mut text = format!("exit {}\n", self.code);
        for (name, stream) in [("out", &self.out), ("err", &self.err)] {
            for line in stream.lines() {
                text.push_str(format!("{name}| {line}").trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// The server that knows our kinds.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let world = World::empty();
        let definitions = Manifests::new("kubestash", kubestash::IMAGE).unwrap().definitions;
        for definition in definitions {
            world.create(&definition);
        }
        world
    })
}

impl World {
    /// A server without any of our kinds.
    pub(crate) fn empty() -> World {
        kubestash::install_crypto_provider();
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(&Options::default()).unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = server.clone();
        runtime.spawn(async move { serving.serve_tls(listener, std::future::pending()).await });
        fs::write(dir.path().join("ca.crt"), server.ca_pem()).unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority": dir.path().join("ca.crt"),
            }}],
            "users": [{"name": "u", "user": {"token": server.admin_token()}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        fs::write(dir.path().join("config"), config.to_string()).unwrap();
        World { dir, runtime, server }
    }

    /// The file with the cluster's address and the administrator's token.
    pub(crate) fn kubeconfig(&self) -> std::path::PathBuf {
        self.dir.path().join("config")
    }

    pub(crate) fn client(&self) -> Client {
        let _runtime = self.runtime.enter();
        self.server.client(Identity::Admin)
    }

    /// Creates an object, with its status.
    pub(crate) fn create(&self, object: &Value) {
        let typed: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let types = typed.types.clone().unwrap();
        let kind = kinds::of(&types.api_version, &types.kind).unwrap();
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
            kind.plural,
        );
        let api: Api<DynamicObject> = match &typed.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        };
        let name = typed.metadata.name.clone().unwrap();
        self.runtime.block_on(async {
            api.create(&PostParams::default(), &typed).await.unwrap();
            if kind.group.ends_with("kubestash.com") && object.get("status").is_some() {
                let patch = Patch::Merge(json!({"status": object["status"]}));
                api.patch_status(&name, &PatchParams::default(), &patch)
                    .await
                    .unwrap();
            }
        });
    }

    /// A namespace of a test's own.
    pub(crate) fn namespace(&self, name: &str) {
        self.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }

    /// Whether an object exists.
    pub(crate) fn exists(&self, kind: &kubestash::cluster::Kind, namespace: &str, name: &str) -> bool {
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
            kind.plural,
        );
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &resource);
        self.runtime.block_on(api.get_opt(name)).unwrap().is_some()
    }

    /// The names of the objects of a kind (`plural` or `plural.group`) in a namespace.
    pub(crate) fn names(&self, plural: &str, namespace: &str) -> Vec<String> {
        let kind = kinds::ALL.iter().find(|k| k.is_called(plural)).unwrap();
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
            kind.plural,
        );
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &resource);
        let found = self
            .runtime
            .block_on(api.list(&kube::api::ListParams::default()))
            .unwrap();
        found.items.into_iter().filter_map(|o| o.metadata.name).collect()
    }

    /// An object of a kind (`plural` or `plural.group`), as JSON.
    pub(crate) fn get(&self, plural: &str, namespace: &str, name: &str) -> Value {
        let kind = kinds::ALL.iter().find(|k| k.is_called(plural)).unwrap();
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
            kind.plural,
        );
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &resource);
        serde_json::to_value(self.runtime.block_on(api.get(name)).unwrap()).unwrap()
    }

    /// A file beside the kubeconfig.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// The operator as a process with the rights of its ServiceAccount, on ports of its own; its log is on stderr.
    pub(crate) fn operator(&self) -> std::process::Child {
        let config = fs::read_to_string(self.dir.path().join("config")).unwrap();
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config["users"][0]["user"]["as"] = json!("system:serviceaccount:kubestash:kubestash-operator");
        config["users"][0]["user"]["as-groups"] = json!([
            "system:serviceaccounts",
            "system:serviceaccounts:kubestash",
            "system:authenticated"
        ]);
        fs::write(self.dir.path().join("operator"), config.to_string()).unwrap();
        let program = self.dir.path().join("kubestash");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-kubestash"), &program).unwrap();
        let port = || {
            std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port()
                .to_string()
        };
        Command::new(program)
            .arg("operator")
            .env_clear()
            .env("HOME", self.dir.path())
            .env("KUBECONFIG", self.dir.path().join("operator"))
            .env("POD_NAMESPACE", "kubestash")
            .env("POD_NAME", "operator-0")
            .env("KUBESTASH_LISTEN_WEBHOOK", port())
            .env("KUBESTASH_LISTEN_PROBES", port())
            .env("KUBESTASH_LISTEN_METRICS", port())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Changes the status of a session after a while, as the operator would.
    pub(crate) fn later(&self, plural: &str, namespace: &str, name: &str, status: Value) {
        self.later_when(plural, namespace, name, status, |_| true);
    }

    /// As [`World::later`], once the object is as wanted.
    pub(crate) fn later_when(
        &self,
        plural: &str,
        namespace: &str,
        name: &str,
        status: Value,
        wanted: fn(&DynamicObject) -> bool,
    ) {
        let kind = kinds::ALL.iter().find(|k| k.plural == plural).unwrap();
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
            kind.plural,
        );
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &resource);
        let prefix = name.to_owned();
        self.runtime.spawn(async move {
            loop {
                let found = api.list(&kube::api::ListParams::default()).await.unwrap();
                for object in found.items.into_iter().filter(wanted) {
                    let name = object.metadata.name.unwrap();
                    if name.starts_with(&prefix) {
                        let patch = Patch::Merge(json!({"status": status}));
                        api.patch_status(&name, &PatchParams::default(), &patch)
                            .await
                            .unwrap();
                        return;
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, "")
    }

    /// Runs the program to its end with something on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Run {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kubestash"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("KUBECONFIG", self.dir.path().join("config"))
            .current_dir(self.dir.path());
        command
    }

    /// Reads a file from beside the kubeconfig, where the program runs.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Writes a file beside the kubeconfig, where the program runs.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Hides what differs from run to run.
macro_rules! shown {
    ($run:expr, @$expected:literal) => {
        insta::with_settings!({filters => vec![
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
            (r"-1\d{9}", "-[unix]"),
            (r"\b\d+s\b", "[age]"),
            (r"\(\d+d ago\)", "([days] ago)"),
            (r"taken \S+ ago", "taken [days] ago"),
            (r"127\.0\.0\.1:\d+", "[server]"),
            (r" +\n", "\n"),
        ]}, { insta::assert_snapshot!($run.all(), @$expected) })
    };
}
pub(crate) use shown;

/// A BackupConfiguration that is Ready, with a session `daily` into the Repository `repo`.
pub(crate) fn configuration(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "target": {"kind": "PersistentVolumeClaim", "name": "data"},
            "backends": [{"name": "s3", "storageRef": {"name": "s3"}, "retentionPolicy": {"name": "keep"}}],
            "sessions": [{
                "name": "daily",
                "scheduler": {"schedule": "0 2 * * *", "jobTemplate": {"backoffLimit": 1}},
                "repositories": [{"name": "repo", "backend": "s3", "directory": "/data", "encryptionSecret": {"name": "key"}}],
                "addon": {"name": "pvc-addon", "tasks": [{"name": "logical-backup"}]},
            }],
        },
        "status": {"phase": "Ready", "targetFound": true},
    })
}

/// A Snapshot in the Repository `repo`.
pub(crate) fn snapshot(namespace: &str, name: &str, phase: &str, time: &str) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubestash.com/repo-name": "repo"}},
        "spec": {
            "repository": "repo", "session": "daily", "backupSession": "b", "snapshotID": "01", "type": "FullBackup",
            "version": "v1", "deletionPolicy": "Delete", "appRef": {"kind": "PersistentVolumeClaim", "name": "data"},
        },
        "status": {
            "phase": phase, "snapshotTime": time, "size": "1.5 MiB", "totalComponents": 1, "integrity": true,
            "verificationStatus": "NotVerified",
            "components": {"dump": {"phase": phase, "driver": "Restic", "error": if phase == "Failed" { "disk is full" } else { "" }}},
        },
    })
}
