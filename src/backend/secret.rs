//! Secret values that cannot be shown by accident.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Secret;

use super::{BackendError, Problem};

/// A text that must not be shown. `Debug` prints a placeholder and there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the environment of a process, a file of mode 0600, or a signature; for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The values of one Secret, with its name for messages.
#[derive(Clone, Debug, Default)]
pub struct SecretValues {
    namespace: String,
    name: String,
    values: BTreeMap<String, Bytes>,
}

#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl SecretValues {
    /// Values by key.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        values: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            values: values.into_iter().map(|(k, v)| (k, Bytes(v))).collect(),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the Secret has no such key, the value is empty, or it is not text.
    pub fn required(&self, key: &str) -> Result<&str, BackendError> {
        self.optional(key)?
            .ok_or_else(|| BackendError::secret(&self.namespace, &self.name, &format!("has no key {key}")))
    }

    /// An access key or another word of a provider, without the line's end that `echo` puts behind it.
    ///
    /// # Errors
    /// As [`Self::required`], and when it holds what no such word has.
    pub fn word(&self, key: &str) -> Result<&str, BackendError> {
        self.travelling(key, self.required(key)?.trim())
    }

    /// The same where there may be none.
    ///
    /// # Errors
    /// As [`Self::optional`].
    pub fn optional_word(&self, key: &str) -> Result<Option<&str>, BackendError> {
        let found = self.optional(key)?.map(str::trim);
        found
            .filter(|word| !word.is_empty())
            .map(|word| self.travelling(key, word))
            .transpose()
    }

    /// That the value of a key cannot be used, and why.
    pub(super) fn unusable(&self, key: &str, why: &str) -> BackendError {
        BackendError {
            problem: Problem::Misconfigured,
            message: format!(
                "the key {key} of Secret {0}/{1} {why}; correct it with kubectl edit secret -n {0} {1}",
                self.namespace, self.name
            ),
        }
    }

    /// The value of a key; `None` when it is absent or empty.
    ///
    /// # Errors
    /// When the value is not text.
    pub fn optional(&self, key: &str) -> Result<Option<&str>, BackendError> {
        let Some(value) = self.values.get(key).filter(|v| !v.0.is_empty()) else {
            return Ok(None);
        };
        std::str::from_utf8(&value.0).map(Some).map_err(|_| {
            BackendError::secret(
                &self.namespace,
                &self.name,
                &format!("holds something that is not text under the key {key}"),
            )
        })
    }

    /// All values that are text: what a redactor has to look for.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.values
            .values()
            .filter_map(|v| std::str::from_utf8(&v.0).ok())
    }
}

impl From<&Secret> for SecretValues {
    fn from(secret: &Secret) -> Self {
        let values = secret.data.clone().unwrap_or_default();
        Self::new(
            secret.metadata.namespace.clone().unwrap_or_default(),
            secret.metadata.name.clone().unwrap_or_default(),
            values.into_iter().map(|(key, value)| (key, value.0)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_a_value() {
        let secret = SecretValues::new("demo", "s3", [("KEY".to_owned(), b"hunter2".to_vec())]);
        let shown = format!("{secret:?} {:?}", SecretText::new("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104"), "bytes are values too: {shown}");
    }

    #[test]
    fn a_missing_key_is_named_with_its_secret() {
        let secret = SecretValues::new("demo", "s3", [("EMPTY".to_owned(), Vec::new())]);
        for key in ["AWS_SECRET_ACCESS_KEY", "EMPTY"] {
            let error = secret.required(key).unwrap_err().to_string();
            assert!(
                error.contains(&format!("Secret demo/s3 has no key {key}")),
                "{error}"
            );
        }
    }
}
