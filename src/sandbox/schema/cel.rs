//! CEL rules (`x-kubernetes-validations`), transition rules among them.

use kube::core::cel::{CompiledSchema, ErrorKind, ScopeContext, Validator, analyze_rule};
use serde_json::{Value, json};

use crate::sandbox::status::Cause;

thread_local! {
    // A validator registers all of CEL's functions; one per thread is enough.
    static VALIDATOR: Validator = Validator::new();
}

/// Evaluates the rules of a schema; `old` is the object before an update.
pub(crate) fn check(rules: &CompiledSchema, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let Err(errors) = VALIDATOR.with(|v| v.validate_compiled(rules, object, old)) else {
        return Vec::new();
    };
    errors
        .into_vec()
        .into_iter()
        .filter(|error| !matches!(error.kind, ErrorKind::ValidationFailure) || !error.message.is_empty())
        .map(|error| {
            let field = if error.field_path.is_empty() {
                "<nil>".to_owned()
            } else {
                error.field_path.clone()
            };
            let value = at(object, &error.field_path);
            match error.reason.as_deref() {
                Some("FieldValueRequired") => Cause::required(field, &error.message),
                Some("FieldValueForbidden") => Cause::forbidden(field, &error.message),
                Some("FieldValueDuplicate") => Cause::duplicate(field, &value),
                _ => Cause::invalid(field, &value, &error.message),
            }
        })
        .collect()
}

/// The value at a path such as `spec.items[0].name`; the error names it.
fn at(object: &Value, path: &str) -> Value {
    let mut current = object;
    for part in path.split(['.', '[']).filter(|p| !p.is_empty()) {
        let part = part.trim_end_matches(']');
        let next = match current {
            Value::Array(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
            other => other.get(part),
        };
        match next {
            Some(value) => current = value,
            None => return json!({}),
        }
    }
    current.clone()
}

/// What is wrong with the rules of a CRD's schema, as causes under `path`.
pub(crate) fn problems(rules: &CompiledSchema, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    walk(rules, path, &mut causes);
    causes
}

fn walk(schema: &CompiledSchema, path: &str, causes: &mut Vec<Cause>) {
    for (index, rule) in schema.validations.iter().enumerate() {
        let field = format!("{path}.x-kubernetes-validations[{index}].rule");
        match rule {
            Err(error) => causes.push(Cause::invalid(
                field,
                &json!(path),
                format!("compilation failed: {error}"),
            )),
            Ok(rule) => {
                // Costs are estimates of another implementation's budget, so they only reach the log.
                for warning in analyze_rule(&rule.rule.rule, schema, ScopeContext::CrdValidation) {
                    tracing::debug!(%field, warning = %warning.message, "CEL rule");
                }
            }
        }
    }
    for (name, child) in &schema.properties {
        walk(child, &format!("{path}.properties[{name}]"), causes);
    }
    if let Some(items) = &schema.items {
        walk(items, &format!("{path}.items"), causes);
    }
    if let Some(other) = &schema.additional_properties {
        walk(other, &format!("{path}.additionalProperties"), causes);
    }
}
