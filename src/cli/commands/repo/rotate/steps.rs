//! The steps of a rotation, each of which may be the last for a while.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::{NEXT, PASSWORD, ROTATION, Rotation, done, encoded};
use crate::cli::commands::repo::key;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Session;
use crate::cluster::{ListOptions, kinds};
use crate::reader::op::{Op, Secret};

impl Rotation<'_> {
    pub(super) fn begun(&self) -> bool {
        self.secret.annotations().contains_key(ROTATION)
    }

    /// The new password, while the Secret does not use it yet.
    pub(super) fn next(&self) -> Result<Option<Secret>, CliError> {
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
    pub(super) fn old(&self) -> BTreeMap<String, String> {
        self.secret
            .annotations()
            .get(ROTATION)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// Changes the Secret as it was read, and reads it again.
    pub(super) async fn patch(&mut self, mut patch: Value) -> Result<(), CliError> {
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

    pub(super) async fn session(
        &self,
        namespace: &str,
        name: &str,
        anew: bool,
    ) -> Result<Session<'_>, CliError> {
        if anew {
            Session::open_anew(self.context, &self.reader, namespace, name).await
        } else {
            Session::open(self.context, &self.reader, namespace, name).await
        }
    }

    /// A password that is in use already cannot take its own place.
    pub(super) fn differs(&self, password: &Secret) -> Result<(), CliError> {
        let current = self.secret.data.as_ref().and_then(|data| data.get(PASSWORD));
        // Tools that make Secrets of files leave the end of the line in; restic does not read it.
        let current = current.map(|value| value.0.trim_ascii_end());
        if current == Some(password.0.trim_end().as_bytes()) {
            return Err(CliError::new(
                Exit::Precondition,
                "the new password is the one that is in use already",
            )
            .hint("choose another, or leave --new-password-file out: a strong one is made"));
        }
        Ok(())
    }

    /// Step 1.
    pub(super) async fn keep(&mut self, password: &Secret) -> Result<(), CliError> {
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

    /// Step 2. Where the rotation goes on, whatever reader there is may hold a password that does not count any more.
    pub(super) async fn add(&self, next: &Secret, resumed: bool) -> Result<(), CliError> {
        for (namespace, name, paths) in self.repositories.iter().filter(|(.., paths)| !paths.is_empty()) {
            let session = self.session(namespace, name, resumed).await?;
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
    pub(super) async fn switch(&mut self, next: &Secret) -> Result<(), CliError> {
        self.patch(json!({"data": {NEXT: null, PASSWORD: encoded(next)}}))
            .await
    }

    /// Step 4.
    pub(super) async fn prove(&self) -> Result<Vec<Session<'_>>, CliError> {
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
    pub(super) async fn idle(&self) -> Result<(), CliError> {
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
    pub(super) async fn remove(&self, sessions: &[Session<'_>]) -> Result<(), CliError> {
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
