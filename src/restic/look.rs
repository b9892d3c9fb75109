//! What a person asks a repository: argument vectors of the commands that look, and those about keys.
//!
//! Paths are bytes here, because file names are. Called by the reader.

use std::ffi::OsString;
use std::path::PathBuf;

use super::command::Cache;
use super::repository::Repository;

/// One question, or one change of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The entries of a directory (itself first), as JSON lines.
    Ls {
        /// Snapshot id.
        id: String,
        /// The directory; `None`: everything.
        path: Option<OsString>,
        /// Everything below it.
        recursive: bool,
    },
    /// The content of a file, or a tar archive of a directory.
    Dump {
        /// Snapshot id.
        id: String,
        /// The file or directory.
        path: OsString,
    },
    /// The tree object of a directory, in which names stand without loss.
    Tree {
        /// Snapshot id.
        id: String,
        /// The directory.
        path: OsString,
    },
    /// Files by pattern in many snapshots.
    Find {
        /// Snapshot ids; all when empty.
        ids: Vec<String>,
        /// restic's patterns.
        patterns: Vec<OsString>,
        /// Small letters match capitals.
        ignore_case: bool,
    },
    /// What differs between two snapshots.
    Diff {
        /// The older.
        from: String,
        /// The newer.
        to: String,
    },
    /// All snapshots.
    Snapshots,
    /// How large the repository is on disk.
    Stats,
    /// The structure, with `read_data` every byte.
    Check {
        /// `--read-data`.
        read_data: bool,
    },
    /// The keys.
    KeyList,
    /// A further key, whose password is in a file.
    KeyAdd {
        /// The file; the only place where a password may be.
        file: PathBuf,
        /// What the key's user is called; empty: restic's guess.
        user: String,
        /// What the key's host is called; empty: restic's guess.
        host: String,
    },
    /// Removes a key; restic refuses the one it has opened the repository with.
    KeyRemove {
        /// Its id.
        key: String,
    },
}

impl Look {
    /// The word people know.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ls { .. } => "ls",
            Self::Dump { .. } => "dump",
            Self::Tree { .. } => "cat",
            Self::Find { .. } => "find",
            Self::Diff { .. } => "diff",
            Self::Snapshots => "snapshots",
            Self::Stats => "stats",
            Self::Check { .. } => "check",
            Self::KeyList | Self::KeyAdd { .. } | Self::KeyRemove { .. } => "key",
        }
    }

    fn own(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![self.name().into()];
        let mut add = |texts: &[&str]| args.extend(texts.iter().map(OsString::from));
        match self {
            Self::Ls { id, path, recursive } => {
                if *recursive {
                    add(&["--recursive"]);
                }
                add(&["--", id]);
                args.extend(path.clone());
            }
            Self::Dump { id, path } => {
                add(&["--archive=tar", "--", id]);
                args.push(path.clone());
            }
            Self::Tree { id, path } => {
                add(&["--", "tree"]);
                let mut place = OsString::from(format!("{id}:"));
                place.push(path);
                args.push(place);
            }
            Self::Find {
                ids,
                patterns,
                ignore_case,
            } => {
                if *ignore_case {
                    add(&["--ignore-case"]);
                }
                for id in ids {
                    add(&[&format!("--snapshot={id}")]);
                }
                add(&["--"]);
                args.extend(patterns.iter().cloned());
            }
            Self::Diff { from, to } => add(&["--metadata", "--", from, to]),
            Self::Snapshots => {}
            Self::Stats => add(&["--mode=raw-data"]),
            Self::Check { read_data } => {
                if *read_data {
                    add(&["--read-data"]);
                }
            }
            Self::KeyList => add(&["list"]),
            Self::KeyAdd { file, user, host } => {
                add(&["add"]);
                let mut option = OsString::from("--new-password-file=");
                option.push(file);
                args.push(option);
                for (flag, value) in [("--user", user), ("--host", host)] {
                    if !value.is_empty() {
                        args.push(format!("{flag}={value}").into());
                    }
                }
            }
            Self::KeyRemove { key } => add(&["remove", "--", key]),
        }
        args
    }

    /// The arguments after the program's name. With `lock` restic keeps a prune away while it reads.
    #[must_use]
    pub fn arguments(&self, repository: &Repository, lock: bool) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["--json".into()];
        args.extend(repository.environment.arguments.iter().map(OsString::from));
        match &repository.cache {
            Cache::None => args.push("--no-cache".into()),
            Cache::Directory(dir) => args.push(format!("--cache-dir={dir}").into()),
        }
        if lock {
            args.push(format!("--retry-lock={}s", repository.retry_lock.as_secs()).into());
        } else if !matches!(self, Self::KeyAdd { .. } | Self::KeyRemove { .. }) {
            args.push("--no-lock".into());
        }
        args.extend(self.own());
        args
    }

    /// The process that answers; nothing is started yet.
    #[must_use]
    pub fn process(&self, repository: &Repository, lock: bool) -> tokio::process::Command {
        repository.process(&self.arguments(repository, lock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(look: &Look) -> String {
        let args: Vec<String> = look
            .own()
            .iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        args.join(" ")
    }

    #[test]
    fn what_people_type_is_never_taken_for_an_option() {
        let dump = Look::Dump {
            id: "ab".into(),
            path: "-rf".into(),
        };
        assert_eq!(own(&dump), "dump --archive=tar -- ab -rf");
        let find = Look::Find {
            ids: vec!["ab".into()],
            patterns: vec!["--x".into()],
            ignore_case: true,
        };
        assert_eq!(own(&find), "find --ignore-case --snapshot=ab -- --x");
        let tree = Look::Tree {
            id: "ab".into(),
            path: "/a b".into(),
        };
        assert_eq!(own(&tree), "cat -- tree ab:/a b");
    }

    #[test]
    fn a_new_password_is_in_a_file_only() {
        let add = Look::KeyAdd {
            file: "/t/new".into(),
            user: "ann".into(),
            host: String::new(),
        };
        assert_eq!(own(&add), "key add --new-password-file=/t/new --user=ann");
        assert_eq!(own(&Look::KeyRemove { key: "k".into() }), "key remove -- k");
    }
}
