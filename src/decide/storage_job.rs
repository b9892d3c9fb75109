//! The Jobs that work on a storage itself: initialise, upload, read, wipe, and forget the data of one Snapshot.
//!
//! Storages that the operator reaches over the network need Jobs only to forget data; local volumes need them for
//! everything, because only a pod can mount them. The BackupStorage's `runtimeSettings` shape every one of them.
//!
//! Called by the BackupStorage, Repository and Snapshot controllers.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{EmptyDirVolumeSource, EnvVar, Secret, Volume, VolumeMount},
};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use sha2::{Digest, Sha256};

use crate::api::{
    addons::FunctionSpec,
    config::job_plan::{JobPlan, PlanBackend},
    labels,
    shared::{ObjectMetadata, PodTemplateSpec, PodTemplateSpecSpec, RuntimeSettings},
    storage::BackupStorage,
};
use crate::decide::{
    backup::{invoker, label},
    job::{self, JobFrame, NOBODY, TaskContainer},
    plan::{self, SecretData},
    volumes::{self, Volumes},
};

/// Annotation on a storage Job: a hash of its plan, to tell a Job that did what is wanted now from one that did something
/// else under the same name.
pub const PLAN_HASH_ANNOTATION: &str = "kubestash.com/plan-hash";

/// A finished Job whose controller never came back for it goes by itself after this many seconds.
const GONE_AFTER: i32 = 3600;
/// Nothing is read from a finished reader.
const READER_GONE_AFTER: i32 = 30;
const TMP_VOLUME: &str = "kubestash-tmp-volume";
const TMP_PATH: &str = "/kubestash-tmp";
/// Documents are small; forgetting runs restic, which wants more.
const STORAGE_MEMORY: &str = "64Mi";
const RETENTION_MEMORY: &str = "256Mi";

/// What a storage Job is to do, and for whom.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Name of the Job and of its plan Secret.
    pub name: String,
    /// Where it runs.
    pub namespace: String,
    /// Value of the component label.
    pub component: &'a str,
    /// Kind, namespace and name of the object it works for.
    pub invoker: (&'a str, String, String),
    /// The storage it works on.
    pub storage: &'a BackupStorage,
    /// The plan.
    pub plan: JobPlan,
    /// The values the plan points at.
    pub data: SecretData,
    /// The longest the Job may take, in seconds.
    pub deadline: i64,
    /// What tells this Job from another of the same name; empty: the plan itself. Set it where the plan holds times.
    pub identity: String,
    /// ServiceAccount of its pod, unless the storage's runtimeSettings name one; empty: the namespace's default.
    pub service_account: String,
}

impl<'a> Wanted<'a> {
    /// A Job for `object`.
    pub fn new<K: Resource<DynamicType = ()>>(
        name: String,
        component: &'a str,
        kind: &'a str,
        object: &K,
        storage: &'a BackupStorage,
        plan: JobPlan,
        data: SecretData,
    ) -> Self {
        Self {
            name,
            namespace: storage.namespace().unwrap_or_default(),
            component,
            invoker: (
                kind,
                object.meta().namespace.clone().unwrap_or_default(),
                object.meta().name.clone().unwrap_or_default(),
            ),
            storage,
            plan,
            data,
            deadline: 600,
            identity: String::new(),
            service_account: String::new(),
        }
    }

    /// The hash of the identity or plan, as annotated on the Job.
    ///
    /// # Errors
    /// When the plan cannot be written as JSON.
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        let digest = if self.identity.is_empty() {
            Sha256::digest(serde_json::to_vec(&self.plan)?)
        } else {
            Sha256::digest(self.identity.as_bytes())
        };
        Ok(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let (kind, namespace, name) = &self.invoker;
        BTreeMap::from([
            (
                labels::MANAGED_BY.to_owned(),
                labels::MANAGED_BY_KUBESTASH.to_owned(),
            ),
            (labels::COMPONENT.to_owned(), self.component.to_owned()),
            (labels::INVOKER_KIND.to_owned(), (*kind).to_owned()),
            (labels::INVOKER_NAMESPACE.to_owned(), label(namespace)),
            (labels::INVOKER_NAME.to_owned(), label(name)),
        ])
    }
}

/// The storage as a plan sees it, with the values of its Secret put into `data`.
#[must_use]
pub fn plan_backend(
    storage: &BackupStorage,
    credentials: Option<&Secret>,
    data: &mut SecretData,
) -> PlanBackend {
    plan::backend(storage, credentials, 0, false, data)
}

