//! The typed driver of the restic program.
