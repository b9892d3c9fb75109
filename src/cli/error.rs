//! Exit codes, and what a failed command tells a person: one sentence, its causes, and hints that can be pasted.
//!
//! The only place that turns errors of other rooms into kinds and hints. The codes are documented in
//! `docs/reference/exit-codes.md`, which a test compares with [`Exit::ALL`].

use std::error::Error as StdError;
use std::io;

use crate::cluster::Error as ClusterError;
use crate::output::format;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It could not do it.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The operation ran, and failed.
    Failed = 3,
    /// The operation ran, and only a part succeeded.
    Partial = 4,
    /// What was awaited did not come in time.
    TimedOut = 5,
    /// Nothing matches what was asked for.
    NothingMatched = 6,
    /// Something must be true first and is not.
    Precondition = 7,
    /// The user may not do this.
    Forbidden = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning, as the documentation lists them.
    pub const ALL: &[(Exit, &str)] = &[
        (Exit::Ok, "It did what was asked."),
        (
            Exit::Error,
            "It could not be done: the cluster cannot be reached, an answer was unexpected, a file cannot be read.",
        ),
        (Exit::Usage, "The command line is wrong."),
        (
            Exit::Failed,
            "The operation ran and failed: the backup or restore ended as `Failed`, or a file is not valid.",
        ),
        (
            Exit::Partial,
            "The operation ran and only a part of it succeeded.",
        ),
        (
            Exit::TimedOut,
            "What was awaited did not come within `--timeout` (or `--request-timeout`).",
        ),
        (
            Exit::NothingMatched,
            "Nothing matches: the named object, namespace, session or Snapshot does not exist.",
        ),
        (
            Exit::Precondition,
            "Something must be true first and is not: KubeStash is not installed, the BackupConfiguration is paused or not ready, a rule refuses the object.",
        ),
        (Exit::Forbidden, "Your user may not do this, or is not known."),
        (Exit::Interrupted, "Interrupted with Ctrl-C."),
    ];
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// The code to exit with.
    pub exit: Exit,
    /// One sentence with the object named, with its period.
    pub message: String,
    /// What lies behind it, outermost first.
    pub causes: Vec<String>,
    /// What to do, each with a command to paste in backticks where there is one.
    pub hints: Vec<String>,
    /// Nobody reads what we write (a closed pipe): say nothing, end well.
    pub silent: bool,
}

impl CliError {
    /// An error of one kind.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        CliError {
            exit,
            message: sentence(&message.into()),
            causes: Vec::new(),
            hints: Vec::new(),
            silent: false,
        }
    }

    /// Adds what lies behind it; an empty text adds nothing.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        if !cause.is_empty() {
            self.causes.push(cause);
        }
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The command line is wrong in a way that the parser cannot see.
    pub fn usage(message: impl Into<String>) -> Self {
        CliError::new(Exit::Usage, message).hint("`kubectl kubestash <command> --help` shows what it takes")
    }

    /// A file or stream of this machine cannot be read.
    pub fn file(path: &str, error: &io::Error) -> Self {
        CliError::new(Exit::Error, format!("{path} cannot be read")).cause(error.to_string())
    }
}

/// Ends a sentence with its period, unless it ends with a mark already.
fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?', ':']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return CliError {
                silent: true,
                ..CliError::new(Exit::Ok, "the reader went away")
            };
        }
        CliError::new(Exit::Error, "the output cannot be written").cause(error.to_string())
    }
}

impl From<format::Error> for CliError {
    fn from(error: format::Error) -> Self {
        if let format::Error::Io(io) = error {
            return io.into();
        }
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        CliError::new(Exit::Error, error.to_string()).cause(cause)
    }
}

impl From<ClusterError> for CliError {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error {
            ClusterError::NoConfiguration => CliError::new(Exit::Error, message)
                .hint("name one with `--kubeconfig FILE` or the variable KUBECONFIG")
                .hint("without any cluster, `kubectl kubestash sandbox up` starts one to try things in"),
            ClusterError::BadConfiguration { cause, known, .. } => {
                let error = CliError::new(Exit::Error, message).cause(cause);
                if known.is_empty() { error } else { error.hint(format!("there are: {}", known.join(", "))) }
            }
            ClusterError::Unreachable { cause, .. } => CliError::new(Exit::Error, message)
                .cause(cause)
                .hint("`kubectl cluster-info` shows whether kubectl reaches it; `--context` chooses another cluster"),
            ClusterError::TimedOut { .. } => CliError::new(Exit::TimedOut, message)
                .hint("`--request-timeout` allows more time for one request, `--timeout` for the whole wait"),
            ClusterError::Unauthorized { message: cause } => CliError::new(Exit::Forbidden, message)
                .cause(cause)
                .hint("log in again, or choose other credentials with `--user` or `--context`"),
            // Rights in one namespace are no help with what is asked of all of them.
            ClusterError::Forbidden { message: cause } if cause.contains("at the cluster scope") => CliError::new(Exit::Forbidden, message)
                .hint("this needs rights in the whole cluster: name a namespace with -n instead of -A, or ask a cluster administrator"),
            ClusterError::Forbidden { .. } => CliError::new(Exit::Forbidden, message)
                .hint("ask an administrator for the ClusterRole kubestash-edit (or kubestash-view to look only) in this namespace"),
            ClusterError::NotFound { .. } => CliError::new(Exit::NothingMatched, message),
            ClusterError::UnknownKind { .. } => CliError::new(Exit::Precondition, "KubeStash is not installed in this cluster")
                .cause(message)
                .hint("`kubectl kubestash install` installs it"),
            ClusterError::Exists { .. } => CliError::new(Exit::Precondition, message),
            ClusterError::Refused { .. } => CliError::new(Exit::Precondition, message)
                .hint("`kubectl kubestash validate -f FILE` shows every rule that an object breaks"),
            ClusterError::WebhookDown { message: cause } => CliError::new(Exit::Precondition, message)
                .cause(cause)
                .hint("`kubectl get pods -A -l app.kubernetes.io/name=kubestash-operator` shows the operator"),
            ClusterError::Gone => CliError::new(Exit::Error, message).hint("run the command again"),
            ClusterError::Other(_) => CliError::new(Exit::Error, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sentences() {
        assert_eq!(CliError::new(Exit::Error, "it failed").message, "it failed.");
        assert_eq!(CliError::new(Exit::Error, "why?").message, "why?");
        assert_eq!(CliError::new(Exit::Error, "x").cause("").causes.len(), 0);
    }

    #[test]
    fn a_closed_pipe_is_silent() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(error.silent);
        assert_eq!(error.exit, Exit::Ok);
    }

    #[test]
    fn each_kind_of_trouble_has_its_code() {
        let cases = [
            (ClusterError::NoConfiguration, Exit::Error),
            (
                ClusterError::Forbidden {
                    message: "no".to_owned(),
                },
                Exit::Forbidden,
            ),
            (
                ClusterError::NotFound { what: "x".to_owned() },
                Exit::NothingMatched,
            ),
            (
                ClusterError::UnknownKind { kind: "x".to_owned() },
                Exit::Precondition,
            ),
            (ClusterError::Gone, Exit::Error),
        ];
        for (error, exit) in cases {
            assert_eq!(CliError::from(error.clone()).exit, exit, "{error:?}");
        }
    }

    #[test]
    fn the_documentation_lists_every_code() {
        let page = include_str!("../../docs/reference/exit-codes.md");
        for (exit, meaning) in Exit::ALL {
            let row = format!("| {} | {meaning} |", *exit as u8);
            assert!(page.contains(&row), "missing: {row}");
        }
    }
}