/// The Job and its plan Secret. `image` is ours; `proxy` are the operator's proxy variables.
///
/// # Errors
/// When the plan cannot be written as JSON.
pub fn build(wanted: &Wanted<'_>, image: &str, proxy: &[EnvVar]) -> Result<(Job, Secret), serde_json::Error> {
    let settings = wanted.storage.spec.runtime_settings.clone().unwrap_or_default();
    let template = template(&settings);
    let pod = settings.pod.clone().unwrap_or_default();
    let retention = matches!(wanted.plan, JobPlan::Retention(_));
    let reader = matches!(wanted.plan, JobPlan::Reader(_));
    let (namespace, name) = (&wanted.invoker.1, &wanted.invoker.2);
    let mut annotations = invoker(namespace, name);
    annotations.insert(PLAN_HASH_ANNOTATION.to_owned(), wanted.hash()?);
    let given = pod.service_account_name.clone().filter(|name| !name.is_empty());
    let frame = JobFrame {
        name: wanted.name.clone(),
        namespace: wanted.namespace.clone(),
        labels: wanted.labels(),
        annotations,
        service_account: given.unwrap_or_else(|| wanted.service_account.clone()),
        template: Some(&template),
        container_settings: settings.container.as_ref(),
        user: Some(NOBODY),
        groups: Vec::new(),
        node: None,
        image: image.to_owned(),
        proxy: proxy.to_vec(),
        memory: if retention || reader {
            RETENTION_MEMORY
        } else {
            STORAGE_MEMORY
        },
        secret_keys: wanted.data.keys().cloned().collect(),
        without_plan: false,
    };
    let task = task(wanted);
    let mut job = job::job(&frame, &[task]);
    if let Some(spec) = job.spec.as_mut() {
        spec.active_deadline_seconds = Some(wanted.deadline);
        spec.ttl_seconds_after_finished = Some(if reader { READER_GONE_AFTER } else { GONE_AFTER });
        if let Some(body) = spec.template.spec.as_mut() {
            body.node_name = pod.node_name.clone().filter(|node| !node.is_empty());
            body.readiness_gates = (!pod.readiness_gates.is_empty()).then(|| pod.readiness_gates.clone());
            // Documents need no API; forgetting asks it whether the holders of locks are gone.
            body.automount_service_account_token = pod.automount_service_account_token.or(Some(retention));
            if body.service_account_name.as_deref() == Some("") {
                body.service_account_name = None;
            }
            if reader {
                // Somebody types into it, so its own files stay as they are; and nobody waits for it at the end.
                body.termination_grace_period_seconds = Some(10);
                body.enable_service_links = Some(false);
                for container in &mut body.containers {
                    let security = container.security_context.get_or_insert_default();
                    security.read_only_root_filesystem.get_or_insert(true);
                }
            }
        }
    }
    let metadata = ObjectMeta {
        name: Some(wanted.name.clone()),
        namespace: Some(wanted.namespace.clone()),
        labels: Some(wanted.labels()),
        annotations: Some(invoker(namespace, name)),
        ..ObjectMeta::default()
    };
    let secret = plan::secret(metadata, std::slice::from_ref(&wanted.plan), wanted.data.clone())?;
    Ok((job, secret))
}

/// A reader that streams gigabytes in pieces of megabytes keeps their memory for the next piece (glibc's settings; bytes).
const KEPT_MEMORY: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "67108864"),
    ("MALLOC_TRIM_THRESHOLD_", "268435456"),
];

fn task(wanted: &Wanted<'_>) -> TaskContainer {
    let (task, args) = match &wanted.plan {
        JobPlan::Retention(_) => (wanted.component, ["job", "retention"]),
        JobPlan::Reader(_) => ("reader", ["reader", "serve"]),
        _ => (wanted.component, ["job", "storage"]),
    };
    let mut all = Volumes::default();
    if let Some((volume, mount, _)) = volumes::of_storage(wanted.storage, false) {
        all.volume(volume);
        all.mount(mount);
    }
    all.volume(Volume {
        name: TMP_VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    all.mount(VolumeMount {
        name: TMP_VOLUME.to_owned(),
        mount_path: TMP_PATH.to_owned(),
        ..VolumeMount::default()
    });
    let mut env = vec![("TMPDIR", TMP_PATH)];
    if matches!(wanted.plan, JobPlan::Reader(_)) {
        env.extend(KEPT_MEMORY);
    }
    let env = env.into_iter().map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    });
    let env = env.collect();
    TaskContainer {
        task: task.to_owned(),
        component: String::new(),
        function: FunctionSpec {
            command: vec!["/kubestash".to_owned()],
            args: args.map(ToOwned::to_owned).to_vec(),
            ..FunctionSpec::default()
        },
        volumes: all,
        env,
        plan_key: plan::key(0),
    }
}

