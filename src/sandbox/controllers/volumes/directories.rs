//! Volumes and snapshots as directories. Everything that touches the file system on behalf of the controllers is
//! here or in [`super::trees`].
//!
//! A copy is made beside its place and renamed when it is complete, so that a directory that is there is whole.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::fs;

use super::trees::Trees;
use crate::sandbox::controllers::engine::Error;

/// Anybody may write into a volume: containers run as many users, and nothing here changes owners for them.
const OPEN: u32 = 0o777;

/// Where volumes and snapshots are kept.
#[derive(Debug, Clone)]
pub(in super::super) struct Directories {
    root: Arc<Path>,
    trees: Arc<dyn Trees>,
}

impl Directories {
    /// Everything is kept below this directory, which is made when it is needed.
    pub(in super::super) fn new(root: &Path, trees: Arc<dyn Trees>) -> Self {
        Self {
            root: root.into(),
            trees,
        }
    }

    /// The directory of a volume.
    pub(in super::super) fn volume(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The directory of a snapshot.
    pub(in super::super) fn snapshot(&self, name: &str) -> PathBuf {
        self.root.join("snapshots").join(name)
    }

    /// Whether the path lies below our own directory, so that it may be removed.
    pub(in super::super) fn owns(&self, path: &Path) -> bool {
        let climbs = path
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        !climbs && path.starts_with(&*self.root) && path != &*self.root
    }

    /// Copies a directory with all its attributes. Does nothing if `to` is there already: then it is whole.
    pub(in super::super) async fn copy(&self, from: &Path, to: &Path) -> Result<(), Error> {
        if exists(to).await {
            return Ok(());
        }
        let partial = to.with_extension("partial");
        self.remove(&partial).await?;
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).await.map_err(failed("make", parent))?;
        }
        let copied = self.trees.copy(from.to_owned(), partial.clone()).await;
        copied.map_err(failed("copy", from))?;
        fs::rename(&partial, to).await.map_err(failed("finish", to))
    }

    /// Removes a directory and all it contains. One that is not there is no error.
    pub(in super::super) async fn remove(&self, path: &Path) -> Result<(), Error> {
        self.trees
            .remove(path.to_owned())
            .await
            .map_err(failed("remove", path))
    }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = format!("could not {what} {}", path.display());
    move |error| Error::File(what, error)
}

/// Whether there is such a directory.
pub(in super::super) async fn exists(path: &Path) -> bool {
    fs::metadata(path).await.is_ok_and(|meta| meta.is_dir())
}

/// Makes an empty directory, or leaves one that is there.
pub(in super::super) async fn make(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).await.map_err(failed("make", path))?;
    let open = std::fs::Permissions::from_mode(OPEN);
    fs::set_permissions(path, open)
        .await
        .map_err(failed("open", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::sandbox::controllers::OwnTrees;

    #[tokio::test]
    async fn a_copy_keeps_what_files_are() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::new(root.path(), Arc::new(OwnTrees));
        let (from, to) = (directories.volume("a"), directories.snapshot("s"));
        make(&from).await.unwrap();
        std::fs::write(from.join("plain"), "text").unwrap();
        std::fs::set_permissions(from.join("plain"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::hard_link(from.join("plain"), from.join("second")).unwrap();
        std::os::unix::fs::symlink("plain", from.join("link")).unwrap();
        std::fs::File::create(from.join("sparse"))
            .unwrap()
            .set_len(8 << 20)
            .unwrap();
        directories.copy(&from, &to).await.unwrap();
        let meta = |name: &str| std::fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(meta("plain").mode() & 0o777, 0o640);
        assert_eq!(meta("plain").ino(), meta("second").ino());
        assert_eq!(
            meta("plain").mtime(),
            std::fs::metadata(from.join("plain")).unwrap().mtime()
        );
        assert!(meta("link").is_symlink());
        assert_eq!(meta("sparse").len(), 8 << 20);
        assert!(meta("sparse").blocks() < 100);
        assert!(!to.with_extension("partial").exists());
        directories.remove(&to).await.unwrap();
        directories.remove(&to).await.unwrap();
        assert!(!to.exists());
        assert!(directories.owns(&to) && !directories.owns(Path::new("/etc")));
        assert!(!directories.owns(&root.path().join("../etc")) && !directories.owns(root.path()));
    }

    #[tokio::test]
    async fn a_copy_of_nothing_says_so_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::new(root.path(), Arc::new(OwnTrees));
        let to = root.path().join("to");
        let error = directories
            .copy(&root.path().join("missing"), &to)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        assert!(!to.exists());
    }
}
