//! `doctor`: every check of an installation, with why it is made and the exact fix. What the user may not read is a
//! warning, never the end: a developer without rights on the whole cluster gets the checks that are possible.

mod checks;
pub(in crate::cli) mod definitions;
mod facts;
pub(in crate::cli) mod image;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::output::style::Style;

/// Check the installation and everything backups depend on
///
/// Ends with 0 when nothing is broken (warnings may remain) and with 3 when a check failed. Changes nothing.
///
/// Examples:
///   kubectl kubestash doctor
///   kubectl kubestash doctor -v
///   kubectl kubestash doctor -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DoctorArgs {
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// All checks of an installation.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DoctorView {
    /// The address of the API server.
    server: String,
    /// How many checks ended in which way.
    summary: Summary,
    /// The checks, in the order in which things depend on each other.
    checks: Vec<Check>,
}

/// How many checks ended in which way.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// Nothing to do.
    passed: usize,
    /// Could not be checked, or may become a problem.
    warnings: usize,
    /// Broken.
    failed: usize,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum State {
    /// Nothing to do.
    Passed,
    /// Could not be checked, or may become a problem.
    Warning,
    /// Broken.
    Failed,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// What is checked, in a few words.
    name: String,
    /// How it ended.
    state: State,
    /// What was found, one sentence.
    finding: String,
    /// Why it matters, one sentence.
    why: String,
    /// What to do; empty when it passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<String>,
}

impl View for DoctorView {
    const COMMAND: &'static str = "doctor";
    const KIND: &'static str = "Doctor";
}

/// Makes the checks and prints them.
///
/// # Errors
/// When there is no cluster to check.
pub async fn run(args: &DoctorArgs, context: &Context) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let progress = context.ui.progress();
    progress.tick("looking at the cluster");
    let facts = Box::pin(facts::read(cluster, context.flags.namespace.as_deref())).await?;
    drop(progress);
    let checks = checks::all(&facts, context.now);
    let count = |state| checks.iter().filter(|c| c.state == state).count();
    let view = DoctorView {
        server: cluster.server().to_owned(),
        summary: Summary {
            passed: count(State::Passed),
            warnings: count(State::Warning),
            failed: count(State::Failed),
        },
        checks,
    };
    if args.output.is_table() {
        let verbose = context.ui.is_verbose();
        context
            .ui
            .data(&screen(&view, context.ui.data_style(), verbose))?;
    } else {
        schemas::print(context, &args.output, &view)?;
    }
    Ok(if view.summary.failed > 0 {
        Exit::Failed
    } else {
        Exit::Ok
    })
}

fn screen(view: &DoctorView, style: Style, verbose: bool) -> String {
    let mut text = String::new();
    for check in &view.checks {
        let mark = match check.state {
            State::Passed => style.good("ok  "),
            State::Warning => style.warn("warn"),
            State::Failed => style.bad("FAIL"),
        };
        text.push_str(&format!("{mark}  {}: {}\n", check.name, check.finding));
        if verbose || check.state != State::Passed {
            text.push_str(&format!(
                "      {}\n",
                style.faint(&format!("why: {}", check.why))
            ));
        }
        for fix in &check.fixes {
            text.push_str(&format!("      fix: {fix}\n"));
        }
    }
    let Summary {
        passed,
        warnings,
        failed,
    } = view.summary;
    text.push_str(&format!(
        "\n{} passed, {}, {failed} failed.\n",
        human::counted(passed, "check"),
        human::counted(warnings, "warning"),
    ));
    text
}
