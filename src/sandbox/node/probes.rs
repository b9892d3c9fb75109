//! Startup, readiness and liveness probes of a running container.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::time::{Instant, sleep};

use super::cell::PodCell;
use super::{exec, handlers};

/// Until a probe has succeeded once it is asked this often, so that nobody waits a whole period for a pod that is
/// ready. Failures still count only once per period.
const IMPATIENT: Duration = Duration::from_millis(300);

/// A container must be ended because a probe failed.
pub(crate) struct Failure {
    pub(crate) message: String,
    /// The probe's own grace period.
    pub(crate) grace: Option<Duration>,
}

struct Settings {
    delay: Duration,
    period: Duration,
    bound: Duration,
    failures: u32,
    successes: u32,
}

impl Settings {
    fn of(probe: &Probe) -> Self {
        let number = |value: Option<i32>, default: u32| {
            value
                .and_then(|v| u32::try_from(v).ok())
                .filter(|v| *v > 0)
                .unwrap_or(default)
        };
        let seconds =
            |value: Option<i32>, default: u32| Duration::from_secs(u64::from(number(value, default)));
        Self {
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            bound: seconds(probe.timeout_seconds, 1),
            failures: number(probe.failure_threshold, 3),
            successes: number(probe.success_threshold, 1),
        }
    }
}

/// Watches over a container that just started; returns when it must be ended.
pub(crate) async fn watch(cell: &Arc<PodCell>, container: &Container) -> Failure {
    if let Some(probe) = &container.startup_probe
        && let Some(failure) = until(cell, container, probe, "Startup", true).await
    {
        return failure;
    }
    let ready = container.readiness_probe.is_none();
    cell.change(&container.name, |c| {
        c.started = true;
        c.ready = ready;
    });
    tokio::select! {
        () = readiness(cell, container) => std::future::pending().await,
        failure = liveness(cell, container) => failure,
    }
}

async fn readiness(cell: &Arc<PodCell>, container: &Container) {
    let Some(probe) = &container.readiness_probe else {
        return std::future::pending().await;
    };
    loop {
        until(cell, container, probe, "Readiness", true).await;
        // Failed at first, then succeeded, then failed: each turn of the loop is one change.
        if cell
            .state()
            .containers
            .get(&container.name)
            .is_some_and(|c| c.ready)
        {
            until(cell, container, probe, "Readiness", false).await;
            cell.change(&container.name, |c| c.ready = false);
        }
    }
}

async fn liveness(cell: &Arc<PodCell>, container: &Container) -> Failure {
    let Some(probe) = &container.liveness_probe else {
        return std::future::pending().await;
    };
    loop {
        if let Some(failure) = until(cell, container, probe, "Liveness", false).await {
            return failure;
        }
    }
}

/// Asks again and again: until the success threshold when `wanted`, else until the failure threshold. A startup
/// probe that fails too often ends the wait as well. Readiness never fails: it only waits.
async fn until(
    cell: &Arc<PodCell>,
    container: &Container,
    probe: &Probe,
    kind: &str,
    wanted: bool,
) -> Option<Failure> {
    let settings = Settings::of(probe);
    let (mut failures, mut successes) = (0, 0);
    if wanted || kind == "Liveness" {
        sleep(settings.delay).await;
    }
    let mut counted: Option<Instant> = None;
    loop {
        match ask(cell, container, probe, settings.bound).await {
            Ok(()) => {
                failures = 0;
                successes += 1;
                if wanted && successes >= settings.successes {
                    if kind == "Readiness" {
                        cell.change(&container.name, |c| c.ready = true);
                    }
                    return None;
                }
            }
            Err(message) => {
                successes = 0;
                let due = counted.is_none_or(|at| at.elapsed() >= settings.period);
                if due {
                    counted = Some(Instant::now());
                    failures += 1;
                    let text = format!("{kind} probe failed: {message}");
                    cell.node
                        .events
                        .warning(cell, Some(&container.name), "Unhealthy", &text)
                        .await;
                }
                if failures >= settings.failures && !(wanted && kind == "Readiness") {
                    let message = format!(
                        "Container {} failed {} probe",
                        container.name,
                        kind.to_lowercase()
                    );
                    let grace = probe
                        .termination_grace_period_seconds
                        .and_then(|g| u64::try_from(g).ok());
                    return Some(Failure {
                        message,
                        grace: grace.map(Duration::from_secs),
                    });
                }
            }
        }
        sleep(if wanted {
            IMPATIENT.min(settings.period)
        } else {
            settings.period
        })
        .await;
    }
}

async fn ask(
    cell: &Arc<PodCell>,
    container: &Container,
    probe: &Probe,
    bound: Duration,
) -> Result<(), String> {
    if let Some(action) = &probe.exec {
        return exec::check(
            cell,
            &container.name,
            action.command.clone().unwrap_or_default(),
            bound,
        )
        .await;
    }
    if let Some(action) = &probe.http_get {
        return handlers::http(&cell.pod(), container, action, bound).await;
    }
    if let Some(action) = &probe.tcp_socket {
        return handlers::tcp(
            &handlers::host(&cell.pod(), action.host.as_deref()),
            handlers::port(container, &action.port)?,
            bound,
        )
        .await;
    }
    Err("gRPC probes are not offered by the sandbox's node".to_owned())
}
