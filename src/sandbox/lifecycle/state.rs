//! The directory of a sandbox, and what it says about the process that runs there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::{Deserialize, Serialize};

use super::{Error, io_error};
use crate::sandbox::tls::write_private;

/// A sandbox that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// When the kernel started that process, in ticks since boot: a number given again to another process differs.
    pub start_ticks: u64,
    /// The API server's address, `https://127.0.0.1:PORT`.
    pub address: String,
    /// Since when.
    pub since: Timestamp,
    /// The kubeconfig with the administrator's token.
    pub kubeconfig: PathBuf,
}

impl Running {
    /// Whether that very process still lives.
    pub fn alive(&self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }

    /// Resident memory of the process in bytes.
    pub fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }
}

/// When a process was started, in ticks since boot; `None` when there is none, or only its remains.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it are counted.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(ticks)
}

/// How many things a sandbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Pods that run.
    pub pods_running: usize,
    /// All pods.
    pub pods: usize,
    /// PersistentVolumeClaims.
    pub claims: usize,
}

/// Asks a running sandbox for its counts.
///
/// # Errors
/// When its API server does not answer.
pub async fn counts(kubeconfig: &Path) -> Result<Counts, String> {
    let config = Kubeconfig::read_from(kubeconfig).map_err(|e| e.to_string())?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let everything = ListParams::default();
    let pods = Api::<Pod>::all(client.clone())
        .list(&everything)
        .await
        .map_err(|e| e.to_string())?;
    let claims = Api::<PersistentVolumeClaim>::all(client)
        .list_metadata(&everything)
        .await
        .map_err(|e| e.to_string())?;
    let running = |p: &&Pod| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    Ok(Counts {
        pods_running: pods.items.iter().filter(running).count(),
        pods: pods.items.len(),
        claims: claims.items.len(),
    })
}

/// Where a sandbox keeps everything.
#[derive(Debug, Clone)]
pub struct Dir {
    path: PathBuf,
}

impl Dir {
    /// The directory without touching it; relative paths become absolute.
    ///
    /// # Errors
    /// When the working directory is unknown.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(io_error(format!("cannot use {}", path.display())))?;
        Ok(Self { path })
    }

    /// Creates the directory for its owner alone.
    ///
    /// # Errors
    /// When it cannot be created, or belongs to others as well.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let dir = Self::at(path)?;
        let failed = || io_error(format!("cannot create {}", dir.path.display()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir.path)
            .map_err(failed())?;
        fs::set_permissions(&dir.path, fs::Permissions::from_mode(0o700)).map_err(failed())?;
        for part in [dir.objects(), dir.node(), dir.volumes()] {
            fs::create_dir_all(part).map_err(failed())?;
        }
        Ok(dir)
    }

    /// Where a sandbox lives unless told otherwise: `$XDG_STATE_HOME/kubestash/sandbox`, usually
    /// `~/.local/state/kubestash/sandbox`; without a home, a directory of the user's below the temporary one.
    pub fn default_path() -> PathBuf {
        let set = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let state = set("XDG_STATE_HOME").filter(|p| p.is_absolute());
        let state = state.or_else(|| set("HOME").map(|h| h.join(".local/state")));
        match state {
            Some(state) => state.join("kubestash/sandbox"),
            None => std::env::temp_dir().join(format!("kubestash-sandbox-{}", nix::unistd::geteuid())),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Objects of the API server.
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Pods of the node.
    pub fn node(&self) -> PathBuf {
        self.path.join("node")
    }

    /// Persistent volumes.
    pub fn volumes(&self) -> PathBuf {
        self.path.join("volumes")
    }

    /// The sandbox's own log.
    pub fn log(&self) -> PathBuf {
        self.path.join("sandbox.log")
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    fn running_file(&self) -> PathBuf {
        self.path.join("running.json")
    }

    /// The sandbox that runs here, if one is ready.
    pub fn running(&self) -> Option<Running> {
        let text = fs::read(self.running_file()).ok()?;
        serde_json::from_slice::<Running>(&text)
            .ok()
            .filter(Running::alive)
    }

    /// Says that this process serves here.
    pub(crate) fn announce(&self, address: &str, port: u16) -> io::Result<Running> {
        let pid = std::process::id();
        let running = Running {
            pid,
            start_ticks: start_ticks(pid).unwrap_or(0),
            address: format!("https://{address}:{port}"),
            since: Timestamp::now(),
            kubeconfig: self.kubeconfig(),
        };
        fs::write(self.path.join("port"), port.to_string())?;
        self.replace(&self.running_file(), &serde_json::to_vec_pretty(&running)?)?;
        Ok(running)
    }

    /// Takes the announcement back.
    pub(crate) fn forget_running(&self) {
        // What is left behind names a process that is gone, and is recognised as such.
        let _ = fs::remove_file(self.running_file());
    }

    /// The port of the last time.
    pub(crate) fn last_port(&self) -> Option<u16> {
        fs::read_to_string(self.path.join("port"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Writes a kubeconfig that only its owner can read.
    pub(crate) fn write_kubeconfig(&self, address: &str, port: u16, ca: &str, token: &str) -> io::Result<()> {
        let ca = STANDARD.encode(ca);
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\n\
             clusters:\n- name: sandbox\n  cluster:\n    server: https://{address}:{port}\n    certificate-authority-data: {ca}\n\
             users:\n- name: admin\n  user:\n    token: \"{token}\"\n\
             contexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: admin\n    namespace: default\n"
        );
        self.replace(&self.kubeconfig(), text.as_bytes())
    }

    /// Replaces a private file at once: a reader sees the old or the new one.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        write_private(&fresh, bytes)?;
        fs::rename(fresh, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_sandbox_is_recognised_by_process_and_start_time() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::create(&place.path().join("a/b")).unwrap();
        assert_eq!(dir.running(), None);
        let mut running = dir.announce("127.0.0.1", 1234).unwrap();
        assert_eq!(dir.running().as_ref(), Some(&running));
        assert_eq!(dir.last_port(), Some(1234));
        assert!(running.memory().unwrap() > 1_000_000);
        running.start_ticks += 1;
        fs::write(dir.running_file(), serde_json::to_vec(&running).unwrap()).unwrap();
        assert_eq!(dir.running(), None, "another process with the same number");
        dir.forget_running();
        assert_eq!(dir.running(), None);
        assert_eq!(
            fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn the_kubeconfig_is_private_and_readable_by_kubes_client() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::create(place.path()).unwrap();
        dir.write_kubeconfig("127.0.0.1", 4321, "the authority", "the token")
            .unwrap();
        assert_eq!(
            fs::metadata(dir.kubeconfig()).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let config = Kubeconfig::read_from(dir.kubeconfig()).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("sandbox"));
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:4321"));
    }
}
