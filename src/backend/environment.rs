//! What restic needs to reach a storage: repository, environment, arguments and small files. Pure, so that every provider
//! can be tested by assertion.

use std::path::{Path, PathBuf};

use super::{BackendError, SecretText, SecretValues, Storage, join};
use crate::api::storage::Provider;

/// The file for the certificate authority, inside the temporary directory of the run.
const CA_FILE: &str = "ca.crt";
/// The file for Google's service account key, inside the temporary directory of the run.
const GCS_FILE: &str = "google-service-account.json";

/// Ambient variables that must not reach restic when a Secret has the word.
const AMBIENT: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_DEFAULT_REGION",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_ACCESS_TOKEN",
    "GOOGLE_PROJECT_ID",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "AZURE_ENDPOINT_SUFFIX",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_CLIENT_SECRET",
];

/// What restic needs to reach one repository.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResticEnvironment {
    /// restic's name of the repository, for example `s3:https://minio:9000/bucket/demo/repo`.
    pub repository: String,
    /// Environment variables to set.
    pub variables: Vec<(&'static str, SecretText)>,
    /// Environment variables that must not be inherited.
    pub unset: Vec<&'static str>,
    /// Global arguments.
    pub arguments: Vec<String>,
    /// Files to write with mode 0600 before restic starts.
    pub files: Vec<(PathBuf, SecretText)>,
}

impl Storage {
    /// What restic needs to reach the repository in the directory `dir` below the storage's prefix. `tmp` is the temporary
    /// directory of the run; [`ResticEnvironment::files`] lie in it.
    ///
    /// # Errors
    /// When the storage or its Secret cannot work as written.
    pub fn restic(&self, dir: &str, tmp: &Path) -> Result<ResticEnvironment, BackendError> {
        let mut found = match self.provider()? {
            Provider::Local => self.local(dir)?,
            Provider::S3 => self.s3(dir, tmp)?,
            Provider::Gcs => self.gcs(dir, tmp)?,
            Provider::Azure => self.azure(dir, tmp)?,
        };
        if self.credentials.is_some() {
            let set: Vec<&str> = found.variables.iter().map(|(name, _)| *name).collect();
            found.unset = AMBIENT.into_iter().filter(|name| !set.contains(name)).collect();
        }
        Ok(found)
    }

    fn local(&self, dir: &str) -> Result<ResticEnvironment, BackendError> {
        let root = self.root()?;
        Ok(ResticEnvironment {
            repository: root.join(join([dir])).to_string_lossy().into_owned(),
            ..ResticEnvironment::default()
        })
    }

    fn s3(&self, dir: &str, tmp: &Path) -> Result<ResticEnvironment, BackendError> {
        let s3 = self.spec.s3.clone().unwrap_or_default();
        let mut found = ResticEnvironment {
            repository: format!(
                "s3:{}/{}",
                self.s3_endpoint(),
                join([&s3.bucket, &s3.prefix, dir])
            ),
            ..ResticEnvironment::default()
        };
        if let Some(secret) = &self.credentials {
            let mut set = |name, value: &str| found.variables.push((name, SecretText::new(value)));
            set("AWS_ACCESS_KEY_ID", secret.word("AWS_ACCESS_KEY_ID")?);
            set("AWS_SECRET_ACCESS_KEY", secret.word("AWS_SECRET_ACCESS_KEY")?);
            if let Some(token) = secret.optional_word("AWS_SESSION_TOKEN")? {
                set("AWS_SESSION_TOKEN", token);
            }
            trust(secret, tmp, &mut found)?;
        }
        if !s3.region.is_empty() {
            found
                .variables
                .push(("AWS_DEFAULT_REGION", SecretText::new(s3.region)));
        }
        if s3.insecure_tls {
            found.arguments.push("--insecure-tls".into());
        }
        Ok(found)
    }

    /// The endpoint as it is written in the spec; Amazon's (of the region) when it is empty.
    pub(super) fn s3_endpoint(&self) -> String {
        let s3 = self.spec.s3.clone().unwrap_or_default();
        let endpoint = s3.endpoint.trim_end_matches('/');
        match (endpoint.is_empty(), s3.region.is_empty()) {
            (false, _) => endpoint.to_owned(),
            (true, true) => "s3.amazonaws.com".to_owned(),
            (true, false) => format!("s3.{}.amazonaws.com", s3.region),
        }
    }

    fn gcs(&self, dir: &str, tmp: &Path) -> Result<ResticEnvironment, BackendError> {
        let gcs = self.spec.gcs.clone().unwrap_or_default();
        let mut found = ResticEnvironment {
            repository: format!("gs:{}:/{}", gcs.bucket, join([&gcs.prefix, dir])),
            arguments: connections("gs", gcs.max_connections),
            ..ResticEnvironment::default()
        };
        if let Some(secret) = &self.credentials {
            let key = secret.required("GOOGLE_SERVICE_ACCOUNT_JSON_KEY")?;
            let file = tmp.join(GCS_FILE);
            found.variables.push((
                "GOOGLE_APPLICATION_CREDENTIALS",
                SecretText::new(file.to_string_lossy()),
            ));
            found.files.push((file, SecretText::new(key)));
        }
        Ok(found)
    }

