//! Judges what a restore could not do with single files.

use crate::decide::words::counted;
use crate::restic::messages::ItemError;

/// How many files are named.
const NAMED: usize = 20;

/// Errors of single files, sorted by what they mean.
#[derive(Debug, Default)]
pub(super) struct FileErrors {
    /// Files whose content is there, but whose owner, mode, times or extended attributes could not be set.
    pub(super) attributes: u64,
    /// The first of those, with the reason.
    pub(super) attribute_files: Vec<String>,
    /// Files that are not there, or not whole.
    pub(super) content: u64,
    /// The first of those, with the reason.
    pub(super) content_files: Vec<String>,
}

impl FileErrors {
    /// Takes one error.
    pub(super) fn take(&mut self, error: &ItemError) {
        let line = if error.item.is_empty() {
            error.message.clone()
        } else {
            format!("{}: {}", error.item, error.message)
        };
        let (count, files) = if only_attributes(&error.message) {
            (&mut self.attributes, &mut self.attribute_files)
        } else {
            (&mut self.content, &mut self.content_files)
        };
        *count += 1;
        if files.len() < NAMED {
            files.push(line);
        }
    }

    /// The warning about attributes; `None` when all could be set.
    pub(super) fn warning(&self) -> Option<String> {
        (self.attributes > 0).then(|| {
            format!(
                "owner, mode, times or extended attributes of {} could not be set, all contents are complete; the first: {}",
                counted(self.attributes, "file"),
                self.attribute_files.first().map_or("", String::as_str)
            )
        })
    }
}

/// Volumes without owners (FUSE, some NFS exports, user namespaces) and unprivileged Jobs cannot set everything.
fn only_attributes(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let call = [
        "lchown",
        "chown",
        "chmod",
        "lsetxattr",
        "setxattr",
        "xattr",
        "utimensat",
        "utimes",
        "lutimes",
        "chtimes",
        "security context",
    ]
    .iter()
    .any(|call| lower.contains(call));
    let refusal = [
        "operation not permitted",
        "permission denied",
        "operation not supported",
        "not supported",
        "invalid argument",
        "function not implemented",
        "read-only file system",
    ]
    .iter()
    .any(|refusal| lower.contains(refusal));
    call && refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> ItemError {
        ItemError {
            message: message.into(),
            during: "restore".into(),
            item: "/data/x".into(),
        }
    }

    #[test]
    fn attributes_and_contents_are_told_apart() {
        let mut errors = FileErrors::default();
        for message in [
            "lchown /data/x: operation not permitted",
            "failed to restore metadata: Lsetxattr: operation not supported",
            "chmod /data/x: operation not permitted",
        ] {
            errors.take(&error(message));
        }
        assert_eq!((errors.attributes, errors.content), (3, 0));
        for message in [
            "write /data/x: no space left on device",
            "open /data/x: permission denied",
            "lchown /data/x: no such file or directory",
            "ciphertext verification failed",
        ] {
            errors.take(&error(message));
        }
        assert_eq!((errors.attributes, errors.content), (3, 4));
        assert!(errors.warning().unwrap().contains("of 3 files"));
    }
}
