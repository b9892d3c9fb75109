//! Which volumes a Job's pod has: those of the task, of the target, of local storages, and scratch.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EphemeralVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimTemplate, PersistentVolumeClaimVolumeSource, Pod, PodSpec, Volume, VolumeMount,
};
use kube::api::ObjectMeta;

use super::{
    addon::{self, AddonError, SessionTask, TMP_PATH, TMP_VOLUME},
    variables::Inputs,
};
use crate::api::{
    labels,
    shared::{PartialObjectMeta, VolumeSource},
    storage::{BackupStorage, Provider},
};

/// A pod's volumes and one container's mounts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Volumes {
    /// The pod's, unique by name.
    pub volumes: Vec<Volume>,
    /// The container's, unique by mount path.
    pub mounts: Vec<VolumeMount>,
    /// Claims to make for the volumes; they stay when the Job is gone.
    pub claims: Vec<PersistentVolumeClaim>,
}

impl Volumes {
    /// Adds a volume unless one of its name is there.
    pub fn volume(&mut self, volume: Volume) {
        if !self.volumes.iter().any(|known| known.name == volume.name) {
            self.volumes.push(volume);
        }
    }

    /// Adds a mount unless its path is taken.
    pub fn mount(&mut self, mount: VolumeMount) {
        if !self
            .mounts
            .iter()
            .any(|known| known.mount_path == mount.mount_path)
        {
            self.mounts.push(mount);
        }
    }
}

/// The volumes of one task for one target, without those of storages: the task's templates with the session's sources,
/// then the session's target volumes or, without any, those of the target's `pod` that hold the requested paths.
///
/// # Errors
/// A reference that cannot be resolved, a volume template without a source.
pub fn of_task(
    task: &SessionTask,
    inputs: &Inputs,
    pod: Option<&Pod>,
    read_only: bool,
) -> Result<Volumes, AddonError> {
    let mut out = Volumes::default();
    let mut sources = BTreeMap::new();
    for given in &task.reference.addon_volumes {
        let given = addon::resolved(task, given, inputs)?;
        sources.insert(given.name, given.source);
    }
    for template in &task.task.volume_template {
        let template = addon::resolved(task, template, inputs)?;
        let source = sources.remove(&template.name).flatten().or(template.source);
        sourced(
            task,
            template.name,
            source.unwrap_or_default(),
            read_only,
            &mut out,
        )?;
    }
    // Volumes the session names beyond the templates, such as a cache in place of the scratch volume.
    for (name, source) in sources {
        if let Some(source) = source {
            sourced(task, name, source, read_only, &mut out)?;
        }
    }
    for mount in &task.task.volume_mounts {
        out.mount(addon::resolved(task, mount, inputs)?);
    }
    match &task.reference.target_volumes {
        Some(given) => {
            let given = addon::resolved(task, given, inputs)?;
            if read_only && !given.volume_claim_templates.is_empty() {
                let why = "makes claims for a restore; a backup reads claims that exist: name them in targetVolumes.volumes";
                return Err(refused(task, "targetVolumes.volumeClaimTemplates", why));
            }
            for made in given.volume_claim_templates {
                lasting(task, None, made.metadata.unwrap_or_default(), made.spec, &mut out)?;
            }
            given.volumes.into_iter().for_each(|volume| out.volume(volume));
            let own = pod.and_then(|pod| pod.spec.as_ref());
            for mount in given.volume_mounts {
                told(task, mount, own, read_only, &mut out)?;
            }
        }
        None => {
            if let Some(pod) = pod.and_then(|pod| pod.spec.as_ref()) {
                let paths = inputs.get("paths").map(|paths| split(paths)).unwrap_or_default();
                covering(pod, &paths, read_only, &mut out);
            }
        }
    }
    scratch(&mut out);
    Ok(out)
}

/// A mount that the session names. Its volume is one that the session or the Addon gives, or else one of the target's
/// own pod, called as there: KubeStash's guides name the volumes of a workload without saying again what they are.
fn told(
    task: &SessionTask,
    mut mount: VolumeMount,
    pod: Option<&PodSpec>,
    read_only: bool,
    out: &mut Volumes,
) -> Result<(), AddonError> {
    let what = "targetVolumes.volumeMounts";
    if !out.volumes.iter().any(|volume| volume.name == mount.name) {
        let mut volumes = pod.into_iter().flat_map(|pod| pod.volumes.iter().flatten());
        let Some(volume) = volumes.find(|volume| volume.name == mount.name) else {
            let why = format!(
                "names the volume \"{}\", which neither targetVolumes.volumes nor the target's pod has",
                mount.name
            );
            return Err(refused(task, what, &why));
        };
        if volume.empty_dir.is_some() || volume.ephemeral.is_some() {
            let why = format!(
                "names the volume \"{}\", which lives and dies with the target's pod and cannot be reached from another",
                mount.name
            );
            return Err(refused(task, what, &why));
        }
        mount.read_only = read_only.then_some(true).or(mount.read_only);
        out.volume(volume.clone());
    }
    out.mount(mount);
    Ok(())
}

