//! Defaults of the built-in kinds that tools and controllers rely on.

use serde_json::{Map, Value, json};

use super::pods;
use crate::sandbox::kinds::{Resource, Source, definition};
use crate::sandbox::object::{self, default};
use crate::sandbox::server::Api;
use crate::sandbox::status::ApiResult;
use crate::sandbox::store::GroupResource;

/// Fills in defaults. `old` is the object before an update.
pub(crate) fn apply(
    api: &Api,
    resource: &Resource,
    object: &mut Value,
    old: Option<&Value>,
) -> ApiResult<()> {
    if !matches!(resource.source, Source::Builtin(_)) {
        return Ok(());
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", kind) => core(api, kind, object, old),
        ("apps", kind) => apps(kind, object),
        ("batch", "Job") => job(object, old),
        ("batch", "CronJob") => cron_job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition::fill(object),
        ("admissionregistration.k8s.io", _) => webhooks(object),
        ("rbac.authorization.k8s.io", kind) if kind.ends_with("Binding") => binding(object),
        ("storage.k8s.io", "StorageClass") => {
            let map = object::map(object);
            default(map, "reclaimPolicy", json!("Delete"));
            default(map, "volumeBindingMode", json!("Immediate"));
        }
        _ => {}
    }
    Ok(())
}

fn core(api: &Api, kind: &str, object: &mut Value, old: Option<&Value>) {
    match kind {
        "Namespace" => namespace(object, old),
        "Pod" => {
            pods::fill(object::map_at(object, &["spec"]));
            default(object::map_at(object, &["status"]), "phase", json!("Pending"));
        }
        "Secret" => secret(object),
        "Service" => service(api, object, old),
        "PersistentVolumeClaim" => {
            claim(object::map_at(object, &["spec"]));
            let class = default_class(api);
            let spec = object::map_at(object, &["spec"]);
            if let Some(class) = class.filter(|_| old.is_none()) {
                default(spec, "storageClassName", json!(class));
            }
            default(object::map_at(object, &["status"]), "phase", json!("Pending"));
        }
        "PersistentVolume" => {
            let spec = object::map_at(object, &["spec"]);
            default(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
            default(spec, "volumeMode", json!("Filesystem"));
            default(object::map_at(object, &["status"]), "phase", json!("Pending"));
        }
        "Event" => default(object::map(object), "type", json!("Normal")),
        "ReplicationController" => default(object::map_at(object, &["spec"]), "replicas", json!(1)),
        _ => {}
    }
}

fn namespace(object: &mut Value, old: Option<&Value>) {
    let name = object::name(object).to_owned();
    object::map_at(object, &["metadata", "labels"]).insert("kubernetes.io/metadata.name".into(), json!(name));
    if old.is_none() {
        default(
            object::map_at(object, &["spec"]),
            "finalizers",
            json!(["kubernetes"]),
        );
    }
    default(object::map_at(object, &["status"]), "phase", json!("Active"));
}

/// `stringData` is written only: it becomes `data`.
fn secret(object: &mut Value) {
    use base64::Engine;
    let plain = object::remove(object, &["stringData"]);
    if let Some(Value::Object(plain)) = plain {
        let data = object::map_at(object, &["data"]);
        for (key, value) in plain {
            let text = value.as_str().unwrap_or_default();
            data.insert(key, json!(base64::engine::general_purpose::STANDARD.encode(text)));
        }
    }
    default(object::map(object), "type", json!("Opaque"));
}

fn service(api: &Api, object: &mut Value, old: Option<&Value>) {
    let headless_or_old = old.map(|o| object::text(o, &["spec", "clusterIP"]).to_owned());
    let spec = object::map_at(object, &["spec"]);
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let port = object::map(port);
        default(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        default(port, "targetPort", number);
    }
    if spec["type"] == "ExternalName" {
        return;
    }
    default(spec, "internalTrafficPolicy", json!("Cluster"));
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", json!("SingleStack"));
    if spec
        .get("clusterIP")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .is_empty()
    {
        let address = headless_or_old
            .filter(|a| !a.is_empty())
            .unwrap_or_else(|| free_address(api));
        spec.insert("clusterIP".into(), json!(address));
    }
    let address = spec["clusterIP"].clone();
    default(spec, "clusterIPs", json!([address]));
}

/// An address of the service range that no Service has.
fn free_address(api: &Api) -> String {
    let services = api.store.list(&GroupResource::new("", "services"), None).objects;
    let taken: Vec<String> = services
        .iter()
        .map(|(_, s)| object::text(&s.value(), &["spec", "clusterIP"]).to_owned())
        .collect();
    (10..=65_000_u32)
        .map(|n| format!("10.96.{}.{}", n / 256, n % 256))
        .find(|a| !taken.contains(a))
        .unwrap_or_else(|| "None".to_owned())
}

/// The StorageClass marked as default.
fn default_class(api: &Api) -> Option<String> {
    let classes = api
        .store
        .list(&GroupResource::new("storage.k8s.io", "storageclasses"), None)
        .objects;
    classes.iter().map(|(_, s)| s.value()).find_map(|class| {
        let mark = object::text(
            &class,
            &[
                "metadata",
                "annotations",
                "storageclass.kubernetes.io/is-default-class",
            ],
        );
        (mark == "true").then(|| object::name(&class).to_owned())
    })
}

fn claim(spec: &mut Map<String, Value>) {
    default(spec, "volumeMode", json!("Filesystem"));
}

fn template(object: &mut Value) {
    pods::fill(object::map_at(object, &["spec", "template", "spec"]));
}

fn apps(kind: &str, object: &mut Value) {
    if kind == "ControllerRevision" {
        return;
    }
    template(object);
    let spec = object::map_at(object, &["spec"]);
    if kind != "DaemonSet" {
        default(spec, "replicas", json!(1));
    }
    match kind {
        "Deployment" => {
            default(spec, "progressDeadlineSeconds", json!(600));
            default(spec, "revisionHistoryLimit", json!(10));
            let strategy = object::map_at(object, &["spec", "strategy"]);
            default(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                let rolling = object::map_at(object, &["spec", "strategy", "rollingUpdate"]);
                default(rolling, "maxSurge", json!("25%"));
                default(rolling, "maxUnavailable", json!("25%"));
            }
        }
        "StatefulSet" => stateful_set(object),
        "DaemonSet" => {
            default(spec, "revisionHistoryLimit", json!(10));
            let strategy = object::map_at(object, &["spec", "updateStrategy"]);
            default(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                let rolling = object::map_at(object, &["spec", "updateStrategy", "rollingUpdate"]);
                default(rolling, "maxSurge", json!(0));
                default(rolling, "maxUnavailable", json!(1));
            }
        }
        _ => {}
    }
}

fn stateful_set(object: &mut Value) {
    let spec = object::map_at(object, &["spec"]);
    default(spec, "podManagementPolicy", json!("OrderedReady"));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "serviceName", json!(""));
    default(
        spec,
        "persistentVolumeClaimRetentionPolicy",
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
    );
    for claim_template in spec
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let map = object::map(claim_template);
        default(map, "apiVersion", json!("v1"));
        default(map, "kind", json!("PersistentVolumeClaim"));
        default(map, "status", json!({"phase": "Pending"}));
        claim(object::map_at(claim_template, &["spec"]));
    }
    let strategy = object::map_at(object, &["spec", "updateStrategy"]);
    default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        default(
            object::map_at(object, &["spec", "updateStrategy", "rollingUpdate"]),
            "partition",
            json!(0),
        );
    }
}

