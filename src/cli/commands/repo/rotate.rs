//! `repo key rotate`: another password for everything that an encryption Secret opens, in steps that can be interrupted.
//!
//! 1. The new password goes into the Secret beside the old one (`RESTIC_PASSWORD_NEXT`), with the ids of the old keys in
//!    an annotation. 2. It is added as a key to every restic repository and proven to open each. 3. The Secret is switched.
//!    4. A new reader, which mounts the Secret as it is now, proves again that each opens with it. 5. The old keys are
//!    removed, and the annotation with them. Interrupted anywhere, the same command reads from the Secret how far it came
//!    and goes on; until step 5 the old password opens everything, after step 3 the new one does.
//!
//! Readers keep the password with which they began. So those of before the switch are sent away after it, those of the
//! rotation at its end however it ends, and one that goes on uses none of an earlier one.

mod steps;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::ResourceExt;
use serde::Deserialize;

use super::key;
use crate::api::storage::Repository;
use crate::cli::confirm::Confirmation;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::{ReaderArgs, dismiss};
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::reader::op::Secret;

/// The password that is being introduced.
const NEXT: &str = "RESTIC_PASSWORD_NEXT";
/// The password that counts.
const PASSWORD: &str = "RESTIC_PASSWORD";
/// How long is waited for a reader that only starts, to send it away.
const STARTS: Duration = Duration::from_secs(10);
/// Annotation on the Secret: the keys to remove at the end, by `namespace/repository/path`.
const ROTATION: &str = "kubestash.com/key-rotation";

/// Replace the password of a Repository's encryption Secret
///
/// Every Repository that uses the Secret gets the new password as a further key; only when it is proven to open all of
/// them the Secret is changed, and only when that is proven, too, the old keys go. Interrupted, run it again: it goes on.
///
/// Copies of the old password that are kept elsewhere open nothing any more; so it asks first on a terminal.
///
/// Examples:
///   kubectl kubestash repo key rotate s3-repo
///   kubectl kubestash repo key rotate s3-repo --new-password-file ./password --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RotateArgs {
    #[command(flatten)]
    pub(in crate::cli) repository: super::Named,
    /// File with the new password, - for standard input; a strong one is made by default
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) new_password_file: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    /// Stop after this step, to look at it: begin, add, switch or prove
    #[arg(long, value_name = "STEP", value_parser = ["begin", "add", "switch", "prove"], hide = true)]
    pub(in crate::cli) stop_after: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) reader: ReaderArgs,
}

/// What the reader says of a key.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    pub(super) id: String,
    pub(super) added: bool,
}

pub(super) fn done(text: &[u8]) -> Result<Done, CliError> {
    serde_json::from_slice(text)
        .map_err(|e| CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string()))
}

/// The Secret and everything it opens.
struct Rotation<'c> {
    context: &'c Context,
    cluster: &'c Cluster,
    reader: ReaderArgs,
    secret: KubeSecret,
    /// The new password of a rotation that has not begun.
    first: Option<Secret>,
    /// Namespace, name and paths of each Repository.
    repositories: Vec<(String, String, Vec<String>)>,
}

/// Rotates, or goes on with it.
///
/// # Errors
/// When a step is not possible; what was done so far stays as it is, and the next run goes on.
pub async fn run(args: &RotateArgs, context: &Context) -> Result<Exit, CliError> {
    if context.cluster().await.is_ok() && args.reader.local {
        // The second proof is that what the cluster mounts opens the Repository.
        context
            .ui
            .detail("--local: the second proof reads the Secret through the API server");
    }
    let name = args.repository.one(context)?;
    let mut rotation = begin(args, &name, context).await?;
    let resumed = rotation.begun();
    if !resumed {
        let password = match &args.new_password_file {
            Some(file) => key::password(file)?,
            None => generated()?,
        };
        rotation.differs(&password)?;
        rotation.confirm(args.yes)?;
        rotation.leaves_nothing_behind(&name).await?;
        rotation.first = Some(password);
    } else {
        rotation.leaves_nothing_behind(&name).await?;
        context.ui.say("going on with a rotation that was interrupted");
    }
    let result = Box::pin(rotation.steps(args.stop_after.as_deref(), resumed)).await;
    // Also after a step that failed: whatever is open holds a password of before or in between.
    rotation.dismiss().await;
    result
}

