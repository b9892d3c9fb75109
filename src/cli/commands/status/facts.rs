//! What `status` says, from what was read: pure, so that every state has a test.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::unprotected::Holders;
use super::view::{
    AttentionView, RunView, RunningView, SessionView, State, StatusView, StorageView, SummaryView,
};
use crate::cli::report::text;
use crate::cli::views::{
    self, BackupConfiguration, BackupSession, BackupStorage, ConfiguredSession, Meta, Repository,
    RestoreSession,
};
use crate::decide::explain::facts::Operator;
use crate::decide::schedule::Schedule;
use crate::output::human;
use crate::output::table::printable;

/// A run that is later than its schedule by this many seconds is late: CronJobs and images may take a while.
const LATE_SECONDS: i64 = 600;
/// A failed restore is news for this many seconds; later it is history.
const NEWS_SECONDS: i64 = 7 * 24 * 3600;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) storages: Vec<BackupStorage>,
    pub(super) configurations: Vec<BackupConfiguration>,
    pub(super) backups: Vec<BackupSession>,
    pub(super) restores: Vec<RestoreSession>,
    pub(super) repositories: Vec<Repository>,
    /// Those of other namespaces that name something of this one.
    pub(super) elsewhere: Vec<BackupConfiguration>,
    pub(super) holders: Holders,
    pub(super) operator: Operator,
}

