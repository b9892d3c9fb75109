//! The CEL rules in our definitions: that they are within an API server's bounds, and what they refuse.

use super::schema::{children, ours, root};
use kube::core::cel::{CompiledSchema, ScopeContext, Validator, analyze_rule, compile_schema};
use serde_json::{Value, json};

#[test]
fn every_rule_compiles_and_is_cheap() {
    let mut count = 0;
    for (kind, crd) in ours() {
        let compiled = compile_schema(root(crd));
        assert!(
            !compiled.has_errors(),
            "{kind}: {:?}",
            compiled.compilation_errors()
        );
        walk(root(crd), kind, false, &mut count);
    }
    assert!(count >= 15, "only {count} rules");
}

/// Analyses the rules at and below a node. `repeated` tells whether the node is in a list or a map without a limit: a
/// rule there would be charged for as many entries as fit into a request.
fn walk(schema: &Value, path: &str, repeated: bool, count: &mut usize) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        *count += 1;
        let text = rule["rule"].as_str().unwrap();
        let compiled: CompiledSchema = compile_schema(schema);
        let warnings = analyze_rule(text, &compiled, ScopeContext::CrdValidation);
        assert!(warnings.is_empty(), "{path}: {warnings:?}");
        assert!(
            !repeated,
            "{path} is in an unlimited list or map and has a rule: {text}"
        );
        let message = rule["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && !message.contains('\n'),
            "{path}: {message}"
        );
    }
    for (step, inner) in children(schema) {
        let unlimited = match step.as_str() {
            "[]" => schema["maxItems"].is_null(),
            "{}" => schema["maxProperties"].is_null(),
            _ => false,
        };
        walk(inner, &format!("{path}{step}"), repeated || unlimited, count);
    }
}

/// Asks the rules of a kind about an object; the message of the first rule broken.
fn verdict(kind: &str, spec: &Value, old: Option<&Value>) -> Result<(), String> {
    let crd = &ours()[kind];
    let object = |spec: &Value| json!({ "spec": spec });
    let old = old.map(object);
    Validator::new()
        .validate(root(crd), &object(spec), old.as_ref())
        .map_err(|errors| errors.as_slice()[0].message.clone())
}

#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "the callers are literals")]
fn refused(kind: &str, spec: Value, message: &str) {
    let found = verdict(kind, &spec, None).expect_err("should have been refused");
    assert!(found.contains(message), "{found}");
}

#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "the callers are literals")]
fn accepted(kind: &str, spec: Value) {
    verdict(kind, &spec, None).unwrap();
}

#[test]
fn a_storage_has_exactly_the_block_of_its_provider() {
    let s3 = json!({"bucket": "b"});
    accepted("BackupStorage", json!({"storage": {"provider": "s3", "s3": s3}}));
    accepted(
        "BackupStorage",
        json!({"storage": {"provider": "local", "local": {"hostPath": {"path": "/x"}}}}),
    );
    accepted(
        "BackupStorage",
        json!({"storage": {"provider": "azure", "azure": {"container": "c"}}}),
    );
    refused("BackupStorage", json!({}), "storage is needed");
    refused(
        "BackupStorage",
        json!({"storage": {"s3": s3}}),
        "provider is needed",
    );
    refused(
        "BackupStorage",
        json!({"storage": {"provider": "s3"}}),
        "provider is needed",
    );
    refused(
        "BackupStorage",
        json!({"storage": {"provider": "gcs", "s3": s3}}),
        "provider is needed",
    );
    refused(
        "BackupStorage",
        json!({"storage": {"provider": "s3", "s3": s3, "gcs": s3}}),
        "provider is needed",
    );
    refused(
        "BackupStorage",
        json!({"storage": {"provider": "s3", "s3": {}}}),
        "bucket is needed",
    );
    refused(
        "BackupStorage",
        json!({"storage": {"provider": "azure", "azure": {"container": ""}}}),
        "container is needed",
    );
}

#[test]
fn a_restore_names_what_it_restores() {
    let source = |source: Value| json!({"dataSource": source});
    accepted("RestoreSession", source(json!({"snapshot": "s"})));
    accepted(
        "RestoreSession",
        source(json!({"snapshot": "latest", "repository": "r"})),
    );
    let time = "2026-01-01T00:00:00Z";
    accepted(
        "RestoreSession",
        source(json!({"repository": "r", "pitr": {"targetTime": time}})),
    );
    refused("RestoreSession", json!({}), "dataSource is needed");
    refused("RestoreSession", source(json!({})), "snapshot is needed");
    refused(
        "RestoreSession",
        source(json!({"snapshot": ""})),
        "snapshot is needed",
    );
    refused(
        "RestoreSession",
        source(json!({"snapshot": "latest"})),
        "repository is needed",
    );
    refused(
        "RestoreSession",
        source(json!({"snapshot": "latest", "repository": ""})),
        "repository is needed",
    );
    refused(
        "RestoreSession",
        source(json!({"pitr": {"targetTime": time}})),
        "repository is needed",
    );
    refused(
        "RestoreSession",
        source(json!({"repository": "r", "pitr": {}})),
        "targetTime is needed",
    );
}

#[test]
fn a_hook_has_one_action() {
    let get = json!({"port": 80});
    accepted("HookTemplate", json!({"executor": {"type": "Function"}}));
    accepted(
        "HookTemplate",
        json!({"action": {"httpGet": get, "containerName": "c"}}),
    );
    refused(
        "HookTemplate",
        json!({"action": {"httpGet": get, "tcpSocket": get}}),
        "only one of",
    );
}

#[test]
fn a_verifier_has_what_its_type_needs() {
    accepted("BackupVerifier", json!({"type": "RestoreOnly"}));
    accepted(
        "BackupVerifier",
        json!({"type": "Query", "query": {"mySQL": []}, "function": "f"}),
    );
    accepted(
        "BackupVerifier",
        json!({"type": "Script", "script": {"location": "/x"}, "function": "f"}),
    );
    refused(
        "BackupVerifier",
        json!({"type": "Query", "query": {}}),
        "query and function are needed",
    );
    refused(
        "BackupVerifier",
        json!({"type": "Script", "script": {}, "function": "f"}),
        "script.location",
    );
}

#[test]
fn what_must_not_change_does_not() {
    let session = json!({"invoker": {"kind": "BackupConfiguration", "name": "a"}, "session": "s"});
    let mut other = session.clone();
    other["session"] = json!("t");
    for kind in ["BackupSession", "BackupVerificationSession"] {
        verdict(kind, &session, Some(&session)).unwrap();
        let found = verdict(kind, &other, Some(&session)).unwrap_err();
        assert!(found.contains("can not be changed"), "{found}");
    }
    refused("BackupSession", json!({"session": "s"}), "invoker and session");

    let (here, there) = (json!({"path": "/a", "paused": true}), json!({"path": "/b"}));
    verdict("Repository", &here, Some(&json!({"path": "/a"}))).unwrap();
    verdict("Repository", &here, Some(&json!({}))).unwrap();
    for changed in [&there, &json!({})] {
        let found = verdict("Repository", changed, Some(&here)).unwrap_err();
        assert!(found.contains("path can not be changed"), "{found}");
    }
}
