//! `sandbox status`: whether it runs, and what it uses.

use schemars::JsonSchema;
use serde::Serialize;

use super::StatusArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::schemas::{self, View};
use crate::output::human;
use crate::sandbox::lifecycle::state::{self, Dir, Running};

/// Whether the sandbox runs, and what it uses.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct SandboxStatus {
    /// Whether it runs.
    running: bool,
    /// The directory with everything it keeps.
    directory: String,
    /// Its log.
    log: String,
    /// Its process; absent when it does not run, as all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// The memory of its process, without its pods, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// When it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// The address of its API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The kubeconfig for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<String>,
    /// What is in it; absent also when its API server does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<CountsView>,
}

impl View for SandboxStatus {
    const COMMAND: &'static str = "sandbox-status";
    const KIND: &'static str = "SandboxStatus";
}

/// How much is in the sandbox.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CountsView {
    /// Pods that run.
    pods_running: usize,
    /// All pods.
    pods: usize,
    /// PersistentVolumeClaims.
    claims: usize,
}

/// Prints the status; nothing that runs is exit code 6.
///
/// # Errors
/// When the output cannot be written.
pub(super) async fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let dir = Dir::at(&args.place.path())?;
    let running = dir.running();
    let exit = if running.is_some() {
        Exit::Ok
    } else {
        Exit::NothingMatched
    };
    let counts = match &running {
        Some(running) => Some(state::counts(&running.kubeconfig).await),
        None => None,
    };
    if !args.output.is_table() {
        schemas::print(
            context,
            &args.output,
            &view(&dir, running.as_ref(), counts.as_ref()),
        )?;
        return Ok(exit);
    }
    let line = |name: &str, text: &str| context.ui.line(&format!("{name:<12}{text}"));
    let Some(running) = running else {
        line("State", "stopped")?;
        line("Directory", &dir.path().display().to_string())?;
        return Ok(exit);
    };
    line("State", "running")?;
    line("Process", &running.pid.to_string())?;
    line(
        "Memory",
        &running
            .memory()
            .map_or_else(|| "unknown".to_owned(), human::bytes),
    )?;
    line("Uptime", &human::age(running.since, context.now))?;
    line("Address", &running.address)?;
    match &counts {
        Some(Ok(c)) => {
            line("Pods", &format!("{} running of {}", c.pods_running, c.pods))?;
            line("Volumes", &c.claims.to_string())?;
        }
        Some(Err(error)) => line("Pods", &format!("unknown: {error}"))?,
        None => {}
    }
    line("Kubeconfig", &running.kubeconfig.display().to_string())?;
    line("Directory", &dir.path().display().to_string())?;
    line("Log", &dir.log().display().to_string())?;
    Ok(exit)
}

fn view(
    dir: &Dir,
    running: Option<&Running>,
    counts: Option<&Result<state::Counts, String>>,
) -> SandboxStatus {
    SandboxStatus {
        running: running.is_some(),
        directory: dir.path().display().to_string(),
        log: dir.log().display().to_string(),
        pid: running.map(|r| r.pid),
        memory_bytes: running.and_then(Running::memory),
        since: running.map(|r| r.since.to_string()),
        address: running.map(|r| r.address.clone()),
        kubeconfig: running.map(|r| r.kubeconfig.display().to_string()),
        counts: counts.and_then(|c| c.as_ref().ok()).map(|c| CountsView {
            pods_running: c.pods_running,
            pods: c.pods,
            claims: c.claims,
        }),
    }
}