impl Facts {
    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.storages.is_empty()
            && self.configurations.is_empty()
            && self.restores.is_empty()
            && self
                .holders
                .without(&self.elsewhere, &self.storages, None)
                .is_empty()
    }

    /// Everything that the screen and `-o` show.
    pub(super) fn view(&self, namespace: Option<&str>, now: Timestamp) -> StatusView {
        let configurations: Vec<SessionView> = self
            .configurations
            .iter()
            .flat_map(|c| c.spec.sessions.iter().map(move |s| self.session(c, s, now)))
            .collect();
        let all: Vec<BackupConfiguration> = self
            .configurations
            .iter()
            .chain(&self.elsewhere)
            .cloned()
            .collect();
        let unprotected = self.holders.without(&all, &self.storages, namespace);
        let mut summary = SummaryView {
            sessions: configurations.len(),
            unprotected: unprotected.len(),
            ..SummaryView::default()
        };
        for session in &configurations {
            *match session.state {
                State::Protected => &mut summary.protected,
                State::Failing => &mut summary.failing,
                State::Stale => &mut summary.stale,
                State::Broken => &mut summary.broken,
                State::Paused => &mut summary.paused,
                State::Waiting => &mut summary.waiting,
            } += 1;
        }
        StatusView {
            namespace: namespace.map(str::to_owned),
            summary,
            storages: self.storages.iter().map(storage).collect(),
            attention: self.attention(&configurations, now),
            configurations,
            running: self.running(),
            unprotected,
            not_seen: self.holders.not_seen.clone(),
        }
    }

    fn session(
        &self,
        configuration: &BackupConfiguration,
        session: &ConfiguredSession,
        now: Timestamp,
    ) -> SessionView {
        let meta = &configuration.metadata;
        let last = self.last_run(configuration, session);
        let success = self.last_success(configuration, session);
        let paused = configuration.spec.paused || session.scheduler.suspend;
        let schedule = Schedule::parse(&session.scheduler.schedule)
            .ok()
            .filter(|_| !paused);
        let due = |after: Timestamp| {
            schedule
                .as_ref()
                .and_then(|s| s.next_after(after, &TimeZone::UTC))
        };
        let running = last
            .as_ref()
            .is_some_and(|run| matches!(run.phase.as_str(), "Pending" | "Running"));
        // A backup that runs now may be the one that is due; one that failed is said to have failed, not to be late.
        let overdue = success
            .or(meta.creation_timestamp)
            .and_then(due)
            .filter(|due| now.duration_since(*due).as_secs() > LATE_SECONDS && !running);
        let phase = or_pending(&configuration.status.phase);
        let failed = last.as_ref().is_some_and(|run| run.phase == "Failed");
        let state = match phase.as_str() {
            _ if paused => State::Paused,
            "NotReady" | "Invalid" => State::Broken,
            _ if failed => State::Failing,
            _ if overdue.is_some() => State::Stale,
            _ if success.is_none() => State::Waiting,
            _ => State::Protected,
        };
        SessionView {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            target: target(configuration),
            session: session.name.clone(),
            schedule: session.scheduler.schedule.clone(),
            phase,
            state,
            paused,
            last_run: last,
            last_success: success.map(|s| s.to_string()),
            next_run: due(now).map(|n| n.to_string()),
            overdue_since: overdue.map(|d| d.to_string()),
        }
    }

    /// The newest BackupSession of a session.
    fn last_run(&self, configuration: &BackupConfiguration, session: &ConfiguredSession) -> Option<RunView> {
        self.runs(configuration, session)
            .max_by_key(|(_, created)| *created)
            .map(|(run, created)| RunView {
                name: run.metadata.name.clone(),
                phase: or_pending(&run.status.phase),
                time: created.to_string(),
            })
    }

    fn runs<'f>(
        &'f self,
        configuration: &'f BackupConfiguration,
        session: &'f ConfiguredSession,
    ) -> impl Iterator<Item = (&'f BackupSession, Timestamp)> {
        self.backups
            .iter()
            .filter(|b| b.metadata.namespace == configuration.metadata.namespace)
            .filter(|b| b.spec.invoker.name == configuration.metadata.name && b.spec.session == session.name)
            .filter_map(|b| Some((b, b.metadata.creation_timestamp?)))
    }

    /// When the newest successful backup was taken. The history keeps few BackupSessions, often only the last (failed)
    /// one; the Repositories remember more. With several Repositories the one that is furthest behind counts.
    fn last_success(
        &self,
        configuration: &BackupConfiguration,
        session: &ConfiguredSession,
    ) -> Option<Timestamp> {
        let run = self
            .runs(configuration, session)
            .filter(|(run, _)| run.status.phase == "Succeeded")
            .map(|(_, created)| created)
            .max();
        let remembered = session
            .repositories
            .iter()
            .map(|wanted| {
                let repository = self.repositories.iter().find(|r| {
                    r.metadata.name == wanted.name && r.metadata.namespace == configuration.metadata.namespace
                })?;
                repository
                    .status
                    .recent_snapshots
                    .iter()
                    .filter(|s| s.phase == "Succeeded" && s.session == session.name)
                    .filter_map(|s| s.snapshot_time)
                    .max()
            })
            .min()
            .flatten();
        run.max(remembered)
    }

    /// Why a configuration is not ready, as far as its own status says it.
    fn not_ready(&self, session: &SessionView) -> String {
        let found = self
            .configurations
            .iter()
            .find(|c| c.metadata.name == session.name && c.metadata.namespace == session.namespace);
        let Some(status) = found.map(|c| &c.status) else {
            return String::new();
        };
        if status.target_found == Some(false) {
            return format!(": its target {} does not exist", session.target);
        }
        let reason = status.backends.iter().find_map(|backend| {
            ["/storage/reason", "/retentionPolicy/reason"]
                .iter()
                .map(|at| text(backend, at).to_owned())
                .find(|reason| !reason.is_empty())
        });
        reason.map_or_else(|| because(&status.conditions), |reason| format!(": {reason}"))
    }

    fn running(&self) -> Vec<RunningView> {
        let row = |kind: &str, meta: &Meta, phase: &str| RunningView {
            kind: kind.to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            phase: or_pending(phase),
            since: meta.creation_timestamp.map(|t| t.to_string()),
        };
        let backups = self
            .backups
            .iter()
            .map(|b| row("BackupSession", &b.metadata, &b.status.phase));
        let restores = self
            .restores
            .iter()
            .map(|r| row("RestoreSession", &r.metadata, &r.status.phase));
        backups
            .chain(restores)
            .filter(|row| matches!(row.phase.as_str(), "Pending" | "Running"))
            .collect()
    }

    /// What somebody should look at, each object once, worst first.
    fn attention(&self, sessions: &[SessionView], now: Timestamp) -> Vec<AttentionView> {
        let mut lines: Vec<AttentionView> = operator(&self.operator).into_iter().collect();
        for storage in self.storages.iter().filter(|s| s.status.phase == "NotReady") {
            let why = because(&storage.status.conditions);
            let message = format!("NotReady{why}");
            lines.push(entry("BackupStorage", &storage.metadata, &message));
        }
        let mut said = BTreeMap::new();
        for session in sessions.iter().filter(|s| s.state == State::Broken) {
            let key = (session.namespace.clone(), session.name.clone());
            if said.insert(key, ()).is_none() {
                let why = self.not_ready(session);
                lines.push(of_configuration(session, &format!("{}{why}", session.phase)));
            }
        }
        let ago = |time: &str| {
            time.parse()
                .map_or_else(|_| String::new(), |then| human::age(then, now))
        };
        for session in sessions.iter().filter(|s| s.state == State::Failing) {
            let Some(run) = &session.last_run else { continue };
            let before = session.last_success.as_ref().map_or_else(
                || "none has ever succeeded".to_owned(),
                |s| format!("the last success is {} ago", ago(s)),
            );
            let ended = self
                .backups
                .iter()
                .find(|b| b.metadata.name == run.name && b.metadata.namespace == session.namespace);
            let why = ended.map_or_else(String::new, |b| because(&b.status.conditions));
            let message = format!(
                "session {}: failed {} ago, {before}{why}",
                session.session,
                ago(&run.time)
            );
            let mut entry = of_configuration(session, &message);
            entry.look = format!(
                "kubectl kubestash why backupsession/{} -n {}",
                run.name, session.namespace
            );
            lines.push(entry);
        }
        for session in sessions.iter().filter(|s| s.state == State::Stale) {
            let due = session.overdue_since.as_deref().map(ago).unwrap_or_default();
            let message = format!(
                "session {}: a backup was due {due} ago and has not succeeded",
                session.session
            );
            lines.push(of_configuration(session, &message));
        }
        for restore in &self.restores {
            let fresh = restore
                .metadata
                .creation_timestamp
                .is_none_or(|t| now.duration_since(t).as_secs() < NEWS_SECONDS);
            if fresh && matches!(restore.status.phase.as_str(), "Failed" | "Invalid") {
                let message = format!("{}{}", restore.status.phase, because(&restore.status.conditions));
                lines.push(entry("RestoreSession", &restore.metadata, &message));
            }
        }
        for repository in &self.repositories {
            if repository.status.integrity == Some(false) {
                let message = "its data is damaged: the last check found errors";
                lines.push(entry("Repository", &repository.metadata, message));
            }
        }
        lines
    }
}

