//! The authority and the certificate of the webhook server: made here, kept in one Secret.
//!
//! Pure but for the random keys. Ages are read from the Secret's annotations, so nothing has to parse certificates.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt, api::ObjectMeta};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::{SECRET, SERVICE};
use crate::api::labels;

/// Annotation: when the serving certificate is to be renewed.
const RENEW_AFTER: &str = "kubestash.com/renew-after";
/// Annotation: when the authority is to be renewed.
const AUTHORITY_RENEW_AFTER: &str = "kubestash.com/authority-renew-after";

const AUTHORITY_CERTIFICATE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

const DAY: SignedDuration = SignedDuration::from_hours(24);
const AUTHORITY_DAYS: i32 = 3650;
const SERVING_DAYS: i32 = 365;

/// What the server needs and what callers must trust.
pub(super) struct Bundle {
    /// PEM: what callers trust; more than one certificate while an authority is being replaced.
    pub(super) trusted: String,
    /// PEM: the serving certificate.
    pub(super) certificate: String,
    /// PEM: its key.
    pub(super) key: String,
}

/// The bundle in a Secret. `None` when something is missing or it is time to renew.
pub(super) fn usable(secret: &Secret, now: Timestamp) -> Option<Bundle> {
    (renew_after(secret, RENEW_AFTER)? > now).then_some(())?;
    Some(Bundle {
        trusted: entry(secret, AUTHORITY_CERTIFICATE)?,
        certificate: entry(secret, CERTIFICATE)?,
        key: entry(secret, KEY)?,
    })
}

fn entry(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone())
        .ok()
        .filter(|text| !text.is_empty())
}

fn renew_after(secret: &Secret, annotation: &str) -> Option<Timestamp> {
    secret.annotations().get(annotation)?.parse().ok()
}

/// A Secret with a fresh serving certificate for the Service in `namespace`. The authority of `old` is used again as
/// long as it is young enough; when it is replaced, callers go on trusting the old one, too.
///
/// # Errors
/// When keys or certificates cannot be made.
pub(super) fn make(namespace: &str, old: Option<&Secret>, now: Timestamp) -> anyhow::Result<Secret> {
    let kept = old.and_then(|old| authority(old, now));
    let (authority_key, trusted, authority_until) = match kept {
        Some(kept) => kept,
        None => new_authority(old, now)?,
    };
    let key = KeyPair::generate().context("no key for the webhooks' certificate")?;
    let issuer = Issuer::new(authority_params(now)?, &authority_key);
    let certificate = serving_params(namespace, now)?
        .signed_by(&key, &issuer)
        .context("the webhooks' certificate cannot be signed")?;
    let renew = now + DAY * (SERVING_DAYS * 2 / 3);
    let data = BTreeMap::from([
        (AUTHORITY_CERTIFICATE.to_owned(), ByteString(trusted.into_bytes())),
        (
            AUTHORITY_KEY.to_owned(),
            ByteString(authority_key.serialize_pem().into_bytes()),
        ),
        (CERTIFICATE.to_owned(), ByteString(certificate.pem().into_bytes())),
        (KEY.to_owned(), ByteString(key.serialize_pem().into_bytes())),
    ]);
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(
                labels::MANAGED_BY.to_owned(),
                labels::MANAGED_BY_KUBESTASH.to_owned(),
            )])),
            annotations: Some(BTreeMap::from([
                (RENEW_AFTER.to_owned(), renew.to_string()),
                (AUTHORITY_RENEW_AFTER.to_owned(), authority_until.to_string()),
            ])),
            resource_version: old.and_then(ResourceExt::resource_version),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data),
        ..Secret::default()
    })
}

type Authority = (KeyPair, String, Timestamp);

fn authority(secret: &Secret, now: Timestamp) -> Option<Authority> {
    let until = renew_after(secret, AUTHORITY_RENEW_AFTER).filter(|until| *until > now)?;
    let key = KeyPair::from_pem(&entry(secret, AUTHORITY_KEY)?).ok()?;
    Some((key, entry(secret, AUTHORITY_CERTIFICATE)?, until))
}

