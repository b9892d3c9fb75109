//! RestoreSessions and Snapshots.

use kube::ResourceExt;

use super::chain::{About, Chain, Health, describe};
use super::facts::{Facts, Seen};
use super::pod;
use super::remedy::{self, Place};
use super::{backup, storage};
use crate::api::core::{RestorePhase, RestoreSession};
use crate::api::shared::ConditionStatus;
use crate::api::storage::{Snapshot, VerificationStatus};
use crate::decide::target;

/// Follows a RestoreSession to its Snapshot, Jobs and pods.
pub fn restore(chain: &mut Chain, facts: &Facts, session: &RestoreSession) {
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let about = About::new("RestoreSession", &namespace, &name);
    let status = session.status.clone().unwrap_or_default();
    let source = session.spec.data_source.clone().unwrap_or_default();
    let from = source.namespace.clone().unwrap_or_else(|| namespace.clone());
    match status.phase {
        Some(RestorePhase::Succeeded) => {
            let took = status.duration.map_or_else(String::new, |d| format!(" in {d}"));
            chain.good(about, format!("Succeeded{took}"));
            return;
        }
        None => chain.waiting(about, "the operator has not looked at it yet"),
        Some(RestorePhase::Pending | RestorePhase::Running) => {
            chain.waiting(about, format!("{:?}", status.phase.unwrap_or_default()));
        }
        Some(phase) => chain.broken(about, format!("{phase:?}")),
    }
    if status
        .phase
        .is_none_or(|p| p == RestorePhase::Pending || p == RestorePhase::Running)
        && !storage::operator(chain, facts)
    {
        return;
    }
    let target = target::reference(session.spec.target.as_ref(), &namespace);
    if status.target_found == Some(false) {
        chain.root(
            About::new(target.kind(), target.namespace.as_deref().unwrap_or_default(), &target.name),
            "does not exist",
            format!("the restore waits for its target {}, which does not exist", target::describe(&target)),
            vec![format!("create it, or delete the RestoreSession: `kubectl delete restoresession {name} -n {namespace}`")],
        );
    }
    let mut place = source_links(chain, facts, &from, &source.repository, &source.snapshot);
    if let Some(hooks) = &session.spec.hooks {
        place.hooks = remedy::templates(hooks.pre_restore.iter().chain(&hooks.post_restore), &namespace);
    }
    for (component, detail) in status.components.iter().filter(|(_, c)| c.error.is_some()) {
        let error = detail.error.clone().unwrap_or_default();
        if !error.is_empty() {
            let mut fixes = remedy::fixes(&error, &place);
            fixes.push(format!(
                "`kubectl kubestash logs restoresession/{name} -n {namespace}` shows what its pods said"
            ));
            chain.because(Health::Bad, format!("component {component}: {error}"), fixes);
        }
    }
    for job in facts.jobs_of(&namespace, &name) {
        pod::job(chain, facts, job, &place);
    }
    let bad = matches!(
        status.phase,
        Some(RestorePhase::Failed | RestorePhase::Invalid | RestorePhase::Unknown)
    );
    if bad {
        let complaint = status.conditions.iter().find(|c| {
            c.status == ConditionStatus::False
                || (c.type_ == "RestoreIncomplete" && c.status == ConditionStatus::True)
        });
        if let Some(condition) = complaint {
            let mut fixes = remedy::fixes(&condition.message, &place);
            if status.phase == Some(RestorePhase::Invalid) {
                fixes.push(format!(
                    "it is not looked at again: `kubectl delete restoresession {name} -n {namespace}`, then `kubectl kubestash restore -n {namespace}` offers what there is"
                ));
            }
            fixes.push(describe(&About::new("RestoreSession", &namespace, &name)));
            chain.because(Health::Bad, condition.message.clone(), fixes);
        }
    } else {
        chain.because(
            Health::Waiting,
            format!("RestoreSession {name} has not ended yet"),
            vec![format!(
                "`kubectl kubestash logs restoresession/{name} -f -n {namespace}` follows it"
            )],
        );
    }
}

