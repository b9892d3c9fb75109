//! Unknown and duplicate fields of a request's object: refused, warned about, or dropped, as the client asked.

use serde_json::Value;

use super::Call;
use crate::sandbox::kinds::Source;
use crate::sandbox::schema::{prune, validate};
use crate::sandbox::status::{ApiError, ApiResult};

/// The `fieldValidation` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    Ignore,
    /// What the server does when the client does not say.
    #[default]
    Warn,
    Strict,
}

impl FieldValidation {
    /// Reads the parameter.
    pub(crate) fn parse(text: Option<&str>) -> ApiResult<Self> {
        match text {
            None | Some("" | "Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(ApiError::bad_request(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Warn\", \"Strict\""
            ))),
        }
    }
}

/// Prunes the object; `duplicates` are fields its text had twice. Checks the JSON types of Kubernetes' own kinds.
pub(super) fn check(call: &mut Call<'_>, object: &mut Value, duplicates: &[String]) -> ApiResult<()> {
    let resource = call.resource.clone();
    let schema = resource.schema();
    let builtin = matches!(resource.source, Source::Builtin(_));
    if builtin {
        prune::drop_nulls(object);
        if let Some((path, got, wanted)) = validate::wrong_type(object, schema) {
            let kind = &resource.kind;
            return Err(ApiError::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: json: cannot unmarshal {got} into Go struct field {kind}.{path} of type {wanted}",
                resource.version
            )));
        }
    } else {
        prune::drop_forbidden_nulls(object, schema);
    }
    let mut problems: Vec<String> = duplicates
        .iter()
        .map(|path| format!("duplicate field \"{path}\""))
        .collect();
    problems.extend(
        prune::prune(object, schema)
            .iter()
            .map(|path| format!("unknown field \"{path}\"")),
    );
    report(call, problems)
}

/// Treats problems with fields as the client asked.
pub(crate) fn report(call: &mut Call<'_>, problems: Vec<String>) -> ApiResult<()> {
    if problems.is_empty() {
        return Ok(());
    }
    match call.field_validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => problems.into_iter().for_each(|p| call.warn(p)),
        FieldValidation::Strict => {
            let kind = &call.resource.kind;
            return Err(ApiError::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: strict decoding error: {}",
                call.resource.version,
                problems.join(", ")
            )));
        }
    }
    Ok(())
}
