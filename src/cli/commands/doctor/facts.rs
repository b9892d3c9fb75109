//! What the checks look at. Each thing is read by itself, and what cannot be read is a fact too.

use std::collections::BTreeSet;

use futures::future;
use serde_json::{Value, json};

use super::definitions;
use crate::api::labels::{MANAGED_BY, MANAGED_BY_KUBESTASH};
use crate::cli::commands::install::ready;
use crate::cli::error::CliError;
use crate::cli::manifests::{self, Manifests};
use crate::cli::report::text;
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};

/// Something that was read, or why it could not be.
pub(in crate::cli) type Read<T> = Result<T, Error>;

/// A right that working with backups takes: what for, verb, group, resource and subresource.
pub(super) const RIGHTS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "take a backup",
        "create",
        "core.kubestash.com",
        "backupsessions",
        "",
    ),
    ("restore", "create", "core.kubestash.com", "restoresessions", ""),
    ("see Snapshots", "list", "storage.kubestash.com", "snapshots", ""),
    ("read logs", "get", "", "pods", "log"),
];

/// Everything that was read.
pub(super) struct Facts {
    /// The namespace of the user's choice.
    pub(super) namespace: String,
    /// `major.minor` of the API server.
    pub(super) server: Read<(u32, u32)>,
    /// Definitions of ours, and those that differ from this program's by name.
    pub(super) definitions: Read<Vec<Value>>,
    pub(super) wanted_definitions: Vec<String>,
    pub(super) differing: Read<Vec<String>>,
    pub(super) operators: Read<Vec<Value>>,
    pub(super) operator_pods: Read<Vec<Value>>,
    /// Roles and bindings of the operator that are missing or are not as this program has them.
    pub(super) lacking: Read<Vec<String>>,
    /// The two webhook configurations that exist.
    pub(super) webhooks: Read<Vec<Value>>,
    /// Whether a BackupStorage passed the webhooks in a dry run.
    pub(super) answers: Read<bool>,
    pub(super) addons: Read<Vec<Value>>,
    pub(super) functions: Read<Vec<Value>>,
    pub(super) wanted_catalog: Vec<(String, String)>,
    pub(super) storages: Read<Vec<Value>>,
    pub(super) configurations: Read<Vec<Value>>,
    pub(super) sessions: Read<Vec<Value>>,
    pub(super) restores: Read<Vec<Value>>,
    pub(super) job_pods: Read<Vec<Value>>,
    /// The pods in the namespaces of storages on claims, without those of ours; not read where there is no such storage.
    pub(super) neighbours: Read<Vec<Value>>,
    /// What each right's review answered.
    pub(super) rights: Vec<Read<bool>>,
}

/// Reads everything, as far as the user may.
///
/// # Errors
/// When the cluster cannot be reached or does not know the user: there is nothing to check then.
pub(super) async fn read(cluster: &Cluster, operator_namespace: Option<&str>) -> Result<Facts, CliError> {
    let namespace = operator_namespace.unwrap_or(manifests::NAMESPACE);
    let shipped = Manifests::new(namespace, crate::IMAGE).map_err(|e| {
        CliError::new(
            crate::cli::error::Exit::Error,
            "the manifests of this program cannot be read",
        )
        .cause(e.to_string())
    })?;
    let name = |object: &Value| text(object, "/metadata/name").to_owned();
    let everywhere = ListOptions::default();
    let operator = ListOptions::default().labelled("app.kubernetes.io/name=kubestash-operator");
    let jobs = ListOptions::default().labelled("app.kubernetes.io/managed-by=kubestash.com");
    // One pass: nothing waits for anything else.
    let (
        operators,
        operator_pods,
        job_pods,
        addons,
        functions,
        server,
        looked,
        answers,
        storages,
        configurations,
        sessions,
        restores,
        webhooks,
        rights,
        lacking,
    ) = tokio::join!(
        cluster.list(&kinds::DEPLOYMENT, &operator),
        cluster.list(&kinds::POD, &operator),
        cluster.list(&kinds::POD, &jobs),
        cluster.list(&kinds::ADDON, &everywhere),
        cluster.list(&kinds::FUNCTION, &everywhere),
        server(cluster),
        definitions::look(cluster, &shipped),
        ready::answers(cluster, cluster.namespace()),
        cluster.list(&kinds::BACKUP_STORAGE, &everywhere),
        cluster.list(&kinds::BACKUP_CONFIGURATION, &everywhere),
        cluster.list(&kinds::BACKUP_SESSION, &everywhere),
        cluster.list(&kinds::RESTORE_SESSION, &everywhere),
        webhooks(cluster),
        rights(cluster),
        lacking(cluster, &shipped),
    );
    // An operator of another namespace has roles of other names and places; only its own installer knows them.
    let here = |d: &Value| text(d, "/metadata/namespace") == namespace;
    let lacking = match &operators {
        Ok(found) if !found.iter().any(here) => Ok(Vec::new()),
        _ => lacking,
    };
    let neighbours = match &storages {
        Ok(found) => neighbours(cluster, found).await,
        Err(_) => Ok(Vec::new()),
    };
    if let Err(error @ (Error::Unreachable { .. } | Error::Unauthorized { .. })) = &server {
        return Err(error.clone().into());
    }
    let (definitions, differing) = match looked {
        Ok(looked) => (Ok(looked.found), looked.differing),
        Err(error) => (Err(error.clone()), Err(error)),
    };
    Ok(Facts {
        namespace: cluster.namespace().to_owned(),
        server,
        differing,
        answers,
        definitions,
        wanted_definitions: shipped.definitions.iter().map(name).collect(),
        wanted_catalog: shipped
            .catalog
            .iter()
            .map(|o| (text(o, "/kind").to_owned(), name(o)))
            .collect(),
        operators,
        operator_pods,
        lacking,
        webhooks,
        addons,
        functions,
        storages,
        configurations,
        sessions,
        restores,
        job_pods,
        neighbours,
        rights,
    })
}