/// A volume with its source. A claim template is a claim that goes with the pod; but where a restore puts data, the claim
/// is what is restored, and stays.
fn sourced(
    task: &SessionTask,
    name: String,
    mut source: VolumeSource,
    read_only: bool,
    out: &mut Volumes,
) -> Result<(), AddonError> {
    let Some(template) = source.volume_claim_template.take() else {
        out.volume(source.into_volume(name));
        return Ok(());
    };
    let metadata = template.metadata.unwrap_or_default();
    if !read_only && name != TMP_VOLUME && name != addon::INTERIM_VOLUME {
        return lasting(task, Some(name), metadata, template.spec, out);
    }
    out.volume(Volume {
        name,
        ephemeral: Some(EphemeralVolumeSource {
            volume_claim_template: Some(PersistentVolumeClaimTemplate {
                metadata: Some(ObjectMeta {
                    labels: Some(metadata.labels),
                    annotations: Some(metadata.annotations),
                    ..ObjectMeta::default()
                }),
                spec: template.spec.unwrap_or_default(),
            }),
        }),
        ..Volume::default()
    });
    Ok(())
}

/// A claim to make, and the volume (called like the claim where it has no name of its own) that mounts it.
fn lasting(
    task: &SessionTask,
    volume: Option<String>,
    metadata: PartialObjectMeta,
    spec: Option<PersistentVolumeClaimSpec>,
    out: &mut Volumes,
) -> Result<(), AddonError> {
    let Some(name) = metadata.name.filter(|name| !name.is_empty()) else {
        let what = volume.unwrap_or_else(|| "targetVolumes.volumeClaimTemplates".to_owned());
        return Err(refused(
            task,
            &what,
            "needs metadata.name: the claim that is restored is called so",
        ));
    };
    out.volume(claim(volume.as_deref().unwrap_or(&name), &name));
    let mut labels = metadata.labels;
    labels.insert(
        labels::MANAGED_BY.to_owned(),
        labels::MANAGED_BY_KUBESTASH.to_owned(),
    );
    out.claims.push(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels),
            annotations: Some(metadata.annotations),
            ..ObjectMeta::default()
        },
        spec,
        ..PersistentVolumeClaim::default()
    });
    Ok(())
}

fn refused(task: &SessionTask, what: &str, why: &str) -> AddonError {
    AddonError::Volume {
        task: task.task.name.clone(),
        what: what.to_owned(),
        why: why.to_owned(),
    }
}

