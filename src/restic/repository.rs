//! The few operations on a repository that we need, each one run of restic with its result read.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::command::{Cache, Command, Invocation};
use super::errors::{Cause, ResticError};
use super::messages::{BackupSummary, LockInfo, Message, RestoreSummary, SnapshotInfo};
use super::program::Program;
use super::redact::Redactor;
use super::run::{Limits, Outcome, run};
use crate::backend::{ResticEnvironment, SecretText};

/// Reports per second: one every two seconds, as often as status is written.
const PROGRESS_FPS: &str = "0.5";
/// Inherited settings that would point restic elsewhere.
const FOREIGN: [&str; 8] = [
    "RESTIC_PASSWORD_FILE",
    "RESTIC_PASSWORD_COMMAND",
    "RESTIC_REPOSITORY_FILE",
    "RESTIC_HOST",
    "RESTIC_CACHE_DIR",
    "RESTIC_KEY_HINT",
    "RESTIC_CACERT",
    "RESTIC_TLS_CLIENT_CERT",
];
/// How long a command may take that only reads one small object.
const SHORT: Duration = Duration::from_secs(120);

/// A restic repository and everything needed to run restic on it.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The program.
    pub program: Program,
    /// Where the repository is. Its files must be written already.
    pub environment: ResticEnvironment,
    /// `RESTIC_PASSWORD`.
    pub password: SecretText,
    /// The cache.
    pub cache: Cache,
    /// `TMPDIR`: packs are written here before they are uploaded.
    pub tmp: PathBuf,
    /// How long to wait for other holders' locks.
    pub retry_lock: Duration,
    /// Programs in front of restic, such as `nice -n 10`.
    pub before: Vec<String>,
    /// Keeps secrets out of what restic prints.
    pub redactor: Redactor,
    /// The bounds of every run.
    pub limits: Limits,
}

/// Proof that rule 3 was kept: whoever makes one has looked at the metadata and found that no backup ever went to this
/// place. See [`Repository::init`].
#[derive(Debug)]
pub struct NeverInitialized(());

impl NeverInitialized {
    /// `None` when metadata says that the repository was initialised before.
    #[must_use]
    pub fn from_metadata(initialized: bool) -> Option<Self> {
        (!initialized).then_some(Self(()))
    }
}

/// Receives messages while restic runs.
pub type OnMessage<'a> = &'a mut (dyn FnMut(&Message) + Send);

impl Repository {
    /// Runs a command. The outcome may be a failure; see [`Outcome::check`].
    ///
    /// # Errors
    /// When restic cannot be started.
    pub async fn run(&self, command: Command, on_message: OnMessage<'_>) -> Result<Outcome, ResticError> {
        self.run_within(command, &self.limits, on_message).await
    }

    async fn run_within(
        &self,
        command: Command,
        limits: &Limits,
        on_message: OnMessage<'_>,
    ) -> Result<Outcome, ResticError> {
        let action = command.name();
        let capture = matches!(
            command,
            Command::CatConfig | Command::CatLock { .. } | Command::Snapshots { .. }
        );
        let invocation = Invocation {
            command,
            environment: &self.environment,
            cache: &self.cache,
            retry_lock: self.retry_lock,
        };
        let process = self.process(&invocation.arguments());
        run(process, action, capture, limits, &self.redactor, on_message).await
    }

    pub(super) fn process(&self, arguments: &[impl AsRef<std::ffi::OsStr>]) -> tokio::process::Command {
        let mut process = match self.before.split_first() {
            None => tokio::process::Command::new(&self.program.path),
            Some((first, rest)) => {
                let mut process = tokio::process::Command::new(first);
                process.args(rest).arg(&self.program.path);
                process
            }
        };
        process.args(arguments);
        for name in FOREIGN.iter().chain(&self.environment.unset) {
            process.env_remove(name);
        }
        for (name, value) in &self.environment.variables {
            process.env(name, value.expose());
        }
        process
            .env("RESTIC_REPOSITORY", &self.environment.repository)
            .env("RESTIC_PASSWORD", self.password.expose())
            .env("RESTIC_PROGRESS_FPS", PROGRESS_FPS)
            .env("TMPDIR", &self.tmp);
        process
    }

