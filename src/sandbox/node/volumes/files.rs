//! The files of secret, configMap, downwardAPI and projected volumes. Pure: what they come from is fetched before.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};

use super::atomic::VolumeFile;
use crate::sandbox::node::fields::{self, Capacity};

/// Where the downward API looks.
pub(crate) struct Downward<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) node: &'a str,
    pub(crate) capacity: &'a Capacity,
}

/// Content by key.
type Content = BTreeMap<String, Vec<u8>>;

/// The content of a Secret.
pub(crate) fn secret_content(secret: &Secret) -> Content {
    secret
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.0.clone()))
        .collect()
}

/// The content of a ConfigMap, text and binary.
pub(crate) fn config_map_content(map: &ConfigMap) -> Content {
    let text = map
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone().into_bytes()));
    let binary = map
        .binary_data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.0.clone()));
    text.chain(binary).collect()
}

/// All keys as files, or those that `items` name. `what` names the source in the error.
pub(crate) fn keyed(
    content: &Content,
    items: Option<&[KeyToPath]>,
    mode: u32,
    optional: bool,
    what: &str,
) -> Result<Vec<VolumeFile>, String> {
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        return Ok(content
            .iter()
            .map(|(k, v)| VolumeFile {
                path: k.clone(),
                content: v.clone(),
                mode,
            })
            .collect());
    };
    let mut files = Vec::new();
    for item in items {
        match content.get(&item.key) {
            Some(bytes) => files.push(VolumeFile {
                path: item.path.clone(),
                content: bytes.clone(),
                mode: bits(item.mode, mode),
            }),
            None if optional => {}
            None => return Err(format!("references non-existent {what} key: {}", item.key)),
        }
    }
    Ok(files)
}

/// The files of the downward API.
pub(crate) fn downward(
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: u32,
    from: &Downward<'_>,
) -> Result<Vec<VolumeFile>, String> {
    let mut files = Vec::new();
    for item in items.unwrap_or_default() {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(f), _) => fields::field(from.pod, &f.field_path, from.node)?,
            (None, Some(r)) => fields::resource(from.pod, None, r, from.capacity)?,
            (None, None) => return Err(format!("downwardAPI item \"{}\" names no field", item.path)),
        };
        files.push(VolumeFile {
            path: item.path.clone(),
            content: text.into_bytes(),
            mode: bits(item.mode, mode),
        });
    }
    Ok(files)
}

/// Permission bits, with a default.
pub(crate) fn bits(mode: Option<i32>, default: u32) -> u32 {
    mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(files: &[VolumeFile]) -> Vec<(&str, u32)> {
        files.iter().map(|f| (f.path.as_str(), f.mode)).collect()
    }

    #[test]
    fn items_choose_rename_and_set_modes() {
        let map: ConfigMap =
            serde_json::from_value(json!({"data": {"a": "1"}, "binaryData": {"b": "AAE="}})).unwrap();
        let content = config_map_content(&map);
        assert_eq!(
            paths(&keyed(&content, None, 0o644, false, "config").unwrap()),
            vec![("a", 0o644), ("b", 0o644)]
        );
        let items: Vec<KeyToPath> = serde_json::from_value(
            json!([{"key": "b", "path": "x/y", "mode": 0o400}, {"key": "none", "path": "z"}]),
        )
        .unwrap();
        assert_eq!(
            keyed(&content, Some(&items), 0o644, false, "config")
                .err()
                .unwrap(),
            "references non-existent config key: none"
        );
        assert_eq!(
            paths(&keyed(&content, Some(&items), 0o644, true, "config").unwrap()),
            vec![("x/y", 0o400)]
        );
    }

    #[test]
    fn downward_files() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "1Mi"}}}]}
        }))
        .unwrap();
        let capacity = Capacity { cpus: 1, memory: 1 };
        let from = Downward {
            pod: &pod,
            node: "n",
            capacity: &capacity,
        };
        let items: Vec<DownwardAPIVolumeFile> = serde_json::from_value(json!([
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "mem", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory"}}
        ]))
        .unwrap();
        let files = downward(Some(&items), 0o600, &from).unwrap();
        assert_eq!(files[0].content, b"a=\"b\"");
        assert_eq!(files[1].content, b"1048576");
        assert_eq!(files[1].mode, 0o600);
    }
}
