//! Logging for the cluster roles: structured lines on stderr, secrets never among them.

use tracing_subscriber::EnvFilter;

/// Starts logging for the process: JSON lines on stderr, filtered by `RUST_LOG` (default: `info`, and of the Kubernetes
/// libraries only warnings). Later calls change nothing.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(
            "info,kube=warn,kubestash=info,kube_client=warn,kube_runtime=warn,hyper=warn,tower=warn",
        )
    });
    // An error only says that a subscriber is set already, which is what is wanted.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .try_init();
}
