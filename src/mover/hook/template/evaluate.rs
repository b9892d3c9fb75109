//! From a template's tree and the data to a text.

use serde_json::{Map, Value};

use super::parse::{Command, Node, Pipeline, Term};

/// The text that the nodes make of the data.
///
/// # Errors
/// What is not there, or cannot be done.
pub(super) fn text(nodes: &[Node], data: &Value) -> Result<String, String> {
    let mut out = String::new();
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Value(pipeline) => out.push_str(&shown(&value(pipeline, data)?)),
            Node::If(branches) => {
                for (condition, nodes) in branches {
                    let holds = match condition {
                        Some(condition) => truth(&value(condition, data)?),
                        None => true,
                    };
                    if holds {
                        out.push_str(&text(nodes, data)?);
                        break;
                    }
                }
            }
        }
    }
    Ok(out)
}

fn value(pipeline: &Pipeline, data: &Value) -> Result<Value, String> {
    let mut last = None;
    for command in &pipeline.0 {
        last = Some(run(command, last, data)?);
    }
    last.ok_or_else(|| "a value is missing".to_owned())
}

fn run(command: &Command, piped: Option<Value>, data: &Value) -> Result<Value, String> {
    let Some((first, rest)) = command.0.split_first() else {
        return Err("a value is missing".to_owned());
    };
    let Term::Function(name) = first else {
        if !rest.is_empty() || piped.is_some() {
            return Err("only functions take arguments".to_owned());
        }
        return term(first, data);
    };
    let mut arguments = rest
        .iter()
        .map(|it| term(it, data))
        .collect::<Result<Vec<_>, _>>()?;
    arguments.extend(piped);
    call(name, &arguments)
}

fn term(term: &Term, data: &Value) -> Result<Value, String> {
    match term {
        Term::Literal(literal) => Ok(literal.clone()),
        Term::Nested(pipeline) => value(pipeline, data),
        Term::Function(name) => call(name, &[]),
        Term::Field(path) => {
            let mut here = data;
            for name in path {
                here = here
                    .get(name)
                    .or_else(|| here.get(in_json(name)))
                    .ok_or_else(|| format!("there is no field .{}", path.join(".")))?;
            }
            Ok(here.clone())
        }
    }
}

/// A field's name in JSON, from its name in Go.
fn in_json(field: &str) -> String {
    if field == "APIGroup" {
        return "apiGroup".to_owned();
    }
    let mut letters = field.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().collect::<String>() + letters.as_str()
    })
}

fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let one = || match arguments {
        [one] => Ok(one),
        _ => Err(format!("{name} takes one argument")),
    };
    Ok(match name {
        "eq" | "ne" => {
            let (first, others) = arguments
                .split_first()
                .filter(|(_, others)| !others.is_empty())
                .ok_or_else(|| format!("{name} takes two arguments"))?;
            (others.contains(first) == (name == "eq")).into()
        }
        "and" => pick(arguments, |it| !truth(it))?,
        "or" => pick(arguments, truth)?,
        "not" => (!truth(one()?)).into(),
        "len" => match one()? {
            Value::String(text) => text.len().into(),
            Value::Object(map) => map.len().into(),
            _ => return Err("len takes a text".to_owned()),
        },
        "print" => arguments.iter().map(shown).collect::<String>().into(),
        "printf" => printf(arguments)?.into(),
        "toJson" => one()?.to_string().into(),
        "quote" => Value::from(shown(one()?)).to_string().into(),
        "upper" => shown(one()?).to_uppercase().into(),
        "lower" => shown(one()?).to_lowercase().into(),
        "trim" => shown(one()?).trim().into(),
        "default" => match arguments {
            [other, given] => {
                if truth(given) {
                    given.clone()
                } else {
                    other.clone()
                }
            }
            _ => return Err("default takes two arguments".to_owned()),
        },
        "dict" => {
            if !arguments.len().is_multiple_of(2) {
                return Err("dict needs a value for each key".to_owned());
            }
            let pairs = arguments
                .chunks_exact(2)
                .map(|pair| (shown(&pair[0]), pair[1].clone()));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => return Err(format!("the function {other} is not known")),
    })
}

/// The first argument that decides, else the last.
fn pick(arguments: &[Value], decides: impl Fn(&Value) -> bool) -> Result<Value, String> {
    let found = arguments.iter().find(|it| decides(it)).or(arguments.last());
    found.cloned().ok_or_else(|| "an argument is missing".to_owned())
}

/// `%s`, `%v`, `%d`, `%q` and `%%`.
fn printf(arguments: &[Value]) -> Result<String, String> {
    let Some((Value::String(format), mut rest)) = arguments.split_first() else {
        return Err("printf takes a format first".to_owned());
    };
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = letters.next().ok_or("the format ends with %")?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let (next, others) = rest.split_first().ok_or("printf has too few arguments")?;
        rest = others;
        match verb {
            's' | 'v' | 'd' => out.push_str(&shown(next)),
            'q' => out.push_str(&Value::from(shown(next)).to_string()),
            other => return Err(format!("printf does not know %{other}")),
        }
    }
    Ok(out)
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
