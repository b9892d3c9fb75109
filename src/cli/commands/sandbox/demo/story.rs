//! How the demo tells and acts: chapters, commands with their output, manifests applied, and waiting for what they bring.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::manifests::NAMESPACE;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{ApplyOptions, Cluster, Flags, ListOptions, kinds};
use crate::yaml;

/// How long any one thing of the demo may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demo's surroundings.
pub(super) struct Story<'c> {
    context: &'c Context,
    directory: PathBuf,
    sandbox_dir: String,
    cluster: OnceCell<Cluster>,
}

impl<'c> Story<'c> {
    /// A story whose files are below `directory`.
    pub(super) fn new(context: &'c Context, directory: &Path) -> Self {
        Story {
            context,
            directory: directory.to_owned(),
            sandbox_dir: directory.join("sandbox").display().to_string(),
            cluster: OnceCell::new(),
        }
    }

    /// Where logs and manifests go.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The sandbox's directory.
    pub(super) fn sandbox_dir(&self) -> &str {
        &self.sandbox_dir
    }

    /// The sandbox's kubeconfig.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        Path::new(&self.sandbox_dir).join("kubeconfig")
    }

    /// Starts a chapter.
    pub(super) fn chapter(&self, title: &str) -> Result<(), CliError> {
        let title = self.context.ui.data_style().strong(title);
        self.show(&format!("\n{title}"))
    }

    /// One line of the story.
    pub(super) fn line(&self, text: &str) -> Result<(), CliError> {
        self.show(&format!("  {text}"))
    }

    /// A command as a user would type it.
    pub(super) fn command(&self, text: &str) -> Result<(), CliError> {
        let text = self.context.ui.data_style().code(text);
        self.show(&format!("  $ {text}"))
    }

    fn show(&self, text: &str) -> Result<(), CliError> {
        self.context.ui.line(text)?;
        self.context.ui.flush()?;
        Ok(())
    }

    /// Types a command of this program, shows what it says, and fails when it fails.
    pub(super) fn run(&self, args: &[&str]) -> Result<(), CliError> {
        let shown = args
            .join(" ")
            .replace(&self.sandbox_dir, "DIR")
            .replace(" --dir DIR", "");
        self.command(&format!("kubectl kubestash {shown}"))?;
        let start = Instant::now();
        let output = self
            .child(args)
            .output()
            .map_err(|e| self.io("starting this program again", &e))?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        for text in out.lines().chain(err.lines().filter(|l| !l.trim().is_empty())) {
            self.line(&format!("  {text}"))?;
        }
        if !output.status.success() {
            return Err(CliError::new(
                Exit::Failed,
                format!("`kubectl kubestash {shown}` failed in the demo"),
            )
            .cause(err.lines().last().unwrap_or_default().to_owned()));
        }
        self.line(&format!("  ({:.1} s)", start.elapsed().as_secs_f64()))
    }

    /// This program as a child on the sandbox's cluster.
    fn child(&self, args: &[&str]) -> Command {
        let program = std::env::current_exe().unwrap_or_else(|_| "kubectl-kubestash".into());
        let mut command = Command::new(program);
        command
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Stops the sandbox if it runs. Nothing is said: at the end of a failed demo there is a better error to read.
    pub(super) fn stop_sandbox(&self) {
        let _ = self
            .child(&["sandbox", "down", "--dir", &self.sandbox_dir])
            .output();
    }

    /// Applies manifests, and keeps them as a file to look at.
    pub(super) async fn apply(&self, file: &str, manifests: &str) -> Result<(), CliError> {
        let path = self.directory.join(file);
        std::fs::write(&path, manifests).map_err(|e| self.io("writing a manifest", &e))?;
        self.command(&format!("kubectl apply -f {file}"))?;
        for object in
            yaml::from_str_multi::<Value>(manifests).map_err(|e| CliError::new(Exit::Error, e.to_string()))?
        {
            let text = |pointer: &str| {
                object
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let kind = kinds::of(text("/apiVersion"), text("/kind")).ok_or_else(|| {
                CliError::new(
                    Exit::Error,
                    format!("the demo applies an unknown kind {}", text("/kind")),
                )
            })?;
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            self.cluster()
                .await?
                .apply(
                    kind,
                    namespace,
                    text("/metadata/name"),
                    &object,
                    ApplyOptions::default(),
                )
                .await?;
        }
        Ok(())
    }

    async fn cluster(&self) -> Result<&Cluster, CliError> {
        let flags = Flags {
            kubeconfig: Some(self.kubeconfig()),
            ..Flags::default()
        };
        Ok(self
            .cluster
            .get_or_try_init(|| async { Cluster::connect(&flags).await })
            .await?)
    }

    /// The directory on this computer that a claim's volume is, once it is bound.
    pub(super) async fn volume_directory(&self, claim: &str) -> Result<PathBuf, CliError> {
        let client = self.cluster().await?.client().clone();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
        let volumes: Api<PersistentVolume> = Api::all(client);
        self.eventually(&format!("the volume of {claim}"), async || {
            let claim = claims.get_opt(claim).await.ok()??;
            let volume = volumes
                .get_opt(claim.spec?.volume_name.as_deref()?)
                .await
                .ok()??
                .spec?;
            volume
                .host_path
                .map(|h| h.path)
                .or_else(|| volume.local.map(|l| l.path))
                .map(PathBuf::from)
        })
        .await
    }

    /// Waits until the first backup of each configuration succeeded; returns how long that took.
    pub(super) async fn first_backups(&self, configurations: &[&str]) -> Result<Duration, CliError> {
        let start = Instant::now();
        let cluster = self.cluster().await?;
        for name in configurations {
            let options = ListOptions::of(NAMESPACE).labelled(format!("kubestash.com/invoker-name={name}"));
            let phase = self
                .eventually(&format!("the first backup of {name}"), async || {
                    let sessions: Vec<Value> = cluster.list(&kinds::BACKUP_SESSION, &options).await.ok()?;
                    let phase = sessions.first()?.pointer("/status/phase")?.as_str()?.to_owned();
                    matches!(phase.as_str(), "Succeeded" | "Failed" | "Skipped").then_some(phase)
                })
                .await?;
            if phase != "Succeeded" {
                self.run(&["status", "-n", NAMESPACE])?;
                return Err(CliError::new(
                    Exit::Failed,
                    format!("the first backup of {name} ended as {phase}"),
                ));
            }
        }
        Ok(start.elapsed())
    }

    /// Looks every 50 ms until there is something to see.
    async fn eventually<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> Result<T, CliError> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if Instant::now() > end {
                return Err(CliError::new(
                    Exit::TimedOut,
                    format!("the demo gave up waiting for {what} after {PATIENCE:?}"),
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An error of this computer.
    pub(super) fn io(&self, what: &str, error: &io::Error) -> CliError {
        CliError::new(Exit::Error, format!("{what} failed")).cause(error.to_string())
    }
}
