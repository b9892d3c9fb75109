//! A storage, a plan directory and Jobs started as Kubernetes starts them.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kubestash::api::config::job_plan::{
    BackupPlan, BackupTarget, JobPlan, PlanBackend, PlanRepository, PlanSecret, PlanStorage, ResticSource,
    RestorePlan, RestoreTarget,
};
use kubestash::api::config::job_result::JobResult;
use serde_json::Value;

use super::api_server::ApiServer;

pub(super) const COMPONENT: &str = "dump-pod-0";
pub(super) const COMPONENT_PATH: &str = "repository/v1/daily/dump-pod-0";
pub(super) const PASSWORD: &str = "correct-horse-battery";

/// Says why a test does nothing where restic is not installed.
pub(super) fn restic() -> Option<PathBuf> {
    let named = std::env::var_os("KUBESTASH_RESTIC").map(PathBuf::from);
    let found = named.or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join("restic"))
            .find(|file| file.is_file())
    });
    if found.is_none() {
        eprintln!("SKIPPED: restic is not installed");
    }
    found
}

pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) api: ApiServer,
    pub(super) restic: PathBuf,
    pub(super) storage: PlanStorage,
    pub(super) credentials: Vec<(String, String)>,
}

/// How a Job ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) result: JobResult,
    pub(super) stdout: String,
    pub(super) log: String,
}

