//! The one place that knows storage providers.
//!
//! A [`Storage`] is `spec.storage` of a BackupStorage with the values of its Secret. From it come the two ways to its
//! content: the environment and arguments that restic needs ([`environment`], pure), and [`Documents`], a small bounded
//! client for the YAML documents beside the data ([`store`], [`documents`]). The mover, the operator and the reader
//! call it. It promises that every call ends within a bound, that failures are told apart in words for people
//! ([`error`]), and that no error, log line or `Debug` output ever shows a secret.

mod bucket;
pub mod documents;
pub mod environment;
pub mod error;
pub mod secret;
mod sound;
mod storage;
pub mod store;

pub use documents::{Documents, Entry};
pub use environment::ResticEnvironment;
pub use error::{BackendError, Problem};
pub use secret::{SecretText, SecretValues};
pub use storage::{Storage, join};
