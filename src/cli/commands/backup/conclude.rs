//! What a run says at its end: results, reasons, what goes on, the JUnit file, the last event, and the exit code.

use std::time::Duration;

use super::ledger::{End, Entry, Ledger};
use super::run::RunArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow;
use crate::cli::follow::events::Events;
use crate::cli::report;
use crate::cluster::kinds;
use crate::output::format::Shape;
use crate::output::human;
use crate::output::table::Table;

/// Prints the results, the reasons and what goes on, writes the files, and answers with the code.
pub(super) async fn conclude(
    context: &Context,
    args: &RunArgs,
    title: &str,
    ledger: &Ledger,
    events: Option<&Events<'_>>,
    interrupted: bool,
) -> Result<Exit, CliError> {
    let entries = ledger.entries();
    let exit = if interrupted {
        Exit::Interrupted
    } else {
        super::ledger::exit(&entries, args.waits())
    };
    // The file first: a reader of standard output that has gone away must not cost it.
    if let Some(path) = &args.junit {
        let document = super::ledger::junit(title, &entries);
        std::fs::write(path, document).map_err(|e| {
            CliError::new(Exit::Error, format!("{} cannot be written", path.display())).cause(e.to_string())
        })?;
    }
    if args.waits() && args.events.is_none() && !interrupted {
        print_ended(context, args, &entries).await?;
    }
    for entry in &entries {
        explain(context, entry, args.limit());
    }
    if interrupted {
        let running: Vec<&Entry> = entries
            .iter()
            .filter(|e| e.end.is_none() && !e.name.is_empty())
            .collect();
        if let Some(first) = running.first() {
            let names: Vec<&str> = running.iter().map(|e| e.name.as_str()).collect();
            let (name, namespace) = (&first.name, &first.namespace);
            context.ui.warn(&format!(
                "interrupted; {} goes on in the cluster.",
                names.join(", ")
            ));
            context.ui.warn(&format!(
                "`kubectl kubestash logs {name} -f -n {namespace}` follows it, `kubectl kubestash backup cancel {name} -n {namespace}` ends it."
            ));
        }
    }
    if let Some(events) = events {
        let message = if interrupted { "interrupted" } else { "" };
        events.result(exit, message)?;
    }
    Ok(exit)
}

async fn print_ended(context: &Context, args: &RunArgs, entries: &[Entry]) -> Result<(), CliError> {
    let ended: Vec<(&Entry, &follow::Outcome)> = entries
        .iter()
        .filter_map(|e| match &e.end {
            Some(End::Ended(outcome)) => Some((e, outcome)),
            _ => None,
        })
        .collect();
    if ended.is_empty() {
        return Ok(());
    }
    if !args.output.is_table() {
        let cluster = context.cluster().await?;
        let mut objects = Vec::new();
        for (entry, outcome) in &ended {
            let object = cluster
                .get(&kinds::BACKUP_SESSION, Some(&entry.namespace), &outcome.name)
                .await?;
            objects.push(report::tidy(object));
        }
        return Ok(args.output.print(&context.ui, &Shape::of(objects))?);
    }
    let all = context.flags.all_namespaces;
    let mut headings = vec!["NAME", "PHASE", "DURATION"];
    if all {
        headings.insert(0, "NAMESPACE");
    }
    let rows: Vec<Vec<String>> = ended
        .iter()
        .map(|(entry, o)| {
            let mut row = vec![o.name.clone(), o.phase.clone(), o.duration.clone()];
            if all {
                row.insert(0, entry.namespace.clone());
            }
            row
        })
        .collect();
    let style = context.ui.data_style();
    let page = Table::new(headings).painted(&rows, |_, cell| style.phase(cell));
    Ok(context.ui.data(&page)?)
}

/// Says why one did not succeed, and the way out.
fn explain(context: &Context, entry: &Entry, limit: Duration) {
    match &entry.end {
        Some(End::Ended(outcome)) => report::explain(context, &entry.namespace, outcome),
        Some(End::Refused(error) | End::Lost(error)) => {
            context.ui.error(&error.message, &error.causes, &error.hints);
        }
        Some(End::LeftOut(why)) => context.ui.warn(why),
        Some(End::TimedOut) if entry.name.is_empty() => context.ui.error(
            &format!(
                "session {} of BackupConfiguration {} was not begun within {}: another backup into its Repository runs.",
                entry.session,
                entry.configuration,
                human::go_duration(limit)
            ),
            &[],
            &[format!("`kubectl kubestash backup list {} -n {}` shows which", entry.configuration, entry.namespace)],
        ),
        Some(End::TimedOut) => {
            let (name, namespace) = (&entry.name, &entry.namespace);
            context.ui.error(
                &format!("{name} did not end within {}, and goes on.", human::go_duration(limit)),
                &[],
                &[format!("`kubectl kubestash logs {name} -f -n {namespace}` follows it, `kubectl kubestash why backupsession/{name} -n {namespace}` says what it waits for")],
            );
        }
        None => {}
    }
}
