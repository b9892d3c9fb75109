//! All other kinds.

use super::*;

#[test]
fn defaults_are_filled_in_and_reported() {
    let given = storage(
        "demo",
        "s3",
        json!({"storage": {"s3": {"prefix": "p/", "endpoint": "http://m:9000/"}}}),
    );
    let verdict = admit("BackupStorage", &given, None, &Facts::default());
    let patched = verdict.patched.unwrap();
    assert_eq!(
        patched["spec"]["usagePolicy"],
        json!({"allowedNamespaces": {"from": "Same"}})
    );
    assert_eq!(patched["spec"]["storage"]["s3"]["prefix"], "p");
    assert_eq!(patched["spec"]["storage"]["s3"]["endpoint"], "http://m:9000");
    assert_eq!(
        admit("BackupStorage", &patched, None, &Facts::default()).patched,
        None
    );

    let policy = admit(
        "RetentionPolicy",
        &policy("demo", "keep", json!({})),
        None,
        &Facts::default(),
    )
    .patched
    .unwrap();
    assert_eq!(policy["spec"]["failedSnapshots"], json!({"last": 1}));
}

#[test]
fn one_default_storage_per_namespace() {
    let known = facts(&[storage(
        "demo",
        "old",
        json!({"default": true, "storage": {"s3": {"prefix": "other"}}}),
    )]);
    let new = storage("demo", "new", json!({"default": true}));
    assert_eq!(denied("BackupStorage", &new, &known), ["spec.default"]);
    assert!(
        denied(
            "BackupStorage",
            &storage("else", "new", json!({"default": true})),
            &known
        )
        .is_empty()
    );
    // Itself is not another one.
    assert!(
        denied(
            "BackupStorage",
            &storage(
                "demo",
                "old",
                json!({"default": true, "storage": {"s3": {"prefix": "other"}}})
            ),
            &known
        )
        .is_empty()
    );
}

#[test]
fn a_storage_in_use_keeps_its_place_but_not_its_policies() {
    let mut old = storage("demo", "s3", json!({}));
    old["status"] = json!({"repositories": [{"name": "r", "namespace": "demo", "path": "p"}]});
    let moved = edited(old.clone(), "/spec/storage/s3/prefix", json!("elsewhere"));
    assert_eq!(
        paths(&admit("BackupStorage", &moved, Some(&old), &Facts::default())),
        ["spec.storage"]
    );
    let slashed = edited(old.clone(), "/spec/storage/s3/prefix", json!("p/"));
    assert!(admit("BackupStorage", &slashed, Some(&old), &Facts::default()).admitted());
    let mut opened = old.clone();
    opened["spec"]["usagePolicy"] = json!({"allowedNamespaces": {"from": "All"}});
    opened["spec"]["deletionPolicy"] = json!("WipeOut");
    assert!(admit("BackupStorage", &opened, Some(&old), &Facts::default()).admitted());
    old["status"] = json!({});
    assert!(admit("BackupStorage", &moved, Some(&old), &Facts::default()).admitted());
}

#[test]
fn two_storages_may_not_share_a_place_and_the_endpoint_is_part_of_it() {
    let known = facts(&[storage("ops", "first", json!({}))]);
    let verdict = admit(
        "BackupStorage",
        &storage("demo", "second", json!({})),
        None,
        &known,
    );
    assert_eq!(paths(&verdict), ["spec.storage"]);
    assert!(verdict.denials[0].message.contains("ops/first"));
    let elsewhere = storage(
        "demo",
        "second",
        json!({"storage": {"s3": {"endpoint": "http://other:9000"}}}),
    );
    assert!(denied("BackupStorage", &elsewhere, &known).is_empty());
    let nested = admit(
        "BackupStorage",
        &storage("demo", "x", json!({"storage": {"s3": {"prefix": "p/q"}}})),
        None,
        &known,
    );
    assert!(nested.admitted() && nested.warnings.iter().any(|w| w.contains("ops/first")));
}

#[test]
fn a_prefix_that_restic_reads_otherwise_is_refused_unless_it_is_there_already() {
    let odd = storage("demo", "s", json!({"storage": {"s3": {"prefix": "a%20b"}}}));
    assert_eq!(denied("BackupStorage", &odd, &Facts::default()), ["spec.storage"]);
    assert!(admit("BackupStorage", &odd, Some(&odd), &Facts::default()).admitted());
}

