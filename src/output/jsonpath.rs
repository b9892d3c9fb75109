//! The JSONPath templates of `kubectl -o jsonpath=`: text with `{expressions}`, `{range …}{end}`, quoted text,
//! wildcards, slices, unions, recursive descent and filters such as `[?(@.status.phase=="Ready")]`.
//!
//! As in kubectl, a field that is missing prints nothing and an index beyond the list is an error. [`Template`] renders
//! whole templates, [`Path`] is one bare expression as columns use it.

mod parse;

use std::cmp::Ordering;

use serde_json::Value;

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    segments: Vec<Segment>,
}

/// One parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Text(String),
    Eval(Path),
    Range(Path, Vec<Segment>),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Root,
    Field(String),
    Wildcard,
    Descend,
    Index(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Union(Vec<Step>),
    Filter(Box<Condition>),
}

#[derive(Debug, Clone, PartialEq)]
struct Condition {
    left: Operand,
    test: Option<(Comparison, Operand)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Path(Path),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a template cannot be used, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(super) String);

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// When a brace, bracket, quote or `{range}` is left open or an expression is not understood.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::template(text).map(|segments| Template { segments })
    }

    /// Renders the template for a value.
    ///
    /// # Errors
    /// When an index lies beyond its list or something that is no list is filtered.
    pub fn render(&self, value: &Value) -> Result<String, Error> {
        let mut text = String::new();
        render(&self.segments, value, value, &mut text)?;
        Ok(text)
    }
}

impl Path {
    /// Parses one expression in the relaxed forms of columns: `.a.b`, `a.b` or `{.a.b}`.
    ///
    /// # Errors
    /// When the expression is not understood.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::relaxed(text)
    }

    /// Every value the expression finds; none when a field is missing.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn find<'v>(&self, value: &'v Value) -> Result<Vec<&'v Value>, Error> {
        evaluate(&self.steps, value, value)
    }
}

/// A value as kubectl prints it: strings bare, everything else as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn render(segments: &[Segment], root: &Value, current: &Value, out: &mut String) -> Result<(), Error> {
    for segment in segments {
        match segment {
            Segment::Text(text) => out.push_str(text),
            Segment::Eval(path) => {
                let found = evaluate(&path.steps, root, current)?;
                let texts: Vec<String> = found.into_iter().map(text).collect();
                out.push_str(&texts.join(" "));
            }
            Segment::Range(path, body) => {
                for item in evaluate(&path.steps, root, current)? {
                    render(body, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

fn evaluate<'v>(steps: &[Step], root: &'v Value, current: &'v Value) -> Result<Vec<&'v Value>, Error> {
    let mut found = vec![current];
    for step in steps {
        let mut next = Vec::new();
        for value in found {
            apply(step, root, value, &mut next)?;
        }
        found = next;
    }
    Ok(found)
}

fn apply<'v>(step: &Step, root: &'v Value, value: &'v Value, next: &mut Vec<&'v Value>) -> Result<(), Error> {
    match step {
        Step::Root => next.push(root),
        Step::Field(name) => next.extend(value.get(name)),
        Step::Wildcard => match value {
            Value::Array(items) => next.extend(items),
            Value::Object(map) => next.extend(map.values()),
            _ => {}
        },
        Step::Descend => descend(value, next),
        Step::Index(index) => {
            if let Value::Array(items) = value {
                next.push(at(items, *index)?);
            }
        }
        Step::Slice { start, end, step } => {
            if let Value::Array(items) = value {
                slice(items, *start, *end, *step, next);
            }
        }
        Step::Union(steps) => {
            for step in steps {
                apply(step, root, value, next)?;
            }
        }
        Step::Filter(condition) => match value {
            Value::Array(items) => {
                for item in items {
                    if holds(condition, root, item)? {
                        next.push(item);
                    }
                }
            }
            Value::Null => {}
            _ => return Err(Error("a filter [?(…)] works on lists only".to_owned())),
        },
    }
    Ok(())
}

fn at(items: &[Value], index: i64) -> Result<&Value, Error> {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let position = if index < 0 { index + length } else { index };
    usize::try_from(position)
        .ok()
        .and_then(|p| items.get(p))
        .ok_or_else(|| {
            Error(format!(
                "array index out of bounds: index {index}, length {length}"
            ))
        })
}

fn slice<'v>(items: &'v [Value], start: Option<i64>, end: Option<i64>, step: i64, next: &mut Vec<&'v Value>) {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let bound = |edge: i64| if edge < 0 { edge + length } else { edge }.clamp(0, length);
    let start = usize::try_from(bound(start.unwrap_or(0))).unwrap_or(0);
    let end = usize::try_from(bound(end.unwrap_or(length))).unwrap_or(0);
    let step = usize::try_from(step).unwrap_or(1).max(1);
    next.extend(items.iter().take(end).skip(start).step_by(step));
}

fn descend<'v>(value: &'v Value, next: &mut Vec<&'v Value>) {
    next.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descend(item, next)),
        Value::Object(map) => map.values().for_each(|item| descend(item, next)),
        _ => {}
    }
}

fn holds(condition: &Condition, root: &Value, item: &Value) -> Result<bool, Error> {
    let Some(left) = operand(&condition.left, root, item)? else {
        return Ok(false);
    };
    let Some((comparison, right)) = &condition.test else {
        return Ok(true);
    };
    let Some(right) = operand(right, root, item)? else {
        return Ok(false);
    };
    let order = compare(&left, &right);
    Ok(match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

fn operand(operand: &Operand, root: &Value, item: &Value) -> Result<Option<Value>, Error> {
    match operand {
        Operand::Literal(value) => Ok(Some(value.clone())),
        Operand::Path(path) => Ok(evaluate(&path.steps, root, item)?
            .into_iter()
            .next()
            .filter(|v| !v.is_null())
            .cloned()),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (a, b) => (a == b).then_some(Ordering::Equal),
    }
}

#[cfg(test)]
mod tests;
