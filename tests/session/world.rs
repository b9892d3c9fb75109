//! A cluster for the controllers: definitions, catalog, a StatefulSet with claims, a storage, Secrets, a configuration.
//! The node and the storage side are played: [`World::play`] ends Jobs as the test says and completes Snapshots as the
//! storage controllers do.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, NamespaceResourceScope, TypeMeta},
    runtime::{WatchStreamExt, watcher},
};
use kubestash::{
    api::{
        conditions::snapshot::SNAPSHOT_METADATA_UPLOADED,
        config::job_plan::JobPlan,
        core::{BackupConfiguration, BackupSession, RestoreSession},
        labels,
        storage::{Repository, Snapshot, SnapshotPhase},
    },
    decide::{conditions, phases},
    operator::{Context, Options, backup_configuration, backup_session, claims, restore_session},
    sandbox::{Identity, Server},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::counting::{self, Meter};

/// How a Job ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// All components written as succeeded.
    Success,
    /// As success, with a result that names a skipped file.
    Partial,
    /// The component written as failed, with this error.
    Reported(&'static str),
    /// The container dies without a word to the status.
    Crash,
    /// It never ends.
    Never,
}

/// Ends tasks when it goes.
pub(super) struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

pub(super) struct World {
    pub(super) server: Server,
    pub(super) client: Client,
    ends: Arc<Mutex<BTreeMap<&'static str, End>>>,
    _played: Tasks,
    _state: tempfile::TempDir,
}

fn manifests() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let mut all = Vec::new();
    for dir in ["operator", "catalog"] {
        let mut files: Vec<_> = std::fs::read_dir(root.join(dir))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        files.sort();
        for file in files
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == "yaml"))
        {
            all.extend(kubestash::yaml::values(&std::fs::read_to_string(file).unwrap()).unwrap());
        }
    }
    // Webhooks need a server on a socket; admission has tests of its own.
    all.retain(|it| !it["kind"].as_str().unwrap().contains("Webhook") && it["kind"] != "Deployment");
    all
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Creates any object by its YAML or JSON.
pub(super) async fn create(client: &Client, object: Value) {
    let types: TypeMeta =
        serde_json::from_value(json!({"apiVersion": object["apiVersion"], "kind": object["kind"]})).unwrap();
    let gvk = (&types).try_into().unwrap();
    let plural = match types.kind.as_str() {
        "BackupStorage" => "backupstorages".to_owned(),
        "RetentionPolicy" => "retentionpolicies".to_owned(),
        _ => ApiResource::from_gvk(&gvk).plural,
    };
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let created = Box::pin(api.create(&PostParams::default(), &object)).await;
    created.unwrap_or_else(|e| panic!("{} {}: {e}", types.kind, object.name_any()));
}

impl World {
    /// Everything but the BackupConfiguration; Jobs succeed unless told otherwise.
    pub(super) async fn new() -> Self {
        static BASE: tokio::sync::OnceCell<tempfile::TempDir> = tokio::sync::OnceCell::const_new();
        kubestash::install_crypto_provider();
        // Definitions are large: one server takes them in, the others start from copies of its state.
        let base = BASE.get_or_init(Self::base).await;
        let state = tempfile::tempdir().unwrap();
        copy(base.path(), state.path());
        let server = Server::new(&Self::options(state.path())).unwrap();
        let client = server.client(Identity::Admin);
        let ends = Arc::new(Mutex::new(BTreeMap::new()));
        let played = vec![
            tokio::spawn(play_jobs(client.clone(), ends.clone())),
            tokio::spawn(play_snapshots(client.clone())),
            tokio::spawn(play_repositories(client.clone())),
        ];
        Self {
            server,
            client,
            ends,
            _played: Tasks(played),
            _state: state,
        }
    }

    fn options(state: &Path) -> kubestash::sandbox::Options {
        kubestash::sandbox::Options {
            state_dir: Some(state.to_owned()),
        }
    }