    fn azure(&self, dir: &str, tmp: &Path) -> Result<ResticEnvironment, BackendError> {
        let azure = self.spec.azure.clone().unwrap_or_default();
        let mut found = ResticEnvironment {
            repository: format!("azure:{}:/{}", azure.container, join([&azure.prefix, dir])),
            arguments: connections("azure", azure.max_connections),
            ..ResticEnvironment::default()
        };
        found
            .variables
            .push(("AZURE_ACCOUNT_NAME", SecretText::new(self.azure_account()?)));
        if let Some(secret) = &self.credentials {
            let key = secret.word("AZURE_ACCOUNT_KEY")?;
            found.variables.push(("AZURE_ACCOUNT_KEY", SecretText::new(key)));
            if let Some(suffix) = secret.optional_word("AZURE_ENDPOINT_SUFFIX")? {
                found
                    .variables
                    .push(("AZURE_ENDPOINT_SUFFIX", SecretText::new(suffix)));
            }
            trust(secret, tmp, &mut found)?;
        }
        Ok(found)
    }

    /// The account from the spec; older Secrets name it instead.
    pub(super) fn azure_account(&self) -> Result<String, BackendError> {
        let account = self.spec.azure.clone().unwrap_or_default().storage_account;
        if !account.is_empty() {
            return Ok(account);
        }
        let named = match &self.credentials {
            Some(secret) => secret.optional_word("AZURE_ACCOUNT_NAME")?,
            None => None,
        };
        named.map(str::to_owned).ok_or_else(|| {
            BackendError::misconfigured(&self.label, "spec.storage.azure.storageAccount is empty")
        })
    }
}

/// Where the Secret names an authority, its certificate is trusted too.
fn trust(secret: &SecretValues, tmp: &Path, found: &mut ResticEnvironment) -> Result<(), BackendError> {
    if let Some(authority) = secret.optional("CA_CERT_DATA")? {
        let file = tmp.join(CA_FILE);
        found.arguments.push("--cacert".into());
        found.arguments.push(file.to_string_lossy().into_owned());
        found.files.push((file, SecretText::new(authority)));
    }
    Ok(())
}

