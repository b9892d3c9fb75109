//! `${name}` in the texts of Functions, volumes and parameters.
//!
//! Values are put into the string leaves of the parsed object, never into its JSON text, so a value with quotes stays a
//! value. The operators are those of the shell-like library the original uses; `${name:=default}`, `${name=default}`,
//! `${name:-default}` and `${name-default}` all mean "when the name is missing", and a name that is present but empty
//! stays empty. A missing name without a default is an error that names it. `$${x}` is the text `${x}`; any other `$` is
//! itself.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Names and their values.
pub type Inputs = BTreeMap<String, String>;

/// Why a text cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// The name has neither a value nor a default.
    #[error("input or default value not found for variable \"{0}\"")]
    Missing(String),
    /// The text between the braces is not understood, or a brace is not closed.
    #[error("\"{0}\" is not a valid variable reference")]
    Syntax(String),
    /// The result does not fit where the text stood.
    #[error("the resolved object is not valid: {0}")]
    Shape(String),
}

/// `value` with every string in it resolved.
///
/// # Errors
/// The first reference that cannot be resolved.
pub fn resolve<T: Serialize + DeserializeOwned>(value: &T, inputs: &Inputs) -> Result<T, VariableError> {
    let mut tree = serde_json::to_value(value).map_err(|e| VariableError::Shape(e.to_string()))?;
    resolve_json(&mut tree, inputs)?;
    serde_json::from_value(tree).map_err(|e| VariableError::Shape(e.to_string()))
}

/// Resolves every string leaf of `tree` in place.
///
/// # Errors
/// The first reference that cannot be resolved.
pub fn resolve_json(tree: &mut Value, inputs: &Inputs) -> Result<(), VariableError> {
    match tree {
        Value::String(text) if text.contains('$') => *text = substitute(text, inputs)?,
        Value::Array(items) => {
            for item in items {
                resolve_json(item, inputs)?;
            }
        }
        Value::Object(map) => {
            for item in map.values_mut() {
                resolve_json(item, inputs)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// `text` with its references replaced.
///
/// # Errors
/// The first reference that cannot be resolved.
pub fn substitute(text: &str, inputs: &Inputs) -> Result<String, VariableError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            let end = closing(after).ok_or_else(|| VariableError::Syntax(rest.to_owned()))?;
            out.push_str("${");
            out.push_str(&after[..=end]);
            rest = &after[end + 1..];
        } else if let Some(after) = rest.strip_prefix("${") {
            let end = closing(after).ok_or_else(|| VariableError::Syntax(rest.to_owned()))?;
            out.push_str(&reference(&after[..end], inputs)?);
            rest = &after[end + 1..];
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The names that `text` refers to, defaults' references included.
#[must_use]
pub fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            rest = closing(after).map_or("", |end| &after[end + 1..]);
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some(end) = closing(after) else { break };
            let body = after[..end].trim_start_matches('#');
            let length = name_length(body);
            found.push(body[..length].to_owned());
            found.extend(names(&body[length..]));
            rest = &after[end + 1..];
        } else {
            rest = &rest[1..];
        }
    }
    found
}

/// Where the brace closes that was opened just before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn name_length(body: &str) -> usize {
    body.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .unwrap_or(body.len())
}

