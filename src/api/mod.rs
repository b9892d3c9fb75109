//! The custom resources: types only, one kind per file.
//!
//! Field names and meanings are those of KubeStash's published `v1alpha1` API, so that objects written for it are read
//! and written unchanged. How absence is spelled in Rust:
//!
//! - a name, path or flag whose empty value means "not given" is a plain `String` or `bool` (absent = empty, and empty
//!   is not written);
//! - a field with a default in the CRD is its plain type and reads as the default;
//! - everything else that may be absent is an `Option`, a `Vec` or a map.
//!
//! Use [`crds`] (not `T::crd()`) for the definitions to install: it adds what the derive cannot express.

#![allow(
    clippy::duplicated_attributes,
    reason = "printcolumn entries of one kind share types and paths"
)]

#[macro_use]
mod macros;

pub mod addons;
pub mod conditions;
pub mod config;
pub mod core;
pub mod crds;
pub mod labels;
pub mod shared;
pub mod storage;
