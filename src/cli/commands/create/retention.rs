//! `create retention`.

use std::sync::Arc;

use serde_json::Value;

use super::finish::{Wizard, Written, any};
use super::{Common, run_wizard};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Kind, kinds};
use crate::wizard::answers::command_line;
use crate::wizard::found::Found;
use crate::wizard::preview;
use crate::wizard::retention::{RetentionAnswers, Rules, STEPS, State, manifests};
use crate::wizard::walk::Step;

/// Create a RetentionPolicy: which Snapshots are kept
///
/// Everything that any rule keeps stays; --max-age overrules them all. The newest Snapshot that succeeded is never removed.
///
/// Examples:
///   kubectl kubestash create retention
///   kubectl kubestash create retention keep-month --keep-daily 7 --keep-weekly 5
///   kubectl kubestash create retention short --keep-last 5 --max-age 14d --default --dry-run=client -o yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RetentionArgs {
    #[command(flatten)]
    answers: RetentionAnswers,
    #[command(flatten)]
    common: Common,
}

/// Asks and creates.
///
/// # Errors
/// What is missing, what the API server refuses.
pub async fn run(args: &RetentionArgs, context: &Context) -> Result<Exit, CliError> {
    let wizard = Making {
        answers: args.common.answers(&args.answers)?,
    };
    Box::pin(run_wizard(&wizard, &args.common, context)).await
}

/// The command with all of its answers, those of the file included.
struct Making {
    answers: RetentionAnswers,
}

impl Wizard for Making {
    type State = State;

    fn command(&self) -> &'static str {
        "retention"
    }

    fn ours(&self) -> &'static [&'static Kind] {
        &[&kinds::RETENTION_POLICY]
    }

    fn builtin(&self) -> &'static [&'static Kind] {
        &[&kinds::NAMESPACE]
    }

    fn anything_given(&self) -> bool {
        any(&self.answers)
    }

    fn begin(&self, found: Arc<Found>) -> State {
        State::new(self.answers.clone(), found)
    }

    fn steps(&self) -> &'static [Step<State>] {
        STEPS
    }

    fn manifests(&self, state: &State) -> Option<Vec<Value>> {
        Some(manifests(&state.answers, &state.found.namespace))
    }

    fn command_line(&self, state: &State) -> String {
        command_line("create retention", &state.found.namespace, &state.answers)
    }

    async fn after(
        &self,
        state: &State,
        _: &Written<'_>,
        context: &Context,
        _: &Cluster,
    ) -> Result<Exit, CliError> {
        let effect = preview::retention(&state.answers.keep().spec(), "0 2 * * *", context.now);
        if let Ok(effect) = effect {
            context
                .ui
                .say(&format!("With a backup every night: {}", lower(&effect)));
        }
        Ok(Exit::Ok)
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}
