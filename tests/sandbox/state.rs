//! What survives: a sandbox is stopped and started again on the same directory. And what the product's own CRDs cost.

use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, PostParams, WatchParams};
use kubestash::sandbox::{Identity, Options, Server};
use serde_json::{Value, json};

use super::client::{WIDGETS, code, from, server};

fn open(dir: &Path) -> Server {
    Server::new(&Options {
        state_dir: Some(dir.to_owned()),
    })
    .unwrap()
}

#[tokio::test]
async fn state_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (token, ca, version) = {
        let server = open(dir.path());
        let client = server.client(Identity::Admin);
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        crds.create(&PostParams::default(), &serde_saphyr::from_str(WIDGETS).unwrap())
            .await
            .unwrap();
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let made = maps
            .create(&PostParams::default(), &from(json!({"metadata": {"name": "a"}})))
            .await
            .unwrap();
        let version: u64 = made.metadata.resource_version.unwrap().parse().unwrap();
        (
            server.admin_token().to_owned(),
            server.ca_pem().to_owned(),
            version,
        )
    };
    let server = open(dir.path());
    assert_eq!(
        (server.admin_token(), server.ca_pem()),
        (token.as_str(), ca.as_str())
    );
    let client = server.client(Identity::Admin);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    assert_eq!(
        maps.get("a").await.unwrap().metadata.resource_version,
        Some(version.to_string())
    );
    let made = maps
        .create(&PostParams::default(), &from(json!({"metadata": {"name": "b"}})))
        .await
        .unwrap();
    assert!(made.metadata.resource_version.unwrap().parse::<u64>().unwrap() > version);
    let widgets: Api<DynamicObject> = Api::default_namespaced_with(client, &super::client::widget_kind());
    assert!(
        widgets
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    // What happened before the restart is no longer told change by change.
    let stale = maps.watch(&WatchParams::default(), "1").await.map(|_| ());
    let first = futures::StreamExt::next(&mut Box::pin(
        maps.watch(&WatchParams::default(), "1").await.unwrap(),
    ))
    .await;
    assert!(stale.is_ok());
    let event = format!("{:?}", first.unwrap());
    assert!(event.contains("410"), "{event}");
    for file in fs::read_dir(dir.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

/// Resident memory of this process in MiB.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// The CRDs of this project, and of a directory named by `KUBESTASH_TEST_CRDS` if there is one.
fn definitions() -> Vec<Value> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crds");
    let other = std::env::var_os("KUBESTASH_TEST_CRDS").map(Into::into);
    let mut found = Vec::new();
    for dir in other.into_iter().chain([own]) {
        for file in fs::read_dir(dir).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml") {
                found.push(serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap());
            }
        }
        // The same names would clash.
        if !found.is_empty() {
            break;
        }
    }
    found
}

#[tokio::test]
async fn large_definitions_are_accepted_and_stay_small() {
    let server = server();
    let client = server.client(Identity::Admin);
    let crds: Api<DynamicObject> = Api::all_with(
        client,
        &kube::api::ApiResource::erase::<CustomResourceDefinition>(&()),
    );
    let all = definitions();
    assert!(all.len() >= 14);
    let before = memory();
    let count = all.len();
    for crd in all {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        let made = crds
            .create(&PostParams::default(), &from(crd))
            .await
            .unwrap_or_else(|e| panic!("{name}: {:?}", code(e)));
        let conditions = made.data["status"]["conditions"].as_array().unwrap();
        assert!(
            conditions
                .iter()
                .any(|c| c["type"] == "Established" && c["status"] == "True"),
            "{name}"
        );
    }
    let listed = crds.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.len(), count);
    drop(listed);
    println!("{count} definitions: {before} MiB before, {} MiB after", memory());
}
