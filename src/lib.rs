//! The map of the code base.
//!
//! One binary, many roles: it is the kubectl plugin people type, the operator and webhooks it installs, and the
//! data mover inside the Jobs. The rooms and what each promises:
//!
//! - [`api`]: the custom resources, types only. It knows nobody.
//! - [`decide`]: pure decisions. Values in, values out: no client, no clock, no files.
//! - [`restic`]: the typed driver of the restic program; [`backend`]: the one place that knows storage providers.
//! - [`operator`]: controllers; each is fetch → decide → apply → status, and one `Applier` writes.
//! - [`mover`]: what runs inside Jobs; [`reader`]: looking into repositories on behalf of the CLI.
//! - [`cluster`]: the CLI's only door to Kubernetes; [`cli`]: one file per command; [`output`]: the only printer.
//! - [`wizard`]: questions to answers to manifests.
//! - [`sandbox`]: a small Kubernetes in this program that knows none of the product's kinds.
//!
//! Dependencies point one way, and `tests/architecture.rs` holds them to it:
//! `api ← decide ← operator | mover | cli | reader`.

pub mod api;
pub mod backend;
pub mod cli;
pub mod cluster;
pub mod decide;
pub mod mover;
pub mod operator;
pub mod output;
pub mod reader;
pub mod restic;
pub mod role;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod telemetry;
pub mod wizard;
pub mod yaml;

/// The image of this program that manifests, Jobs and CronJobs name unless told otherwise (`install --image`,
/// environment `KUBESTASH_IMAGE` of the operator).
pub const IMAGE: &str = concat!(
    "ghcr.io/kubestash-open/kubectl-kubestash:",
    env!("CARGO_PKG_VERSION")
);

/// Installs rustls' crypto provider (ring) for the process. Later calls change nothing.
pub fn install_crypto_provider() {
    // An error only says that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
