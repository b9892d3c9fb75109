//! `/metrics` on loopback: the operator's own counters and the gauges of kubestash-api 6.15, computed from the objects.
//!
//! Objects are listed when somebody scrapes, never otherwise, at most every [`FRESH_FOR`], page by page and from the API
//! server's watch cache. [`samples`] is pure: one object in, its gauges out, named `<group>_<kind>_<metric>`.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use prometheus_client::{
    encoding::text,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Mutex};

use super::{Context, listen};

/// Scrapes closer together than this share one reading of the objects.
const FRESH_FOR: Duration = Duration::from_secs(10);
/// The longest one reading may take.
const READ_WITHIN: Duration = Duration::from_secs(20);

const CORE: &str = "core.kubestash.com";
const STORAGE: &str = "storage.kubestash.com";

/// The kinds with gauges: group, kind, plural, phases.
const KINDS: &[(&str, &str, &str, &[&str])] = &[
    (
        CORE,
        "BackupConfiguration",
        "backupconfigurations",
        &["NotReady", "Ready", "Invalid"],
    ),
    (
        CORE,
        "BackupSession",
        "backupsessions",
        &["Pending", "Running", "Succeeded", "Failed", "Skipped"],
    ),
    (
        CORE,
        "RestoreSession",
        "restoresessions",
        &["Pending", "Running", "Failed", "Succeeded", "Invalid", "Unknown"],
    ),
    (STORAGE, "BackupStorage", "backupstorages", &["Ready", "NotReady"]),
    (STORAGE, "Repository", "repositories", &["Ready", "NotReady"]),
    (
        STORAGE,
        "Snapshot",
        "snapshots",
        &["Pending", "Running", "Succeeded", "Failed"],
    ),
];

/// One gauge's value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Full name.
    pub name: String,
    /// Label names and values, in order.
    pub labels: Vec<(String, String)>,
    /// Seconds, bytes, a count, or 1 and 0 for true and false.
    pub value: f64,
}

struct Server {
    ctx: Arc<Context>,
    last: Mutex<Option<(Instant, String)>>,
}

/// Serves `/metrics` inside the pod until the context stops.
///
/// # Errors
/// When the port cannot be bound.
pub async fn serve(ctx: Arc<Context>) -> anyhow::Result<()> {
    let address = listen::within_the_pod(ctx.options.metrics_port);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "port {} for metrics cannot be bound (--metrics-port)",
            address.port()
        )
    })?;
    let stopped = ctx.stopped();
    let server = Arc::new(Server {
        ctx,
        last: Mutex::new(None),
    });
    let router = Router::new().route("/metrics", get(scrape)).with_state(server);
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
        .context("the metrics' server failed")
}

async fn scrape(State(server): State<Arc<Server>>) -> Response {
    let mut last = server.last.lock().await;
    if let Some((at, text)) = &*last
        && at.elapsed() < FRESH_FOR
    {
        return answer(text.clone());
    }
    let read = tokio::time::timeout(READ_WITHIN, read(&server.ctx.client)).await;
    let samples = match read {
        Ok(Ok(samples)) => samples,
        Ok(Err(error)) => return unavailable(&format!("objects cannot be read: {error}")),
        Err(_) => return unavailable("objects cannot be read in time"),
    };
    let mut registry = Registry::default();
    server.ctx.metrics.register(&mut registry);
    register(&mut registry, samples);
    let mut text = String::new();
    if text::encode(&mut text, &registry).is_err() {
        return unavailable("metrics cannot be encoded");
    }
    *last = Some((Instant::now(), text.clone()));
    answer(text)
}

fn answer(text: String) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, TYPE)], text).into_response()
}

fn unavailable(why: &str) -> Response {
    tracing::warn!(why, "metrics not served");
    (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()).into_response()
}

