//! The custom resources: types only, one kind per file.

pub mod config;
