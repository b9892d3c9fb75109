//! `/healthz` and `/readyz` for the kubelet.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::{Context, listen};

/// Serves the probes on all interfaces until the context stops.
///
/// # Errors
/// When the port cannot be bound.
pub async fn serve(ctx: Arc<Context>) -> anyhow::Result<()> {
    let listener = listen::everywhere(ctx.options.probe_port, "--probe-port").await?;
    let stopped = ctx.stopped();
    axum::serve(listener, router(ctx))
        .with_graceful_shutdown(stopped)
        .await
        .context("the probes' server failed")
}

fn router(ctx: Arc<Context>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .with_state(ctx)
}

async fn ready(State(ctx): State<Arc<Context>>) -> (StatusCode, String) {
    let missing = ctx.ready.missing();
    if missing.is_empty() && !ctx.stopping() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {}", missing.join(", ")),
        )
    }
}
