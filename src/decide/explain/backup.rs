//! BackupConfigurations and BackupSessions: from what is wanted to the pod that does it.

use jiff::tz::TimeZone;
use kube::ResourceExt;

use super::chain::{About, Chain, Health, describe};
use super::facts::{Facts, Seen};
use super::pod;
use super::remedy::{self, Place};
use super::storage;
use crate::api::conditions::backup_configuration::{SCHEDULER_ENSURED, VALIDATION_PASSED};
use crate::api::conditions::backup_session as types;
use crate::api::core::{
    BackupConfiguration, BackupConfigurationPhase, BackupSession, BackupSessionPhase,
    RetentionPolicyApplyPhase,
};
use crate::api::storage::{ComponentPhase, Snapshot, SnapshotPhase};
use crate::decide::schedule::Schedule;
use crate::decide::{backup, cancel, conditions, target};

/// Follows a BackupConfiguration: what it needs, then the newest run of each session.
pub fn configuration(chain: &mut Chain, facts: &Facts, configuration: &BackupConfiguration) {
    let (namespace, name) = (
        configuration.namespace().unwrap_or_default(),
        configuration.name_any(),
    );
    let about = About::new("BackupConfiguration", &namespace, &name);
    let phase = configuration.status.as_ref().and_then(|s| s.phase);
    if configuration.metadata.deletion_timestamp.is_some() {
        chain.waiting(about, "is being deleted");
        chain.because(
            Health::Waiting,
            format!("BackupConfiguration {name} is being deleted"),
            vec![describe(&About::new("BackupConfiguration", &namespace, &name))],
        );
        return;
    }
    if configuration.spec.paused {
        chain.waiting(about, "is paused");
        chain.because(
            Health::Waiting,
            format!("BackupConfiguration {name} is paused: its schedules rest"),
            vec![format!(
                "`kubectl kubestash resume {name} -n {namespace}` resumes it"
            )],
        );
    } else {
        match phase {
            Some(BackupConfigurationPhase::Ready) => {
                chain.good(about, format!("Ready{}", next(configuration, facts)));
            }
            Some(phase) => chain.broken(about, format!("{phase:?}")),
            None => {
                chain.waiting(about, "the operator has not looked at it yet");
                chain.because(
                    Health::Waiting,
                    format!("BackupConfiguration {name} is new; the operator is about to look at it"),
                    vec![describe(&About::new("BackupConfiguration", &namespace, &name))],
                );
            }
        }
    }
    if !storage::operator(chain, facts) {
        return;
    }
    needs(chain, facts, configuration);
    if phase.is_some_and(|p| p != BackupConfigurationPhase::Ready) && !chain.explained() {
        chain.because(
            Health::Bad,
            super::not_ready(configuration),
            vec![describe(&About::new("BackupConfiguration", &namespace, &name))],
        );
    }
    for session in &configuration.spec.sessions {
        let newest = facts
            .sessions
            .iter()
            .filter(|run| run.namespace().as_deref() == Some(namespace.as_str()))
            .filter(|run| {
                run.spec.invoker.as_ref().is_some_and(|i| i.name == name) && run.spec.session == session.name
            })
            .max_by_key(|run| run.creation_timestamp().map(|t| t.0));
        if let Some(newest) = newest {
            self::session(chain, facts, newest);
        }
    }
}

/// When the schedules run next.
fn next(configuration: &BackupConfiguration, facts: &Facts) -> String {
    let times: Vec<String> = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|session| {
            let schedule = Schedule::parse(&session.scheduler.as_ref()?.schedule).ok()?;
            let next = schedule.next_after(facts.now, &TimeZone::UTC)?;
            Some(format!(", session {} runs next at {next}", session.name))
        })
        .collect();
    times.concat()
}

