//! Opens a restic repository for a job: environment, scratch files, locks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::job::{Failure, Job};
use super::kubernetes::Kubernetes;
use super::report;
use crate::api::config::job_plan::PlanRepository;
use crate::api::config::job_result::JobCause;
use crate::backend::{Documents, Problem, SecretText, join};
use crate::restic::command::Cache;
use crate::restic::locks::{self, Holder, LockReport, Place};
use crate::restic::{Redactor, Repository};

/// How long a writer waits for other holders' locks.
const LOCK_WAIT: Duration = Duration::from_secs(3600);

/// How a job works with a repository.
#[derive(Clone, Debug)]
pub(super) struct Settings<'a> {
    /// `--scratch-dir`; empty: the system's temporary directory.
    pub(super) scratch: &'a str,
    /// `--enable-cache`.
    pub(super) cache: bool,
    /// The deadline of the plan.
    pub(super) deadline: Option<Timestamp>,
    /// Identity of the cluster.
    pub(super) cluster: &'a str,
    /// Whether the job needs the repository for itself alone.
    pub(super) alone: bool,
}

/// An opened repository.
pub(super) struct Opened {
    pub(super) restic: Repository,
    pub(super) documents: Documents,
    /// Directory of the restic repository below the storage's prefix.
    pub(super) dir: String,
    /// Locks that others hold.
    pub(super) locks: LockReport,
    path: String,
    cluster: String,
    /// The record of this pod: its host, and where it lies.
    record: Option<(String, String)>,
    /// Removed with everything in it when the job is done.
    scratch: TempDir,
}

