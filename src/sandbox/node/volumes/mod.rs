//! Volumes of a pod: each becomes a directory or file of this computer that containers mount. What does not exist
//! yet is an error that the pod's worker reports as `FailedMount` and tries again.

mod atomic;
pub(crate) mod claims;
mod files;
mod host_path;
mod token;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ConfigMap, EmptyDirVolumeSource, Pod, ProjectedVolumeSource, Secret, Volume, VolumeProjection,
};
use kube::{Api, Client};

use super::fields::{self, Capacity};
use atomic::VolumeFile;
use files::{Downward, bits, config_map_content, downward, keyed, secret_content};

/// Modes of files where the pod does not say.
const DEFAULT_MODE: u32 = 0o644;

/// A volume that is ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Its name in the pod.
    pub(crate) name: String,
    /// Directory or file on this computer.
    pub(crate) path: PathBuf,
    /// The whole volume refuses writing.
    pub(crate) read_only: bool,
    /// Whether `fsGroup` applies: `None` no, `Some(true)` for reading only.
    pub(crate) group_read_only: Option<bool>,
    /// Kept in memory by the one container that mounts it, with room for so many bytes.
    pub(crate) memory: Option<u64>,
    /// When its tokens must be renewed, counted from now.
    pub(crate) renew_after: Option<Duration>,
}

/// What making volumes needs.
pub(crate) struct Maker<'a> {
    pub(crate) client: &'a Client,
    pub(crate) pod: &'a Pod,
    /// The pod's own directory on this computer.
    pub(crate) dir: &'a Path,
    pub(crate) node: &'a str,
    pub(crate) capacity: &'a Capacity,
    /// The API server's certificate authority, PEM.
    pub(crate) ca: &'a str,
    /// Tokens that are there already stay: they are good until they are renewed.
    pub(crate) keep_tokens: bool,
}

impl Maker<'_> {
    /// Makes one volume ready.
    pub(crate) async fn make(&self, volume: &Volume) -> Result<Mounted, String> {
        let dir = self.dir.join("volumes").join(&volume.name);
        let plain = |path: PathBuf, group| Mounted {
            name: volume.name.clone(),
            path,
            read_only: false,
            group_read_only: group,
            memory: None,
            renew_after: None,
        };
        if let Some(source) = &volume.empty_dir {
            empty_dir(&dir).map_err(|e| format!("emptyDir: {e}"))?;
            return Ok(Mounted {
                memory: memory(self.pod, &volume.name, source)?,
                ..plain(dir, Some(false))
            });
        }
        if let Some(host) = &volume.host_path {
            return Ok(plain(
                host_path::resolve(&host.path, host.type_.as_deref().unwrap_or(""))?,
                None,
            ));
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            let path = claims::resolve(self.client, self.namespace(), &claim.claim_name).await?;
            return Ok(Mounted {
                read_only: claim.read_only == Some(true),
                ..plain(path, Some(false))
            });
        }
        if volume.ephemeral.is_some() {
            let name = format!(
                "{}-{}",
                self.pod.metadata.name.as_deref().unwrap_or(""),
                volume.name
            );
            let path = claims::resolve(self.client, self.namespace(), &name).await?;
            return Ok(plain(path, Some(false)));
        }
        let Some((files, renew_after)) = self.files(volume).await? else {
            let kind = kind_of(volume);
            return Err(format!(
                "volumes of kind {kind} are not offered by the sandbox's node"
            ));
        };
        atomic::write(&dir, &files).map_err(|e| e.to_string())?;
        Ok(Mounted {
            read_only: true,
            renew_after,
            ..plain(dir, Some(true))
        })
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// The files of the kinds of volumes that are made of files; `None` for other kinds.
    async fn files(&self, volume: &Volume) -> Result<Option<(Vec<VolumeFile>, Option<Duration>)>, String> {
        if let Some(s) = &volume.secret {
            let name = s.secret_name.as_deref().unwrap_or("");
            let optional = s.optional == Some(true);
            let mode = bits(s.default_mode, DEFAULT_MODE);
            let files = self.secret(name, s.items.as_deref(), mode, optional).await?;
            return Ok(Some((files, None)));
        }
        if let Some(m) = &volume.config_map {
            let mode = bits(m.default_mode, DEFAULT_MODE);
            let files = self
                .config_map(&m.name, m.items.as_deref(), mode, m.optional == Some(true))
                .await?;
            return Ok(Some((files, None)));
        }
        if let Some(d) = &volume.downward_api {
            let files = downward(
                d.items.as_deref(),
                bits(d.default_mode, DEFAULT_MODE),
                &self.downward(),
            )?;
            return Ok(Some((files, None)));
        }
        match &volume.projected {
            Some(projected) => self.projected(&volume.name, projected).await.map(Some),
            None => Ok(None),
        }
    }

    fn downward(&self) -> Downward<'_> {
        Downward {
            pod: self.pod,
            node: self.node,
            capacity: self.capacity,
        }
    }

    async fn projected(
        &self,
        name: &str,
        p: &ProjectedVolumeSource,
    ) -> Result<(Vec<VolumeFile>, Option<Duration>), String> {
        let mode = bits(p.default_mode, DEFAULT_MODE);
        let mut all = Vec::new();
        let mut renew: Option<Duration> = None;
        for source in p.sources.iter().flatten() {
            all.extend(self.projection(source, mode).await?);
            if let Some(t) = &source.service_account_token {
                let there = self.dir.join("volumes").join(name).join(&t.path);
                let kept = fs::read(there).ok().filter(|_| self.keep_tokens);
                let content = if let Some(kept) = kept {
                    kept
                } else {
                    let (token, after) = token::request(self.client, self.pod, t).await?;
                    renew = Some(renew.map_or(after, |r| r.min(after)));
                    token.into_bytes()
                };
                all.push(VolumeFile {
                    path: t.path.clone(),
                    content,
                    mode,
                });
            }
        }
        Ok((all, renew))
    }

    async fn projection(&self, source: &VolumeProjection, mode: u32) -> Result<Vec<VolumeFile>, String> {
        if let Some(s) = &source.secret {
            return self
                .secret(&s.name, s.items.as_deref(), mode, s.optional == Some(true))
                .await;
        }
        if let Some(m) = &source.config_map {
            return self
                .config_map(&m.name, m.items.as_deref(), mode, m.optional == Some(true))
                .await;
        }
        if let Some(d) = &source.downward_api {
            return downward(d.items.as_deref(), mode, &self.downward());
        }
        if source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
            return Err("this kind of projected source is not offered by the sandbox's node".to_owned());
        }
        Ok(Vec::new())
    }

    async fn secret(
        &self,
        name: &str,
        items: Option<&[k8s_openapi::api::core::v1::KeyToPath]>,
        mode: u32,
        optional: bool,
    ) -> Result<Vec<VolumeFile>, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace());
        match api.get_opt(name).await.map_err(|e| e.to_string())? {
            Some(secret) => keyed(&secret_content(&secret), items, mode, optional, "secret"),
            None if optional => Ok(Vec::new()),
            None => Err(format!("secret \"{name}\" not found")),
        }
    }

    async fn config_map(
        &self,
        name: &str,
        items: Option<&[k8s_openapi::api::core::v1::KeyToPath]>,
        mode: u32,
        optional: bool,
    ) -> Result<Vec<VolumeFile>, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace());
        match api.get_opt(name).await.map_err(|e| e.to_string())? {
            Some(map) => keyed(&config_map_content(&map), items, mode, optional, "config"),
            // The authority is known here; a pod need not wait for the controller that publishes it.
            None if name == token::CA_CONFIG_MAP => {
                let content = [("ca.crt".to_owned(), self.ca.as_bytes().to_vec())].into();
                keyed(&content, items, mode, optional, "config")
            }
            None if optional => Ok(Vec::new()),
            None => Err(format!("configmap \"{name}\" not found")),
        }
    }
}

