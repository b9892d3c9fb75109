//! Asking before something that cannot be taken back. All commands ask alike: on a terminal for a word to be typed, and
//! where nobody can be asked they want `--yes` and do nothing without it.

use std::io::{BufRead, IsTerminal};

use super::context::Context;
use super::error::{CliError, Exit};

/// What is asked for.
pub struct Confirmation<'t> {
    /// The word to type: a name or a number where a habitual `yes` would be too quick.
    pub word: &'t str,
    /// What the word does, such as `delete`.
    pub verb: &'t str,
    /// What did not happen after another answer, such as `nothing was deleted`.
    pub otherwise: &'t str,
}

impl Confirmation<'_> {
    /// Asks, unless `--yes` has said it already.
    ///
    /// # Errors
    /// A usage error where nobody can be asked; [`Exit::Interrupted`] when the answer is another.
    pub fn ask(&self, yes: bool, context: &Context) -> Result<(), CliError> {
        if yes {
            return Ok(());
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Err(
                CliError::usage("nobody is there to confirm this: standard input is no terminal")
                    .hint(format!("`--yes` says {} without being asked", self.verb)),
            );
        }
        context.ui.flush()?;
        context.ui.say(&format!("Type {} to {}:", self.word, self.verb));
        let mut typed = String::new();
        stdin.lock().read_line(&mut typed)?;
        if typed.trim() == self.word {
            return Ok(());
        }
        Err(CliError::new(Exit::Interrupted, self.otherwise).cause("the answer was another"))
    }
}
