//! `sandbox down`: ends a sandbox, and deletes it when asked to.

use super::DownArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::sandbox::lifecycle::{Error, background};

/// Ends it. That none runs is not an error: what is wanted is so.
///
/// # Errors
/// When it does not end, or its directory cannot be deleted.
pub(super) async fn run(args: &DownArgs, context: &Context) -> Result<Exit, CliError> {
    let dir = args.place.path();
    match background::stop(&dir).await {
        Ok(running) => context
            .ui
            .say(&format!("The sandbox at {} has ended.", running.address)),
        Err(Error::NotRunning(dir)) => context.ui.say(&format!("No sandbox runs in {}.", dir.display())),
        Err(error) => return Err(error.into()),
    }
    if args.delete {
        let program = std::env::current_exe().map_err(|e| CliError::file("this program's own file", &e))?;
        if background::delete(&dir, &program).await? {
            context.ui.say(&format!("{} is deleted.", dir.display()));
        }
    }
    Ok(Exit::Ok)
}