fn connections(backend: &str, max: Option<i64>) -> Vec<String> {
    match max.filter(|n| *n > 0) {
        Some(n) => vec!["--option".into(), format!("{backend}.connections={n}")],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::config::job_plan::PlanStorage;

    fn storage(spec: &str, secret: Option<&[(&str, &str)]>) -> Storage {
        Storage {
            label: "BackupStorage demo/s".into(),
            spec: serde_json::from_str::<PlanStorage>(spec).unwrap(),
            local_root: Some("/vol/s".into()),
            credentials: secret.map(|pairs| {
                SecretValues::new(
                    "demo",
                    "secret",
                    pairs
                        .iter()
                        .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())),
                )
            }),
        }
    }

    fn restic(spec: &str, secret: Option<&[(&str, &str)]>) -> ResticEnvironment {
        storage(spec, secret)
            .restic("demo/repo/repository/v1/daily/dump", Path::new("/tmp/x"))
            .unwrap()
    }

    fn shown(found: &ResticEnvironment) -> Vec<String> {
        found
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={}", value.expose()))
            .collect()
    }

    const KEYS: &[(&str, &str)] = &[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")];

    #[test]
    fn local_is_a_directory() {
        let found = restic(r#"{"provider":"local","local":{"maxConnections":5}}"#, None);
        assert_eq!(found.repository, "/vol/s/demo/repo/repository/v1/daily/dump");
        assert_eq!((found.variables.len(), found.arguments.len()), (0, 0));
    }

    #[test]
    fn s3_with_everything() {
        let mut keys = KEYS.to_vec();
        keys.push(("AWS_SESSION_TOKEN", "token"));
        keys.push(("CA_CERT_DATA", "PEM"));
        let found = restic(
            r#"{"provider":"s3","s3":{"endpoint":"https://minio:9000/","bucket":"b","prefix":"/p/q/","region":"eu-1",
            "maxConnections":7,"insecureTLS":true}}"#,
            Some(&keys),
        );
        assert_eq!(
            found.repository,
            "s3:https://minio:9000/b/p/q/demo/repo/repository/v1/daily/dump"
        );
        assert_eq!(
            shown(&found),
            [
                "AWS_ACCESS_KEY_ID=id",
                "AWS_SECRET_ACCESS_KEY=key",
                "AWS_SESSION_TOKEN=token",
                "AWS_DEFAULT_REGION=eu-1"
            ]
        );
        assert_eq!(found.arguments, ["--cacert", "/tmp/x/ca.crt", "--insecure-tls"]);
        assert_eq!(
            found.files,
            [(PathBuf::from("/tmp/x/ca.crt"), SecretText::new("PEM"))]
        );
        assert!(found.unset.contains(&"AWS_ROLE_ARN"));
        assert!(!found.unset.contains(&"AWS_SESSION_TOKEN"));
    }

    #[test]
    fn s3_without_an_endpoint_is_amazons() {
        for (region, host) in [
            ("", "s3.amazonaws.com"),
            ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
        ] {
            let spec = format!(r#"{{"provider":"s3","s3":{{"bucket":"b","region":"{region}"}}}}"#);
            let found = restic(&spec, None);
            assert_eq!(
                found.repository,
                format!("s3:{host}/b/demo/repo/repository/v1/daily/dump")
            );
            assert!(found.unset.is_empty(), "the ambient identity must reach restic");
        }
    }

    #[test]
    fn gcs_reads_its_key_from_a_file() {
        let found = restic(
            r#"{"provider":"gcs","gcs":{"bucket":"b","prefix":"p","maxConnections":9}}"#,
            Some(&[
                ("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", "{}"),
                ("GOOGLE_PROJECT_ID", "x"),
            ]),
        );
        assert_eq!(found.repository, "gs:b:/p/demo/repo/repository/v1/daily/dump");
        assert_eq!(
            shown(&found),
            ["GOOGLE_APPLICATION_CREDENTIALS=/tmp/x/google-service-account.json"]
        );
        assert_eq!(found.arguments, ["--option", "gs.connections=9"]);
        assert_eq!(found.files[0].1.expose(), "{}");
    }

    #[test]
    fn gcs_without_a_secret_uses_the_identity_of_the_pod() {
        let found = restic(r#"{"provider":"gcs","gcs":{"bucket":"b"}}"#, None);
        assert_eq!(found.repository, "gs:b:/demo/repo/repository/v1/daily/dump");
        assert!(found.variables.is_empty() && found.files.is_empty() && found.unset.is_empty());
    }

    #[test]
    fn azure_takes_the_account_from_the_spec_and_the_key_from_the_secret() {
        let found = restic(
            r#"{"provider":"azure","azure":{"storageAccount":"acc","container":"c","prefix":"p","maxConnections":3}}"#,
            Some(&[("AZURE_ACCOUNT_KEY", "k"), ("AZURE_ACCOUNT_NAME", "other")]),
        );
        assert_eq!(found.repository, "azure:c:/p/demo/repo/repository/v1/daily/dump");
        assert_eq!(shown(&found), ["AZURE_ACCOUNT_NAME=acc", "AZURE_ACCOUNT_KEY=k"]);
        assert_eq!(found.arguments, ["--option", "azure.connections=3"]);
        let old = restic(
            r#"{"provider":"azure","azure":{"container":"c"}}"#,
            Some(&[("AZURE_ACCOUNT_KEY", "k"), ("AZURE_ACCOUNT_NAME", "old")]),
        );
        assert_eq!(shown(&old)[0], "AZURE_ACCOUNT_NAME=old");
        let ambient = restic(
            r#"{"provider":"azure","azure":{"container":"c","storageAccount":"acc"}}"#,
            None,
        );
        assert_eq!(shown(&ambient), ["AZURE_ACCOUNT_NAME=acc"]);
    }

    #[test]
    fn azure_of_other_clouds_is_reached_by_its_suffix_and_authority() {
        let found = restic(
            r#"{"provider":"azure","azure":{"storageAccount":"acc","container":"c"}}"#,
            Some(&[
                ("AZURE_ACCOUNT_KEY", "k\n"),
                ("AZURE_ENDPOINT_SUFFIX", "core.chinacloudapi.cn\n"),
                ("CA_CERT_DATA", "pem"),
            ]),
        );
        assert_eq!(
            shown(&found),
            [
                "AZURE_ACCOUNT_NAME=acc",
                "AZURE_ACCOUNT_KEY=k",
                "AZURE_ENDPOINT_SUFFIX=core.chinacloudapi.cn"
            ],
            "the end of the line that echo leaves is no part of a key"
        );
        assert_eq!(found.arguments, ["--cacert", "/tmp/x/ca.crt"]);
    }

    #[test]
    fn mistakes_are_named() {
        let tmp = Path::new("/t");
        for (spec, secret, words) in [
            (r#"{"provider":"swift"}"#, None, "provider \"swift\" is not known"),
            (r#"{"provider":"s3"}"#, None, "spec.storage.s3 is missing"),
            (
                r#"{"provider":"s3","s3":{"bucket":"b"}}"#,
                Some(&KEYS[..1]),
                "Secret demo/secret has no key AWS_SECRET_ACCESS_KEY",
            ),
            (
                r#"{"provider":"azure","azure":{"container":"b"}}"#,
                None,
                "storageAccount is empty",
            ),
        ] {
            let error = storage(spec, secret).restic("d", tmp).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
