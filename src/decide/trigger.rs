//! The BackupSession that a trigger makes: the CronJob's, the operator's initial one and its retries, and
//! `kubectl kubestash backup now`. All of them are alike but for their number and their retries.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::naming;
use crate::api::core::{BackupConfiguration, BackupSession, BackupSessionSpec, Session};
use crate::api::labels;
use crate::api::shared::TypedLocalObjectReference;

/// The session of a configuration by its name.
pub fn session<'c>(configuration: &'c BackupConfiguration, name: &str) -> Option<&'c Session> {
    configuration.spec.sessions.iter().find(|s| s.name == name)
}

/// How often a triggered session is tried again: what its retry configuration says, never when it has none.
pub fn retries(session: &Session) -> i32 {
    session.retry_config.as_ref().map_or(0, |retry| retry.max_retry)
}

/// The BackupSession to create. `unix` (seconds) ends its name, so that two triggers within one second collide; the
/// caller then takes the next second. It belongs to the configuration, which must come from the API server.
pub fn backup_session(
    configuration: &BackupConfiguration,
    session: &Session,
    unix: i64,
    retry_left: i32,
) -> BackupSession {
    let name = configuration.name_any();
    let namespace = configuration.namespace();
    let mut all = configuration.labels().clone();
    for (key, value) in [
        (labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH),
        (labels::INVOKER_NAME, name.as_str()),
        (
            labels::INVOKER_NAMESPACE,
            namespace.as_deref().unwrap_or_default(),
        ),
        (labels::SESSION_NAME, session.name.as_str()),
    ] {
        all.insert(key.to_owned(), value.to_owned());
    }
    BackupSession {
        metadata: ObjectMeta {
            name: Some(naming::backup_session(&name, &session.name, unix)),
            namespace,
            labels: Some(all),
            owner_references: Some(vec![owner(configuration)]),
            ..ObjectMeta::default()
        },
        spec: BackupSessionSpec {
            invoker: Some(TypedLocalObjectReference {
                api_group: Some(BackupConfiguration::group(&()).into_owned()),
                kind: BackupConfiguration::kind(&()).into_owned(),
                name,
            }),
            session: session.name.clone(),
            retry_left,
            backup_timeout: session.backup_timeout,
        },
        status: None,
    }
}

fn owner(configuration: &BackupConfiguration) -> OwnerReference {
    OwnerReference {
        api_version: BackupConfiguration::api_version(&()).into_owned(),
        kind: BackupConfiguration::kind(&()).into_owned(),
        name: configuration.name_any(),
        uid: configuration.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn configuration() -> BackupConfiguration {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1",
            "kind": "BackupConfiguration",
            "metadata": {"name": "sample", "namespace": "demo", "uid": "u-1", "labels": {"team": "a"}},
            "spec": {"sessions": [{"name": "hourly", "backupTimeout": "30m", "retryConfig": {"maxRetry": 2}}, {"name": "daily"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_session_is_named_labelled_and_owned_by_the_rules() {
        let configuration = configuration();
        let hourly = session(&configuration, "hourly").unwrap();
        let made = backup_session(&configuration, hourly, 1_700_000_000, retries(hourly));
        let made: Value = serde_json::to_value(&made).unwrap();
        assert_eq!(
            made,
            json!({
                "apiVersion": "core.kubestash.com/v1alpha1",
                "kind": "BackupSession",
                "metadata": {
                    "name": "sample-hourly-1700000000",
                    "namespace": "demo",
                    "labels": {
                        "team": "a",
                        "app.kubernetes.io/managed-by": "kubestash.com",
                        "kubestash.com/invoker-name": "sample",
                        "kubestash.com/invoker-namespace": "demo",
                        "kubestash.com/session-name": "hourly",
                    },
                    "ownerReferences": [{
                        "apiVersion": "core.kubestash.com/v1alpha1",
                        "kind": "BackupConfiguration",
                        "name": "sample",
                        "uid": "u-1",
                        "controller": true,
                        "blockOwnerDeletion": true,
                    }],
                },
                "spec": {
                    "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "sample"},
                    "session": "hourly",
                    "retryLeft": 2,
                    "backupTimeout": "30m0s",
                },
            })
        );
    }

    #[test]
    fn without_a_retry_configuration_nothing_is_tried_again() {
        let configuration = configuration();
        assert_eq!(retries(session(&configuration, "daily").unwrap()), 0);
        assert!(session(&configuration, "weekly").is_none());
    }
}
