//! `create backup`.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::Value;

use super::finish::{Wizard, Written, place, ready};
use super::{Common, run_wizard};
use crate::api::core::BackupConfiguration;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report::text;
use crate::cluster::{Cluster, kinds};
use crate::decide::explain;
use crate::wizard::backup::{BackupAnswers, State, new_secret};
use crate::wizard::found::Found;
use crate::wizard::preview;

/// Create a BackupConfiguration: what is backed up, where to, when, and what is kept
///
/// Makes the Secret with the password that encrypts the data where there is none. Whoever loses that password loses the
/// backups; the command says how to export it.
///
/// Examples:
///   kubectl kubestash create backup
///   kubectl kubestash create backup app --target deployment/app --storage s3 --schedule '0 3 * * *' --retention keep-week
///   kubectl kubestash create backup docs --target pvc/documents --schedule @daily --keep-daily 7 --keep-weekly 4 --wait
///   kubectl kubestash create backup --answers backup.yaml --dry-run=client -o yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct BackupArgs {
    #[command(flatten)]
    answers: BackupAnswers,
    #[command(flatten)]
    common: Common,
}

/// Asks and creates.
///
/// # Errors
/// What is missing, what the API server refuses.
pub async fn run(args: &BackupArgs, context: &Context) -> Result<Exit, CliError> {
    Box::pin(run_wizard(&Making, &args.answers, &args.common, context)).await
}

struct Making;

impl Wizard for Making {
    type State = State;

    fn begin(&self, answers: BackupAnswers, found: Arc<Found>) -> State {
        State::new(answers, found)
    }

    async fn after(
        &self,
        state: &State,
        written: &Written<'_>,
        context: &Context,
        cluster: &Cluster,
    ) -> Result<Exit, CliError> {
        let namespace = state.found.namespace.as_str();
        if let Some(secret) = new_secret(state) {
            context.ui.warn(&format!(
                "Secret {secret} holds the password that encrypts the backups. Whoever loses it loses the data. Keep a copy outside the cluster:\n  \
                 kubectl get secret {secret} -n {namespace} -o jsonpath='{{.data.RESTIC_PASSWORD}}' | base64 -d"
            ));
        }
        for configuration in written.of(&kinds::BACKUP_CONFIGURATION) {
            let (namespace, name) = place(configuration);
            for (session, schedule) in scheduled(configuration) {
                if let Ok(told) = preview::schedule(schedule, context.now) {
                    context.ui.say(&format!("Session {session}: {told}"));
                }
            }
            let status = format!("`kubectl kubestash status -n {namespace}`");
            let known = state.found.configurations.iter();
            let mut known = known.filter(|c| c.namespace().as_deref() == Some(namespace));
            // One that was there has had its first backup.
            let first = !known.any(|c| c.name_any() == name);
            let Some(limit) = written.wait else {
                if first {
                    context.ui.say(&format!(
                        "The first backup starts as soon as it is Ready: {status}"
                    ));
                }
                continue;
            };
            let reason = |object: &Value| {
                serde_json::from_value::<BackupConfiguration>(object.clone())
                    .map(|c| explain::not_ready(&c))
                    .unwrap_or_default()
            };
            ready(
                context,
                cluster,
                &kinds::BACKUP_CONFIGURATION,
                &(namespace, name),
                limit,
                reason,
            )
            .await?;
            if first {
                context.ui.say(&format!("The first backup starts now: {status}"));
            }
        }
        Ok(Exit::Ok)
    }
}

/// The sessions of a configuration that have a schedule, by name.
fn scheduled(configuration: &Value) -> impl Iterator<Item = (&str, &str)> {
    let sessions = configuration.pointer("/spec/sessions").and_then(Value::as_array);
    sessions
        .into_iter()
        .flatten()
        .map(|s| (text(s, "/name"), text(s, "/scheduler/schedule")))
        .filter(|(_, schedule)| !schedule.is_empty())
}
