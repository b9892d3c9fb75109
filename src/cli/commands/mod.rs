//! The commands, one file each (a group of commands is a folder).

pub mod backup;
pub mod clone;
pub mod completion;
pub mod convert;
pub mod copy;
pub mod create;
pub mod debug;
pub mod doctor;
pub mod familiar;
pub mod install;
pub mod logs;
pub mod manifest;
pub mod pause;
mod reach;
pub mod repo;
pub mod restore;
pub mod sandbox;
pub mod snapshot;
pub mod status;
pub mod trigger;
pub mod uninstall;
pub mod validate;
pub mod version;
pub mod why;

use super::context::Context;
use super::error::{CliError, Exit};
use super::place;

/// What can be asked for.
#[derive(Debug, clap::Subcommand)]
#[allow(
    missing_docs,
    reason = "the help text of a command is the doc comment of its arguments"
)]
pub enum Command {
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Create(create::CreateArgs),
    Snapshot(snapshot::SnapshotArgs),
    Repo(repo::RepoArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Trigger(trigger::TriggerArgs),
    #[command(visible_alias = "cp")]
    Copy(copy::CopyArgs),
    Clone(clone::CloneArgs),
    Debug(debug::DebugArgs),
    Download(familiar::DownloadArgs),
    #[command(name = "manifest-view")]
    ManifestView(manifest::view::ViewArgs),
    #[command(name = "manifest-restore")]
    ManifestRestore(manifest::restore::RestoreArgs),
    Unlock(familiar::UnlockArgs),
    #[command(visible_alias = "pw")]
    Password(familiar::PasswordArgs),
    Status(status::StatusArgs),
    Why(why::WhyArgs),
    Logs(logs::LogsArgs),
    Validate(validate::ValidateArgs),
    Convert(convert::ConvertArgs),
    Install(install::InstallArgs),
    Doctor(doctor::DoctorArgs),
    Uninstall(uninstall::UninstallArgs),
    Sandbox(sandbox::SandboxArgs),
    #[command(display_order = 90)]
    Completion(completion::CompletionArgs),
    #[command(display_order = 91)]
    Version(version::VersionArgs),
}

impl Command {
    /// Whether the command ends by itself in good order when it is interrupted.
    pub fn ends_by_itself(&self) -> bool {
        match self {
            Command::Sandbox(args) => args.ends_by_itself(),
            Command::Backup(args) => args.ends_by_itself(),
            Command::Debug(args) => args.ends_by_itself(),
            Command::Trigger(_) | Command::Clone(_) => true,
            // Terminals are put in order and short-lived objects removed first.
            Command::Create(_) | Command::Restore(_) => true,
            _ => false,
        }
    }
}

/// Runs one command.
///
/// # Errors
/// What the command could not do.
pub async fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    match dispatch(command, context).await {
        Ok(exit) => Ok(exit),
        Err(error) => Err(place::blamed(context, error).await),
    }
}

async fn dispatch(command: &Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Backup(args) => backup::run(args, context).await,
        Command::Create(args) => create::run(args, context).await,
        Command::Restore(args) => restore::run(args, context).await,
        Command::Snapshot(args) => snapshot::run(args, context).await,
        Command::Pause(args) => pause::pause(args, context).await,
        Command::Resume(args) => pause::resume(args, context).await,
        Command::Trigger(args) => trigger::run(args, context).await,
        Command::Copy(args) => copy::run(args, context).await,
        Command::Clone(args) => clone::run(args, context).await,
        Command::Debug(args) => debug::run(args, context).await,
        Command::Repo(args) => repo::run(args, context).await,
        Command::Download(args) => familiar::download(args, context).await,
        Command::ManifestView(args) => manifest::view::run(args, context).await,
        Command::ManifestRestore(args) => manifest::restore::run(args, context).await,
        Command::Unlock(args) => familiar::unlock(args, context).await,
        Command::Password(args) => familiar::password(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Why(args) => why::run(args, context).await,
        Command::Logs(args) => logs::run(args, context).await,
        Command::Validate(args) => validate::run(args, context).await,
        Command::Convert(args) => convert::run(args, context).await,
        Command::Install(args) => install::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Uninstall(args) => uninstall::run(args, context).await,
        Command::Sandbox(args) => sandbox::run(args, context).await,
        Command::Completion(args) => completion::run(args, context),
        Command::Version(args) => version::run(args, context).await,
    }
}

/// What a list without entries says.
///
/// # Errors
/// When there are none because the namespace does not exist.
async fn nothing(what: &str, namespace: Option<&str>, context: &Context) -> Result<(), CliError> {
    match namespace {
        Some(namespace) => {
            place::exists(context).await?;
            context.ui.say(&format!("No {what} in namespace {namespace}."));
        }
        None => context.ui.say(&format!("No {what} in any namespace.")),
    }
    Ok(())
}
