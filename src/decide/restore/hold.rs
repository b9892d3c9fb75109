//! The BackupConfigurations of the target, which a restore holds while it works: a backup taken meanwhile would be of
//! half-restored data.

use kube::ResourceExt;

use crate::api::{core::RestoreSession, shared::TypedObjectReference};

/// True when the session has done its last step.
#[must_use]
pub fn finished(session: &RestoreSession) -> bool {
    use crate::api::conditions::restore_session::METRICS_PUSHED;
    let status = session.status.as_ref();
    status.is_some_and(|status| crate::decide::conditions::has(&status.conditions, METRICS_PUSHED))
}

/// The BackupConfigurations that this session must hold while it works: those of its target that run, and those that
/// another unfinished restore holds already.
#[must_use]
pub fn to_hold(
    session: &RestoreSession,
    target: &TypedObjectReference,
    configurations: &[crate::api::core::BackupConfiguration],
    others: &[RestoreSession],
) -> Vec<TypedObjectReference> {
    configurations
        .iter()
        .filter(|configuration| {
            let own = configuration.namespace().unwrap_or_default();
            let theirs = configuration.spec.target.as_ref();
            theirs.is_some_and(|theirs| {
                crate::decide::target::same(&crate::decide::target::reference(Some(theirs), &own), target)
            })
        })
        .map(|configuration| (configuration, configuration_reference(configuration)))
        .filter(|(configuration, reference)| {
            !configuration.spec.paused || held_by_another(session, reference, others)
        })
        .map(|(_, reference)| reference)
        .collect()
}

/// True when another unfinished restore holds the configuration, too.
#[must_use]
pub fn held_by_another(
    session: &RestoreSession,
    reference: &TypedObjectReference,
    others: &[RestoreSession],
) -> bool {
    others.iter().any(|other| {
        (other.name_any(), other.namespace()) != (session.name_any(), session.namespace())
            && !finished(other)
            && other.metadata.deletion_timestamp.is_none()
            && other
                .status
                .as_ref()
                .is_some_and(|status| status.paused_backups.contains(reference))
    })
}

fn configuration_reference(configuration: &crate::api::core::BackupConfiguration) -> TypedObjectReference {
    TypedObjectReference {
        api_group: Some(crate::api::core::GROUP.to_owned()),
        kind: Some("BackupConfiguration".to_owned()),
        namespace: configuration.namespace(),
        name: configuration.name_any(),
    }
}