    async fn base() -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        let server = Server::new(&Self::options(state.path())).unwrap();
        let client = server.client(Identity::Admin);
        for crd in kubestash::api::crds::all().unwrap() {
            let mut crd = serde_json::to_value(crd).unwrap();
            crd["apiVersion"] = json!("apiextensions.k8s.io/v1");
            crd["kind"] = json!("CustomResourceDefinition");
            create(&client, crd).await;
        }
        for object in manifests() {
            create(&client, object).await;
        }
        for object in kubestash::yaml::values(SCENE).unwrap() {
            create(&client, object).await;
        }
        let ready = json!({"status": {"phase": "Ready", "conditions": []}});
        let storages: Api<kubestash::api::storage::BackupStorage> = Api::namespaced(client.clone(), "demo");
        storages
            .patch_status("store", &PatchParams::default(), &Patch::Merge(ready))
            .await
            .unwrap();
        state
    }

    /// How Jobs whose name contains `part` end from now on.
    pub(super) fn ends(&self, part: &'static str, end: End) {
        self.ends.lock().unwrap().insert(part, end);
    }

    /// The controllers, with the rights of the operator's ServiceAccount, through `meter`.
    pub(super) fn operator(&self, meter: Arc<Meter>) -> Tasks {
        let account = Identity::ServiceAccount {
            namespace: "kubestash".into(),
            name: "kubestash-operator".into(),
        };
        let client = counting::client(self.server.client(account), meter);
        let options = Options {
            webhook_port: 0,
            probe_port: 0,
            metrics_port: 0,
            namespace: "kubestash".into(),
            pod_name: String::new(),
            image: "ours:1".into(),
            leader_election: false,
            webhooks: false,
            concurrency: 4,
        };
        let ctx = Context::new(client, options);
        Tasks(vec![
            tokio::spawn(backup_configuration::run(ctx.clone())),
            tokio::spawn(backup_session::run(ctx.clone())),
            tokio::spawn(restore_session::run(ctx.clone())),
            tokio::spawn(claims::run(ctx)),
        ])
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "demo")
    }

    /// Creates the configuration `bc` with `change` applied to its JSON.
    pub(super) async fn configure(&self, change: impl FnOnce(&mut Value)) {
        let mut object = kubestash::yaml::values(CONFIGURATION).unwrap().remove(0);
        change(&mut object);
        create(&self.client, object).await;
    }

    /// Creates the HookTemplates.
    pub(super) async fn hook_templates(&self) {
        for object in kubestash::yaml::values(HOOK_TEMPLATES).unwrap() {
            create(&self.client, object).await;
        }
    }

    /// Lets the played node look at a Job again.
    pub(super) async fn touch(&self, job: &str) {
        let touch = json!({"metadata": {"annotations": {"touched": "yes"}}});
        let jobs = self.api::<Job>();
        jobs.patch(job, &PatchParams::default(), &Patch::Merge(touch))
            .await
            .unwrap();
    }

    /// Waits until `condition` holds for the object of that name; the test fails after 20 s and shows it.
    pub(super) async fn wait<K>(&self, name: &str, condition: impl Fn(&K) -> bool) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + serde::Serialize
            + Send
            + 'static,
    {
        let api: Api<K> = self.api();
        let last = Mutex::new(None);
        let holds = |object: Option<&K>| {
            *last.lock().unwrap() = object.cloned();
            object.is_some_and(&condition)
        };
        // Boxed, as unoptimized builds move whole futures over the stack of the test's thread.
        let waited = Box::pin(kube::runtime::wait::await_condition(api, name, holds));
        match tokio::time::timeout(Duration::from_secs(20), waited).await {
            Ok(Ok(Some(object))) => object,
            other => panic!(
                "{} {name} never got there: {}; {}",
                K::kind(&()),
                other.map_or_else(|_| "timed out".to_owned(), |r| format!("{r:?}")),
                kubestash::yaml::to_string(&*last.lock().unwrap()).unwrap()
            ),
        }
    }

    /// Every plan of the session's Jobs belongs to its Job and goes with it.
    pub(super) async fn plans_are_owned(&self, session: &str, when: &str) {
        for job in self.api::<Job>().list(&made_for(session)).await.unwrap() {
            let secret = self.api::<Secret>().get(&job.name_any()).await.unwrap();
            let owners: Vec<_> = secret.owner_references().iter().map(|o| o.uid.clone()).collect();
            assert_eq!(owners, [job.uid().unwrap()], "{}: {when}", job.name_any());
        }
    }

    /// The session of that name once it has done its last step.
    pub(super) async fn finished(&self, name: &str) -> BackupSession {
        self.wait(name, kubestash::decide::backup::finished).await
    }

    /// The restore of that name once it has done its last step.
    pub(super) async fn restored(&self, name: &str) -> RestoreSession {
        self.wait(name, kubestash::decide::restore::finished).await
    }

    /// Name of the initial BackupSession of `bc`.
    pub(super) async fn initial(&self) -> String {
        let born: BackupConfiguration = self.api().get("bc").await.unwrap();
        format!("bc-daily-{}", born.creation_timestamp().unwrap().0.as_second())
    }
}

/// What a condition of that type says, as `status reason: message`.
pub(super) fn says(conditions: &[kubestash::api::shared::Condition], type_: &str) -> String {
    conditions::find(conditions, type_).map_or_else(
        || "absent".to_owned(),
        |c| format!("{} {}: {}", c.status, c.reason, c.message),
    )
}

