//! `manifests/monitoring` speaks of metrics and labels that there are: a rule on a metric that nobody has is silent for
//! ever, which is worse than no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kubestash::operator::metrics::Metrics;
use kubestash::operator::object_metrics::samples;
use serde_json::{Value, json};

const CORE: &str = "core.kubestash.com";
const STORAGE: &str = "storage.kubestash.com";

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("manifests/monitoring")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// An object of each kind with everything that a metric comes from.
fn objects() -> Vec<(&'static str, &'static str, Value)> {
    let metadata = json!({"name": "a", "namespace": "demo", "creationTimestamp": "2026-01-01T00:00:00Z"});
    let with = |spec: Value, status: Value| json!({"metadata": metadata, "spec": spec, "status": status});
    vec![
        (
            CORE,
            "BackupConfiguration",
            with(
                json!({"sessions": [{"name": "daily"}]}),
                json!({"phase": "Ready"}),
            ),
        ),
        (
            CORE,
            "BackupSession",
            with(
                json!({"session": "daily", "invoker": {"name": "b"}}),
                json!({"phase": "Failed", "duration": "1m", "snapshots": [{"name": "s"}],
                    "conditions": [{"type": "MetricsPushed", "status": "True"}]}),
            ),
        ),
        (
            CORE,
            "RestoreSession",
            with(
                json!({}),
                json!({"phase": "Failed", "duration": "1m", "totalComponents": 1}),
            ),
        ),
        (
            STORAGE,
            "BackupStorage",
            with(
                json!({"storage": {"provider": "s3"}}),
                json!({"phase": "Ready", "totalSize": "1 KiB", "repositories": [{"name": "r", "size": "1 KiB"}]}),
            ),
        ),
        (
            STORAGE,
            "Repository",
            with(
                json!({"path": "/a"}),
                json!({"phase": "Ready", "integrity": false, "size": "1 KiB", "snapshotCount": 2, "lastBackupTime": "2026-01-01T00:00:00Z"}),
            ),
        ),
        (
            STORAGE,
            "Snapshot",
            with(
                json!({}),
                json!({"phase": "Failed", "size": "1 KiB", "snapshotTime": "2026-01-01T00:00:00Z", "totalComponents": 1}),
            ),
        ),
    ]
}

/// Every metric with its labels.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let phases = [
        "Ready",
        "NotReady",
        "Invalid",
        "Pending",
        "Running",
        "Succeeded",
        "Failed",
    ];
    for (group, kind, object) in objects() {
        for sample in samples(group, kind, &phases, &object) {
            let labels = sample.labels.into_iter().map(|(name, _)| name);
            known.entry(sample.name).or_default().extend(labels);
        }
    }
    let metrics = Metrics::default();
    metrics.reconciled("repository", "ok", std::time::Duration::from_millis(3));
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        let labels = rest
            .split(',')
            .filter_map(|l| Some(l.split_once('=')?.0.to_owned()));
        known.entry(name.to_owned()).or_default().extend(labels);
    }
    known
}

/// The metrics that an expression names, each with the labels that it selects by.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut all = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(is_name) {
        rest = &rest[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        if !(name.contains("kubestash_com_") || name.starts_with("kubestash_operator_")) {
            continue;
        }
        let selector = after
            .strip_prefix('{')
            .and_then(|s| s.split('}').next())
            .unwrap_or("");
        let labels = selector
            .split(',')
            .filter_map(|part| Some(part.split(['=', '!']).next()?.trim().to_owned()))
            .filter(|l| !l.is_empty())
            .collect();
        all.push((name.to_owned(), labels));
    }
    all
}

