//! Whether an object may be stored: its schema, CEL rules, names, and what its kind demands.

use serde_json::{Value, json};

use super::names::{self, Names};
use super::{immutable, pods};
use crate::sandbox::controllers::cron_job::schedule;
use crate::sandbox::kinds::{Resource, Source, definition};
use crate::sandbox::object;
use crate::sandbox::schema::{cel, validate};
use crate::sandbox::selectors::LabelSelector;
use crate::sandbox::status::{ApiError, ApiResult, Cause};

/// Refuses an object that breaks a rule; `old` is the object before an update.
pub(crate) fn check<'a>(
    resource: &Resource,
    object: &Value,
    old: Option<&'a std::sync::Arc<Value>>,
) -> ApiResult<()> {
    let old: Option<&'a Value> = old.map(|o| &**o);
    let mut causes = Vec::new();
    names::metadata(object, names_of(resource), &mut causes);
    match &resource.source {
        Source::Custom(custom) => {
            causes.extend(validate::validate(object, &custom.schema));
            // Rules are written for objects of the right shape.
            if causes.is_empty()
                && let Some(rules) = &custom.rules
            {
                causes.extend(cel::check(rules, object, old));
            }
        }
        Source::Builtin(_) => builtin(resource, object, &mut causes),
    }
    if let Some(old) = old {
        immutable::check(resource, object, old, &mut causes);
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        &resource.group,
        &resource.kind,
        object::name(object),
        &causes,
    ))
}

fn names_of(resource: &Resource) -> Names {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("rbac.authorization.k8s.io", _) => Names::Path,
        ("", "Namespace") => Names::Label,
        ("", "Service") => Names::Dns1035,
        _ => Names::Subdomain,
    }
}

fn builtin(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pods::check(spec, "spec", causes),
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => workload(spec, causes),
        ("batch", "Job") => job(spec, "spec", causes),
        ("batch", "CronJob") => cron_job(spec, causes),
        ("", "ConfigMap" | "Secret") => keys(object, causes),
        ("", "Service") => service(spec, causes),
        ("", "PersistentVolumeClaim") => claim(spec, causes),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => causes.extend(definition::check(object)),
        ("rbac.authorization.k8s.io", kind) => rbac(kind, object, causes),
        ("storage.k8s.io", "StorageClass") if object::text(object, &["provisioner"]).is_empty() => {
            causes.push(Cause::required("provisioner", ""));
        }
        ("", "Event") => event(object, causes),
        _ => {}
    }
}

fn template(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    names::labels(
        &spec["template"]["metadata"]["labels"],
        &format!("{path}.template.labels"),
        causes,
    );
    // A StatefulSet's pods get a volume for each of its claims, so that its containers may mount them.
    let mut pod = spec["template"]["spec"].clone();
    for claim in object::list(spec, &["volumeClaimTemplates"]) {
        let name = &claim["metadata"]["name"];
        if let Some(pod) = pod.as_object_mut()
            && let Value::Array(volumes) = pod.entry("volumes").or_insert_with(|| json!([]))
            && !volumes.iter().any(|v| v["name"] == *name)
        {
            volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        }
    }
    pods::check(&pod, &format!("{path}.template.spec"), causes);
}

fn workload(spec: &Value, causes: &mut Vec<Cause>) {
    let selector = &spec["selector"];
    if !selector.is_object() {
        causes.push(Cause::required("spec.selector", ""));
    } else if LabelSelector::of_object(selector).is_empty() {
        causes.push(Cause::invalid(
            "spec.selector",
            selector,
            "empty selector is invalid for deployment",
        ));
    } else if !LabelSelector::of_object(selector).matches(&spec["template"]) {
        let labels = spec["template"]["metadata"]["labels"].clone();
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field: "spec.template.metadata.labels".into(),
            message: format!("Invalid value: {labels}: `selector` does not match template `labels`"),
        });
    }
    if spec["replicas"].as_i64().is_some_and(|n| n < 0) {
        causes.push(Cause::invalid(
            "spec.replicas",
            &spec["replicas"],
            "must be greater than or equal to 0",
        ));
    }
    template(spec, "spec", causes);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy != "Always" {
        causes.push(Cause::unsupported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always".into()],
        ));
    }
}

fn job(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    template(spec, path, causes);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy == "Always" {
        let allowed = ["OnFailure", "Never"].map(str::to_owned);
        causes.push(Cause {
            reason: "FieldValueNotSupported",
            ..Cause::unsupported(format!("{path}.template.spec.restartPolicy"), policy, &allowed)
        });
    }
    for field in [
        "backoffLimit",
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ] {
        if spec[field].as_i64().is_some_and(|n| n < 0) {
            causes.push(Cause::invalid(
                format!("{path}.{field}"),
                &spec[field],
                "must be greater than or equal to 0",
            ));
        }
    }
}

