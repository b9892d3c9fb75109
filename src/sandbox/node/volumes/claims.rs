//! PersistentVolumeClaims: from the claim's name to a directory of this computer.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, Client};

/// The directory of a bound claim.
pub(crate) async fn resolve(client: &Client, namespace: &str, name: &str) -> Result<PathBuf, String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(name).await.map_err(|e| e.to_string())?;
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
    let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
    let volume = claim.spec.and_then(|s| s.volume_name).filter(|_| bound);
    let volume = volume.ok_or_else(|| format!("persistentvolumeclaim \"{name}\" is not bound yet"))?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume_object = volumes.get_opt(&volume).await.map_err(|e| e.to_string())?;
    let spec = volume_object
        .and_then(|v| v.spec)
        .ok_or_else(|| format!("persistentvolume \"{volume}\" not found"))?;
    let path = match (spec.local, spec.host_path) {
        (Some(local), _) => PathBuf::from(local.path),
        (None, Some(host)) => super::host_path::resolve(&host.path, host.type_.as_deref().unwrap_or(""))?,
        (None, None) => {
            return Err(format!(
                "persistentvolume \"{volume}\" is neither hostPath nor local, and the sandbox's node offers no other kind"
            ));
        }
    };
    fs::metadata(&path).map_err(|e| format!("persistentvolume \"{volume}\": {}: {e}", path.display()))?;
    Ok(path)
}