async fn read(client: &Client) -> kube::Result<Vec<Sample>> {
    let mut all = Vec::new();
    for (group, kind, plural, phases) in KINDS {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1alpha1", kind), plural);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let mut params = ListParams::default().limit(500);
        loop {
            let page = api.list(&params).await?;
            for object in &page.items {
                if let Ok(value) = serde_json::to_value(object) {
                    all.extend(samples(group, kind, phases, &value));
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => break,
            }
        }
    }
    Ok(all)
}

/// One gauge family per name.
type Gauges = Family<Vec<(String, String)>, Gauge<f64, AtomicU64>>;

fn register(registry: &mut Registry, samples: Vec<Sample>) {
    let mut families: BTreeMap<String, Gauges> = BTreeMap::new();
    for sample in samples {
        let family = families.entry(sample.name).or_default();
        family.get_or_create(&sample.labels).set(sample.value);
    }
    for (name, family) in families {
        let help = format!("{} of the objects", name.rsplit('_').next().unwrap_or(&name));
        registry.register(name, help, family);
    }
}

/// The gauges of one object.
#[must_use]
pub fn samples(group: &str, kind: &str, phases: &[&str], object: &Value) -> Vec<Sample> {
    let mut one = Object {
        prefix: format!("{}_{}", group.replace('.', "_"), kind.to_lowercase()),
        common: common(kind, object),
        object,
        out: Vec::new(),
    };
    if let Some(seconds) = seconds(one.text("/metadata/creationTimestamp")) {
        one.gauge("created", &[], seconds);
    }
    one.phase_and_conditions(phases);
    match kind {
        "BackupConfiguration" => backup_configuration(&mut one),
        "BackupSession" => backup_session(&mut one),
        "BackupStorage" => backup_storage(&mut one),
        "Repository" => repository(&mut one),
        "RestoreSession" => restore_session(&mut one),
        "Snapshot" => snapshot(&mut one),
        _ => {}
    }
    one.out
}

struct Object<'a> {
    prefix: String,
    common: Vec<(String, String)>,
    object: &'a Value,
    out: Vec<Sample>,
}

impl Object<'_> {
    fn text(&self, pointer: &str) -> &str {
        text_at(self.object, pointer)
    }

    fn gauge(&mut self, metric: &str, labels: &[(&str, &str)], value: f64) {
        let mut all = self.common.clone();
        all.extend(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        self.out.push(Sample {
            name: format!("{}_{metric}", self.prefix),
            labels: all,
            value,
        });
    }

    fn phase_and_conditions(&mut self, phases: &[&str]) {
        let current = self.text("/status/phase").to_owned();
        for phase in phases {
            let now = f64::from(u8::from(*phase == current));
            self.gauge("phase", &[("phase", phase)], now);
        }
        let conditions = array(self.object, "/status/conditions").to_vec();
        for condition in &conditions {
            let (name, status) = (text_at(condition, "/type"), text_at(condition, "/status"));
            for possible in ["True", "False", "Unknown"] {
                let now = f64::from(u8::from(possible == status));
                self.gauge("conditions", &[("condition", name), ("status", possible)], now);
            }
        }
    }

    fn size(&mut self, metric: &str, pointer: &str) {
        if let Some(bytes) = bytes(self.text(pointer)) {
            self.gauge(metric, &[], bytes);
        }
    }

    fn count(&mut self, metric: &str, pointer: &str) {
        if let Some(count) = self.object.pointer(pointer).and_then(Value::as_f64) {
            self.gauge(metric, &[], count);
        }
    }

    fn duration(&mut self) {
        if let Some(seconds) = go_duration(self.text("/status/duration")) {
            self.gauge("duration_seconds", &[], seconds);
        }
    }

    /// An `info` gauge: always 1, labels from pointers.
    fn info(&mut self, labels: &[(&str, &str)]) {
        let values: Vec<_> = labels
            .iter()
            .map(|(name, pointer)| (*name, scalar(self.object.pointer(pointer))))
            .collect();
        let labels: Vec<_> = values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.gauge("info", &labels, 1.0);
    }
}

