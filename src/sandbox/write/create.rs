//! Creating objects.

use std::sync::Arc;

use serde_json::Value;

use super::{Call, fields, metadata};
use crate::sandbox::admission;
use crate::sandbox::auth::rbac;
use crate::sandbox::object;
use crate::sandbox::patch::managed;
use crate::sandbox::rules;
use crate::sandbox::schema::prune;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::store::WriteError;

/// How often a generated name may collide before the client hears of it.
const NAME_ATTEMPTS: usize = 8;

/// Creates `object`; `duplicates` are the fields its text had twice.
pub(crate) async fn create(
    call: &mut Call<'_>,
    mut object: Value,
    duplicates: &[String],
) -> ApiResult<Arc<Value>> {
    fields::check(call, &mut object, duplicates)?;
    metadata::born(call, &mut object)?;
    check_namespace(call)?;
    if call.resource.status {
        object::remove(&mut object, &["status"]);
    }
    fill(call, &mut object, None)?;
    let object = admit(call, object).await?;
    if call.dry_run {
        if call
            .api
            .store
            .get(&call.resource.storage(), &call.namespace, &call.name)
            .is_some()
        {
            return Err(call.refused(WriteError::Exists));
        }
        return Ok(Arc::new(object));
    }
    commit(call, object)
}

/// Defaults of the schema and of the kind.
pub(super) fn fill(call: &Call<'_>, object: &mut Value, old: Option<&Value>) -> ApiResult<()> {
    prune::fill_defaults(object, call.resource.schema());
    rules::defaults::apply(call.api, &call.resource, object, old)
}

/// Admission, managed fields, validation.
async fn admit(call: &mut Call<'_>, mut object: Value) -> ApiResult<Value> {
    admission::mutate(call, admission::Operation::Create, &mut object, None).await?;
    fill(call, &mut object, None)?;
    let resource = call.resource.clone();
    managed::track_create(&mut object, &resource, &call.manager);
    rules::validation::check(&resource, &object, None)?;
    rbac::check_escalation(call.api, &call.user, &resource, &object, None)?;
    admission::validate(call, admission::Operation::Create, Some(&object), None).await?;
    Ok(object)
}

fn commit(call: &mut Call<'_>, mut object: Value) -> ApiResult<Arc<Value>> {
    let storage = call.resource.storage();
    let prefix = object::text(&object, &["metadata", "generateName"]).to_owned();
    if prefix.is_empty() {
        return call
            .api
            .commit_create(&storage, object)
            .map_err(|e| call.refused(e));
    }
    for attempt in 1.. {
        match call.api.commit_create(&storage, object.clone()) {
            Err(WriteError::Exists) if attempt < NAME_ATTEMPTS => {
                let name = format!("{prefix}{}", object::random_suffix());
                object::metadata(&mut object).insert("name".into(), Value::from(name.clone()));
                call.name = name;
            }
            other => return other.map_err(|e| call.refused(e)),
        }
    }
    Err(call.refused(WriteError::Exists))
}

/// The namespace must be there and must not be on its way out.
fn check_namespace(call: &Call<'_>) -> ApiResult<()> {
    if !call.resource.namespaced {
        return Ok(());
    }
    let namespaces = crate::sandbox::store::GroupResource::new("", "namespaces");
    let Some(namespace) = call.api.store.get(&namespaces, "", &call.namespace) else {
        return Err(ApiError::not_found("", "namespaces", &call.namespace));
    };
    let terminating = object::is_deleting(&namespace);
    // Events still tell what happens while a namespace ends.
    if terminating && call.resource.kind != "Event" {
        let message = format!(
            "unable to create new content in namespace {} because it is being terminated",
            call.namespace
        );
        let mut error =
            ApiError::forbidden(&call.resource.group, &call.resource.plural, &call.name, &message);
        if let Some(details) = &mut error.details {
            details["causes"] = serde_json::json!([{
                "reason": "NamespaceTerminating", "field": "metadata.namespace",
                "message": format!("namespace {} is being terminated", call.namespace),
            }]);
        }
        return Err(error);
    }
    Ok(())
}
