//! The end of a Snapshot.
//!
//! With `Delete` only the object goes. With `WipeOut` a Job forgets its restic snapshots and removes its document, unless
//! that has happened already (a retention Job did it) or its whole Repository is going anyway. Nothing may hold an object
//! for ever: what cannot work (no Secret, no storage) is given up at once, what fails is tried again for
//! [`GIVE_UP_AFTER`], and an event says what was left behind.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::ListParams, runtime::controller::Action};

use super::upload::{Home, home};
use crate::api::config::job_plan::{JobPlan, RetentionPlan, RetentionRepository, StorageAction, StoragePlan};
use crate::api::labels::{self, FINALIZER, component};
use crate::api::storage::{DeletionPolicy, Repository, Snapshot};
use crate::decide::backup::label;
use crate::decide::plan::{self, RepositoryFacts, SecretData};
use crate::decide::storage_job::{Wanted, plan_backend};
use crate::decide::{naming, retention};
use crate::operator::signals::Signals;
use crate::operator::storage_access::{self, is_local};
use crate::operator::storage_jobs;
use crate::operator::{Context, Error, lookup};

/// How long wiping is tried before the object is let go.
pub(crate) const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Forgetting may prune, which takes long on large repositories.
const RETENTION_SECONDS: i64 = 6 * 3600;

pub(super) async fn run(snapshot: &Snapshot, ctx: &Context, signals: &Signals) -> Result<Action, Error> {
    if !snapshot.finalizers().iter().any(|name| name == FINALIZER) {
        return Ok(Action::await_change());
    }
    let namespace = snapshot.namespace().unwrap_or_default();
    if wants_wipe(ctx, snapshot).await? {
        match Box::pin(wipe(ctx, snapshot)).await {
            Ok(true) => {}
            Ok(false) => return Ok(Action::await_change()),
            Err(error) => {
                if !may_give_up(snapshot, &error, Timestamp::now()) {
                    return Err(error);
                }
                let note = format!("its data stays in the backend: {}", error.sentence());
                ctx.events
                    .warning(snapshot, "WipeOut", "DataLeftBehind", &note)
                    .await;
                tracing::warn!(snapshot = %format!("{namespace}/{}", snapshot.name_any()), "{note}");
            }
        }
    }
    ctx.applier.remove_finalizer(snapshot, FINALIZER).await?;
    signals.repository(&namespace, &snapshot.spec.repository);
    Ok(Action::await_change())
}

async fn wants_wipe(ctx: &Context, snapshot: &Snapshot) -> Result<bool, Error> {
    let forgotten = snapshot
        .annotations()
        .contains_key(retention::FORGOTTEN_ANNOTATION);
    if snapshot.spec.deletion_policy != DeletionPolicy::WipeOut || forgotten {
        return Ok(false);
    }
    let api: Api<Repository> = Api::namespaced(ctx.client.clone(), &snapshot.namespace().unwrap_or_default());
    let repository = api.get_opt(&snapshot.spec.repository).await?;
    // A Repository that goes decides about all of its data by its own policy.
    Ok(repository.is_none_or(|repository| repository.metadata.deletion_timestamp.is_none()))
}

/// [`Error::Invalid`] cannot get better; anything else gets its time.
fn may_give_up(snapshot: &Snapshot, error: &Error, now: Timestamp) -> bool {
    let since = snapshot
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    matches!(error, Error::Invalid(_)) || now.duration_since(since) >= GIVE_UP_AFTER
}

