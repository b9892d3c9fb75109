//! Which kinds the API server serves now. The garbage collector and the namespace controller work on all of them,
//! so the list is read again whenever a CustomResourceDefinition comes or goes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::core::ApiResource;
use kube::discovery::{ApiCapabilities, Discovery, Scope, verbs};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::engine::Informer;

/// CRDs come in crowds: wait until the crowd has passed.
const CALM: Duration = Duration::from_millis(30);
const RETRY: Duration = Duration::from_secs(1);

/// One kind, at the version the server prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    /// How it is called.
    pub(super) resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub(super) namespaced: bool,
}

/// All of them, and news of changes. Empty until the first reading.
pub(super) type Resources = watch::Receiver<Arc<Vec<Served>>>;

/// Starts reading; goes on until told to stop.
pub(super) fn follow(
    client: Client,
    crds: &Informer<CustomResourceDefinition>,
    stop: CancellationToken,
) -> Resources {
    let (sender, receiver) = watch::channel(Arc::new(Vec::new()));
    let changed = Arc::new(Notify::new());
    let bell = Arc::clone(&changed);
    crds.on_change(move |old, new| {
        let spec =
            |crd: Option<&Arc<CustomResourceDefinition>>| crd.map(|crd| (crd.spec.clone(), is_served(crd)));
        if spec(old) != spec(new) {
            bell.notify_one();
        }
    });
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = read_again(client, &sender, &changed) => {}
        }
    });
    receiver
}

fn is_served(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
    })
}

async fn read_again(client: Client, sender: &watch::Sender<Arc<Vec<Served>>>, changed: &Notify) {
    loop {
        match read(client.clone()).await {
            Ok(found) => {
                let found = Arc::new(found);
                sender.send_if_modified(|known| {
                    let differs = *known != found;
                    *known = found;
                    differs
                });
            }
            Err(error) => {
                tracing::debug!(%error, "the API server's kinds could not be read");
                let _ = tokio::time::timeout(RETRY, changed.notified()).await;
                continue;
            }
        }
        changed.notified().await;
        tokio::time::sleep(CALM).await;
    }
}

/// Reads them once, now.
pub(super) async fn read(client: Client) -> Result<Vec<Served>, kube::Error> {
    let discovery = Discovery::new(client).run().await?;
    let useful = |capabilities: &ApiCapabilities| {
        [verbs::LIST, verbs::WATCH, verbs::DELETE]
            .iter()
            .all(|verb| capabilities.supports_operation(verb))
    };
    let kinds = discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources);
    let mut found: Vec<_> = kinds
        .filter(|(_, capabilities)| useful(capabilities))
        .map(|(resource, capabilities)| Served {
            resource,
            namespaced: capabilities.scope == Scope::Namespaced,
        })
        .collect();
    found.sort_by(|a, b| {
        (&a.resource.group, &a.resource.plural).cmp(&(&b.resource.group, &b.resource.plural))
    });
    Ok(found)
}