/// The pod's half of `runtimeSettings` in the shape of a Job's template.
pub(super) fn template(settings: &RuntimeSettings) -> PodTemplateSpec {
    let pod = settings.pod.clone().unwrap_or_default();
    PodTemplateSpec {
        metadata: Some(ObjectMetadata {
            labels: pod.pod_labels,
            annotations: pod.pod_annotations,
        }),
        controller: None,
        spec: Some(PodTemplateSpecSpec {
            node_selector: pod.node_selector,
            service_account_name: pod.service_account_name,
            security_context: pod.security_context,
            image_pull_secrets: pod.image_pull_secrets,
            affinity: pod.affinity,
            scheduler_name: pod.scheduler_name,
            tolerations: pod.tolerations,
            priority_class_name: pod.priority_class_name,
            priority: pod.priority,
            runtime_class_name: pod.runtime_class_name,
            enable_service_links: pod.enable_service_links,
            topology_spread_constraints: pod.topology_spread_constraints,
            ..PodTemplateSpecSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::config::job_plan::{StorageAction, StoragePlan};
    use serde_json::json;

    fn storage(settings: &serde_json::Value) -> BackupStorage {
        serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "nfs", "namespace": "ops"},
            "spec": {"storage": {"provider": "local", "local": {"nfs": {"server": "n", "path": "/p"}, "mountPath": "/backup", "subPath": "sub"}},
                "runtimeSettings": settings}}))
        .unwrap()
    }

    fn built(storage: &BackupStorage, action: StorageAction) -> (Job, Secret) {
        let mut data = SecretData::new();
        let backend = plan_backend(storage, None, &mut data);
        let plan = JobPlan::Storage(StoragePlan {
            backend,
            action,
            deadline: None,
        });
        let wanted = Wanted::new(
            "init-nfs".into(),
            labels::component::INITIALIZER,
            "BackupStorage",
            storage,
            storage,
            plan,
            data,
        );
        build(&wanted, "ours", &[]).unwrap()
    }

    #[test]
    fn a_local_volume_is_mounted_where_the_plan_says() {
        let (job, secret) = built(&storage(&json!({})), StorageAction::default());
        let pod = job.spec.as_ref().unwrap().template.spec.clone().unwrap();
        let container = &pod.containers[0];
        assert_eq!(container.command.as_ref().unwrap(), &["/kubestash"]);
        assert_eq!(container.args.as_ref().unwrap(), &["job", "storage"]);
        let mount = container
            .volume_mounts
            .as_ref()
            .unwrap()
            .iter()
            .find(|m| m.name == "nfs")
            .unwrap();
        assert_eq!(
            (mount.mount_path.as_str(), mount.sub_path.as_deref()),
            ("/backup", Some("sub"))
        );
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.security_context.unwrap().run_as_user, Some(NOBODY));
        assert!(
            String::from_utf8_lossy(&secret.data.unwrap()["plan.json"].0)
                .contains("\"localRoot\":\"/backup\"")
        );
        assert_eq!(
            job.metadata.labels.unwrap()[labels::INVOKER_KIND],
            "BackupStorage"
        );
    }

    #[test]
    fn runtime_settings_shape_the_pod() {
        let settings = json!({"pod": {"nodeName": "n1", "serviceAccountName": "mine", "tolerations": [{"key": "k", "operator": "Exists"}],
            "securityContext": {"runAsUser": 0}, "podLabels": {"a": "b"}}, "container": {"resources": {"limits": {"memory": "1Gi"}}}});
        let (job, _) = built(&storage(&settings), StorageAction::default());
        let template = job.spec.unwrap().template;
        let pod = template.spec.unwrap();
        assert_eq!(pod.node_name.as_deref(), Some("n1"));
        assert_eq!(pod.service_account_name.as_deref(), Some("mine"));
        assert_eq!(pod.security_context.unwrap().run_as_user, Some(0));
        assert_eq!(pod.tolerations.unwrap()[0].key.as_deref(), Some("k"));
        assert!(pod.containers[0].resources.as_ref().unwrap().limits.is_some());
        assert_eq!(template.metadata.unwrap().labels.unwrap()["a"], "b");
    }

    #[test]
    fn different_plans_have_different_hashes() {
        let storage = storage(&json!({}));
        let hash =
            |action| built(&storage, action).0.metadata.annotations.unwrap()[PLAN_HASH_ANNOTATION].clone();
        assert_ne!(
            hash(StorageAction::default()),
            hash(StorageAction::Wipe { path: "a".into() })
        );
        assert_eq!(hash(StorageAction::default()), hash(StorageAction::default()));
    }
}
