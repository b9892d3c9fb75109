//! What a RestoreSession restores, from where and with what. Inner errors make the session Invalid.

use std::collections::BTreeMap;

use kube::{Api, ResourceExt, api::ListParams};

use super::Run;
use crate::{
    api::{
        addons::{Addon, Function},
        labels,
        shared::TypedObjectReference,
        storage::{Repository, Snapshot},
    },
    decide::{
        addon::{self, Direction, SessionTask},
        backup, restore,
        restore::Part,
        target,
    },
    operator::{Error, lookup},
};

/// What was resolved.
pub(super) struct Resolved {
    pub(super) snapshot: Snapshot,
    pub(super) tasks: Vec<SessionTask>,
    pub(super) target: Option<TypedObjectReference>,
    pub(super) parts: Vec<Part>,
}

/// What the session's dependencies are, found or not.
pub(super) struct Found {
    pub(super) addon: Option<Addon>,
    pub(super) functions: BTreeMap<String, Function>,
}

/// Namespace that Repository and Snapshot are in.
pub(super) fn source_namespace(run: &Run) -> String {
    let given = run
        .session
        .spec
        .data_source
        .as_ref()
        .and_then(|source| source.namespace.clone());
    given
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or_else(|| run.namespace())
}

/// The Addon and its Functions.
pub(super) async fn addon(run: &Run) -> Result<Found, Error> {
    let info = run.session.spec.addon.clone().unwrap_or_default();
    let (addon, functions) = lookup::addon(&run.ctx.client, &info, Direction::Restore).await?;
    Ok(Found { addon, functions })
}

/// Resolves and validates. The inner error is for the user.
pub(super) async fn resolve(run: &Run, found: &Found) -> Result<Result<Resolved, String>, Error> {
    let Some(source) = &run.session.spec.data_source else {
        return Ok(Err(
            "spec.dataSource is missing: it names the Repository and the Snapshot to restore".to_owned(),
        ));
    };
    let Some(info) = &run.session.spec.addon else {
        return Ok(Err(
            "spec.addon is missing: it names the tasks that restore".to_owned()
        ));
    };
    let tasks = match addon::tasks(info, found.addon.as_ref(), &found.functions, Direction::Restore) {
        Ok(tasks) => tasks,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let snapshot = match snapshot(run).await? {
        Ok(snapshot) => snapshot,
        Err(why) => return Ok(Err(why)),
    };
    let wanted = restore::target(&run.session, &snapshot);
    let reference = target::reference(wanted.as_ref(), &run.namespace());
    Ok(restore::fits(source, &snapshot)
        .and_then(|()| restore::parts(source, &snapshot, &tasks, &reference))
        .map(|parts| Resolved {
            snapshot,
            tasks,
            target: wanted,
            parts,
        }))
}

async fn snapshot(run: &Run) -> Result<Result<Snapshot, String>, Error> {
    let source = run.session.spec.data_source.clone().unwrap_or_default();
    let namespace = source_namespace(run);
    let client = &run.ctx.client;
    if !source.repository.is_empty()
        && lookup::get::<Repository>(client, &namespace, &source.repository)
            .await?
            .is_none()
    {
        return Ok(Err(format!(
            "Repository \"{namespace}/{}\" not found",
            source.repository
        )));
    }
    if !restore::chooses(&source) {
        if source.snapshot.is_empty() {
            return Ok(Err(
                "spec.dataSource.snapshot is missing: give a Snapshot's name, or latest".to_owned(),
            ));
        }
        let found = lookup::get::<Snapshot>(client, &namespace, &source.snapshot).await?;
        return Ok(found.ok_or_else(|| format!("Snapshot \"{namespace}/{}\" not found", source.snapshot)));
    }
    // Once chosen, a Snapshot stays the chosen one: a newer backup must not change what is being restored.
    if let Some(chosen) = run.session.annotations().get(CHOSEN)
        && let Some(found) = lookup::get::<Snapshot>(client, &namespace, chosen).await?
    {
        return Ok(Ok(found));
    }
    let api: Api<Snapshot> = Api::namespaced(client.clone(), &namespace);
    let selector = format!("{}={}", labels::REPO_NAME, backup::label(&source.repository));
    let all = lookup::list(&api, ListParams::default().labels(&selector)).await?;
    Ok(restore::choose(&source, &all).cloned())
}

/// On a RestoreSession of `latest` or a point in time: the Snapshot that was chosen.
pub(super) const CHOSEN: &str = "kubestash.com/snapshot";
