//! JSON patch (RFC 6902) and JSON merge patch (RFC 7386).

use serde_json::Value;

use crate::sandbox::status::{ApiError, ApiResult};

/// Applies a JSON patch.
pub(crate) fn json_patch(object: &Value, patch: &Value) -> ApiResult<Value> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    let mut out = object.clone();
    json_patch::patch(&mut out, &patch).map_err(|e| {
        ApiError::unprocessable(format!(
            "the server rejected our request due to an error in our request: {e}"
        ))
    })?;
    Ok(out)
}

/// Applies a JSON merge patch.
pub(crate) fn merge_patch(object: &Value, patch: &Value) -> Value {
    let mut out = object.clone();
    json_patch::merge(&mut out, patch);
    out
}
