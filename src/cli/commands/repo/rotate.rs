//! `repo key rotate`: another password for everything that an encryption Secret opens, in steps that can be interrupted.
//!
//! 1. The new password goes into the Secret beside the old one (`RESTIC_PASSWORD_NEXT`), with the ids of the old keys in
//!    an annotation. 2. It is added as a key to every restic repository and proven to open each. 3. The Secret is switched.
//!    4. A new reader, which mounts the Secret as it is now, proves again that each opens with it. 5. The old keys are
//!    removed, and the annotation with them. Interrupted anywhere, the same command reads from the Secret how far it came
//!    and goes on; until step 5 the old password opens everything, after step 3 the new one does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::key;
use crate::api::storage::Repository;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::{ReaderArgs, Session};
use crate::cli::names;
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::reader::op::{Op, Secret};

/// The password that is being introduced.
const NEXT: &str = "RESTIC_PASSWORD_NEXT";
/// The password that counts.
const PASSWORD: &str = "RESTIC_PASSWORD";
/// Annotation on the Secret: the keys to remove at the end, by `namespace/repository/path`.
const ROTATION: &str = "kubestash.com/key-rotation";

/// Replace the password of a Repository's encryption Secret
///
/// Every Repository that uses the Secret gets the new password as a further key; only when it is proven to open all of
/// them the Secret is changed, and only when that is proven, too, the old keys go. Interrupted, run it again: it goes on.
///
/// Examples:
///   kubectl kubestash repo key rotate s3-repo
///   kubectl kubestash repo key rotate s3-repo --new-password-file ./password
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RotateArgs {
    /// The Repository
    #[arg(value_name = "REPOSITORY")]
    pub(in crate::cli) name: String,
    /// File with the new password, - for standard input; a strong one is made by default
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) new_password_file: Option<PathBuf>,
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
    let mut rotation = begin(args, context).await?;
    let stop = |step: &str| args.stop_after.as_deref() == Some(step);
    if !rotation.begun() {
        let password = match &args.new_password_file {
            Some(file) => key::password(file)?,
            None => generated()?,
        };
        rotation.keep(&password).await?;
        context.ui.say("1/5 the new password waits in the Secret");
    } else {
        context.ui.say("going on with a rotation that was interrupted");
    }
    if stop("begin") {
        return Ok(stopped(context));
    }
    if let Some(next) = rotation.next()? {
        rotation.add(&next).await?;
        context.ui.say("2/5 it opens every restic repository");
        if stop("add") {
            return Ok(stopped(context));
        }
        rotation.switch(&next).await?;
        context.ui.say("3/5 the Secret has it");
        if stop("switch") {
            return Ok(stopped(context));
        }
    }
    let sessions = rotation.prove().await?;
    context
        .ui
        .say("4/5 readers with the Secret as it is now open every restic repository");
    if stop("prove") {
        return Ok(stopped(context));
    }
    rotation.idle().await?;
    rotation.remove(&sessions).await?;
    context.ui.say("5/5 the old keys are gone");
    context.ui.line(&format!(
        "secret/{} rotated ({} of Repositories: {})",
        rotation.secret.name_any(),
        rotation.repositories.len(),
        rotation
            .repositories
            .iter()
            .map(|(namespace, name, _)| format!("{namespace}/{name}"))
            .collect::<Vec<_>>()
            .join(", ")
    ))?;
    Ok(Exit::Ok)
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

async fn begin<'c>(args: &RotateArgs, context: &'c Context) -> Result<Rotation<'c>, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespace().await?;
    let named = names::parse(&args.name, &[&kinds::REPOSITORY])?;
    let repository: Repository = cluster
        .get(&kinds::REPOSITORY, Some(namespace), named.name)
        .await?;
    let (place, name) = secret_of(&repository).ok_or_else(|| {
        CliError::new(
            Exit::Precondition,
            format!("Repository {} names no encryption Secret", named.name),
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
        repositories,
    })
}

fn secret_of(repository: &Repository) -> Option<(String, String)> {
    let own = repository.namespace().unwrap_or_default();
    let reference = repository.spec.encryption_secret.as_ref()?;
    Some((reference.namespace_or(&own).to_owned(), reference.name.clone()))
}

