//! `sandbox status`: whether it runs, and what it uses.

use serde_json::{Value, json};

use super::StatusArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::output::format::Shape;
use crate::output::human;
use crate::sandbox::lifecycle::state::{self, Dir, Running};

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
        args.output.print(
            &context.ui,
            &Shape::One(value(&dir, running.as_ref(), counts.as_ref())),
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

fn value(dir: &Dir, running: Option<&Running>, counts: Option<&Result<state::Counts, String>>) -> Value {
    let mut value = json!({"running": running.is_some(), "directory": dir.path(), "log": dir.log()});
    if let (Some(running), Some(fields)) = (running, value.as_object_mut()) {
        fields.extend([
            ("pid".to_owned(), json!(running.pid)),
            ("memoryBytes".to_owned(), json!(running.memory())),
            ("since".to_owned(), json!(running.since)),
            ("address".to_owned(), json!(running.address)),
            ("kubeconfig".to_owned(), json!(running.kubeconfig)),
        ]);
        if let Some(Ok(counts)) = counts {
            fields.insert("counts".to_owned(), json!(counts));
        }
    }
    value
}
