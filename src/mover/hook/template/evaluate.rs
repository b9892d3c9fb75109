//! From a template's tree and the data to a text.

use serde_json::{Map, Value};

use super::parse::{Command, Node, Pipeline, Term};

/// How many items a template may go through altogether: it cannot be made to run for ever, but neither need it be long.
const ITEMS: usize = 100_000;

/// What a template sees at a place: its data, and the variables from the outermost to the innermost.
struct Scope {
    dot: Value,
    variables: Vec<(String, Value)>,
    items: usize,
}

/// The text that the nodes make of the data.
///
/// # Errors
/// What is not there, or cannot be done.
pub(super) fn text(nodes: &[Node], data: &Value) -> Result<String, String> {
    let mut scope = Scope {
        dot: data.clone(),
        // `$` is what the whole template was given.
        variables: vec![(String::new(), data.clone())],
        items: 0,
    };
    let mut out = String::new();
    scope.write(nodes, &mut out)?;
    Ok(out)
}

impl Scope {
    fn write(&mut self, nodes: &[Node], out: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Value(pipeline) => {
                    let value = self.value(pipeline)?;
                    if pipeline.names.is_empty() {
                        out.push_str(&shown(&value));
                    }
                }
                Node::If { dot, branches } => self.branches(*dot, branches, out)?,
                Node::Range { over, each, none } => self.range(over, each, none, out)?,
            }
        }
        Ok(())
    }

    /// Writes nodes whose variables end with them, with other data if there is some.
    fn inner(&mut self, dot: Option<Value>, nodes: &[Node], out: &mut String) -> Result<(), String> {
        let known = self.variables.len();
        let before = dot.map(|dot| std::mem::replace(&mut self.dot, dot));
        let written = self.write(nodes, out);
        if let Some(before) = before {
            self.dot = before;
        }
        self.variables.truncate(known);
        written
    }

    fn branches(
        &mut self,
        dot: bool,
        branches: &[(Option<Pipeline>, Vec<Node>)],
        out: &mut String,
    ) -> Result<(), String> {
        let known = self.variables.len();
        for (condition, nodes) in branches {
            let Some(condition) = condition else {
                self.inner(None, nodes, out)?;
                break;
            };
            let value = self.value(condition)?;
            if truth(&value) {
                self.inner(dot.then_some(value), nodes, out)?;
                break;
            }
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn range(
        &mut self,
        over: &Pipeline,
        each: &[Node],
        none: &[Node],
        out: &mut String,
    ) -> Result<(), String> {
        let plain = Pipeline {
            names: Vec::new(),
            new: false,
            commands: over.commands.clone(),
        };
        let items: Vec<(Value, Value)> = match self.value(&plain)? {
            Value::Array(items) => (0_u64..).map(Value::from).zip(items).collect(),
            Value::Object(map) => map.into_iter().map(|(key, item)| (key.into(), item)).collect(),
            Value::Null => Vec::new(),
            other => return Err(format!("range goes through lists and maps, not through {other}")),
        };
        if items.is_empty() {
            return self.inner(None, none, out);
        }
        let known = self.variables.len();
        for (key, item) in items {
            self.items += 1;
            if self.items > ITEMS {
                return Err(format!("range goes through more than {ITEMS} items"));
            }
            match over.names.as_slice() {
                [one] => self.set(one, over.new, item.clone())?,
                [first, second] => {
                    self.set(first, over.new, key)?;
                    self.set(second, over.new, item.clone())?;
                }
                _ => {}
            }
            self.inner(Some(item), each, out)?;
            self.variables.truncate(known);
        }
        Ok(())
    }

    fn set(&mut self, name: &str, new: bool, value: Value) -> Result<(), String> {
        if new {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        match known {
            Some((_, old)) => *old = value,
            None => return Err(format!("there is no variable ${name}")),
        }
        Ok(())
    }

    fn value(&mut self, pipeline: &Pipeline) -> Result<Value, String> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.run(command, last)?);
        }
        let value = last.ok_or_else(|| "a value is missing".to_owned())?;
        match pipeline.names.as_slice() {
            [] => {}
            [name] => self.set(name, pipeline.new, value.clone())?,
            _ => return Err("only range sets two variables".to_owned()),
        }
        Ok(value)
    }

    fn run(&mut self, command: &Command, piped: Option<Value>) -> Result<Value, String> {
        let Some((first, rest)) = command.0.split_first() else {
            return Err("a value is missing".to_owned());
        };
        let Term::Function(name) = first else {
            if !rest.is_empty() || piped.is_some() {
                return Err("only functions take arguments".to_owned());
            }
            return self.term(first);
        };
        let mut arguments = rest
            .iter()
            .map(|it| self.term(it))
            .collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped);
        call(name, &arguments)
    }

    fn term(&mut self, term: &Term) -> Result<Value, String> {
        match term {
            Term::Literal(literal) => Ok(literal.clone()),
            Term::Nested(pipeline) => self.value(pipeline),
            Term::Function(name) => call(name, &[]),
            Term::Field(path) => field(&self.dot, path),
            Term::Variable(name, path) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) = known.ok_or_else(|| format!("there is no variable ${name}"))?;
                field(value, path)
            }
        }
    }
}

fn field(data: &Value, path: &[String]) -> Result<Value, String> {
    let mut here = data;
    for name in path {
        here = here
            .get(name)
            .or_else(|| here.get(in_json(name)))
            .ok_or_else(|| format!("there is no field .{}", path.join(".")))?;
    }
    Ok(here.clone())
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
            Value::Array(items) => items.len().into(),
            _ => return Err("len takes a text, a list or a map".to_owned()),
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
        "list" => Value::Array(arguments.to_vec()),
        "index" => index(arguments)?,
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

/// The item of a map or a list, and of what is in it.
fn index(arguments: &[Value]) -> Result<Value, String> {
    let (first, keys) = arguments
        .split_first()
        .ok_or("index takes a list or a map first")?;
    keys.iter()
        .try_fold(first.clone(), |here, key| match (&here, key) {
            // What a map lacks is empty in Go.
            (Value::Object(map), key) => Ok(map.get(&shown(key)).cloned().unwrap_or_else(|| "".into())),
            (Value::Array(items), Value::Number(at)) => at
                .as_u64()
                .and_then(|at| items.get(usize::try_from(at).ok()?).cloned())
                .ok_or_else(|| format!("there is no item {at}")),
            _ => Err("index takes a list or a map first".to_owned()),
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
