//! `addons.kubestash.com/v1alpha1`: what the operator knows how to back up, and how.

mod addon;
mod function;

pub use addon::{Addon, AddonSpec, Task, TaskExecutor, VolumeTemplate};
pub use function::{Function, FunctionSpec};

/// The API group of the kinds in this module.
pub const GROUP: &str = "addons.kubestash.com";
