//! The secret values of a storage, and passwords: read from the environment, a file or standard input, never from the
//! command line, and shown nowhere.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use crate::api::storage::Provider;

/// The key of an encryption Secret.
pub const PASSWORD: &str = "RESTIC_PASSWORD";
/// The key of a storage Secret with the certificate of its authority.
pub const AUTHORITY: &str = "CA_CERT_DATA";

/// The key of a storage Secret with the suffix of the addresses of another cloud of Azure.
pub const SUFFIX: &str = "AZURE_ENDPOINT_SUFFIX";

/// Secret values by key. Their `Debug` shows the keys alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// Puts a value; an empty one is left out.
    pub fn put(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `data` of a Secret.
    pub fn data(&self) -> Value {
        self.0
            .iter()
            .map(|(key, value)| (key.clone(), json!(STANDARD.encode(value))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// The keys that a provider's Secret must have, with what each is.
pub fn required(provider: Provider) -> &'static [(&'static str, &'static str)] {
    match provider {
        Provider::S3 => &[
            ("AWS_ACCESS_KEY_ID", "Access key"),
            ("AWS_SECRET_ACCESS_KEY", "Secret key"),
        ],
        Provider::Gcs => &[(
            "GOOGLE_SERVICE_ACCOUNT_JSON_KEY",
            "JSON key of the service account",
        )],
        Provider::Azure => &[("AZURE_ACCOUNT_KEY", "Account key")],
        Provider::Local => &[],
    }
}

/// Keys that it may have as well.
fn optional(provider: Provider) -> &'static [&'static str] {
    match provider {
        Provider::S3 => &["AWS_SESSION_TOKEN", AUTHORITY],
        Provider::Gcs => &["GOOGLE_PROJECT_ID", AUTHORITY],
        Provider::Azure => &["AZURE_ACCOUNT_NAME", SUFFIX, AUTHORITY],
        Provider::Local => &[],
    }
}

/// Reads the values from variables; the Google key also from the file that GOOGLE_APPLICATION_CREDENTIALS names.
///
/// # Errors
/// A sentence that names the variables that are missing.
pub fn from_environment(
    provider: Provider,
    variable: &dyn Fn(&str) -> Option<String>,
    file: &dyn Fn(&str) -> Option<String>,
) -> Result<Values, String> {
    let mut values = Values::default();
    for (key, _) in required(provider) {
        values.put(key, variable(key).unwrap_or_default());
    }
    for key in optional(provider) {
        values.put(key, variable(key).unwrap_or_default());
    }
    if provider == Provider::Gcs
        && values.is_empty()
        && let Some(path) = variable("GOOGLE_APPLICATION_CREDENTIALS")
    {
        values.put("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", file(&path).unwrap_or_default());
    }
    complete(provider, values, "the environment lacks")
}

/// Reads the values from a text: `KEY=VALUE` lines, an AWS credentials file, the JSON of a Google service account, the
/// JSON that MinIO's console hands out, or a bare Azure key.
///
/// # Errors
/// A sentence that names the keys that are missing; it never repeats the text.
pub fn from_text(provider: Provider, text: &str) -> Result<Values, String> {
    let mut values = Values::default();
    if let Ok(Value::Object(json)) = serde_json::from_str::<Value>(text) {
        if provider == Provider::Gcs && json.contains_key("private_key") {
            values.put("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", text.trim().to_owned());
        }
        for (key, value) in &json {
            if let (Some(known), Some(value)) = (known(provider, key), value.as_str()) {
                values.put(known, value.to_owned());
            }
        }
        return complete(provider, values, "the text lacks");
    }
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with(['#', ';']));
    let mut profiles = 0;
    for line in lines.by_ref() {
        if line.starts_with('[') {
            profiles += 1;
            if profiles > 1 {
                // Only the first profile of a credentials file; another would overwrite its keys.
                break;
            }
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        if let Some((key, value)) = line.split_once('=')
            && let Some(known) = known(provider, key.trim())
        {
            values.put(known, unquoted(value.trim()).to_owned());
        } else if provider == Provider::Azure && values.is_empty() && !line.contains(' ') {
            values.put("AZURE_ACCOUNT_KEY", line.to_owned());
        }
    }
    complete(provider, values, "the text lacks")
}

fn unquoted(value: &str) -> &str {
    for mark in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(mark).and_then(|v| v.strip_suffix(mark)) {
            return inner;
        }
    }
    value
}

/// The key of ours that a file's key means.
fn known(provider: Provider, key: &str) -> Option<&'static str> {
    let upper = key.to_uppercase();
    let name = match (provider, upper.as_str()) {
        (Provider::S3, "ACCESSKEY" | "ACCESS_KEY" | "ACCESSKEYID" | "MINIO_ROOT_USER") => "AWS_ACCESS_KEY_ID",
        (Provider::S3, "SECRETKEY" | "SECRET_KEY" | "SECRETACCESSKEY" | "MINIO_ROOT_PASSWORD") => {
            "AWS_SECRET_ACCESS_KEY"
        }
        (_, other) => other,
    };
    let mut all = required(provider)
        .iter()
        .map(|(key, _)| *key)
        .chain(optional(provider).iter().copied());
    all.find(|known| *known == name)
}

fn complete(provider: Provider, values: Values, lacks: &str) -> Result<Values, String> {
    let missing: Vec<&str> = required(provider)
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| !values.has(key))
        .collect();
    if missing.is_empty() {
        Ok(values)
    } else {
        Err(format!("{lacks} {}", missing.join(" and ")))
    }
}

/// A password with 256 bits of randomness, in 43 characters that need no quoting anywhere.
///
/// # Errors
/// When the system has no randomness to give.
pub fn password() -> Result<String, String> {
    let mut bytes = [0u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system gave no random numbers for a password".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_in_the_forms_people_have_them() {
        let lines = "# mine\nexport AWS_ACCESS_KEY_ID=\"id\"\nAWS_SECRET_ACCESS_KEY='s=1'\n";
        let ini = "[default]\naws_access_key_id = id\naws_secret_access_key = s=1\n[other]\naws_access_key_id = no\naws_secret_access_key = no\n";
        let minio = r#"{"url":"http://x","accessKey":"id","secretKey":"s=1","api":"s3v4"}"#;
        for text in [lines, ini, minio] {
            let values = from_text(Provider::S3, text).unwrap();
            assert_eq!(
                values.data(),
                json!({"AWS_ACCESS_KEY_ID": "aWQ=", "AWS_SECRET_ACCESS_KEY": "cz0x"}),
                "{text}"
            );
            assert!(!format!("{values:?}").contains("s=1"));
        }
        let google = r#"{"type":"service_account","private_key":"k"}"#;
        assert!(
            from_text(Provider::Gcs, google)
                .unwrap()
                .has("GOOGLE_SERVICE_ACCOUNT_JSON_KEY")
        );
        assert!(
            from_text(Provider::Azure, "c29tZQ==\n")
                .unwrap()
                .has("AZURE_ACCOUNT_KEY")
        );
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_repeated() {
        let error = from_text(Provider::S3, "AWS_ACCESS_KEY_ID=topsecret\n").unwrap_err();
        assert_eq!(error, "the text lacks AWS_SECRET_ACCESS_KEY");
        let nothing = |_: &str| None;
        assert_eq!(
            from_environment(Provider::S3, &nothing, &nothing).unwrap_err(),
            "the environment lacks AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        );
    }

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (one, two) = (password().unwrap(), password().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(one, two);
    }
}
