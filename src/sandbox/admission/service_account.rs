//! Every pod runs as a ServiceAccount and has its token mounted, unless pod or account say otherwise.

use serde_json::{Value, json};

use crate::sandbox::object;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::store::GroupResource;
use crate::sandbox::write::Call;

/// Where containers find their token.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Sets account, token volume and mounts of a new pod.
pub(super) fn admit(call: &Call<'_>, pod: &mut Value) -> ApiResult<()> {
    let spec = object::map_at(pod, &["spec"]);
    let mut name = spec
        .get("serviceAccountName")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if name.is_empty() {
        name = "default".to_owned();
        spec.insert("serviceAccountName".into(), json!(name));
        spec.insert("serviceAccount".into(), json!(name));
    }
    let accounts = GroupResource::new("", "serviceaccounts");
    let Some(account) = call.api.store.get(&accounts, &call.namespace, &name) else {
        let message = format!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            call.namespace
        );
        return Err(ApiError::forbidden("", "pods", &call.name, &message));
    };
    let secrets = object::list(&account, &["imagePullSecrets"]);
    if !secrets.is_empty() {
        object::default(spec, "imagePullSecrets", json!(secrets));
    }
    let wanted = match spec.get("automountServiceAccountToken").and_then(Value::as_bool) {
        Some(said) => said,
        None => account["automountServiceAccountToken"] != json!(false),
    };
    if wanted {
        mount(spec);
    }
    Ok(())
}

fn mount(spec: &mut serde_json::Map<String, Value>) {
    let volume = format!("kube-api-access-{}", object::random_suffix());
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let mounted = object::list(container, &["volumeMounts"])
                .iter()
                .any(|m| m["mountPath"] == MOUNT);
            if mounted {
                continue;
            }
            let mounts = object::map(container)
                .entry("volumeMounts")
                .or_insert_with(|| json!([]));
            if let Value::Array(mounts) = mounts {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT}));
                used = true;
            }
        }
    }
    if !used {
        return;
    }
    if let Value::Array(volumes) = spec.entry("volumes").or_insert_with(|| json!([])) {
        volumes.push(json!({"name": volume, "projected": {"defaultMode": 0o644, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{
                "path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
    }
}
