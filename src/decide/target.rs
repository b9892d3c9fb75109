//! A backup's or restore's target as facts, and what follows from them: instances, pod templates, nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec, Volume},
};
use kube::ResourceExt;

use super::{
    components::{self, Instance},
    variables::Inputs,
    volumes,
};
use crate::api::shared::TypedObjectReference;

/// What the target is, with its object where that matters to us.
#[derive(Debug, Clone)]
pub enum Object {
    /// A claim.
    Claim(Box<PersistentVolumeClaim>),
    /// A Deployment.
    Deployment(Box<Deployment>),
    /// A StatefulSet.
    StatefulSet(Box<StatefulSet>),
    /// A DaemonSet.
    DaemonSet(Box<DaemonSet>),
    /// Anything else: only that it exists.
    Other,
    /// No target at all: the whole cluster.
    Cluster,
}

/// The target, its pods and the claims around it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The reference with its namespace filled in; the stand-in where there is none.
    pub reference: TypedObjectReference,
    /// What it is.
    pub object: Object,
    /// Pods in its namespace that matter: a workload's own, or those that use the claim.
    pub pods: Vec<Pod>,
}

/// The reference used where a BackupConfiguration has no target.
#[must_use]
pub fn stand_in() -> TypedObjectReference {
    TypedObjectReference {
        api_group: Some("na".into()),
        kind: Some(String::new()),
        namespace: None,
        name: "na".into(),
    }
}

/// The reference with its namespace filled in, or the stand-in.
#[must_use]
pub fn reference(target: Option<&TypedObjectReference>, own_namespace: &str) -> TypedObjectReference {
    match target {
        Some(target) => TypedObjectReference {
            namespace: Some(target.namespace_or(own_namespace).to_owned()),
            ..target.clone()
        },
        None => stand_in(),
    }
}

/// True when both name the same object; `a` and `b` have their namespaces filled in.
#[must_use]
pub fn same(a: &TypedObjectReference, b: &TypedObjectReference) -> bool {
    a.group() == b.group() && a.kind() == b.kind() && a.namespace == b.namespace && a.name == b.name
}

impl Target {
    /// `Kind namespace/name`, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        describe(&self.reference)
    }

    /// Where Jobs for the target run; `own` where it has no namespace.
    #[must_use]
    pub fn job_namespace(&self, own: &str) -> String {
        self.reference.namespace_or(own).to_owned()
    }

    /// Where a task runs for this target.
    #[must_use]
    pub fn instances(&self, singleton: bool) -> Vec<Instance> {
        let replicas = match &self.object {
            Object::StatefulSet(set) => set.spec.replicas.unwrap_or(1),
            _ => 1,
        };
        let nodes: Vec<String> = match &self.object {
            Object::DaemonSet(_) => self.pods.iter().filter_map(node).collect(),
            _ => Vec::new(),
        };
        let replicas = u32::try_from(replicas).unwrap_or(0);
        components::instances(self.reference.kind(), singleton, replicas, &nodes)
    }

    /// A pod as the target would make it for an instance, with its claims named; nothing for targets without pods. Read
    /// from the template, so it does not matter whether the pod runs.
    #[must_use]
    pub fn pod(&self, instance: &Instance) -> Option<Pod> {
        match &self.object {
            Object::Deployment(it) => Some(from_template(&it.spec.template)),
            Object::DaemonSet(it) => Some(from_template(&it.spec.template)),
            Object::StatefulSet(it) => {
                let spec = &it.spec;
                let mut pod = from_template(&spec.template);
                let ordinal = match instance {
                    Instance::Pod(ordinal) => *ordinal,
                    _ => 0,
                };
                let volumes = pod.spec.get_or_insert_default().volumes.get_or_insert_default();
                for template in spec.volume_claim_templates.iter().flatten() {
                    let name = template.name_any();
                    let claim = format!("{name}-{}-{ordinal}", it.name_any());
                    volumes.retain(|volume: &Volume| volume.name != name);
                    volumes.push(volumes::claim(&name, &claim));
                }
                Some(pod)
            }
            Object::Claim(_) | Object::Other | Object::Cluster => None,
        }
    }

    /// Inputs that the target adds for an instance.
    #[must_use]
    pub fn inputs(&self, instance: &Instance) -> Inputs {
        let mut inputs = Inputs::new();
        inputs.insert("targetKind".into(), self.reference.kind().to_owned());
        inputs.insert("targetName".into(), self.reference.name.clone());
        if let Some(namespace) = &self.reference.namespace {
            inputs.insert("targetNamespace".into(), namespace.clone());
        }
        if let Object::Claim(claim) = &self.object {
            inputs.insert("PVC_NAME".into(), claim.name_any());
        }
        if let Instance::Pod(ordinal) = instance {
            inputs.insert("POD_ORDINAL".into(), ordinal.to_string());
        }
        inputs
    }

    /// The node a Job with these claims must run on: that of a running pod that holds one of them and does not share it
    /// with other nodes; or the instance's own node.
    #[must_use]
    pub fn node(
        &self,
        instance: &Instance,
        used: &[String],
        claims: &BTreeMap<String, PersistentVolumeClaim>,
    ) -> Option<String> {
        if let Instance::Node(name) = instance {
            return Some(name.clone());
        }
        let bound_to_a_node: Vec<&String> = used
            .iter()
            .filter(|name| claims.get(*name).is_some_and(|claim| !shared(claim)))
            .collect();
        self.pods
            .iter()
            .filter(|pod| running(pod))
            .find(|pod| {
                let volumes = pod
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.volumes.clone())
                    .unwrap_or_default();
                let held = volumes::claims(&volumes);
                bound_to_a_node.iter().any(|name| held.contains(name))
            })
            .and_then(node)
    }
}

