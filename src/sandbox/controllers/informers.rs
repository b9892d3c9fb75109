//! One watch per kind, shared by all controllers that need the kind.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::engine::Informer;
use super::garbage_collector::GarbageCollector;
use super::service_account::ROOT_CA;
use super::snapshots::types::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};

/// Declares the fields, how each is made, whether its kind lives in namespaces, and what is done with all of them.
macro_rules! informers {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $scope:ident, $namespaced:literal;)*) => {
        /// The shared informers.
        pub(super) struct Informers {
            $($(#[$doc])* pub(super) $field: Arc<Informer<$kind>>,)*
            /// The certificate of the API server in each namespace.
            pub(super) root_cas: Arc<Informer<ConfigMap>>,
        }

        impl Informers {
            /// Informers that do not watch yet.
            pub(super) fn new(client: &Client) -> Self {
                Self {
                    $($field: Informer::$scope(client),)*
                    root_cas: Informer::named(client, ROOT_CA),
                }
            }

            /// Tells the garbage collector of everything that is watched here.
            pub(super) fn attach(&self, collector: &GarbageCollector) {
                $(collector.attach(&self.$field, $namespaced);)*
            }

            /// Starts all watches.
            pub(super) fn run(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
                $(tasks.spawn(Arc::clone(&self.$field).run(stop.clone()));)*
                tasks.spawn(Arc::clone(&self.root_cas).run(stop.clone()));
            }

            /// Waits until every kind has been read once.
            pub(super) async fn synced(&self) {
                $(self.$field.synced().await;)*
                self.root_cas.synced().await;
            }
        }
    };
}

informers! {
    /// Pods.
    pods: Pod = namespaced, true;
    /// Jobs.
    jobs: Job = namespaced, true;
    /// CronJobs.
    cron_jobs: CronJob = namespaced, true;
    /// Deployments.
    deployments: Deployment = namespaced, true;
    /// ReplicaSets.
    replica_sets: ReplicaSet = namespaced, true;
    /// StatefulSets.
    stateful_sets: StatefulSet = namespaced, true;
    /// DaemonSets.
    daemon_sets: DaemonSet = namespaced, true;
    /// The histories of the two kinds before.
    revisions: ControllerRevision = namespaced, true;
    /// Claims.
    claims: PersistentVolumeClaim = namespaced, true;
    /// Volumes.
    volumes: PersistentVolume = cluster, false;
    /// How volumes are made.
    storage_classes: StorageClass = cluster, false;
    /// Snapshots.
    snapshots: VolumeSnapshot = namespaced, true;
    /// Where snapshots are.
    snapshot_contents: VolumeSnapshotContent = cluster, false;
    /// How snapshots are made.
    snapshot_classes: VolumeSnapshotClass = cluster, false;
    /// Namespaces.
    namespaces: Namespace = cluster, false;
    /// ServiceAccounts.
    accounts: ServiceAccount = namespaced, true;
    /// Services.
    services: Service = namespaced, true;
    /// Their endpoints, in one object each.
    endpoints: Endpoints = namespaced, true;
    /// Their endpoints, in slices.
    slices: EndpointSlice = namespaced, true;
    /// Nodes.
    nodes: Node = cluster, false;
    /// Custom kinds.
    crds: CustomResourceDefinition = cluster, false;
}