/// True once everything is gone; false while a Job works on it.
async fn wipe(ctx: &Context, snapshot: &Snapshot) -> Result<bool, Error> {
    let home = home(ctx, snapshot).await.map_err(|error| match error {
        // Something is not there: waiting for it would hold the object for ever.
        Error::Step(what) => Error::Invalid(what),
        other => other,
    })?;
    let repository = home.repository.name_any();
    let namespace = snapshot.namespace().unwrap_or_default();
    let api: Api<Snapshot> = Api::namespaced(ctx.client.clone(), &namespace);
    let labelled = ListParams::default().labels(&format!("{}={}", labels::REPO_NAME, label(&repository)));
    let others = lookup::list(&api, labelled).await?;
    let staying: Vec<&Snapshot> = others
        .iter()
        .filter(|other| other.spec.repository == repository && other.metadata.deletion_timestamp.is_none())
        .collect();
    let components = retention::to_forget(&[snapshot], &staying);
    let document = naming::snapshot_document("", &snapshot.name_any());
    if components.is_empty() {
        return remove_document(ctx, snapshot, &home, &document).await;
    }
    let encryption = encryption(ctx, &home.repository).await?;
    let facts = RepositoryFacts {
        credentials: home.secret.secret().cloned(),
        storage: home.storage,
        repository: home.repository,
        encryption,
    };
    let (planned, data) = plan::repository(&facts, 0, false);
    let plan = JobPlan::Retention(RetentionPlan {
        namespace: namespace.clone(),
        backup_session: String::new(),
        repositories: vec![RetentionRepository {
            repository: planned,
            components,
            prune: true,
            documents: vec![document],
        }],
        deadline: None,
        cluster: lookup::cluster(ctx).await?,
    });
    let name = naming::cleanup_job(&snapshot.name_any());
    let mut wanted = Wanted::new(
        name,
        component::CLEANER,
        "Snapshot",
        snapshot,
        &facts.storage,
        plan,
        data,
    );
    wanted.identity = snapshot.uid().unwrap_or_default();
    wanted.deadline = RETENTION_SECONDS;
    if !is_local(&facts.storage) {
        // Where the Repository lives its Secrets are at home; only local volumes force the Job elsewhere.
        wanted.namespace = namespace;
    }
    wanted.service_account.clone_from(&wanted.name);
    storage_jobs::finish(ctx, &wanted).await
}

async fn remove_document(
    ctx: &Context,
    snapshot: &Snapshot,
    home: &Home,
    document: &str,
) -> Result<bool, Error> {
    let path = naming::join_path([home.repository.spec.path.as_str(), document]);
    if !is_local(&home.storage) {
        let documents = storage_access::documents(&home.storage, &home.secret)
            .map_err(|e| Error::Invalid(e.to_string()))?;
        documents
            .delete(&path)
            .await
            .map_err(|e| Error::Step(e.to_string()))?;
        return Ok(true);
    }
    let mut data = SecretData::new();
    let backend = plan_backend(&home.storage, None, &mut data);
    let action = StorageAction::Upload {
        documents: std::collections::BTreeMap::default(),
        remove: vec![path],
    };
    let plan = JobPlan::Storage(StoragePlan {
        backend,
        action,
        deadline: None,
    });
    let name = naming::cleanup_job(&snapshot.name_any());
    let mut wanted = Wanted::new(
        name,
        component::CLEANER,
        "Snapshot",
        snapshot,
        &home.storage,
        plan,
        data,
    );
    wanted.identity = snapshot.uid().unwrap_or_default();
    storage_jobs::finish(ctx, &wanted).await
}

/// The encryption Secret of a Repository. A missing one cannot be waited for.
async fn encryption(ctx: &Context, repository: &Repository) -> Result<Secret, Error> {
    let namespace = repository.namespace().unwrap_or_default();
    let reference = repository.spec.encryption_secret.clone().unwrap_or_default();
    let own = reference.namespace_or(&namespace).to_owned();
    let missing = || {
        Error::Invalid(format!(
            "the encryption Secret {own}/{} does not exist",
            reference.name
        ))
    };
    if reference.name.is_empty() {
        return Err(Error::Invalid(format!(
            "Repository {namespace}/{} names no encryption Secret",
            repository.name_any()
        )));
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &own);
    api.get_opt(&reference.name).await?.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hopeless_wipes_end_at_once_and_others_after_their_time() {
        let snapshot: Snapshot = serde_json::from_value(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "s", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"snapshotID": "x", "repository": "r", "session": "d", "backupSession": "b", "version": "v1"}}))
        .unwrap();
        let at = |text: &str| text.parse().unwrap();
        assert!(may_give_up(
            &snapshot,
            &Error::Invalid("no Secret".into()),
            at("2026-01-01T00:00:01Z")
        ));
        assert!(!may_give_up(
            &snapshot,
            &Error::Step("timeout".into()),
            at("2026-01-01T00:04:00Z")
        ));
        assert!(may_give_up(
            &snapshot,
            &Error::Step("timeout".into()),
            at("2026-01-01T00:06:00Z")
        ));
    }
}