#[test]
fn a_volume_over_the_program_is_worth_a_warning() {
    let local = |path: &str| {
        json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "demo"}, "spec": {"storage": {"provider": "local",
            "local": {"mountPath": path, "hostPath": {"path": "/x"}}}}})
    };
    let warned = |path: &str| {
        let verdict = admit("BackupStorage", &local(path), None, &Facts::default());
        assert!(verdict.admitted());
        verdict.warnings.iter().any(|w| w.contains("mountPath"))
    };
    for path in ["/kubestash", "/kubestash/data", "kubestash/", "/a/../b"] {
        assert!(warned(path), "{path}");
    }
    for path in ["/kubestash-data", "/backups/kubestash"] {
        assert!(!warned(path), "{path}");
    }
}

#[test]
fn a_selector_policy_needs_its_selector() {
    let open = json!({"usagePolicy": {"allowedNamespaces": {"from": "Selector"}}});
    let path = "spec.usagePolicy.allowedNamespaces.selector";
    assert_eq!(
        denied(
            "BackupStorage",
            &storage("demo", "s", open.clone()),
            &Facts::default()
        ),
        [path]
    );
    assert_eq!(
        denied(
            "RetentionPolicy",
            &policy("demo", "p", open.clone()),
            &Facts::default()
        ),
        [path]
    );
    let empty = json!({"usagePolicy": {}});
    assert!(denied("BackupStorage", &storage("demo", "s", empty), &Facts::default()).is_empty());
}

