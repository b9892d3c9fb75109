//! Who must look again because somebody else wrote something: in-process wake-ups between the storage controllers.
//!
//! A Repository follows its Snapshots and a BackupStorage its Repositories, but their status changes far more often than
//! anything that matters upwards. So nobody watches statuses: the controller that writes one says so here. A signal that
//! is lost with the process is made up for at the next start, when every object is looked at once.

use futures::{
    Stream, StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
};
use kube::{ResourceExt, core::DeserializeGuard, runtime::reflector::ObjectRef};

use crate::api::storage::{BackupStorage, Repository};

/// The sending side; shared by the storage controllers.
pub struct Signals {
    storages: UnboundedSender<(String, String)>,
    repositories: UnboundedSender<(String, String)>,
}

/// The receiving side; each stream belongs to one controller.
pub struct Received {
    storages: UnboundedReceiver<(String, String)>,
    repositories: UnboundedReceiver<(String, String)>,
}

/// Both sides.
#[must_use]
pub fn signals() -> (Signals, Received) {
    let (to_storages, storages) = unbounded();
    let (to_repositories, repositories) = unbounded();
    (
        Signals {
            storages: to_storages,
            repositories: to_repositories,
        },
        Received {
            storages,
            repositories,
        },
    )
}

impl Signals {
    /// The BackupStorage of that namespace and name must look at its Repositories again.
    pub fn storage(&self, namespace: &str, name: &str) {
        // The receiver is gone only when the operator ends.
        let _ = self
            .storages
            .unbounded_send((namespace.to_owned(), name.to_owned()));
    }

    /// The BackupStorage that a Repository lies in must look again.
    pub fn storage_of(&self, repository: &Repository) {
        if let Some(reference) = &repository.spec.storage_ref {
            let own = repository.namespace().unwrap_or_default();
            self.storage(reference.namespace_or(&own), &reference.name);
        }
    }

    /// The Repository of that namespace and name must look at its Snapshots or its storage again.
    pub fn repository(&self, namespace: &str, name: &str) {
        let _ = self
            .repositories
            .unbounded_send((namespace.to_owned(), name.to_owned()));
    }
}

impl Received {
    /// The streams for the BackupStorage and the Repository controller.
    pub fn streams(
        self,
    ) -> (
        impl Stream<Item = ObjectRef<DeserializeGuard<BackupStorage>>> + Send + 'static,
        impl Stream<Item = ObjectRef<DeserializeGuard<Repository>>> + Send + 'static,
    ) {
        let storages = self
            .storages
            .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace));
        let repositories = self
            .repositories
            .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace));
        (storages, repositories)
    }
}
