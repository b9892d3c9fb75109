//! Admission webhooks, called over HTTPS by URL and through a Service's Endpoints.

#![allow(clippy::needless_pass_by_value)] // JSON literals read best as arguments by value.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kubestash::sandbox::Identity;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use super::client::{code, from, server};

type Seen = Arc<Mutex<Vec<Value>>>;

/// A webhook server: `/mutate` adds a label, `/deny` refuses objects that have `data.bad`.
struct Hook {
    port: u16,
    ca_bundle: String,
    seen: Seen,
}

async fn mutate(State(seen): State<Seen>, Json(review): Json<Value>) -> Json<Value> {
    let uid = review["request"]["uid"].clone();
    seen.lock().unwrap().push(review["request"].clone());
    let patch = json!([{"op": "add", "path": "/metadata/labels", "value": {"touched": "yes"}}]).to_string();
    Json(
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": BASE64.encode(patch), "warnings": ["mind the gap"]}}),
    )
}

async fn deny(State(seen): State<Seen>, Json(review): Json<Value>) -> Json<Value> {
    let request = &review["request"];
    seen.lock().unwrap().push(request.clone());
    let about = if request["operation"] == "DELETE" {
        &request["oldObject"]
    } else {
        &request["object"]
    };
    let mut response = json!({"uid": request["uid"], "allowed": about["data"]["bad"].is_null()});
    if response["allowed"] == false {
        response["status"] = json!({"message": "bad data", "code": 422});
    }
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
}

impl Hook {
    async fn start() -> Self {
        let names = vec!["hook.default.svc".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let seen = Seen::default();
        let router = Router::new()
            .route("/mutate", post(mutate))
            .route("/deny", post(deny))
            .with_state(seen.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            port,
            ca_bundle: BASE64.encode(made.cert.pem()),
            seen,
        }
    }
}

fn hook(name: &str, client: Value, operations: &[&str]) -> Value {
    json!({
        "name": name, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": operations}],
        "namespaceSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]},
    })
}

async fn validating(client: &kube::Client, hooks: Value) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let object = from(json!({"metadata": {"name": "v"}, "webhooks": hooks}));
    api.create(&PostParams::default(), &object).await.unwrap();
}

fn map(name: &str, data: Value) -> ConfigMap {
    from(json!({"metadata": {"name": name}, "data": data}))
}

#[tokio::test]
async fn webhooks_change_and_refuse() {
    let hooks = Hook::start().await;
    let client = server().client(Identity::Admin);
    let service =
        from(json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443, "targetPort": 9443}]}}));
    Api::<Service>::default_namespaced(client.clone())
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
    let endpoints = from(json!({"metadata": {"name": "hook"}, "subsets": [
        {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": hooks.port}]}]}));
    Api::<Endpoints>::default_namespaced(client.clone())
        .create(&PostParams::default(), &endpoints)
        .await
        .unwrap();
    let through_service = json!({"service": {"name": "hook", "namespace": "default", "path": "/mutate"}, "caBundle": hooks.ca_bundle});
    let mutating =
        from(json!({"metadata": {"name": "m"}, "webhooks": [hook("m.x.io", through_service, &["CREATE"])]}));
    Api::<MutatingWebhookConfiguration>::all(client.clone())
        .create(&PostParams::default(), &mutating)
        .await
        .unwrap();
    let by_url =
        json!({"url": format!("https://localhost:{}/deny", hooks.port), "caBundle": hooks.ca_bundle});
    validating(
        &client,
        json!([hook("v.x.io", by_url, &["CREATE", "UPDATE", "DELETE"])]),
    )
    .await;

    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let made = maps
        .create(&PostParams::default(), &map("a", json!({})))
        .await
        .unwrap();
    assert_eq!(made.metadata.labels.unwrap()["touched"], "yes");
    let refused = code(
        maps.create(&PostParams::default(), &map("b", json!({"bad": "1"})))
            .await
            .unwrap_err(),
    );
    assert_eq!(
        refused,
        (
            422,
            "admission webhook \"v.x.io\" denied the request: bad data".into()
        )
    );
    let spoil = Patch::Merge(json!({"data": {"bad": "1"}}));
    assert_eq!(
        code(
            maps.patch("a", &PatchParams::default(), &spoil)
                .await
                .unwrap_err()
        )
        .0,
        422
    );
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&dry, &map("c", json!({}))).await.unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let seen = hooks.seen.lock().unwrap().clone();
    let operations: Vec<&str> = seen.iter().map(|r| r["operation"].as_str().unwrap()).collect();
    assert_eq!(
        operations,
        [
            "CREATE", "CREATE", "CREATE", "CREATE", "UPDATE", "CREATE", "CREATE", "DELETE"
        ]
    );
    assert_eq!(
        (&seen[6]["dryRun"], &seen[7]["oldObject"]["metadata"]["name"]),
        (&json!(true), &json!("a"))
    );
    assert_eq!(seen[4]["oldObject"]["data"], json!({}));
    assert_eq!(seen[0]["userInfo"]["username"], "kubernetes-admin");

    // Namespaces that the selector leaves out are left alone.
    let free = from(json!({"metadata": {"name": "free", "labels": {"free": "1"}}}));
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &free)
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "free");
    maps.create(&PostParams::default(), &map("b", json!({"bad": "1"})))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_absent_webhook_fails_or_is_ignored() {
    let client = server().client(Identity::Admin);
    let nowhere = json!({"service": {"name": "none", "namespace": "default"}, "caBundle": ""});
    let mut ignored = hook("i.x.io", nowhere.clone(), &["CREATE"]);
    ignored["failurePolicy"] = json!("Ignore");
    validating(&client, json!([ignored, hook("f.x.io", nowhere, &["UPDATE"])])).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.create(&PostParams::default(), &map("a", json!({})))
        .await
        .unwrap();
    let error = maps
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"data": {"x": "y"}})),
        )
        .await
        .unwrap_err();
    let (status, message) = code(error);
    assert_eq!(status, 500);
    assert!(
        message.contains("failed calling webhook \"f.x.io\"")
            && message.contains("service \"none\" not found"),
        "{message}"
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused() {
    let (hooks, other) = (Hook::start().await, Hook::start().await);
    let client = server().client(Identity::Admin);
    let wrong = json!({"url": format!("https://localhost:{}/deny", hooks.port), "caBundle": other.ca_bundle});
    validating(&client, json!([hook("v.x.io", wrong, &["CREATE"])])).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let (_, message) = code(
        maps.create(&PostParams::default(), &map("a", json!({})))
            .await
            .unwrap_err(),
    );
    assert!(message.contains("tls:"), "{message}");
    assert!(hooks.seen.lock().unwrap().is_empty());
}
