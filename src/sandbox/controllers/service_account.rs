//! What every namespace has: the ServiceAccount `default` and, where the cluster has a certificate authority, the
//! ConfigMap `kube-root-ca.crt` that pods verify the API server with.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::engine::{Controller, Error, Informer, Key, Next, Queue, is_terminating};

const ACCOUNT: &str = "default";
/// The ConfigMap's name.
pub(super) const ROOT_CA: &str = "kube-root-ca.crt";
const CERTIFICATE: &str = "ca.crt";

/// The controller of what every namespace has.
pub(super) struct ServiceAccounts {
    namespaces: Arc<Informer<Namespace>>,
    accounts: Arc<Informer<ServiceAccount>>,
    maps: Arc<Informer<ConfigMap>>,
    root_ca: Option<String>,
}

impl ServiceAccounts {
    /// Listens to namespaces, accounts and the ConfigMaps of that name; returns the controller and its queue.
    pub(super) fn new(
        namespaces: &Arc<Informer<Namespace>>,
        accounts: &Arc<Informer<ServiceAccount>>,
        maps: &Arc<Informer<ConfigMap>>,
        root_ca: Option<String>,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        namespaces.on_change(move |_, new| {
            if let Some(namespace) = new {
                inbox.add(Key::of(namespace.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        accounts.on_change(move |old, new| {
            if let (Some(account), None) = (old, new) {
                inbox.add(Key::new("", Key::of(account.as_ref()).namespace));
            }
        });
        let inbox = Arc::clone(&queue);
        maps.on_change(move |old, new| {
            if let Some(map) = new.or(old) {
                inbox.add(Key::new("", Key::of(map.as_ref()).namespace));
            }
        });
        let controller = Self {
            namespaces: Arc::clone(namespaces),
            accounts: Arc::clone(accounts),
            maps: Arc::clone(maps),
            root_ca,
        };
        (controller, queue)
    }

    async fn keep_map(&self, namespace: &str, certificate: &str) -> Result<(), Error> {
        let data = [(CERTIFICATE.to_owned(), certificate.to_owned())].into();
        let Some(known) = self.maps.get(&Key::new(namespace, ROOT_CA)) else {
            let map = ConfigMap {
                metadata: ObjectMeta {
                    annotations: Some(
                        [(
                            "kubernetes.io/description".to_owned(),
                            "Contains a CA bundle that can be used to verify the kube-apiserver.".to_owned(),
                        )]
                        .into(),
                    ),
                    ..named(namespace, ROOT_CA)
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            return ignore_existing(self.maps.create(&map).await);
        };
        let mut kept = known.as_ref().clone();
        kept.data = Some(data);
        self.maps.update(&known, &kept).await
    }
}

fn named(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn ignore_existing<K>(outcome: Result<Arc<K>, Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.is_conflict() => Ok(()),
        outcome => outcome.map(drop),
    }
}

impl Controller for ServiceAccounts {
    const NAME: &'static str = "serviceaccount";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let namespace = &key.name;
        if self
            .namespaces
            .get(key)
            .is_none_or(|found| is_terminating(found.as_ref()))
        {
            return Ok(None);
        }
        if self.accounts.get(&Key::new(namespace, ACCOUNT)).is_none() {
            let account = ServiceAccount {
                metadata: named(namespace, ACCOUNT),
                ..ServiceAccount::default()
            };
            ignore_existing(self.accounts.create(&account).await)?;
        }
        if let Some(certificate) = &self.root_ca {
            self.keep_map(namespace, certificate).await?;
        }
        Ok(None)
    }
}
