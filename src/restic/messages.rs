//! restic's JSON lines. Pure and tolerant: what is not known is passed on as a plain line.

use serde::Deserialize;

/// One line of restic's output.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// How far it is.
    Status(Status),
    /// Something went wrong with one file.
    Error(ItemError),
    /// The end of a backup.
    BackupSummary(BackupSummary),
    /// The end of a restore.
    RestoreSummary(RestoreSummary),
    /// The end of a check.
    CheckSummary(CheckSummary),
    /// A repository was created; its id.
    Initialized(String),
    /// Why restic ends.
    ExitError(ExitError),
    /// JSON of another kind (verbose messages, messages of later versions).
    Unknown,
    /// A line that is not JSON.
    Text(String),
}

/// How far a backup or a restore is. A restore's `*_restored` fields are read into the same places.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// 0 to 1.
    pub percent_done: f64,
    /// Seconds.
    pub seconds_elapsed: u64,
    /// Files found so far.
    pub total_files: u64,
    /// Files done.
    #[serde(alias = "files_restored")]
    pub files_done: u64,
    /// Bytes found so far.
    pub total_bytes: u64,
    /// Bytes done.
    #[serde(alias = "bytes_restored")]
    pub bytes_done: u64,
}

/// Something went wrong with one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemError {
    /// What happened.
    pub message: String,
    /// `scan`, `archival`, `restore` …
    pub during: String,
    /// The file.
    pub item: String,
}

/// The end of a backup.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct BackupSummary {
    /// Id of the snapshot; absent when none was made.
    pub snapshot_id: Option<String>,
    /// Files looked at.
    pub total_files_processed: u64,
    /// Bytes looked at.
    pub total_bytes_processed: u64,
    /// New data before compression, in bytes.
    pub data_added: u64,
    /// New data as stored, in bytes.
    pub data_added_packed: u64,
    /// Seconds.
    pub total_duration: f64,
    /// When it began.
    pub backup_start: Option<jiff::Timestamp>,
    /// When it ended.
    pub backup_end: Option<jiff::Timestamp>,
}

/// The end of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RestoreSummary {
    /// Files, directories and links in the snapshot that were chosen.
    pub total_files: u64,
    /// Of those, restored.
    pub files_restored: u64,
    /// Of those, already there.
    pub files_skipped: u64,
    /// Bytes of the chosen files.
    pub total_bytes: u64,
    /// Of those, restored.
    pub bytes_restored: u64,
    /// Of those, already there.
    pub bytes_skipped: u64,
}

/// The end of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CheckSummary {
    /// Errors found.
    pub num_errors: u64,
    /// Damaged packs.
    pub broken_packs: Option<Vec<String>>,
    /// Whether `repair index` would help.
    pub suggest_repair_index: bool,
    /// Whether `prune` would help.
    pub suggest_prune: bool,
}

/// Why restic ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExitError {
    /// restic's exit code.
    pub code: i32,
    /// The reason.
    pub message: String,
}

/// Reads one line.
#[must_use]
pub fn parse(line: &str) -> Message {
    let line = line.trim_end();
    if !line.starts_with('{') {
        return Message::Text(line.to_owned());
    }
    // A status names every file in work and comes often; the type is read first so that the rest is read once.
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, default)]
        message_type: std::borrow::Cow<'a, str>,
    }
    let Ok(kind) = serde_json::from_str::<Kind<'_>>(line) else {
        return Message::Text(line.to_owned());
    };
    let parsed = match kind.message_type.as_ref() {
        "status" => serde_json::from_str(line).map(Message::Status),
        "error" => serde_json::from_str(line).map(|raw: RawError| Message::Error(raw.into())),
        "summary" if line.contains("\"num_errors\"") => serde_json::from_str(line).map(Message::CheckSummary),
        "summary" if line.contains("\"files_new\"") => serde_json::from_str(line).map(Message::BackupSummary),
        "summary" => serde_json::from_str(line).map(Message::RestoreSummary),
        "initialized" => serde_json::from_str(line).map(|raw: Initialized| Message::Initialized(raw.id)),
        "exit_error" => serde_json::from_str(line).map(Message::ExitError),
        _ => Ok(Message::Unknown),
    };
    parsed.unwrap_or_else(|_| Message::Text(line.to_owned()))
}

#[derive(Deserialize)]
struct Initialized {
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct RawError {
    error: RawCause,
    during: String,
    item: String,
}

/// restic writes `{"message": …}`; 0.17 wrote the error's own fields.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawCause {
    message: String,
    #[serde(rename = "Op")]
    op: String,
    #[serde(rename = "Path")]
    path: String,
}

