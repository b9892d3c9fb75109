//! Values that a provider's library falls over instead of refusing them: an address that is none, a key with a line's end
//! in its middle. They are found here, before a request is built, because one BackupStorage with a typing error must not
//! take the operator down for all others.

use super::{BackendError, SecretValues, Storage};

impl Storage {
    /// The address of a bucket or container as it will be asked, `URL/BUCKET`. `field`: what people have to correct,
    /// below `spec.storage`.
    ///
    /// # Errors
    /// When the address is no `http` or `https` URL with a host, or the name cannot stand in one.
    pub(super) fn place(
        &self,
        (field, url): (&str, &str),
        (kind, name): (&str, &str),
    ) -> Result<String, BackendError> {
        let refuse = |what: String| Err(BackendError::misconfigured(&self.label, &what));
        if let Some(why) = no_address(url) {
            return refuse(format!(
                "{field} \"{url}\" is no address ({why}); write it as https://HOST or https://HOST:PORT"
            ));
        }
        if name.is_empty() {
            return refuse(format!("spec.storage.{kind} is empty; name the one to store in"));
        }
        if !name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-._".contains(&it))
        {
            return refuse(format!(
                "spec.storage.{kind} \"{name}\" cannot be the name of one: letters, digits, '-', '.' and '_' are allowed; directories in it go to the prefix"
            ));
        }
        Ok(format!("{url}/{name}"))
    }

    /// A word of the object that travels in a header.
    pub(super) fn header_word(&self, field: &str, word: &str) -> Result<(), BackendError> {
        if travels(word) {
            return Ok(());
        }
        Err(BackendError::misconfigured(
            &self.label,
            &format!(
                "{field} \"{}\" holds characters that it cannot have",
                word.escape_debug()
            ),
        ))
    }
}

impl SecretValues {
    /// Refuses a value that no request can carry; it is not shown.
    pub(super) fn travelling<'a>(&self, key: &str, word: &'a str) -> Result<&'a str, BackendError> {
        if travels(word) {
            return Ok(word);
        }
        Err(self.unusable(
            key,
            "holds a blank, a line's end or a letter outside ASCII, which no such key has",
        ))
    }
}

/// Visible ASCII and nothing else.
fn travels(word: &str) -> bool {
    word.bytes().all(|it| it.is_ascii_graphic())
}

/// Why a text is not the address of a server.
fn no_address(url: &str) -> Option<String> {
    let parsed = match reqwest::Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => return Some(error.to_string()),
    };
    // What signs a request reads it with the stricter of the two parsers.
    if let Err(error) = url.parse::<http::Uri>() {
        return Some(error.to_string());
    }
    if !matches!(parsed.scheme(), "http" | "https") {
        return Some(format!("\"{}\" is neither http nor https", parsed.scheme()));
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Some("it names no host".to_owned());
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Some("credentials belong into the storage Secret".to_owned());
    }
    (parsed.query().is_some() || parsed.fragment().is_some()).then(|| "it has a query".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage() -> Storage {
        Storage {
            label: "BackupStorage demo/s".into(),
            spec: serde_json::from_str(r#"{"provider":"s3"}"#).unwrap(),
            local_root: None,
            credentials: None,
        }
    }

    fn refusal(url: &str, bucket: &str) -> String {
        let place = storage().place(("spec.storage.s3.endpoint", url), ("s3.bucket", bucket));
        place
            .err()
            .unwrap_or_else(|| panic!("{url} {bucket} was taken"))
            .to_string()
    }

    #[test]
    fn what_is_no_address_is_named_with_the_field_and_a_way_out() {
        for url in [
            "ht!tp://x",
            "https://",
            "https://a b",
            "https://host:port",
            "https://host:99999",
            "ftp://host",
            "https://ключ",
            "https://host/?a=b",
            "https://user:hunter2@host",
        ] {
            let text = refusal(url, "b");
            assert!(
                text.contains("BackupStorage demo/s: spec.storage.s3.endpoint")
                    && text.contains("https://HOST"),
                "{url}: {text}"
            );
        }
    }

    #[test]
    fn a_name_that_cannot_stand_in_an_address_is_refused() {
        for bucket in ["", "a b", "a/b", "a\nb", "é", "a?b", "a%20b"] {
            let text = refusal("https://host:9000/base", bucket);
            assert!(text.contains("spec.storage.s3.bucket"), "{bucket}: {text}");
        }
    }

    #[test]
    fn what_servers_are_called_is_taken() {
        for url in [
            "http://127.0.0.1:9000",
            "https://[::1]:9000",
            "https://s3.eu-west-1.amazonaws.com",
            "http://minio.ns.svc",
        ] {
            let place = storage().place(("f", url), ("s3.bucket", "My_bucket-1.x"));
            assert_eq!(place.unwrap(), format!("{url}/My_bucket-1.x"));
        }
    }

    #[test]
    fn a_key_that_no_request_can_carry_is_refused_without_showing_it() {
        let secret = SecretValues::new("demo", "s3", []);
        for word in ["hun ter2", "hun\nter2", "hunter2é"] {
            let text = secret
                .travelling("AWS_ACCESS_KEY_ID", word)
                .unwrap_err()
                .to_string();
            assert!(
                text.contains("AWS_ACCESS_KEY_ID of Secret demo/s3") && !text.contains("hun"),
                "{text}"
            );
        }
        assert_eq!(secret.travelling("K", "AKIA/+=~").unwrap(), "AKIA/+=~");
    }
}