/// What a configuration needs: validity, target, Addon, storages, policies, Repositories, CronJobs.
fn needs(chain: &mut Chain, facts: &Facts, configuration: &BackupConfiguration) {
    let (namespace, name) = (
        configuration.namespace().unwrap_or_default(),
        configuration.name_any(),
    );
    let Some(status) = &configuration.status else {
        return;
    };
    let edit = format!("`kubectl edit bc {name} -n {namespace}`");
    let valid = conditions::find(&status.conditions, VALIDATION_PASSED);
    if let Some(condition) = valid.filter(|c| c.status == crate::api::shared::ConditionStatus::False) {
        chain.because(
            Health::Bad,
            condition.message.clone(),
            vec![format!("correct it: {edit}")],
        );
    }
    let reference = target::reference(configuration.spec.target.as_ref(), &namespace);
    if configuration.spec.target.is_some() {
        let place = reference.namespace.clone().unwrap_or_default();
        let about = About::new(reference.kind(), &place, &reference.name);
        match status.target_found {
            Some(true) => chain.good(about, "exists"),
            Some(false) => chain.root(
                about,
                "does not exist",
                format!("its target {} does not exist", target::describe(&reference)),
                vec![format!("create it, or correct spec.target: {edit}")],
            ),
            None => {}
        }
    }
    for dependency in status.dependencies.iter().filter(|d| d.found == Some(false)) {
        let missing = dependency;
        let kind = missing.kind.as_deref().unwrap_or("Addon");
        chain.root(
            About::new(
                kind,
                missing.namespace.as_deref().unwrap_or_default(),
                &missing.name,
            ),
            "does not exist",
            format!("{kind} {} does not exist", missing.name),
            missing_fix(kind, &missing.name, &edit),
        );
    }
    let whose = format!("BackupConfiguration {name}");
    for backend in &configuration.spec.backends {
        let known = status.backends.iter().find(|b| b.name == backend.name);
        let chosen = known
            .and_then(|b| b.storage.as_ref())
            .and_then(|s| s.ref_.clone());
        if let Some(reference) = backend.storage_ref.clone().or(chosen) {
            storage::storage_at(
                chain,
                facts,
                reference.namespace_or(&namespace),
                &reference.name,
                &whose,
            );
        }
        let chosen = known
            .and_then(|b| b.retention_policy.as_ref())
            .and_then(|p| p.ref_.clone());
        if let Some(reference) = backend.retention_policy.clone().or(chosen) {
            storage::policy_at(
                chain,
                facts,
                reference.namespace_or(&namespace),
                &reference.name,
                &whose,
            );
        }
        let reason = known
            .filter(|b| b.ready != Some(true))
            .and_then(|b| b.storage.as_ref().and_then(|s| s.reason.clone()));
        if let Some(reason) = reason {
            let fixes = if reason.contains("usagePolicy")
                || reason.contains("not allowed")
                || reason.contains("may not")
            {
                vec!["let the namespace use it in its spec.usagePolicy, or use another one: `kubectl get backupstorages -A`".to_owned()]
            } else {
                vec![describe(&About::new("BackupConfiguration", &namespace, &name))]
            };
            chain.because(Health::Bad, reason, fixes);
        }
    }
    for session in &configuration.spec.sessions {
        for wanted in &session.repositories {
            if let Seen::Found(found) = facts.find(&facts.repositories, &namespace, &wanted.name) {
                storage::repository(chain, facts, found);
            }
            if let Some(reference) = &wanted.encryption_secret {
                storage::secret(
                    chain,
                    facts,
                    reference.namespace_or(&namespace),
                    &reference.name,
                    &["RESTIC_PASSWORD"],
                );
            }
        }
    }
    for session in &status.sessions {
        let ensured = conditions::find(&session.conditions, SCHEDULER_ENSURED);
        if let Some(condition) = ensured.filter(|c| c.status == crate::api::shared::ConditionStatus::False) {
            chain.because(
                Health::Bad,
                format!(
                    "the CronJob of session {} cannot be made: {}",
                    session.name, condition.message
                ),
                vec![format!("correct its scheduler: {edit}")],
            );
        }
    }
}

/// What to do about an Addon or Function that is not there.
fn missing_fix(kind: &str, name: &str, edit: &str) -> Vec<String> {
    let list =
        "`kubectl get addons.addons.kubestash.com,functions.addons.kubestash.com` lists those there are";
    let ours = ["workload-addon", "pvc-addon"].contains(&name)
        || ["workload-backup", "workload-restore", "pvc-backup", "pvc-restore"].contains(&name);
    if ours {
        let install = "`kubectl kubestash install` brings the catalog of Addons and Functions";
        return vec![install.to_owned(), list.to_owned()];
    }
    let or = if kind == "Addon" {
        format!("install it, or name another in addon.name of the session: {edit}")
    } else {
        "install it, or correct the Addon that names it".to_owned()
    };
    vec![or, list.to_owned()]
}

