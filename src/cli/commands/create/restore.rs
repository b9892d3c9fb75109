//! `create restore`, which is also what `restore` without arguments opens.

use std::sync::Arc;

use serde_json::Value;

use super::finish::{Wizard, Written, of_kind, place};
use super::{Common, run_wizard};
use crate::cli::commands::restore::preview::meant;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{follow, names, report};
use crate::cluster::{Cluster, kinds};
use crate::output::format::Format;
use crate::output::human;
use crate::wizard::found::Found;
use crate::wizard::restore::{RestoreAnswers, State};

/// Create a RestoreSession: which Snapshot goes back, and into what
///
/// Without --snapshot the newest that succeeded is restored, without --target into what was backed up. The manifest can be
/// stored with --dry-run=client -o yaml, to be applied when it is needed.
///
/// Examples:
///   kubectl kubestash create restore
///   kubectl kubestash create restore --repo app --wait
///   kubectl kubestash create restore back --repo app --snapshot app-daily-1700000000 --target deployment/copy --target-namespace test
///   kubectl kubestash create restore --repo app --components dump-pod-0 --dry-run=client -o yaml > restore.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RestoreArgs {
    #[command(flatten)]
    answers: RestoreAnswers,
    /// Restore this Snapshot although something speaks against it: another application's, empty, or much smaller
    #[arg(long, value_name = "SNAPSHOT", value_parser = names::of_snapshot)]
    i_mean: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl RestoreArgs {
    /// Nothing given: everything is asked.
    fn wizard() -> Self {
        RestoreArgs {
            answers: RestoreAnswers::default(),
            i_mean: None,
            common: Common {
                answers: None,
                interactive: true,
                dry_run: super::DryRun::None,
                output: None,
                wait: true,
                timeout: std::time::Duration::from_secs(1800),
            },
        }
    }
}

/// `restore` without a source: the wizard on a terminal, an error elsewhere.
///
/// # Errors
/// As [`run`]; a usage error where nobody can be asked.
pub(crate) async fn without_source(context: &Context) -> Result<Exit, CliError> {
    if !super::somebody_there() {
        return Err(CliError::usage("there is no terminal to ask on, and what to restore from is missing: BACKUPCONFIGURATION or SNAPSHOT")
            .hint("`kubectl kubestash snapshot list` lists what there is to restore"));
    }
    super::listen_for_interrupts();
    let ended = Box::pin(run(&RestoreArgs::wizard(), context)).await;
    super::said(context, ended)
}

/// Asks and creates.
///
/// # Errors
/// What is missing, what the API server refuses, and how the restore ended.
pub async fn run(args: &RestoreArgs, context: &Context) -> Result<Exit, CliError> {
    Box::pin(run_wizard(&Making { args }, &args.answers, &args.common, context)).await
}

struct Making<'a> {
    args: &'a RestoreArgs,
}

impl Wizard for Making<'_> {
    type State = State;

    fn begin(&self, answers: RestoreAnswers, found: Arc<Found>) -> State {
        State::new(answers, found)
    }

    /// Nothing is written into an application by mistake: the guards of `restore` hold here, too.
    async fn prove(&self, objects: &[Value], context: &Context, cluster: &Cluster) -> Result<(), CliError> {
        for session in of_kind(objects, &kinds::RESTORE_SESSION) {
            meant::check(session, self.args.i_mean.as_deref(), context, cluster).await?;
        }
        Ok(())
    }

    fn all_the_same(&self) -> &'static str {
        "this is what I mean"
    }

    async fn after(
        &self,
        _: &State,
        written: &Written<'_>,
        context: &Context,
        cluster: &Cluster,
    ) -> Result<Exit, CliError> {
        let Some((namespace, name)) = written.of(&kinds::RESTORE_SESSION).last().map(place) else {
            return Ok(Exit::Ok);
        };
        let more = format!("`kubectl kubestash logs restoresession/{name} -f -n {namespace}` follows it");
        let Some(limit) = written.wait else {
            context.ui.say(&format!("The restore has begun: {more}"));
            return Ok(Exit::Ok);
        };
        let progress = context.ui.progress();
        let followed = tokio::select! {
            followed = tokio::time::timeout(limit, follow::restore(cluster, namespace, name, Some(&progress))) => followed,
            _ = tokio::signal::ctrl_c() => {
                return Err(CliError::new(Exit::Interrupted, format!("{name} goes on")).hint(more));
            }
        };
        drop(progress);
        let Ok(outcome) = followed else {
            let limit = human::go_duration(limit);
            let late = format!("{name} did not end within {limit}, and goes on");
            return Err(CliError::new(Exit::TimedOut, late).hint(more));
        };
        // What was written stands on standard output already; the end is talk, unless it is a table.
        let format = self.args.common.format();
        if format.is_table() {
            let outcomes = [outcome?];
            return report::ended(
                context,
                cluster,
                namespace,
                &kinds::RESTORE_SESSION,
                &Format::Table,
                &outcomes,
            )
            .await;
        }
        let outcome = outcome?;
        context.ui.say(&format!("{name}: {}", outcome.phase));
        report::explain(context, namespace, &outcome);
        Ok(outcome.exit())
    }
}
