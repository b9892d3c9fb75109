//! Tokens: the administrator's, and those of ServiceAccounts, which are JSON web tokens signed (HS256) with a key of
//! the state directory. A ServiceAccount's token dies with the account and with the pod it is bound to.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use super::User;
use crate::sandbox::object;
use crate::sandbox::server::Api;
use crate::sandbox::store::GroupResource;

/// Issuer and default audience of ServiceAccount tokens.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The secrets tokens are made of.
pub(crate) struct Secrets {
    admin: String,
    key: hmac::Key,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Reads them from the state directory, or makes them.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let admin = secret(dir, "admin.token")?;
        let key = secret(dir, "tokens.key")?;
        Ok(Self {
            admin,
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
        })
    }

    /// The administrator's token.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }
}

fn secret(dir: Option<&Path>, file: &str) -> io::Result<String> {
    if let Some(dir) = dir {
        match fs::read_to_string(dir.join(file)) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut bytes = [0_u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gave no randomness"))?;
    let text = BASE64.encode(bytes);
    if let Some(dir) = dir {
        crate::sandbox::tls::write_private(&dir.join(file), text.as_bytes())?;
    }
    Ok(text)
}

/// What a ServiceAccount token is to say.
pub(crate) struct Claim<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) audiences: Vec<String>,
    /// Seconds.
    pub(crate) lifetime: i64,
    /// Kind, name and uid of the object whose end ends the token.
    pub(crate) bound_to: Option<(String, String, String)>,
}

/// Makes a token; answers it and when it ends.
pub(crate) fn issue(secrets: &Secrets, claim: &Claim<'_>) -> (String, jiff::Timestamp) {
    let now = jiff::Timestamp::now();
    let end = now + jiff::SignedDuration::from_secs(claim.lifetime);
    let mut kubernetes = json!({
        "namespace": claim.namespace, "serviceaccount": {"name": claim.name, "uid": claim.uid},
    });
    if let Some((kind, name, uid)) = &claim.bound_to {
        kubernetes[kind.to_lowercase()] = json!({"name": name, "uid": uid});
    }
    let payload = json!({
        "iss": ISSUER, "sub": format!("system:serviceaccount:{}:{}", claim.namespace, claim.name),
        "aud": claim.audiences, "iat": now.as_second(), "nbf": now.as_second(), "exp": end.as_second(),
        "jti": object::new_uid(), "kubernetes.io": kubernetes,
    });
    let head = json!({"alg": "HS256", "typ": "JWT"});
    let body = format!(
        "{}.{}",
        BASE64.encode(head.to_string()),
        BASE64.encode(payload.to_string())
    );
    let signature = hmac::sign(&secrets.key, body.as_bytes());
    (format!("{body}.{}", BASE64.encode(signature.as_ref())), end)
}

/// The user a token stands for; `None` if it is not (or no longer) good.
pub(crate) fn verify(api: &Api, token: &str) -> Option<User> {
    let admin = api.secrets.admin().as_bytes();
    // Compared through a keyed digest, so that the time taken tells nothing.
    let digest = |bytes: &[u8]| hmac::sign(&api.secrets.key, bytes).as_ref().to_vec();
    if digest(token.as_bytes()) == digest(admin) {
        return Some(User::admin());
    }
    let (body, signature) = token.rsplit_once('.')?;
    hmac::verify(&api.secrets.key, body.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
    let payload: Value = serde_json::from_slice(&BASE64.decode(body.split_once('.')?.1).ok()?).ok()?;
    if payload["exp"].as_i64()? <= jiff::Timestamp::now().as_second() {
        return None;
    }
    let kubernetes = &payload["kubernetes.io"];
    let namespace = object::text(kubernetes, &["namespace"]);
    let name = object::text(kubernetes, &["serviceaccount", "name"]);
    let account = api
        .store
        .get(&GroupResource::new("", "serviceaccounts"), namespace, name)?;
    if object::uid(&account) != object::text(kubernetes, &["serviceaccount", "uid"]) {
        return None;
    }
    let mut user = User::service_account(namespace, name, object::uid(&account));
    if let Some(pod) = kubernetes.get("pod") {
        let pod_name = object::text(pod, &["name"]);
        let live = api
            .store
            .get(&GroupResource::new("", "pods"), namespace, pod_name)?;
        if object::uid(&live) != object::text(pod, &["uid"]) {
            return None;
        }
        user.extra.insert(
            "authentication.kubernetes.io/pod-name".into(),
            vec![pod_name.to_owned()],
        );
        user.extra.insert(
            "authentication.kubernetes.io/pod-uid".into(),
            vec![object::uid(&live).to_owned()],
        );
    }
    if let Some(secret) = kubernetes.get("secret") {
        let live = api.store.get(
            &GroupResource::new("", "secrets"),
            namespace,
            object::text(secret, &["name"]),
        )?;
        if object::uid(&live) != object::text(secret, &["uid"]) {
            return None;
        }
    }
    Some(user)
}
