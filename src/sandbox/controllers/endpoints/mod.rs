//! Endpoints and EndpointSlices of Services with a selector.

mod decide;

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::engine::{Controller, Error, Informer, Key, Next, Queue, controller_reference, is_terminating};
use super::pods::short_hash;

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// The controller of Endpoints and EndpointSlices.
pub(super) struct ServiceEndpoints {
    services: Arc<Informer<Service>>,
    pods: Arc<Informer<Pod>>,
    endpoints: Arc<Informer<Endpoints>>,
    slices: Arc<Informer<EndpointSlice>>,
}

impl ServiceEndpoints {
    /// Listens to Services, pods and what it writes itself; returns the controller and its queue.
    pub(super) fn new(
        services: &Arc<Informer<Service>>,
        pods: &Arc<Informer<Pod>>,
        endpoints: &Arc<Informer<Endpoints>>,
        slices: &Arc<Informer<EndpointSlice>>,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        services.on_change(move |old, new| {
            if let Some(service) = new.or(old) {
                inbox.add(Key::of(service.as_ref()));
            }
        });
        let (inbox, known) = (Arc::clone(&queue), Arc::clone(services));
        pods.on_change(move |old, new| {
            for pod in [old, new].into_iter().flatten() {
                for service in known.in_namespace(&pod.namespace().unwrap_or_default()) {
                    if selector(&service)
                        .is_some_and(|chosen| chosen.iter().all(|(k, v)| pod.labels().get(k) == Some(v)))
                    {
                        inbox.add(Key::of(service.as_ref()));
                    }
                }
            }
        });
        let inbox = Arc::clone(&queue);
        endpoints.on_change(move |old, new| {
            if let (Some(gone), None) = (old, new) {
                inbox.add(Key::of(gone.as_ref()));
            }
        });
        let inbox = Arc::clone(&queue);
        slices.on_change(move |old, new| {
            if let (Some(gone), None) = (old, new)
                && let Some(service) = gone.labels().get(SERVICE)
            {
                inbox.add(Key::new(gone.namespace().unwrap_or_default(), service));
            }
        });
        let controller = Self {
            services: Arc::clone(services),
            pods: Arc::clone(pods),
            endpoints: Arc::clone(endpoints),
            slices: Arc::clone(slices),
        };
        (controller, queue)
    }

    async fn write_endpoints(&self, service: &Service, backends: &[decide::Backend]) -> Result<(), Error> {
        let subsets = decide::subsets(service, backends);
        let mut labels = service.labels().clone();
        let spec = service.spec.as_ref();
        if spec.is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None")) {
            labels.insert(HEADLESS.to_owned(), String::new());
        }
        let Some(known) = self.endpoints.get(&Key::of(service)) else {
            let endpoints = Endpoints {
                metadata: ObjectMeta {
                    name: Some(service.name_any()),
                    namespace: service.namespace(),
                    labels: Some(labels).filter(|labels| !labels.is_empty()),
                    ..ObjectMeta::default()
                },
                subsets,
            };
            return match self.endpoints.create(&endpoints).await {
                Err(error) if error.is_conflict() => self.endpoints.fetch(&Key::of(service)).await.map(drop),
                outcome => outcome.map(drop),
            };
        };
        let mut next = known.as_ref().clone();
        next.subsets = subsets;
        next.metadata.labels = Some(labels).filter(|labels| !labels.is_empty());
        self.endpoints.update(&known, &next).await
    }

    async fn write_slices(&self, service: &Service, backends: &[decide::Backend]) -> Result<(), Error> {
        let reference = controller_reference(service);
        let mut groups = decide::slices(backends);
        if groups.is_empty() {
            groups.push((Vec::new(), Vec::new()));
        }
        let mut kept = HashSet::new();
        for (ports, endpoints) in groups {
            // One slice for each list of ports, found again by a name made from it.
            let suffix: String = short_hash(&ports, None).chars().take(5).collect();
            let name = format!("{}-{suffix}", service.name_any());
            kept.insert(name.clone());
            let key = Key::new(service.namespace().unwrap_or_default(), &name);
            if let Some(known) = self.slices.get(&key) {
                let mut next = known.as_ref().clone();
                next.endpoints = Some(endpoints);
                next.ports = Some(ports);
                self.slices.update(&known, &next).await?;
                continue;
            }
            let mut labels = service.labels().clone();
            labels.insert(SERVICE.to_owned(), service.name_any());
            labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
            let slice = EndpointSlice {
                metadata: ObjectMeta {
                    name: Some(name),
                    namespace: service.namespace(),
                    labels: Some(labels),
                    owner_references: Some(vec![reference.clone()]),
                    ..ObjectMeta::default()
                },
                address_type: "IPv4".to_owned(),
                endpoints: Some(endpoints),
                ports: Some(ports),
            };
            match self.slices.create(&slice).await {
                Err(error) if error.is_conflict() => drop(self.slices.fetch(&key).await?),
                outcome => drop(outcome?),
            }
        }
        for slice in self.slices.controlled_by(&reference.uid) {
            if !kept.contains(&slice.name_any()) {
                self.slices.delete(&slice, None).await?;
            }
        }
        Ok(())
    }
}

impl Controller for ServiceEndpoints {
    const NAME: &'static str = "endpoints";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(service) = self.services.get(key) else {
            // The slices go with their owner; Endpoints have none and are deleted by name.
            if let Some(endpoints) = self
                .endpoints
                .get(key)
                .filter(|found| !is_terminating(found.as_ref()))
            {
                self.endpoints.delete(&endpoints, None).await?;
            }
            return Ok(None);
        };
        if is_terminating(service.as_ref()) || selector(&service).is_none() {
            return Ok(None);
        }
        let backends = decide::backends(&service, &self.pods.in_namespace(&key.namespace));
        self.write_endpoints(&service, &backends).await?;
        self.write_slices(&service, &backends).await?;
        Ok(None)
    }
}

/// The selector of a Service whose endpoints are ours to write.
fn selector(service: &Service) -> Option<&std::collections::BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    spec.selector
        .as_ref()
        .filter(|selector| !external && !selector.is_empty())
}
