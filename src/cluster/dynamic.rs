//! Kinds that only discovery knows: what the API server serves, and reading and writing there.

use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;

use super::kinds::escape;
use super::{Cluster, Error, FIELD_MANAGER, body};

/// How many groups are asked at a time.
const AT_ONCE: usize = 8;

/// A kind as the API server serves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// API group; empty for the core group.
    pub group: String,
    /// The version that the server prefers.
    pub version: String,
    /// Kind in CamelCase.
    pub kind: String,
    /// Plural as it stands in paths.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Served {
    /// `plural.group`, or `plural` in the core group: as kubectl takes it, and as backups of manifests name directories.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `apiVersion` as objects carry it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The path of an object; of the list without a name.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = root(&self.group, &self.version);
        if let (true, Some(namespace)) = (self.namespaced, namespace) {
            path.push_str(&format!("/namespaces/{}", escape(namespace)));
        }
        path.push('/');
        path.push_str(&self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(&escape(name));
        }
        path
    }
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    name: String,
    versions: Vec<Version>,
    preferred_version: Version,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Version {
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    name: String,
    kind: String,
    namespaced: bool,
}

/// How an object is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Write {
    /// Let the server check everything and store nothing.
    pub dry_run: bool,
    /// Take fields from whoever manages them.
    pub force: bool,
}

impl Cluster {
    /// Reads any path of the API server.
    ///
    /// # Errors
    /// See [`Error`]; the object is not named in it.
    pub async fn read(&self, path: &str) -> Result<Value, Error> {
        self.request("GET", path, Vec::new()).await
    }

    /// Every kind that the server serves, each in the version it prefers (one that only another version has, in that),
    /// and the groups that did not answer.
    ///
    /// # Errors
    /// When the server does not say which groups there are.
    pub async fn served(&self) -> Result<(Vec<Served>, Vec<String>), Error> {
        let groups: Groups = self.request("GET", "/apis", Vec::new()).await?;
        let mut versions = vec![(String::new(), "v1".to_owned())];
        for group in groups.groups {
            let preferred = group.preferred_version.version;
            let others = group.versions.into_iter().map(|v| v.version);
            let mut all: Vec<String> = others.filter(|v| *v != preferred).collect();
            all.insert(0, preferred);
            versions.extend(all.into_iter().map(|version| (group.name.clone(), version)));
        }
        let asked = stream::iter(versions).map(|(group, version)| async move {
            let found: Result<Resources, Error> =
                self.request("GET", &root(&group, &version), Vec::new()).await;
            (group, version, found)
        });
        let answers: Vec<_> = asked.buffered(AT_ONCE).collect().await;
        let mut served: Vec<Served> = Vec::new();
        let mut silent = Vec::new();
        for (group, version, found) in answers {
            let Ok(found) = found else {
                silent.push(format!("{group}/{version}"));
                continue;
            };
            for resource in found.resources.into_iter().filter(|r| !r.name.contains('/')) {
                let known = |s: &Served| s.group == group && s.plural == resource.name;
                if !served.iter().any(known) {
                    served.push(Served {
                        group: group.clone(),
                        version: version.clone(),
                        kind: resource.kind,
                        plural: resource.name,
                        namespaced: resource.namespaced,
                    });
                }
            }
        }
        Ok((served, silent))
    }

    /// Reads one object of a served kind, or nothing when it does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find_served(
        &self,
        kind: &Served,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        match self.read(&kind.path(namespace, Some(name))).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Server-side apply of an object of a served kind; without `force` a field that somebody else manages with another
    /// value is an error that names both.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply_served(
        &self,
        kind: &Served,
        namespace: Option<&str>,
        name: &str,
        object: &Value,
        write: Write,
    ) -> Result<Value, Error> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force={}{}",
            kind.path(namespace, Some(name)),
            write.force,
            if write.dry_run { "&dryRun=All" } else { "" }
        );
        self.request("PATCH", &path, body(object)?).await
    }

    /// Changes just the fields that a merge patch names, of an object of a served kind.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn merge_served(
        &self,
        kind: &Served,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        self.merge_at(&kind.path(namespace, Some(name)), patch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_are_the_api_servers() {
        let kind = |group: &str, plural: &str, namespaced: bool| Served {
            group: group.into(),
            version: "v1".into(),
            kind: "X".into(),
            plural: plural.into(),
            namespaced,
        };
        let deployments = kind("apps", "deployments", true);
        assert_eq!(deployments.resource(), "deployments.apps");
        assert_eq!(
            deployments.path(Some("demo"), Some("a")),
            "/apis/apps/v1/namespaces/demo/deployments/a"
        );
        let namespaces = kind("", "namespaces", false);
        assert_eq!(
            (
                namespaces.resource().as_str(),
                namespaces.path(Some("x"), Some("demo")).as_str()
            ),
            ("namespaces", "/api/v1/namespaces/demo")
        );
    }
}
