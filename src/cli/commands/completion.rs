//! `completion`: the script of a shell.

use clap_complete::{Shell, generate};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Print the completion script of your shell
///
/// Examples:
///   source <(kubectl kubestash completion bash)
///   kubectl kubestash completion zsh > "${fpath[1]}/_kubectl-kubestash"
///
/// For `kubectl kubestash <TAB>` itself, link this program as kubectl_complete-kubestash somewhere on the PATH.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CompletionArgs {
    /// The shell: bash, zsh, fish, powershell or elvish
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &CompletionArgs, context: &Context) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    generate(
        args.shell,
        &mut crate::cli::definition(),
        "kubectl-kubestash",
        &mut script,
    );
    context.ui.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
