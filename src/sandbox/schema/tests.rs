// JSON literals read best as arguments by value.
#![allow(clippy::needless_pass_by_value)]

use serde_json::json;

use super::prune::{fill_defaults, prune};
use super::validate::{validate, wrong_type};
use super::*;

fn schema(raw: Value) -> Schema {
    Schema::of_crd(&raw)
}

fn spec(properties: Value) -> Schema {
    schema(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}))
}

fn sentences(value: Value, schema: &Schema) -> Vec<String> {
    validate(&value, schema)
        .iter()
        .map(|c| format!("{}: {}", c.field, c.message))
        .collect()
}

#[test]
fn unknown_fields_go_and_are_named() {
    let schema = spec(json!({
        "items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
    }));
    let mut value = json!({
        "apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "nope": 1}, "extra": 1,
        "spec": {"items": [{"a": "x", "b": 1}], "open": {"x": 1}, "map": {"k": "v"}, "typo": 2},
    });
    assert_eq!(
        prune(&mut value, &schema),
        ["extra", "metadata.nope", "spec.items[0].b", "spec.typo"]
    );
    assert_eq!(
        value["spec"],
        json!({"items": [{"a": "x"}], "open": {"x": 1}, "map": {"k": "v"}})
    );
}

#[test]
fn defaults_reach_into_lists_maps_and_nulls() {
    let schema = spec(json!({
        "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"default": 1}}}},
        "n": {"type": "string", "nullable": true, "default": "x"},
    }));
    let mut value = json!({"spec": {"a": null, "list": [{}], "map": {"k": {}}, "n": null}});
    fill_defaults(&mut value, &schema);
    assert_eq!(
        value["spec"],
        json!({"a": {"b": 3}, "list": [{"p": "TCP"}], "map": {"k": {"x": 1}}, "n": null})
    );
}

#[test]
fn nulls_stay_only_where_they_mean_something() {
    let schema = spec(json!({
        "plain": {"type": "string"}, "may": {"type": "string", "nullable": true},
        "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        "defaulted": {"type": "integer", "default": 1},
    }));
    let mut value = json!({"metadata": {"name": "a", "labels": null}, "spec": {
        "plain": null, "may": null, "list": [{"x": null}], "defaulted": null}});
    super::prune::drop_forbidden_nulls(&mut value, &schema);
    fill_defaults(&mut value, &schema);
    assert_eq!(
        value,
        json!({"metadata": {"name": "a"}, "spec": {"may": null, "list": [{}], "defaulted": 1}})
    );
}

#[test]
fn sentences_are_those_of_kubernetes() {
    let schema = schema(
        json!({"type": "object", "required": ["spec"], "properties": {"spec": {
        "type": "object", "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^a+$", "maxLength": 3},
            "mode": {"type": "string", "enum": ["A", "B"]},
            "count": {"type": "integer", "minimum": 1},
            "port": {"x-kubernetes-int-or-string": true},
            "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                      "items": {"type": "object", "properties": {"n": {"type": "string"}}}},
        }}}}),
    );
    assert_eq!(sentences(json!({}), &schema), ["spec: Required value"]);
    assert_eq!(
        sentences(
            json!({"spec": {"name": "b", "mode": "C", "count": 0, "port": true, "keyed": [{"n": "x"}, {"n": "x"}]}}),
            &schema
        ),
        [
            "spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1",
            "spec.keyed[1]: Duplicate value: map[string]interface {}{\"n\":\"x\"}",
            "spec.mode: Unsupported value: \"C\": supported values: \"A\", \"B\"",
            "spec.name: Invalid value: \"b\": spec.name in body should match '^a+$'",
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
        ]
    );
    assert_eq!(
        sentences(json!({"spec": {"name": 1}}), &schema),
        ["spec.name: Invalid value: \"integer\": spec.name in body must be of type string: \"integer\""]
    );
    assert_eq!(
        sentences(json!({"spec": {"name": "aa", "port": 1.5}}), &schema),
        [
            "spec.port: Invalid value: \"number\": spec.port in body must be of type integer,string: \"number\""
        ]
    );
    for port in [json!("http"), json!("1.5"), json!(80), json!(2.0)] {
        let value = json!({"spec": {"name": "aa", "count": 2.0, "port": port}});
        assert!(sentences(value.clone(), &schema).is_empty(), "{value}");
    }
}

