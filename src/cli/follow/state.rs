//! How far a session is, from its status and its Snapshots': pure, shown by progress, events and `backup show` alike.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::views::{
    BackupSession, Component, Progress, RestoreSession, RestoredComponent, SnapshotDetail,
};
use crate::output::human;
use crate::output::progress::{Look, Row};

/// A session as it was last seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// BackupSession or RestoreSession.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its phase; Pending before the operator saw it.
    pub phase: String,
    /// What it is doing, in a few words.
    pub doing: String,
    /// Its components.
    pub components: Vec<ComponentState>,
}

/// One component of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComponentState {
    /// Its Snapshot; empty for restores.
    pub snapshot: String,
    /// Its Repository; empty for restores.
    pub repository: String,
    /// Its name.
    pub component: String,
    /// Pending, Running, Succeeded or Failed.
    pub phase: String,
    /// How much is done, 0 to 100.
    pub percent: Option<f64>,
    /// How much data is done, such as `1.5 GB`.
    pub done: String,
    /// How much data there is.
    pub total: String,
    /// How many files are done.
    pub files_done: Option<i64>,
    /// How many files there are.
    pub files_total: Option<i64>,
    /// Such as `45.0 MB/s`.
    pub speed: String,
    /// Seconds since it began.
    pub elapsed: Option<i64>,
    /// Size of what was backed up, at its end.
    pub size: String,
    /// How much new data was written, at its end.
    pub uploaded: String,
    /// How long it took, at its end.
    pub duration: String,
    /// Why it failed.
    pub error: String,
}

/// What is known of a BackupSession.
pub fn backup(session: &BackupSession, snapshots: &BTreeMap<String, SnapshotDetail>) -> State {
    let mut components = Vec::new();
    for reference in &session.status.snapshots {
        for (name, component) in snapshots
            .get(&reference.name)
            .iter()
            .flat_map(|s| &s.status.components)
        {
            components.push(ComponentState {
                snapshot: reference.name.clone(),
                repository: reference.repository.clone(),
                ..of_component(name, component)
            });
        }
    }
    State {
        kind: "BackupSession",
        namespace: session.metadata.namespace.clone(),
        name: session.metadata.name.clone(),
        phase: or_pending(&session.status.phase),
        doing: super::backup_state(session),
        components,
    }
}

/// One component of a Snapshot.
pub fn of_component(name: &str, component: &Component) -> ComponentState {
    let default = Progress::default();
    let progress = component
        .restic_stats
        .iter()
        .rev()
        .map(|s| &s.progress)
        .find(|p| !p.percent_done.is_empty())
        .unwrap_or(&default);
    let summaries = || component.restic_stats.iter().filter_map(|s| s.summary.as_ref());
    ComponentState {
        size: summaries()
            .map(|s| s.size.as_str())
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join(" + "),
        uploaded: summaries()
            .map(|s| s.uploaded.as_str())
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join(" + "),
        duration: component.duration.clone(),
        error: component.error.clone(),
        ..moving(name, &component.phase, progress)
    }
}

/// What is known of a RestoreSession.
pub fn restore(session: &RestoreSession) -> State {
    let one = |(name, component): (&String, &RestoredComponent)| ComponentState {
        error: component.error.clone(),
        duration: component.duration.clone(),
        ..moving(name, &component.phase, &component.progress)
    };
    State {
        kind: "RestoreSession",
        namespace: session.metadata.namespace.clone(),
        name: session.metadata.name.clone(),
        phase: or_pending(&session.status.phase),
        doing: super::restore_state(session),
        components: session.status.components.iter().map(one).collect(),
    }
}

fn moving(name: &str, phase: &str, progress: &Progress) -> ComponentState {
    ComponentState {
        component: name.to_owned(),
        phase: or_pending(phase),
        percent: progress.percent_done.trim_end_matches('%').parse().ok(),
        done: progress.done.clone(),
        total: progress.total.clone(),
        files_done: progress.files_done,
        files_total: progress.total_files,
        speed: progress.speed.clone(),
        elapsed: progress.seconds_elapsed,
        ..ComponentState::default()
    }
}

fn or_pending(phase: &str) -> String {
    if phase.is_empty() { "Pending" } else { phase }.to_owned()
}

