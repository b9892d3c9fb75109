//! A cluster in the test's own process: the sandbox's API server with our definitions and roles, the operator running
//! with its ServiceAccount's rights and nothing more, and words for what tests look at.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::client::Body;
use kube::core::TypeMeta;
use kubestash::operator::{Context, Options};
use kubestash::sandbox::{Identity, Server};
use serde_json::{Value, json};

/// Nothing that is awaited here takes longer.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Cluster {
    pub(super) client: kube::Client,
    pub(super) operator: Arc<Context>,
    calls: Arc<Mutex<Vec<String>>>,
}

/// Definitions and roles are read once for all tests: YAML takes longer than most of them.
static CRDS: LazyLock<Vec<Value>> = LazyLock::new(|| read("crds"));
static OPERATOR: LazyLock<Vec<Value>> = LazyLock::new(|| read("operator"));

/// The shipped manifests of these kinds, in the order of the kinds.
pub(super) fn manifests(kinds: &[&str]) -> Vec<Value> {
    let mut objects = OPERATOR.clone();
    objects.retain(|object| kinds.contains(&object["kind"].as_str().unwrap_or_default()));
    objects.sort_by_key(|object| kinds.iter().position(|kind| *kind == object["kind"]));
    objects
}

fn read(directory: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("manifests")
        .join(directory);
    let mut files: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            kubestash::yaml::from_str_multi::<Value>(&std::fs::read_to_string(file).unwrap()).unwrap()
        })
        .collect()
}

fn resource(kind: &Value) -> (ApiResource, bool) {
    let api_version = kind["apiVersion"].as_str().unwrap();
    let name = kind["kind"].as_str().unwrap();
    let types = TypeMeta {
        api_version: api_version.to_owned(),
        kind: name.to_owned(),
    };
    let gvk = GroupVersionKind::try_from(&types).unwrap();
    let cluster_scoped = matches!(
        name,
        "CustomResourceDefinition"
            | "Namespace"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "Addon"
            | "Function"
            | "MutatingWebhookConfiguration"
            | "ValidatingWebhookConfiguration"
    );
    let resource = match name {
        "BackupVerifier" => ApiResource::from_gvk_with_plural(&gvk, "backupverifier"),
        _ => ApiResource::from_gvk(&gvk),
    };
    (resource, !cluster_scoped)
}

fn options() -> Options {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }
    let line: Line = clap::Parser::parse_from([
        "operator",
        "--leader-election=false",
        "--webhooks=false",
        "--webhook-port=0",
        "--probe-port=0",
        "--metrics-port=0",
        "--namespace=kubestash",
    ]);
    line.options
}