/// The labels that every gauge of the kind carries.
fn common(kind: &str, object: &Value) -> Vec<(String, String)> {
    let at = |pointer: &str| text_at(object, pointer).to_owned();
    let mut labels = vec![
        ("namespace", at("/metadata/namespace")),
        (leading_name(kind), at("/metadata/name")),
    ];
    let target = match kind {
        "BackupConfiguration" => {
            labels.push(("backup_invoker_kind", kind.to_owned()));
            labels.push(("backup_invoker_name", at("/metadata/name")));
            Some("/spec/target")
        }
        "RestoreSession" => Some("/spec/target"),
        "Repository" | "Snapshot" => Some("/spec/appRef"),
        "BackupSession" => {
            labels.push(("invoker_kind", kind.to_owned()));
            labels.push(("invoker_name", at("/metadata/name")));
            labels.push(("backup_invoker_kind", at("/spec/invoker/kind")));
            labels.push(("backup_invoker_name", at("/spec/invoker/name")));
            None
        }
        _ => None,
    };
    if let Some(target) = target {
        labels.push(("target_kind", at(&format!("{target}/kind"))));
        labels.push(("target_name", at(&format!("{target}/name"))));
        labels.push(("target_namespace", at(&format!("{target}/namespace"))));
    }
    labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

fn leading_name(kind: &str) -> &'static str {
    match kind {
        "BackupConfiguration" => "backupconfiguration",
        "BackupSession" => "backupsession",
        "RestoreSession" => "restoresession",
        "BackupStorage" => "backupstorage",
        "Repository" => "repository",
        _ => "snapshot",
    }
}

fn backup_configuration(one: &mut Object<'_>) {
    one.info(&[("phase", "/status/phase"), ("paused", "/spec/paused")]);
    for session in array(one.object, "/spec/sessions") {
        let labels = [
            ("session_name", text_at(session, "/name")),
            ("schedule", text_at(session, "/scheduler/schedule")),
            ("addon_name", text_at(session, "/addon/name")),
        ];
        one.gauge("sessions", &labels, 1.0);
    }
}

fn backup_session(one: &mut Object<'_>) {
    one.info(&[("session", "/spec/session"), ("phase", "/status/phase")]);
    for snapshot in array(one.object, "/status/snapshots") {
        let labels = [
            ("snapshot_name", text_at(snapshot, "/name")),
            ("snapshot_phase", text_at(snapshot, "/phase")),
            ("repository", text_at(snapshot, "/repository")),
            ("backedup_app_kind", text_at(snapshot, "/appRef/kind")),
            ("backedup_app_name", text_at(snapshot, "/appRef/name")),
            ("backedup_app_namespace", text_at(snapshot, "/appRef/namespace")),
        ];
        one.gauge("snapshots", &labels, 1.0);
    }
    one.duration();
}

fn backup_storage(one: &mut Object<'_>) {
    one.info(&[
        ("provider", "/spec/storage/provider"),
        ("default", "/spec/default"),
        ("deletionPolicy", "/spec/deletionPolicy"),
        ("phase", "/status/phase"),
    ]);
    for repository in array(one.object, "/status/repositories") {
        if let Some(size) = bytes(text_at(repository, "/size")) {
            let labels = [
                ("repo_name", text_at(repository, "/name")),
                ("repo_namespace", text_at(repository, "/namespace")),
                ("repo_path", text_at(repository, "/path")),
            ];
            one.gauge("repository_size_bytes", &labels, size);
        }
    }
    one.size("size_bytes", "/status/totalSize");
}

fn repository(one: &mut Object<'_>) {
    one.info(&[
        ("path", "/spec/path"),
        ("phase", "/status/phase"),
        ("integrity", "/status/integrity"),
    ]);
    if let Some(at) = seconds(one.text("/status/lastBackupTime")) {
        one.gauge("last_successful_backup", &[], at);
    }
    one.size("size_bytes", "/status/size");
    one.count("snapshot_count_total", "/status/snapshotCount");
}

fn restore_session(one: &mut Object<'_>) {
    one.info(&[
        ("datasource_namespace", "/spec/dataSource/namespace"),
        ("repository", "/spec/dataSource/repository"),
        ("snapshot", "/spec/dataSource/snapshot"),
        ("addon_name", "/spec/addon/name"),
        ("phase", "/status/phase"),
    ]);
    one.duration();
    one.count("component_count_total", "/status/totalComponents");
}

