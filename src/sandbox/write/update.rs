//! Changing objects that are there, as a whole or through a patch. A change that was made without naming a version
//! is made again on the newer object if somebody else was faster.

use std::sync::Arc;

use serde_json::Value;

use super::{Call, create, fields, metadata};
use crate::sandbox::admission;
use crate::sandbox::auth::rbac;
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::patch::managed;
use crate::sandbox::rules;
use crate::sandbox::status::{ApiError, ApiResult, Cause};
use crate::sandbox::store::WriteError;

/// How often a change is made anew before the client hears of the conflict.
const ATTEMPTS: usize = 10;

/// A changed object, and how its managed fields come about.
pub(crate) struct Change {
    pub(crate) object: Value,
    /// Managed fields were worked out already (server-side apply).
    pub(crate) applied: bool,
    /// Fields the text had twice.
    pub(crate) duplicates: Vec<String>,
    /// The schema check has been made on what the client sent (apply), so it is not made on the result.
    pub(crate) checked: bool,
}

impl Change {
    /// The object as a client sent it whole.
    pub(crate) fn whole(object: Value, duplicates: Vec<String>) -> Self {
        Self {
            object,
            applied: false,
            duplicates,
            checked: false,
        }
    }
}

/// Changes the object of the call to what `change` makes of it.
pub(crate) async fn update(
    call: &mut Call<'_>,
    mut change: impl FnMut(&mut Call<'_>, &Arc<Value>) -> ApiResult<Change> + Send,
) -> ApiResult<Arc<Value>> {
    for attempt in 1.. {
        let old = call.current()?;
        let changed = change(call, &old)?;
        // Only a client that named the version it changed wants to hear of a newer one.
        let pinned = !object::resource_version(&changed.object).is_empty()
            && object::resource_version(&changed.object) != object::resource_version(&old);
        if pinned {
            return Err(call.refused(WriteError::Conflict));
        }
        match one(call, changed, &old).await? {
            Ok(object) => return Ok(object),
            Err(WriteError::Conflict) if attempt < ATTEMPTS => {}
            Err(error) => return Err(call.refused(error)),
        }
    }
    Err(call.refused(WriteError::Conflict))
}

async fn one(
    call: &mut Call<'_>,
    changed: Change,
    old: &Arc<Value>,
) -> ApiResult<Result<Arc<Value>, WriteError>> {
    let Change {
        mut object,
        applied,
        duplicates,
        checked,
    } = changed;
    let resource = call.resource.clone();
    if !checked {
        fields::check(call, &mut object, &duplicates)?;
    }
    metadata::place(call, &mut object)?;
    check_uid(call, &object, old)?;
    metadata::keep_system(&mut object, old);
    isolate(&resource, &call.subresource, &mut object, old);
    create::fill(call, &mut object, Some(old))?;
    admission::mutate(call, admission::Operation::Update, &mut object, Some(old)).await?;
    create::fill(call, &mut object, Some(old))?;
    object::metadata(&mut object).insert(
        "resourceVersion".into(),
        Value::from(object::resource_version(old)),
    );
    if metadata::has_generation(&resource) && metadata::spec_differs(&resource, &object, old) {
        metadata::next_generation(&mut object);
    }
    if !applied {
        managed::track_update(&mut object, old, &resource, &call.manager, &call.subresource);
    }
    check_finalizers(&resource, &object, old)?;
    rules::validation::check(&resource, &object, Some(old))?;
    rbac::check_escalation(call.api, &call.user, &resource, &object, Some(old))?;
    admission::validate(call, admission::Operation::Update, Some(&object), Some(old)).await?;
    if managed::equal_but_times(&object, old) {
        return Ok(Ok(old.clone()));
    }
    if call.dry_run {
        return Ok(Ok(Arc::new(object)));
    }
    let version = object::resource_version(old);
    if super::delete::is_over(&resource, &object) {
        // The change took away what the deletion waited for.
        let gone = call
            .api
            .commit_delete(&resource.storage(), &call.namespace, &call.name, version);
        return Ok(gone.map(|_| Arc::new(object)));
    }
    Ok(call.api.commit_update(&resource.storage(), object, version))
}

fn check_uid(call: &Call<'_>, object: &Value, old: &Value) -> ApiResult<()> {
    let (given, actual) = (object::uid(object), object::uid(old));
    if given.is_empty() || given == actual {
        return Ok(());
    }
    Err(ApiError::conflict(
        &call.resource.group,
        &call.resource.plural,
        &call.name,
        &format!("Precondition failed: UID in precondition: {given}, UID in object meta: {actual}"),
    ))
}

/// Keeps spec and status apart: each is changed through its own path only.
fn isolate(resource: &Resource, subresource: &str, object: &mut Value, old: &Value) {
    match subresource {
        "" if resource.status => {
            let status = old.get("status").cloned();
            let map = object::map(object);
            match status {
                Some(status) => map.insert("status".into(), status),
                None => map.remove("status"),
            };
        }
        "status" => {
            let status = object.get("status").cloned();
            let managed = object["metadata"].get("managedFields").cloned();
            let version = object["metadata"].get("resourceVersion").cloned();
            *object = old.clone();
            match status {
                Some(status) => object::map(object).insert("status".into(), status),
                None => object::map(object).remove("status"),
            };
            let metadata = object::metadata(object);
            for (field, value) in [("managedFields", managed), ("resourceVersion", version)] {
                if let Some(value) = value {
                    metadata.insert(field.into(), value);
                }
            }
        }
        _ => {}
    }
}

/// An object that is being deleted takes no new finalizers.
fn check_finalizers(resource: &Resource, object: &Value, old: &Value) -> ApiResult<()> {
    if !object::is_deleting(old) {
        return Ok(());
    }
    let before = object::finalizers(old);
    let new: Vec<String> = object::finalizers(object)
        .into_iter()
        .filter(|f| !before.contains(f))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = new.iter().map(|f| format!("\"{f}\"")).collect();
    let cause = Cause::forbidden(
        "metadata.finalizers",
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            list.join(", ")
        ),
    );
    Err(ApiError::invalid(
        &resource.group,
        &resource.kind,
        object::name(object),
        &[cause],
    ))
}
