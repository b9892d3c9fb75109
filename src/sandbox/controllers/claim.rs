//! Which of a namespace's objects belong to a controller: those it owns, and orphans its selector takes, which it
//! adopts; owned ones the selector no longer takes are let go. The rules are Kubernetes' own
//! (PodControllerRefManager).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::ResourceExt;

use super::engine::{Error, Informer, Object, controller_of, is_terminating};
use super::pods::selects;

/// The objects that belong to the controller `reference` names, after adoptions and releases.
pub(super) async fn claim<K: Object>(
    informer: &Informer<K>,
    namespace: &str,
    selector: Option<&LabelSelector>,
    reference: &OwnerReference,
    terminating: bool,
) -> Result<Vec<Arc<K>>, Error> {
    let mut own = Vec::new();
    for object in informer.controlled_by(&reference.uid) {
        let wanted = selector.is_none_or(|selector| selects(selector, object.labels()));
        if wanted || terminating || is_terminating(object.as_ref()) {
            own.push(object);
        } else {
            let mut released = object.as_ref().clone();
            released
                .owner_references_mut()
                .retain(|owner| owner.uid != reference.uid);
            informer.update(&object, &released).await?;
        }
    }
    let Some(selector) = selector.filter(|_| !terminating) else {
        return Ok(own);
    };
    for object in informer.in_namespace(namespace) {
        let orphan = controller_of(object.as_ref()).is_none() && !is_terminating(object.as_ref());
        if orphan && selects(selector, object.labels()) {
            let mut adopted = object.as_ref().clone();
            adopted
                .owner_references_mut()
                .retain(|owner| owner.uid != reference.uid);
            adopted.owner_references_mut().push(reference.clone());
            informer.update(&object, &adopted).await?;
            own.extend(informer.get(&super::engine::Key::of(object.as_ref())));
        }
    }
    Ok(own)
}
