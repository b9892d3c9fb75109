//! BackupConfiguration: Repositories and CronJobs are kept in place, and the status says whether backups can be made.
//!
//! It wakes for its own changes and for those of what it refers to (storages, policies, Repositories, Addons), for targets
//! that appear or disappear, and when a session's next run has passed.

mod fetch;
mod status;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    batch::v1::CronJob,
    core::v1::PersistentVolumeClaim,
};
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
        watcher,
    },
};

use super::{Context, Error, executor, lookup, watch};
use crate::{
    api::{
        addons::Addon,
        core::{BackupConfiguration, RepositoryDeletionPolicy},
        labels,
        shared::TypedObjectReference,
        storage::{BackupStorage, DeletionPolicy, Repository, RetentionPolicy},
    },
    decide::{
        admission,
        backup_configuration::{self as decide, Facts},
        target,
    },
};

type Guarded = DeserializeGuard<BackupConfiguration>;

/// A target of a kind that is not watched is looked for this often.
const LOOK_FOR_TARGET: Duration = Duration::from_secs(30);
/// A target that a watch will tell of is looked for this often all the same.
const LOOK_ANYWAY: Duration = Duration::from_secs(10 * 60);
/// The kinds of targets that are watched.
const WATCHED: [(&str, &str); 4] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("", "PersistentVolumeClaim"),
];

/// Runs the controller until the context stops.
pub async fn run(ctx: Arc<Context>) {
    let controller = watch::controller::<BackupConfiguration>(&ctx);
    let store = controller.store();
    let all = watcher::Config::default;
    let referring = |store: &Store<Guarded>, about: fn(&BackupConfiguration, &str, &str) -> bool| {
        let store = store.clone();
        move |namespace: &str, name: &str| woken(&store, |it| about(it, namespace, name))
    };
    let (storages, policies) = (referring(&store, uses_storage), referring(&store, uses_policy));
    let (repositories, addons) = (referring(&store, uses_repository), referring(&store, uses_addon));
    let ours = format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH);
    let controller = controller
        .watches_stream(watch::metadata::<BackupStorage>(&ctx, all()), move |it| {
            by(&it, &storages)
        })
        .watches_stream(watch::metadata::<RetentionPolicy>(&ctx, all()), move |it| {
            by(&it, &policies)
        })
        .watches_stream(watch::metadata::<Repository>(&ctx, all()), move |it| {
            by(&it, &repositories)
        })
        .watches_stream(watch::metadata::<Addon>(&ctx, all()), move |it| by(&it, &addons))
        .watches_stream(watch::existence::<Deployment>(&ctx), targeted(&store, WATCHED[0]))
        .watches_stream(
            watch::existence::<StatefulSet>(&ctx),
            targeted(&store, WATCHED[1]),
        )
        .watches_stream(watch::existence::<DaemonSet>(&ctx), targeted(&store, WATCHED[2]))
        .watches_stream(
            watch::existence::<PersistentVolumeClaim>(&ctx),
            targeted(&store, WATCHED[3]),
        )
        .watches_stream(
            watch::removed::<CronJob>(&ctx, watcher::Config::default().labels(&ours)),
            |it| {
                let owner = it
                    .owner_references()
                    .iter()
                    .find(|o| o.kind == "BackupConfiguration");
                owner.map(|owner| ObjectRef::new(&owner.name).within(&it.namespace().unwrap_or_default()))
            },
        );
    watch::drive("backup-configuration", controller, ctx, reconcile).await;
}

/// The configurations in the store that `about` holds for.
fn woken(store: &Store<Guarded>, about: impl Fn(&BackupConfiguration) -> bool) -> Vec<ObjectRef<Guarded>> {
    store
        .state()
        .iter()
        .filter_map(|guarded| guarded.0.as_ref().ok())
        .filter(|configuration| about(configuration))
        .map(|it| ObjectRef::new(&it.name_any()).within(&it.namespace().unwrap_or_default()))
        .collect()
}

fn by<K: Resource<DynamicType = ()>>(
    object: &PartialObjectMeta<K>,
    find: &impl Fn(&str, &str) -> Vec<ObjectRef<Guarded>>,
) -> Vec<ObjectRef<Guarded>> {
    find(&object.namespace().unwrap_or_default(), &object.name_any())
}

