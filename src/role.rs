//! The roles inside the cluster: `kubestash operator`, `kubestash job …`, `kubestash trigger-backup`,
//! `kubestash auth-proxy`. Each arm is a thin start over its room, and the place where its runtime is made.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::Parser;

/// Runs in the cluster; people use the kubectl plugin of the same program.
#[derive(Debug, Parser)]
#[command(name = "kubestash", version)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Run the controllers and the admission webhooks
    Operator(crate::operator::Options),
    /// Serve the operator's metrics to callers whom the cluster allows to read them
    #[cfg(unix)]
    AuthProxy(crate::operator::auth_proxy::Options),
    /// Create the BackupSession that a schedule asks for
    TriggerBackup(crate::mover::trigger::Options),
    /// Move data: back up, restore, forget, or work on a storage's documents
    Job(crate::mover::Options),
    /// Look into a repository on behalf of a person's plugin
    Reader(crate::reader::Options),
}

/// Runs the role that the arguments name and returns its exit code: 0 when it ended well, 1 when it did not, 2 when the
/// arguments are wrong.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match cli.role {
        Role::Operator(options) => serve(crate::operator::run(options)),
        #[cfg(unix)]
        Role::AuthProxy(options) => serve(crate::operator::auth_proxy::run(options)),
        Role::TriggerBackup(options) => serve(crate::mover::trigger::run(options)),
        Role::Job(options) => crate::mover::run(&options),
        Role::Reader(options) => crate::reader::run(&options),
    }
}

/// Runs a role to its end; an error is logged with its causes.
fn serve(role: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the program cannot start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended with an error");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
