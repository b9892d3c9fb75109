// JSON literals read best as arguments by value.
#![allow(clippy::needless_pass_by_value)]

use std::sync::Arc;

use serde_json::{Value, json};

use super::names::{Names, problem};
use super::validation::check;
use crate::sandbox::kinds::Registry;

fn sentences(group: &str, plural: &str, object: Value, old: Option<Value>) -> String {
    let resource = Registry::new().find(group, "v1", plural).unwrap();
    check(&resource, &object, old.map(Arc::new).as_ref())
        .err()
        .map(|e| e.message)
        .unwrap_or_default()
}

fn job(image: &str) -> Value {
    json!({"metadata": {"name": "j"}, "spec": {"completionMode": "NonIndexed", "template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "a", "image": image}]}}}})
}

#[test]
fn names_follow_dns() {
    assert!(problem("a.b-c", Names::Subdomain).is_none());
    assert!(problem("a.b", Names::Label).is_some());
    assert!(problem("-a", Names::Label).is_some());
    assert!(problem("1a", Names::Dns1035).is_some());
    assert!(problem("system:node", Names::Path).is_none());
    let text = sentences(
        "",
        "configmaps",
        json!({"metadata": {"name": "Bad_Name", "labels": {"a b": "c"}}}),
        None,
    );
    assert!(text.starts_with(
        "ConfigMap \"Bad_Name\" is invalid: [metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123"
    ));
    assert!(text.contains("metadata.labels: Invalid value: \"a b\": name part must consist of"));
}

#[test]
fn the_template_of_a_job_is_fixed() {
    assert_eq!(sentences("batch", "jobs", job("1"), Some(job("1"))), "");
    let text = sentences("batch", "jobs", job("2"), Some(job("1")));
    assert!(
        text.starts_with("Job.batch \"j\" is invalid: spec.template: Invalid value: "),
        "{text}"
    );
    assert!(text.ends_with("field is immutable"));
    let mut suspended = job("1");
    suspended["spec"]["suspend"] = json!(true);
    assert_eq!(sentences("batch", "jobs", job("2"), Some(suspended)), "");
}

#[test]
fn claims_only_grow() {
    let claim = |size: &str, mode: &str| {
        json!({"metadata": {"name": "c"}, "status": {"phase": "Bound"},
               "spec": {"accessModes": [mode], "resources": {"requests": {"storage": size}}}})
    };
    let text = |new, old| sentences("", "persistentvolumeclaims", new, Some(old));
    assert_eq!(
        text(claim("2Gi", "ReadWriteOnce"), claim("1Gi", "ReadWriteOnce")),
        ""
    );
    assert!(
        text(claim("500Mi", "ReadWriteOnce"), claim("1Gi", "ReadWriteOnce"))
            .contains("less than previous value")
    );
    assert!(
        text(claim("1Gi", "ReadWriteMany"), claim("1Gi", "ReadWriteOnce"))
            .contains("spec is immutable after creation")
    );
}

#[test]
fn selectors_must_match_templates() {
    let text = sentences(
        "apps",
        "deployments",
        json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "b"}}, "spec": {"restartPolicy": "Always", "containers": [{"name": "x"}]}}}}),
        None,
    );
    assert!(
        text.contains("`selector` does not match template `labels`")
            && text.contains("spec.template.spec.containers[0].image: Required value"),
        "{text}"
    );
}
