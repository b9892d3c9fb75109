//! BackupStorage: one default per namespace, one storage per place, and a place that stays while it is in use.

use std::sync::Arc;

use serde_json::Value;

use super::{Facts, Review, default_usage_policy};
use crate::api::storage::{Backend, BackupStorage, Provider};
use crate::decide::place::{Place, directory_refusal, mount_refusal};
use kube::ResourceExt;

/// Fields from which one trailing `/` is taken, below `spec.storage`.
const STRIPPED: [&str; 6] = [
    "s3/bucket",
    "s3/endpoint",
    "s3/prefix",
    "gcs/bucket",
    "gcs/prefix",
    "azure/prefix",
];

pub(super) fn defaults(object: &mut Value, facts: &Facts) {
    default_usage_policy(object, facts);
    for field in STRIPPED {
        if let Some(Value::String(text)) = object.pointer_mut(&format!("/spec/storage/{field}"))
            && text.ends_with('/')
        {
            text.pop();
        }
    }
}

pub(super) fn check(review: &mut Review<'_, BackupStorage>) {
    let spec = &review.new.spec;
    review.check_selector(spec.usage_policy.as_ref());
    one_default(review);
    in_use(review);
    one_per_place(review);
    a_prefix_of_one_meaning(review);
    worth_a_look(review);
}

fn one_default(review: &mut Review<'_, BackupStorage>) {
    if !review.new.spec.default {
        return;
    }
    let other = others(review)
        .find(|other| other.spec.default && other.namespace().as_deref() == Some(review.namespace));
    if let Some(other) = other.map(|other| other.name_any()) {
        review.deny(
            "spec.default",
            format!(
                "BackupStorage {other} is the default of namespace {} already; only one may be: unset `default` there first, or here",
                review.namespace
            ),
        );
    }
}

fn others<'a>(review: &Review<'a, BackupStorage>) -> impl Iterator<Item = &'a Arc<BackupStorage>> + use<'a> {
    let (namespace, name) = (review.namespace, review.name);
    review.facts.storages.iter().filter(move |other| {
        other.metadata.name.as_deref() != Some(name) || other.metadata.namespace.as_deref() != Some(namespace)
    })
}

fn in_use(review: &mut Review<'_, BackupStorage>) {
    let Some(old) = review.old else { return };
    let users = old.status.as_ref().map_or(&[][..], |status| &status.repositories);
    if users.is_empty() || stripped(&old.spec.storage) == stripped(&review.new.spec.storage) {
        return;
    }
    let names: Vec<&str> = users.iter().take(3).map(|user| user.name.as_str()).collect();
    let more = if users.len() > names.len() { ", …" } else { "" };
    review.deny(
        "spec.storage",
        format!(
            "the storage is in use by {} Repository object(s) ({}{more}) and its place cannot be changed; create another BackupStorage, or delete the Repositories first",
            users.len(),
            names.join(", ")
        ),
    );
}

/// The backend as defaulting would have left it, so that objects older than the webhooks compare equal.
fn stripped(backend: &Backend) -> Value {
    let mut object = serde_json::json!({"spec": {"storage": backend}});
    defaults(&mut object, &Facts::default());
    object["spec"]["storage"].take()
}

fn one_per_place(review: &mut Review<'_, BackupStorage>) {
    let Some(place) = Place::of(&review.new.spec.storage) else {
        return;
    };
    let mut same = Vec::new();
    let mut nested = Vec::new();
    for other in others(review) {
        let Some(theirs) = Place::of(&other.spec.storage) else {
            continue;
        };
        let name = format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any());
        if theirs == place {
            same.push(name);
        } else if place.contains(&theirs).is_some() || theirs.contains(&place).is_some() {
            nested.push(name);
        }
    }
    for name in same {
        review.deny(
            "spec.storage",
            format!("BackupStorage {name} points at the same directory of the same bucket; two may not: choose another prefix, or use that one"),
        );
    }
    for name in nested {
        review.warn(format!(
            "spec.storage: this prefix and that of BackupStorage {name} lie inside each other; use prefixes side by side"
        ));
    }
}

fn a_prefix_of_one_meaning(review: &mut Review<'_, BackupStorage>) {
    let prefix = |storage: &BackupStorage| {
        let storage = &storage.spec.storage;
        let s3 = storage.s3.as_ref().and_then(|s3| s3.prefix.clone());
        let gcs = storage.gcs.as_ref().and_then(|gcs| gcs.prefix.clone());
        let azure = storage.azure.as_ref().and_then(|azure| azure.prefix.clone());
        s3.or(gcs).or(azure).unwrap_or_default()
    };
    let new = prefix(review.new);
    if let Some(refusal) = directory_refusal(&new)
        && review.old.is_none_or(|old| prefix(old) != new)
    {
        review.deny("spec.storage", format!("the prefix {refusal}"));
    }
}

/// Mistakes that the status will report as well: the object is admitted so that it can be mended in place.
fn worth_a_look(review: &mut Review<'_, BackupStorage>) {
    let storage = &review.new.spec.storage;
    let Some(provider) = storage.known_provider() else {
        review.warn(format!(
            "spec.storage.provider: \"{}\" is not one of local, s3, gcs, azure",
            storage.provider
        ));
        return;
    };
    let missing = match provider {
        Provider::Local => storage.local.is_none().then_some("local"),
        Provider::S3 => storage
            .s3
            .as_ref()
            .is_none_or(|s3| s3.bucket.is_empty())
            .then_some("s3.bucket"),
        Provider::Gcs => storage
            .gcs
            .as_ref()
            .is_none_or(|gcs| gcs.bucket.is_empty())
            .then_some("gcs.bucket"),
        Provider::Azure => match storage.azure.as_ref() {
            None => Some("azure.container"),
            Some(azure) if azure.container.is_empty() => Some("azure.container"),
            Some(azure) if azure.storage_account.as_deref().unwrap_or_default().is_empty() => {
                Some("azure.storageAccount")
            }
            Some(_) => None,
        },
    };
    if let Some(refusal) = mount_refusal(storage) {
        review.warn(refusal);
    }
    if let Some(missing) = missing {
        review.warn(format!("spec.storage.{missing}: needed for provider {provider}; the storage cannot become Ready without it"));
    }
}
