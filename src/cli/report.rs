//! What a command that waited says at the end: one row per session on standard output, reasons on standard error.

use serde_json::Value;

use super::context::Context;
use super::error::{CliError, Exit};
use super::follow::Outcome;
use crate::cluster::{Cluster, Kind};
use crate::output::format::{Format, Shape};
use crate::output::table::Table;

/// Prints objects that were just created: a line each, or in the form asked for.
///
/// # Errors
/// When standard output cannot be written.
pub fn created(context: &Context, format: &Format, objects: Vec<Value>) -> Result<(), CliError> {
    if format.is_table() {
        for object in &objects {
            context
                .ui
                .line(&format!("{} created", crate::output::format::name(object)))?;
        }
        return Ok(());
    }
    Ok(format.print(&context.ui, &Shape::of(objects.into_iter().map(tidy).collect()))?)
}

/// Prints how sessions ended and answers with the code for all of them together.
///
/// # Errors
/// When standard output cannot be written or the objects cannot be read again.
pub async fn ended(
    context: &Context,
    cluster: &Cluster,
    namespace: &str,
    kind: &Kind,
    format: &Format,
    outcomes: &[Outcome],
) -> Result<Exit, CliError> {
    if format.is_table() {
        let rows: Vec<Vec<String>> = outcomes
            .iter()
            .map(|o| vec![o.name.clone(), o.phase.clone(), o.duration.clone()])
            .collect();
        context
            .ui
            .data(&Table::new(["NAME", "PHASE", "DURATION"]).page(&rows))?;
    } else {
        let mut objects = Vec::new();
        for outcome in outcomes {
            objects.push(tidy(cluster.get(kind, Some(namespace), &outcome.name).await?));
        }
        format.print(&context.ui, &Shape::of(objects))?;
    }
    for outcome in outcomes {
        explain(context, namespace, outcome);
    }
    Ok(together(outcomes))
}

/// Says why a session did not succeed.
pub fn explain(context: &Context, namespace: &str, outcome: &Outcome) {
    if outcome.exit() == Exit::Ok {
        return;
    }
    let ended = match outcome.phase.as_str() {
        "Skipped" => "was skipped",
        "Invalid" => "is not valid",
        _ if outcome.in_part => "succeeded only in part",
        _ => "failed",
    };
    let kind = outcome.kind.to_lowercase();
    let hints = [format!(
        "`kubectl kubestash logs {kind}/{} -n {namespace}` shows what its pods said",
        outcome.name
    )];
    let hints = if outcome.phase == "Skipped" {
        [format!(
            "`kubectl kubestash why {kind}/{} -n {namespace}` says what to do",
            outcome.name
        )]
    } else {
        hints
    };
    context.ui.error(
        &format!("{} {} {ended}.", outcome.kind, outcome.name),
        &outcome.causes,
        &hints,
    );
}

/// One code for several sessions: some well and some not is a part; otherwise the first that is not well counts.
fn together(outcomes: &[Outcome]) -> Exit {
    let exits: Vec<Exit> = outcomes.iter().map(Outcome::exit).collect();
    let well = exits.iter().filter(|e| **e == Exit::Ok).count();
    if well == exits.len() {
        Exit::Ok
    } else if well > 0 {
        Exit::Partial
    } else {
        exits.first().copied().unwrap_or(Exit::Ok)
    }
}

/// A text in an object, by its JSON pointer; empty where there is none.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// An object without what only the API server needs.
pub fn tidy(mut object: Value) -> Value {
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(phase: &str) -> Outcome {
        Outcome {
            kind: "BackupSession",
            name: "a".to_owned(),
            session: String::new(),
            phase: phase.to_owned(),
            duration: String::new(),
            causes: Vec::new(),
            in_part: false,
        }
    }

    #[test]
    fn several_ends_have_one_code() {
        assert_eq!(together(&[outcome("Succeeded"), outcome("Succeeded")]), Exit::Ok);
        assert_eq!(
            together(&[outcome("Succeeded"), outcome("Failed")]),
            Exit::Partial
        );
        assert_eq!(together(&[outcome("Failed"), outcome("Skipped")]), Exit::Failed);
        assert_eq!(together(&[outcome("Skipped")]), Exit::Precondition);
    }
}
