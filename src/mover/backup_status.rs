//! The status of a component while it is backed up, and at its end.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::progress::{Feed, human, percent, speed};
use crate::api::config::job_plan::BackupTarget;
use crate::api::storage::{BackupProgress, Component, ComponentPhase, Driver, ResticSummary};
use crate::decide::size;
use crate::restic::messages::{BackupSummary, Message, Status};

pub(super) fn begun(target: &BackupTarget) -> Component {
    Component {
        path: Some(target.component_path.clone()),
        phase: Some(ComponentPhase::Running),
        driver: Some(Driver::Restic),
        ..Component::default()
    }
}

pub(super) fn json(component: &Component) -> Value {
    serde_json::to_value(component).unwrap_or_default()
}

/// The component while it is written, and where its states go.
pub(super) struct Shared {
    pub(super) component: Arc<Mutex<Component>>,
    pub(super) feed: Feed,
}

impl Shared {
    pub(super) fn change(&self, change: impl FnOnce(&mut Component)) {
        let mut component = self.component.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut component);
        self.feed.set(json(&component));
    }
}

pub(super) fn hear(message: &Message, index: usize, shared: &Shared) {
    match message {
        Message::Status(status) => shared.change(|component| {
            if let Some(stats) = component.restic_stats.get_mut(index) {
                stats.progress = Some(progress(status));
            }
        }),
        Message::Error(error) => {
            tracing::warn!(file = error.item, during = error.during, "{}", error.message);
        }
        Message::Text(line) if !line.trim().is_empty() => tracing::info!("restic: {line}"),
        _ => {}
    }
}

fn progress(status: &Status) -> BackupProgress {
    BackupProgress {
        seconds_elapsed: i64::try_from(status.seconds_elapsed).ok(),
        percent_done: Some(percent(status.percent_done)),
        total_files: i64::try_from(status.total_files).ok(),
        files_done: i64::try_from(status.files_done).ok(),
        backup_done: Some(human(status.bytes_done)),
        total: Some(human(status.total_bytes)),
        speed: speed(status.bytes_done, status.seconds_elapsed),
    }
}

pub(super) fn summarize(path: &str, summary: &BackupSummary) -> ResticSummary {
    ResticSummary {
        id: summary.snapshot_id.clone(),
        uploaded: Some(size::format(summary.data_added_packed)),
        host_path: Some(path.to_owned()),
        size: Some(size::format(summary.total_bytes_processed)),
        start_time: summary.backup_start.map(Time),
        end_time: summary.backup_end.map(Time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_carry_what_the_backup_said() {
        let summary = summarize(
            "/data",
            &BackupSummary {
                snapshot_id: Some("abc".into()),
                data_added_packed: 2048,
                total_bytes_processed: 1024,
                ..BackupSummary::default()
            },
        );
        assert_eq!(summary.uploaded.as_deref(), Some("2.000 KiB"));
        assert_eq!(summary.size.as_deref(), Some("1024 B"));
        assert_eq!(summary.host_path.as_deref(), Some("/data"));
    }
}
