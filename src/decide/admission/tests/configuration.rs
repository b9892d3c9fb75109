//! BackupConfigurations.

use super::*;

#[test]
fn a_good_configuration_passes_and_missing_things_only_warn() {
    let verdict = admit(
        "BackupConfiguration",
        &configuration(json!({})),
        None,
        &Facts::default(),
    );
    assert_eq!(verdict.denials, []);
    assert!(
        verdict
            .warnings
            .iter()
            .any(|w| w.contains("BackupStorage demo/s3 does not exist"))
    );
    assert!(
        verdict
            .warnings
            .iter()
            .any(|w| w.contains("RetentionPolicy demo/keep does not exist"))
    );
}

#[test]
fn backends_default_to_the_default_storage_and_policy() {
    let known = facts(&[
        storage(
            "ops",
            "shared",
            json!({"default": true, "usagePolicy": {"allowedNamespaces": {"from": "All"}}}),
        ),
        policy("demo", "own", json!({"default": true})),
    ]);
    let mut bare = configuration(json!({"backends": []}));
    bare["spec"]["sessions"][0]["repositories"][0]
        .as_object_mut()
        .unwrap()
        .remove("backend");
    let verdict = admit("BackupConfiguration", &bare, None, &known);
    assert_eq!(verdict.denials, []);
    assert_eq!(
        verdict.patched.unwrap()["spec"]["backends"],
        json!([{"storageRef": {"name": "shared", "namespace": "ops"}, "retentionPolicy": {"name": "own", "namespace": "demo"}}])
    );
    assert_eq!(
        denied("BackupConfiguration", &bare, &Facts::default()),
        ["spec.backends"]
    );
}

#[test]
fn each_part_of_a_configuration_is_needed() {
    let base = || configuration(json!({}));
    let session = "/spec/sessions/0";
    let repository = "/spec/sessions/0/repositories/0";
    let cases = [
        (
            without(base(), "/spec/backends/0", "retentionPolicy"),
            "spec.backends[0].retentionPolicy",
        ),
        (
            without(base(), "/spec/backends/0", "storageRef"),
            "spec.backends[0].storageRef",
        ),
        (without(base(), "/spec", "sessions"), "spec.sessions"),
        (without(base(), session, "name"), "spec.sessions[0].name"),
        (
            without(base(), session, "scheduler"),
            "spec.sessions[0].scheduler",
        ),
        (
            edited(base(), "/spec/sessions/0/scheduler/schedule", json!("often")),
            "spec.sessions[0].scheduler.schedule",
        ),
        (without(base(), session, "addon"), "spec.sessions[0].addon"),
        (
            edited(base(), "/spec/sessions/0/addon/name", json!("")),
            "spec.sessions[0].addon.name",
        ),
        (
            edited(base(), "/spec/sessions/0/addon/tasks", json!([])),
            "spec.sessions[0].addon.tasks",
        ),
        (
            edited(base(), "/spec/sessions/0/addon/tasks/0/name", json!("")),
            "spec.sessions[0].addon.tasks[0].name",
        ),
        (
            without(base(), session, "repositories"),
            "spec.sessions[0].repositories",
        ),
        (
            edited(base(), &format!("{repository}/name"), json!("")),
            "spec.sessions[0].repositories[0].name",
        ),
        (
            edited(base(), &format!("{repository}/backend"), json!("other")),
            "spec.sessions[0].repositories[0].backend",
        ),
        (
            edited(base(), &format!("{repository}/directory"), json!("")),
            "spec.sessions[0].repositories[0].directory",
        ),
        (
            edited(base(), &format!("{repository}/directory"), json!("/a?b")),
            "spec.sessions[0].repositories[0].directory",
        ),
        (
            edited(base(), &format!("{repository}/directory"), json!("../other")),
            "spec.sessions[0].repositories[0].directory",
        ),
    ];
    for (given, path) in cases {
        assert_eq!(denied("BackupConfiguration", &given, &Facts::default()), [path]);
    }
}