/// Every `expr` below a value.
fn expressions(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "expr" || key == "query" => all.push(text.clone()),
                    other => expressions(other, all),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|v| expressions(v, all)),
        _ => {}
    }
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_there_are() {
    let rules = kubestash::yaml::values(&read("prometheus-rule.yaml"))
        .unwrap()
        .remove(0);
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let known = known();
    let mut count = 0;
    for document in [&rules, &dashboard] {
        let mut all = Vec::new();
        expressions(document, &mut all);
        for expression in all {
            for (name, labels) in named(&expression) {
                count += 1;
                let has = known
                    .get(&name)
                    .unwrap_or_else(|| panic!("no metric is called {name} ({expression})"));
                for label in labels {
                    assert!(
                        has.contains(&label),
                        "{name} has no label {label:?} ({expression})"
                    );
                }
            }
        }
    }
    assert!(count > 18, "{count} metrics");
}

#[test]
fn every_alert_says_what_to_type() {
    let rules = kubestash::yaml::values(&read("prometheus-rule.yaml"))
        .unwrap()
        .remove(0);
    let mut alerts = 0;
    for group in rules["spec"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            alerts += 1;
            let text = rule["annotations"]["description"].as_str().unwrap();
            let command = text
                .split('`')
                .nth(1)
                .unwrap_or_else(|| panic!("{rule}: no command"));
            let words = command.replace("{{ $labels.", "x").replace(" }}", "");
            let parsed = kubestash::cli::definition()
                .try_get_matches_from(words.split_whitespace().skip(1))
                .map_err(|e| e.to_string());
            assert!(parsed.is_ok(), "{command}: {parsed:?}");
        }
    }
    assert!(alerts >= 8, "{alerts} alerts");
    let monitor = kubestash::yaml::values(&read("service-monitor.yaml"))
        .unwrap()
        .remove(0);
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], "metrics");
}

/// The rules as Prometheus itself takes them.
fn rules() -> Value {
    let rule = kubestash::yaml::values(&read("prometheus-rule.yaml"))
        .unwrap()
        .remove(0);
    rule["spec"].clone()
}

const ALERTS: &str = include_str!("data/alerts.yaml");

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let cases = kubestash::yaml::values(ALERTS).unwrap().remove(0);
    let known = known();
    let mut told: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for case in cases["tests"].as_array().unwrap() {
        for series in case["input_series"].as_array().unwrap() {
            for (name, labels) in named(series["series"].as_str().unwrap()) {
                let has = known
                    .get(&name)
                    .unwrap_or_else(|| panic!("no metric is called {name}"));
                // What Prometheus adds itself.
                let other = labels.iter().find(|l| l.as_str() != "pod" && !has.contains(*l));
                assert_eq!(other, None, "{name} has no such label");
            }
        }
        for expected in case["alert_rule_test"].as_array().unwrap() {
            let fires = !expected["exp_alerts"].as_array().unwrap().is_empty();
            let alert = expected["alertname"].as_str().unwrap().to_owned();
            told.entry(alert).or_default().insert(fires);
        }
    }
    let groups = rules()["groups"].as_array().unwrap().clone();
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let alert = rule["alert"].as_str().unwrap();
        let both = told.get(alert).is_some_and(|told| told.len() == 2);
        assert!(both, "{alert} is not shown firing and silent: {told:?}");
    }
}

#[test]
fn alerts_fire_when_they_should_as_prometheus_itself_evaluates_them() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/prometheus/usr/bin/promtool");
    let promtool = if here.exists() { here } else { "promtool".into() };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.yaml"), rules().to_string()).unwrap();
    std::fs::write(dir.path().join("alerts.yaml"), ALERTS).unwrap();
    for args in [["check", "rules", "rules.yaml"], ["test", "rules", "alerts.yaml"]] {
        let run = std::process::Command::new(&promtool)
            .args(args)
            .current_dir(dir.path())
            .output();
        let Ok(run) = run else {
            eprintln!("SKIPPED: alerts as Prometheus evaluates them (needs promtool: run `make test`)");
            return;
        };
        let said = [run.stdout, run.stderr].concat();
        assert!(
            run.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}
