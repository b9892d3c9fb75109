//! Argument vectors for restic. Pure: nothing is started here.

use std::time::Duration;

use crate::backend::ResticEnvironment;

/// The cache of restic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// `--no-cache`.
    #[default]
    None,
    /// `--cache-dir`.
    Directory(String),
}

/// One of restic's commands, as far as we use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Back a path up.
    Backup {
        /// The path.
        path: String,
        /// `--host`: the component, stable over sessions.
        host: String,
        /// `--exclude` patterns.
        exclude: Vec<String>,
    },
    /// Restore a snapshot.
    Restore {
        /// Snapshot id, or `<id>:<directory>` for a part of it.
        id: String,
        /// Directory that the snapshot (or the part of it) is restored into.
        target: String,
        /// Work without a lock, for storages that are read-only.
        no_lock: bool,
        /// `--include` patterns.
        include: Vec<String>,
        /// `--exclude` patterns.
        exclude: Vec<String>,
    },
    /// Create the repository. Only under rule 3, see [`super::Repository::init`].
    Init,
    /// Forget snapshots by id.
    Forget {
        /// Snapshot ids.
        ids: Vec<String>,
    },
    /// Free the space of what no snapshot needs.
    Prune {
        /// `--max-repack-size`, for example `10G`.
        max_repack_size: String,
    },
    /// Check the structure, with `read_data` every byte.
    Check {
        /// `--read-data`.
        read_data: bool,
    },
    /// List snapshots; all when no id is named.
    Snapshots {
        /// Snapshot ids.
        ids: Vec<String>,
    },
    /// Read the configuration: the cheapest proof that the repository opens with this password.
    CatConfig,
    /// Read one lock.
    CatLock {
        /// Lock id.
        id: String,
    },
}

impl Command {
    /// The word people know.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Backup { .. } => "backup",
            Self::Restore { .. } => "restore",
            Self::Init => "init",
            Self::Forget { .. } => "forget",
            Self::Prune { .. } => "prune",
            Self::Check { .. } => "check",
            Self::Snapshots { .. } => "snapshots",
            Self::CatConfig | Self::CatLock { .. } => "cat",
        }
    }

    /// Short reading commands take no lock: they must not stop anybody. A restore takes one, or a prune could delete what
    /// it is about to read.
    const fn reads(&self) -> bool {
        matches!(
            self,
            Self::Snapshots { .. } | Self::CatConfig | Self::CatLock { .. } | Self::Check { .. }
        )
    }

    /// The command's own arguments.
    fn own(&self) -> Vec<String> {
        let mut args = vec![self.name().to_owned()];
        let repeat = |flag: &str, values: &[String], args: &mut Vec<String>| {
            for value in values {
                // One argument each: a pattern that begins with a dash stays a pattern.
                args.push(format!("{flag}={value}"));
            }
        };
        match self {
            Self::Backup { path, host, exclude } => {
                args.push(format!("--host={host}"));
                repeat("--exclude", exclude, &mut args);
                args.extend(["--".to_owned(), path.clone()]);
            }
            Self::Restore {
                id,
                target,
                no_lock,
                include,
                exclude,
            } => {
                if *no_lock {
                    args.push("--no-lock".into());
                }
                args.push(format!("--target={target}"));
                args.push("--sparse".into());
                repeat("--include", include, &mut args);
                repeat("--exclude", exclude, &mut args);
                args.extend(["--".to_owned(), id.clone()]);
            }
            Self::Init => {}
            Self::Forget { ids } | Self::Snapshots { ids } => {
                args.push("--".into());
                args.extend(ids.iter().cloned());
            }
            Self::Prune { max_repack_size } => args.push(format!("--max-repack-size={max_repack_size}")),
            Self::Check { read_data } => {
                if *read_data {
                    args.push("--read-data".into());
                }
            }
            Self::CatConfig => args.push("config".into()),
            Self::CatLock { id } => args.extend(["lock".to_owned(), id.clone()]),
        }
        args
    }
}

/// A command with everything around it.
#[derive(Clone, Debug)]
pub struct Invocation<'a> {
    /// The command.
    pub command: Command,
    /// Where the repository is.
    pub environment: &'a ResticEnvironment,
    /// The cache.
    pub cache: &'a Cache,
    /// How long restic may wait for somebody else's lock.
    pub retry_lock: Duration,
}

impl Invocation<'_> {
    /// The arguments after the program's name. The repository is not among them: it travels in the environment as
    /// `RESTIC_REPOSITORY`, so that process lists stay short.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut args = vec!["--json".to_owned()];
        args.extend(self.environment.arguments.iter().cloned());
        match self.cache {
            Cache::None => args.push("--no-cache".into()),
            Cache::Directory(dir) => {
                args.push(format!("--cache-dir={dir}"));
                if matches!(self.command, Command::Backup { .. }) {
                    args.push("--cleanup-cache".into());
                }
            }
        }
        if self.command.reads() {
            args.push("--no-lock".into());
        } else if self.retry_lock > Duration::ZERO && !matches!(self.command, Command::Init) {
            args.push(format!("--retry-lock={}s", self.retry_lock.as_secs()));
        }
        args.extend(self.command.own());
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: Command, cache: &Cache) -> String {
        let environment = ResticEnvironment {
            arguments: vec!["--cacert".into(), "/t/ca.crt".into()],
            ..ResticEnvironment::default()
        };
        Invocation {
            command,
            environment: &environment,
            cache,
            retry_lock: Duration::from_secs(60),
        }
        .arguments()
        .join(" ")
    }

    #[test]
    fn backup() {
        let command = Command::Backup {
            path: "/data/-odd".into(),
            host: "dump-pod-0".into(),
            exclude: vec!["*.tmp".into(), "-x".into()],
        };
        assert_eq!(
            line(command, &Cache::Directory("/s/restic-cache".into())),
            "--json --cacert /t/ca.crt --cache-dir=/s/restic-cache --cleanup-cache --retry-lock=60s \
             backup --host=dump-pod-0 --exclude=*.tmp --exclude=-x -- /data/-odd"
        );
    }

    #[test]
    fn restoring_takes_a_lock_and_looking_takes_none() {
        let command = Command::Restore {
            id: "abc".into(),
            target: "/".into(),
            no_lock: false,
            include: vec!["/data/a".into()],
            exclude: Vec::new(),
        };
        assert_eq!(
            line(command, &Cache::None),
            "--json --cacert /t/ca.crt --no-cache --retry-lock=60s restore --target=/ --sparse --include=/data/a -- abc"
        );
        for command in [
            Command::CatConfig,
            Command::Snapshots { ids: Vec::new() },
            Command::CatLock { id: "x".into() },
            Command::Check { read_data: true },
        ] {
            assert!(line(command, &Cache::None).contains("--no-lock"));
        }
    }

    #[test]
    fn forget_and_prune_are_apart() {
        let ids = vec!["a".to_owned(), "b".to_owned()];
        let forget = line(Command::Forget { ids }, &Cache::None);
        assert!(forget.ends_with("--retry-lock=60s forget -- a b"), "{forget}");
        let prune = line(
            Command::Prune {
                max_repack_size: "10G".into(),
            },
            &Cache::None,
        );
        assert!(
            prune.ends_with("--retry-lock=60s prune --max-repack-size=10G"),
            "{prune}"
        );
        assert!(line(Command::Init, &Cache::None).ends_with("--no-cache init"));
    }
}