#[test]
fn every_violation_is_listed_at_once() {
    let broken = edited(
        without(configuration(json!({})), "/spec/sessions/0", "scheduler"),
        "/spec/sessions/0/repositories/0/directory",
        json!(""),
    );
    let verdict = admit("BackupConfiguration", &broken, None, &Facts::default());
    assert_eq!(
        paths(&verdict),
        [
            "spec.sessions[0].scheduler",
            "spec.sessions[0].repositories[0].directory"
        ]
    );
    let message = verdict.message("BackupConfiguration", &broken).unwrap();
    assert!(
        message.starts_with("BackupConfiguration demo/web is not valid: spec.sessions[0].scheduler: "),
        "{message}"
    );
}

#[test]
fn names_are_unique_where_they_must_be() {
    let mut given = configuration(json!({}));
    let backend = given["spec"]["backends"][0].clone();
    given["spec"]["backends"].as_array_mut().unwrap().push(backend);
    let session = given["spec"]["sessions"][0].clone();
    given["spec"]["sessions"].as_array_mut().unwrap().push(session);
    let repository = given["spec"]["sessions"][0]["repositories"][0].clone();
    given["spec"]["sessions"][0]["repositories"]
        .as_array_mut()
        .unwrap()
        .push(repository);
    assert_eq!(
        denied("BackupConfiguration", &given, &Facts::default()),
        [
            "spec.backends[1].name",
            "spec.sessions[0].repositories[1].name",
            "spec.sessions[1].name"
        ]
    );
}

#[test]
fn an_empty_backend_name_means_the_only_one() {
    let one = edited(
        configuration(json!({})),
        "/spec/sessions/0/repositories/0/backend",
        json!(""),
    );
    assert!(denied("BackupConfiguration", &one, &Facts::default()).is_empty());
    let mut two = one;
    let mut second = two["spec"]["backends"][0].clone();
    second["name"] = json!("second");
    two["spec"]["backends"].as_array_mut().unwrap().push(second);
    let verdict = admit("BackupConfiguration", &two, None, &Facts::default());
    assert_eq!(paths(&verdict), ["spec.sessions[0].repositories[0].backend"]);
    assert!(verdict.denials[0].message.contains("main, second"));
}

fn repository(namespace: &str, name: &str, app: Value, storage: Value, path: &str) -> Value {
    object(
        "Repository",
        namespace,
        name,
        json!({"appRef": app, "storageRef": storage, "path": path}),
    )
}

#[test]
fn an_existing_repository_must_be_the_same_one() {
    let app = json!({"apiGroup": "apps", "kind": "StatefulSet", "name": "web"});
    let storage = json!({"name": "s3"});
    // Empty namespaces mean the own one on both sides.
    let same = facts(&[repository(
        "demo",
        "web-repo",
        app.clone(),
        storage.clone(),
        "demo/web",
    )]);
    assert!(denied("BackupConfiguration", &configuration(json!({})), &same).is_empty());
    let path = "spec.sessions[0].repositories[0]";
    let other_app = json!({"apiGroup": "apps", "kind": "StatefulSet", "name": "db"});
    let cases = [
        (
            repository("demo", "web-repo", other_app, storage.clone(), "demo/web"),
            "name",
        ),
        (
            repository(
                "demo",
                "web-repo",
                app.clone(),
                json!({"name": "gcs"}),
                "demo/web",
            ),
            "backend",
        ),
        (
            repository("demo", "web-repo", app.clone(), storage.clone(), "demo/old"),
            "directory",
        ),
        (
            repository(
                "else",
                "web-repo",
                app,
                json!({"name": "s3", "namespace": "demo"}),
                "/demo/web/",
            ),
            "directory",
        ),
    ];
    for (known, field) in cases {
        assert_eq!(
            denied("BackupConfiguration", &configuration(json!({})), &facts(&[known])),
            [format!("{path}.{field}")]
        );
    }
}

#[test]
fn a_configuration_without_target_has_its_own_repositories() {
    let given = without(configuration(json!({})), "/spec", "target");
    let own = json!({"apiGroup": "na", "kind": "", "name": "na"});
    let known = facts(&[repository(
        "demo",
        "web-repo",
        own,
        json!({"name": "s3"}),
        "demo/web",
    )]);
    assert!(denied("BackupConfiguration", &given, &known).is_empty());
    let foreign = facts(&[repository(
        "demo",
        "web-repo",
        json!({"name": "x"}),
        json!({"name": "s3"}),
        "demo/web",
    )]);
    assert_eq!(
        denied("BackupConfiguration", &given, &foreign),
        ["spec.sessions[0].repositories[0].name"]
    );
}

