//! The typed driver of the restic program (≥ 0.18).
//!
//! [`command`] builds argument vectors and [`messages`] reads restic's JSON lines, both pure; [`run`] starts the process
//! with a deadline of ours and hands the messages over as they come; [`errors`] tells its failures apart and says them in
//! words for people; [`locks`] keeps rule 4 (a lock goes only when its holder is proven gone); [`repository`] puts them
//! together into the few operations that the mover and the reader need. Nothing of restic's format is re-implemented.

pub mod command;
pub mod errors;
pub mod locks;
pub mod look;
pub mod messages;
pub mod program;
pub mod redact;
pub mod repository;
pub mod run;

pub use command::{Command, Invocation};
pub use errors::{Cause, ResticError};
pub use program::Program;
pub use redact::Redactor;
pub use repository::Repository;
pub use run::{Limits, Outcome};
