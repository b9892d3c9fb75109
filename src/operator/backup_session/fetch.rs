//! What a BackupSession depends on, read as much at once as possible.

use futures::future::{try_join, try_join_all};
use kube::{Api, ResourceExt, api::ListParams};

use crate::{
    api::{
        core::{BackupConfiguration, BackupSession, Session},
        storage::Snapshot,
    },
    decide::{
        addon::{Direction, SessionTask, tasks},
        plan::RepositoryFacts,
        target::Target,
    },
    operator::{Context, Error, lookup},
};

/// The invoker, if it exists.
pub(super) async fn configuration(
    ctx: &Context,
    session: &BackupSession,
) -> Result<Option<BackupConfiguration>, Error> {
    let name = session.spec.invoker.clone().unwrap_or_default().name;
    lookup::get(&ctx.client, &session.namespace().unwrap_or_default(), &name).await
}

/// All sessions of the namespace.
pub(super) async fn sessions(ctx: &Context, namespace: &str) -> Result<Vec<BackupSession>, Error> {
    let api: Api<BackupSession> = Api::namespaced(ctx.client.clone(), namespace);
    lookup::list(&api, ListParams::default()).await
}

/// What the Jobs are made from. The inner errors are for the user.
pub(super) struct Needs {
    pub(super) target: Option<Target>,
    pub(super) tasks: Result<Vec<SessionTask>, String>,
    pub(super) repositories: Vec<Result<RepositoryFacts, String>>,
}

/// Reads target, tasks and Repositories of the session's entry.
pub(super) async fn needs(
    ctx: &Context,
    namespace: &str,
    configuration: &BackupConfiguration,
    config: &Session,
) -> Result<Needs, Error> {
    let client = &ctx.client;
    let info = config.addon.clone().unwrap_or_default();
    let tasks = async {
        let (addon, functions) = lookup::addon(client, &info, Direction::Backup).await?;
        Ok(tasks(&info, addon.as_ref(), &functions, Direction::Backup).map_err(|e| e.to_string()))
    };
    let repositories = try_join_all(
        config
            .repositories
            .iter()
            .map(|it| lookup::repository(client, namespace, &it.name, None, namespace)),
    );
    let target = lookup::target(client, configuration.spec.target.as_ref(), namespace);
    let ((target, tasks), repositories) = try_join(try_join(target, tasks), repositories).await?;
    Ok(Needs {
        target,
        tasks,
        repositories,
    })
}

/// The session's Snapshots, by the names in its status; `None` for one that is gone.
pub(super) async fn snapshots(
    ctx: &Context,
    namespace: &str,
    names: &[String],
) -> Result<Vec<Option<Snapshot>>, Error> {
    try_join_all(
        names
            .iter()
            .map(|name| lookup::get::<Snapshot>(&ctx.client, namespace, name)),
    )
    .await
}
