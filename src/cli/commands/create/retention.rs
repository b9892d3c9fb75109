//! `create retention`.

use std::sync::Arc;

use super::finish::{Wizard, Written};
use super::{Common, run_wizard};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, kinds};
use crate::wizard::found::Found;
use crate::wizard::preview;
use crate::wizard::retention::{RetentionAnswers, State};

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
    Box::pin(run_wizard(&Making, &args.answers, &args.common, context)).await
}

struct Making;

impl Wizard for Making {
    type State = State;

    fn begin(&self, answers: RetentionAnswers, found: Arc<Found>) -> State {
        State::new(answers, found)
    }

    async fn after(
        &self,
        _: &State,
        written: &Written<'_>,
        context: &Context,
        _: &Cluster,
    ) -> Result<Exit, CliError> {
        for policy in written.of(&kinds::RETENTION_POLICY) {
            let Ok(spec) = serde_json::from_value(policy["spec"].clone()) else {
                continue;
            };
            let Ok(effect) = preview::retention(&spec, "0 2 * * *", context.now) else {
                continue;
            };
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
