//! The controllers: fetch, decide, apply, status.
//!
//! [`run`] is the whole operator: it waits until the custom resources are served, starts what every replica serves
//! (probes, metrics, webhooks), becomes the leader, and then drives one controller per kind until it is told to stop.
//!
//! What it promises: a steady cluster sees neither a write nor a list from here (watches, and the leader's Lease, are all
//! there is); one broken object stops nobody else; every wait is bounded; SIGTERM ends it within [`STOP_WITHIN`].
//!
//! A controller is one file per kind: `reconcile` fetches facts, asks `decide`, writes through the [`applier::Applier`],
//! and sets status last. Adding one is one line in [`controllers`]; adding a server that every replica runs is one line
//! in [`services`].

pub mod applier;
#[cfg(unix)]
pub mod auth_proxy;
pub mod backup_configuration;
pub mod backup_session;
pub mod backup_storage;
pub mod claims;
pub mod context;
pub mod error;
pub mod events;
pub mod executor;
pub mod hooks;
pub mod leader;
mod listen;
pub mod lookup;
pub mod metrics;
pub mod object_metrics;
pub mod probes;
pub mod repository;
pub mod restore_session;
pub mod session;
pub mod signals;
pub mod snapshot;
pub mod storage_access;
pub mod storage_jobs;
pub mod watch;
pub mod webhook;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::Client;

pub use self::{context::Context, error::Error};

/// The longest the operator takes to end after SIGTERM: running reconciles get this long to finish.
pub const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The longest the operator waits at its start for the custom resources to be served.
const CRDS_WITHIN: Duration = Duration::from_secs(300);
/// The pauses between two looks grow from the first to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The custom resources that must be served before any controller starts.
const CRDS: &[&str] = &[
    "backupstorages.storage.kubestash.com",
    "repositories.storage.kubestash.com",
    "retentionpolicies.storage.kubestash.com",
    "snapshots.storage.kubestash.com",
    "backupconfigurations.core.kubestash.com",
    "backupsessions.core.kubestash.com",
    "restoresessions.core.kubestash.com",
    "hooktemplates.core.kubestash.com",
    "addons.addons.kubestash.com",
    "functions.addons.kubestash.com",
];

/// How the operator is told where and how to run. Every flag has an environment variable, so that a Deployment can
/// set either, and every port can be moved.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Port of the admission webhooks (HTTPS, all interfaces).
    #[arg(long, env = "KUBESTASH_LISTEN_WEBHOOK", default_value_t = 9443)]
    pub webhook_port: u16,
    /// Port of /healthz and /readyz (all interfaces).
    #[arg(long, env = "KUBESTASH_LISTEN_PROBES", default_value_t = 8081)]
    pub probe_port: u16,
    /// Port of /metrics (loopback only; the auth proxy serves it to others).
    #[arg(long, env = "KUBESTASH_LISTEN_METRICS", default_value_t = 8080)]
    pub metrics_port: u16,
    /// Namespace the operator runs in: its Lease, certificates and Services live there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "kubestash")]
    pub namespace: String,
    /// Name of the operator's own pod; empty outside a cluster.
    #[arg(long, env = "POD_NAME", default_value = "")]
    pub pod_name: String,
    /// The image that Jobs and CronJobs run.
    #[arg(long, env = "KUBESTASH_IMAGE", default_value = crate::IMAGE)]
    pub image: String,
    /// Become the leader through a Lease before controllers start.
    #[arg(long, env = "KUBESTASH_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// Serve the admission webhooks.
    #[arg(long, env = "KUBESTASH_WEBHOOKS", default_value_t = true, action = clap::ArgAction::Set)]
    pub webhooks: bool,
    /// How many objects of one kind are reconciled at the same time. Each takes milliseconds and memory.
    #[arg(long, env = "KUBESTASH_CONCURRENCY", default_value_t = 3)]
    pub concurrency: u16,
}

/// One line per controller: each future runs until the context's stop signal and returns when its reconciles are done.
fn controllers(ctx: &Arc<Context>) -> Vec<BoxFuture<'static, ()>> {
    let (signals, received) = signals::signals();
    let signals = Arc::new(signals);
    let (for_storages, for_repositories) = received.streams();
    let (repositories, cache) = repository::controller(ctx.clone(), signals.clone(), for_repositories);
    vec![
        Box::pin(backup_configuration::run(ctx.clone())),
        Box::pin(backup_session::run(ctx.clone())),
        Box::pin(repositories),
        Box::pin(backup_storage::run(
            ctx.clone(),
            signals.clone(),
            cache,
            for_storages,
        )),
        Box::pin(snapshot::run(ctx.clone(), signals)),
        Box::pin(restore_session::run(ctx.clone())),
        Box::pin(claims::run(ctx.clone())),
    ]
}

/// One line per server that every replica runs, leader or not.
fn services(ctx: &Arc<Context>) -> Vec<BoxFuture<'static, anyhow::Result<()>>> {
    vec![
        Box::pin(probes::serve(ctx.clone())),
        Box::pin(object_metrics::serve(ctx.clone())),
        Box::pin(webhook::serve(ctx.clone())),
    ]
}