/// The claim that a BackupStorage keeps its backups on.
pub(super) fn claim_of(storage: &Value) -> Option<&str> {
    let claim = storage.pointer("/spec/storage/local/persistentVolumeClaim/claimName")?;
    claim.as_str()
}

async fn neighbours(cluster: &Cluster, storages: &[Value]) -> Read<Vec<Value>> {
    let places: BTreeSet<&str> = storages
        .iter()
        .filter(|storage| claim_of(storage).is_some())
        .map(|storage| text(storage, "/metadata/namespace"))
        .collect();
    let others = format!("{MANAGED_BY}!={MANAGED_BY_KUBESTASH}");
    let each = places.into_iter().map(|place| {
        let options = ListOptions::of(place).labelled(others.clone());
        async move { cluster.list::<Value>(&kinds::POD, &options).await }
    });
    let all: Vec<Read<Vec<Value>>> = future::join_all(each).await;
    let all: Read<Vec<Vec<Value>>> = all.into_iter().collect();
    Ok(all?.into_iter().flatten().collect())
}

/// Compares the roles and bindings of the operator with those it is shipped with.
async fn lacking(cluster: &Cluster, shipped: &Manifests) -> Read<Vec<String>> {
    let kinds = [
        &kinds::CLUSTER_ROLE,
        &kinds::CLUSTER_ROLE_BINDING,
        &kinds::ROLE,
        &kinds::ROLE_BINDING,
    ];
    let each = shipped.operator.iter().map(|object| async move {
        let Some(kind) = kinds.into_iter().find(|k| k.kind == text(object, "/kind")) else {
            return Ok(None);
        };
        let (place, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        let found: Option<Value> = cluster.find(kind, Some(place), name).await?;
        let sound = found.is_some_and(|found| {
            ["rules", "roleRef", "subjects"]
                .iter()
                .all(|field| definitions::same(&object[*field], &found[*field]))
        });
        Ok((!sound).then(|| format!("{} {name}", kind.kind)))
    });
    let all: Vec<Read<Option<String>>> = future::join_all(each).await;
    let lacking: Read<Vec<Option<String>>> = all.into_iter().collect();
    Ok(lacking?.into_iter().flatten().collect())
}

async fn server(cluster: &Cluster) -> Read<(u32, u32)> {
    let version = cluster
        .client()
        .apiserver_version()
        .await
        .map_err(|e| Error::from_kube(e, cluster.server()))?;
    // Providers add a sign to the minor version.
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    Ok((number(&version.major), number(&version.minor)))
}

async fn webhooks(cluster: &Cluster) -> Read<Vec<Value>> {
    let mut found = Vec::new();
    for kind in [&kinds::MUTATING_WEBHOOKS, &kinds::VALIDATING_WEBHOOKS] {
        found.extend(cluster.find::<Value>(kind, None, "kubestash").await?);
    }
    Ok(found)
}

/// Asks the server what the user may do in the chosen namespace.
async fn rights(cluster: &Cluster) -> Vec<Read<bool>> {
    /// SelfSubjectAccessReview: asked, never stored.
    const REVIEW: Kind = Kind {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        namespaced: false,
        short: &[],
    };
    future::join_all(RIGHTS.iter().map(|(_, verb, group, resource, sub)| async move {
        let mut wanted = json!({
            "namespace": cluster.namespace(), "verb": verb, "group": group, "resource": resource,
        });
        if !sub.is_empty() {
            wanted["subresource"] = json!(sub);
        }
        let review = json!({
            "apiVersion": REVIEW.api_version(), "kind": REVIEW.kind, "spec": {"resourceAttributes": wanted},
        });
        let answer = cluster.create(&REVIEW, None, &review).await?;
        Ok(answer.pointer("/status/allowed") == Some(&json!(true)))
    }))
    .await
}
