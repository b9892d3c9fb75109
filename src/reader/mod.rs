//! The in-cluster side of looking into repositories: `kubestash reader serve` and `kubestash reader run`.
//!
//! A reader pod's own process is `serve`: it waits, and ends when nobody has used it for a while. Each question of a
//! person's plugin is one `run`, started over exec: its first line on standard input is an [`op::Request`], standard
//! output is the plain answer (lines of JSON, or bytes of files), and standard error carries [`op::Control`] messages,
//! one JSON line each: that it is alive, hashes of what was written so far, and at last an end with the hash of
//! everything, or why it failed. Whoever reads compares what arrived with these hashes.
//!
//! The plugin's `--local` calls [`perform`] in its own process with a restic of the workstation; there is one
//! implementation. restic's cache lies in the pod's scratch volume, so that later questions are quick.

mod archive;
pub mod content;
pub mod entry;
mod keyring;
mod keys;
pub mod listing;
mod live;
mod memory;
pub mod names;
pub mod native;
pub mod op;
pub mod pattern;
pub mod perform;
mod process;
mod search;
pub mod serve;
pub mod source;
pub mod tar;

use std::process::ExitCode;

use self::op::{Control, Request};

pub use self::perform::perform;
pub use self::source::{Source, Trouble};

/// What the reader does.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Which part.
    #[command(subcommand)]
    role: Role,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Role {
    /// Wait until nobody needs this pod any more
    Serve,
    /// Answer the one request on standard input
    Run,
}

/// Runs the role to its end.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    crate::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    let code = match options.role {
        Role::Serve => {
            crate::telemetry::start();
            runtime.block_on(serve::serve())
        }
        Role::Run => runtime.block_on(answer()),
    };
    // A thread may still sit in a read of standard input, which never ends.
    runtime.shutdown_background();
    code
}

/// Answers one request.
async fn answer() -> ExitCode {
    let (say, heard) = tokio::sync::mpsc::unbounded_channel();
    let speaking = tokio::spawn(op::speak(heard));
    let result = Box::pin(answered(&say)).await;
    let (last, code) = match result {
        Ok(end) => (end, ExitCode::SUCCESS),
        Err(trouble) => (trouble.into_control(), ExitCode::FAILURE),
    };
    let _ = say.send(last);
    drop(say);
    let _ = speaking.await;
    code
}

async fn answered(say: &tokio::sync::mpsc::UnboundedSender<Control>) -> Result<Control, Trouble> {
    let request = Request::read(streams::input()?).await?;
    let _in_use = serve::in_use();
    if request.op.is_live() {
        return live::perform(&request.op, streams::output()?, say).await;
    }
    let source = Source::mounted()?;
    perform(&request, &source, streams::output()?, say).await
}

/// The process's own streams as files: nothing is buffered twice, and a socket serves as well as a pipe.
#[cfg(unix)]
mod streams {
    use std::io::Result;
    use std::os::fd::{AsFd, BorrowedFd};

    use tokio::fs::File;
    use tokio::io::AsyncWrite;
    use tokio::net::unix::pipe::Sender;

    fn file(fd: BorrowedFd<'_>) -> Result<std::fs::File> {
        Ok(std::fs::File::from(fd.try_clone_to_owned()?))
    }

    pub(super) fn input() -> Result<File> {
        Ok(File::from_std(file(std::io::stdin().as_fd())?))
    }

    /// A pipe is written without a thread between, where the system has one for us.
    pub(super) fn output() -> Result<Box<dyn AsyncWrite + Unpin>> {
        let stdout = file(std::io::stdout().as_fd())?;
        // What is no pipe, or one that somebody reads from as well, is refused.
        match Sender::from_file(stdout.try_clone()?) {
            Ok(pipe) => Ok(Box::new(pipe)),
            Err(_) => Ok(Box::new(File::from_std(stdout))),
        }
    }

    pub(super) fn messages() -> Result<File> {
        Ok(File::from_std(file(std::io::stderr().as_fd())?))
    }
}

/// Readers run in Linux containers.
#[cfg(not(unix))]
mod streams {
    use std::io::{Error, ErrorKind, Result};

    use tokio::fs::File;

    fn none() -> Result<File> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    pub(super) fn input() -> Result<File> {
        none()
    }

    pub(super) fn output() -> Result<File> {
        none()
    }

    pub(super) fn messages() -> Result<File> {
        none()
    }
}