impl Cluster {
    /// A cluster with definitions and roles, and the operator running in it.
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other options.
    pub(super) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        kubestash::install_crypto_provider();
        // RUST_LOG=kubestash=debug shows what the operator does.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter(filter)
            .try_init();
        let mut options = options();
        change(&mut options);
        let server = Server::new(&kubestash::sandbox::Options::default()).unwrap();
        let client = server.client(Identity::Admin);
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let account = Identity::ServiceAccount {
            namespace: "kubestash".into(),
            name: "kubestash-operator".into(),
        };
        let own = counted(server.client(account), calls.clone());
        let cluster = Self {
            client,
            operator: Context::new(own, options),
            calls,
        };
        for object in CRDS.clone() {
            cluster.apply(object).await;
        }
        let roles = [
            "Namespace",
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Role",
            "RoleBinding",
        ];
        let objects = manifests(&roles);
        for object in objects {
            cluster.apply(object).await;
        }
        cluster
            .apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}))
            .await;
        tokio::spawn(kubestash::operator::run_with(cluster.operator.clone()));
        cluster
    }

    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let (resource, namespaced) = resource(object);
        if namespaced {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("demo");
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// Applies an object; one without a namespace goes to `demo`.
    pub(super) async fn apply(&self, object: Value) -> Value {
        let name = object["metadata"]["name"].to_string();
        self.try_apply(object)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Applies an object that may be refused.
    pub(super) async fn try_apply(&self, object: Value) -> Result<Value, kube::Error> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply("test").force();
        let applied = self
            .api(&object)
            .patch(&name, &params, &Patch::Apply(&object))
            .await?;
        Ok(serde_json::to_value(applied).unwrap())
    }

    /// Merges into the status, as a Job would.
    pub(super) async fn set_status(&self, kind: &str, name: &str, status: Value) {
        let patch = json!({"status": status});
        self.api(&reference(kind, name))
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// Merges a patch into an object.
    pub(super) async fn merge(&self, kind: &str, name: &str, patch: Value) {
        self.api(&reference(kind, name))
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub(super) async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self.api(&reference(kind, name)).get_opt(name).await.unwrap()?;
        Some(serde_json::to_value(found).unwrap())
    }

    pub(super) async fn delete(&self, kind: &str, name: &str) {
        self.api(&reference(kind, name))
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until the object looks as wanted.
    pub(super) async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let last = Mutex::new(Value::Null);
        let found = self
            .eventually(|| async {
                let object = self.get(kind, name).await?;
                *last.lock().unwrap() = object.clone();
                wanted(&object).then_some(object)
            })
            .await;
        found.unwrap_or_else(|| {
            panic!(
                "{kind} {name} never {what}; last seen: {:#}",
                last.lock().unwrap()["status"]
            )
        })
    }

    /// Waits until the object is gone.
    pub(super) async fn until_gone(&self, kind: &str, name: &str) {
        let gone = self
            .eventually(|| async { self.get(kind, name).await.is_none().then_some(()) })
            .await;
        assert!(
            gone.is_some(),
            "{kind} {name} stays: {:#}",
            self.get(kind, name).await.unwrap_or_default()
        );
    }

    async fn eventually<T, F: Future<Output = Option<T>>>(&self, look: impl Fn() -> F) -> Option<T> {
        let end = tokio::time::Instant::now() + LIMIT;
        while tokio::time::Instant::now() < end {
            if let Some(found) = look().await {
                return Some(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// The requests of the operator that are no watches, since the last call.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// Waits until the operator has asked for nothing during `calm`, then says what it asked for during `quiet`.
    pub(super) async fn quiet_calls(&self, calm: Duration, quiet: Duration) -> Vec<String> {
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            self.calls();
            tokio::time::sleep(calm).await;
            let calls = self.calls();
            if calls.is_empty() {
                break;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "the operator never rests: {calls:?}"
            );
        }
        tokio::time::sleep(quiet).await;
        self.calls()
    }

    /// The message of a condition, when it has that status.
    pub(super) fn message(object: &Value, type_: &str, status: &str) -> Option<String> {
        let conditions = object["status"]["conditions"].as_array()?;
        let found = conditions
            .iter()
            .find(|c| c["type"] == type_ && c["status"] == status)?;
        Some(found["message"].as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.operator.stop();
    }
}

/// An object by kind and name, in namespace `demo` unless the kind's name holds `namespace/`.
fn reference(kind: &str, name: &str) -> Value {
    let (namespace, kind) = kind.split_once('/').unwrap_or(("demo", kind));
    let group: BTreeMap<&str, &str> = [
        ("BackupStorage", "storage.kubestash.com/v1alpha1"),
        ("Repository", "storage.kubestash.com/v1alpha1"),
        ("Snapshot", "storage.kubestash.com/v1alpha1"),
        ("RetentionPolicy", "storage.kubestash.com/v1alpha1"),
        ("BackupConfiguration", "core.kubestash.com/v1alpha1"),
        ("Job", "batch/v1"),
        ("Secret", "v1"),
        ("Namespace", "v1"),
        ("ServiceAccount", "v1"),
        ("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
        (
            "ValidatingWebhookConfiguration",
            "admissionregistration.k8s.io/v1",
        ),
    ]
    .into();
    json!({"apiVersion": group[kind], "kind": kind, "metadata": {"name": name, "namespace": namespace}})
}

/// The client, with every request that is no watch written down as `METHOD path`.
fn counted(client: kube::Client, calls: Arc<Mutex<Vec<String>>>) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (client, calls) = (client.clone(), calls.clone());
        async move {
            let watch = request
                .uri()
                .query()
                .is_some_and(|query| query.contains("watch=true"));
            if !watch {
                calls
                    .lock()
                    .unwrap()
                    .push(format!("{} {}", request.method(), request.uri()));
            }
            client.send(request).await
        }
    });
    kube::Client::new(service, "default")
}
