//! Copying and removing whole trees of files. Containers of a sandbox that an ordinary user runs write files with
//! ids that user has not got, so who runs the containers may offer a way of its own ([`Trees`]); else this process
//! does it ([`OwnTrees`]).

use std::ffi::OsStr;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::fs;
use tokio::process::Command;

/// Copies and removes trees of files, whoever owns what is in them.
pub trait Trees: Debug + Send + Sync {
    /// Copies a directory with modes, owners, times, links, holes and extended attributes to a place where nothing
    /// is yet. What is there after a failure is of no use.
    fn copy(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'_, io::Result<()>>;

    /// Removes a directory and all it contains. One that is not there is no error.
    fn remove(&self, tree: PathBuf) -> BoxFuture<'_, io::Result<()>>;
}

/// Trees as this process and its user can handle them.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnTrees;

impl Trees for OwnTrees {
    fn copy(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'_, io::Result<()>> {
        async move {
            let full = ["--archive", "--reflink=auto", "--sparse=auto"].map(OsStr::new);
            let Err(error) = run_cp(&full, &from, &to).await else {
                return Ok(());
            };
            // Small systems have a cp that knows only the short options.
            self.remove(to.clone()).await?;
            let plain = run_cp(&["-a"].map(OsStr::new), &from, &to).await;
            plain.map_err(|_| error)
        }
        .boxed()
    }

    fn remove(&self, tree: PathBuf) -> BoxFuture<'_, io::Result<()>> {
        async move {
            match fs::remove_dir_all(&tree).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    // A directory somebody closed on purpose: open everything, then try once more.
                    let mut open = Command::new("chmod");
                    open.args(["-R", "u+rwX", "--"]).arg(&tree).stderr(Stdio::null());
                    open.kill_on_drop(true).status().await?;
                    fs::remove_dir_all(&tree).await
                }
                outcome => outcome,
            }
        }
        .boxed()
    }
}

async fn run_cp(options: &[&OsStr], from: &Path, to: &Path) -> io::Result<()> {
    let mut command = Command::new("cp");
    command
        .args(options)
        .arg("--")
        .arg(from)
        .arg(to)
        .stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(
        said.lines().last().unwrap_or("cp failed").to_owned(),
    ))
}
