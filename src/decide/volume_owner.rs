//! Who may write to the volume of a local storage: what its `runtimeSettings.pod.securityContext` says about the Jobs that
//! prepare it holds for the Jobs that back up to it and restore from it, too. Otherwise a storage would be Ready and every
//! backup to it refused.
//!
//! Its `fsGroup` becomes a supplementary group there: those Jobs also mount the application's volumes, and a `fsGroup`
//! would make the kubelet change the owner of every file in them.

use crate::api::storage::{BackupStorage, Provider};

/// What local storages ask of a Job that mounts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeOwner {
    /// The user; `None` when no storage names one. Root wins, who may write everywhere.
    pub user: Option<i64>,
    /// The groups, in order, each once.
    pub groups: Vec<i64>,
}

/// What these storages ask; those that are not local ask nothing.
#[must_use]
pub fn of<'a>(storages: impl IntoIterator<Item = &'a BackupStorage>) -> VolumeOwner {
    let mut owner = VolumeOwner::default();
    for storage in storages {
        if storage.spec.storage.known_provider() != Some(Provider::Local) {
            continue;
        }
        let pod = storage
            .spec
            .runtime_settings
            .as_ref()
            .and_then(|settings| settings.pod.as_ref());
        let Some(context) = pod.and_then(|pod| pod.security_context.as_ref()) else {
            continue;
        };
        if owner.user.is_none() || context.run_as_user == Some(0) {
            owner.user = context.run_as_user.or(owner.user);
        }
        let groups = context.supplemental_groups.iter().flatten().copied();
        for group in context
            .fs_group
            .into_iter()
            .chain(context.run_as_group)
            .chain(groups)
        {
            if !owner.groups.contains(&group) {
                owner.groups.push(group);
            }
        }
    }
    owner
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn storage(provider: &str, context: &serde_json::Value) -> BackupStorage {
        serde_json::from_value(
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "demo"}, "spec": {"storage": {"provider": provider},
            "runtimeSettings": {"pod": {"securityContext": context}}}}),
        )
        .unwrap()
    }

    #[test]
    fn local_storages_name_their_user_and_groups() {
        let group = storage(
            "local",
            &json!({"fsGroup": 65534, "supplementalGroups": [7, 65534]}),
        );
        let user = storage("local", &json!({"runAsUser": 1000, "runAsGroup": 8}));
        let root = storage("local", &json!({"runAsUser": 0}));
        let far = storage("s3", &json!({"runAsUser": 5, "fsGroup": 6}));
        let owner = of([&group, &user, &far]);
        assert_eq!(
            (owner.user, owner.groups.as_slice()),
            (Some(1000), &[65534, 7, 8][..])
        );
        assert_eq!(of([&user, &root]).user, Some(0));
        assert_eq!(of([&root, &user]).user, Some(0));
        assert_eq!(of([&far]), VolumeOwner::default());
    }
}
