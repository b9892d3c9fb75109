//! Admission: what the server and others (webhooks) add to objects or have against them before they are stored.

mod service_account;
mod webhook;

use std::sync::Arc;

use serde_json::Value;

use super::status::ApiResult;
use super::write::Call;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    /// As webhooks are told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Lets the server and mutating webhooks change the object.
pub(crate) async fn mutate(
    call: &mut Call<'_>,
    operation: Operation,
    object: &mut Value,
    old: Option<&Arc<Value>>,
) -> ApiResult<()> {
    if operation == Operation::Create && call.resource.is("", "Pod") && call.subresource.is_empty() {
        service_account::admit(call, object)?;
    }
    webhook::mutate(call, operation, object, old).await
}

/// Asks validating webhooks.
pub(crate) async fn validate(
    call: &mut Call<'_>,
    operation: Operation,
    object: Option<&Value>,
    old: Option<&Arc<Value>>,
) -> ApiResult<()> {
    webhook::validate(call, operation, object, old).await
}
