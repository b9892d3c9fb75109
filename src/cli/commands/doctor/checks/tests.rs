use serde_json::json;

use super::super::facts::{RIGHTS, Read};
use super::*;

fn forbidden<T>() -> Read<T> {
    Err(Error::Forbidden {
        message: "nobody may not list things".to_owned(),
    })
}

fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

/// An installation without a fault.
fn sound() -> Facts {
    let image = concat!("ghcr.io/x/kubectl-kubestash:", env!("CARGO_PKG_VERSION"));
    Facts {
        namespace: "demo".to_owned(),
        server: Ok((1, 33)),
        definitions: Ok(vec![
            json!({"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Established", "status": "True"}]}}),
        ]),
        wanted_definitions: vec!["a".to_owned()],
        differing: Ok(Vec::new()),
        operators: Ok(vec![json!({
            "metadata": {"namespace": "kubestash"}, "status": {"availableReplicas": 1},
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        })]),
        operator_pods: Ok(vec![
            json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [{"restartCount": 1}]}}),
        ]),
        lacking: Ok(Vec::new()),
        webhooks: Ok(vec![json!({}), json!({})]),
        answers: Ok(true),
        addons: Ok(vec![json!({"metadata": {"name": "pvc-addon"}})]),
        functions: Ok(Vec::new()),
        wanted_catalog: vec![("Addon".to_owned(), "pvc-addon".to_owned())],
        storages: Ok(vec![
            json!({"metadata": {"name": "s", "namespace": "demo"}, "status": {"phase": "Ready"}}),
        ]),
        configurations: Ok(Vec::new()),
        sessions: Ok(Vec::new()),
        restores: Ok(Vec::new()),
        job_pods: Ok(Vec::new()),
        neighbours: Ok(Vec::new()),
        rights: RIGHTS.iter().map(|_| Ok(true)).collect(),
    }
}

fn named(facts: &Facts, name: &str) -> Check {
    let found = all(facts, now()).into_iter().find(|c| c.name == name);
    found.unwrap_or_else(|| panic!("no check {name}"))
}

#[test]
fn a_sound_installation_passes_everything() {
    let checks = all(&sound(), now());
    assert!(checks.len() >= 12);
    for check in checks {
        assert_eq!(check.state, State::Passed, "{check:?}");
        assert!(check.fixes.is_empty() && !check.why.is_empty(), "{check:?}");
    }
}