impl ComponentState {
    /// How much longer it takes if it goes on as it went; nothing before that can be told.
    pub fn remaining(&self) -> Option<Duration> {
        let (percent, elapsed) = (self.percent?, self.elapsed?);
        if self.phase != "Running" || percent < 1.0 || elapsed < 2 {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "seconds of one backup")]
        let left = elapsed as f64 * (100.0 - percent) / percent;
        Duration::try_from_secs_f64(left.round()).ok()
    }

    /// Bytes, files, speed and remaining time, as far as they are known.
    pub fn numbers(&self) -> String {
        let mut parts = Vec::new();
        match (self.done.as_str(), self.total.as_str()) {
            ("", "") => {}
            ("", total) => parts.push(total.to_owned()),
            (done, "") => parts.push(done.to_owned()),
            (done, total) => parts.push(format!("{done} of {total}")),
        }
        match (self.files_done, self.files_total) {
            (Some(done), Some(total)) if total > 0 => {
                parts.push(format!("{done} of {}", human::counted(total, "file")));
            }
            (Some(done), _) if done > 0 => parts.push(human::counted(done, "file")),
            _ => {}
        }
        if !self.speed.is_empty() {
            parts.push(self.speed.clone());
        }
        if let Some(left) = self.remaining() {
            parts.push(format!("{} left", human::go_duration(left)));
        }
        parts.join(" · ")
    }

    /// What it came to, at its end.
    pub fn result(&self) -> String {
        if !self.error.is_empty() {
            return self.error.lines().next().unwrap_or("").to_owned();
        }
        let mut parts = Vec::new();
        if !self.size.is_empty() {
            parts.push(self.size.clone());
        }
        if !self.uploaded.is_empty() {
            parts.push(format!("{} new", self.uploaded));
        }
        if parts.is_empty() {
            parts.extend(Some(self.total.clone()).filter(|t| !t.is_empty()));
        }
        parts.join(" · ")
    }

    /// One line about it.
    pub fn line(&self) -> String {
        match self.phase.as_str() {
            "Running" => match self.percent {
                Some(percent) => format!("{} {percent:.0}% {}", self.component, self.numbers()),
                None => format!("{} running", self.component),
            },
            "Succeeded" => format!("{} done {}", self.component, self.result()),
            "Failed" => format!("{} failed: {}", self.component, self.result()),
            _ => format!("{} waiting", self.component),
        }
        .trim_end()
        .to_owned()
    }
}

impl State {
    /// The rows to draw. The Repository is named where there are several.
    pub fn rows(&self) -> Vec<Row> {
        let several = self
            .components
            .iter()
            .any(|c| c.repository != self.components[0].repository);
        self.components
            .iter()
            .map(|c| {
                let label = if several {
                    format!("{} → {}", c.component, c.repository)
                } else {
                    c.component.clone()
                };
                let (look, text) = match c.phase.as_str() {
                    "Running" => (Look::Moving(c.percent.unwrap_or(0.0)), c.numbers()),
                    "Succeeded" => (Look::Good, c.result()),
                    "Failed" => (Look::Bad, c.result()),
                    _ => (Look::Waiting, String::new()),
                };
                Row { label, look, text }
            })
            .collect()
    }

    /// One line about all of it, for where nothing is drawn.
    pub fn line(&self) -> String {
        let moving: Vec<String> = self
            .components
            .iter()
            .filter(|c| c.phase == "Running")
            .map(ComponentState::line)
            .collect();
        if moving.is_empty() {
            format!("{}: {}", self.name, self.doing)
        } else {
            format!("{}: {}", self.name, moving.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn running() -> State {
        let session: BackupSession = serde_json::from_value(json!({
            "metadata": {"name": "b", "namespace": "demo"},
            "status": {"phase": "Running", "snapshots": [{"name": "repo-b", "phase": "Running", "repository": "repo"}]},
        }))
        .unwrap();
        let snapshot: SnapshotDetail = serde_json::from_value(json!({"status": {"phase": "Running", "components": {
            "dump": {"phase": "Running", "resticStats": [{"progress": {
                "percentDone": "25.00%", "backupDone": "1.0 GB", "total": "4.0 GB", "filesDone": 10, "totalFiles": 40,
                "speed": "50.0 MB/s", "secondsElapsed": 20}}]},
            "manifest": {"phase": "Succeeded", "resticStats": [{"summary": {"size": "1 MiB", "uploaded": "2 KiB"}}]},
            "later": {},
        }}}))
        .unwrap();
        backup(&session, &BTreeMap::from([("repo-b".to_owned(), snapshot)]))
    }

    #[test]
    fn bytes_files_speed_and_the_rest_of_the_time_are_told() {
        let state = running();
        let dump = &state.components[0];
        assert_eq!(
            dump.numbers(),
            "1.0 GB of 4.0 GB · 10 of 40 files · 50.0 MB/s · 1m0s left"
        );
        assert_eq!(
            state.line(),
            "b: dump 25% 1.0 GB of 4.0 GB · 10 of 40 files · 50.0 MB/s · 1m0s left"
        );
        let rows = state.rows();
        assert_eq!(rows[0].look, Look::Moving(25.0));
        assert_eq!((rows[1].label.as_str(), &rows[1].look), ("later", &Look::Waiting));
        assert_eq!(
            (rows[2].look, rows[2].text.as_str()),
            (Look::Good, "1 MiB · 2 KiB new")
        );
    }

    #[test]
    fn what_is_not_known_is_not_invented() {
        let mut state = running();
        let dump = &mut state.components[0];
        dump.percent = Some(0.2);
        assert_eq!(dump.remaining(), None, "too early to tell");
        dump.percent = None;
        assert_eq!(dump.remaining(), None);
        let restored: RestoreSession = serde_json::from_value(json!({"metadata": {"name": "r"}, "status": {"phase": "Running",
            "components": {"dump": {"phase": "Running", "progress": {"percentDone": "50.00%", "restoreDone": "1 B"}}}}}))
        .unwrap();
        assert_eq!(restore(&restored).line(), "r: dump 50% 1 B");
        assert_eq!(
            restore(&RestoreSession::default()).line(),
            ": waiting for the operator"
        );
    }
}