fn snapshot(one: &mut Object<'_>) {
    one.info(&[
        ("snapshot_type", "/spec/type"),
        ("repository", "/spec/repository"),
        ("session", "/spec/session"),
        ("backupsession", "/spec/backupSession"),
        ("version", "/spec/version"),
        ("phase", "/status/phase"),
        ("integrity", "/status/integrity"),
    ]);
    one.size("size_bytes", "/status/size");
    if let Some(at) = seconds(one.text("/status/snapshotTime")) {
        one.gauge("time_seconds", &[], at);
    }
    one.count("component_count_total", "/status/totalComponents");
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn array<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn scalar(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Seconds since 1970 of an RFC 3339 time.
fn seconds(time: &str) -> Option<f64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_duration().as_secs_f64())
}

/// Bytes of a size as status writes it: `12 B`, `1.500 MiB`.
fn bytes(size: &str) -> Option<f64> {
    let (number, unit) = size.split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let factor = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    Some(number * 2_f64.powi(factor))
}

/// Seconds of a Go duration, `1h2m3.5s`.
fn go_duration(text: &str) -> Option<f64> {
    let duration: kube::core::Duration = text.parse().ok()?;
    Some(std::time::Duration::from(duration).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(samples: &[Sample], name: &str, label: (&str, &str)) -> Option<f64> {
        let label = (label.0.to_owned(), label.1.to_owned());
        samples
            .iter()
            .find(|s| s.name == name && s.labels.contains(&label))
            .map(|s| s.value)
    }

    #[test]
    fn a_backup_session_has_its_phase_snapshots_and_duration() {
        let object = json!({
            "metadata": {"name": "bc-daily-1", "namespace": "demo", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"session": "daily", "invoker": {"kind": "BackupConfiguration", "name": "bc"}},
            "status": {
                "phase": "Succeeded", "duration": "1m2s",
                "snapshots": [{"name": "repo-bc-daily-1", "phase": "Succeeded", "repository": "repo",
                               "appRef": {"kind": "StatefulSet", "name": "db", "namespace": "demo"}}],
                "conditions": [{"type": "MetricsPushed", "status": "True"}]
            }
        });
        let phases = ["Pending", "Running", "Succeeded", "Failed", "Skipped"];
        let all = samples(CORE, "BackupSession", &phases, &object);
        let name = |metric: &str| format!("core_kubestash_com_backupsession_{metric}");
        assert_eq!(value(&all, &name("phase"), ("phase", "Succeeded")), Some(1.0));
        assert_eq!(value(&all, &name("phase"), ("phase", "Failed")), Some(0.0));
        assert_eq!(
            value(&all, &name("duration_seconds"), ("namespace", "demo")),
            Some(62.0)
        );
        assert_eq!(
            value(&all, &name("snapshots"), ("backedup_app_name", "db")),
            Some(1.0)
        );
        assert_eq!(
            value(&all, &name("created"), ("invoker_name", "bc-daily-1")),
            Some(1_767_225_600.0)
        );
        assert_eq!(value(&all, &name("conditions"), ("status", "True")), Some(1.0));
    }

    #[test]
    fn sizes_are_bytes() {
        assert_eq!(bytes("12 B"), Some(12.0));
        assert_eq!(bytes("1.500 KiB"), Some(1536.0));
        assert_eq!(bytes("nothing"), None);
        let object = json!({"metadata": {"name": "r", "namespace": "n"}, "status": {"size": "2.000 MiB", "snapshotCount": 3}});
        let all = samples(STORAGE, "Repository", &["Ready", "NotReady"], &object);
        let name = |metric: &str| format!("storage_kubestash_com_repository_{metric}");
        assert_eq!(
            value(&all, &name("size_bytes"), ("repository", "r")),
            Some(2_097_152.0)
        );
        assert_eq!(
            value(&all, &name("snapshot_count_total"), ("repository", "r")),
            Some(3.0)
        );
    }

    #[test]
    fn what_is_registered_can_be_encoded() {
        let object = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"default": true}, "status": {"phase": "Ready"}});
        let mut registry = Registry::default();
        register(
            &mut registry,
            samples(STORAGE, "BackupStorage", &["Ready", "NotReady"], &object),
        );
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"storage_kubestash_com_backupstorage_phase{namespace="n",backupstorage="s",phase="Ready"} 1"#), "{text}");
    }
}
