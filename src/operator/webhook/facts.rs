//! Facts for admission, read from the cluster at the moment they are needed.
//!
//! They are read directly and not from a cache, so that a BackupConfiguration applied right after the default
//! BackupStorage of the same file sees it. What is named is read by name; only what has to be searched is listed, page by
//! page and completely.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::addons::Addon;
use crate::api::core::HookTemplate;
use crate::api::storage::{BackupStorage, Repository, RetentionPolicy};
use crate::decide::admission::Facts;

const PAGE: u32 = 500;

/// How often something is read that could not be read at once: a connection that the API server just closed, or a server
/// that is busy, is no reason to refuse what somebody applies.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);

/// What the rules of `kind` compare `object` with.
///
/// # Errors
/// When something cannot be read after several tries; that it does not exist is no error.
pub async fn gather(client: &Client, kind: &str, object: &Value) -> Result<Facts, kube::Error> {
    let mut tries = 1;
    loop {
        match read(client, kind, object).await {
            Err(error) if tries < TRIES && may_pass(&error) => {
                tracing::info!(%error, kind, tries, "facts for an admission are read again");
                tokio::time::sleep(PAUSE * tries).await;
                tries += 1;
            }
            result => return result,
        }
    }
}

/// Whether the same question can have an answer a moment later. A token that was just renewed is refused once.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 401 | 429 | 500..),
        _ => true,
    }
}

async fn read(client: &Client, kind: &str, object: &Value) -> Result<Facts, kube::Error> {
    let mut facts = Facts::default();
    let own = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match kind {
        "BackupStorage" => facts.storages = list(Api::all(client.clone())).await?,
        "RetentionPolicy" => facts.retention_policies = list(Api::namespaced(client.clone(), own)).await?,
        "BackupConfiguration" | "BackupBlueprint" => {
            backends(client, kind, object, own, &mut facts).await?;
            shared(client, object, own, &mut facts).await?;
            if kind == "BackupConfiguration" {
                facts.repositories = list(Api::<Repository>::all(client.clone())).await?;
            }
        }
        "RestoreSession" => shared(client, object, own, &mut facts).await?,
        _ => {}
    }
    Ok(facts)
}

async fn backends(
    client: &Client,
    kind: &str,
    object: &Value,
    own: &str,
    facts: &mut Facts,
) -> Result<(), kube::Error> {
    let pointer = match kind {
        "BackupBlueprint" => "/spec/backupConfigurationTemplate/backends",
        _ => "/spec/backends",
    };
    let backends = object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let defaulted = kind == "BackupConfiguration";
    facts.storages = if backends.is_empty() && defaulted {
        list(Api::<BackupStorage>::all(client.clone())).await?
    } else {
        named(client, references(backends, "/storageRef", own)).await?
    };
    let lacking = backends.is_empty()
        || backends
            .iter()
            .any(|backend| backend.get("retentionPolicy").is_none_or(Value::is_null));
    facts.retention_policies = if lacking && defaulted {
        list(Api::<RetentionPolicy>::all(client.clone())).await?
    } else {
        named(client, references(backends, "/retentionPolicy", own)).await?
    };
    Ok(())
}

/// The namespace's labels, and the hook templates and Addons named anywhere in the object.
async fn shared(client: &Client, object: &Value, own: &str, facts: &mut Facts) -> Result<(), kube::Error> {
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    if let Some(namespace) = namespaces.get_opt(own).await? {
        facts
            .namespaces
            .insert(own.to_owned(), namespace.labels().clone());
    }
    let mut found = Found::default();
    search(object.get("spec").unwrap_or(&Value::Null), &mut found);
    let hooks = references(&found.hooks, "/hookTemplate", own);
    facts.hook_templates = named::<HookTemplate>(client, hooks).await?;
    let addons: Api<Addon> = Api::all(client.clone());
    let mut known = Vec::new();
    for name in &found.addons {
        known.extend(addons.get_opt(name).await?.map(Arc::new));
    }
    facts.addons = Some(known);
    Ok(())
}

