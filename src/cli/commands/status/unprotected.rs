//! What nobody backs up: workloads with volumes of their own, and claims that no workload uses, which no
//! BackupConfiguration names. What may not be read is left out, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::view::UnprotectedView;
use crate::cli::views::{BackupConfiguration, BackupStorage, Meta};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};

/// How long the cluster is asked; the screen does not wait longer for this part of it.
const WITHIN: Duration = Duration::from_secs(10);
/// Namespaces of the cluster's own; their volumes are its administrators' business. With -A they are left out.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Something that holds data.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Holder {
    metadata: HolderMeta,
    spec: HolderSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HolderMeta {
    #[serde(flatten)]
    meta: Meta,
    labels: BTreeMap<String, String>,
    owner_references: Vec<Owner>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HolderSpec {
    template: Template,
    volume_claim_templates: Vec<Named>,
    resources: Resources,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: Name,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Name {
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    volumes: Vec<Volume>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Volume {
    persistent_volume_claim: Claim,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Claim {
    claim_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: Requests,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Requests {
    storage: String,
}

/// What was read of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders {
    /// The workloads, with their kind.
    workloads: Vec<(&'static str, Holder)>,
    claims: Vec<Holder>,
    /// What could not be looked at, and why.
    pub(super) not_seen: Vec<String>,
}

/// The BackupConfigurations of other namespaces that name something of this one; none where they may not be read.
pub(super) async fn elsewhere(cluster: &Cluster, namespace: &str) -> Vec<BackupConfiguration> {
    let options = ListOptions::default();
    let listed = cluster.list::<BackupConfiguration>(&kinds::BACKUP_CONFIGURATION, &options);
    let Ok(Ok(mut all)) = tokio::time::timeout(WITHIN, listed).await else {
        return Vec::new();
    };
    all.retain(|c| c.metadata.namespace != namespace && c.spec.target.namespace == namespace);
    all
}

/// Reads workloads and claims. Trouble is no error: the rest of the screen does not depend on them.
pub(super) async fn read(cluster: &Cluster, namespace: Option<&str>) -> Holders {
    let options = ListOptions {
        namespace: namespace.map(ToOwned::to_owned),
        ..ListOptions::default()
    };
    let list = |kind: &'static Kind| {
        let options = &options;
        async move {
            let listed = cluster.list::<Holder>(kind, options);
            let said = match tokio::time::timeout(WITHIN, listed).await {
                Ok(Ok(found)) => return (kind, Ok(found)),
                Ok(Err(Error::Forbidden { .. })) => "you may not list them".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("they were not listed within {} s", WITHIN.as_secs()),
            };
            (kind, Err(said))
        }
    };
    let (claims, deployments, sets, daemons) = tokio::join!(
        list(&kinds::CLAIM),
        list(&kinds::DEPLOYMENT),
        list(&kinds::STATEFUL_SET),
        list(&kinds::DAEMON_SET),
    );
    let mut holders = Holders::default();
    for (kind, listed) in [claims, deployments, sets, daemons] {
        match listed {
            Ok(found) if kind == &kinds::CLAIM => holders.claims = found,
            Ok(found) => holders
                .workloads
                .extend(found.into_iter().map(|one| (kind.kind, one))),
            Err(why) => holders.not_seen.push(format!("{}: {why}", kind.plural)),
        }
    }
    holders
}

impl Holders {
    /// Whether there is nothing that could be in no backup.
    pub(super) fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.claims.is_empty()
    }

    /// What no configuration names, workloads first, in the order of their names.
    pub(super) fn without(
        &self,
        configurations: &[BackupConfiguration],
        storages: &[BackupStorage],
        namespace: Option<&str>,
    ) -> Vec<UnprotectedView> {
        let named: BTreeSet<(String, String, String)> = configurations
            .iter()
            .map(|c| {
                let target = &c.spec.target;
                let place = if target.namespace.is_empty() {
                    &c.metadata.namespace
                } else {
                    &target.namespace
                };
                (target.kind.to_lowercase(), place.clone(), target.name.clone())
            })
            .collect();
        let is_named = |kind: &str, meta: &Meta| {
            named.contains(&(kind.to_lowercase(), meta.namespace.clone(), meta.name.clone()))
        };
        let mut found = Vec::new();
        // Claims that are spoken for: named themselves, or of a workload, whether that is protected or listed.
        // Those that hold backups themselves need none.
        let mut spoken: BTreeSet<(String, String)> = storages
            .iter()
            .filter_map(|storage| {
                let claim = storage
                    .spec
                    .storage
                    .pointer("/local/persistentVolumeClaim/claimName")?
                    .as_str()?;
                Some((storage.metadata.namespace.clone(), claim.to_owned()))
            })
            .collect();
        for (kind, workload) in &self.workloads {
            let meta = &workload.metadata.meta;
            let claims = self.claims_of(workload);
            if claims.is_empty() {
                continue;
            }
            let bare: Vec<&String> = claims
                .iter()
                .filter(|claim| {
                    !named.contains(&(
                        "persistentvolumeclaim".to_owned(),
                        meta.namespace.clone(),
                        (*claim).clone(),
                    ))
                })
                .collect();
            if !is_named(kind, meta) && !bare.is_empty() {
                found.push(self.view(kind, meta, bare.into_iter().cloned().collect()));
            }
            spoken.extend(claims.into_iter().map(|claim| (meta.namespace.clone(), claim)));
        }
        for claim in &self.claims {
            let meta = &claim.metadata.meta;
            let of_pod = claim.metadata.owner_references.iter().any(|o| o.kind == "Pod");
            let ours = claim
                .metadata
                .labels
                .get(crate::api::labels::MANAGED_BY)
                .is_some_and(|by| by == crate::api::labels::MANAGED_BY_KUBESTASH);
            let key = (meta.namespace.clone(), meta.name.clone());
            if of_pod || ours || spoken.contains(&key) || is_named(kinds::CLAIM.kind, meta) {
                continue;
            }
            found.push(self.view(kinds::CLAIM.kind, meta, vec![meta.name.clone()]));
        }
        if namespace.is_none() {
            found.retain(|one| !SYSTEM.contains(&one.namespace.as_str()));
        }
        found.sort_by(|a, b| {
            let rank = |one: &UnprotectedView| one.kind == kinds::CLAIM.kind;
            (&a.namespace, rank(a), &a.kind, &a.name).cmp(&(&b.namespace, rank(b), &b.kind, &b.name))
        });
        found
    }

    /// The claims that a workload mounts: by name, and those made for the members of a StatefulSet.
    fn claims_of(&self, workload: &Holder) -> Vec<String> {
        let spec = &workload.spec;
        let mut claims: Vec<String> = spec
            .template
            .spec
            .volumes
            .iter()
            .map(|v| v.persistent_volume_claim.claim_name.clone())
            .filter(|name| !name.is_empty())
            .collect();
        let meta = &workload.metadata.meta;
        for template in &spec.volume_claim_templates {
            let prefix = format!("{}-{}-", template.metadata.name, meta.name);
            let members = self.claims.iter().filter(|claim| {
                let other = &claim.metadata.meta;
                other.namespace == meta.namespace
                    && other
                        .name
                        .strip_prefix(&prefix)
                        .is_some_and(|rest| rest.parse::<u32>().is_ok())
            });
            claims.extend(members.map(|claim| claim.metadata.meta.name.clone()));
        }
        claims.sort();
        claims.dedup();
        claims
    }

    fn view(&self, kind: &str, meta: &Meta, claims: Vec<String>) -> UnprotectedView {
        let size = |name: &String| {
            let found = self
                .claims
                .iter()
                .find(|c| c.metadata.meta.namespace == meta.namespace && &c.metadata.meta.name == name);
            found.map_or(String::new(), |c| c.spec.resources.requests.storage.clone())
        };
        UnprotectedView {
            kind: kind.to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            sizes: claims.iter().map(size).collect(),
            claims,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn holder(name: &str, spec: &Value) -> Holder {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "demo"}, "spec": spec}))
            .unwrap()
    }

    fn claim(name: &str) -> Holder {
        holder(name, &json!({"resources": {"requests": {"storage": "1Gi"}}}))
    }

    fn of(kind: &str, name: &str) -> BackupConfiguration {
        serde_json::from_value(json!({"metadata": {"name": "b", "namespace": "demo"},
            "spec": {"target": {"kind": kind, "name": name}}}))
        .unwrap()
    }

    fn holders() -> Holders {
        let mounts = |claim: &str| json!({"template": {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": claim}}]}}});
        Holders {
            workloads: vec![
                ("Deployment", holder("web", &mounts("files"))),
                ("Deployment", holder("stateless", &json!({}))),
                (
                    "StatefulSet",
                    holder(
                        "db",
                        &json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}),
                    ),
                ),
            ],
            claims: vec![
                claim("files"),
                claim("data-db-0"),
                claim("data-db-1"),
                claim("loose"),
            ],
            not_seen: Vec::new(),
        }
    }

    fn names(configurations: &[BackupConfiguration]) -> Vec<String> {
        let all = holders().without(configurations, &[], Some("demo"));
        all.into_iter()
            .map(|u| format!("{}/{}", u.kind, u.name))
            .collect()
    }

    #[test]
    fn what_no_configuration_names_is_listed_once() {
        assert_eq!(
            names(&[]),
            ["Deployment/web", "StatefulSet/db", "PersistentVolumeClaim/loose"]
        );
        let all = holders().without(&[], &[], Some("demo"));
        assert_eq!(all[1].claims, ["data-db-0", "data-db-1"]);
        assert_eq!(all[1].sizes, ["1Gi", "1Gi"]);
    }

    #[test]
    fn a_claim_that_holds_backups_needs_none() {
        let storage: BackupStorage = serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "demo"},
            "spec": {"storage": {"provider": "local", "local": {"persistentVolumeClaim": {"claimName": "loose"}}}}}))
        .unwrap();
        let all = holders().without(&[], &[storage], Some("demo"));
        assert!(all.iter().all(|one| one.name != "loose"));
    }

    #[test]
    fn a_workload_is_protected_by_its_own_name_or_by_its_claims() {
        let some = [of("StatefulSet", "db"), of("PersistentVolumeClaim", "files")];
        assert_eq!(names(&some), ["PersistentVolumeClaim/loose"]);
        let half = [of("PersistentVolumeClaim", "data-db-0")];
        let all = holders().without(&half, &[], Some("demo"));
        let db = all.iter().find(|u| u.name == "db").unwrap();
        assert_eq!(db.claims, ["data-db-1"], "the half that nobody backs up");
    }
}
