//! The little JSONPath of printer columns: fields, indices, wildcards, slices of one and filters by equality.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// `[?(@.type=="Ready")]`: path below the item, whether it must be equal, and the value.
    Where(Vec<String>, bool, String),
}

/// A parsed path.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads `.status.conditions[?(@.type=="Ready")].status`. What cannot be read finds nothing.
    pub(super) fn parse(text: &str) -> Self {
        let text = text
            .trim()
            .trim_start_matches('{')
            .trim_end_matches('}')
            .trim_start_matches('$');
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let Some(end) = closing(inner) else {
                    return Self(vec![Step::Field(String::new())]);
                };
                steps.push(bracket(&inner[..end]));
                rest = &inner[end + 1..];
            } else {
                rest = rest.trim_start_matches('.');
                // A dot in a name is written `\.`.
                let mut name = String::new();
                let mut taken = 0;
                let mut escaped = false;
                for c in rest.chars() {
                    if !escaped && (c == '.' || c == '[') {
                        break;
                    }
                    taken += c.len_utf8();
                    if !escaped && c == '\\' {
                        escaped = true;
                        continue;
                    }
                    escaped = false;
                    name.push(c);
                }
                rest = &rest[taken..];
                if !name.is_empty() {
                    steps.push(if name == "*" { Step::All } else { Step::Field(name) });
                }
            }
        }
        Self(steps)
    }

    /// The first value at the path.
    pub(super) fn find(&self, value: &Value) -> Option<Value> {
        let mut current = vec![value];
        for step in &self.0 {
            current = current.into_iter().flat_map(|v| apply(step, v)).collect();
        }
        current.first().filter(|v| !v.is_null()).map(|v| (*v).clone())
    }
}

/// Where the bracket that was opened ends, outside quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(index),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Step {
    let text = text.trim();
    if text == "*" {
        return Step::All;
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        for (sign, equal) in [("==", true), ("!=", false)] {
            if let Some((path, value)) = filter.split_once(sign) {
                let path = path
                    .trim()
                    .trim_start_matches('@')
                    .split('.')
                    .filter(|p| !p.is_empty());
                let value = value.trim().trim_matches(['"', '\'']).to_owned();
                return Step::Where(path.map(str::to_owned).collect(), equal, value);
            }
        }
    }
    match text.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Field(text.trim_matches(['"', '\'']).to_owned()),
    }
}

fn apply<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let position = if *index < 0 {
                items.len() as i64 + index
            } else {
                *index
            };
            usize::try_from(position)
                .ok()
                .and_then(|i| items.get(i))
                .into_iter()
                .collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(map)) => map.values().collect(),
        (Step::Where(path, equal, wanted), Value::Array(items)) => items
            .iter()
            .filter(|item| {
                let found = path.iter().try_fold(*item, |v, p| v.get(p));
                found.is_some_and(|f| (shown(f) == *wanted) == *equal)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A value as a cell.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