/// The links of what is restored from, and names for the commands.
fn source_links(
    chain: &mut Chain,
    facts: &Facts,
    namespace: &str,
    repository: &str,
    snapshot: &str,
) -> Place {
    let mut place = Place {
        namespace: namespace.to_owned(),
        repository: repository.to_owned(),
        ..Place::default()
    };
    let mut name = repository.to_owned();
    if !snapshot.is_empty() && snapshot != "latest" {
        let about = About::new("Snapshot", namespace, snapshot);
        match facts.find(&facts.snapshots, namespace, snapshot) {
            Seen::Found(found) => {
                name = found.spec.repository.clone();
                let phase = found.status.as_ref().and_then(|s| s.phase).unwrap_or_default();
                if format!("{phase:?}") == "Succeeded" {
                    chain.good(about, "Succeeded");
                } else {
                    chain.root(
                        about,
                        &format!("{phase:?}"),
                        format!("Snapshot {snapshot} is {phase:?}: there is nothing whole to restore"),
                        vec![format!(
                            "`kubectl kubestash snapshot list -n {namespace}` lists the others"
                        )],
                    );
                }
            }
            Seen::Unknown => chain.unknown(about, "may not be looked at"),
            Seen::Missing => chain.root(
                about,
                "does not exist",
                format!("Snapshot {snapshot} does not exist in namespace {namespace}"),
                vec![format!(
                    "`kubectl kubestash snapshot list -n {namespace}` lists those there are"
                )],
            ),
        }
    }
    if !name.is_empty() {
        let about = About::new("Repository", namespace, &name);
        match facts.find(&facts.repositories, namespace, &name) {
            Seen::Found(found) => {
                place = storage::place_of(facts, found);
                storage::repository(chain, facts, found);
            }
            Seen::Unknown => chain.unknown(about, "may not be looked at"),
            Seen::Missing => chain.root(
                about,
                "does not exist",
                format!("Repository {name} does not exist in namespace {namespace}"),
                vec!["`kubectl get repositories -A` lists those there are".to_owned()],
            ),
        }
    }
    place
}

/// Follows a Snapshot to its Repository, its BackupSession and its end.
pub fn snapshot(chain: &mut Chain, facts: &Facts, snapshot: &Snapshot) {
    let namespace = snapshot.namespace().unwrap_or_default();
    let made_by = &snapshot.spec.backup_session;
    let again = format!("`kubectl kubestash backup retry {made_by} -n {namespace}` runs it again");
    let repository = facts.find(&facts.repositories, &namespace, &snapshot.spec.repository);
    let place = match repository {
        Seen::Found(found) => storage::place_of(facts, found),
        _ => Place::default(),
    };
    backup::snapshot_end(chain, snapshot, &place, &again);
    let status = snapshot.status.clone().unwrap_or_default();
    if status.integrity == Some(false) {
        chain.because(
            Health::Bad,
            format!("the data of Snapshot {} is damaged", snapshot.name_any()),
            remedy::fixes("is damaged", &place),
        );
    }
    if status.verification_status == Some(VerificationStatus::VerificationFailed) {
        chain.because(
            Health::Bad,
            format!(
                "Snapshot {} could not be restored by its verification",
                snapshot.name_any()
            ),
            vec![format!(
                "`kubectl get backupverificationsession -n {namespace}` shows what the verification found"
            )],
        );
    }
    match repository {
        Seen::Found(found) => storage::repository(chain, facts, found),
        Seen::Missing => chain.root(
            About::new("Repository", &namespace, &snapshot.spec.repository),
            "does not exist",
            format!("its Repository {} does not exist", snapshot.spec.repository),
            vec![
                "the BackupStorage brings it back when it is synchronised: `kubectl get backupstorages -A`"
                    .to_owned(),
            ],
        ),
        Seen::Unknown => {}
    }
    let session = facts.find(&facts.sessions, &namespace, made_by);
    if let Seen::Found(found) = session
        && status.phase != Some(crate::api::storage::SnapshotPhase::Succeeded)
    {
        backup::session(chain, facts, found);
    }
}