fn or_pending(phase: &str) -> String {
    if phase.is_empty() { "Pending" } else { phase }.to_owned()
}

fn target(configuration: &BackupConfiguration) -> String {
    let target = &configuration.spec.target;
    if target.kind.is_empty() {
        target.name.clone()
    } else {
        format!("{}/{}", target.kind, target.name)
    }
}

fn storage(storage: &BackupStorage) -> StorageView {
    let provider = storage.spec.storage.get("provider").and_then(Value::as_str);
    StorageView {
        namespace: storage.metadata.namespace.clone(),
        name: storage.metadata.name.clone(),
        default: storage.spec.default,
        provider: provider.unwrap_or("").to_owned(),
        phase: or_pending(&storage.status.phase),
        total_size: storage.status.total_size.clone(),
        repositories: storage.status.repositories.len(),
    }
}

fn because(conditions: &[views::Condition]) -> String {
    views::complaint(conditions).map_or_else(String::new, |why| format!(": {why}"))
}

/// An operator that does not run: nothing of what stands on the screen will change.
fn operator(operator: &Operator) -> Option<AttentionView> {
    let (namespace, name, message) = match operator {
        Operator::Unknown | Operator::Up(..) => return None,
        Operator::Missing => (
            "",
            "kubestash-operator",
            "the operator is not installed: no backup runs".to_owned(),
        ),
        Operator::Down(namespace, name, why) => (
            namespace.as_str(),
            name.as_str(),
            format!("the operator does not run, so no backup does: {why}"),
        ),
    };
    Some(AttentionView {
        kind: "Deployment".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        message,
        look: "kubectl kubestash doctor".to_owned(),
    })
}

fn entry(kind: &str, meta: &Meta, message: &str) -> AttentionView {
    AttentionView {
        kind: kind.to_owned(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        message: printable(message),
        look: format!(
            "kubectl kubestash why {}/{} -n {}",
            kind.to_lowercase(),
            meta.name,
            meta.namespace
        ),
    }
}

fn of_configuration(session: &SessionView, message: &str) -> AttentionView {
    AttentionView {
        kind: "BackupConfiguration".to_owned(),
        namespace: session.namespace.clone(),
        name: session.name.clone(),
        message: printable(message),
        look: format!(
            "kubectl kubestash why bc/{} -n {}",
            session.name, session.namespace
        ),
    }
}

#[cfg(test)]
mod tests;