impl Fixture {
    /// With a directory as the storage. `None` where restic is missing.
    pub(super) fn local() -> Option<Self> {
        let restic = restic()?;
        let dir = tempfile::Builder::new().prefix("mover-").tempdir().unwrap();
        for name in ["storage", "data", "scratch", "plan"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let fixture = Self {
            dir,
            api: ApiServer::start(),
            restic,
            storage: PlanStorage {
                provider: "local".into(),
                ..PlanStorage::default()
            },
            credentials: Vec::new(),
        };
        Some(fixture)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Where restic's repository lies for the local storage.
    pub(super) fn repository_dir(&self) -> PathBuf {
        self.path("storage/demo/repo").join(COMPONENT_PATH)
    }

    pub(super) fn backend(&self) -> PlanBackend {
        PlanBackend {
            name: "storage".into(),
            namespace: "demo".into(),
            spec: self.storage.clone(),
            local_root: Some(self.path("storage").to_string_lossy().into_owned()),
            credentials: (!self.credentials.is_empty()).then(|| PlanSecret {
                prefix: "backend-0".into(),
                name: "storage-secret".into(),
                namespace: "demo".into(),
            }),
        }
    }

    pub(super) fn repository(&self) -> PlanRepository {
        PlanRepository {
            name: "repo".into(),
            namespace: "demo".into(),
            path: "/demo/repo".into(),
            backend: self.backend(),
            encryption: PlanSecret {
                prefix: "encryption-0".into(),
                name: "encrypt".into(),
                namespace: "demo".into(),
            },
        }
    }

    pub(super) fn backup_plan(&self, snapshot: &str, initialized: bool) -> BackupPlan {
        BackupPlan {
            namespace: "demo".into(),
            backup_session: "bc-daily-1".into(),
            component: COMPONENT.into(),
            deadline: None,
            targets: vec![BackupTarget {
                repository: self.repository(),
                snapshot: snapshot.into(),
                component_path: COMPONENT_PATH.into(),
                initialized,
            }],
            cluster: "cluster-1".into(),
        }
    }

    pub(super) fn restore_plan(&self, id: &str, root: &Path) -> RestorePlan {
        RestorePlan {
            namespace: "demo".into(),
            restore_session: "restore-1".into(),
            source_component: COMPONENT.into(),
            status_component: COMPONENT.into(),
            target: RestoreTarget {
                repository: self.repository(),
                component_path: COMPONENT_PATH.into(),
                restic: vec![ResticSource {
                    id: id.into(),
                    host_path: self.data().to_string_lossy().into_owned(),
                    size: Some(1),
                }],
                root: Some(root.to_string_lossy().into_owned()),
            },
            deadline: None,
            cluster: "cluster-1".into(),
        }
    }

    pub(super) fn write_plan(&self, plan: &JobPlan) {
        self.write_plan_with(plan, PASSWORD);
    }

    pub(super) fn write_plan_with(&self, plan: &JobPlan, password: &str) {
        let dir = self.path("plan");
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("plan.json"), serde_json::to_vec(plan).unwrap()).unwrap();
        fs::write(dir.join("encryption-0.RESTIC_PASSWORD"), password).unwrap();
        for (key, value) in &self.credentials {
            fs::write(dir.join(format!("backend-0.{key}")), value).unwrap();
        }
    }

    /// The command of a Job, as the container of a pod of this name would start it.
    pub(super) fn command(&self, arguments: &[String], pod_uid: &str) -> Command {
        let mut command = self.role("job", pod_uid);
        command.args(arguments);
        command
    }

    /// The program in one of its roles, as [`Fixture::command`] starts it.
    pub(super) fn role(&self, role: &str, pod_uid: &str) -> Command {
        let kubeconfig = self.path("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
            self.api.address
        );
        fs::write(&kubeconfig, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kubestash"));
        command
            .arg0("kubestash")
            .arg(role)
            .env("KUBECONFIG", kubeconfig)
            .env("KUBESTASH_RESTIC", &self.restic)
            .env("KUBESTASH_PLAN_DIR", self.path("plan"))
            .env("KUBESTASH_TERMINATION_LOG", self.path("termination-log"))
            // A lock names the host, which in a pod is the pod's name.
            .env("POD_NAME", host_name())
            .env("POD_NAMESPACE", "demo")
            .env("POD_UID", pod_uid)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(super) fn start(&self, arguments: &[String]) -> Child {
        let _ = fs::remove_file(self.path("termination-log"));
        self.command(arguments, "pod-1").spawn().unwrap()
    }

    pub(super) fn job(&self, arguments: &[String]) -> Ended {
        self.finish(self.start(arguments))
    }

    pub(super) fn finish(&self, child: Child) -> Ended {
        let output = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let message = fs::read_to_string(self.path("termination-log")).unwrap_or_default();
        let result = JobResult::from_termination_message(&message)
            .unwrap_or_else(|| panic!("no result; exit {:?}\n{log}", output.status));
        for text in [&log, &message] {
            assert!(!text.contains(PASSWORD), "the password is shown: {text}");
        }
        Ended {
            code: output.status.code(),
            result,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            log,
        }
    }

    pub(super) fn backup_arguments(&self, paths: &str) -> Vec<String> {
        let mut arguments = vec!["workload-backup".to_owned()];
        for (flag, value) in [
            ("namespace", "demo"),
            ("backupsession", "bc-daily-1"),
            ("enable-cache", "true"),
            ("scratch-dir", self.path("scratch").to_str().unwrap()),
            ("paths", paths),
            ("exclude", ""),
            ("allow-partial", ""),
        ] {
            arguments.push(format!("--{flag}={value}"));
        }
        arguments
    }

    /// Backs the data up into a Snapshot of this name.
    pub(super) fn back_up(&self, snapshot: &str, initialized: bool) -> Ended {
        self.write_plan(&JobPlan::Backup(self.backup_plan(snapshot, initialized)));
        self.job(&self.backup_arguments(self.data().to_str().unwrap()))
    }

    /// Backs the data up, which must succeed, and returns the restic snapshot's id.
    pub(super) fn good_backup(&self, snapshot: &str, initialized: bool) -> String {
        let ended = self.back_up(snapshot, initialized);
        assert_eq!(ended.code, Some(0), "{:?}\n{}", ended.result, ended.log);
        let last = self.last_state(snapshot);
        last["resticStats"][0]["summary"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(super) fn restore_arguments(&self, more: &[&str]) -> Vec<String> {
        let mut arguments = vec![
            "workload-restore".to_owned(),
            "--namespace=demo".into(),
            "--restoresession=restore-1".into(),
            "--snapshot=s".into(),
            "--enable-cache=".into(),
            format!("--scratch-dir={}", self.path("scratch").display()),
        ];
        arguments.extend(more.iter().map(|s| (*s).to_owned()));
        arguments
    }

    pub(super) fn restore(&self, id: &str, root: &Path, more: &[&str]) -> Ended {
        fs::create_dir_all(root).unwrap();
        self.write_plan(&JobPlan::Restore(self.restore_plan(id, root)));
        self.job(&self.restore_arguments(more))
    }

    pub(super) fn last_state(&self, object: &str) -> Value {
        self.api
            .states(object, COMPONENT)
            .pop()
            .expect("no status was written")
    }

    /// restic itself on the repository; its standard output.
    pub(super) fn plain_restic(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.restic)
            .args(["--no-cache", "-r"])
            .arg(self.repository_dir())
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn locks(&self) -> usize {
        fs::read_dir(self.repository_dir().join("locks")).map_or(0, Iterator::count)
    }

    pub(super) fn records(&self) -> usize {
        fs::read_dir(self.path("storage/demo/repo/holders")).map_or(0, Iterator::count)
    }
}

pub(super) fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap()
        .trim()
        .to_owned()
}

/// Waits until something is so; fails when it does not become so.
pub(super) fn await_that(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A small file system in memory, gone when dropped.
pub(super) struct Small(pub(super) PathBuf);

impl Small {
    pub(super) fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            Some(Self(at.to_owned()))
        } else {
            eprintln!("SKIPPED: a small file system cannot be mounted here");
            None
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