impl Rotation<'_> {
    /// Whoever interrupts it from here on is told how to go on, and no reader stays.
    async fn leaves_nothing_behind(&self, name: &str) -> Result<(), CliError> {
        let context = self.context;
        context.if_interrupted(goes_on(name, context.namespace().await?));
        if !self.reader.local {
            let (cluster, repositories) = (self.cluster.clone(), self.named());
            context.tidy_if_interrupted(async move {
                dismiss::readers(&cluster, &repositories, STARTS).await;
            });
        }
        Ok(())
    }

    /// Sends the readers of everything that the Secret opens away: those of before a step hold another password than
    /// those after it.
    async fn dismiss(&self) {
        if !self.reader.local {
            dismiss::readers(self.cluster, &self.named(), STARTS).await;
        }
    }

    /// Namespace and name of each Repository.
    fn named(&self) -> Vec<(String, String)> {
        let all = self.repositories.iter();
        all.map(|(namespace, name, _)| (namespace.clone(), name.clone()))
            .collect()
    }

    /// All steps, or what is left of them.
    async fn steps(&mut self, stop_after: Option<&str>, resumed: bool) -> Result<Exit, CliError> {
        let context = self.context;
        let stop = |step: &str| stop_after == Some(step);
        if let Some(password) = self.first.take() {
            self.keep(&password).await?;
            context.ui.say("1/5 the new password waits in the Secret");
        }
        if stop("begin") {
            return Ok(stopped(context));
        }
        if let Some(next) = self.next()? {
            self.add(&next, resumed).await?;
            context.ui.say("2/5 it opens every restic repository");
            if stop("add") {
                return Ok(stopped(context));
            }
            self.switch(&next).await?;
            context.ui.say("3/5 the Secret has it");
            self.dismiss().await;
            if stop("switch") {
                return Ok(stopped(context));
            }
        }
        let sessions = self.prove().await?;
        context
            .ui
            .say("4/5 readers with the Secret as it is now open every restic repository");
        if stop("prove") {
            return Ok(stopped(context));
        }
        self.idle().await?;
        self.remove(&sessions).await?;
        context.ui.say("5/5 the old keys are gone");
        context.ui.line(&format!(
            "secret/{} rotated: its new password opens {}",
            self.secret.name_any(),
            self.opened()
        ))?;
        Ok(Exit::Ok)
    }

    /// What the Secret opens, in words: `Repository demo/a`, `Repositories demo/a, demo/b`.
    fn opened(&self) -> String {
        let names: Vec<String> = self
            .repositories
            .iter()
            .map(|(namespace, name, _)| format!("{namespace}/{name}"))
            .collect();
        let word = if names.len() == 1 {
            "Repository"
        } else {
            "Repositories"
        };
        format!("{word} {}", names.join(", "))
    }

    /// Asks whoever begins a rotation on a terminal: nothing is lost by it, so pipelines that rotate need not be asked. One that
    /// is begun has been confirmed.
    fn confirm(&self, yes: bool) -> Result<(), CliError> {
        let name = self.secret.name_any();
        self.context.ui.say(&format!(
            "Secret {}/{name} gets a new password. It opens {}; copies of the old password that are kept elsewhere will open nothing any more.",
            self.secret.namespace().unwrap_or_default(),
            self.opened()
        ));
        Confirmation {
            word: "yes",
            verb: "replace it",
            otherwise: "nothing was changed",
        }
        .ask(yes || !std::io::stdin().is_terminal(), self.context)
    }
}

/// As the data of a Secret.
fn encoded(password: &Secret) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(&password.0)
}

fn stopped(context: &Context) -> Exit {
    context.ui.say("stopped as asked; the same command goes on");
    Exit::Ok
}

/// What somebody is told who interrupts a rotation: at every step the password in the Secret opens everything.
fn goes_on(repository: &str, namespace: &str) -> String {
    format!(
        "interrupted; the rotation is not complete. Backups and restores work meanwhile, and `kubectl kubestash repo key rotate {repository} -n {namespace}` goes on with it."
    )
}

/// A password of 256 bits.
fn generated() -> Result<Secret, CliError> {
    use base64::Engine as _;
    use ring::rand::SecureRandom;
    let mut bytes = [0u8; 32];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| CliError::new(Exit::Error, "this machine gives no random numbers"))?;
    Ok(Secret(
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes),
    ))
}

async fn begin<'c>(args: &RotateArgs, name: &str, context: &'c Context) -> Result<Rotation<'c>, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespace().await?;
    let repository: Repository = cluster.get(&kinds::REPOSITORY, Some(namespace), name).await?;
    let (place, name) = secret_of(&repository).ok_or_else(|| {
        CliError::new(
            Exit::Precondition,
            format!("Repository {name} names no encryption Secret"),
        )
    })?;
    let secret: KubeSecret = cluster.get(&kinds::SECRET, Some(&place), &name).await?;
    if secret.immutable == Some(true) {
        return Err(CliError::new(
            Exit::Precondition,
            format!("Secret {place}/{name} is immutable, so its password cannot be changed"),
        ));
    }
    let all: Vec<Repository> = match cluster.list(&kinds::REPOSITORY, &ListOptions::default()).await {
        Ok(all) => all,
        Err(Error::Forbidden { .. }) => {
            context.ui.warn(&format!(
                "you may not look for Repositories in other namespaces: any there that use Secret {place}/{name} would not open any more"
            ));
            cluster
                .list(&kinds::REPOSITORY, &ListOptions::of(namespace))
                .await?
        }
        Err(error) => return Err(error.into()),
    };
    let mut repositories = Vec::new();
    for one in all {
        if secret_of(&one).as_ref() == Some(&(place.clone(), name.clone())) {
            let paths = one.status.clone().unwrap_or_default().component_paths;
            repositories.push((one.namespace().unwrap_or_default(), one.name_any(), paths));
        }
    }
    Ok(Rotation {
        context,
        cluster,
        reader: args.reader.clone(),
        secret,
        first: None,
        repositories,
    })
}

fn secret_of(repository: &Repository) -> Option<(String, String)> {
    let own = repository.namespace().unwrap_or_default();
    let reference = repository.spec.encryption_secret.as_ref()?;
    Some((reference.namespace_or(&own).to_owned(), reference.name.clone()))
}
