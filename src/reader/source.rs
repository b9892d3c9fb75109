//! A Repository with everything that opens it: from the plan that a reader pod mounts, or from a caller.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::native::Native;
use super::op::Control;
use crate::api::config::job_plan::JobPlan;
use crate::api::config::job_result::JobCause;
use crate::backend::{BackendError, Documents, SecretText, Storage, join};
use crate::mover::job::Failure;
use crate::mover::plan::Loaded;
use crate::mover::report::write_secret_file;
use crate::restic::command::Cache;
use crate::restic::{Limits, Program, Redactor, Repository, ResticError, locks};

/// How long a reader waits for somebody else's exclusive lock before it says so.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// How the temporary directories of questions are called; the process' id follows.
const SCRATCH: &str = "reader-";

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// The class.
    pub cause: JobCause,
    /// One sentence.
    pub message: String,
}

impl Trouble {
    /// Trouble with its sentence.
    #[must_use]
    pub fn new(cause: JobCause, message: impl Into<String>) -> Self {
        Trouble {
            cause,
            message: message.into(),
        }
    }

    pub(super) fn into_control(self) -> Control {
        Control::Failed {
            cause: self.cause,
            text: self.message,
        }
    }
}

impl From<ResticError> for Trouble {
    fn from(error: ResticError) -> Self {
        Trouble::new(error.job_cause(), error.to_string())
    }
}

impl From<BackendError> for Trouble {
    fn from(error: BackendError) -> Self {
        Trouble::new(error.cause(), error.message)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::new(failure.cause, failure.message)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Trouble::new(JobCause::Other, error.to_string())
    }
}

/// A Repository and what opens it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The storage with its credentials.
    pub storage: Storage,
    /// Directory of the Repository below the storage's prefix.
    pub path: String,
    /// What opens its restic repositories.
    pub password: SecretText,
    /// Keeps secrets out of what is said.
    pub redactor: Redactor,
    /// Identity of the cluster that the reader runs in; empty: unknown.
    pub cluster: String,
    /// Where temporary files and the cache go.
    pub scratch: PathBuf,
    /// Whether long reads take a lock: only where a record tells whose it is.
    pub lock: bool,
    /// Whether listings may be kept in the scratch directory for the next question.
    pub remembers: bool,
    /// Whether repositories are read in this process where that is possible; restic is asked otherwise.
    pub natively: bool,
}

/// An opened restic repository.
pub struct Opened {
    /// restic on it.
    pub restic: Repository,
    /// The documents beside it.
    pub documents: Documents,
    /// Its directory below the storage's prefix.
    pub dir: String,
    native: OnceCell<Option<Arc<Native>>>,
    /// Removed with what is in it at the end.
    _scratch: TempDir,
}

impl Source {
    /// What the operator mounted into this pod.
    ///
    /// # Errors
    /// When there is no plan of a reader, or a value is missing.
    pub fn mounted() -> Result<Self, Trouble> {
        let loaded = Loaded::from_environment()?;
        let JobPlan::Reader(plan) = &loaded.plan else {
            return Err(Trouble::new(
                JobCause::Misconfigured,
                "the plan that is mounted here is not a reader's",
            ));
        };
        let mut redactor = Redactor::default();
        let storage = loaded.secrets.storage(&plan.repository.backend, &mut redactor)?;
        let encryption = loaded.secrets.values(&plan.repository.encryption)?;
        let password = encryption.required("RESTIC_PASSWORD")?;
        redactor.learn([password]);
        Ok(Source {
            storage,
            path: plan.repository.path.clone(),
            password: SecretText::new(password),
            redactor,
            cluster: plan.cluster.clone(),
            scratch: std::env::temp_dir(),
            lock: super::serve::announced(),
            remembers: true,
            natively: true,
        })
    }

    /// The same Repository opened with another password.
    #[must_use]
    pub fn with_password(&self, password: &str) -> Self {
        let mut other = self.clone();
        other.redactor.learn([password]);
        other.password = SecretText::new(password);
        other
    }

    /// Prepares restic for one component's repository, and asks the storage the cheapest question first: restic itself would
    /// try a missing bucket for a quarter of an hour.
    ///
    /// # Errors
    /// When the storage does not answer or restic is not there.
    pub async fn open(&self, component_path: &str) -> Result<Opened, Trouble> {
        sweep(&self.scratch, self.remembers);
        if self.remembers {
            super::serve::asked_about(&self.scratch, component_path);
        }
        let scratch = tempfile::Builder::new()
            .prefix(&format!("{SCRATCH}{}-", std::process::id()))
            .tempdir_in(&self.scratch)
            .map_err(|e| {
                Trouble::new(
                    JobCause::NoSpace,
                    format!("the scratch directory cannot be used: {e}"),
                )
            })?;
        let dir = join([self.path.as_str(), component_path]);
        let environment = self.storage.restic(&dir, scratch.path())?;
        for (file, content) in &environment.files {
            write_secret_file(file, content)?;
        }
        let documents = self.storage.documents()?;
        let (program, held) = tokio::join!(Program::find(), locks::list(&documents, &dir));
        held?;
        let cache = self.scratch.join("restic-cache");
        let restic = Repository {
            program: program?,
            environment,
            password: self.password.clone(),
            cache: Cache::Directory(cache.to_string_lossy().into_owned()),
            tmp: scratch.path().to_owned(),
            retry_lock: LOCK_WAIT,
            before: Vec::new(),
            redactor: self.redactor.clone(),
            limits: Limits::default(),
        };
        Ok(Opened {
            restic,
            documents,
            dir,
            native: OnceCell::new(),
            _scratch: scratch,
        })
    }
}

/// A directory that several hosts share may hold one of a process elsewhere; after so long it is nobody's.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Removes what processes left behind that were killed: it may hold files of a snapshot.
fn sweep(dir: &std::path::Path, ours_alone: bool) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(SCRATCH).and_then(|rest| rest.split('-').next());
        let dead = |pid: &str| {
            cfg!(target_os = "linux")
                && pid.parse::<u32>().is_ok()
                && !std::path::Path::new("/proc").join(pid).exists()
        };
        let changed = entry.metadata().and_then(|m| m.modified()).ok();
        let old = changed
            .and_then(|t| t.elapsed().ok())
            .is_some_and(|age| age > ABANDONED);
        if pid.is_some_and(dead) && (ours_alone || old) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Opened {
    /// The repository read in this process; `None`: only restic can read it, and says why where it cannot.
    pub async fn native(&self, source: &Source) -> Option<&Arc<Native>> {
        let open = || async {
            if !source.natively {
                return None;
            }
            match Native::open(self, source).await {
                Ok(native) => Some(Arc::new(native)),
                Err(why) => {
                    let why = source.redactor.clean(&why);
                    tracing::warn!(why, "the repository is read by restic alone");
                    None
                }
            }
        };
        self.native.get_or_init(open).await.as_ref()
    }

    /// Says that restic is asked because the trees could not be read, which only works while nothing was `handed_on`.
    ///
    /// # Errors
    /// Why they could not, where something was.
    pub(super) fn instead(&self, source: &Source, why: &str, handed_on: bool) -> Result<(), Trouble> {
        let why = source.redactor.clean(why);
        if handed_on {
            return Err(Trouble::new(JobCause::Other, why));
        }
        tracing::warn!(why, opened = self.dir, "restic is asked instead");
        Ok(())
    }

    /// The temporary directory of this question.
    #[must_use]
    pub fn scratch(&self) -> &std::path::Path {
        self._scratch.path()
    }
}