fn job_spec(spec: &mut Map<String, Value>) {
    if spec.get("completions").is_none_or(Value::is_null)
        && spec.get("parallelism").is_none_or(Value::is_null)
    {
        spec.insert("completions".into(), json!(1));
    }
    default(spec, "parallelism", json!(1));
    default(spec, "backoffLimit", json!(6));
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    default(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
}

/// A Job selects its pods by its own uid, in the template's labels and in the selector.
fn job(object: &mut Value, old: Option<&Value>) {
    template(object);
    job_spec(object::map_at(object, &["spec"]));
    default(object::map_at(object, &["spec"]), "manualSelector", json!(false));
    if old.is_some() || object["spec"]["manualSelector"] == json!(true) {
        return;
    }
    object::remove(object, &["spec", "manualSelector"]);
    let (uid, name) = (object::uid(object).to_owned(), object::name(object).to_owned());
    let labels = object::map_at(object, &["spec", "template", "metadata", "labels"]);
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        labels.insert(key.to_owned(), json!(value));
    }
    // A Job without labels has those of its pods.
    let labels = labels.clone();
    let own = object::map_at(object, &["metadata", "labels"]);
    if own.is_empty() {
        *own = labels;
    }
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    default(object::map_at(object, &["spec"]), "selector", selector);
}

fn cron_job(object: &mut Value) {
    pods::fill(object::map_at(
        object,
        &["spec", "jobTemplate", "spec", "template", "spec"],
    ));
    let spec = object::map_at(object, &["spec"]);
    default(spec, "concurrencyPolicy", json!("Allow"));
    default(spec, "suspend", json!(false));
    default(spec, "successfulJobsHistoryLimit", json!(3));
    default(spec, "failedJobsHistoryLimit", json!(1));
}

fn webhooks(object: &mut Value) {
    let mutating = object["kind"] == "MutatingWebhookConfiguration";
    for webhook in object::map(object)
        .get_mut("webhooks")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let map = object::map(webhook);
        default(map, "failurePolicy", json!("Fail"));
        default(map, "matchPolicy", json!("Equivalent"));
        default(map, "namespaceSelector", json!({}));
        default(map, "objectSelector", json!({}));
        default(map, "timeoutSeconds", json!(10));
        if mutating {
            default(map, "reinvocationPolicy", json!("Never"));
        }
        for rule in map
            .get_mut("rules")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            default(object::map(rule), "scope", json!("*"));
        }
        if webhook["clientConfig"]["service"].is_object() {
            default(
                object::map_at(webhook, &["clientConfig", "service"]),
                "port",
                json!(443),
            );
        }
    }
}

fn binding(object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let role = object::map_at(object, &["roleRef"]);
    default(role, "apiGroup", json!(GROUP));
    for subject in object::map(object)
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let subject = object::map(subject);
        if matches!(
            subject.get("kind").and_then(Value::as_str),
            Some("User" | "Group")
        ) {
            default(subject, "apiGroup", json!(GROUP));
        }
    }
}
