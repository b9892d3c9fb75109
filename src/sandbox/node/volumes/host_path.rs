//! `hostPath`: a path of this computer, checked or created as its `type` says.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The path if it is what `kind` asks for.
pub(crate) fn resolve(path: &str, kind: &str) -> Result<PathBuf, String> {
    let at = PathBuf::from(path);
    if !at.is_absolute() {
        return Err(format!("hostPath \"{path}\" is not an absolute path"));
    }
    let failed = |e: std::io::Error| format!("hostPath {path}: {e}");
    let meta = fs::metadata(&at).ok();
    let is = |what: &str, right: bool| match (&meta, right) {
        (_, true) => Ok(at.clone()),
        (None, _) => Err(format!("hostPath type check failed: {path} does not exist")),
        _ => Err(format!("hostPath type check failed: {path} is not a {what}")),
    };
    match kind {
        // Like container runtimes: what is not there becomes a directory.
        "" | "DirectoryOrCreate" if meta.is_none() => {
            fs::create_dir_all(&at).map(|()| at.clone()).map_err(failed)
        }
        "" => Ok(at),
        "FileOrCreate" if meta.is_none() => touch(&at).map(|()| at.clone()).map_err(failed),
        "Directory" | "DirectoryOrCreate" => is("directory", meta.as_ref().is_some_and(fs::Metadata::is_dir)),
        "File" | "FileOrCreate" => is("file", meta.as_ref().is_some_and(fs::Metadata::is_file)),
        "Socket" => is("socket", meta.as_ref().is_some_and(|m| m.file_type().is_socket())),
        "CharDevice" => is(
            "character device",
            meta.as_ref().is_some_and(|m| m.file_type().is_char_device()),
        ),
        "BlockDevice" => is(
            "block device",
            meta.as_ref().is_some_and(|m| m.file_type().is_block_device()),
        ),
        other => Err(format!("hostPath type \"{other}\" is unknown")),
    }
}

fn touch(path: &Path) -> std::io::Result<()> {
    fs::File::create_new(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_created() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        assert!(
            resolve(&path("a"), "Directory")
                .unwrap_err()
                .contains("does not exist")
        );
        assert!(resolve(&path("a"), "DirectoryOrCreate").unwrap().is_dir());
        assert!(resolve(&path("a"), "File").unwrap_err().contains("is not a file"));
        assert!(resolve(&path("f"), "FileOrCreate").unwrap().is_file());
        assert!(resolve(&path("f"), "FileOrCreate").is_ok());
        assert!(resolve(&path("b"), "").unwrap().is_dir());
        assert!(resolve("/dev/null", "CharDevice").is_ok());
        assert!(resolve("relative", "").unwrap_err().contains("absolute"));
        assert!(resolve(&path("a"), "Sock").unwrap_err().contains("unknown"));
    }
}