#[test]
fn each_fault_is_found_and_has_a_fix() {
    type Fault = (&'static str, State, &'static str, fn(&mut Facts));
    let faults: &[Fault] = &[
        ("API server", State::Failed, "older than 1.29", |f| {
            f.server = Ok((1, 20));
        }),
        ("definitions", State::Failed, "not served: b", |f| {
            f.wanted_definitions.push("b".to_owned());
        }),
        (
            "definitions are this program's",
            State::Warning,
            "1 differ: a",
            |f| f.differing = Ok(vec!["a".to_owned()]),
        ),
        ("operator", State::Failed, "not installed", |f| {
            f.operators = Ok(Vec::new());
        }),
        ("operator", State::Failed, "ImagePullBackOff", |f| {
            f.operators = Ok(vec![json!({"metadata": {"namespace": "k"}})]);
            f.operator_pods = Ok(vec![
                json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}),
            ]);
        }),
        ("operator", State::Failed, "2 namespaces: a, b", |f| {
            f.operators = Ok(vec![
                json!({"metadata": {"namespace": "a"}}),
                json!({"metadata": {"namespace": "b"}}),
            ]);
        }),
        ("versions", State::Warning, "operator runs v9.9.9", |f| {
            f.operators.as_mut().unwrap()[0]["spec"]["template"]["spec"]["containers"][0]["image"] =
                json!("r:5000/x:v9.9.9@sha256:0");
        }),
        ("versions", State::Warning, "no version", |f| {
            f.operators.as_mut().unwrap()[0]["spec"]["template"]["spec"]["containers"][0]["image"] =
                json!("r:5000/x");
        }),
        ("operator restarts", State::Warning, "7 times", |f| {
            f.operator_pods.as_mut().unwrap()[0]["status"]["containerStatuses"][0]["restartCount"] = json!(7);
        }),
        ("webhooks", State::Failed, "not registered", |f| {
            f.webhooks = Ok(vec![json!({})]);
        }),
        ("webhooks", State::Failed, "do not answer", |f| {
            f.answers = Ok(false);
        }),
        ("operator", State::Failed, "scaled to 0", |f| {
            let operator = &mut f.operators.as_mut().unwrap()[0];
            operator["spec"]["replicas"] = json!(0);
            operator["status"] = json!({});
        }),
        ("webhooks", State::Failed, "the operator does not run", |f| {
            f.operators.as_mut().unwrap()[0]["status"] = json!({});
            f.answers = Ok(false);
        }),
        (
            "operator's rights",
            State::Failed,
            "ClusterRoleBinding kubestash-operator",
            |f| f.lacking = Ok(vec!["ClusterRoleBinding kubestash-operator".to_owned()]),
        ),
        (
            "last backups",
            State::Warning,
            "1 of 1 ended badly: demo/web",
            |f| {
                let run = |name: &str, at: &str, phase: &str| {
                    json!({"metadata": {"name": name, "namespace": "demo", "creationTimestamp": at},
                    "spec": {"invoker": {"name": "web"}, "session": "s"}, "status": {"phase": phase}})
                };
                f.sessions = Ok(vec![
                    run("b", "2026-01-01T01:00:00Z", "Failed"),
                    run("a", "2026-01-01T00:00:00Z", "Succeeded"),
                ]);
            },
        ),
        ("catalog", State::Failed, "Addon pvc-addon", |f| {
            f.addons = Ok(Vec::new());
        }),
        ("your rights", State::Warning, "cannot restore", |f| {
            f.rights[1] = Ok(false);
        }),
        ("storages", State::Failed, "1 of 1 not Ready: demo/s", |f| {
            f.storages.as_mut().unwrap()[0]["status"]["phase"] = json!("NotReady");
        }),
        ("images of Jobs", State::Failed, "pod demo/j", |f| {
            f.job_pods = Ok(vec![json!({
                "metadata": {"name": "j", "namespace": "demo"},
                "status": {"initContainerStatuses": [{"image": "x:1", "state": {"waiting": {"reason": "ErrImagePull"}}}]},
            })]);
        }),
        (
            "backups apart from data",
            State::Warning,
            "demo/s: claim c is mounted by pod db-0, too",
            |f| {
                f.storages.as_mut().unwrap()[0]["spec"] =
                    json!({"storage": {"local": {"persistentVolumeClaim": {"claimName": "c"}}}});
                let pod = |name: &str, namespace: &str, phase: &str| {
                    json!({"metadata": {"name": name, "namespace": namespace}, "status": {"phase": phase},
                        "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}})
                };
                f.neighbours = Ok(vec![
                    pod("ended", "demo", "Succeeded"),
                    pod("elsewhere", "other", "Running"),
                    pod("db-0", "demo", "Running"),
                ]);
            },
        ),
        ("sessions that run long", State::Warning, "demo/b", |f| {
            f.sessions = Ok(vec![json!({
                "metadata": {"name": "b", "namespace": "demo", "creationTimestamp": "2025-12-30T00:00:00Z"},
                "status": {"phase": "Running"},
            })]);
        }),
        ("deletions", State::Failed, "demo/s", |f| {
            f.storages.as_mut().unwrap()[0]["metadata"]["deletionTimestamp"] = json!("2026-01-01T23:00:00Z");
        }),
    ];
    for (name, state, words, fault) in faults {
        let mut facts = sound();
        fault(&mut facts);
        let check = named(&facts, name);
        assert_eq!(check.state, *state, "{check:?}");
        assert!(check.finding.contains(words), "{check:?} lacks {words:?}");
        assert!(!check.fixes.is_empty(), "{check:?}");
    }
}

#[test]
fn what_may_not_be_read_is_a_warning() {
    let facts = Facts {
        server: forbidden(),
        definitions: forbidden(),
        differing: forbidden(),
        operators: forbidden(),
        operator_pods: forbidden(),
        lacking: forbidden(),
        webhooks: forbidden(),
        answers: forbidden(),
        addons: forbidden(),
        functions: forbidden(),
        storages: forbidden(),
        configurations: forbidden(),
        sessions: forbidden(),
        restores: forbidden(),
        job_pods: forbidden(),
        neighbours: forbidden(),
        ..sound()
    };
    for check in all(&facts, now()) {
        assert_ne!(check.state, State::Failed, "{check:?}");
    }
    assert!(named(&facts, "operator").finding.contains("may not list"));
}
