//! The syntax of names, labels and annotations.

use serde_json::{Value, json};

use crate::sandbox::object;
use crate::sandbox::status::Cause;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// How objects of a kind may be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Dots allowed, 253 characters.
    Subdomain,
    /// No dots, 63 characters.
    Label,
    /// Like `Label`, but starts with a letter (Services).
    Dns1035,
    /// Anything that fits into a path (RBAC).
    Path,
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.starts_with(inner)
        && text.ends_with(inner)
        && text.chars().all(|c| inner(c) || c == '-')
}

/// Why a name is not allowed.
pub(super) fn problem(name: &str, rule: Names) -> Option<String> {
    let long = |max: usize| (name.len() > max).then(|| format!("must be no more than {max} characters"));
    match rule {
        Names::Subdomain => {
            long(253).or_else(|| (!name.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned()))
        }
        Names::Label => long(63).or_else(|| (!is_label(name)).then(|| LABEL.to_owned())),
        Names::Dns1035 => long(63).or_else(|| {
            (!is_label(name) || name.starts_with(|c: char| c.is_ascii_digit())).then(|| DNS_1035.to_owned())
        }),
        Names::Path => match name {
            "." | ".." => Some(format!("may not be '{name}'")),
            _ if name.contains('/') => Some("may not contain '/'".to_owned()),
            _ if name.contains('%') => Some("may not contain '%'".to_owned()),
            _ => None,
        },
    }
}

fn is_name_part(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || "-_.".contains(c))
}

fn key_problem(key: &str) -> Option<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|p| problem(p, Names::Subdomain).is_some()) || !is_name_part(name) {
        return Some(QUALIFIED);
    }
    None
}

/// Checks a map of labels.
pub(super) fn labels(map: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (key, value) in map.as_object().into_iter().flatten() {
        if let Some(text) = key_problem(key) {
            causes.push(Cause::invalid(path, &json!(key), text));
        }
        let text = value.as_str().unwrap_or_default();
        if !text.is_empty() && !is_name_part(text) {
            let detail = if text.len() > 63 {
                "must be no more than 63 bytes"
            } else {
                VALUE
            };
            causes.push(Cause::invalid(path, value, detail));
        }
    }
}

/// Checks the metadata every object has.
pub(super) fn metadata(object: &Value, rule: Names, causes: &mut Vec<Cause>) {
    let name = object::name(object);
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if let Some(text) = problem(name, rule) {
        causes.push(Cause::invalid("metadata.name", &json!(name), text));
    }
    labels(&object["metadata"]["labels"], "metadata.labels", causes);
    let mut size = 0;
    for (key, value) in object["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if let Some(text) = key_problem(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), text));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > 256 << 10 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            field: "metadata.annotations".into(),
            message: "Too long: may not be more than 262144 bytes".into(),
        });
    }
    for finalizer in object::finalizers(object) {
        if let Some(text) = key_problem(&finalizer) {
            causes.push(Cause::invalid("metadata.finalizers", &json!(finalizer), text));
        }
    }
    for (index, owner) in object::list(object, &["metadata", "ownerReferences"])
        .iter()
        .enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if object::text(owner, &[field]).is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(Cause::invalid(
                    path,
                    &json!(""),
                    format!("{field} must not be empty"),
                ));
            }
        }
    }
}