/// The bytes of an emptyDir of medium `Memory` with a size limit. Containers have mount namespaces of their own, so
/// memory serves a volume that one container mounts; one that several share lies on disk, without the limit.
fn memory(pod: &Pod, name: &str, source: &EmptyDirVolumeSource) -> Result<Option<u64>, String> {
    let Some(limit) = &source.size_limit else {
        return Ok(None);
    };
    if source.medium.as_deref() != Some("Memory") {
        return Ok(None);
    }
    let spec = pod.spec.iter();
    let containers = spec.flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    let users = containers.filter(|c| c.volume_mounts.iter().flatten().any(|m| m.name == name));
    if users.count() > 1 {
        return Ok(None);
    }
    let bytes = fields::parse_quantity(&limit.0).map_err(|e| format!("emptyDir \"{name}\": {e}"))? / 1000;
    Ok(u64::try_from(bytes).ok().filter(|bytes| *bytes > 0))
}

fn empty_dir(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o777))
}

/// The name of a volume's kind as its YAML spells it.
fn kind_of(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let keys = value
        .as_object()
        .map(|o| o.keys().find(|k| *k != "name").cloned());
    keys.flatten().unwrap_or_else(|| "emptyDir".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limit(medium: &str, users: usize) -> Option<u64> {
        let container =
            |n: usize| json!({"name": format!("c{n}"), "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let containers: Vec<_> = (0..users).map(container).collect();
        let pod =
            serde_json::from_value(json!({"metadata": {}, "spec": {"containers": containers}})).unwrap();
        let source = serde_json::from_value(json!({"medium": medium, "sizeLimit": "8Mi"})).unwrap();
        memory(&pod, "v", &source).unwrap()
    }

    #[test]
    fn only_a_memory_volume_of_one_container_lies_in_memory() {
        assert_eq!(limit("Memory", 1), Some(8 << 20));
        assert_eq!(limit("Memory", 2), None);
        assert_eq!(limit("", 1), None);
    }
}
