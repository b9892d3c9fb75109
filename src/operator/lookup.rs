//! Reads that several controllers share: targets, Repositories with everything that opens them, Addons with Functions.
//!
//! Everything here only reads. What does not exist is `None` or a named error for the user's status; what cannot be read
//! is an [`Error`] and is retried. Lists are read to their end or not at all.

use std::collections::BTreeMap;

use futures::future::{try_join_all, try_join3};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::{Namespace, PersistentVolumeClaim, Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ListParams},
    core::{NamespaceResourceScope, Selector},
};
use serde::de::DeserializeOwned;

use super::{Context, Error};
use crate::{
    api::{
        addons::{Addon, Function},
        shared::{AddonInfo, ObjectReference, TypedObjectReference},
        storage::{BackupStorage, Repository},
    },
    decide::{
        addon::{self, Direction},
        plan::RepositoryFacts,
        target::{self, Object, Target},
        volumes,
    },
};

/// How many objects a page of a list holds.
const PAGE: u32 = 500;

/// The object of that name, if it exists.
///
/// # Errors
/// When it cannot be read.
pub async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    if name.is_empty() {
        return Ok(None);
    }
    // Boxed, as every call is made from large reconciles.
    let api = Api::<K>::namespaced(client.clone(), namespace);
    Ok(Box::pin(api.get_opt(name)).await?)
}

