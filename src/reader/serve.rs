//! The reader pod's own process: it stands by, and ends when nobody has used it for a while.
//!
//! Who uses it is told by the time of one file, which every `run` touches while it works. Kubernetes' own deadline on the
//! Job bounds the whole.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use super::{Source, Trouble};
use crate::api::config::job_result::JobCause;
use crate::api::config::reader::{IDLE, LIVE_IDLE};
use crate::backend::Problem;
use crate::mover::job::this_pod;
use crate::restic::locks::{self, Holder};

/// The file with the paths of the restic repositories that were asked about.
const ASKED: &str = "asked";
/// How often a `run` says that it works.
const EVERY: Duration = Duration::from_secs(5);
/// Nobody uses a reader whose file has not been touched for so long.
const UNUSED: Duration = Duration::from_secs(7);
/// How often the pod looks.
const LOOK: Duration = Duration::from_secs(1);

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

/// Says that the pod is in use, until the value is dropped.
pub(super) fn in_use() -> InUse {
    touch();
    InUse(tokio::spawn(async {
        loop {
            tokio::time::sleep(EVERY).await;
            touch();
        }
    }))
}

/// See [`in_use`].
pub(super) struct InUse(tokio::task::JoinHandle<()>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.abort();
        touch();
    }
}

fn touch() {
    // The pod then only ends a little early, and the plugin asks for another.
    let _ = std::fs::write(file("used"), b"");
}

/// Says that nobody needs the pod any more.
pub(super) fn leave() -> std::io::Result<()> {
    std::fs::write(file("left"), b"")
}

/// Whether the record of this pod lies beside the repository, so that a lock of ours can be told.
pub(super) fn announced() -> bool {
    file("announced").exists()
}

/// Stands by until the pod has been idle for long enough, or is told to stop.
pub(super) async fn serve() -> ExitCode {
    touch();
    // A pod that shows a volume holds it, so it waits for less long.
    let limit = if Source::mounted().is_ok() {
        IDLE
    } else {
        LIVE_IDLE
    };
    let record = announce().await;
    // Without it each question derives the key anew.
    #[cfg(unix)]
    let _keys = super::keyring::serve(&std::env::temp_dir())
        .inspect_err(|error| tracing::warn!(%error, "keys are not kept"));
    let stop = crate::mover::asked_to_stop();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            _ = &mut stop => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        // Who uses a reader at the moment it is told gets the whole answer; a volume is let go at once.
        if file("left").exists() && (limit == LIVE_IDLE || idle() > UNUSED) {
            break;
        }
        if idle() > Duration::from_secs(limit) {
            tracing::info!("nobody has used this reader for {limit} s, so it ends");
            break;
        }
    }
    if let Some((source, holder)) = record {
        // What takes too long is left: a record that stays does no harm.
        let _ = tokio::time::timeout(EVERY, withdraw(&source, &holder)).await;
    }
    ExitCode::SUCCESS
}

/// Notes which restic repository is asked about, so that the end knows where locks of this pod may be.
pub(super) fn asked_about(scratch: &Path, component_path: &str) {
    use std::io::Write as _;
    if asked(scratch).iter().any(|known| known == component_path) {
        return;
    }
    let opened = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(scratch.join(ASKED));
    if let Ok(mut file) = opened {
        let _ = writeln!(file, "{component_path}");
    }
}

fn asked(scratch: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(scratch.join(ASKED)).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

/// Takes the record of this pod away, unless a lock of it is left: what still runs here is killed with the pod, and only
/// the record lets others prove that its lock is nobody's then.
async fn withdraw(source: &Source, holder: &Holder) {
    for component_path in asked(&source.scratch) {
        let held = async {
            let opened = source.open(&component_path).await?;
            locks::held_by(&opened.documents, &opened.restic, &opened.dir, &holder.host)
                .await
                .map_err(|error| Trouble::new(JobCause::Other, error.to_string()))
        };
        if !matches!(held.await, Ok(false)) {
            tracing::info!("a lock of this pod is left, so its record stays");
            return;
        }
    }
    if let Ok(documents) = source.storage.documents() {
        let path = locks::record_path(&source.path, &holder.host);
        let _ = documents.delete(&path).await;
    }
}

fn idle() -> Duration {
    let used = std::fs::metadata(file("used")).and_then(|m| m.modified());
    used.ok()
        .and_then(|then| SystemTime::now().duration_since(then).ok())
        .unwrap_or_default()
}

/// Leaves the record of this pod beside the repository. Where that is not possible (a storage that is read-only for us),
/// reads take no lock.
async fn announce() -> Option<(Source, Holder)> {
    let source = Source::mounted().ok()?;
    let holder = Holder {
        cluster: source.cluster.clone(),
        ..this_pod()?
    };
    let path = locks::record_path(&source.path, &holder.host);
    let text = serde_json::to_vec(&holder).ok()?;
    let documents = source.storage.documents().ok()?;
    match documents.put(&path, text).await {
        Ok(()) => {
            std::fs::write(file("announced"), b"").ok()?;
            Some((source, holder))
        }
        Err(error) => {
            if error.problem != Problem::AccessDenied {
                tracing::warn!(error = error.message, "no record of this pod could be left");
            }
            None
        }
    }
}
