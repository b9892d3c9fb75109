//! The two calls that Jobs make of an API server: it remembers status patches and answers for pods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use serde_json::{Value, json};

#[derive(Default)]
struct Seen {
    patches: Mutex<Vec<(String, Value)>>,
    pods: Mutex<BTreeMap<String, Value>>,
    failing: Mutex<u32>,
}

pub(super) struct ApiServer {
    pub(super) address: String,
    seen: Arc<Seen>,
    _runtime: tokio::runtime::Runtime,
}

async fn answer(
    State(seen): State<Arc<Seen>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, String) {
    let path = uri.path().to_owned();
    if method == Method::PATCH {
        let mut failing = seen.failing.lock().unwrap();
        if *failing > 0 {
            *failing -= 1;
            return (StatusCode::INTERNAL_SERVER_ERROR, status(500));
        }
        let value: Value = serde_json::from_slice(&body).unwrap();
        let whole = format!("{path}?{}", uri.query().unwrap_or_default());
        seen.patches.lock().unwrap().push((whole, value.clone()));
        return (StatusCode::OK, value.to_string());
    }
    match seen.pods.lock().unwrap().get(path.rsplit('/').next().unwrap()) {
        Some(pod) => (StatusCode::OK, pod.to_string()),
        None => (StatusCode::NOT_FOUND, status(404)),
    }
}

fn status(code: u16) -> String {
    let reason = if code == 404 { "NotFound" } else { "InternalError" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": "no", "code": code}).to_string()
}

impl ApiServer {
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::new(Seen::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap().to_string();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            seen,
            _runtime: runtime,
        }
    }

    /// The states of a component in the order they were written.
    pub(super) fn states(&self, object: &str, component: &str) -> Vec<Value> {
        let patches = self.seen.patches.lock().unwrap();
        patches
            .iter()
            .filter(|(path, _)| path.contains(&format!("/{object}/status?")))
            .map(|(_, body)| body["status"]["components"][component].clone())
            .collect()
    }

    /// The paths of all patches.
    pub(super) fn paths(&self) -> Vec<String> {
        self.seen
            .patches
            .lock()
            .unwrap()
            .iter()
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// From now on this pod exists; "Lost" is one that was declared failed with its node.
    pub(super) fn pod(&self, name: &str, uid: &str, phase: &str) {
        let state = if matches!(phase, "Succeeded" | "Failed") {
            json!({"terminated": {"exitCode": 137}})
        } else {
            json!({"running": {}})
        };
        let phase = if phase == "Lost" { "Failed" } else { phase };
        let container = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "uid": uid},
            "status": {"phase": phase, "containerStatuses": [container]}});
        self.seen.pods.lock().unwrap().insert(name.to_owned(), pod);
    }

    /// The next patches fail.
    pub(super) fn fail(&self, times: u32) {
        *self.seen.failing.lock().unwrap() = times;
    }
}