#[test]
fn one_directory_is_one_repository() {
    let with_second = |name: &str, backend: &str, directory: &str| {
        let mut given = configuration(json!({}));
        let mut backends = given["spec"]["backends"].as_array().unwrap().clone();
        backends.push(
            json!({"name": "second", "storageRef": {"name": "t"}, "retentionPolicy": {"name": "keep"}}),
        );
        given["spec"]["backends"] = json!(backends);
        let mut session = given["spec"]["sessions"][0].clone();
        session["name"] = json!("weekly");
        session["repositories"][0]["name"] = json!(name);
        session["repositories"][0]["backend"] = json!(backend);
        session["repositories"][0]["directory"] = json!(directory);
        given["spec"]["sessions"].as_array_mut().unwrap().push(session);
        denied("BackupConfiguration", &given, &Facts::default())
    };
    let path = "spec.sessions[1].repositories[0].directory";
    assert!(with_second("web-repo", "main", "demo/web/").is_empty());
    assert_eq!(with_second("other", "main", "/demo/web"), [path]);
    assert_eq!(with_second("web-repo", "second", "/demo/web"), [path]);
    assert_eq!(with_second("web-repo", "main", "/demo/new"), [path]);
}

#[test]
fn usage_policies_bind_storages_policies_and_hooks() {
    let mut given = configuration(json!({}));
    given["spec"]["backends"][0]["storageRef"] = json!({"name": "s", "namespace": "ops"});
    given["spec"]["backends"][0]["retentionPolicy"] = json!({"name": "k", "namespace": "ops"});
    given["spec"]["sessions"][0]["hooks"] =
        json!({"preBackup": [{"name": "h", "hookTemplate": {"name": "h", "namespace": "ops"}}]});
    let hook = object(
        "HookTemplate",
        "ops",
        "h",
        json!({"action": {"tcpSocket": {"port": 1}}, "executor": {"type": "Operator"}}),
    );
    let closed = facts(&[
        storage("ops", "s", json!({})),
        policy("ops", "k", json!({})),
        hook.clone(),
    ]);
    assert_eq!(
        denied("BackupConfiguration", &given, &closed),
        [
            "spec.backends[0].storageRef",
            "spec.backends[0].retentionPolicy",
            "spec.sessions[0].hooks.preBackup[0].hookTemplate"
        ]
    );
    let by_team = json!({"usagePolicy": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}});
    let mut open_hook = hook;
    json_patch::merge(&mut open_hook["spec"], &by_team);
    let open = facts(&[
        storage("ops", "s", by_team.clone()),
        policy("ops", "k", by_team),
        open_hook,
        json!({"kind": "Namespace", "metadata": {"name": "demo", "labels": {"team": "a"}}}),
    ]);
    assert!(denied("BackupConfiguration", &given, &open).is_empty());
}

#[test]
fn unknown_addons_and_tasks_are_worth_a_warning() {
    let addon = object(
        "Addon",
        "",
        "workload-addon",
        json!({"backupTasks": [{"name": "logical-backup", "function": "f"}]}),
    );
    let known = facts(&[addon]);
    let fine = admit("BackupConfiguration", &configuration(json!({})), None, &known);
    assert!(
        !fine.warnings.iter().any(|w| w.contains("addon")),
        "{:?}",
        fine.warnings
    );
    let typo = edited(
        configuration(json!({})),
        "/spec/sessions/0/addon/tasks/0/name",
        json!("LogicalBackup"),
    );
    let verdict = admit("BackupConfiguration", &typo, None, &known);
    assert!(
        verdict.admitted()
            && verdict
                .warnings
                .iter()
                .any(|w| w.contains("it has: logical-backup"))
    );
}

#[test]
fn a_change_that_leaves_the_spec_alone_passes() {
    let closed = facts(&[storage(
        "demo",
        "s3",
        json!({"usagePolicy": {"allowedNamespaces": {"from": "Selector"}}}),
    )]);
    let old = configuration(json!({}));
    assert!(!admit("BackupConfiguration", &old, None, &closed).admitted());
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert!(admit("BackupConfiguration", &labelled, Some(&old), &closed).admitted());
}