impl Rotation<'_> {
    fn begun(&self) -> bool {
        self.secret.annotations().contains_key(ROTATION)
    }

    /// The new password, while the Secret does not use it yet.
    fn next(&self) -> Result<Option<Secret>, CliError> {
        let value = self.secret.data.as_ref().and_then(|data| data.get(NEXT));
        value
            .map(|value| {
                String::from_utf8(value.0.clone()).map(Secret).map_err(|_| {
                    CliError::new(Exit::Precondition, format!("{NEXT} in the Secret is no text"))
                })
            })
            .transpose()
    }

    /// The keys to remove.
    fn old(&self) -> BTreeMap<String, String> {
        self.secret
            .annotations()
            .get(ROTATION)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// Changes the Secret as it was read, and reads it again.
    async fn patch(&mut self, mut patch: Value) -> Result<(), CliError> {
        patch["metadata"]["resourceVersion"] = json!(self.secret.resource_version());
        let namespace = self.secret.namespace().unwrap_or_default();
        let name = self.secret.name_any();
        let patched = self
            .cluster
            .merge(&kinds::SECRET, Some(&namespace), &name, &patch)
            .await?;
        self.secret = serde_json::from_value(patched).map_err(|e| {
            CliError::new(Exit::Error, "the API server's answer makes no sense").cause(e.to_string())
        })?;
        Ok(())
    }

    async fn session(&self, namespace: &str, name: &str, anew: bool) -> Result<Session<'_>, CliError> {
        if anew {
            Session::open_anew(self.context, &self.reader, namespace, name).await
        } else {
            Session::open(self.context, &self.reader, namespace, name).await
        }
    }

    /// Step 1.
    async fn keep(&mut self, password: &Secret) -> Result<(), CliError> {
        let mut old = BTreeMap::new();
        for (namespace, name, paths) in &self.repositories {
            if paths.is_empty() {
                continue;
            }
            // With the Secret as it is now: an older reader could have another password.
            let session = self.session(namespace, name, true).await?;
            for path in paths {
                let keys = key::keys(&session.answer(path, Op::Keys).await?)?;
                let current = keys.into_iter().find(|k| k.current).ok_or_else(|| {
                    CliError::new(
                        Exit::Error,
                        format!("{namespace}/{name} does not say which key opens {path}"),
                    )
                })?;
                old.insert(format!("{namespace}/{name}/{path}"), current.id);
            }
        }
        let text = serde_json::to_string(&old).unwrap_or_default();
        self.patch(json!({
            "metadata": {"annotations": {ROTATION: text}},
            "data": {NEXT: encoded(password)},
        }))
        .await
    }

    /// Step 2.
    async fn add(&self, next: &Secret) -> Result<(), CliError> {
        for (namespace, name, paths) in self.repositories.iter().filter(|(.., paths)| !paths.is_empty()) {
            let session = self.session(namespace, name, false).await?;
            for path in paths {
                let op = Op::KeyAdd {
                    password: next.clone(),
                    user: "kubestash".to_owned(),
                    host: "rotated".to_owned(),
                };
                let added = done(&session.answer(path, op).await?)?;
                if self.old().get(&format!("{namespace}/{name}/{path}")) == Some(&added.id) {
                    return Err(CliError::new(
                        Exit::Precondition,
                        "the new password is the one that is in use already",
                    )
                    .hint(format!(
                        "remove {NEXT} and the annotation {ROTATION} from the Secret, and choose another"
                    )));
                }
                self.context.ui.detail(&format!(
                    "{namespace}/{name}/{path}: key {}",
                    key::short(&added.id)
                ));
            }
        }
        Ok(())
    }

    /// Step 3.
    async fn switch(&mut self, next: &Secret) -> Result<(), CliError> {
        self.patch(json!({"data": {NEXT: null, PASSWORD: encoded(next)}}))
            .await
    }

    /// Step 4.
    async fn prove(&self) -> Result<Vec<Session<'_>>, CliError> {
        let old = self.old();
        let mut sessions = Vec::new();
        for (namespace, name, paths) in self.repositories.iter().filter(|(.., paths)| !paths.is_empty()) {
            let session = self.session(namespace, name, true).await?;
            for path in paths {
                let keys = key::keys(&session.answer(path, Op::Keys).await?)?;
                let current = keys.iter().find(|k| k.current).map(|k| k.id.clone());
                let before = old.get(&format!("{namespace}/{name}/{path}"));
                if current.is_none() || current.as_ref() == before {
                    return Err(CliError::new(
                        Exit::Failed,
                        format!("{namespace}/{name}/{path} is still opened with the old key; nothing was removed"),
                    )
                    .hint("does something else write the Secret (a GitOps tool, a secret store)? Give it the new password, and run this again"));
                }
            }
            sessions.push(session);
        }
        Ok(sessions)
    }

    /// Jobs that were started with the old password need it until they have ended.
    async fn idle(&self) -> Result<(), CliError> {
        for kind in [&kinds::BACKUP_SESSION, &kinds::RESTORE_SESSION] {
            let mut places: Vec<&str> = self.repositories.iter().map(|(n, ..)| n.as_str()).collect();
            places.dedup();
            for place in places {
                let all: Vec<Value> = self.cluster.list(kind, &ListOptions::of(place)).await?;
                let busy = all.iter().find(|o| o["status"]["phase"] == "Running");
                if let Some(busy) = busy {
                    return Err(CliError::new(
                        Exit::Precondition,
                        format!(
                            "{} {place}/{} runs, perhaps with the old password; the old keys stay for now",
                            kind.kind,
                            busy["metadata"]["name"].as_str().unwrap_or_default()
                        ),
                    )
                    .hint(
                        "run the same command again when it has ended: only the old keys are left to remove",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Step 5.
    async fn remove(&self, sessions: &[Session<'_>]) -> Result<(), CliError> {
        let old = self.old();
        for session in sessions {
            let namespace = session.repository().namespace().unwrap_or_default();
            let name = session.repository().name_any();
            for path in session.component_paths() {
                let Some(id) = old.get(&format!("{namespace}/{name}/{path}")) else {
                    continue;
                };
                let keys = key::keys(&session.answer(&path, Op::Keys).await?)?;
                if !keys.iter().any(|k| k.id == *id) {
                    continue;
                }
                let op = Op::KeyRemove {
                    id: id.clone(),
                    password: Secret::default(),
                };
                session.answer(&path, op).await?;
            }
        }
        let namespace = self.secret.namespace().unwrap_or_default();
        let patch = json!({"metadata": {"annotations": {ROTATION: null}}});
        self.cluster
            .merge(&kinds::SECRET, Some(&namespace), &self.secret.name_any(), &patch)
            .await?;
        Ok(())
    }
}