async fn play_jobs(client: Client, ends: Arc<Mutex<BTreeMap<&'static str, End>>>) {
    let jobs: Api<Job> = Api::all(client.clone());
    watcher(jobs, watcher::Config::default())
        .applied_objects()
        .for_each(|job| {
            let (client, ends) = (client.clone(), ends.clone());
            async move {
                let Ok(job) = job else { return };
                let done = job
                    .status
                    .as_ref()
                    .is_some_and(|s| s.conditions.as_ref().is_some_and(|c| !c.is_empty()));
                if done || job.metadata.deletion_timestamp.is_some() {
                    return;
                }
                let name = job.name_any();
                let end = ends
                    .lock()
                    .unwrap()
                    .iter()
                    .find(|(part, _)| name.contains(*part))
                    .map(|(_, end)| end.clone());
                play_job(&client, &job, end.unwrap_or(End::Success)).await;
            }
        })
        .await;
}

async fn play_job(client: &Client, job: &Job, end: End) {
    if end == End::Never {
        return;
    }
    let namespace = job.namespace().unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret = secrets
        .get(&job.name_any())
        .await
        .expect("a Job's plan is there before the Job");
    let plan: JobPlan = serde_json::from_slice(&secret.data.unwrap()["plan.json"].0).unwrap();
    if end != End::Crash {
        write_component(client, &plan, &end).await;
    }
    let failed = matches!(end, End::Crash | End::Reported(_));
    let message = match end {
        End::Partial => json!({"job": "workload-backup", "outcome": "Partial", "repositories": [
            {"name": "repo", "outcome": "Partial", "skippedFiles": ["/source/data/secret"], "skippedCount": 1}]})
        .to_string(),
        _ => String::new(),
    };
    let container = json!({"name": "logical-backup-0", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": if failed { 137 } else { 0 }, "reason": if failed { "OOMKilled" } else { "Completed" }, "message": message}}});
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": format!("{}-x", job.name_any()), "namespace": namespace,
        "labels": {"job-name": job.name_any()}}, "spec": {"containers": [{"name": "logical-backup-0", "image": "i"}]}}))
    .unwrap();
    match pods.create(&PostParams::default(), &pod).await {
        // Played before: the Job was looked at again.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        created => drop(created.expect("a pod for the Job")),
    }
    let status = json!({"status": {"phase": if failed { "Failed" } else { "Succeeded" }, "containerStatuses": [container]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let kind = if failed { "Failed" } else { "Complete" };
    let status = json!({"status": {"conditions": [{"type": kind, "status": "True", "reason": "Played"}]}});
    // The Job may have been deleted meanwhile.
    let _ = jobs
        .patch_status(&job.name_any(), &PatchParams::default(), &Patch::Merge(status))
        .await;
}

async fn write_component(client: &Client, plan: &JobPlan, end: &End) {
    let (phase, error) = match end {
        End::Reported(error) => ("Failed", Some(*error)),
        _ => ("Succeeded", None),
    };
    match plan {
        JobPlan::Backup(plan) => {
            let snapshots: Api<Snapshot> = Api::namespaced(client.clone(), &plan.namespace);
            for target in &plan.targets {
                let stats = json!([{"summary": {"id": format!("id-{}", target.snapshot), "hostPath": "/source/data", "size": "5 B"}}]);
                let mut component =
                    json!({"phase": phase, "size": "5 B", "integrity": true, "resticStats": stats});
                if let Some(error) = error {
                    component["error"] = json!(error);
                }
                let status = json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
                    "status": {"components": {&plan.component: component}}});
                let manager = PatchParams::apply(&format!("kubestash-job-{}", plan.component)).force();
                snapshots
                    .patch_status(&target.snapshot, &manager, &Patch::Apply(status))
                    .await
                    .unwrap();
            }
        }
        JobPlan::Restore(plan) => {
            let sessions: Api<RestoreSession> = Api::namespaced(client.clone(), &plan.namespace);
            let mut component = json!({"phase": phase});
            if let Some(error) = error {
                component["error"] = json!(error);
            }
            let status = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
                "status": {"components": {&plan.status_component: component}}});
            let manager = PatchParams::apply(&format!("kubestash-job-{}", plan.status_component)).force();
            sessions
                .patch_status(&plan.restore_session, &manager, &Patch::Apply(status))
                .await
                .unwrap();
        }
        JobPlan::Retention(_) | JobPlan::Storage(_) | JobPlan::Reader(_) | JobPlan::Hook(_) => {}
    }
}

