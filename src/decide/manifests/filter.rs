//! Which manifests are meant.

use std::collections::BTreeMap;

use super::Place;

/// Never restored: they are the cluster's own account of itself, and a restored one would be wrong.
const NEVER: [&str; 2] = ["nodes", "endpointslices.discovery.k8s.io"];

/// Left out unless they are named: what other objects make anew, what belongs to the machine, and the records of backups,
/// which come back with their storage.
const UNLESS_NAMED: [&str; 10] = [
    "events",
    "events.events.k8s.io",
    "csinodes.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "backupsessions.core.kubestash.com",
    "backupverificationsession.core.kubestash.com",
    "backupverifier.core.kubestash.com",
    "restoresessions.core.kubestash.com",
    "repositories.storage.kubestash.com",
    "snapshots.storage.kubestash.com",
];

/// What is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of these namespaces, unless empty; `*` is all.
    pub include_namespaces: Vec<String>,
    /// Not of these.
    pub exclude_namespaces: Vec<String>,
    /// Only of these resources, unless empty: `deployments`, `deployments.apps` or `*`.
    pub include_resources: Vec<String>,
    /// Not of these.
    pub exclude_resources: Vec<String>,
    /// Whether resources of the cluster are meant, too.
    pub cluster: bool,
    /// Objects must have all of these labels: `key`, `key=value` or `key:value`.
    pub all_labels: Vec<String>,
    /// Objects must have one of these labels, unless empty.
    pub any_label: Vec<String>,
}

/// Why a manifest is not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Out {
    /// Such resources are never restored.
    Never,
    /// Left out unless the resource is named.
    UnlessNamed,
    /// It is of the cluster, and those are not meant.
    Cluster,
    /// Its namespace is not meant.
    Namespace,
    /// Its resource is not meant.
    Resource,
}

/// Whether a user's word means a resource: with its group, or without one.
fn means(word: &str, resource: &str) -> bool {
    let word = word.trim().to_lowercase();
    word == "*" || word == resource || resource.split('.').next() == Some(word.as_str())
}

impl Filter {
    /// Whether the place of a manifest is meant; with `restoring` also whether it may be restored at all.
    ///
    /// # Errors
    /// Why not.
    pub fn place(&self, place: &Place, restoring: bool) -> Result<(), Out> {
        let resource = place.resource.as_str();
        let named = self
            .include_resources
            .iter()
            .any(|w| w != "*" && means(w, resource));
        if restoring && NEVER.contains(&resource) {
            return Err(Out::Never);
        }
        if restoring && UNLESS_NAMED.contains(&resource) && !named {
            return Err(Out::UnlessNamed);
        }
        let wanted = self.include_resources.is_empty()
            || self.include_resources.iter().any(|word| means(word, resource));
        if !wanted || self.exclude_resources.iter().any(|word| means(word, resource)) {
            return Err(Out::Resource);
        }
        let Some(namespace) = &place.namespace else {
            return if self.cluster { Ok(()) } else { Err(Out::Cluster) };
        };
        let one_of = |list: &[String]| list.iter().any(|n| n == "*" || n == namespace);
        if (!self.include_namespaces.is_empty() && !one_of(&self.include_namespaces))
            || one_of(&self.exclude_namespaces)
        {
            return Err(Out::Namespace);
        }
        Ok(())
    }

    /// Whether labels matter, so that the content of every file must be read.
    #[must_use]
    pub fn needs_labels(&self) -> bool {
        !self.all_labels.is_empty() || !self.any_label.is_empty()
    }

    /// Whether the labels of an object are meant.
    #[must_use]
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |selector: &String| {
            let selector = selector.trim();
            match selector.split_once('=').or_else(|| selector.split_once(':')) {
                Some((key, value)) => labels.get(key.trim()).is_some_and(|v| v == value.trim()),
                None => labels.contains_key(selector),
            }
        };
        self.all_labels.iter().all(has) && (self.any_label.is_empty() || self.any_label.iter().any(has))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(resource: &str, namespace: Option<&str>) -> Place {
        Place {
            resource: resource.into(),
            namespace: namespace.map(str::to_owned),
            name: "x".into(),
        }
    }

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn a_resource_is_meant_with_or_without_its_group() {
        let deployments = place("deployments.apps", Some("demo"));
        for (include, exclude, meant) in [
            (&[][..], &[][..], true),
            (&["deployments"], &[], true),
            (&["Deployments.apps"], &[], true),
            (&["*"], &[], true),
            (&["services"], &[], false),
            (&[], &["deployments"], false),
            (&["*"], &["deployments"], false),
            (&["*"], &["deployments.apps"], false),
            (&[], &["apps"], true),
        ] {
            let filter = Filter {
                include_resources: list(include),
                exclude_resources: list(exclude),
                ..Filter::default()
            };
            assert_eq!(
                filter.place(&deployments, true).is_ok(),
                meant,
                "{include:?} {exclude:?}"
            );
        }
    }

    #[test]
    fn namespaces_and_the_cluster_are_told_apart() {
        let filter = Filter {
            include_namespaces: list(&["demo", "apps"]),
            exclude_namespaces: list(&["apps"]),
            ..Filter::default()
        };
        assert!(filter.place(&place("services", Some("demo")), true).is_ok());
        assert_eq!(
            filter.place(&place("services", Some("apps")), true),
            Err(Out::Namespace)
        );
        assert_eq!(
            filter.place(&place("services", Some("other")), true),
            Err(Out::Namespace)
        );
        assert_eq!(
            filter.place(&place("clusterroles.rbac.authorization.k8s.io", None), true),
            Err(Out::Cluster)
        );
    }

    #[test]
    fn what_a_cluster_makes_by_itself_stays_out() {
        let all = Filter {
            cluster: true,
            ..Filter::default()
        };
        assert_eq!(all.place(&place("nodes", None), true), Err(Out::Never));
        assert!(
            all.place(&place("nodes", None), false).is_ok(),
            "it may be looked at"
        );
        let events = place("events", Some("demo"));
        assert_eq!(all.place(&events, true), Err(Out::UnlessNamed));
        let named = Filter {
            include_resources: list(&["events"]),
            ..Filter::default()
        };
        assert!(named.place(&events, true).is_ok());
    }

    #[test]
    fn labels_are_taken_in_three_spellings() {
        let labels: BTreeMap<String, String> = [("app", "web"), ("tier", "front")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let fits = |all: &[&str], any: &[&str]| {
            Filter {
                all_labels: list(all),
                any_label: list(any),
                ..Filter::default()
            }
            .labels(&labels)
        };
        assert!(fits(&[], &[]) && fits(&["app=web", "tier:front", "app"], &[]));
        assert!(!fits(&["app=web", "tier=back"], &[]));
        assert!(fits(&[], &["tier=back", "app"]) && !fits(&[], &["none"]));
    }
}
