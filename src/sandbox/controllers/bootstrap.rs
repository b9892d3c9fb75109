//! What a cluster has from its first moment on: system namespaces, storage classes, and the kinds of snapshots.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::Error;
use super::snapshots::types::{VolumeSnapshotClass, VolumeSnapshotClassFields, crds};
use super::{snapshots, volumes};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// How long a kind may take to be served.
const PATIENCE: Duration = Duration::from_secs(30);

async fn ensure<K>(client: &Client, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    if api.get_metadata_opt(&object.name_any()).await?.is_some() {
        return Ok(());
    }
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

fn annotated(name: &str, default: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        annotations: default.map(|key| [(key.to_owned(), "true".to_owned())].into()),
        ..ObjectMeta::default()
    }
}

fn storage_class(name: &str, mode: &str, default: bool) -> StorageClass {
    StorageClass {
        metadata: annotated(name, default.then_some(volumes::DEFAULT_CLASS)),
        provisioner: volumes::PROVISIONER.to_owned(),
        reclaim_policy: Some("Delete".to_owned()),
        volume_binding_mode: Some(mode.to_owned()),
        allow_volume_expansion: Some(true),
        ..StorageClass::default()
    }
}

/// Makes what is missing and leaves alone what is there: users may have changed it.
pub(super) async fn bootstrap(client: &Client) -> Result<(), Error> {
    for name in NAMESPACES {
        let namespace = Namespace {
            metadata: annotated(name, None),
            ..Namespace::default()
        };
        ensure(client, &namespace).await?;
    }
    let crds = crds();
    for crd in &crds {
        ensure(client, crd).await?;
    }
    ensure(client, &storage_class("standard", "Immediate", true)).await?;
    ensure(
        client,
        &storage_class("standard-wait", "WaitForFirstConsumer", false),
    )
    .await?;
    for crd in &crds {
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let name = crd.name_any();
        let served = await_condition(api, &name, conditions::is_crd_established());
        let waited = tokio::time::timeout(PATIENCE, served).await;
        waited
            .map_err(|_| Error::Other(format!("the kind {name} was not served in time")))?
            .map_err(|error| Error::Other(format!("the kind {name} could not be awaited: {error}")))?;
    }
    let mut class = VolumeSnapshotClass::new(
        "sandbox-snapshots",
        VolumeSnapshotClassFields {
            deletion_policy: "Delete".to_owned(),
            driver: volumes::PROVISIONER.to_owned(),
            ..VolumeSnapshotClassFields::default()
        },
    );
    class.metadata = annotated("sandbox-snapshots", Some(snapshots::DEFAULT_CLASS));
    ensure(client, &class).await
}
