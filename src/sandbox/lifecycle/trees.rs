//! Trees of volumes, copied and removed with the ids containers have: where an ordinary user runs the sandbox, files
//! in volumes may belong to ids that exist only in the containers' user namespace.

use std::io;
use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::sandbox::controllers::{OwnTrees, Trees};
use crate::sandbox::node::process::Launcher;
use crate::sandbox::node::userns::run_mapped;

/// The trees of a node's containers.
#[derive(Debug)]
pub(super) struct ContainerTrees(pub(super) Launcher);

impl Trees for ContainerTrees {
    fn copy(&self, from: PathBuf, to: PathBuf) -> BoxFuture<'_, io::Result<()>> {
        let Launcher { program, ids } = &self.0;
        if ids.map().is_none() {
            return OwnTrees.copy(from, to);
        }
        async move { run_mapped(program, ids, "copy", &from, Some(&to)).await }.boxed()
    }

    fn remove(&self, tree: PathBuf) -> BoxFuture<'_, io::Result<()>> {
        async move { self.0.remove_tree(&tree).await }.boxed()
    }
}
