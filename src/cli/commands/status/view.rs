//! What `status -o json|yaml` prints.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::schemas::View;

/// Whether backups are all right: storages, every session of every BackupConfiguration, what runs, what needs
/// attention.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The namespace that was looked at; absent with -A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How many sessions are in which state.
    pub summary: SummaryView,
    /// The BackupStorages.
    pub storages: Vec<StorageView>,
    /// One entry for each session of each BackupConfiguration.
    pub configurations: Vec<SessionView>,
    /// BackupSessions and RestoreSessions that have not ended.
    pub running: Vec<RunningView>,
    /// What somebody should look at, worst first.
    pub attention: Vec<AttentionView>,
    /// What holds data and is in no BackupConfiguration: workloads with volumes, and claims that no workload uses.
    pub unprotected: Vec<UnprotectedView>,
    /// What could not be looked at, and why: kinds that you may not list.
    pub not_seen: Vec<String>,
}

impl View for StatusView {
    const COMMAND: &'static str = "status";
    const KIND: &'static str = "Status";
}

/// How many sessions are in which state; each is counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryView {
    /// All of them.
    pub sessions: usize,
    /// The newest backup that is due is there.
    pub protected: usize,
    /// The last backup failed.
    pub failing: usize,
    /// No backup has succeeded since the last one was due.
    pub stale: usize,
    /// The BackupConfiguration is not ready, or not valid.
    pub broken: usize,
    /// Paused or suspended.
    pub paused: usize,
    /// None has run yet, and none was due.
    pub waiting: usize,
    /// Workloads and claims that no BackupConfiguration names; they have no session and are not among `sessions`.
    pub unprotected: usize,
}

/// A workload or claim that nobody backs up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnprotectedView {
    /// Deployment, StatefulSet, DaemonSet or PersistentVolumeClaim.
    #[serde(rename = "kind")]
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its claims that are in no backup.
    pub claims: Vec<String>,
    /// The size that each of them asks for, such as `10Gi`, in the same order; empty when not known.
    pub sizes: Vec<String>,
}

/// A BackupStorage.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether configurations that name no storage use it.
    pub default: bool,
    /// s3, gcs, azure or local.
    pub provider: String,
    /// Ready, NotReady, or Pending before the operator has looked at it.
    pub phase: String,
    /// The size of everything in it, such as `1.5 GiB`; empty when not known.
    pub total_size: String,
    /// How many Repositories are in it.
    pub repositories: usize,
}

/// One session of one BackupConfiguration.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// The BackupConfiguration's namespace.
    pub namespace: String,
    /// The BackupConfiguration's name.
    pub name: String,
    /// What is backed up, as Kind/name.
    pub target: String,
    /// The session's name.
    pub session: String,
    /// Its cron expression.
    pub schedule: String,
    /// The BackupConfiguration's phase: Ready, NotReady, Invalid, or Pending before the operator has looked at it.
    pub phase: String,
    /// In one word, how this session is.
    pub state: State,
    /// Whether the configuration is paused or the session suspended.
    pub paused: bool,
    /// The newest BackupSession.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunView>,
    /// When the newest backup that succeeded was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// When the schedule runs it next; absent while it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
    /// Since when a backup is due that has not succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue_since: Option<String>,
}

/// How a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum State {
    /// The last backup failed.
    Failing,
    /// The BackupConfiguration is not ready, or not valid.
    Broken,
    /// No backup has succeeded since the last one was due.
    Stale,
    /// Paused or suspended.
    Paused,
    /// None has run yet, and none was due.
    Waiting,
    /// The newest backup that is due is there.
    Protected,
}

/// A BackupSession.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// When it was created.
    pub time: String,
}

/// A session that has not ended.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunningView {
    /// BackupSession or RestoreSession.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttentionView {
    /// The kind of the object.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The command that shows more.
    pub look: String,
}
