//! Deleting objects: at once, after their finalizers, or after their grace period.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Call, metadata};
use crate::sandbox::admission;
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::store::WriteError;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// Pods get this long to stop if they do not say otherwise.
const GRACE: i64 = 30;
const ATTEMPTS: usize = 10;

/// `DeleteOptions` as sent in the body or the query.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    /// Background, Foreground or Orphan.
    pub(crate) propagation: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
}

impl DeleteOptions {
    /// Reads the body; what the query says fills what the body leaves open.
    pub(crate) fn read(body: &Value, query: &crate::sandbox::request::Query) -> ApiResult<Self> {
        let text = |name: &str| {
            let own = object::text(body, &[name]);
            if own.is_empty() {
                query.get(name).unwrap_or_default().to_owned()
            } else {
                own.to_owned()
            }
        };
        let mut propagation = text("propagationPolicy");
        if propagation.is_empty()
            && (body["orphanDependents"] == json!(true) || query.flag("orphanDependents"))
        {
            propagation = "Orphan".into();
        }
        if !matches!(propagation.as_str(), "" | "Background" | "Foreground" | "Orphan") {
            return Err(ApiError::bad_request(format!(
                "propagationPolicy: Unsupported value: \"{propagation}\": supported values: \"Foreground\", \"Background\", \"Orphan\""
            )));
        }
        let grace = match body["gracePeriodSeconds"].as_i64() {
            Some(seconds) => Some(seconds),
            None => query.get("gracePeriodSeconds").and_then(|t| t.parse().ok()),
        };
        Ok(Self {
            grace,
            propagation,
            uid: object::text(body, &["preconditions", "uid"]).to_owned(),
            resource_version: object::text(body, &["preconditions", "resourceVersion"]).to_owned(),
        })
    }
}

/// What came of a deletion.
pub(crate) enum Deleted {
    /// The object is gone; this is how it was last.
    Gone(Arc<Value>),
    /// The object waits for finalizers or its grace period.
    Pending(Arc<Value>),
}

/// Deletes the object of the call.
pub(crate) async fn delete(call: &mut Call<'_>, options: &DeleteOptions) -> ApiResult<Deleted> {
    for attempt in 1.. {
        let old = call.current()?;
        check_preconditions(call, &old, options)?;
        admission::validate(call, admission::Operation::Delete, None, Some(&old)).await?;
        match one(call, &old, options) {
            Err(WriteError::Conflict) if attempt < ATTEMPTS => {}
            other => return other.map_err(|e| call.refused(e)),
        }
    }
    Err(call.refused(WriteError::Conflict))
}

fn one(call: &Call<'_>, old: &Arc<Value>, options: &DeleteOptions) -> Result<Deleted, WriteError> {
    let resource = &call.resource;
    let mut object = (**old).clone();
    mark(resource, &mut object, options);
    let waits = must_wait(resource, &object);
    if call.dry_run {
        return Ok(if waits {
            Deleted::Pending(Arc::new(object))
        } else {
            Deleted::Gone(old.clone())
        });
    }
    let version = object::resource_version(old);
    if !waits {
        return call
            .api
            .commit_delete(&resource.storage(), &call.namespace, &call.name, version)
            .map(Deleted::Gone);
    }
    if object == **old {
        return Ok(Deleted::Pending(old.clone()));
    }
    call.api
        .commit_update(&resource.storage(), object, version)
        .map(Deleted::Pending)
}

fn check_preconditions(call: &Call<'_>, old: &Value, options: &DeleteOptions) -> ApiResult<()> {
    for (what, wanted, actual) in [
        ("UID", options.uid.as_str(), object::uid(old)),
        (
            "ResourceVersion",
            options.resource_version.as_str(),
            object::resource_version(old),
        ),
    ] {
        if !wanted.is_empty() && wanted != actual {
            let text = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
            );
            return Err(ApiError::conflict(
                &call.resource.group,
                &call.resource.plural,
                &call.name,
                &text,
            ));
        }
    }
    Ok(())
}

/// Sets time and grace of the deletion and the finalizers of its policy.
fn mark(resource: &Resource, object: &mut Value, options: &DeleteOptions) {
    let mut finalizers = object::finalizers(object);
    if matches!(
        options.propagation.as_str(),
        "Background" | "Foreground" | "Orphan"
    ) {
        finalizers.retain(|f| f != FOREGROUND && f != ORPHAN);
    }
    match options.propagation.as_str() {
        "Foreground" => finalizers.push(FOREGROUND.to_owned()),
        "Orphan" => finalizers.push(ORPHAN.to_owned()),
        _ => {}
    }
    let grace = grace(resource, object, options);
    let metadata = object::metadata(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), json!(finalizers));
    }
    let before = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    if !metadata.contains_key("deletionTimestamp") {
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace);
        metadata.insert(
            "deletionTimestamp".into(),
            json!(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        );
        metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
        if metadata::has_generation(resource) {
            metadata::next_generation(object);
        }
    } else if before.is_some_and(|b| grace < b) {
        // A second deletion may only shorten the time that is left.
        metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
    }
    if resource.is("", "Namespace") {
        object::map_at(object, &["status"]).insert("phase".into(), json!("Terminating"));
    }
}

/// Seconds a pod may take to stop; other kinds take none.
fn grace(resource: &Resource, object: &Value, options: &DeleteOptions) -> i64 {
    let unscheduled = object::text(object, &["spec", "nodeName"]).is_empty();
    let over = matches!(object::text(object, &["status", "phase"]), "Succeeded" | "Failed");
    if !resource.is("", "Pod") || unscheduled || over {
        return 0;
    }
    options
        .grace
        .or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_i64())
        .unwrap_or(GRACE)
        .max(0)
}

/// Whether a marked object has to stay for now.
fn must_wait(resource: &Resource, object: &Value) -> bool {
    !object::finalizers(object).is_empty()
        || (resource.is("", "Namespace") && !object::list(object, &["spec", "finalizers"]).is_empty())
        || object["metadata"]["deletionGracePeriodSeconds"]
            .as_i64()
            .unwrap_or(0)
            > 0
}

/// Whether the object was to be deleted and nothing holds it any longer.
pub(super) fn is_over(resource: &Resource, object: &Value) -> bool {
    object::is_deleting(object) && !must_wait(resource, object)
}
