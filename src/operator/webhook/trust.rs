//! Agreement: all replicas serve from one Secret, and the webhook configurations trust its authority.

use anyhow::Context as _;
use base64::Engine as _;
use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    core::v1::Secret,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::certificate::{self, Bundle};
use super::{NAME, SECRET, SERVICE, server::Served};
use crate::operator::{Context, applier::FIELD_MANAGER};

/// Replicas that start together race for the Secret; more rounds than this mean that something else is wrong.
const ROUNDS: usize = 5;

/// Makes sure that there is a certificate, that it is served, and that it is trusted.
///
/// # Errors
/// What the API server answered, or that the certificate cannot be made or used.
pub(super) async fn ensure(ctx: &Context, served: &Served, now: Timestamp) -> anyhow::Result<()> {
    let bundle = agreed(ctx, now).await?;
    served.set(&bundle)?;
    trust_in::<ValidatingWebhookConfiguration>(ctx, &bundle).await?;
    trust_in::<MutatingWebhookConfiguration>(ctx, &bundle).await
}

/// The bundle in the Secret; made or renewed when there is no usable one. Whoever writes first wins, the others take
/// what is there.
async fn agreed(ctx: &Context, now: Timestamp) -> anyhow::Result<Bundle> {
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), &ctx.options.namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    for _ in 0..ROUNDS {
        let old = secrets
            .get_opt(SECRET)
            .await
            .context("the Secret of the webhooks' certificate cannot be read")?;
        if let Some(bundle) = old.as_ref().and_then(|old| certificate::usable(old, now)) {
            return Ok(bundle);
        }
        let fresh = certificate::make(&ctx.options.namespace, old.as_ref(), now)?;
        let written = match &old {
            None => secrets.create(&params, &fresh).await,
            Some(_) => secrets.replace(SECRET, &params, &fresh).await,
        };
        match written {
            Ok(stored) => {
                tracing::info!(renewed = old.is_some(), "made a certificate for the webhooks");
                return certificate::usable(&stored, now).context("the stored certificate is not usable");
            }
            // Another replica was faster: look at what it wrote.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                return Err(error).context("the Secret of the webhooks' certificate cannot be written");
            }
        }
    }
    anyhow::bail!("the Secret of the webhooks' certificate changed {ROUNDS} times while it was being written")
}

/// Patches `caBundle` of the entries that lead to our Service, where it differs. That the configuration does not exist
/// is no error: it is looked at again when it appears.
async fn trust_in<K>(ctx: &Context, bundle: &Bundle) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::all(ctx.client.clone());
    let kind = K::kind(&());
    let Some(found) = api
        .get_opt(NAME)
        .await
        .with_context(|| format!("{kind} {NAME} cannot be read"))?
    else {
        return Ok(());
    };
    let wanted = base64::engine::general_purpose::STANDARD.encode(&bundle.trusted);
    let operations = bundle_patch(&serde_json::to_value(&found)?, &ctx.options.namespace, &wanted);
    if operations.is_empty() {
        return Ok(());
    }
    let version =
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": found.resource_version()});
    let patch: json_patch::Patch =
        serde_json::from_value(Value::Array(std::iter::once(version).chain(operations).collect()))?;
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch(NAME, &params, &Patch::<K>::Json(patch))
        .await
        .with_context(|| format!("caBundle of {kind} {NAME} cannot be written"))?;
    tracing::info!(%kind, "the webhook configuration trusts the certificate");
    Ok(())
}

/// The JSON patch operations that make every entry for our Service trust `wanted` (base64 of PEM).
fn bundle_patch(configuration: &Value, namespace: &str, wanted: &str) -> Vec<Value> {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    webhooks
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, webhook)| {
            let service = webhook.pointer("/clientConfig/service");
            let ours = service.and_then(|service| service["name"].as_str()) == Some(SERVICE)
                && service.and_then(|service| service["namespace"].as_str()) == Some(namespace);
            ours && webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str) != Some(wanted)
        })
        .map(|(index, _)| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": wanted}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_entries_that_differ_are_patched() {
        let service = |name: &str, bundle: &str| json!({"clientConfig": {"service": {"name": name, "namespace": "kubestash"}, "caBundle": bundle}});
        let configuration = json!({"webhooks": [
            service(SERVICE, "new"), service(SERVICE, "old"), service("other", "old"),
            {"clientConfig": {"url": "https://elsewhere"}},
            {"clientConfig": {"service": {"name": SERVICE, "namespace": "kubestash"}}},
        ]});
        let patch = bundle_patch(&configuration, "kubestash", "new");
        let paths: Vec<_> = patch
            .iter()
            .map(|operation| operation["path"].as_str().unwrap())
            .collect();
        assert_eq!(
            paths,
            [
                "/webhooks/1/clientConfig/caBundle",
                "/webhooks/4/clientConfig/caBundle"
            ]
        );
        assert!(bundle_patch(&configuration, "elsewhere", "new").is_empty());
    }
}
