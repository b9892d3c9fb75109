//! Manifests in a snapshot: where each lies in the tree, which are meant, in which order they go back, and what of them
//! belongs to the cluster they come from.
//!
//! The tree is KubeStash's: `<top>/<resource>[.<group>]/cluster/<name>.yaml` and
//! `<top>/<resource>[.<group>]/namespaces/<namespace>/<name>.yaml`. A file that lies elsewhere is no manifest of ours.
//!
//! Called by `manifest-view` and `manifest-restore`.

pub mod clean;
pub mod filter;
pub mod order;

/// Where a manifest lies in the tree, which says what it is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `resource` or `resource.group`, in lower case.
    pub resource: String,
    /// The namespace; none for resources of the cluster.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl Place {
    /// The place of a file below `top`; none where it is no manifest of the tree.
    #[must_use]
    pub fn of(top: &str, path: &str) -> Option<Self> {
        let below = path.strip_prefix(top.trim_end_matches('/'))?.strip_prefix('/')?;
        let segments: Vec<&str> = below.split('/').collect();
        let (resource, namespace, file) = match segments.as_slice() {
            [resource, "cluster", file] => (*resource, None, *file),
            [resource, "namespaces", namespace, file] => (*resource, Some(*namespace), *file),
            _ => return None,
        };
        let name = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml"))?;
        let said = |text: &str| !text.is_empty() && text != "." && text != "..";
        if !said(name) || !said(resource) || !namespace.is_none_or(said) {
            return None;
        }
        Some(Place {
            resource: resource.to_lowercase(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// The path below the top.
    #[must_use]
    pub fn path(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}.yaml", self.resource, self.name),
            None => format!("{}/cluster/{}.yaml", self.resource, self.name),
        }
    }

    /// `resource/name`, with its namespace where it has one: for sentences.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{} in namespace {namespace}", self.resource, self.name),
            None => format!("{}/{}", self.resource, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_says_what_a_file_is_of() {
        let top = "/kubestash-tmp/manifest";
        let of = |path: &str| Place::of(top, &format!("{top}/{path}"));
        let deployment = of("deployments.apps/namespaces/demo/web.yaml").unwrap();
        assert_eq!(
            (
                deployment.resource.as_str(),
                deployment.namespace.as_deref(),
                deployment.name.as_str()
            ),
            ("deployments.apps", Some("demo"), "web")
        );
        assert_eq!(deployment.path(), "deployments.apps/namespaces/demo/web.yaml");
        let crd = of("customresourcedefinitions.apiextensions.k8s.io/cluster/a.b.yaml").unwrap();
        assert_eq!((crd.namespace.as_deref(), crd.name.as_str()), (None, "a.b"));
        for wrong in [
            "web.yaml",
            "deployments.apps/web.yaml",
            "deployments.apps/namespaces/demo/web.json",
            "deployments.apps/namespaces/demo/.yaml",
            "deployments.apps/namespaces/../web.yaml",
            "a/b/c/d/e.yaml",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(Place::of("/data", "/database/x/cluster/y.yaml"), None);
    }
}
