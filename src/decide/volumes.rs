//! Which volumes a Job's pod has: those of the task, of the target, of local storages, and scratch.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, Pod, PodSpec, Volume, VolumeMount,
};

use super::{
    addon::{self, AddonError, SessionTask, TMP_PATH, TMP_VOLUME},
    variables::Inputs,
};
use crate::api::storage::{BackupStorage, Provider};

/// A pod's volumes and one container's mounts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Volumes {
    /// The pod's, unique by name.
    pub volumes: Vec<Volume>,
    /// The container's, unique by mount path.
    pub mounts: Vec<VolumeMount>,
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
        let source = source.unwrap_or_default();
        out.volume(source.into_volume(template.name));
    }
    // Volumes the session names beyond the templates, such as a cache in place of the scratch volume.
    for (name, source) in sources {
        if let Some(source) = source {
            out.volume(source.into_volume(name));
        }
    }
    for mount in &task.task.volume_mounts {
        out.mount(addon::resolved(task, mount, inputs)?);
    }
    match &task.reference.target_volumes {
        Some(given) => {
            let given = addon::resolved(task, given, inputs)?;
            given.volumes.into_iter().for_each(|volume| out.volume(volume));
            given.volume_mounts.into_iter().for_each(|mount| out.mount(mount));
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
fn within(path: &str, directory: &str) -> bool {
    let (path, directory) = (path.trim_end_matches('/'), directory.trim_end_matches('/'));
    path == directory
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{addons::Task, shared::TaskReference};

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