#[test]
fn a_repository_never_moves() {
    let old = object(
        "Repository",
        "demo",
        "r",
        json!({"path": "a", "appRef": {"name": "x"}, "storageRef": {"name": "s"}}),
    );
    let new = edited(old.clone(), "/spec/path", json!("b"));
    assert_eq!(
        paths(&admit("Repository", &new, Some(&old), &Facts::default())),
        ["spec.path"]
    );
    let mut going = new.clone();
    going["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
    assert!(admit("Repository", &going, Some(&old), &Facts::default()).admitted());
}

#[test]
fn retention_policies_say_something_readable() {
    let bare = object("RetentionPolicy", "demo", "p", json!({}));
    assert_eq!(denied("RetentionPolicy", &bare, &Facts::default()), ["spec"]);
    let unreadable = policy("demo", "p", json!({"maxRetentionPeriod": "3 months"}));
    assert_eq!(
        denied("RetentionPolicy", &unreadable, &Facts::default()),
        ["spec.maxRetentionPeriod"]
    );
    let negative = policy("demo", "p", json!({"successfulSnapshots": {"last": -1}}));
    assert_eq!(
        denied("RetentionPolicy", &negative, &Facts::default()),
        ["spec.successfulSnapshots.last"]
    );
    let known = facts(&[policy("demo", "other", json!({"default": true}))]);
    assert_eq!(
        denied(
            "RetentionPolicy",
            &policy("demo", "p", json!({"default": true})),
            &known
        ),
        ["spec.default"]
    );
}

#[test]
fn runs_are_never_changed() {
    for kind in ["BackupSession", "BackupVerificationSession"] {
        let old = object(
            kind,
            "demo",
            "s",
            json!({"invoker": {"kind": "BackupConfiguration", "name": "web"}, "session": "a"}),
        );
        let new = edited(old.clone(), "/spec/session", json!("b"));
        assert_eq!(paths(&admit(kind, &new, Some(&old), &Facts::default())), ["spec"]);
        assert!(admit(kind, &old, Some(&old), &Facts::default()).admitted());
    }
}

#[test]
fn blueprints_need_a_template_they_may_fill() {
    let bare = object("BackupBlueprint", "demo", "b", json!({}));
    assert_eq!(
        denied("BackupBlueprint", &bare, &Facts::default()),
        ["spec.backupConfigurationTemplate"]
    );
    let given = object(
        "BackupBlueprint",
        "demo",
        "b",
        json!({"backupConfigurationTemplate": {"backends": [{"storageRef": {"name": "s", "namespace": "ops"}}],
        "sessions": [{"name": "s", "scheduler": {"schedule": "${schedule}", "jobTemplate": {}}}]}}),
    );
    assert!(denied("BackupBlueprint", &given, &Facts::default()).is_empty());
    assert_eq!(
        denied(
            "BackupBlueprint",
            &given,
            &facts(&[storage("ops", "s", json!({}))])
        ),
        ["spec.backupConfigurationTemplate.backends[0].storageRef"]
    );
    let without_ref = object(
        "BackupBlueprint",
        "demo",
        "b",
        json!({"backupConfigurationTemplate": {"backends": [{"name": "x"}]}}),
    );
    assert_eq!(
        denied("BackupBlueprint", &without_ref, &Facts::default()),
        ["spec.backupConfigurationTemplate.backends[0].storageRef"]
    );
}

#[test]
fn verifiers_need_what_their_type_needs() {
    let base = json!({"restoreOption": {"addonInfo": {"name": "a"}}, "scheduler": {"schedule": "@daily", "jobTemplate": {}}});
    let with = |extra: Value| {
        let mut spec = base.clone();
        json_patch::merge(&mut spec, &extra);
        denied(
            "BackupVerifier",
            &object("BackupVerifier", "demo", "v", spec),
            &Facts::default(),
        )
    };
    assert!(with(json!({"type": "RestoreOnly"})).is_empty());
    assert_eq!(with(json!({})), ["spec.type"]);
    assert_eq!(with(json!({"type": "Query"})), ["spec.query", "spec.function"]);
    assert_eq!(
        with(json!({"type": "Script", "function": "f", "script": {}})),
        ["spec.script.location"]
    );
    assert_eq!(
        with(json!({"type": "RestoreOnly", "scheduler": null})),
        ["spec.scheduler"]
    );
    assert_eq!(
        with(json!({"type": "RestoreOnly", "restoreOption": {"addonInfo": null}})),
        ["spec.restoreOption.addonInfo"]
    );
}

#[test]
fn hook_templates_need_an_action_and_an_executor() {
    let check = |spec: Value| {
        denied(
            "HookTemplate",
            &object("HookTemplate", "demo", "h", spec),
            &Facts::default(),
        )
    };
    let action = json!({"exec": {"command": ["sync"]}});
    assert_eq!(check(json!({})), ["spec.executor", "spec.action"]);
    assert!(
        check(
            json!({"action": action, "executor": {"type": "Pod", "pod": {"selector": "app=web,tier!=cache"}}})
        )
        .is_empty()
    );
    assert_eq!(
        check(json!({"action": action, "executor": {"type": "Pod"}})),
        ["spec.executor.pod"]
    );
    assert_eq!(
        check(json!({"action": action, "executor": {"type": "Pod", "pod": {"selector": ""}}})),
        ["spec.executor.pod.selector"]
    );
    assert_eq!(
        check(json!({"action": action, "executor": {"type": "Pod", "pod": {"selector": "app=web,db"}}})),
        ["spec.executor.pod.selector"]
    );
    assert_eq!(
        check(json!({"executor": {"type": "Function"}})),
        ["spec.executor.function"]
    );
}

#[test]
fn restores_need_a_source() {
    let check = |spec: Value| {
        denied(
            "RestoreSession",
            &object("RestoreSession", "demo", "r", spec),
            &Facts::default(),
        )
    };
    assert_eq!(check(json!({})), ["spec.dataSource"]);
    assert_eq!(check(json!({"dataSource": {}})), ["spec.dataSource.snapshot"]);
    assert_eq!(
        check(json!({"dataSource": {"snapshot": "latest"}})),
        ["spec.dataSource.repository"]
    );
    assert!(check(json!({"dataSource": {"snapshot": "latest", "repository": "r"}})).is_empty());
    assert!(check(json!({"dataSource": {"snapshot": "r-1"}})).is_empty());
    assert_eq!(
        check(json!({"dataSource": {"pitr": {}}})),
        ["spec.dataSource.pitr.targetTime", "spec.dataSource.repository"]
    );
    assert!(
        check(json!({"dataSource": {"repository": "r", "pitr": {"targetTime": "2026-01-01T00:00:00Z"}}}))
            .is_empty()
    );
}
