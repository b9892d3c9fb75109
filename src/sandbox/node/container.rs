//! One container's life: prepared, started, watched, ended, started again where its policy says so.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::cell::{Doing, Ended, PodCell, Stop};
use super::handlers;
use super::launch::{NotReady, Prepared, prepare};
use super::log::{LogFile, ROTATE_AT, rotated};
use super::log_reader;
use super::probes;
use super::process::Process;
use super::volumes::Mounted;

/// The first wait before a container is started again; doubled each time.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_LIMIT: Duration = Duration::from_secs(300);

/// A container that ran this long starts the back-off anew.
const STEADY: Duration = Duration::from_secs(600);

/// The first wait after a container could not be prepared; doubled each time.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_LIMIT: Duration = Duration::from_secs(15);

/// The kernel needs this long at most to end a killed container.
const KILL_BOUND: Duration = Duration::from_secs(10);

/// Hooks after the start may take as long as they like on a cluster; here there is a bound.
const POST_START_BOUND: Duration = Duration::from_secs(600);

const LAST_WORDS: usize = 4096;
const LAST_LOG_BYTES: usize = 2048;
const LAST_LOG_LINES: usize = 80;

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    OnFailure,
    Never,
}

impl Policy {
    pub(crate) fn of(text: Option<&str>) -> Self {
        match text {
            Some("OnFailure") => Self::OnFailure,
            Some("Never") => Self::Never,
            _ => Self::Always,
        }
    }

