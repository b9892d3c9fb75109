//! `sandbox kubeconfig`: where the kubeconfig is, or what is in it.

use super::KubeconfigArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::sandbox::lifecycle::state::Dir;

/// Prints the path or the content.
///
/// # Errors
/// When there is no kubeconfig.
pub(super) fn run(args: &KubeconfigArgs, context: &Context) -> Result<Exit, CliError> {
    let dir = Dir::at(&args.place.path())?;
    let path = dir.kubeconfig();
    if !path.exists() {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!("No sandbox was started in {}", dir.path().display()),
        )
        .hint(format!(
            "`kubectl kubestash sandbox up{}` starts one",
            args.place.flag()
        )));
    }
    if dir.running().is_none() {
        context.ui.warn("the sandbox does not run");
    }
    if args.content {
        let text =
            std::fs::read_to_string(&path).map_err(|e| CliError::file(&path.display().to_string(), &e))?;
        context.ui.data(&text)?;
    } else {
        context.ui.line(&path.display().to_string())?;
    }
    Ok(Exit::Ok)
}