fn targeted<K: Resource<DynamicType = ()>>(
    store: &Store<Guarded>,
    (group, kind): (&'static str, &'static str),
) -> impl Fn(PartialObjectMeta<K>) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static {
    let store = store.clone();
    move |object| {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        woken(&store, |it| {
            let own = it.namespace().unwrap_or_default();
            it.spec.target.as_ref().is_some_and(|target| {
                target.group() == group
                    && target.kind() == kind
                    && target.name == name
                    && target.namespace_or(&own) == namespace
            })
        })
    }
}

fn uses_storage(it: &BackupConfiguration, namespace: &str, name: &str) -> bool {
    let own = it.namespace().unwrap_or_default();
    let mut all = it
        .spec
        .backends
        .iter()
        .filter_map(|backend| backend.storage_ref.as_ref());
    all.any(|storage| storage.name == name && storage.namespace_or(&own) == namespace)
}

fn uses_policy(it: &BackupConfiguration, namespace: &str, name: &str) -> bool {
    let own = it.namespace().unwrap_or_default();
    let mut all = it
        .spec
        .backends
        .iter()
        .filter_map(|backend| backend.retention_policy.as_ref());
    all.any(|policy| policy.name == name && policy.namespace_or(&own) == namespace)
}

fn uses_repository(it: &BackupConfiguration, namespace: &str, name: &str) -> bool {
    it.namespace().as_deref() == Some(namespace)
        && decide::repositories(it).iter().any(|info| info.name == name)
}

fn uses_addon(it: &BackupConfiguration, _: &str, name: &str) -> bool {
    it.spec
        .sessions
        .iter()
        .any(|s| s.addon.as_ref().is_some_and(|addon| addon.name == name))
}

async fn reconcile(seen: Arc<BackupConfiguration>, ctx: Arc<Context>) -> Result<Action, Error> {
    let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
    let Some(configuration) = lookup::get::<BackupConfiguration>(&ctx.client, &namespace, &name).await?
    else {
        return Ok(Action::await_change());
    };
    if configuration.metadata.deletion_timestamp.is_some() {
        remove(&ctx, &configuration).await?;
        return Ok(Action::await_change());
    }
    let configuration = ctx
        .applier
        .add_finalizer(&configuration, labels::FINALIZER)
        .await?;
    if let Some(why) = fetch::denial(&ctx, &configuration).await? {
        let status = decide::invalid(&configuration, &why, Timestamp::now());
        ctx.applier.patch_status(&configuration, &status).await?;
        let because = crate::api::conditions::backup_configuration::reason::RESOURCE_VALIDATION_FAILED;
        ctx.events
            .warning(&configuration, "Validate", because, &why)
            .await;
        return Ok(Action::await_change());
    }
    ensure_repositories(&ctx, &configuration).await?;
    let schedulers = ensure_triggers(&ctx, &configuration).await?;
    let mut facts: Facts = fetch::facts(&ctx, &configuration).await?;
    facts.schedulers = schedulers;
    let target_found = facts.target_found;
    status::write(&ctx, configuration.clone(), &facts).await?;

    let now = Timestamp::now();
    let next = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|s| decide::next_run(&configuration, s, now))
        .min();
    let next =
        next.map(|at| Duration::from_secs(u64::try_from(at.duration_since(now).as_secs()).unwrap_or(0) + 1));
    let look = (!target_found).then(|| look_after(configuration.spec.target.as_ref()));
    Ok(match next.into_iter().chain(look).min() {
        Some(after) => Action::requeue(after),
        None => Action::await_change(),
    })
}

/// When a target that is not there is looked for again.
fn look_after(target: Option<&TypedObjectReference>) -> Duration {
    match target {
        Some(target) if !WATCHED.contains(&(target.group(), target.kind())) => LOOK_FOR_TARGET,
        _ => LOOK_ANYWAY,
    }
}

async fn ensure_repositories(ctx: &Context, configuration: &BackupConfiguration) -> Result<(), Error> {
    for info in decide::repositories(configuration) {
        if let Some(repository) = decide::repository(configuration, info) {
            ctx.applier.ensure(&repository).await?;
        }
    }
    Ok(())
}