    fn again(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// Keeps a container running as its policy says; returns when it ended for good or the pod is stopped.
pub(crate) async fn supervise(
    cell: Arc<PodCell>,
    container: Container,
    policy: Policy,
    volumes: Arc<Vec<Mounted>>,
) {
    // What has ended before it was ever started here ended with an earlier sandbox, and starts again at once.
    let earlier = cell
        .state()
        .containers
        .get(&container.name)
        .is_some_and(|c| matches!(c.doing, Doing::Ended(_)));
    let mut wait = if earlier { Duration::ZERO } else { BACK_OFF };
    loop {
        let ended = match &cell
            .state()
            .containers
            .get(&container.name)
            .map(|c| c.doing.clone())
        {
            Some(Doing::Ended(e)) => Some(e.clone()),
            _ => None,
        };
        if let Some(ended) = ended {
            if cell.stop.borrow().is_some() {
                return;
            }
            if !policy.again(ended.code) || !back_off(&cell, &container, ended, wait).await {
                return;
            }
            wait = (wait * 2).clamp(BACK_OFF, BACK_OFF_LIMIT);
        }
        let Some(prepared) = until_prepared(&cell, &container, &volumes).await else {
            return;
        };
        let since = Instant::now();
        let ended = run(&cell, &container, prepared).await;
        if since.elapsed() >= STEADY {
            wait = BACK_OFF;
        }
        cell.change(&container.name, |c| {
            c.doing = Doing::Ended(ended);
            c.ready = false;
            c.started = false;
            c.process = None;
            c.identity = None;
        });
    }
}

/// Resolves when the pod is to stop.
pub(crate) async fn stopped(cell: &PodCell) -> Stop {
    let mut stop = cell.stop.subscribe();
    // The sender lives in the cell, which is borrowed here.
    let found = stop.wait_for(Option::is_some).await.ok().and_then(|s| *s);
    match found {
        Some(stop) => stop,
        None => std::future::pending().await,
    }
}

/// Waits before the next start; `false` when the pod stops meanwhile.
async fn back_off(cell: &Arc<PodCell>, container: &Container, ended: Ended, wait: Duration) -> bool {
    let name = &container.name;
    let message = format!(
        "back-off {} s restarting failed container={name} pod={}_{}",
        wait.as_secs(),
        cell.name,
        cell.namespace
    );
    if !wait.is_zero() {
        cell.change(name, |c| {
            c.doing = Doing::Waiting {
                reason: "CrashLoopBackOff".to_owned(),
                message: Some(message),
            };
            c.last = Some(ended.clone());
        });
        let text = format!("Back-off restarting failed container {name} in pod {}", cell.name);
        cell.node.events.warning(cell, Some(name), "BackOff", &text).await;
    }
    let goes_on = tokio::select! {
        biased;
        _ = stopped(cell) => false,
        () = sleep(wait) => true,
    };
    cell.change(name, |c| {
        c.last = Some(ended.clone());
        if goes_on {
            c.restarts += 1;
        } else {
            c.doing = Doing::Ended(ended);
        }
    });
    goes_on
}

/// Prepares the container, again and again until it can be done; `None` when the pod stops meanwhile.
async fn until_prepared(cell: &Arc<PodCell>, container: &Container, volumes: &[Mounted]) -> Option<Prepared> {
    let mut wait = RETRY;
    let mut pulled_before = false;
    loop {
        let attempt = cell
            .state()
            .containers
            .get(&container.name)
            .map_or(0, |c| c.restarts);
        let not_ready = tokio::select! {
            biased;
            _ = stopped(cell) => return None,
            prepared = prepare(cell, container, volumes, attempt) => match prepared {
                Ok(prepared) => return Some(prepared),
                Err(e) => e,
            },
        };
        let reason = match (not_ready.reason, pulled_before) {
            (NotReady::PULL, true) => "ImagePullBackOff",
            (reason, _) => reason,
        };
        pulled_before = not_ready.reason == NotReady::PULL;
        cell.change(&container.name, |c| {
            c.doing = Doing::Waiting {
                reason: reason.to_owned(),
                message: Some(not_ready.message.clone()),
            };
        });
        let (event, text) = match reason {
            "ImagePullBackOff" => (
                "BackOff",
                format!("Back-off pulling image: {}", not_ready.message),
            ),
            NotReady::PULL => ("Failed", not_ready.message.clone()),
            _ => ("Failed", format!("Error: {}", not_ready.message)),
        };
        cell.node
            .events
            .warning(cell, Some(&container.name), event, &text)
            .await;
        tokio::select! {
            biased;
            _ = stopped(cell) => return None,
            () = sleep(wait) => {}
        }
        wait = (wait * 2).min(RETRY_LIMIT);
    }
}

/// One instance from start to end.
async fn run(cell: &Arc<PodCell>, container: &Container, prepared: Prepared) -> Ended {
    let name = &container.name;
    let attempt = cell.state().containers.get(name).map_or(0, |c| c.restarts);
    let id = format!("sandbox://{}/{name}/{attempt}", cell.uid);
    let path = cell.log_path(name, attempt);
    // Only the previous instance's log is kept.
    for old in [
        cell.log_path(name, attempt - 2),
        rotated(&cell.log_path(name, attempt - 2)),
    ] {
        let _ = std::fs::remove_file(old);
    }
    let failed = |message: String, code: i32| Ended {
        code,
        signal: None,
        reason: "StartError".to_owned(),
        message: Some(message),
        started: None,
        finished: Timestamp::now(),
        id: id.clone(),
    };
    let log = match LogFile::create(&path, ROTATE_AT) {
        Ok(log) => Arc::new(log),
        Err(e) => return failed(format!("cannot write the log {}: {e}", path.display()), 128),
    };
    let spec_file = prepared.dir.join("container.json");
    let process = match cell
        .node
        .launcher
        .start(&prepared.spec, &spec_file, Arc::clone(&log))
        .await
    {
        Ok(process) => Arc::new(process),
        Err(e) => {
            let text = format!("Error: {e}");
            cell.node.events.warning(cell, Some(name), "Failed", &text).await;
            return failed(e.message, e.code);
        }
    };
    let since = Timestamp::now();
    cell.change(name, |c| {
        c.doing = Doing::Running {
            since,
            id: id.clone(),
        };
        c.process = Some(Arc::clone(&process));
        c.log = Some(log);
        c.identity = Some(prepared.spec.process.clone());
    });
    tell_of_start(cell, container, &process).await;
    let exit = until_end(cell, container, &process).await;
    let message = last_words(&prepared.termination, container, &path, exit.code).await;
    Ended {
        code: exit.code,
        signal: exit.signal,
        reason: if exit.code == 0 { "Completed" } else { "Error" }.to_owned(),
        message,
        started: Some(since),
        finished: Timestamp::now(),
        id,
    }
}

async fn tell_of_start(cell: &PodCell, container: &Container, process: &Process) {
    let events = &cell.node.events;
    let name = Some(container.name.as_str());
    let image = container.image.as_deref().unwrap_or("");
    let pulled = format!("Container image \"{image}\" already present on machine");
    events.normal(cell, name, "Pulled", &pulled).await;
    events
        .normal(
            cell,
            name,
            "Created",
            &format!("Created container: {}", container.name),
        )
        .await;
    events
        .normal(
            cell,
            name,
            "Started",
            &format!("Started container {}", container.name),
        )
        .await;
    for warning in &process.warnings {
        events.warning(cell, name, "SandboxLimit", warning).await;
    }
}

/// Waits for the end; ends the container itself when a probe or hook fails or the pod stops.
async fn until_end(cell: &Arc<PodCell>, container: &Container, process: &Process) -> super::process::Exit {
    let failure = tokio::select! {
        biased;
        exit = process.wait() => return exit,
        _ = stopped(cell) => None,
        failure = live(cell, container) => Some(failure),
    };
    match failure {
        None => {
            let text = format!("Stopping container {}", container.name);
            cell.node
                .events
                .normal(cell, Some(&container.name), "Killing", &text)
                .await;
            end(cell, container, process, None).await
        }
        Some(failure) => {
            let text = format!("{}, will be restarted", failure.message);
            cell.node
                .events
                .normal(cell, Some(&container.name), "Killing", &text)
                .await;
            let grace = failure.grace.unwrap_or_else(|| cell.grace());
            end(cell, container, process, Some(Instant::now() + grace)).await
        }
    }
}

/// The hook after the start, then the probes.
async fn live(cell: &Arc<PodCell>, container: &Container) -> probes::Failure {
    let hook = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref());
    if let Some(hook) = hook
        && let Err(error) = handlers::hook(cell, container, hook, POST_START_BOUND).await
    {
        let text = format!("PostStartHook failed: {error}");
        cell.node
            .events
            .warning(cell, Some(&container.name), "FailedPostStartHook", &text)
            .await;
        return probes::Failure {
            message: text,
            grace: None,
        };
    }
    probes::watch(cell, container).await
}

/// Ends a container: the hook before the stop, the stop signal, and at the deadline the kill.
async fn end(
    cell: &Arc<PodCell>,
    container: &Container,
    process: &Process,
    own_deadline: Option<Instant>,
) -> super::process::Exit {
    let left = || {
        let of_pod = cell.stop.borrow().map(|s| s.deadline);
        let deadline = [own_deadline, of_pod].into_iter().flatten().min();
        deadline.map_or(Duration::ZERO, |d| d.saturating_duration_since(Instant::now()))
    };
    let polite = async {
        let hook = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
        if let Some(hook) = hook
            && let Err(error) = handlers::hook(cell, container, hook, left()).await
        {
            let text = format!("PreStopHook failed: {error}");
            cell.node
                .events
                .warning(cell, Some(&container.name), "FailedPreStopHook", &text)
                .await;
        }
        process.signal(stop_signal(container) as i32);
        process.wait().await
    };
    let deadline = async {
        let mut stop = cell.stop.subscribe();
        loop {
            tokio::select! {
                () = sleep_until(Instant::now() + left()) => return,
                // A shorter deadline replaces the one that is waited for.
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    };
    tokio::select! {
        biased;
        exit = polite => return exit,
        () = deadline => process.signal(Signal::SIGKILL as i32),
    }
    let killed = super::process::Exit {
        code: 137,
        signal: Some(Signal::SIGKILL as i32),
    };
    timeout(KILL_BOUND, process.wait()).await.unwrap_or(killed)
}

fn stop_signal(container: &Container) -> Signal {
    let name = container
        .lifecycle
        .as_ref()
        .and_then(|l| l.stop_signal.as_deref());
    name.and_then(|n| n.parse().ok()).unwrap_or(Signal::SIGTERM)
}

/// What the container wrote into its termination log, or the end of its log where the pod asks for it.
async fn last_words(
    file: &std::path::Path,
    container: &Container,
    log: &std::path::Path,
    code: i32,
) -> Option<String> {
    let mut text = std::fs::read(file).unwrap_or_default();
    text.truncate(LAST_WORDS);
    let fall_back = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if text.is_empty() && fall_back && code != 0 {
        text = log_reader::tail(log, LAST_LOG_LINES).await;
        let surplus = text.len().saturating_sub(LAST_LOG_BYTES);
        text.drain(..surplus);
    }
    (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
}
