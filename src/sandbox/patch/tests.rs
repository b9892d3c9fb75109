// JSON literals read best as arguments by value.
#![allow(clippy::needless_pass_by_value)]

use serde_json::{Value, json};

use super::apply::{Wish, apply};
use super::{managed, merge, strategic};
use crate::sandbox::kinds::{Registry, Resource};
use crate::sandbox::status::ApiResult;

fn kind(group: &str, plural: &str) -> std::sync::Arc<Resource> {
    Registry::new().find(group, "v1", plural).unwrap()
}

fn wish(live: Option<&Value>, config: &Value, manager: &str, force: bool) -> ApiResult<Value> {
    apply(
        live,
        &Wish {
            config,
            manager,
            force,
            subresource: "",
        },
        &kind("apps", "deployments"),
    )
}

fn deployment(replicas: Value, containers: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "b"},
           "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}}})
}

#[test]
fn strategic_lists_merge_by_key() {
    let pods = kind("", "pods");
    let object = json!({"spec": {"containers": [
        {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "b", "image": "1"}]}, "metadata": {"finalizers": ["f1"]}});
    let patch = json!({
        "metadata": {"finalizers": ["f2"], "$deleteFromPrimitiveList/finalizers": ["f1"]},
        "spec": {"containers": [
            {"name": "a", "image": "2", "env": [{"name": "X", "$patch": "delete"}, {"name": "Z", "value": "3"}]},
            {"name": "c", "image": "3"}], "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}});
    let out = strategic::apply(&object, &patch, pods.schema());
    let containers = out["spec"]["containers"].as_array().unwrap();
    assert_eq!(
        containers
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["c", "a", "b"]
    );
    assert_eq!(
        containers[1]["env"],
        json!([{"name": "Y", "value": "2"}, {"name": "Z", "value": "3"}])
    );
    assert_eq!(out["metadata"]["finalizers"], json!(["f2"]));
    let replaced = json!({"spec": {"$patch": "replace", "nodeName": "n"}});
    assert_eq!(
        strategic::apply(&object, &replaced, pods.schema())["spec"],
        json!({"nodeName": "n"})
    );
    let retained = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let before = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}});
    let after = strategic::apply(&before, &retained, kind("apps", "deployments").schema());
    assert_eq!(after["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn json_and_merge_patches() {
    let object = json!({"a": 1, "b": {"c": 2}});
    assert_eq!(
        merge::merge_patch(&object, &json!({"a": null, "b": {"d": 3}})),
        json!({"b": {"c": 2, "d": 3}})
    );
    let patch =
        json!([{"op": "test", "path": "/a", "value": 1}, {"op": "replace", "path": "/b/c", "value": 5}]);
    assert_eq!(merge::json_patch(&object, &patch).unwrap()["b"]["c"], 5);
    assert_eq!(
        merge::json_patch(&object, &json!([{"op": "remove", "path": "/x"}]))
            .unwrap_err()
            .code,
        422
    );
    assert_eq!(merge::json_patch(&object, &json!({})).unwrap_err().code, 400);
}

#[test]
fn apply_owns_merges_and_drops() {
    let first = wish(
        None,
        &deployment(json!(1), json!([{"name": "a", "image": "1"}])),
        "one",
        false,
    )
    .unwrap();
    assert_eq!(
        first["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}})
    );
    let other = deployment(json!(1), json!([{"name": "b", "image": "2"}]));
    let second = wish(Some(&first), &other, "two", false).unwrap();
    let names: Vec<_> = second["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(names.len(), 2);
    // The first manager no longer names its container: it goes; replicas, which the second shares, stay.
    let without = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}});
    let third = wish(Some(&second), &without, "one", false).unwrap();
    assert_eq!(third["spec"]["replicas"], 1);
    assert_eq!(
        third["spec"]["template"]["spec"]["containers"],
        json!([{"name": "b", "image": "2"}])
    );
    assert_eq!(managed::entries(&third).len(), 1);
}

#[test]
fn conflicts_name_the_manager_and_the_field() {
    let live = wish(
        None,
        &deployment(json!(1), json!([{"name": "a", "image": "1"}])),
        "one",
        false,
    )
    .unwrap();
    let wanted = deployment(json!(2), json!([{"name": "a", "image": "1"}]));
    let error = wish(Some(&live), &wanted, "two", false).unwrap_err();
    assert_eq!(error.code, 409);
    assert_eq!(
        error.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
    );
    let error = wish(
        Some(&live),
        &deployment(json!(2), json!([{"name": "a", "image": "2"}])),
        "two",
        false,
    )
    .unwrap_err();
    assert!(
        error
            .message
            .contains(".spec.template.spec.containers[name=\"a\"].image"),
        "{}",
        error.message
    );
    let forced = wish(Some(&live), &wanted, "two", true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    let one = managed::entries(&forced)
        .into_iter()
        .find(|e| e.manager == "one")
        .unwrap();
    assert!(!one.fields.paths().contains(&".spec.replicas".to_owned()));
    assert!(
        one.fields
            .paths()
            .contains(&".spec.template.spec.containers[name=\"a\"].image".to_owned())
    );
}

#[test]
fn updates_take_fields_from_appliers() {
    let deployments = kind("apps", "deployments");
    let live = wish(
        None,
        &deployment(json!(1), json!([{"name": "a", "image": "1"}])),
        "one",
        false,
    )
    .unwrap();
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    managed::track_update(&mut scaled, &live, &deployments, "scaler", "");
    let error = wish(Some(&scaled), &deployment(json!(1), json!([])), "one", false).unwrap_err();
    assert!(
        error
            .message
            .starts_with("Apply failed with 1 conflict: conflict with \"scaler\" using apps/v1 at ")
    );
    assert!(error.message.ends_with(": .spec.replicas"));
    // Nothing changed: nobody's entry changes either.
    let mut same = scaled.clone();
    managed::track_update(&mut same, &scaled, &deployments, "idle", "");
    assert_eq!(same, scaled);
}

#[test]
fn atomic_lists_belong_to_one_manager() {
    let wanted = |args: Value| deployment(json!(1), json!([{"name": "a", "args": args}]));
    let live = wish(None, &wanted(json!(["x"])), "one", false).unwrap();
    let error = wish(Some(&live), &wanted(json!(["y"])), "two", false).unwrap_err();
    assert!(
        error
            .message
            .ends_with(".spec.template.spec.containers[name=\"a\"].args"),
        "{}",
        error.message
    );
    let same = wish(Some(&live), &wanted(json!(["x"])), "two", false).unwrap();
    assert_eq!(managed::entries(&same).len(), 2);
}