/// Runs the operator with the ambient Kubernetes configuration until SIGTERM or SIGINT.
///
/// # Errors
/// When no cluster can be reached, the custom resources do not appear in time, a port is taken, or leadership is lost.
pub async fn run(options: Options) -> anyhow::Result<()> {
    crate::telemetry::start();
    let config = kube::Config::infer()
        .await
        .context("no Kubernetes configuration found: run inside a cluster or set KUBECONFIG")?;
    let client = Client::try_from(config).context("the Kubernetes configuration cannot be used")?;
    let ctx = Context::new(client, options);
    let stop = ctx.clone();
    tokio::spawn(async move {
        termination().await;
        tracing::info!("asked to stop");
        stop.stop();
    });
    run_with(ctx).await
}

/// Runs the operator with a given context until [`Context::stop`] is called. Tests start it here with a client of theirs.
///
/// # Errors
/// As [`run`].
pub async fn run_with(ctx: Arc<Context>) -> anyhow::Result<()> {
    let mut services: FuturesUnordered<_> = services(&ctx).into_iter().map(tokio::spawn).collect();
    let lead = lead(ctx.clone());
    tokio::pin!(lead);
    let result = tokio::select! {
        result = &mut lead => result,
        ended = services.next() => match ended {
            // A server that ends before the stop signal takes the operator with it: better restarted than half alive.
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(error).context("a server of the operator failed"),
            _ if ctx.stopping() => lead.await,
            _ => Err(anyhow::anyhow!("a server of the operator ended")),
        },
    };
    ctx.stop();
    let rest = async { while services.next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, rest).await.is_err() {
        tracing::warn!("servers did not end in time");
    }
    result
}

/// Waits for the custom resources, becomes the leader, runs the controllers, and gives leadership up again.
async fn lead(ctx: Arc<Context>) -> anyhow::Result<()> {
    tokio::select! {
        result = crds_served(&ctx.client) => result?,
        () = ctx.stopped() => return Ok(()),
    }
    ctx.ready.set("crds");
    let lease = if ctx.options.leader_election {
        let mut lease = leader::Lease::new(&ctx);
        tokio::select! {
            result = lease.acquire() => result?,
            () = ctx.stopped() => return Ok(()),
        }
        Some(lease)
    } else {
        None
    };
    ctx.metrics.leader(true);
    let mut running: FuturesUnordered<_> = controllers(&ctx).into_iter().map(tokio::spawn).collect();
    let all = async {
        while let Some(ended) = running.next().await {
            if let Err(error) = ended {
                return Err(anyhow::anyhow!("a controller failed: {error}"));
            }
        }
        // No controller is registered, or all have ended: there is nothing to do but to hold the lease until the stop.
        ctx.stopped().await;
        Ok(())
    };
    tokio::pin!(all);
    let Some(mut lease) = lease else {
        return tokio::select! {
            result = &mut all => result,
            () = overdue(&ctx) => Ok(()),
        };
    };
    let result = tokio::select! {
        result = &mut all => result,
        lost = lease.keep() => Err(lost),
        () = overdue(&ctx) => Ok(()),
    };
    ctx.metrics.leader(false);
    lease.release().await;
    result
}

/// Ends [`STOP_WITHIN`] after the stop signal.
async fn overdue(ctx: &Context) {
    ctx.stopped().await;
    tokio::time::sleep(STOP_WITHIN).await;
    tracing::warn!("reconciles did not end in time and are dropped; they resume at the next start");
}

/// Waits until every custom resource the controllers use is served. Discovery says so to everybody, in a few kilobytes;
/// the definitions themselves are megabytes that would stay in this process's memory.
async fn crds_served(client: &Client) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + CRDS_WITHIN;
    let mut pause = FIRST_LOOK;
    loop {
        let missing = match unserved(client).await {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => format!("not served: {}", missing.join(", ")),
            Err(error) => error.to_string(),
        };
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "the custom resources are not served after {CRDS_WITHIN:?} ({missing}): run `kubectl kubestash install`"
        );
        tracing::debug!(missing, "waiting for the custom resources");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

/// The custom resources that discovery does not show.
async fn unserved(client: &Client) -> Result<Vec<&'static str>, kube::Error> {
    let groups: std::collections::BTreeSet<&str> =
        CRDS.iter().filter_map(|c| Some(c.split_once('.')?.1)).collect();
    let mut served = std::collections::BTreeSet::new();
    for group in groups {
        match client
            .list_api_group_resources(&format!("{group}/v1alpha1"))
            .await
        {
            Ok(list) => served.extend(list.resources.into_iter().map(|r| format!("{}.{group}", r.name))),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(CRDS.iter().copied().filter(|c| !served.contains(*c)).collect())
}

/// Ends at the first SIGTERM or SIGINT.
async fn termination() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