#[test]
fn kubernetes_types_have_schemas() {
    let pod = definitions::get("io.k8s.api.core.v1.Pod");
    let mut value =
        json!({"spec": {"containers": [{"name": "a", "imagee": "x", "resources": {"limits": {"cpu": 1}}}]}});
    assert_eq!(prune(&mut value, pod), ["spec.containers[0].imagee"]);
    assert!(wrong_type(&value, pod).is_none());
    let fraction = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1.5}}}]}});
    assert!(wrong_type(&fraction, pod).is_none());
    let deployment = definitions::get("io.k8s.api.apps.v1.Deployment");
    let value = json!({"spec": {"replicas": "three"}});
    assert_eq!(
        wrong_type(&value, deployment),
        Some(("spec.replicas".into(), "string", "int32"))
    );
}

#[test]
fn rules_see_only_what_they_need_and_still_work() {
    let raw = json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "message": "min must not exceed max"},
            {"rule": "self.name == oldSelf.name", "message": "name is immutable"}],
        "properties": {
            "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
            "other": {"type": "object", "properties": {"deep": {"type": "string"}}}}}}});
    let reduced = slim::with_rules(&raw).unwrap();
    assert!(reduced["properties"]["spec"]["properties"].get("other").is_none());
    assert!(slim::with_rules(&json!({"type": "object"})).is_none());
    let rules = kube::core::cel::compile_schema(&reduced);
    assert!(cel::problems(&rules, "schema").is_empty());
    let old = json!({"spec": {"min": 1, "max": 2, "name": "a"}});
    assert!(cel::check(&rules, &old, None).is_empty());
    let new = json!({"spec": {"min": 3, "max": 2, "name": "b"}});
    let messages: Vec<String> = cel::check(&rules, &new, Some(&old))
        .into_iter()
        .map(|c| c.message)
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("min must not exceed max") && messages[1].contains("name is immutable"));
}

#[test]
fn a_field_that_is_a_duration_by_its_format_may_be_converted_all_the_same() {
    let raw = json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "duration(self.wait) <= duration('1h') && duration(self.text) < duration(self.wait)"},
            {"rule": "self.wait > duration(\"1s\")", "message": "too short"},
            {"rule": "timestamp(self.at) > timestamp('2020-01-01T00:00:00Z')", "message": "too early"}],
        "properties": {
            "wait": {"type": "string", "format": "duration"}, "text": {"type": "string"},
            "at": {"type": "string", "format": "date-time"}}}}});
    let rules = kube::core::cel::compile_schema(&slim::with_rules(&raw).unwrap());
    assert!(cel::problems(&rules, "schema").is_empty());
    let told = |wait: &str, at: &str| -> Vec<String> {
        let object = json!({"spec": {"wait": wait, "text": "0s", "at": at}});
        let causes = cel::check(&rules, &object, None);
        causes.into_iter().map(|cause| cause.message).collect()
    };
    assert_eq!(told("30m", "2021-01-01T00:00:00Z"), Vec::<String>::new());
    let late = told("2h", "2021-01-01T00:00:00Z");
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(
        late[0].contains("failed rule: duration(self.wait) <= duration('1h')"),
        "{late:?}"
    );
    let both = told("1ms", "2019-01-01T00:00:00Z");
    assert!(
        both.len() == 2 && both[0].contains("too short") && both[1].contains("too early"),
        "{both:?}"
    );
}
