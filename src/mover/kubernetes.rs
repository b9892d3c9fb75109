//! The little that Jobs ask of Kubernetes: write one component's status, and tell whether a pod is gone.

use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::job::Failure;
use crate::api::config::job_result::JobCause;
use crate::restic::locks::{Holder, HolderState, judge};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);

/// The component of an object whose status a Job writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusTarget {
    /// `storage.kubestash.com` or `core.kubestash.com`.
    pub group: &'static str,
    /// `Snapshot` or `RestoreSession`.
    pub kind: &'static str,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// The key in `status.components`.
    pub component: String,
}

/// Why a status was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchError {
    /// Whether trying again may help.
    pub transient: bool,
    /// What the API server said.
    pub message: String,
}

/// What Jobs ask of Kubernetes.
pub trait Kubernetes: Send + Sync {
    /// Writes `status.components[component]`, owning that component and nothing else.
    fn write<'a>(
        &'a self,
        target: &'a StatusTarget,
        component: &'a Value,
    ) -> BoxFuture<'a, Result<(), PatchError>>;

    /// Whether the pod of a holder is gone for good.
    fn state<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, HolderState>;
}

/// No API server, for jobs that need none.
pub struct Nobody;

impl Kubernetes for Nobody {
    fn write<'a>(&'a self, _: &'a StatusTarget, _: &'a Value) -> BoxFuture<'a, Result<(), PatchError>> {
        Box::pin(async { Ok(()) })
    }

    fn state<'a>(&'a self, _: &'a Holder) -> BoxFuture<'a, HolderState> {
        Box::pin(async { HolderState::Unknown("there is no API server".into()) })
    }
}

/// The API server of the cluster that the Job runs in.
pub struct ApiServer {
    client: Client,
}

impl ApiServer {
    /// Prepares the connection with the pod's own rights; nothing is sent yet.
    ///
    /// # Errors
    /// When no configuration can be found.
    pub async fn connect() -> Result<Self, Failure> {
        let client = Client::try_default().await.map_err(|error| {
            Failure::new(
                JobCause::StatusNotWritten,
                format!("the Job cannot reach its API server: {error}; check the pod's ServiceAccount token"),
            )
        })?;
        Ok(Self { client })
    }

    /// Over a given client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// The document for server-side apply: it names one component and nothing else, so nothing else is owned.
#[must_use]
pub fn patch_body(target: &StatusTarget, component: &Value) -> Value {
    json!({
        "apiVersion": format!("{}/v1alpha1", target.group),
        "kind": target.kind,
        "metadata": { "name": target.name, "namespace": target.namespace },
        "status": { "components": { target.component.as_str(): component } },
    })
}

/// The field manager of a component's Job.
#[must_use]
pub fn field_manager(component: &str) -> String {
    let mut name = format!("kubestash-job-{component}");
    // The API's limit.
    name.truncate(name.floor_char_boundary(128));
    name
}

impl Kubernetes for ApiServer {
    fn write<'a>(
        &'a self,
        target: &'a StatusTarget,
        component: &'a Value,
    ) -> BoxFuture<'a, Result<(), PatchError>> {
        Box::pin(async move {
            let kind = GroupVersionKind::gvk(target.group, "v1alpha1", target.kind);
            let resource = ApiResource::from_gvk(&kind);
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &target.namespace, &resource);
            let params = PatchParams::apply(&field_manager(&target.component)).force();
            let body = Patch::Apply(patch_body(target, component));
            match tokio::time::timeout(CALL, api.patch_status(&target.name, &params, &body)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(PatchError {
                    transient: transient(&error),
                    message: error.to_string(),
                }),
                Err(_) => Err(PatchError {
                    transient: true,
                    message: format!("the API server did not answer within {} s", CALL.as_secs()),
                }),
            }
        })
    }

    fn state<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, HolderState> {
        Box::pin(async move {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &holder.namespace);
            match tokio::time::timeout(CALL, api.get_opt(&holder.pod)).await {
                Ok(Ok(pod)) => judge(holder, pod.as_ref()),
                Ok(Err(error)) => HolderState::Unknown(error.to_string()),
                Err(_) => HolderState::Unknown("the API server did not answer".into()),
            }
        })
    }
}

fn transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 409 | 429 | 500..=599),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_one_component_only() {
        let target = StatusTarget {
            group: "storage.kubestash.com",
            kind: "Snapshot",
            namespace: "demo".into(),
            name: "s".into(),
            component: "dump-pod-0".into(),
        };
        assert_eq!(
            patch_body(&target, &json!({"phase": "Running"})),
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
                "metadata": {"name": "s", "namespace": "demo"},
                "status": {"components": {"dump-pod-0": {"phase": "Running"}}}})
        );
        assert_eq!(field_manager("dump-pod-0"), "kubestash-job-dump-pod-0");
    }
}