/// Makes the CronJobs and removes those of sessions that are no more. For each session: why it could not, if it could not.
async fn ensure_triggers(
    ctx: &Context,
    configuration: &BackupConfiguration,
) -> Result<std::collections::BTreeMap<String, Option<String>>, Error> {
    let operator = executor::operator_facts(ctx);
    let mut outcomes = std::collections::BTreeMap::new();
    let mut wanted = Vec::new();
    for session in &configuration.spec.sessions {
        let outcome = match decide::trigger(configuration, session, &operator) {
            Ok(trigger) => {
                wanted.push(trigger.cron_job.name_any());
                match ensure_trigger(ctx, &trigger).await {
                    Ok(()) => None,
                    Err(error) if error.is_refusal() => Some(error.sentence()),
                    Err(error) => return Err(error),
                }
            }
            Err(why) => Some(why),
        };
        outcomes.insert(session.name.clone(), outcome);
    }
    let namespace = configuration.namespace().unwrap_or_default();
    let label = crate::decide::backup::label(&configuration.name_any());
    let cron_jobs: Api<CronJob> = Api::namespaced(ctx.client.clone(), &namespace);
    let selector = format!("{}={label}", labels::INVOKER_NAME);
    for old in lookup::list(&cron_jobs, ListParams::default().labels(&selector)).await? {
        let ours = old
            .owner_references()
            .iter()
            .any(|o| Some(&o.uid) == configuration.uid().as_ref());
        if ours && !wanted.contains(&old.name_any()) {
            ctx.applier.delete_object(&old).await?;
        }
    }
    Ok(outcomes)
}

async fn ensure_trigger(ctx: &Context, trigger: &decide::Trigger) -> Result<(), Error> {
    let own_account = trigger
        .binding
        .subjects
        .iter()
        .flatten()
        .any(|subject| subject.name == trigger.account.name_any());
    if own_account {
        ctx.applier.ensure(&trigger.account).await?;
    }
    ctx.applier.ensure(&trigger.binding).await?;
    ctx.applier.ensure(&trigger.cron_job).await?;
    Ok(())
}

/// Follows the Repositories' deletion policies, then lets the configuration go. CronJobs go with their owner.
async fn remove(ctx: &Context, configuration: &BackupConfiguration) -> Result<(), Error> {
    let namespace = configuration.namespace().unwrap_or_default();
    let own = target::reference(configuration.spec.target.as_ref(), &namespace);
    for info in decide::repositories(configuration) {
        let policy = match info.deletion_policy {
            Some(RepositoryDeletionPolicy::Delete) => DeletionPolicy::Delete,
            Some(RepositoryDeletionPolicy::WipeOut) => DeletionPolicy::WipeOut,
            Some(RepositoryDeletionPolicy::Retain) | None => continue,
        };
        let Some(repository) = lookup::get::<Repository>(&ctx.client, &namespace, &info.name).await? else {
            continue;
        };
        // A Repository of another application that merely has this name is not ours to delete.
        let same = repository.spec.app_ref.as_ref().is_some_and(|app| {
            target::same(&target::reference(Some(app), &namespace), &own)
                || (app.name == own.name && own.name == "na")
        });
        if !same || repository.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let repository = if repository.spec.deletion_policy == policy {
            repository
        } else {
            let patch = serde_json::json!({ "spec": { "deletionPolicy": policy } });
            ctx.applier.merge(&repository, patch).await?
        };
        ctx.applier.delete_object(&repository).await?;
    }
    ctx.applier
        .remove_finalizer(configuration, labels::FINALIZER)
        .await
}

/// Why the object breaks a rule of admission; `None` when it breaks none.
fn denial(verdict: &admission::Verdict) -> Option<String> {
    if verdict.admitted() {
        return None;
    }
    let all: Vec<String> = verdict
        .denials
        .iter()
        .map(|d| format!("{}: {}", d.path, d.message))
        .collect();
    Some(all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_target_that_no_watch_tells_of_is_looked_for_often() {
        let target = |group: &str, kind: &str| TypedObjectReference {
            api_group: (!group.is_empty()).then(|| group.to_owned()),
            kind: Some(kind.to_owned()),
            ..TypedObjectReference::default()
        };
        for (group, kind) in WATCHED {
            assert_eq!(look_after(Some(&target(group, kind))), LOOK_ANYWAY);
        }
        let unknown = target("kubedb.com", "Postgres");
        assert_eq!(look_after(Some(&unknown)), LOOK_FOR_TARGET);
    }
}
