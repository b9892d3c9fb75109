//! The one integration binary: architecture, conformance, sandbox, operator, CLI and end-to-end tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod architecture;
#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
use cli::documents;
mod conformance;
#[cfg(target_os = "linux")]
mod e2e;
#[cfg(target_os = "linux")]
mod mover;
#[cfg(target_os = "linux")]
mod operator;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod session;