    /// Backs a path up. A partial backup (exit 3) is a success here; the outcome's errors name the skipped files.
    ///
    /// # Errors
    /// As classified.
    pub async fn backup(
        &self,
        path: &str,
        host: &str,
        exclude: &[String],
        on_message: OnMessage<'_>,
    ) -> Result<(BackupSummary, Outcome), ResticError> {
        let command = Command::Backup {
            path: path.to_owned(),
            host: host.to_owned(),
            exclude: exclude.to_vec(),
        };
        let outcome = self.run(command, on_message).await?;
        if let Some(error) = outcome.failure("backup")
            && !matches!(error.cause, Cause::Incomplete { .. })
        {
            return Err(error);
        }
        match &outcome.summary {
            Some(Message::BackupSummary(summary)) if summary.snapshot_id.is_some() => {
                Ok((summary.clone(), outcome))
            }
            _ => Err(ResticError::new(
                Cause::Other,
                "backup",
                "restic ended without naming the snapshot",
            )),
        }
    }

    /// Restores a snapshot, or a part of it. Errors of single files leave the outcome with a code other than 0; the caller
    /// judges them.
    ///
    /// # Errors
    /// When restic cannot be started.
    pub async fn restore(
        &self,
        command: Command,
        on_message: OnMessage<'_>,
    ) -> Result<(Option<RestoreSummary>, Outcome), ResticError> {
        let outcome = self.run(command, on_message).await?;
        let summary = match &outcome.summary {
            Some(Message::RestoreSummary(summary)) => Some(summary.clone()),
            _ => None,
        };
        Ok((summary, outcome))
    }

    /// Creates the repository.
    ///
    /// # Errors
    /// As classified.
    pub async fn init(&self, _proof: NeverInitialized) -> Result<(), ResticError> {
        self.run(Command::Init, &mut |_| {}).await?.check("init")?;
        Ok(())
    }

    /// Forgets snapshots; ids that are gone are no error.
    ///
    /// # Errors
    /// As classified.
    pub async fn forget(&self, ids: &[String]) -> Result<(), ResticError> {
        let command = Command::Forget { ids: ids.to_vec() };
        self.run(command, &mut |_| {}).await?.check("forget")?;
        Ok(())
    }

    /// Frees space, repacking at most `max_repack_size` (restic's notation, for example `10G`).
    ///
    /// # Errors
    /// As classified.
    pub async fn prune(&self, max_repack_size: &str) -> Result<(), ResticError> {
        let command = Command::Prune {
            max_repack_size: max_repack_size.to_owned(),
        };
        self.run(command, &mut |_| {}).await?.check("prune")?;
        Ok(())
    }

    /// What the repository knows about one snapshot.
    ///
    /// # Errors
    /// As classified; [`Cause::SnapshotMissing`] when it is not there.
    pub async fn snapshot(&self, id: &str) -> Result<SnapshotInfo, ResticError> {
        let command = Command::Snapshots {
            ids: vec![id.to_owned()],
        };
        let outcome = self.short(command).await?.check("snapshots")?;
        let found: Vec<SnapshotInfo> = serde_json::from_slice(&outcome.answer)
            .map_err(|error| ResticError::new(Cause::Other, "snapshots", &error.to_string()))?;
        found
            .into_iter()
            .find(|info| info.id.starts_with(id))
            .ok_or_else(|| ResticError::new(Cause::SnapshotMissing, "snapshots", id))
    }

    /// Reads one lock; `None` when it has gone in the meantime.
    ///
    /// # Errors
    /// As classified.
    pub async fn lock(&self, id: &str) -> Result<Option<LockInfo>, ResticError> {
        let outcome = self.short(Command::CatLock { id: id.to_owned() }).await?;
        if let Some(error) = outcome.failure("cat lock") {
            let gone = error.cause == Cause::SnapshotMissing
                || ["does not exist", "no such file", "not found"]
                    .iter()
                    .any(|words| error.detail.contains(words))
                    && error.cause != Cause::RepositoryMissing;
            return if gone { Ok(None) } else { Err(error) };
        }
        serde_json::from_slice(&outcome.answer)
            .map(Some)
            .map_err(|error| ResticError::new(Cause::Other, "cat lock", &error.to_string()))
    }

    /// Proves that the repository is there and opens with the password.
    ///
    /// # Errors
    /// As classified.
    pub async fn open(&self) -> Result<(), ResticError> {
        self.short(Command::CatConfig).await?.check("cat config")?;
        Ok(())
    }

    async fn short(&self, command: Command) -> Result<Outcome, ResticError> {
        self.run_within(command, &self.limits.within(SHORT), &mut |_| {})
            .await
    }

    /// The token that ends all runs of this repository.
    #[must_use]
    pub fn cancel(&self) -> &CancellationToken {
        &self.limits.cancel
    }
}