fn new_authority(old: Option<&Secret>, now: Timestamp) -> anyhow::Result<Authority> {
    let key = KeyPair::generate().context("no key for the webhooks' authority")?;
    let certificate = authority_params(now)?
        .self_signed(&key)
        .context("no webhooks' authority")?;
    let before = old
        .and_then(|old| entry(old, AUTHORITY_CERTIFICATE))
        .and_then(|pem| first_certificate(&pem));
    let trusted = certificate.pem() + before.as_deref().unwrap_or_default();
    Ok((key, trusted, now + DAY * (AUTHORITY_DAYS * 2 / 3)))
}

/// The newest certificate of a bundle: older ones are not carried on a second time.
fn first_certificate(pem: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let end = pem.find(END)? + END.len();
    Some(format!("{}\n", pem[..end].trim_start()))
}

fn authority_params(now: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "kubestash webhooks");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    lasting(&mut params, now, AUTHORITY_DAYS);
    Ok(params)
}

fn serving_params(namespace: &str, now: Timestamp) -> anyhow::Result<CertificateParams> {
    let names = [
        format!("{SERVICE}.{namespace}.svc"),
        format!("{SERVICE}.{namespace}.svc.cluster.local"),
        format!("{SERVICE}.{namespace}"),
        SERVICE.to_owned(),
    ];
    let mut params = CertificateParams::new(names.to_vec()).context("the Service's name is no host name")?;
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{SERVICE}.{namespace}.svc"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    lasting(&mut params, now, SERVING_DAYS);
    Ok(params)
}

/// Valid from yesterday, because clocks differ, for so many days.
fn lasting(params: &mut CertificateParams, now: Timestamp, days: i32) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = day(now - DAY);
    params.not_after = day(now + DAY * days);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_made_secret_is_usable_until_it_grows_old() {
        let now = at("2026-01-01T00:00:00Z");
        let secret = make("kubestash", None, now).unwrap();
        assert!(usable(&secret, now).is_some());
        assert!(usable(&secret, now + DAY * 200).is_some());
        assert!(usable(&secret, now + DAY * 250).is_none());
        assert!(usable(&Secret::default(), now).is_none());
    }

    #[test]
    fn renewal_keeps_the_authority_while_it_is_young() {
        let now = at("2026-01-01T00:00:00Z");
        let first = make("kubestash", None, now).unwrap();
        let later = now + DAY * 250;
        let second = make("kubestash", Some(&first), later).unwrap();
        let (a, b) = (usable(&first, now).unwrap(), usable(&second, later).unwrap());
        assert_eq!(a.trusted, b.trusted);
        assert_ne!(a.certificate, b.certificate);
    }

    #[test]
    fn a_replaced_authority_is_trusted_beside_the_new_one() {
        let now = at("2026-01-01T00:00:00Z");
        let first = make("kubestash", None, now).unwrap();
        let later = now + DAY * 3000;
        let second = make("kubestash", Some(&first), later).unwrap();
        let (a, b) = (usable(&first, now).unwrap(), usable(&second, later).unwrap());
        assert!(b.trusted.contains(a.trusted.trim()) && b.trusted != a.trusted);
        assert_eq!(b.trusted.matches("BEGIN CERTIFICATE").count(), 2);
    }

    #[test]
    fn a_spoilt_secret_is_made_anew_at_its_version() {
        let now = at("2026-01-01T00:00:00Z");
        let mut spoilt = make("kubestash", None, now).unwrap();
        spoilt.metadata.resource_version = Some("7".into());
        spoilt
            .data
            .as_mut()
            .unwrap()
            .insert(AUTHORITY_KEY.into(), ByteString(b"nonsense".to_vec()));
        let mended = make("kubestash", Some(&spoilt), now).unwrap();
        assert_eq!(mended.metadata.resource_version.as_deref(), Some("7"));
        assert!(usable(&mended, now).is_some());
    }
}
