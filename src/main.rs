//! Which role am I? The name this binary is called by decides; each role is a thin start over the library.
//!
//! - `kubectl-kubestash`: the kubectl plugin, for people.
//! - `kubestash`: the roles inside the cluster (operator, webhook, jobs, auth proxy).
//! - `kubestash-sandbox-init`: the first step of a container in the sandbox.
//! - `kubectl_complete-kubestash`: answers kubectl's own completion.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    kubestash::install_crypto_provider();
    let args: Vec<_> = std::env::args_os().collect();
    let name = args
        .first()
        .and_then(|a| Path::new(a).file_stem())
        .and_then(|s| s.to_str())
        .unwrap_or("");
    match name {
        "kubestash" => kubestash::role::run(args),
        #[cfg(target_os = "linux")]
        "kubestash-sandbox-init" => kubestash::sandbox::node::init::run(args),
        "kubectl_complete-kubestash" => kubestash::cli::complete::run(args),
        _ => kubestash::cli::run(args),
    }
}
