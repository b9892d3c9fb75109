//! What speaks against a restore: a Snapshot that is empty or much smaller than those before, a target that is somebody
//! else's, another restore into it.

use kube::ResourceExt;
use serde_json::Value;

use crate::api::core::BackupConfiguration;
use crate::cli::error::{CliError, Exit};
use crate::cli::report::text;
use crate::cli::views::Reference;
use crate::cluster::{Cluster, ListOptions, kinds};
use crate::output::human;

/// What speaks against restoring this Snapshot. `before` are earlier good Snapshots of the same session.
pub(super) fn size(name: &str, bytes: Option<u64>, before: &[(String, u64)]) -> Option<String> {
    let bytes = bytes?;
    if bytes == 0 {
        return Some(format!("Snapshot {name} is empty"));
    }
    let (largest, most) = before.iter().max_by_key(|(_, bytes)| *bytes)?;
    (bytes.saturating_mul(2) < *most).then(|| {
        format!(
            "Snapshot {name} holds {}, less than half of the {} in {largest} before it",
            human::bytes(bytes),
            human::bytes(*most)
        )
    })
}

/// The BackupConfiguration that backs a target up; nothing where there is none or we may not know.
async fn protector(cluster: &Cluster, target: &Reference, place: &str) -> Option<String> {
    let all: Vec<BackupConfiguration> = cluster
        .list(&kinds::BACKUP_CONFIGURATION, &ListOptions::of(place))
        .await
        .ok()?;
    all.into_iter()
        .find(|configuration| {
            configuration.spec.target.as_ref().is_some_and(|t| {
                t.kind.as_deref() == Some(target.kind.as_str())
                    && t.name == target.name
                    && t.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(place) == place
            })
        })
        .map(|configuration| format!("BackupConfiguration {}", configuration.name_any()))
}

/// That the Snapshot is of something else than its target, which has backups of its own. `source` is KIND NAMESPACE/NAME.
pub(super) async fn of_another(
    cluster: &Cluster,
    snapshot: &str,
    source: &str,
    target: &Reference,
    place: &str,
) -> Option<String> {
    let protector = protector(cluster, target, place).await?;
    Some(format!(
        "Snapshot {snapshot} is of {source}, but {} {place}/{} has backups of its own ({protector})",
        target.kind, target.name
    ))
}

/// Refuses what cannot be right, unless the Snapshot is named once more.
pub(super) fn check(snapshot: &str, guards: &[String], meant: Option<&str>) -> Result<(), CliError> {
    if let Some(meant) = meant.filter(|m| *m != snapshot) {
        return Err(CliError::usage(format!(
            "--i-mean {meant}: the Snapshot that would be restored is {snapshot}"
        )));
    }
    if guards.is_empty() || meant.is_some() {
        return Ok(());
    }
    let error = CliError::new(Exit::Precondition, "this restore is probably not what you want");
    let error = guards
        .iter()
        .fold(error, |error, guard| error.cause(guard.clone()));
    Err(error.hint(format!("`--i-mean {snapshot}` restores it all the same")))
}

/// Other restores into the same target that have not ended.
pub(super) async fn others(
    cluster: &Cluster,
    namespace: &str,
    target: &Reference,
    place: &str,
) -> Option<String> {
    let all: Vec<Value> = cluster
        .list(&kinds::RESTORE_SESSION, &ListOptions::of(namespace))
        .await
        .ok()?;
    let other = all.iter().find(|o| goes_into(o, namespace, target, place))?;
    Some(format!(
        "RestoreSession {} restores into it at this moment",
        text(other, "/metadata/name")
    ))
}

fn goes_into(session: &Value, namespace: &str, target: &Reference, place: &str) -> bool {
    let own = match text(session, "/spec/target/namespace") {
        "" => namespace,
        named => named,
    };
    !matches!(text(session, "/status/phase"), "Succeeded" | "Failed" | "Invalid")
        && text(session, "/spec/target/kind") == target.kind
        && text(session, "/spec/target/name") == target.name
        && own == place
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_or_much_smaller_snapshot_is_guarded() {
        let before = [("a".to_owned(), 1000), ("b".to_owned(), 400)];
        assert_eq!(size("s", None, &before), None, "an unknown size says nothing");
        assert!(size("s", Some(0), &[]).unwrap().contains("empty"));
        assert!(size("s", Some(499), &before).unwrap().contains("in a before it"));
        assert_eq!(size("s", Some(500), &before), None);
        assert_eq!(size("s", Some(1), &[]), None);
    }

    #[test]
    fn a_restore_that_goes_on_is_noticed() {
        let session = |phase: &str, namespace: Option<&str>| json!({"spec": {"target": {"kind": "Deployment", "name": "web", "namespace": namespace}}, "status": {"phase": phase}});
        let target = Reference {
            kind: "Deployment".into(),
            name: "web".into(),
            ..Reference::default()
        };
        assert!(goes_into(&session("Running", None), "demo", &target, "demo"));
        assert!(!goes_into(&session("Succeeded", None), "demo", &target, "demo"));
        assert!(!goes_into(
            &session("Running", Some("other")),
            "demo",
            &target,
            "demo"
        ));
    }
}