fn cron_job(spec: &Value, causes: &mut Vec<Cause>) {
    let schedule = object::text(spec, &["schedule"]);
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if schedule.contains("TZ") {
        causes.push(Cause::invalid(
            "spec.schedule",
            &json!(schedule),
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ));
    } else if let Some(problem) = schedule::problem(schedule) {
        causes.push(Cause::invalid("spec.schedule", &json!(schedule), problem));
    }
    if let Some(zone) = spec["timeZone"].as_str()
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        causes.push(Cause::invalid(
            "spec.timeZone",
            &spec["timeZone"],
            format!("unknown time zone {zone}"),
        ));
    }
    let policy = object::text(spec, &["concurrencyPolicy"]);
    if !matches!(policy, "Allow" | "Forbid" | "Replace") {
        let allowed = ["Allow", "Forbid", "Replace"].map(str::to_owned);
        causes.push(Cause::unsupported(
            "spec.concurrencyPolicy",
            &json!(policy),
            &allowed,
        ));
    }
    job(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", causes);
}

fn keys(object: &Value, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        for key in object[field].as_object().into_iter().flatten().map(|(k, _)| k) {
            let fine = key.len() <= 253
                && key
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if !fine {
                causes.push(Cause::invalid(
                    format!("{field}[{key}]"),
                    &json!(key),
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                ));
            }
        }
    }
}

fn service(spec: &Value, causes: &mut Vec<Cause>) {
    let headless = spec["clusterIP"] == "None";
    let ports = object::list(spec, &["ports"]);
    if ports.is_empty() && !headless && spec["type"] != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            causes.push(Cause::invalid(
                format!("spec.ports[{index}].port"),
                &json!(number),
                "must be between 1 and 65535, inclusive",
            ));
        }
        if ports.len() > 1 && object::text(port, &["name"]).is_empty() {
            causes.push(Cause::required(format!("spec.ports[{index}].name"), ""));
        }
    }
}

fn claim(spec: &Value, causes: &mut Vec<Cause>) {
    if object::list(spec, &["accessModes"]).is_empty() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if object::at(spec, &["resources", "requests", "storage"]).is_none() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
}

fn rbac(kind: &str, object: &Value, causes: &mut Vec<Cause>) {
    if kind.ends_with("Binding") {
        let role = object::text(object, &["roleRef", "kind"]);
        if !matches!(role, "ClusterRole" | "Role") || (kind == "ClusterRoleBinding" && role != "ClusterRole")
        {
            let allowed = if kind == "ClusterRoleBinding" {
                vec!["ClusterRole".to_owned()]
            } else {
                vec!["Role".to_owned(), "ClusterRole".to_owned()]
            };
            causes.push(Cause::unsupported("roleRef.kind", &json!(role), &allowed));
        }
        if object::text(object, &["roleRef", "name"]).is_empty() {
            causes.push(Cause::required("roleRef.name", ""));
        }
        for (index, subject) in object::list(object, &["subjects"]).iter().enumerate() {
            let account = subject["kind"] == "ServiceAccount";
            if account && kind == "ClusterRoleBinding" && object::text(subject, &["namespace"]).is_empty() {
                causes.push(Cause::required(format!("subjects[{index}].namespace"), ""));
            }
        }
        return;
    }
    for (index, rule) in object::list(object, &["rules"]).iter().enumerate() {
        if object::list(rule, &["verbs"]).is_empty() {
            causes.push(Cause::required(
                format!("rules[{index}].verbs"),
                "verbs must contain at least one value",
            ));
        }
        let urls = !object::list(rule, &["nonResourceURLs"]).is_empty();
        if urls && kind == "Role" {
            causes.push(Cause::invalid(
                format!("rules[{index}].nonResourceURLs"),
                &json!([]),
                "namespaced rules cannot apply to non-resource URLs",
            ));
        }
        if !urls && object::list(rule, &["resources"]).is_empty() {
            causes.push(Cause::required(
                format!("rules[{index}].resources"),
                "resource rules must supply at least one resource",
            ));
        }
        if !urls && object::list(rule, &["apiGroups"]).is_empty() {
            causes.push(Cause::required(
                format!("rules[{index}].apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
    }
}

fn event(object: &Value, causes: &mut Vec<Cause>) {
    let about = object::text(object, &["involvedObject", "namespace"]);
    let namespace = object::namespace(object);
    // Events about cluster-wide objects live in `default`.
    let wanted = if about.is_empty() { "default" } else { about };
    if namespace != wanted && namespace != "kube-system" {
        causes.push(Cause::invalid(
            "involvedObject.namespace",
            &json!(about),
            "does not match event.namespace",
        ));
    }
}
