//! Errors of the API as Kubernetes words them: a `Status` object with code, reason, message and details, so that
//! kubectl and client libraries say the same thing here as against a real cluster.

use serde_json::{Value, json};

/// One thing wrong with one field of an object (a cause in a 422 answer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Machine-readable class, such as `FieldValueRequired`.
    pub(crate) reason: &'static str,
    /// Path of the field, such as `spec.template.spec.containers[0].image`.
    pub(crate) field: String,
    /// The sentence without the path.
    pub(crate) message: String,
}

impl Cause {
    /// A field that must be there is not.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    /// A field holds something it may not hold.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {}: {}", shown(value), detail.as_ref()),
        }
    }

    /// A field is outside its list of allowed values.
    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, allowed: &[String]) -> Self {
        let list: Vec<String> = allowed.iter().map(|a| format!("\"{a}\"")).collect();
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!(
                "Unsupported value: {}: supported values: {}",
                shown(value),
                list.join(", ")
            ),
        }
    }

    /// Two entries claim the same key.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message: format!("Duplicate value: {}", shown(value)),
        }
    }

    /// A field may not be set or changed.
    pub(crate) fn forbidden(field: impl Into<String>, detail: impl AsRef<str>) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {}", detail.as_ref()),
        }
    }

    /// A field has the wrong JSON type.
    pub(crate) fn wrong_type(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        Self {
            reason: "FieldValueTypeInvalid",
            field: field.into(),
            message: format!("Invalid value: {}: {}", shown(value), detail.as_ref()),
        }
    }

    fn sentence(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

/// A value as Kubernetes prints it in a cause: objects and arrays are not dumped.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "\"object\"".to_owned(),
        Value::Array(_) => "\"array\"".to_owned(),
        other => other.to_string(),
    }
}

/// A refusal of the API server.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    /// HTTP status code.
    pub(crate) code: u16,
    /// Kubernetes reason, such as `NotFound`.
    pub(crate) reason: &'static str,
    /// The sentence people see.
    pub(crate) message: String,
    /// `details` of the Status.
    pub(crate) details: Option<Box<Value>>,
}

/// Result of anything the API server does on behalf of a client.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// `deployments.apps`, or `pods` for the core group.
pub(crate) fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let mut details = json!({});
        for (key, text) in [("group", group), ("kind", kind), ("name", name)] {
            if !text.is_empty() {
                details[key] = json!(text);
            }
        }
        self.details = Some(Box::new(details));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// `message` says why, without naming the object.
    pub(crate) fn forbidden(group: &str, resource: &str, name: &str, message: &str) -> Self {
        let what = qualified(resource, group);
        let text = if name.is_empty() {
            format!("{what} is forbidden: {message}")
        } else {
            format!("{what} \"{name}\" is forbidden: {message}")
        };
        Self::new(403, "Forbidden", text).about(group, resource, name)
    }

    /// A refusal whose whole sentence is given.
    pub(crate) fn forbidden_text(message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message)
    }

    pub(crate) fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} \"{name}\" not found", qualified(resource, group)),
        )
        .about(group, resource, name)
    }

    /// There is no such path or kind.
    pub(crate) fn no_such_resource() -> Self {
        let mut error = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = Some(Box::new(json!({})));
        error
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(crate) fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} \"{name}\" already exists", qualified(resource, group)),
        )
        .about(group, resource, name)
    }

    pub(crate) fn conflict(group: &str, resource: &str, name: &str, message: &str) -> Self {
        Self::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} \"{name}\": {message}",
                qualified(resource, group)
            ),
        )
        .about(group, resource, name)
    }

    /// The stored object is newer than the one the client changed.
    pub(crate) fn modified(group: &str, resource: &str, name: &str) -> Self {
        Self::conflict(
            group,
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// Server-side apply ran into fields of other managers.
    pub(crate) fn apply_conflict(message: String, causes: &[(String, String)]) -> Self {
        let list: Vec<Value> = causes
            .iter()
            .map(|(field, text)| json!({"reason": "FieldManagerConflict", "message": text, "field": field}))
            .collect();
        let mut error = Self::new(409, "Conflict", message);
        error.details = Some(Box::new(json!({"causes": list})));
        error
    }

    /// The watch or the list's continuation is older than what the server remembers.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The object breaks rules of its kind (422).
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let sentences: Vec<String> = causes.iter().map(Cause::sentence).collect();
        let text = match sentences.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{} \"{name}\" is invalid: {text}", qualified(kind, group)),
        )
        .about(group, kind, name);
        if let Some(details) = &mut error.details {
            details["causes"] = causes
                .iter()
                .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
                .collect();
        }
        error
    }

    /// A JSON patch that could not be applied (422 without causes).
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    pub(crate) fn too_many_requests(message: impl Into<String>) -> Self {
        Self::new(429, "TooManyRequests", message)
    }

    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// A refusal that someone else (a webhook) worded.
    pub(crate) fn custom(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, reason, message)
    }

    /// The `Status` object sent to the client.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            status["details"] = (**details).clone();
        }
        status
    }
}

/// The reason Kubernetes pairs with a status code, for refusals worded by webhooks.
pub(crate) fn reason_of(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        410 => "Gone",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Forbidden",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_kubernetes() {
        assert_eq!(
            ApiError::not_found("apps", "deployments", "a").message,
            "deployments.apps \"a\" not found"
        );
        let one = ApiError::invalid("apps", "Deployment", "a", &[Cause::required("spec.selector", "")]);
        assert_eq!(
            one.message,
            "Deployment.apps \"a\" is invalid: spec.selector: Required value"
        );
        let two = ApiError::invalid(
            "",
            "Pod",
            "a",
            &[
                Cause::required("x", ""),
                Cause::invalid("y", &json!(1), "must be greater than 1"),
            ],
        );
        assert_eq!(
            two.message,
            "Pod \"a\" is invalid: [x: Required value, y: Invalid value: 1: must be greater than 1]"
        );
        assert_eq!(two.to_status()["details"]["causes"][1]["field"], "y");
    }
}