/// All objects that `params` select, page by page to the end.
///
/// # Errors
/// When any page cannot be read: half a list is none.
pub async fn list<K>(api: &Api<K>, params: ListParams) -> Result<Vec<K>, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = Box::pin(api.list(&params)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// UID of the namespace `kube-system`: the same for all objects of a cluster and different in any other.
///
/// # Errors
/// When it cannot be read.
pub async fn cluster(ctx: &Context) -> Result<String, Error> {
    let read = || async {
        let namespace = Api::<Namespace>::all(ctx.client.clone())
            .get_opt("kube-system")
            .await?;
        Ok::<_, Error>(namespace.and_then(|n| n.uid()).unwrap_or_default())
    };
    ctx.cluster.get_or_try_init(read).await.cloned()
}

/// Whether the target exists. No target at all counts as found.
///
/// # Errors
/// When nobody can say.
pub async fn target_exists(
    client: &Client,
    reference: Option<&TypedObjectReference>,
    own: &str,
) -> Result<bool, Error> {
    let Some(reference) = reference else {
        return Ok(true);
    };
    Ok(object(client, &target::reference(Some(reference), own))
        .await?
        .is_some())
}

/// The target with its pods; nothing when it does not exist.
///
/// # Errors
/// When it or its pods cannot be read.
pub async fn target(
    client: &Client,
    reference: Option<&TypedObjectReference>,
    own: &str,
) -> Result<Option<Target>, Error> {
    let given = reference.is_some();
    let reference = target::reference(reference, own);
    if !given {
        return Ok(Some(Target {
            reference,
            object: Object::Cluster,
            pods: Vec::new(),
        }));
    }
    let Some(object) = object(client, &reference).await? else {
        return Ok(None);
    };
    let namespace = reference.namespace_or(own).to_owned();
    let pods = match &object {
        Object::Deployment(it) => selected(client, &namespace, &it.spec.selector).await?,
        Object::StatefulSet(it) => selected(client, &namespace, &it.spec.selector).await?,
        Object::DaemonSet(it) => selected(client, &namespace, &it.spec.selector).await?,
        Object::Claim(claim) => users(client, &namespace, &claim.name_any()).await?,
        Object::Other | Object::Cluster => Vec::new(),
    };
    Ok(Some(Target {
        reference,
        object,
        pods,
    }))
}

async fn object(client: &Client, reference: &TypedObjectReference) -> Result<Option<Object>, Error> {
    let namespace = reference.namespace_or("").to_owned();
    let name = &reference.name;
    Ok(match (reference.group(), reference.kind()) {
        ("", "PersistentVolumeClaim") => get::<PersistentVolumeClaim>(client, &namespace, name)
            .await?
            .map(|it| Object::Claim(Box::new(it))),
        ("apps", "Deployment") => get::<Deployment>(client, &namespace, name)
            .await?
            .map(|it| Object::Deployment(Box::new(it))),
        ("apps", "StatefulSet") => get::<StatefulSet>(client, &namespace, name)
            .await?
            .map(|it| Object::StatefulSet(Box::new(it))),
        ("apps", "DaemonSet") => get::<DaemonSet>(client, &namespace, name)
            .await?
            .map(|it| Object::DaemonSet(Box::new(it))),
        (group, kind) => other(client, group, kind, &namespace, name)
            .await?
            .map(|_| Object::Other),
    })
}

/// An object of a kind that only discovery knows.
async fn other(
    client: &Client,
    group: &str,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, Error> {
    let found = match kube::discovery::group(client, group).await {
        Ok(found) => found,
        Err(kube::Error::Discovery(_)) => return Ok(None),
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some((resource, capabilities)) = found.recommended_kind(kind) else {
        return Ok(None);
    };
    let api: Api<DynamicObject> = match capabilities.scope {
        kube::discovery::Scope::Cluster => Api::all_with(client.clone(), &resource),
        kube::discovery::Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    Ok(api.get_opt(name).await?)
}

async fn selected(client: &Client, namespace: &str, selector: &LabelSelector) -> Result<Vec<Pod>, Error> {
    let selector = Selector::try_from(selector.clone())
        .map_err(|e| Error::Step(format!("the target's selector: {e}")))?;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    list(&api, ListParams::default().labels_from(&selector)).await
}

/// The pods that mount a claim.
async fn users(client: &Client, namespace: &str, claim: &str) -> Result<Vec<Pod>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut pods = list(&api, ListParams::default()).await?;
    pods.retain(|pod| {
        let volumes = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.volumes.clone())
            .unwrap_or_default();
        volumes::claims(&volumes).iter().any(|name| name == claim)
    });
    Ok(pods)
}

/// The claims of these names that exist, by name.
///
/// # Errors
/// When one cannot be read.
pub async fn claims(
    client: &Client,
    namespace: &str,
    names: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, PersistentVolumeClaim>, Error> {
    let each = names.into_iter().map(|name| async move {
        let claim = get::<PersistentVolumeClaim>(client, namespace, &name).await?;
        Ok::<_, Error>(claim.map(|claim| (name, claim)))
    });
    Ok(try_join_all(each).await?.into_iter().flatten().collect())
}

/// The Addon and, by name, the Functions that the session's tasks need, as far as they exist.
///
/// # Errors
/// When one cannot be read.
pub async fn addon(
    client: &Client,
    info: &AddonInfo,
    direction: Direction,
) -> Result<(Option<Addon>, BTreeMap<String, Function>), Error> {
    let addons: Api<Addon> = Api::all(client.clone());
    let found = if info.name.is_empty() {
        None
    } else {
        addons.get_opt(&info.name).await?
    };
    let names: Vec<String> = match &found {
        Some(found) => addon::listed(info, found, direction)
            .map(|tasks| tasks.into_iter().map(|(task, _)| task.function.clone()).collect())
            .unwrap_or_default(),
        None => Vec::new(),
    };
    let functions: Api<Function> = Api::all(client.clone());
    let each = names.into_iter().filter(|name| !name.is_empty()).map(|name| {
        let functions = functions.clone();
        async move {
            let function = functions.get_opt(&name).await?;
            Ok::<_, Error>(function.map(|function| (name, function)))
        }
    });
    let functions = try_join_all(each).await?.into_iter().flatten().collect();
    Ok((found, functions))
}

/// A Repository with its storage and Secrets. The inner error says, for the user, what does not exist.
///
/// # Errors
/// When something cannot be read.
pub async fn repository(
    client: &Client,
    namespace: &str,
    name: &str,
    encryption: Option<&ObjectReference>,
    own: &str,
) -> Result<Result<RepositoryFacts, String>, Error> {
    let Some(repository) = get::<Repository>(client, namespace, name).await? else {
        return Ok(Err(format!("Repository \"{namespace}/{name}\" not found")));
    };
    let Some(storage_ref) = repository.spec.storage_ref.clone() else {
        return Ok(Err(format!("Repository \"{name}\" names no BackupStorage")));
    };
    let storage_namespace = storage_ref.namespace_or(namespace).to_owned();
    // A reference given by the restore is relative to the restore; the Repository's own to the Repository.
    let secret_ref = match encryption {
        Some(given) => Some((given.name.clone(), given.namespace_or(own).to_owned())),
        None => repository
            .spec
            .encryption_secret
            .as_ref()
            .map(|given| (given.name.clone(), given.namespace_or(namespace).to_owned())),
    };
    let Some((secret_name, secret_namespace)) = secret_ref else {
        return Ok(Err(format!(
            "Repository \"{name}\" names no encryptionSecret: set one that holds RESTIC_PASSWORD"
        )));
    };
    let storage = get::<BackupStorage>(client, &storage_namespace, &storage_ref.name);
    let encryption = get::<Secret>(client, &secret_namespace, &secret_name);
    let (storage, encryption, ()) = try_join3(storage, encryption, async { Ok(()) }).await?;
    let Some(storage) = storage else {
        return Ok(Err(format!(
            "BackupStorage \"{storage_namespace}/{}\" of Repository \"{name}\" not found",
            storage_ref.name
        )));
    };
    let Some(encryption) = encryption else {
        return Ok(Err(format!(
            "Secret \"{secret_namespace}/{secret_name}\" (encryption of Repository \"{name}\") not found: create it with the \
             key RESTIC_PASSWORD"
        )));
    };
    let credentials = match storage.spec.storage.secret_name() {
        Some(secret) => match get::<Secret>(client, &storage_namespace, secret).await? {
            Some(found) => Some(found),
            None => {
                return Ok(Err(format!(
                    "Secret \"{storage_namespace}/{secret}\" of BackupStorage \"{}\" not found",
                    storage_ref.name
                )));
            }
        },
        None => None,
    };
    Ok(Ok(RepositoryFacts {
        repository,
        storage,
        credentials,
        encryption,
    }))
}
