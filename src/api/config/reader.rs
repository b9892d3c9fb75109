//! How a person's plugin asks the operator for a reader, and what it is told.
//!
//! A reader is a short-lived Job beside a Repository in which restic can be run over exec. The plugin writes a
//! [`ReaderRequest`] into the annotation [`REQUEST_ANNOTATION`] of the Repository; the operator, which alone reads the
//! Secrets, makes the Job, takes the request away and leaves a [`ReaderAnswer`] in [`ANSWER_ANNOTATION`]. So whoever asks
//! needs the right to patch the Repository and to exec into pods beside it, and no right to any Secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Annotation on a Repository: a [`ReaderRequest`] as JSON, until the operator has taken it.
pub const REQUEST_ANNOTATION: &str = "kubestash.com/reader-request";
/// Annotation on a Repository: the newest [`ReaderAnswer`] as JSON.
pub const ANSWER_ANNOTATION: &str = "kubestash.com/reader";
/// Annotation on a Repository: a [`LiveRequest`] as JSON, until the operator has taken it.
pub const LIVE_REQUEST_ANNOTATION: &str = "kubestash.com/live-request";
/// Annotation on a Repository: the newest answer to a [`LiveRequest`], a [`ReaderAnswer`] as JSON.
pub const LIVE_ANSWER_ANNOTATION: &str = "kubestash.com/live";
/// The container of a reader's pod.
pub const CONTAINER: &str = "reader-0";
/// How long a reader lives unless more is asked for, in seconds.
pub const LIVES: u32 = 15 * 60;
/// The longest life that can be asked for, in seconds: for large downloads.
pub const LIVES_AT_MOST: u32 = 24 * 3600;
/// A reader that nobody used for so long ends by itself, in seconds.
pub const IDLE: u64 = 5 * 60;
/// And a pod that shows a volume.
pub const LIVE_IDLE: u64 = 60;
/// A request older than this is not answered any more, in seconds: whoever asked has given up.
pub const STALE: i64 = 15 * 60;

/// What the plugin asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderRequest {
    /// Lower-case letters and digits, unique; part of the Job's name.
    pub id: String,
    /// When it was asked for, by the clock of whoever asks.
    pub at: Option<Timestamp>,
    /// How long the reader is to live, in seconds.
    pub seconds: u32,
}

/// What the plugin asks for to compare a Snapshot with what it is of: a pod that mounts the volumes of one component,
/// read-only, as they are now. Only what a Snapshot of this Repository is of can be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveRequest {
    /// Id, time and life, as of a reader.
    #[serde(flatten)]
    pub request: ReaderRequest,
    /// The Snapshot.
    pub snapshot: String,
    /// Its component.
    pub component: String,
}

/// What the operator answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderAnswer {
    /// The request that this answers.
    pub id: String,
    /// Namespace of the Job.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name of the Job; empty when there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// When Kubernetes ends it, by the operator's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why there is none: a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}