/// The scratch volume, unless the task brings its own.
pub(super) fn scratch(out: &mut Volumes) {
    out.volume(Volume {
        name: TMP_VOLUME.into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    out.mount(VolumeMount {
        name: TMP_VOLUME.into(),
        mount_path: TMP_PATH.into(),
        ..VolumeMount::default()
    });
}

/// A comma-separated list without blanks.
#[must_use]
pub fn split(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Adds the pod's volumes that hold one of `paths` or lie below one; all of its data volumes when no path is given.
fn covering(pod: &PodSpec, paths: &[String], read_only: bool, out: &mut Volumes) {
    for container in &pod.containers {
        for mount in container.volume_mounts.iter().flatten() {
            let Some(volume) = pod.volumes.iter().flatten().find(|v| v.name == mount.name) else {
                continue;
            };
            // A token or a certificate of the application's pod is not data and must not travel into another pod.
            if volume.projected.is_some() || volume.downward_api.is_some() {
                continue;
            }
            // What lives and dies with the pod cannot be reached from another one.
            if volume.empty_dir.is_some() || volume.ephemeral.is_some() {
                continue;
            }
            let wanted = paths
                .iter()
                .any(|path| within(path, &mount.mount_path) || within(&mount.mount_path, path));
            if !(wanted || paths.is_empty()) {
                continue;
            }
            let mut mount = mount.clone();
            mount.read_only = read_only.then_some(true);
            mount.mount_propagation = None;
            out.volume(volume.clone());
            out.mount(mount);
        }
    }
}

/// True when `path` is `directory` or lies below it.
#[must_use]
pub fn within(path: &str, directory: &str) -> bool {
    let (path, directory) = (path.trim_end_matches('/'), directory.trim_end_matches('/'));
    path == directory
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The volumes of a pod that hold these paths, and their mounts, read-only.
#[must_use]
pub fn of_pod(pod: &Pod, paths: &[String]) -> Volumes {
    let mut out = Volumes::default();
    if let Some(spec) = &pod.spec {
        covering(spec, paths, true, &mut out);
    }
    out
}

/// The claims that a pod with these volumes uses.
#[must_use]
pub fn claims(volumes: &[Volume]) -> Vec<String> {
    volumes
        .iter()
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .map(|claim| claim.claim_name.clone())
        .collect()
}

/// A pod's volume for a claim.
#[must_use]
pub fn claim(name: &str, claim: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    }
}

/// The volume and mount of a local storage, and the directory in the container that holds the storage's content; nothing
/// for other storages. Several local storages are mounted side by side, each below its own name.
#[must_use]
pub fn of_storage(storage: &BackupStorage, several: bool) -> Option<(Volume, VolumeMount, String)> {
    let backend = &storage.spec.storage;
    if backend.known_provider() != Some(Provider::Local) {
        return None;
    }
    let local = backend.local.as_ref()?;
    let name = storage.metadata.name.clone().unwrap_or_default();
    let path = local.mount_path.as_deref().unwrap_or("").trim_matches('/');
    let root = match (several, path.is_empty()) {
        (true, true) => format!("/{name}"),
        (true, false) => format!("/{name}/{path}"),
        (false, true) => format!("/kubestash-backend/{name}"),
        (false, false) => format!("/{path}"),
    };
    let volume_name = super::naming::bounded(&name.replace('.', "-"), super::naming::MAX_NAME);
    let mount = VolumeMount {
        name: volume_name.clone(),
        mount_path: root.clone(),
        sub_path: local
            .sub_path
            .clone()
            .map(|sub| sub.trim_matches('/').to_owned())
            .filter(|sub| !sub.is_empty()),
        ..VolumeMount::default()
    };
    Some((local.source.clone().into_volume(volume_name), mount, root))
}

/// The claim that pods in `namespace` would mount for a local storage of another namespace, and why they do not reach that
/// storage where they have no claim of this name.
#[must_use]
pub fn foreign_claim(storage: &BackupStorage, namespace: &str) -> Option<(String, String)> {
    let own = storage.metadata.namespace.as_deref().unwrap_or_default();
    let (volume, ..) = of_storage(storage, false)?;
    let claim = volume.persistent_volume_claim?.claim_name;
    (own != namespace).then(|| {
        let name = storage.metadata.name.as_deref().unwrap_or_default();
        let why = format!(
            "BackupStorage \"{own}/{name}\" is on PersistentVolumeClaim \"{claim}\" of namespace {own}, which no pod in namespace \
             {namespace} can mount: use a storage that is reached over the network (s3, gcs, azure or NFS)"
        );
        (claim, why)
    })
}

/// Why a Job in `namespace` cannot be made that needs a claim which is not there: it is a storage's or, else, the target's.
#[must_use]
pub fn missing_claim<'s>(
    claim: &str,
    namespace: &str,
    target: &str,
    storages: impl IntoIterator<Item = &'s BackupStorage>,
) -> String {
    let mut foreign = storages.into_iter().filter_map(|s| foreign_claim(s, namespace));
    match foreign.find(|(of_storage, _)| of_storage == claim) {
        Some((_, why)) => why,
        None => format!("PersistentVolumeClaim \"{namespace}/{claim}\" of {target} not found"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{addons::Task, shared::TaskReference};

    #[test]
    fn a_missing_claim_is_told_to_be_the_storages() {
        let storage: BackupStorage = serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "disk", "namespace": "ops"},
            "spec": {"storage": {"provider": "local", "local": {"mountPath": "/x", "persistentVolumeClaim": {"claimName": "c"}}}},
        }))
        .unwrap();
        assert_eq!(foreign_claim(&storage, "ops"), None);
        let told = missing_claim("c", "apps", "PersistentVolumeClaim apps/data", [&storage]);
        assert!(
            told.starts_with("BackupStorage \"ops/disk\" is on PersistentVolumeClaim \"c\" of namespace ops"),
            "{told}"
        );
        for (claim, namespace) in [("data", "apps"), ("c", "ops")] {
            let told = missing_claim(claim, namespace, "Deployment apps/web", [&storage]);
            assert_eq!(
                told,
                format!("PersistentVolumeClaim \"{namespace}/{claim}\" of Deployment apps/web not found")
            );
        }
    }

    fn task(task: serde_json::Value, reference: serde_json::Value) -> SessionTask {
        SessionTask {
            task: serde_json::from_value::<Task>(task).unwrap(),
            reference: serde_json::from_value::<TaskReference>(reference).unwrap(),
            function: serde_json::from_value(json!({})).unwrap(),
        }
    }

    fn inputs(pairs: &[(&str, &str)]) -> Inputs {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "db-0"}, "spec": {
            "containers": [{"name": "app", "volumeMounts": [
                {"name": "data", "mountPath": "/source/data", "subPath": "sub"},
                {"name": "logs", "mountPath": "/logs"},
                {"name": "scratch", "mountPath": "/source/scratch"},
                {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}},
                {"name": "logs", "persistentVolumeClaim": {"claimName": "logs"}},
                {"name": "scratch", "emptyDir": {}},
                {"name": "token", "projected": {"sources": []}}]
        }}))
        .unwrap()
    }

    #[test]
    fn the_pods_volumes_that_hold_the_paths_are_mounted_at_their_places() {
        let task = task(
            json!({"name": "logical-backup", "function": "f"}),
            json!({"name": "logical-backup"}),
        );
        let out = of_task(
            &task,
            &inputs(&[("paths", "/source/data/sub, /other")]),
            Some(&pod()),
            true,
        )
        .unwrap();
        assert_eq!(claims(&out.volumes), ["data-db-0"]);
        let mount = &out.mounts[0];
        assert_eq!(
            (
                mount.mount_path.as_str(),
                mount.sub_path.as_deref(),
                mount.read_only
            ),
            ("/source/data", Some("sub"), Some(true))
        );
        assert!(out.mounts.iter().any(|m| m.mount_path == TMP_PATH));
        let above = of_task(&task, &inputs(&[("paths", "/source")]), Some(&pod()), false).unwrap();
        assert_eq!(
            claims(&above.volumes),
            ["data-db-0"],
            "the path may lie above the mount"
        );
    }

    #[test]
    fn given_target_volumes_replace_the_pods() {
        let task = task(
            json!({"name": "logical-backup", "function": "f"}),
            json!({"name": "logical-backup", "targetVolumes": {
                "volumes": [{"name": "mine", "persistentVolumeClaim": {"claimName": "mine-${POD_ORDINAL}"}}],
                "volumeMounts": [{"name": "mine", "mountPath": "/source/data"}]}}),
        );
        let out = of_task(
            &task,
            &inputs(&[("paths", "/source/data"), ("POD_ORDINAL", "2")]),
            Some(&pod()),
            true,
        )
        .unwrap();
        assert_eq!(claims(&out.volumes), ["mine-2"]);
    }

    #[test]
    fn mounts_alone_name_the_volumes_of_the_targets_pod() {
        let mounting = |volume: &str| {
            task(
                json!({"name": "logical-backup", "function": "f"}),
                json!({"name": "logical-backup", "targetVolumes": {"volumeMounts": [{"name": volume, "mountPath": "/source/data"}]}}),
            )
        };
        let known = inputs(&[("paths", "/source/data")]);
        let backup = of_task(&mounting("data"), &known, Some(&pod()), true).unwrap();
        assert_eq!(claims(&backup.volumes), ["data-db-0"]);
        assert_eq!(
            (backup.mounts[0].mount_path.as_str(), backup.mounts[0].read_only),
            ("/source/data", Some(true))
        );
        let restore = of_task(&mounting("data"), &known, Some(&pod()), false).unwrap();
        assert_eq!(
            (claims(&restore.volumes), restore.mounts[0].read_only),
            (vec!["data-db-0".to_owned()], None)
        );
        for (volume, why) in [
            ("nothing", "neither targetVolumes.volumes"),
            ("scratch", "lives and dies"),
        ] {
            let refused = of_task(&mounting(volume), &known, Some(&pod()), true)
                .unwrap_err()
                .to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn templates_take_the_sessions_sources_by_name() {
        let task = task(
            json!({"name": "logical-backup", "function": "f",
                   "volumeTemplate": [{"name": "kubestash-data-volume", "source": {"persistentVolumeClaim": {"claimName": "${PVC_NAME}"}}},
                                      {"name": "kubestash-tmp-volume", "source": {"emptyDir": {}}}],
                   "volumeMounts": [{"name": "kubestash-data-volume", "mountPath": "/kubestash-data"}]}),
            json!({"name": "logical-backup", "addonVolumes": [
                {"name": "${RESTIC_CACHE_VOLUME}", "source": {"persistentVolumeClaim": {"claimName": "cache"}}}]}),
        );
        let known = inputs(&[("PVC_NAME", "nfs-pvc"), ("RESTIC_CACHE_VOLUME", TMP_VOLUME)]);
        let out = of_task(&task, &known, None, true).unwrap();
        assert_eq!(claims(&out.volumes), ["nfs-pvc", "cache"]);
        assert_eq!(out.volumes.iter().filter(|v| v.name == TMP_VOLUME).count(), 1);
    }

    #[test]
    fn a_claim_template_goes_with_the_pod_unless_it_is_what_is_restored() {
        let template = json!({"volumeClaimTemplate": {"metadata": {"name": "new-${POD_ORDINAL}"}, "spec": {"accessModes": ["ReadWriteOnce"]}}});
        let task = |kind: &str| {
            self::task(
                json!({"name": kind, "function": "f", "volumeTemplate": [
                    {"name": "kubestash-tmp-volume", "source": {"emptyDir": {}}}, {"name": "data", "source": {"emptyDir": {}}}]}),
                json!({"name": kind, "addonVolumes": [{"name": "kubestash-tmp-volume", "source": template}, {"name": "data", "source": template}]}),
            )
        };
        let known = inputs(&[("POD_ORDINAL", "1")]);
        let backup = of_task(&task("logical-backup"), &known, None, true).unwrap();
        assert!(backup.claims.is_empty());
        assert!(
            backup.volumes.iter().all(|v| v.ephemeral.is_some()),
            "{:?}",
            backup.volumes
        );
        let restore = of_task(&task("logical-backup-restore"), &known, None, false).unwrap();
        assert!(restore.volumes[0].ephemeral.is_some(), "scratch is not kept");
        assert_eq!(claims(&restore.volumes), ["new-1"]);
        assert_eq!(restore.claims[0].metadata.name.as_deref(), Some("new-1"));
        assert!(restore.claims[0].spec.is_some());
    }

    #[test]
    fn claims_of_target_volumes_are_made_for_restores_only() {
        let task = task(
            json!({"name": "t", "function": "f"}),
            json!({"name": "t", "targetVolumes": {
                "volumeClaimTemplates": [{"metadata": {"name": "clone"}, "spec": {}}],
                "volumeMounts": [{"name": "clone", "mountPath": "/source/data"}]}}),
        );
        let out = of_task(&task, &inputs(&[]), None, false).unwrap();
        assert_eq!(
            (claims(&out.volumes), out.claims.len()),
            (vec!["clone".to_owned()], 1)
        );
        let refused = of_task(&task, &inputs(&[]), None, true).unwrap_err().to_string();
        assert!(
            refused.contains("targetVolumes.volumeClaimTemplates") && refused.contains("exist"),
            "{refused}"
        );
    }

    #[test]
    fn local_storages_are_mounted_and_others_are_not() {
        let storage = |spec: serde_json::Value| -> BackupStorage {
            serde_json::from_value(
                json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
                "metadata": {"name": "disk", "namespace": "demo"}, "spec": {"storage": spec}}),
            )
            .unwrap()
        };
        let local = storage(
            json!({"provider": "local", "local": {"hostPath": {"path": "/srv"}, "mountPath": "/backup", "subPath": "/a/"}}),
        );
        let (volume, mount, root) = of_storage(&local, false).unwrap();
        assert_eq!(
            (volume.name.as_str(), root.as_str(), mount.sub_path.as_deref()),
            ("disk", "/backup", Some("a"))
        );
        assert!(volume.host_path.is_some());
        assert_eq!(of_storage(&local, true).unwrap().2, "/disk/backup");
        assert!(of_storage(&storage(json!({"provider": "s3", "s3": {"bucket": "b"}})), false).is_none());
    }

    #[test]
    fn paths_lie_within_directories_not_within_names() {
        assert!(within("/a/b", "/a") && within("/a/", "/a") && within("/a", "/"));
        assert!(!within("/ab", "/a") && !within("/a", "/a/b"));
    }
}
