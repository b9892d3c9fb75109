// JSON literals read best as arguments by value.
#![allow(clippy::needless_pass_by_value)]

use serde_json::{Value, json};

use super::jsonpath::Path;
use super::{Rows, cells, render};
use crate::sandbox::kinds::Registry;

fn row(group: &str, plural: &str, object: Value) -> Vec<String> {
    let resource = Registry::new().find(group, "v1", plural).unwrap();
    let table = render(
        &resource,
        &[std::sync::Arc::new(object)],
        &json!({}),
        true,
        Rows::Metadata,
    );
    let columns = table["columnDefinitions"].as_array().unwrap().len();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(columns, cells.len());
    cells
        .iter()
        .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned))
        .collect()
}

#[test]
fn ages_are_kubectls() {
    for (seconds, text) in [
        (5, "5s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (3600, "60m"),
        (10_900, "3h1m"),
        (86_400, "24h"),
        (180_000, "2d2h"),
        (800_000, "9d"),
        (80_000_000, "2y195d"),
    ] {
        assert_eq!(cells::duration(seconds), text);
    }
}

#[test]
fn paths_find_what_printer_columns_name() {
    let object = json!({"status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]},
                        "metadata": {"labels": {"a.b/c": "x"}}, "list": [1, 2]});
    for (path, found) in [
        (".status.conditions[?(@.type==\"Ready\")].status", json!("True")),
        (".metadata.labels.a\\.b/c", json!("x")),
        (".metadata.labels['a.b/c']", json!("x")),
        (".list[1]", json!(2)),
        (".list[-1]", json!(2)),
        ("{.list[0]}", json!(1)),
    ] {
        assert_eq!(Path::parse(path).find(&object), Some(found), "{path}");
    }
    assert_eq!(Path::parse(".nope.x").find(&object), None);
}

#[test]
fn pods_tell_their_story() {
    let pod = |status: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}, "status": status});
    let shown = |status: Value| row("", "pods", pod(status))[1..4].to_vec();
    assert_eq!(shown(json!({"phase": "Pending"})), ["0/2", "Pending", "0"]);
    assert_eq!(
        shown(
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]})
        ),
        ["0/2", "Init:0/1", "0"]
    );
    assert_eq!(
        shown(json!({"phase": "Running", "containerStatuses": [
            {"ready": true, "restartCount": 1, "state": {"running": {}}},
            {"ready": false, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})),
        ["1/2", "CrashLoopBackOff", "3"]
    );
    assert_eq!(
        shown(json!({"phase": "Succeeded", "containerStatuses": [
            {"ready": false, "restartCount": 0, "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]})),
        ["0/2", "Completed", "0"]
    );
}

#[test]
fn every_builtin_kind_has_as_many_cells_as_columns() {
    for resource in Registry::new().all() {
        let table = render(
            &resource,
            &[std::sync::Arc::new(json!({"metadata": {"name": "x"}}))],
            &json!({}),
            true,
            Rows::Metadata,
        );
        let columns = table["columnDefinitions"].as_array().unwrap().len();
        assert_eq!(
            table["rows"][0]["cells"].as_array().unwrap().len(),
            columns,
            "{}",
            resource.plural
        );
    }
}