impl From<RawError> for ItemError {
    fn from(raw: RawError) -> Self {
        let message = if raw.error.message.is_empty() {
            format!("{} {}", raw.error.op, raw.error.path).trim().to_owned()
        } else {
            raw.error.message
        };
        let item = if raw.item.is_empty() {
            raw.error.path
        } else {
            raw.item
        };
        Self {
            message,
            during: raw.during,
            item,
        }
    }
}

/// A snapshot, as `snapshots --json` lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SnapshotInfo {
    /// Full id.
    pub id: String,
    /// The paths that were backed up.
    pub paths: Vec<String>,
    /// `--host`.
    pub hostname: String,
    /// What the backup counted.
    pub summary: Option<SnapshotCounts>,
}

/// What a backup counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SnapshotCounts {
    /// Files.
    pub total_files_processed: u64,
    /// Bytes.
    pub total_bytes_processed: u64,
}

/// A lock, as `cat lock` shows it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LockInfo {
    /// When it was taken or last refreshed.
    pub time: Option<jiff::Timestamp>,
    /// Whether it keeps everybody else out.
    pub exclusive: bool,
    /// The holder's host: in a pod, the pod's name.
    pub hostname: String,
    /// The holder's user.
    pub username: String,
    /// The holder's process id, in its own PID namespace.
    pub pid: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_restic_018_says() {
        let status = parse(
            r#"{"message_type":"status","seconds_elapsed":3,"percent_done":0.5,"total_files":10,"files_done":4,"total_bytes":100,"bytes_done":50,"current_files":["/a"]}"#,
        );
        let Message::Status(status) = status else {
            panic!("{status:?}")
        };
        assert_eq!((status.files_done, status.bytes_done), (4, 50));
        let restoring = parse(
            r#"{"message_type":"status","percent_done":1,"total_files":2,"files_restored":2,"total_bytes":2,"bytes_restored":2}"#,
        );
        assert!(matches!(restoring, Message::Status(s) if s.files_done == 2 && s.bytes_done == 2));
        let summary = parse(
            r#"{"message_type":"summary","files_new":1,"data_added":706,"data_added_packed":664,"total_files_processed":1,"total_bytes_processed":2,"total_duration":0.54,"backup_start":"2026-11-21T08:44:19.761930292Z","snapshot_id":"cbd5"}"#,
        );
        assert!(
            matches!(summary, Message::BackupSummary(s) if s.snapshot_id.as_deref() == Some("cbd5") && s.data_added_packed == 664 && s.backup_start.is_some())
        );
        let restored = parse(
            r#"{"message_type":"summary","total_files":2,"files_restored":2,"total_bytes":2,"bytes_restored":2}"#,
        );
        assert!(matches!(restored, Message::RestoreSummary(s) if s.files_restored == 2));
        let checked = parse(
            r#"{"message_type":"summary","num_errors":0,"broken_packs":null,"suggest_repair_index":false,"suggest_prune":true}"#,
        );
        assert!(matches!(checked, Message::CheckSummary(s) if s.suggest_prune));
        assert_eq!(
            parse(
                r#"{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}"#
            ),
            Message::ExitError(ExitError {
                code: 12,
                message: "Fatal: wrong password or no key found".into()
            })
        );
    }

    #[test]
    fn errors_of_files_name_the_file() {
        let error = parse(
            r#"{"message_type":"error","error":{"message":"open /d/x: permission denied"},"during":"archival","item":"/d/x"}"#,
        );
        assert!(
            matches!(&error, Message::Error(e) if e.item == "/d/x" && e.message.contains("permission denied"))
        );
        let old = parse(
            r#"{"message_type":"error","error":{"Op":"open","Path":"/d/x","Err":13},"during":"scan","item":""}"#,
        );
        assert!(matches!(&old, Message::Error(e) if e.item == "/d/x"), "{old:?}");
    }

    #[test]
    fn what_is_not_known_does_no_harm() {
        assert_eq!(
            parse(r#"{"message_type":"verbose_status","action":"new"}"#),
            Message::Unknown
        );
        assert_eq!(parse("{broken"), Message::Text("{broken".into()));
        assert_eq!(
            parse("loading indexes..."),
            Message::Text("loading indexes...".into())
        );
        assert_eq!(parse(""), Message::Text(String::new()));
    }
}
