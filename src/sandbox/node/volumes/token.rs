//! Tokens of ServiceAccounts, asked for through the API as the kubelet does, bound to the pod.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};

/// The ConfigMap with the cluster's authority that every namespace has.
pub(crate) const CA_CONFIG_MAP: &str = "kube-root-ca.crt";

const DEFAULT_SECONDS: i64 = 3607;

/// Asks for a token; also says after how long it should be renewed (four fifths of its life).
pub(crate) async fn request(
    client: &Client,
    pod: &Pod,
    source: &ServiceAccountTokenProjection,
) -> Result<(String, Duration), String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let account = pod
        .spec
        .as_ref()
        .and_then(|s| s.service_account_name.as_deref())
        .unwrap_or("default");
    let seconds = source.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: source.audience.clone().map(|a| vec![a]),
            expiration_seconds: Some(seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let answer: TokenRequest = accounts
        .create_subresource("token", account, &PostParams::default(), &request)
        .await
        .map_err(|e| format!("failed to fetch token: {e}"))?;
    let status = answer
        .status
        .ok_or("failed to fetch token: the answer has no status")?;
    let expires = status.expiration_timestamp.map_or(0, |t| t.0.as_second());
    let life = expires - Timestamp::now().as_second();
    let renew = u64::try_from(life * 4 / 5).unwrap_or(0).max(10);
    Ok((status.token.unwrap_or_default(), Duration::from_secs(renew)))
}