impl Opened {
    /// The scratch directory of this run.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Ends the work: the record of this holder goes when restic has given its locks back. One that was killed (by the
    /// kernel, for memory) has not, and without the record its lock would be nobody's and stay for ever.
    pub(super) async fn close(self, kubernetes: &dyn Kubernetes) {
        let Some((host, record)) = &self.record else {
            return;
        };
        match locks::held_by(&self.documents, &self.restic, &self.dir, host).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(
                    "restic left its lock; the record of this pod stays, so that it can go with the pod"
                );
                return;
            }
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "whether restic left its lock is not known, so the record of this pod stays beside the repository"
                );
                return;
            }
        }
        if let Err(error) = self.documents.delete(record).await {
            tracing::warn!(
                error = error.message,
                "the record of this pod stays beside the repository"
            );
        }
        let state = async |holder: &Holder| kubernetes.state(holder).await;
        match locks::sweep(self.place(), Timestamp::now(), state).await {
            Ok(0) => {}
            Ok(number) => tracing::info!(number, "records of pods that are gone were removed"),
            Err(error) => tracing::debug!(error = error.message, "records of pods that are gone stay"),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            documents: &self.documents,
            repository_path: &self.path,
            dir: &self.dir,
            cluster: &self.cluster,
        }
    }

    /// Frees the locks `ids` whose holders are gone. One whose pod has vanished is waited for where it keeps this job from
    /// its work: restic would wait for it in vain.
    async fn free(
        &mut self,
        kubernetes: &dyn Kubernetes,
        mut ids: Vec<String>,
        alone: bool,
    ) -> Result<(), Failure> {
        let latest = self.restic.limits.deadline.map_or(LOCK_WAIT, |deadline| {
            deadline.saturating_duration_since(tokio::time::Instant::now())
        });
        let latest = Timestamp::now() + latest.min(LOCK_WAIT);
        while !ids.is_empty() {
            let state = async |holder: &Holder| kubernetes.state(holder).await;
            let now = Timestamp::now();
            self.locks = locks::free_stale(self.place(), &self.restic, &ids, now, state).await?;
            for line in &self.locks.removed {
                tracing::info!(dir = self.dir, "removed: {line}");
            }
            for line in &self.locks.left {
                tracing::info!(dir = self.dir, "in use: {line}");
            }
            let blocked = self.locks.exclusive_left || (alone && !self.locks.left.is_empty());
            let Some(at) = self.locks.free_at.filter(|at| blocked && *at < latest) else {
                break;
            };
            tracing::info!("waiting until {at:.0} for the lock of a pod that was lost with its node");
            let wait = at.duration_since(now).unsigned_abs() + Duration::from_secs(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // What comes next finds out that the job is to end.
                () = self.restic.limits.cancel.cancelled() => break,
            }
            ids = locks::list(&self.documents, &self.dir).await?;
        }
        Ok(())
    }

    /// Leaves a record of this pod beside the repository, so that others can prove it gone. Returns false when the storage
    /// is read-only for us.
    pub(super) async fn announce(&mut self, holder: Option<&Holder>) -> Result<bool, Failure> {
        let Some(holder) = holder else {
            tracing::info!(
                "the host name is not the pod's own, so a lock left behind could not be attributed"
            );
            return Ok(true);
        };
        let holder = Holder {
            cluster: self.cluster.clone(),
            ..holder.clone()
        };
        let path = locks::record_path(&self.path, &holder.host);
        let text = serde_json::to_vec(&holder).unwrap_or_default();
        match self.documents.put(&path, text).await {
            Ok(()) => {
                self.record = Some((holder.host, path));
                Ok(true)
            }
            Err(error) if error.problem == Problem::AccessDenied => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Prepares restic for a repository, proves that the storage answers, and frees locks whose holders are gone.
pub(super) async fn open(
    job: &Job,
    repository: &PlanRepository,
    component_path: &str,
    settings: &Settings<'_>,
) -> Result<Opened, Failure> {
    let program = job.program.clone().ok_or_else(|| {
        Failure::new(
            JobCause::EngineMissing,
            "this job was started without restic".into(),
        )
    })?;
    let mut redactor = Redactor::default();
    let storage = job.secrets.storage(&repository.backend, &mut redactor)?;
    let encryption = job.secrets.values(&repository.encryption)?;
    let password = encryption.required("RESTIC_PASSWORD")?;
    redactor.learn([password]);
    let scratch = scratch_dir(settings.scratch, &repository.name)?;
    let dir = join([repository.path.as_str(), component_path]);
    let environment = storage.restic(&dir, scratch.path())?;
    for (file, content) in &environment.files {
        report::write_secret_file(file, content).map_err(|error| no_scratch(scratch.path(), &error))?;
    }
    let documents = storage.documents()?;
    // The cheapest question there is, asked first: restic itself would try a missing bucket for a quarter of an hour.
    let held = locks::list(&documents, &dir).await?;
    let limits = job.limits(settings.deadline);
    let left = limits.deadline.map_or(LOCK_WAIT, |deadline| {
        deadline.saturating_duration_since(tokio::time::Instant::now())
    });
    let restic = Repository {
        program,
        environment,
        password: SecretText::new(password),
        cache: if settings.cache {
            Cache::Directory(
                scratch_root(settings.scratch)
                    .join("restic-cache")
                    .to_string_lossy()
                    .into_owned(),
            )
        } else {
            Cache::None
        },
        tmp: scratch.path().to_owned(),
        retry_lock: left.min(LOCK_WAIT),
        before: niceness(&|name| std::env::var(name).ok()),
        redactor,
        limits,
    };
    let mut opened = Opened {
        restic,
        documents,
        dir,
        locks: LockReport::default(),
        path: repository.path.clone(),
        cluster: settings.cluster.to_owned(),
        record: None,
        scratch,
    };
    opened.free(job.kubernetes.as_ref(), held, settings.alone).await?;
    Ok(opened)
}

fn scratch_root(named: &str) -> PathBuf {
    if named.is_empty() {
        std::env::temp_dir()
    } else {
        PathBuf::from(named)
    }
}

/// A fresh directory in the scratch directory, named after the repository as KubeStash does.
fn scratch_dir(named: &str, repository: &str) -> Result<TempDir, Failure> {
    let root = scratch_root(named);
    std::fs::create_dir_all(&root)
        .and_then(|()| {
            tempfile::Builder::new()
                .prefix(&format!("{repository}-tmp-"))
                .tempdir_in(&root)
        })
        .map_err(|error| no_scratch(&root, &error))
}

fn no_scratch(dir: &Path, error: &std::io::Error) -> Failure {
    let cause = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => JobCause::NoSpace,
        _ => JobCause::Misconfigured,
    };
    Failure::new(
        cause,
        format!(
            "the scratch directory {} cannot be used: {error}; mount a volume there that the Job's user may write to",
            dir.display()
        ),
    )
}

/// `nice` and `ionice` in front of restic, from the settings that the operator hands over in the environment.
fn niceness(get: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let number = |name: &str| get(name).filter(|text| text.trim().parse::<i32>().is_ok());
    let mut before = Vec::new();
    if let Some(adjustment) = number("NICE_ADJUSTMENT") {
        before.extend(["nice".into(), "-n".into(), adjustment]);
    }
    if let Some(class) = number("IONICE_CLASS") {
        before.extend(["ionice".into(), "-c".into(), class]);
        if let Some(data) = number("IONICE_CLASS_DATA") {
            before.extend(["-n".into(), data]);
        }
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn niceness_comes_from_the_environment_and_only_as_numbers() {
        let set = |name: &str| match name {
            "NICE_ADJUSTMENT" => Some("10".into()),
            "IONICE_CLASS" => Some("2".into()),
            "IONICE_CLASS_DATA" => Some("; rm".into()),
            _ => None,
        };
        assert_eq!(niceness(&set), ["nice", "-n", "10", "ionice", "-c", "2"]);
        assert!(niceness(&|_| None).is_empty());
    }

    #[test]
    fn a_scratch_directory_that_cannot_be_used_is_named() {
        let dir = scratch_dir("", "repo").unwrap();
        assert!(
            dir.path()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("repo-tmp-")
        );
        let error = scratch_dir("/dev/null/x", "repo").unwrap_err();
        assert!(error.message.contains("/dev/null/x"), "{}", error.message);
    }
}