/// What stands between the braces: a name and perhaps an operator.
fn reference(body: &str, inputs: &Inputs) -> Result<String, VariableError> {
    let syntax = || VariableError::Syntax(format!("${{{body}}}"));
    if let Some(name) = body.strip_prefix('#') {
        let value = lookup(name, inputs)?;
        return Ok(value.chars().count().to_string());
    }
    let length = name_length(body);
    let (name, operator) = body.split_at(length);
    if name.is_empty() {
        return Err(syntax());
    }
    for default in [":=", ":-", "=", "-"] {
        if let Some(text) = operator.strip_prefix(default) {
            return match inputs.get(name) {
                Some(value) => Ok(value.clone()),
                None => substitute(text, inputs),
            };
        }
    }
    let value = lookup(name, inputs)?;
    if operator.is_empty() {
        return Ok(value.to_owned());
    }
    let argument = |prefix: &str| substitute(&operator[prefix.len()..], inputs);
    // Longer operators first, so that `##` is not read as `#` with an argument.
    Ok(match operator {
        "^" => first_letter(value, |c| c.to_uppercase().collect()),
        "^^" => value.to_uppercase(),
        "," => first_letter(value, |c| c.to_lowercase().collect()),
        ",," => value.to_lowercase(),
        _ if operator.starts_with("##") => trimmed(value, &argument("##")?, Trim::LongestPrefix),
        _ if operator.starts_with('#') => trimmed(value, &argument("#")?, Trim::ShortestPrefix),
        _ if operator.starts_with("%%") => trimmed(value, &argument("%%")?, Trim::LongestSuffix),
        _ if operator.starts_with('%') => trimmed(value, &argument("%")?, Trim::ShortestSuffix),
        _ if operator.starts_with('/') => replaced(value, &argument("/")?).ok_or_else(syntax)?,
        _ if operator.starts_with(':') => slice(value, &argument(":")?).ok_or_else(syntax)?,
        _ => return Err(syntax()),
    })
}

fn lookup<'a>(name: &str, inputs: &'a Inputs) -> Result<&'a str, VariableError> {
    inputs
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| VariableError::Missing(name.to_owned()))
}

fn first_letter(value: &str, change: fn(char) -> String) -> String {
    let mut letters = value.chars();
    letters
        .next()
        .map_or_else(String::new, |first| change(first) + letters.as_str())
}

#[derive(Clone, Copy)]
enum Trim {
    ShortestPrefix,
    LongestPrefix,
    ShortestSuffix,
    LongestSuffix,
}

/// `value` without the part that the glob `pattern` matches at that end.
fn trimmed(value: &str, pattern: &str, how: Trim) -> String {
    let mut cuts: Vec<usize> = value
        .char_indices()
        .map(|(at, _)| at)
        .chain([value.len()])
        .collect();
    let prefix = matches!(how, Trim::ShortestPrefix | Trim::LongestPrefix);
    if matches!(how, Trim::LongestPrefix | Trim::ShortestSuffix) {
        cuts.reverse();
    }
    for cut in cuts {
        let (head, tail) = value.split_at(cut);
        if prefix && glob(pattern, head) {
            return tail.to_owned();
        }
        if !prefix && glob(pattern, tail) {
            return head.to_owned();
        }
    }
    value.to_owned()
}

/// Shell globs: `*` and `?`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| glob(rest, &text[at..]))
        }
        Some(first) => {
            let mut others = text.chars();
            others
                .next()
                .is_some_and(|c| (first == '?' || c == first) && glob(letters.as_str(), others.as_str()))
        }
    }
}

/// `old/new`, `/old/new` (everywhere), `#old/new` (at the beginning), `%old/new` (at the end).
fn replaced(value: &str, argument: &str) -> Option<String> {
    let (mode, rest) = match argument.chars().next()? {
        mode @ ('/' | '#' | '%') => (mode, &argument[1..]),
        _ => (' ', argument),
    };
    let (old, new) = rest.split_once('/').unwrap_or((rest, ""));
    Some(match mode {
        '/' => value.replace(old, new),
        '#' => value
            .strip_prefix(old)
            .map_or_else(|| value.to_owned(), |tail| format!("{new}{tail}")),
        '%' => value
            .strip_suffix(old)
            .map_or_else(|| value.to_owned(), |head| format!("{head}{new}")),
        _ => value.replacen(old, new, 1),
    })
}

