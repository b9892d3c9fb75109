//! The schemas of Kubernetes' own types, taken from `k8s_openapi` once, when the first is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, autoscaling as scaling, batch::v1 as batch,
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery, events::v1 as events,
    networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling,
    storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::{ANY, Schema, Type, markers};

/// Name of the type of every object's `metadata`.
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Types that hold any JSON, whatever their published schema says.
const FREE_FORM: &[&str] = &[
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus",
];

static POOL: LazyLock<HashMap<String, Schema>> = LazyLock::new(|| {
    let mut pool: HashMap<String, Schema> = HashMap::new();
    // Part by part: the JSON of all types at once would raise the memory of the process for good.
    for part in PARTS {
        for (name, raw) in definitions_of(*part) {
            pool.entry(name).or_insert_with_key(|name| definition(name, &raw));
        }
    }
    markers::apply(&mut pool);
    pool
});

/// The schema of a type; one that allows anything for a name that is not known.
pub(crate) fn get(name: &str) -> &'static Schema {
    POOL.get(name).unwrap_or(&ANY)
}

fn definition(name: &str, raw: &Value) -> Schema {
    let mut schema = Schema::parse(raw);
    let empty = schema.kind == Type::Object
        && schema.properties.is_empty()
        && matches!(schema.additional, super::Additional::None);
    if FREE_FORM.contains(&name) || empty {
        schema = ANY.clone();
    }
    schema
}

/// The JSON schemas of all types with their descriptions, by name; references are `#/…/NAME`.
pub(crate) fn as_json() -> BTreeMap<String, Value> {
    PARTS.iter().flat_map(|part| definitions_of(*part)).collect()
}

/// Adds some types to a generator.
type Part = fn(&mut SchemaGenerator);

const PARTS: &[Part] = &[storage_and_configuration, pods, workloads, extensions, access];

fn definitions_of(part: Part) -> impl Iterator<Item = (String, Value)> {
    let mut generator = schemars::generate::SchemaSettings::openapi3().into_generator();
    part(&mut generator);
    generator.take_definitions(false).into_iter().map(|(name, schema)| {
        let free = FREE_FORM.contains(&name.as_str());
        let open = || json!({"description": schema["description"], "x-kubernetes-preserve-unknown-fields": true});
        let schema = if free { open() } else { schema };
        (name, schema)
    })
}

/// Adds types, and what they are made of, to the generator.
macro_rules! add {
    ($generator:ident: $($type:ty),+ $(,)?) => {{ $( let _ = $generator.subschema_for::<$type>(); )+ }};
}

fn storage_and_configuration(generator: &mut SchemaGenerator) {
    add!(generator:
        core::ConfigMap, core::Endpoints, core::Event, core::LimitRange, core::Namespace, core::Node,
        core::PersistentVolumeClaim, core::PersistentVolume, core::ResourceQuota, core::Secret,
        core::ServiceAccount, core::Service, coordination::Lease, discovery::EndpointSlice, events::Event,
        networking::IngressClass, networking::Ingress, networking::NetworkPolicy, scheduling::PriorityClass,
        storage::CSIDriver, storage::StorageClass, storage::VolumeAttachment, meta::ObjectMeta,
        meta::DeleteOptions, meta::Status, meta::ListMeta,
    );
}

fn pods(generator: &mut SchemaGenerator) {
    add!(generator: core::Pod, core::PodTemplate);
}

fn workloads(generator: &mut SchemaGenerator) {
    add!(generator:
        core::ReplicationController, apps::ControllerRevision, apps::DaemonSet, apps::Deployment, apps::ReplicaSet,
        apps::StatefulSet, batch::CronJob, batch::Job,
    );
}

fn extensions(generator: &mut SchemaGenerator) {
    add!(generator:
        admission::MutatingWebhookConfiguration, admission::ValidatingWebhookConfiguration,
        apiextensions::CustomResourceDefinition, apiregistration::APIService,
        scaling::v2::HorizontalPodAutoscaler, scaling::v1::Scale,
    );
}

fn access(generator: &mut SchemaGenerator) {
    add!(generator:
        authentication::SelfSubjectReview, authentication::TokenReview, authentication::TokenRequest,
        authorization::LocalSubjectAccessReview, authorization::SelfSubjectAccessReview,
        authorization::SelfSubjectRulesReview, authorization::SubjectAccessReview, policy::PodDisruptionBudget,
        policy::Eviction, rbac::ClusterRoleBinding, rbac::ClusterRole, rbac::RoleBinding, rbac::Role,
    );
}