/// Names for the commands, as far as a session leads to them.
fn place_of(facts: &Facts, session: &BackupSession, repository: Option<&str>) -> Place {
    let namespace = session.namespace().unwrap_or_default();
    let configuration = session.spec.invoker.clone().unwrap_or_default().name;
    let name = repository.map(str::to_owned).or_else(|| {
        session
            .status
            .as_ref()?
            .snapshots
            .first()
            .map(|s| s.repository.clone())
    });
    let place = match name.map(|name| facts.find(&facts.repositories, &namespace, &name)) {
        Some(Seen::Found(found)) => storage::place_of(facts, found),
        _ => Place {
            namespace: namespace.clone(),
            ..Place::default()
        },
    };
    Place {
        hooks: hooks(facts, session, &configuration),
        configuration,
        ..place
    }
}

/// The HookTemplates of a session, as namespace and name.
fn hooks(facts: &Facts, session: &BackupSession, configuration: &str) -> Vec<(String, String)> {
    let namespace = session.namespace().unwrap_or_default();
    let Seen::Found(found) = facts.find(&facts.configurations, &namespace, configuration) else {
        return Vec::new();
    };
    let sessions = found
        .spec
        .sessions
        .iter()
        .filter(|s| s.name == session.spec.session);
    let hooks = sessions.filter_map(|s| s.hooks.as_ref());
    let all = hooks.flat_map(|h| h.pre_backup.iter().chain(&h.post_backup));
    remedy::templates(all, &namespace)
}

/// Follows a BackupSession to its Snapshots, Jobs and pods.
pub fn session(chain: &mut Chain, facts: &Facts, session: &BackupSession) {
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let about = About::new("BackupSession", &namespace, &name);
    let status = session.status.clone().unwrap_or_default();
    match status.phase {
        Some(BackupSessionPhase::Succeeded) => {
            let took = status.duration.map_or_else(String::new, |d| format!(" in {d}"));
            let skipped = conditions::find(&status.conditions, "FilesSkipped");
            let but = skipped.map_or_else(String::new, |c| format!(", but {}", c.message));
            chain.good(about, format!("Succeeded{took}{but}"));
        }
        Some(BackupSessionPhase::Skipped) => {
            chain.broken(about, "Skipped");
            let why = conditions::find(&status.conditions, types::BACKUP_SKIPPED)
                .map_or_else(String::new, |c| c.message.clone());
            chain.because(
                Health::Bad,
                format!("the backup was skipped: {why}"),
                skipped_fix(&why, session),
            );
        }
        Some(BackupSessionPhase::Failed) => {
            chain.broken(about, "Failed");
            failed(chain, facts, session);
        }
        None => {
            chain.waiting(about, "the operator has not looked at it yet");
            if storage::operator(chain, facts) {
                chain.because(
                    Health::Waiting,
                    format!("BackupSession {name} is new; the operator is about to look at it"),
                    vec![describe(&About::new("BackupSession", &namespace, &name))],
                );
            }
        }
        Some(phase) => {
            chain.waiting(about, format!("{phase:?}"));
            if storage::operator(chain, facts) {
                at_work(chain, facts, session);
            }
        }
    }
}

fn skipped_fix(why: &str, session: &BackupSession) -> Vec<String> {
    let namespace = session.namespace().unwrap_or_default();
    let configuration = session.spec.invoker.clone().unwrap_or_default().name;
    let again = format!(
        "`kubectl kubestash backup retry {} -n {namespace}` runs it again",
        session.name_any()
    );
    let first = if why.contains("is paused") && why.starts_with("BackupConfiguration") {
        format!("`kubectl kubestash resume {configuration} -n {namespace}` resumes it")
    } else if why.contains("still running") {
        "wait until the other one has ended, or end it with `kubectl kubestash backup cancel`; space the schedules so that they do not meet".to_owned()
    } else if why.contains("has no session") {
        format!(
            "`kubectl get bc {configuration} -n {namespace} -o jsonpath='{{.spec.sessions[*].name}}'` shows its sessions"
        )
    } else if why.contains("Repository") {
        format!(
            "`kubectl get repositories -n {namespace}` shows them; ask `kubectl kubestash why repository/NAME -n {namespace}`"
        )
    } else {
        format!("`kubectl kubestash why bc/{configuration} -n {namespace}` says what it waits for")
    };
    vec![first, again]
}

