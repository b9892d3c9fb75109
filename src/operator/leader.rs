//! Leadership by a `coordination.k8s.io` Lease: one operator acts, the others wait.
//!
//! The identity of a holder is its pod's name, so a container restarted in place resumes at once. A holder whose pod is
//! proven gone through the API is replaced at once; any other only after it has not renewed for the Lease's duration,
//! measured on our own clock from the last change seen. Losing the Lease ends the process; SIGTERM gives it back.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::{Lease as KubeLease, LeaseSpec},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, api::PostParams};

use super::Context;

/// The Lease's name, the original's election id.
pub const LEASE_NAME: &str = "cba9d7ad.kubestash.com";
/// How long a silent holder keeps the Lease.
const DURATION: Duration = Duration::from_secs(30);
/// How often the holder renews.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How often a candidate looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Our side of the Lease.
pub struct Lease {
    leases: Api<KubeLease>,
    pods: Api<Pod>,
    identity: String,
    held: Option<KubeLease>,
}

impl Lease {
    /// A candidate that holds nothing yet.
    #[must_use]
    pub fn new(ctx: &Context) -> Self {
        let namespace = &ctx.options.namespace;
        let identity = if ctx.options.pod_name.is_empty() {
            format!(
                "process-{}-{}",
                std::process::id(),
                Timestamp::now().as_nanosecond()
            )
        } else {
            ctx.options.pod_name.clone()
        };
        Self {
            leases: Api::namespaced(ctx.client.clone(), namespace),
            pods: Api::namespaced(ctx.client.clone(), namespace),
            identity,
            held: None,
        }
    }

    /// Waits, without bound, until we hold the Lease: being a spare is what the other replicas are for.
    ///
    /// # Errors
    /// When the API server forbids Leases; a passing failure is retried.
    pub async fn acquire(&mut self) -> anyhow::Result<()> {
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => {
                    tracing::info!(identity = %self.identity, "leading");
                    return Ok(());
                }
                Ok(false) => {}
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Err(kube::Error::Api(status)).context("leader election is not allowed");
                }
                Err(error) => tracing::warn!(%error, "leader election"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn try_acquire(&mut self, seen: &mut Option<(Option<String>, Instant)>) -> kube::Result<bool> {
        let Some(current) = self.leases.get_opt(LEASE_NAME).await? else {
            let lease = self.claim(None);
            return match self.leases.create(&PostParams::default(), &lease).await {
                Ok(created) => {
                    self.held = Some(created);
                    Ok(true)
                }
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
                Err(error) => Err(error),
            };
        };
        let version = current.metadata.resource_version.clone();
        if seen.as_ref().is_none_or(|(known, _)| *known != version) {
            *seen = Some((version, Instant::now()));
        }
        let silent = seen.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        if !self.free(&current, silent).await? {
            return Ok(false);
        }
        let lease = self.claim(Some(&current));
        match self
            .leases
            .replace(LEASE_NAME, &PostParams::default(), &lease)
            .await
        {
            Ok(replaced) => {
                self.held = Some(replaced);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn free(&self, lease: &KubeLease, silent: Duration) -> kube::Result<bool> {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let duration = spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok())
            .map_or(DURATION, Duration::from_secs);
        if holder.is_empty() || holder == self.identity || silent > duration {
            return Ok(true);
        }
        // Identities of processes outside a cluster are no pod names; those can only time out.
        if holder.starts_with("process-") {
            return Ok(false);
        }
        Ok(self.pods.get_opt(&holder).await?.is_none())
    }

    /// The Lease as it looks when we hold it.
    fn claim(&self, current: Option<&KubeLease>) -> KubeLease {
        let now = Some(MicroTime(Timestamp::now()));
        let mut lease = current.cloned().unwrap_or_default();
        lease.metadata.name = Some(LEASE_NAME.to_owned());
        lease.metadata.managed_fields = None;
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
            spec.acquire_time.clone_from(&now);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = now;
        lease
    }

    /// Renews until the Lease is lost and says why. Never returns while it is held.
    pub async fn keep(&mut self) -> anyhow::Error {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let Some(current) = &self.held else {
                return anyhow::anyhow!("the Lease {LEASE_NAME} is not held");
            };
            let lease = self.claim(Some(current));
            match self
                .leases
                .replace(LEASE_NAME, &PostParams::default(), &lease)
                .await
            {
                Ok(lease) => {
                    self.held = Some(lease);
                    renewed = Instant::now();
                }
                Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {
                    // Another writer: it may be an edit by a person. Only another holder means that we lost.
                    match self.reread().await {
                        Ok(true) => continue,
                        Ok(false) => return anyhow::anyhow!("another operator leads now"),
                        Err(error) => tracing::warn!(%error, "the Lease cannot be read"),
                    }
                }
                Err(error) => tracing::warn!(%error, "the Lease is not renewed"),
            }
            if renewed.elapsed() >= DURATION {
                return anyhow::anyhow!("the Lease {LEASE_NAME} could not be renewed for {DURATION:?}");
            }
        }
    }

    /// Reads the Lease again; true when it is still (or again) ours or gone.
    async fn reread(&mut self) -> kube::Result<bool> {
        match self.leases.get_opt(LEASE_NAME).await? {
            Some(lease) => {
                let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.clone());
                let ours = holder.as_deref() == Some(&*self.identity);
                self.held = Some(lease);
                Ok(ours)
            }
            None => {
                let lease = self
                    .leases
                    .create(&PostParams::default(), &self.claim(None))
                    .await?;
                self.held = Some(lease);
                Ok(true)
            }
        }
    }

    /// Gives the Lease back so that the next operator need not wait. Failing to is only a delay for it.
    pub async fn release(&mut self) {
        let Some(mut lease) = self.held.take() else { return };
        lease.metadata.managed_fields = None;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        let params = PostParams::default();
        let replace = self.leases.replace(LEASE_NAME, &params, &lease);
        match tokio::time::timeout(Duration::from_secs(3), replace).await {
            Ok(Ok(_)) => tracing::info!("leadership given back"),
            Ok(Err(error)) => tracing::debug!(%error, "leadership not given back"),
            Err(_) => tracing::debug!("leadership not given back in time"),
        }
    }
}
