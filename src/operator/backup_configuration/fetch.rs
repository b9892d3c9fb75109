//! What a BackupConfiguration refers to.

use std::collections::BTreeMap;

use futures::future::{try_join, try_join_all};
use kube::{Api, ResourceExt};

use crate::{
    api::{
        addons::Addon,
        core::BackupConfiguration,
        shared::ObjectReference,
        storage::{BackupStorage, Repository, RetentionPolicy},
    },
    decide::{
        admission,
        backup_configuration::{self as decide, Facts},
    },
    operator::{Context, Error, applier::Kind, lookup, webhook::facts::gather},
};

/// Why the webhooks would refuse the object now; they may not have seen it, or others may have changed since.
pub(super) async fn denial(
    ctx: &Context,
    configuration: &BackupConfiguration,
) -> Result<Option<String>, Error> {
    let mut object = serde_json::to_value(configuration).map_err(|e| Error::Step(e.to_string()))?;
    object["kind"] = "BackupConfiguration".into();
    let facts = gather(&ctx.client, "BackupConfiguration", &object).await?;
    Ok(super::denial(&admission::admit(
        "BackupConfiguration",
        &object,
        None,
        &facts,
    )))
}

/// Everything but the CronJobs.
pub(super) async fn facts(ctx: &Context, configuration: &BackupConfiguration) -> Result<Facts, Error> {
    let namespace = configuration.namespace().unwrap_or_default();
    let backends = &configuration.spec.backends;
    let storages = all::<BackupStorage>(
        ctx,
        &namespace,
        backends.iter().filter_map(|b| b.storage_ref.as_ref()),
    );
    let policies = all::<RetentionPolicy>(
        ctx,
        &namespace,
        backends.iter().filter_map(|b| b.retention_policy.as_ref()),
    );
    let names: Vec<ObjectReference> = decide::repositories(configuration)
        .into_iter()
        .map(|info| ObjectReference::new(&info.name, &namespace))
        .collect();
    let repositories = all::<Repository>(ctx, &namespace, names.iter());
    let target = lookup::target_exists(&ctx.client, configuration.spec.target.as_ref(), &namespace);
    let ((storages, policies), ((repositories, addons), target_found)) = try_join(
        try_join(storages, policies),
        try_join(try_join(repositories, addons(ctx, configuration)), target),
    )
    .await?;
    Ok(Facts {
        target_found,
        addons,
        storages,
        policies,
        repositories: repositories
            .into_iter()
            .map(|((_, name), it)| (name, it))
            .collect(),
        schedulers: BTreeMap::new(),
    })
}

async fn all<'a, K: Kind>(
    ctx: &Context,
    own: &str,
    references: impl Iterator<Item = &'a ObjectReference>,
) -> Result<BTreeMap<(String, String), K>, Error> {
    let each = references.map(|reference| {
        let key = (reference.namespace_or(own).to_owned(), reference.name.clone());
        async move {
            let found = lookup::get::<K>(&ctx.client, &key.0, &key.1).await?;
            Ok::<_, Error>(found.map(|found| (key, found)))
        }
    });
    Ok(try_join_all(each).await?.into_iter().flatten().collect())
}

/// Names of the sessions' Addons that exist.
async fn addons(ctx: &Context, configuration: &BackupConfiguration) -> Result<Vec<String>, Error> {
    let api: Api<Addon> = Api::all(ctx.client.clone());
    let names = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|s| s.addon.as_ref())
        .map(|addon| &addon.name);
    let each = names.filter(|name| !name.is_empty()).map(|name| {
        let api = api.clone();
        async move { Ok::<_, Error>(api.get_metadata_opt(name).await?.map(|found| found.name_any())) }
    });
    Ok(try_join_all(each).await?.into_iter().flatten().collect())
}