/// Why a session failed.
fn failed(chain: &mut Chain, facts: &Facts, session: &BackupSession) {
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let status = session.status.clone().unwrap_or_default();
    let again = format!("`kubectl kubestash backup retry {name} -n {namespace}` runs it again");
    if cancel::cancelled(&status) {
        let why = conditions::find(&status.conditions, types::BACKUP_CANCELLED)
            .map_or_else(String::new, |c| c.message.clone());
        chain.because(Health::Bad, format!("the backup was {why}"), vec![again]);
        return;
    }
    let retry = match &status.next_retry {
        Some(at) if backup::awaits_retry(session) => format!("the operator runs it again at {}", at.0),
        _ => again,
    };
    for reference in &status.snapshots {
        let Seen::Found(found) = facts.find(&facts.snapshots, &namespace, &reference.name) else {
            if reference.phase == Some(SnapshotPhase::Failed) {
                chain.broken(About::new("Snapshot", &namespace, &reference.name), "is gone");
            }
            continue;
        };
        let place = place_of(facts, session, Some(&reference.repository));
        snapshot_end(chain, found, &place, &retry);
    }
    for job in facts.jobs_of(&namespace, &name) {
        pod::job(chain, facts, job, &place_of(facts, session, None));
    }
    let retention = status
        .retention_policy
        .iter()
        .find(|r| r.phase == Some(RetentionPolicyApplyPhase::FailedToApply));
    if let Some(entry) = retention {
        let error = entry.error.clone().unwrap_or_default();
        let mut fixes = remedy::fixes(&error, &place_of(facts, session, Some(&entry.repository)));
        fixes.push("the backup itself is there; retention is tried again with the next one".to_owned());
        chain.because(
            Health::Bad,
            format!(
                "old Snapshots of Repository {} could not be removed: {error}",
                entry.repository
            ),
            fixes,
        );
    }
    let why = super::session_error(&status);
    if !why.is_empty() {
        let mut fixes = remedy::fixes(&why, &place_of(facts, session, None));
        fixes.push(retry);
        chain.because(Health::Bad, why, fixes);
    }
}

/// How a Snapshot ended, with the component that failed.
pub fn snapshot_end(chain: &mut Chain, snapshot: &Snapshot, place: &Place, again: &str) {
    let (namespace, name) = (snapshot.namespace().unwrap_or_default(), snapshot.name_any());
    let about = About::new("Snapshot", &namespace, &name);
    let status = snapshot.status.clone().unwrap_or_default();
    let Some(phase) = status.phase else {
        chain.waiting(about, "Pending");
        return;
    };
    match phase {
        SnapshotPhase::Succeeded => chain.good(
            about,
            format!("Succeeded, {}", status.size.unwrap_or_default())
                .trim_end_matches(", ")
                .to_owned(),
        ),
        SnapshotPhase::Failed => {
            let mut failed = status
                .components
                .iter()
                .filter(|(_, c)| c.phase == Some(ComponentPhase::Failed));
            if let Some((component, detail)) = failed.next() {
                chain.broken(about, format!("Failed in component {component}"));
                let error = detail
                    .error
                    .clone()
                    .unwrap_or_else(|| "it says nothing".to_owned());
                let mut fixes = remedy::fixes(&error, place);
                fixes.push(again.to_owned());
                chain.because(Health::Bad, format!("component {component}: {error}"), fixes);
            } else {
                let because = status
                    .conditions
                    .iter()
                    .find(|c| {
                        c.status == crate::api::shared::ConditionStatus::False
                            || c.type_ == "BackupIncomplete"
                    })
                    .map(|c| c.message.clone())
                    .unwrap_or_default();
                let fixes = remedy::fixes(&because, place);
                chain.root(about, "Failed", because, fixes);
            }
        }
        other => chain.waiting(about, format!("{other:?}")),
    }
}

/// What a session that has not ended is doing.
fn at_work(chain: &mut Chain, facts: &Facts, session: &BackupSession) {
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let status = session.status.clone().unwrap_or_default();
    let follow = format!("`kubectl kubestash logs {name} -f -n {namespace}` follows it");
    for reference in &status.snapshots {
        if let Seen::Found(found) = facts.find(&facts.snapshots, &namespace, &reference.name) {
            let place = place_of(facts, session, Some(&reference.repository));
            snapshot_end(chain, found, &place, &follow);
        }
    }
    let jobs = facts.jobs_of(&namespace, &name);
    for job in &jobs {
        pod::job(chain, facts, job, &place_of(facts, session, None));
    }
    let stopping = conditions::is_false(&status.conditions, types::BACKUP_CANCELLED);
    let doing = if cancel::requested(session).is_some() || stopping {
        "it is being cancelled: its Jobs are being stopped"
    } else if jobs.is_empty() {
        "its Jobs are being made, or it waits for its turn"
    } else {
        "it is at work"
    };
    chain.because(
        Health::Waiting,
        format!("BackupSession {name} has not ended: {doing}"),
        vec![follow],
    );
}
