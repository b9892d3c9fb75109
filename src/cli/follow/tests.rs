use serde_json::json;

use super::*;

fn restored(phase: &str, components: &serde_json::Value) -> Outcome {
    let session: RestoreSession = serde_json::from_value(json!({
        "metadata": {"name": "r"},
        "status": {"phase": phase, "components": components, "conditions": [
            {"type": "RestoreExecutorEnsured", "status": "False", "message": "no such task"},
        ]},
    }))
    .unwrap();
    restore_outcome(&session)
}

#[test]
fn ends_have_their_codes() {
    assert_eq!(restored("Succeeded", &json!({})).exit(), Exit::Ok);
    assert_eq!(restored("Failed", &json!({})).exit(), Exit::Failed);
    assert_eq!(restored("Invalid", &json!({})).exit(), Exit::Failed);
    let part = restored(
        "Failed",
        &json!({"a": {"phase": "Succeeded"}, "b": {"phase": "Failed", "error": "disk full"}}),
    );
    assert_eq!(part.exit(), Exit::Partial);
    assert_eq!(part.causes, ["component b: disk full", "no such task"]);
}

#[test]
fn a_cause_is_said_once() {
    assert_eq!(
        distinct(vec!["component a: no".to_owned(), "no".to_owned(), String::new()]),
        ["component a: no"]
    );
}
