//! ControllerRevisions: the history of a pod template, for StatefulSets and DaemonSets (`kubectl rollout history`
//! and `undo` read it).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::engine::{Error, Informer, is_terminating};
use super::pods::short_hash;

/// The label that names a pod's revision.
pub(super) const LABEL: &str = "controller-revision-hash";

/// Whose history it is.
pub(super) struct Owner<'a> {
    /// Namespace of the owner.
    pub(super) namespace: &'a str,
    /// Name of the owner.
    pub(super) name: &'a str,
    /// The reference that makes it the controller of its revisions.
    pub(super) reference: OwnerReference,
    /// Its present pod template.
    pub(super) template: &'a PodTemplateSpec,
}

fn content(template: &PodTemplateSpec) -> Result<Value, Error> {
    let mut template = serde_json::to_value(template)
        .map_err(|error| Error::Other(format!("a pod template is not JSON: {error}")))?;
    template["$patch"] = json!("replace");
    Ok(json!({"spec": {"template": template}}))
}

/// The pod template a revision keeps.
pub(super) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    serde_json::from_value(revision.data.0.pointer("/spec/template")?.clone()).ok()
}

/// The history, oldest first.
pub(super) fn history(
    informer: &Informer<ControllerRevision>,
    owner_uid: &str,
) -> Vec<Arc<ControllerRevision>> {
    let mut all = informer.controlled_by(owner_uid);
    all.retain(|revision| !is_terminating(revision.as_ref()));
    all.sort_by_key(|revision| (revision.revision, revision.name_any()));
    all
}

/// The revision of the owner's present template, which is made, or made the newest again, where that is needed.
pub(super) async fn newest(
    informer: &Informer<ControllerRevision>,
    owner: &Owner<'_>,
) -> Result<Arc<ControllerRevision>, Error> {
    let all = history(informer, &owner.reference.uid);
    let last = all.last().and_then(|revision| revision.revision).unwrap_or(0);
    let content = content(owner.template)?;
    if let Some(known) = all.iter().find(|revision| revision.data.0 == content) {
        if known.revision == Some(last) {
            return Ok(Arc::clone(known));
        }
        let mut newest = known.as_ref().clone();
        newest.revision = Some(last + 1);
        informer.update(known, &newest).await?;
        return Ok(Arc::clone(known));
    }
    let mut collisions = None;
    loop {
        let hash = short_hash(owner.template, collisions);
        let revision = build(owner, &hash, content.clone(), last + 1);
        match informer.create(&revision).await {
            Err(error) if error.is_conflict() && collisions.unwrap_or(0) < 8 => {
                collisions = Some(collisions.unwrap_or(0) + 1);
            }
            outcome => return outcome,
        }
    }
}

fn build(owner: &Owner<'_>, hash: &str, content: Value, number: i64) -> ControllerRevision {
    let labels = owner
        .template
        .metadata
        .as_ref()
        .and_then(|meta| meta.labels.clone());
    let mut labels: BTreeMap<String, String> = labels.unwrap_or_default();
    labels.insert(LABEL.to_owned(), hash.to_owned());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", owner.name)),
            namespace: Some(owner.namespace.to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![owner.reference.clone()]),
            ..ObjectMeta::default()
        },
        data: RawExtension(content),
        revision: Some(number),
    }
}

/// Deletes the oldest revisions beyond `limit`, sparing those in use.
pub(super) async fn trim(
    informer: &Informer<ControllerRevision>,
    owner_uid: &str,
    limit: i32,
    in_use: &[String],
) -> Result<(), Error> {
    let idle: Vec<_> = history(informer, owner_uid)
        .into_iter()
        .filter(|revision| !in_use.contains(&revision.name_any()))
        .collect();
    let excess = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    for revision in &idle[..excess] {
        informer.delete(revision, None).await?;
    }
    Ok(())
}