/// `position` or `position:length`, counted in characters.
fn slice(value: &str, argument: &str) -> Option<String> {
    let (position, length) = match argument.split_once(':') {
        Some((position, length)) => (position, Some(length)),
        None => (argument, None),
    };
    let position: usize = position.trim().parse().ok()?;
    let length = match length {
        Some(text) => text.trim().parse().ok()?,
        None => usize::MAX,
    };
    Some(value.chars().skip(position).take(length).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Inputs {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn sub(text: &str) -> Result<String, VariableError> {
        let known = inputs(&[
            ("name", "Value"),
            ("empty", ""),
            ("path", "/a/b/c.tar.gz"),
            ("other", "x"),
        ]);
        substitute(text, &known)
    }

    #[test]
    fn names_and_defaults() {
        for (text, expected) in [
            ("--a=${name}", "--a=Value"),
            ("${missing:=d}", "d"),
            ("${missing=d}", "d"),
            ("${missing:-d}", "d"),
            ("${missing-d}", "d"),
            ("${missing:=}", ""),
            ("${empty:=d}", ""),
            ("${missing:=${name}-${other}}", "Value-x"),
            ("${missing:=${gone:=deep}}", "deep"),
            ("$${name}", "${name}"),
            ("100$ and $$", "100$ and $$"),
            ("no reference", "no reference"),
        ] {
            assert_eq!(sub(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_shell_operators() {
        for (text, expected) in [
            ("${name^^}", "VALUE"),
            ("${name,,}", "value"),
            ("${name,}", "value"),
            ("${other^}", "X"),
            ("${#name}", "5"),
            ("${name:1}", "alue"),
            ("${name:1:2}", "al"),
            ("${path##*/}", "c.tar.gz"),
            ("${path#*/}", "a/b/c.tar.gz"),
            ("${path%.*}", "/a/b/c.tar"),
            ("${path%%.*}", "/a/b/c"),
            ("${path/b/z}", "/a/z/c.tar.gz"),
            ("${path//a/z}", "/z/b/c.tzr.gz"),
            ("${path/#\\/a/z}", "/a/b/c.tar.gz"),
            ("${name/#Val/W}", "Wue"),
            ("${name/%ue/or}", "Valor"),
        ] {
            assert_eq!(sub(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        assert_eq!(sub("${paths}"), Err(VariableError::Missing("paths".into())));
        assert!(sub("${paths}").unwrap_err().to_string().contains("\"paths\""));
        assert!(matches!(sub("${name"), Err(VariableError::Syntax(_))));
        assert!(matches!(sub("${}"), Err(VariableError::Syntax(_))));
        assert!(matches!(sub("${name!}"), Err(VariableError::Syntax(_))));
    }

    #[test]
    fn a_value_with_quotes_stays_a_value() {
        let known = inputs(&[("evil", r#"","privileged":true,"x":""#)]);
        let object = json!({"args": ["--paths=${evil}"], "privileged": false});
        let resolved: serde_json::Value = resolve(&object, &known).unwrap();
        assert_eq!(resolved["privileged"], json!(false));
        assert_eq!(resolved["args"][0], json!(r#"--paths=","privileged":true,"x":""#));
    }

    #[test]
    fn the_names_of_a_text() {
        assert_eq!(names("--a=${x} ${y:=${z}} $${no} ${#w}"), ["x", "y", "z", "w"]);
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_is_untouched(text in "[^$]{0,40}") {
            prop_assert_eq!(substitute(&text, &Inputs::new()).unwrap(), text);
        }

        #[test]
        fn nothing_panics(text in "[$}{#%/:=^,a-zé ]{0,24}", value in "[a-zé/.]{0,8}") {
            let _ = substitute(&text, &inputs(&[("a", &value)]));
            let _ = names(&text);
        }

        #[test]
        fn any_value_arrives_unchanged(value in ".{0,40}") {
            let known = inputs(&[("a", &value)]);
            prop_assert_eq!(substitute("<${a}>", &known).unwrap(), format!("<{value}>"));
        }
    }
}
