//! When a session runs by itself, and how often a failed one is tried again.

use super::{Duration, PodTemplateSpec, is_false};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

string_enum! {
    /// What to do when a run is due while the last one has not ended, as in a CronJob.
    pub enum ConcurrencyPolicy {
        /// Run both.
        Allow,
        /// Leave the new one out.
        Forbid,
        /// End the old one.
        Replace,
    }
}

/// A schedule and the Job that triggers the session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scheduler {
    /// Cron expression with five fields, or `@hourly` and the like.
    #[schemars(extend("minLength" = 1))]
    pub schedule: String,
    /// The Job that triggers the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<JobTemplate>,
    /// How late a missed run may still start, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline_seconds: Option<i64>,
    /// Allow, Forbid or Replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// Whether no more runs are triggered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// How many finished trigger Jobs that succeeded are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successful_jobs_history_limit: Option<i32>,
    /// How many finished trigger Jobs that failed are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_jobs_history_limit: Option<i32>,
}

/// The Job that triggers a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplate {
    /// As in a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i32>,
    /// As in a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<i32>,
    /// Limit for the Job in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i64>,
    /// How often a failed pod is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_limit: Option<i32>,
    /// How long the finished Job is kept, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<i32>,
    /// As in a Job: NonIndexed or Indexed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_mode: Option<String>,
    /// Whether the Job is created suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// The pod of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplateSpec>,
}

/// How often a failed session is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryConfig {
    /// How often; 1 by default.
    #[serde(default = "one")]
    #[schemars(extend("minimum" = 1))]
    pub max_retry: i32,
    /// How long to wait before each new try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retry: one(),
            delay: None,
        }
    }
}

/// The default of several counts.
pub(crate) fn one() -> i32 {
    1
}
