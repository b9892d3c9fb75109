//! Reads the plan and the secret values beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::job::Failure;
use crate::api::config::job_plan::{JobPlan, PLAN_DIR, PLAN_DIR_ENV, PLAN_FILE, PlanBackend, PlanSecret};
use crate::api::config::job_result::JobCause;
use crate::backend::{SecretValues, Storage};
use crate::restic::Redactor;

/// A plan with the values it points at.
pub(crate) struct Loaded {
    pub(crate) plan: JobPlan,
    pub(crate) secrets: Secrets,
}

/// The values beside a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    dir: PathBuf,
}

impl Loaded {
    /// From the directory that the Job mounts.
    pub(crate) fn from_environment() -> Result<Self, Failure> {
        let dir = std::env::var_os(PLAN_DIR_ENV)
            .filter(|dir| !dir.is_empty())
            .map_or_else(|| PathBuf::from(PLAN_DIR), PathBuf::from);
        Self::from_directory(&dir)
    }

    pub(crate) fn from_directory(dir: &Path) -> Result<Self, Failure> {
        let file = dir.join(PLAN_FILE);
        let broken = |why: String| {
            Failure::new(
                JobCause::Misconfigured,
                format!(
                    "the plan {} cannot be used: {why}; the operator writes it, so let it create the Job again",
                    file.display()
                ),
            )
        };
        let text = std::fs::read(&file).map_err(|error| broken(error.to_string()))?;
        let plan = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        Ok(Self {
            plan,
            secrets: Secrets { dir: dir.to_owned() },
        })
    }
}

impl Secrets {
    /// The values of one Secret.
    pub(crate) fn values(&self, secret: &PlanSecret) -> Result<SecretValues, Failure> {
        let broken = |error: std::io::Error| {
            Failure::new(
                JobCause::Misconfigured,
                format!(
                    "the values of Secret {}/{} are not mounted: {error}",
                    secret.namespace, secret.name
                ),
            )
        };
        let prefix = format!("{}.", secret.prefix);
        let mut values = BTreeMap::new();
        for entry in std::fs::read_dir(&self.dir).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let name = entry.file_name();
            let Some(key) = name.to_str().and_then(|name| name.strip_prefix(&prefix)) else {
                continue;
            };
            values.insert(key.to_owned(), std::fs::read(entry.path()).map_err(broken)?);
        }
        Ok(SecretValues::new(&secret.namespace, &secret.name, values))
    }

    /// A storage with its values, which the redactor learns.
    pub(crate) fn storage(&self, backend: &PlanBackend, redactor: &mut Redactor) -> Result<Storage, Failure> {
        let credentials = match &backend.credentials {
            None => None,
            Some(secret) => {
                let values = self.values(secret)?;
                redactor.learn(values.texts());
                Some(values)
            }
        };
        Ok(Storage {
            label: format!("BackupStorage {}/{}", backend.namespace, backend.name),
            spec: backend.spec.clone(),
            local_root: backend.local_root.as_ref().map(PathBuf::from),
            credentials,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_prefix() {
        let dir = tempfile::tempdir().unwrap();
        for (name, value) in [
            ("backend-0.KEY", "a"),
            ("backend-01.KEY", "b"),
            ("plan.json", "{}"),
        ] {
            std::fs::write(dir.path().join(name), value).unwrap();
        }
        let secrets = Secrets {
            dir: dir.path().to_owned(),
        };
        let secret = PlanSecret {
            prefix: "backend-0".into(),
            name: "s3".into(),
            namespace: "demo".into(),
        };
        let values = secrets.values(&secret).unwrap();
        assert_eq!(values.required("KEY").unwrap(), "a");
        assert_eq!(values.texts().count(), 1);
    }

    #[test]
    fn a_missing_plan_is_named() {
        let error = Loaded::from_directory(Path::new("/nowhere")).err().unwrap();
        assert!(error.message.contains("/nowhere/plan.json"), "{}", error.message);
        assert_eq!(error.cause, JobCause::Misconfigured);
    }
}
