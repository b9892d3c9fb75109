//! `sandbox`: a small Kubernetes on this computer, with pods as local processes.

#[cfg(target_os = "linux")]
mod demo;
#[cfg(target_os = "linux")]
mod down;
#[cfg(target_os = "linux")]
mod kubeconfig;
#[cfg(target_os = "linux")]
pub(in crate::cli) mod status;
#[cfg(target_os = "linux")]
mod up;

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::output::format::Format;

/// A small Kubernetes on this computer, without a cluster
///
/// For trying, learning, tests and CI, never for production. Pods run as processes of this computer, in file
/// trees of their own.
#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SandboxCommand {
    Up(UpArgs),
    Down(DownArgs),
    Status(StatusArgs),
    Kubeconfig(KubeconfigArgs),
    #[cfg(target_os = "linux")]
    Demo(demo::DemoArgs),
}

/// Where a sandbox keeps everything.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Directory of the sandbox; each has its own cluster (default: $XDG_STATE_HOME/kubestash/sandbox, or
    /// ~/.local/state/kubestash/sandbox)
    #[arg(long, value_name = "DIR", env = "KUBESTASH_SANDBOX_DIR", hide_env = true)]
    dir: Option<PathBuf>,
}

/// Start a sandbox in the background
///
/// Examples:
///   kubectl kubestash sandbox up
///   eval "$(kubectl kubestash sandbox up -q)" && kubectl get nodes
///   kubectl kubestash sandbox up --foreground --dir /tmp/mine
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux has what the sandbox needs")
)]
pub struct UpArgs {
    #[command(flatten)]
    place: Place,
    /// Stay, and end with Ctrl-C
    #[arg(long)]
    foreground: bool,
    /// Leave the terminal's session; the background start says this to the process it starts
    #[arg(long, hide = true, requires = "foreground")]
    detached: bool,
}

/// End a sandbox; what it holds is there again after the next `up`
///
/// Examples:
///   kubectl kubestash sandbox down
///   kubectl kubestash sandbox down --delete
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux has what the sandbox needs")
)]
pub struct DownArgs {
    #[command(flatten)]
    place: Place,
    /// Delete the sandbox's directory too, with all objects and volumes
    #[arg(long)]
    delete: bool,
}

/// Show whether a sandbox runs, and what it uses
///
/// The exit code is 6 when none runs.
///
/// Examples:
///   kubectl kubestash sandbox status
///   kubectl kubestash sandbox status -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux has what the sandbox needs")
)]
pub struct StatusArgs {
    #[command(flatten)]
    place: Place,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Print the path of a sandbox's kubeconfig
///
/// Examples:
///   export KUBECONFIG=$(kubectl kubestash sandbox kubeconfig)
///   kubectl kubestash sandbox kubeconfig --content > config
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux has what the sandbox needs")
)]
pub struct KubeconfigArgs {
    #[command(flatten)]
    place: Place,
    /// Print the kubeconfig itself; it holds the administrator's token
    #[arg(long)]
    content: bool,
}

impl SandboxArgs {
    /// Whether the command ends by itself in good order when it is interrupted.
    pub fn ends_by_itself(&self) -> bool {
        matches!(&self.command, SandboxCommand::Up(args) if args.foreground)
    }
}

/// Runs one of the commands.
///
/// # Errors
/// What the command could not do.
#[cfg(target_os = "linux")]
pub async fn run(args: &SandboxArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        SandboxCommand::Up(args) => up::run(args, context).await,
        SandboxCommand::Down(args) => down::run(args, context).await,
        SandboxCommand::Status(args) => status::run(args, context).await,
        SandboxCommand::Kubeconfig(args) => kubeconfig::run(args, context),
        SandboxCommand::Demo(args) => Box::pin(demo::run(args, context)).await,
    }
}

/// Says what is missing.
///
/// # Errors
/// Always: the sandbox needs Linux.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unused_async, reason = "the same call as on Linux")]
pub async fn run(_args: &SandboxArgs, _context: &Context) -> Result<Exit, CliError> {
    Err(CliError::new(
        Exit::Precondition,
        "The sandbox needs Linux: its pods are processes in namespaces of the Linux kernel",
    )
    .hint("use it in a Linux virtual machine, or use this program with any Kubernetes cluster"))
}

#[cfg(target_os = "linux")]
mod shared {
    use std::path::PathBuf;

    use super::Place;
    use crate::cli::error::{CliError, Exit};
    use crate::sandbox::lifecycle::Error;
    use crate::sandbox::lifecycle::state::Dir;

    impl Place {
        /// The directory that is meant.
        pub(super) fn path(&self) -> PathBuf {
            self.dir.clone().unwrap_or_else(Dir::default_path)
        }

        /// The `--dir` that other commands need to mean the same sandbox.
        pub(super) fn flag(&self) -> String {
            self.dir
                .as_ref()
                .map(|d| format!(" --dir {}", d.display()))
                .unwrap_or_default()
        }
    }

    impl From<Error> for CliError {
        fn from(error: Error) -> Self {
            let exit = match &error {
                Error::RunsAlready { .. } | Error::NotAllowed(_) => Exit::Precondition,
                Error::NotRunning(_) => Exit::NothingMatched,
                Error::TooLong(_) => Exit::TimedOut,
                _ => Exit::Error,
            };
            let message = match &error {
                Error::Io { what, .. } => what.clone(),
                other => other.to_string(),
            };
            let cause = match &error {
                Error::Io { cause, .. } => cause.to_string(),
                Error::EndedEarly(log) => log.clone(),
                _ => String::new(),
            };
            CliError::new(exit, capitalized(&message)).cause(cause)
        }
    }

    fn capitalized(text: &str) -> String {
        let mut letters = text.chars();
        letters
            .next()
            .map(|c| c.to_uppercase().chain(letters).collect())
            .unwrap_or_default()
    }
}
