//! The admission webhooks: an HTTPS server that asks [`crate::decide::admission`] and nothing else.
//!
//! What it promises: it makes its own certificates and renews them long before they end; all replicas serve the same
//! authority, agreed on through one Secret; a new certificate is taken up without a restart; and the webhook
//! configurations always trust what is served. Every replica runs it, leader or not. It is ready once a caller that
//! trusts the webhook configurations can reach it.
//!
//! Needs, besides reading what the rules compare with: Secrets of its own namespace (get, list, watch, create, update)
//! and the two webhook configurations named [`NAME`] (get, list, watch, patch).

mod certificate;
pub mod facts;
mod review;
mod server;
mod trust;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    core::v1::Secret,
};
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};

use super::{Context, listen};

/// Name of the two webhook configurations.
pub const NAME: &str = "kubestash";
/// Name of the Service that leads to the server.
pub const SERVICE: &str = "kubestash-webhook";
/// Name of the Secret that holds authority and certificate.
pub const SECRET: &str = "kubestash-webhook-certificate";

const GATE: &str = "webhook";
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often the certificate's age is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Serves the webhooks until the context stops.
///
/// # Errors
/// When the port cannot be bound.
pub fn serve(ctx: Arc<Context>) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
    if ctx.options.webhooks {
        ctx.ready.expect(GATE);
    }
    async move {
        if !ctx.options.webhooks {
            ctx.stopped().await;
            return Ok(());
        }
        let listener = listen::everywhere(ctx.options.webhook_port, "--webhook-port").await?;
        let served = Arc::new(server::Served::default());
        tokio::select! {
            () = server::run(listener, served.clone(), ctx.clone()) => {}
            () = keep_trusted(&ctx, &served) => {}
        }
        Ok(())
    }
}

/// Keeps certificate, server and webhook configurations in step: at the start, whenever one of them changes, and when
/// the certificate grows old. Ends when the context stops.
async fn keep_trusted(ctx: &Arc<Context>, served: &server::Served) {
    let mut changes = changes(ctx);
    let mut retry = FIRST_RETRY;
    loop {
        let wait = match trust::ensure(ctx, served, Timestamp::now()).await {
            Ok(()) => {
                ctx.ready.set(GATE);
                retry = FIRST_RETRY;
                LOOK_EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "the webhooks' certificate is not in place; trying again");
                let wait = retry;
                retry = (retry * 2).min(LONGEST_RETRY);
                wait
            }
        };
        tokio::select! {
            () = ctx.stopped() => return,
            () = tokio::time::sleep(wait) => {}
            // The stream never ends; were it to, the timer would still look.
            Some(()) = changes.next() => {}
        }
    }
}

/// One item whenever the Secret or one of the webhook configurations changes.
fn changes(ctx: &Context) -> Pin<Box<dyn Stream<Item = ()> + Send>> {
    let one = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let client = ctx.client.clone();
    let secrets = watcher(
        Api::<Secret>::namespaced(client.clone(), &ctx.options.namespace),
        one(SECRET),
    )
    .default_backoff()
    .touched_objects()
    .filter_map(|event| async move { event.ok().map(|_| ()) });
    let validating = watcher(
        Api::<ValidatingWebhookConfiguration>::all(client.clone()),
        one(NAME),
    )
    .default_backoff()
    .touched_objects()
    .filter_map(|event| async move { event.ok().map(|_| ()) });
    let mutating = watcher(Api::<MutatingWebhookConfiguration>::all(client), one(NAME))
        .default_backoff()
        .touched_objects()
        .filter_map(|event| async move { event.ok().map(|_| ()) });
    Box::pin(stream::select(
        Box::pin(secrets),
        stream::select(Box::pin(validating), Box::pin(mutating)),
    ))
}
