//! `trigger`: KubeStash's word for `backup now`, with its flags.

use crate::cli::commands::backup::now;
use crate::cli::commands::backup::run::{self, RunArgs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{objects, select};
use crate::cluster::kinds;

/// Back up now (as `backup now`, for those who know KubeStash)
///
/// Examples:
///   kubectl kubestash trigger sample-backup
///   kubectl kubestash trigger sample-backup --sessions=daily,weekly --wait -n demo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct TriggerArgs {
    /// The BackupConfiguration: NAME, bc/NAME or bc NAME
    #[arg(value_name = "BACKUPCONFIGURATION", required_unless_present = "filename", num_args = 1..=2)]
    configuration: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    /// Sessions to run, separated by commas; all by default
    #[arg(long, visible_alias = "session", value_name = "NAME", value_delimiter = ',')]
    sessions: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
}

/// Creates the BackupSessions and, if asked to, waits for their end.
///
/// # Errors
/// As [`now::run`].
pub async fn run(args: &TriggerArgs, context: &Context) -> Result<Exit, CliError> {
    let wanted = async {
        let kind = &kinds::BACKUP_CONFIGURATION;
        let name = objects::one(context, &args.configuration, &args.files.filename, &[kind])?.name;
        let namespace = context.namespace().await?;
        let configuration = select::configuration(context.cluster().await?, namespace, &name).await?;
        now::wanted(vec![configuration], &args.sessions, true)
    };
    run::perform(context, &args.run, "kubectl kubestash trigger", wanted).await
}