/// `Kind namespace/name`, for messages.
#[must_use]
pub fn describe(reference: &TypedObjectReference) -> String {
    match &reference.namespace {
        Some(namespace) => format!("{} {namespace}/{}", reference.kind(), reference.name),
        None => format!("{} {}", reference.kind(), reference.name),
    }
}

fn from_template(template: &PodTemplateSpec) -> Pod {
    Pod {
        metadata: template.metadata.clone().unwrap_or_default(),
        spec: template.spec.clone(),
        status: None,
    }
}

fn node(pod: &Pod) -> Option<String> {
    pod.spec
        .as_ref()?
        .node_name
        .clone()
        .filter(|name| !name.is_empty())
}

fn running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && matches!(phase, Some("Running" | "Pending"))
}

/// True when several nodes may use the claim at once.
fn shared(claim: &PersistentVolumeClaim) -> bool {
    let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
    modes
        .into_iter()
        .flatten()
        .any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn stateful_set(replicas: i32) -> Target {
        let set = serde_json::from_value(json!({"metadata": {"name": "db", "namespace": "demo"}, "spec": {
            "serviceName": "db", "replicas": replicas, "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db",
                "volumeMounts": [{"name": "data", "mountPath": "/source/data"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}}))
        .unwrap();
        let pods = (0..replicas)
            .map(|n| {
                serde_json::from_value(
                    json!({"metadata": {"name": format!("db-{n}"), "namespace": "demo"},
                    "spec": {"nodeName": format!("node-{n}"), "containers": [], "volumes": [
                        {"name": "data", "persistentVolumeClaim": {"claimName": format!("data-db-{n}")}}]},
                    "status": {"phase": "Running"}}),
                )
                .unwrap()
            })
            .collect();
        Target {
            reference: serde_json::from_value(
                json!({"apiGroup": "apps", "kind": "StatefulSet", "namespace": "demo", "name": "db"}),
            )
            .unwrap(),
            object: Object::StatefulSet(Box::new(set)),
            pods,
        }
    }

    pub(crate) fn claim(name: &str, mode: &str) -> PersistentVolumeClaim {
        serde_json::from_value(
            json!({"metadata": {"name": name, "namespace": "demo"}, "spec": {"accessModes": [mode]}}),
        )
        .unwrap()
    }

    #[test]
    fn a_stateful_sets_pods_have_claims_of_their_own() {
        let target = stateful_set(2);
        assert_eq!(target.instances(false), [Instance::Pod(0), Instance::Pod(1)]);
        let pod = target.pod(&Instance::Pod(1)).unwrap();
        assert_eq!(
            volumes::claims(&pod.spec.unwrap().volumes.unwrap()),
            ["data-db-1"]
        );
        assert_eq!(target.inputs(&Instance::Pod(1))["POD_ORDINAL"], "1");
    }

    #[test]
    fn a_job_follows_a_claim_that_only_one_node_can_use() {
        let target = stateful_set(2);
        let claims = |mode| BTreeMap::from([("data-db-1".to_owned(), claim("data-db-1", mode))]);
        let used = ["data-db-1".to_owned()];
        assert_eq!(
            target
                .node(&Instance::Pod(1), &used, &claims("ReadWriteOnce"))
                .as_deref(),
            Some("node-1")
        );
        assert_eq!(
            target.node(&Instance::Pod(1), &used, &claims("ReadWriteMany")),
            None
        );
        assert_eq!(
            target
                .node(&Instance::Node("n9".into()), &[], &BTreeMap::new())
                .as_deref(),
            Some("n9")
        );
    }

    #[test]
    fn an_empty_namespace_is_the_own_one() {
        let given: TypedObjectReference =
            serde_json::from_value(json!({"kind": "PersistentVolumeClaim", "name": "x"})).unwrap();
        assert_eq!(reference(Some(&given), "demo").namespace.as_deref(), Some("demo"));
        assert!(same(
            &reference(Some(&given), "demo"),
            &reference(Some(&given), "demo")
        ));
        assert!(!same(
            &reference(Some(&given), "demo"),
            &reference(Some(&given), "other")
        ));
        assert_eq!(reference(None, "demo").name, "na");
    }
}
