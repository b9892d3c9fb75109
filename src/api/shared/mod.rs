//! Types used by several kinds.

mod addon_info;
mod condition;
mod duration;
mod free_object;
mod handler;
mod hook;
mod parameter;
mod pod_template;
mod reference;
mod runtime_settings;
mod scheduler;
mod usage_policy;
mod volume_claim;
mod volume_source;

pub use addon_info::{AddonInfo, AddonVolume, TargetVolumes, TaskReference};
pub use condition::{Condition, ConditionSeverity, ConditionStatus};
pub use duration::{Duration, ParseDurationError};
pub use free_object::FreeObject;
pub(crate) use free_object::preserve_object;
pub use handler::{FormEntry, Handler, HttpPostAction};
pub use hook::{HookExecution, HookExecutionPhase, HookExecutionPolicy, HookInfo, HookStatus};
pub use parameter::ParameterDefinition;
pub use pod_template::{ObjectMetadata, PodTemplateSpec, PodTemplateSpecSpec};
pub use reference::{DependencyReference, ObjectReference, TypedLocalObjectReference, TypedObjectReference};
pub use runtime_settings::{
    ContainerRuntimeSettings, IoNiceSettings, NiceSettings, PodRuntimeSettings, RuntimeSettings,
};
pub(crate) use scheduler::one;
pub use scheduler::{ConcurrencyPolicy, JobTemplate, RetryConfig, Scheduler};
pub use usage_policy::{AllowedNamespaces, NamespaceSource, UsagePolicy};
pub use volume_claim::{PartialObjectMeta, PersistentVolumeClaim, VolumeClaimTemplate};
pub use volume_source::VolumeSource;

/// A word outside a closed set, e.g. a phase nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{word}\" is not a {what}")]
pub struct UnknownWord {
    /// The type that was asked for.
    pub what: &'static str,
    /// What was found.
    pub word: String,
}

/// For `skip_serializing_if`: flags that are off are not written.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

/// For `skip_serializing_if`: counts of zero are not written.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) fn is_zero(count: &i32) -> bool {
    *count == 0
}