/// Completes Snapshots whose components have ended, and lets deleted ones go.
async fn play_snapshots(client: Client) {
    let all: Api<Snapshot> = Api::all(client.clone());
    watcher(all, watcher::Config::default())
        .applied_objects()
        .for_each(|snapshot| {
            let client = client.clone();
            async move {
                let Ok(snapshot) = snapshot else { return };
                let api: Api<Snapshot> = Api::namespaced(client, &snapshot.namespace().unwrap());
                if snapshot.metadata.deletion_timestamp.is_some() {
                    let patch = json!({"metadata": {"finalizers": null}});
                    let _ = api
                        .patch(
                            &snapshot.name_any(),
                            &PatchParams::default(),
                            &Patch::Merge(patch),
                        )
                        .await;
                    return;
                }
                let mut status = snapshot.status.clone().unwrap_or_default();
                let ended = matches!(
                    phases::snapshot_components(&status),
                    SnapshotPhase::Succeeded | SnapshotPhase::Failed
                );
                if !ended || conditions::has(&status.conditions, SNAPSHOT_METADATA_UPLOADED) {
                    return;
                }
                let uploaded = conditions::condition(
                    SNAPSHOT_METADATA_UPLOADED,
                    true,
                    "SuccessfullyUploadedSnapshotMetadata",
                    "",
                    Timestamp::now(),
                );
                conditions::set(&mut status.conditions, uploaded);
                status.phase = Some(phases::snapshot(&status));
                let patch = json!({"metadata": {"resourceVersion": snapshot.resource_version()},
                    "status": {"conditions": status.conditions, "phase": status.phase}});
                // Somebody else may have written meanwhile; then its event brings us back.
                let _ = api
                    .patch_status(
                        &snapshot.name_any(),
                        &PatchParams::default(),
                        &Patch::Merge(patch),
                    )
                    .await;
            }
        })
        .await;
}

async fn play_repositories(client: Client) {
    let all: Api<Repository> = Api::all(client.clone());
    watcher(all, watcher::Config::default())
        .applied_objects()
        .for_each(|repository| {
            let client = client.clone();
            async move {
                let Ok(repository) = repository else { return };
                if repository.status.is_some() || repository.name_any() == "never" {
                    return;
                }
                let api: Api<Repository> = Api::namespaced(client, &repository.namespace().unwrap());
                let ready = json!({"status": {"phase": "Ready"}});
                api.patch_status(
                    &repository.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(ready),
                )
                .await
                .unwrap();
            }
        })
        .await;
}

/// Label by which everything a session made is found.
pub(super) fn made_for(session: &str) -> kube::api::ListParams {
    kube::api::ListParams::default().labels(&format!("{}={session}", labels::INVOKER_NAME))
}

const SCENE: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: demo}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: demo}
stringData: {AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: much-secret}
---
apiVersion: v1
kind: Secret
metadata: {name: encrypt, namespace: demo}
stringData: {RESTIC_PASSWORD: hunter2}
---
apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata: {name: store, namespace: demo}
spec: {storage: {provider: s3, s3: {endpoint: "http://127.0.0.1:1", bucket: b, secretName: keys}}, usagePolicy: {allowedNamespaces: {from: All}}}
---
apiVersion: storage.kubestash.com/v1alpha1
kind: RetentionPolicy
metadata: {name: keep, namespace: demo}
spec: {successfulSnapshots: {last: 2}, failedSnapshots: {last: 1}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-0, namespace: demo}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-db-1, namespace: demo}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: demo}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: db, image: app, volumeMounts: [{name: data, mountPath: /source/data}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

/// HookTemplates `knock` (asks a host that it names) and `enter` (a command in pods, with a required parameter).
pub(super) const HOOK_TEMPLATES: &str = r#"
apiVersion: core.kubestash.com/v1alpha1
kind: HookTemplate
metadata: {name: knock, namespace: demo}
spec:
  action: {tcpSocket: {host: db, port: 80}}
  executor: {type: Operator}
---
apiVersion: core.kubestash.com/v1alpha1
kind: HookTemplate
metadata: {name: enter, namespace: demo}
spec:
  params: [{name: mode, required: true}]
  action: {exec: {command: [sh, -c, "freeze ${mode}"]}}
  executor: {type: Pod, pod: {selector: app=db}}
"#;

const CONFIGURATION: &str = r#"
apiVersion: core.kubestash.com/v1alpha1
kind: BackupConfiguration
metadata: {name: bc, namespace: demo}
spec:
  target: {apiGroup: apps, kind: StatefulSet, name: db, namespace: demo}
  backends:
  - {name: s3, storageRef: {name: store, namespace: demo}, retentionPolicy: {name: keep, namespace: demo}}
  sessions:
  - name: daily
    sessionHistoryLimit: 3
    scheduler: {schedule: "0 3 1 1 *", jobTemplate: {backoffLimit: 1}}
    repositories:
    - {name: repo, backend: s3, directory: /db, encryptionSecret: {name: encrypt, namespace: demo}, deletionPolicy: WipeOut}
    addon:
      name: workload-addon
      tasks:
      - {name: logical-backup, params: {paths: /source/data}}
"#;