#[derive(Default)]
struct Found {
    hooks: Vec<Value>,
    addons: BTreeSet<String>,
}

/// Walks an object for `hookTemplate` references and for `addon`s with tasks.
fn search(value: &Value, found: &mut Found) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| search(item, found)),
        Value::Object(fields) => {
            if fields.get("hookTemplate").is_some_and(Value::is_object) {
                found.hooks.push(value.clone());
            }
            let name = fields
                .get("addon")
                .and_then(|addon| addon.get("name"))
                .and_then(Value::as_str);
            found
                .addons
                .extend(name.filter(|name| is_name(name)).map(ToOwned::to_owned));
            fields.values().for_each(|field| search(field, found));
        }
        _ => {}
    }
}

/// Whether a text can be the name of an object at all: `${…}` and the like would only make a malformed request.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.')
}

/// Namespace and name of the references at `pointer` in each of `holders`.
fn references(holders: &[Value], pointer: &str, own: &str) -> BTreeSet<(String, String)> {
    holders
        .iter()
        .filter_map(|holder| {
            let reference = holder.pointer(pointer)?;
            let name = reference.get("name")?.as_str()?;
            let namespace = reference
                .get("namespace")
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .unwrap_or(own);
            (is_name(name) && is_name(namespace)).then(|| (namespace.to_owned(), name.to_owned()))
        })
        .collect()
}

async fn named<K>(client: &Client, wanted: BTreeSet<(String, String)>) -> Result<Vec<Arc<K>>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let mut found = Vec::new();
    for (namespace, name) in wanted {
        let api: Api<K> = Api::namespaced(client.clone(), &namespace);
        found.extend(api.get_opt(&name).await?.map(Arc::new));
    }
    Ok(found)
}

/// Everything, page by page; a page that fails fails the whole.
async fn list<K>(api: Api<K>) -> Result<Vec<Arc<K>>, kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items.into_iter().map(Arc::new));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An API server that fails so many times, and then has nothing.
    fn failing(times: usize, code: Option<u16>) -> Client {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let fails = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < times;
            async move {
                let body = json!({"kind": "RetentionPolicyList", "apiVersion": "storage.kubestash.com/v1alpha1",
                    "metadata": {}, "items": []});
                let answer = http::Response::builder();
                match (fails, code) {
                    (true, None) => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
                    (true, Some(code)) => Ok(answer.status(code).body(kube::client::Body::from(
                        json!({"kind": "Status", "status": "Failure", "message": "no", "code": code})
                            .to_string()
                            .into_bytes(),
                    ))),
                    (false, _) => Ok(answer.body(kube::client::Body::from(body.to_string().into_bytes()))),
                }
                .map(|answer| answer.unwrap())
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn what_cannot_be_read_at_once_is_read_again() {
        let policy = json!({"metadata": {"namespace": "demo"}});
        let read = async |times, code| {
            gather(&failing(times, code), "RetentionPolicy", &policy)
                .await
                .is_ok()
        };
        assert!(read(1, None).await, "a connection that was closed");
        assert!(read(3, Some(503)).await, "a server that is busy");
        assert!(!read(4, None).await, "not for ever");
        assert!(!read(1, Some(403)).await, "a missing right stays missing");
    }

    #[test]
    fn hooks_and_addons_are_found_wherever_they_stand() {
        let spec = json!({"sessions": [{"addon": {"name": "pvc-addon"}, "hooks": {"preBackup": [{"hookTemplate": {"name": "h"}}]}}],
            "template": {"sessions": [{"addon": {"name": "${addon}"}}]}});
        let mut found = Found::default();
        search(&spec, &mut found);
        assert_eq!(found.addons.into_iter().collect::<Vec<_>>(), ["pvc-addon"]);
        let hooks = references(&found.hooks, "/hookTemplate", "demo");
        assert_eq!(
            hooks.into_iter().collect::<Vec<_>>(),
            [("demo".to_owned(), "h".to_owned())]
        );
    }
}
