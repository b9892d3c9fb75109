//! The flags of Jobs. They come from the Functions' arguments after substitution, so every flag may be empty, and empty
//! means that nobody set it.

use super::job::Failure;
use crate::api::config::job_result::JobCause;

/// A Job of the data mover; its plan is mounted beside it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub job: Task,
}

/// What a Job does.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Task {
    /// Back up paths of a workload
    WorkloadBackup(BackupFlags),
    /// Back up a volume
    PvcBackup(BackupFlags),
    /// Restore paths of a workload
    WorkloadRestore(RestoreFlags),
    /// Restore a volume
    PvcRestore(RestoreFlags),
    /// Forget what retention gave up, and prune where the plan says so
    Retention,
    /// Work on the documents of a storage that only a Job can mount
    Storage,
    /// Carry out the action of a hook
    Hook,
}

impl Task {
    /// The name on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WorkloadBackup(_) => "workload-backup",
            Self::PvcBackup(_) => "pvc-backup",
            Self::WorkloadRestore(_) => "workload-restore",
            Self::PvcRestore(_) => "pvc-restore",
            Self::Retention => "retention",
            Self::Storage => "storage",
            Self::Hook => "hook",
        }
    }
}

/// Flags of backups.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BackupFlags {
    /// Namespace of the BackupSession (the plan says it too)
    #[arg(long, default_value = "")]
    pub namespace: String,
    /// Name of the BackupSession (the plan says it too)
    #[arg(long, default_value = "")]
    pub backupsession: String,
    /// Whether restic keeps a cache in the scratch directory
    #[arg(long, default_value = "")]
    pub enable_cache: String,
    /// Directory for temporary files and the cache
    #[arg(long, default_value = "")]
    pub scratch_dir: String,
    /// Paths to back up, separated by commas
    #[arg(long, default_value = "")]
    pub paths: String,
    /// Patterns of files to leave out, separated by commas
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub exclude: String,
    /// Whether a backup that could not read some files counts as a success with a warning
    #[arg(long, default_value = "")]
    pub allow_partial: String,
}

/// Flags of restores.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RestoreFlags {
    /// Namespace of the RestoreSession (the plan says it too)
    #[arg(long, default_value = "")]
    pub namespace: String,
    /// Name of the RestoreSession (the plan says it too)
    #[arg(long, default_value = "")]
    pub restoresession: String,
    /// Name of the Snapshot (the plan says what it holds)
    #[arg(long, default_value = "")]
    pub snapshot: String,
    /// Whether restic keeps a cache in the scratch directory
    #[arg(long, default_value = "")]
    pub enable_cache: String,
    /// Directory for temporary files and the cache
    #[arg(long, default_value = "")]
    pub scratch_dir: String,
    /// Patterns of files to leave out, separated by commas
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub exclude: String,
    /// Patterns of the only files to restore, separated by commas
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub include: String,
    /// Whether a snapshot without any file may be restored
    #[arg(long, default_value = "")]
    pub allow_empty: String,
}

/// Reads a switch; empty means `default`.
///
/// # Errors
/// When it is neither true nor false.
pub(super) fn switch(flag: &str, value: &str, default: bool) -> Result<bool, Failure> {
    match value.trim().to_ascii_lowercase().as_str() {
        "" => Ok(default),
        "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(Failure::new(
            JobCause::Misconfigured,
            format!("--{flag}={value} is neither true nor false; correct the task's parameters"),
        )),
    }
}

/// Splits a list at its commas; `\,` stands for a comma in a name. Blanks around entries go, empty entries vanish.
#[must_use]
pub(super) fn list(value: &str) -> Vec<String> {
    let mut entries = vec![String::new()];
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.peek() == Some(&',') => {
                rest.next();
                if let Some(last) = entries.last_mut() {
                    last.push(',');
                }
            }
            ',' => entries.push(String::new()),
            c => {
                if let Some(last) = entries.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    entries
        .into_iter()
        .map(|entry| entry.trim().to_owned())
        .filter(|entry| !entry.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_at_commas_only() {
        assert_eq!(list("/a, /b c,,/d\\,e,"), ["/a", "/b c", "/d,e"]);
        assert!(list("").is_empty());
        assert_eq!(list("a\\b"), ["a\\b"]);
    }

    #[test]
    fn a_switch_nobody_set_has_its_default() {
        assert!(switch("enable-cache", "", true).unwrap());
        assert!(!switch("enable-cache", "False", true).unwrap());
        let error = switch("allow-partial", "maybe", false).unwrap_err();
        assert!(
            error.message.contains("--allow-partial=maybe"),
            "{}",
            error.message
        );
    }
}
