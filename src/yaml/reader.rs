//! Events to values. Anchors are copied where they are used (within a budget, against YAML bombs), merge keys are
//! expanded, duplicate keys are errors, and the place of every field is kept.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Document, Error, Place, scalar};

/// Deeper than any manifest, shallow enough for the stack.
const MAX_DEPTH: usize = 128;
/// How many values aliases may add to a stream.
const MAX_ALIASED: usize = 100_000;

/// Reads a stream; `keep_places` is worth its memory only to those who report mistakes.
pub(super) fn read(text: &str, keep_places: bool) -> Result<Vec<Document>, Error> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        places: BTreeMap::new(),
        keep_places,
        aliased: 0,
    };
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next()? {
        match event {
            Event::DocumentStart(..) => {
                let (event, span) = reader.expect_next()?;
                reader.places.clear();
                reader.anchors.clear();
                let start = place(&span);
                let value = reader.node(event, &span, "", 0)?;
                if !value.is_null() {
                    let places = std::mem::take(&mut reader.places);
                    documents.push(Document { value, start, places });
                }
            }
            Event::StreamEnd => break,
            _ => {}
        }
    }
    Ok(documents)
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Value>,
    places: BTreeMap<String, Place>,
    keep_places: bool,
    aliased: usize,
}

impl<'t> Reader<'t> {
    /// The next event that carries data (comments are passed over).
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Error> {
        loop {
            match self.events.next() {
                None => return Ok(None),
                Some(Err(error)) => {
                    let at = error.marker();
                    let place = Place {
                        line: at.line().max(1),
                        column: at.col() + 1,
                    };
                    return Err(Error::Syntax {
                        place,
                        message: error.info(),
                    });
                }
                Some(Ok((event, span))) => match event {
                    Event::Scalar(..)
                    | Event::SequenceStart(..)
                    | Event::SequenceEnd
                    | Event::MappingStart(..)
                    | Event::MappingEnd
                    | Event::Alias(_)
                    | Event::DocumentStart(..)
                    | Event::StreamEnd => return Ok(Some((event, span))),
                    _ => {}
                },
            }
        }
    }

    /// The pointer of a field or item, with its place remembered where places are wanted.
    fn keep(&mut self, parent: &str, span: &Span, name: impl FnOnce() -> String) -> String {
        if !self.keep_places {
            return String::new();
        }
        let pointer = format!("{parent}/{}", name());
        self.places.insert(pointer.clone(), place(span));
        pointer
    }

    fn expect_next(&mut self) -> Result<(Event<'t>, Span), Error> {
        self.next()?.ok_or_else(|| Error::Syntax {
            place: Place::START,
            message: "the text ends in the middle of a value".to_owned(),
        })
    }

    fn node(&mut self, event: Event<'t>, span: &Span, path: &str, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(syntax(span, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar_value(&text, style, tag.as_deref())),
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence(path, depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(path, depth)?),
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned().ok_or_else(|| {
                    syntax(
                        span,
                        "the alias refers to a value that contains it or does not exist".to_owned(),
                    )
                })?;
                self.aliased += count(&value);
                if self.aliased > MAX_ALIASED {
                    return Err(syntax(span, "aliases expand to an unreasonable size".to_owned()));
                }
                (0, value)
            }
            _ => return Err(syntax(span, "a value is expected here".to_owned())),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.expect_next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::Array(items));
            }
            let path = self.keep(path, &span, || items.len().to_string());
            items.push(self.node(event, &span, &path, depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, Error> {
        let mut map = Map::new();
        let mut merged = Map::new();
        loop {
            let (event, span) = self.expect_next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let plain_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text.as_ref() == "<<");
            let key = self.node(event, &span, path, depth + 1)?;
            let key = key_text(&key).ok_or_else(|| syntax(&span, "a key must be a scalar".to_owned()))?;
            let (event, value_span) = self.expect_next()?;
            if plain_merge {
                let value = self.node(event, &value_span, path, depth + 1)?;
                merge(&mut merged, value).ok_or_else(|| {
                    syntax(
                        &value_span,
                        "`<<` wants a mapping or a list of mappings".to_owned(),
                    )
                })?;
                continue;
            }
            let field = self.keep(path, &span, || key.replace('~', "~0").replace('/', "~1"));
            let value = self.node(event, &value_span, &field, depth + 1)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(syntax(
                    &span,
                    format!("key {key:?} is set twice in the same mapping"),
                ));
            }
        }
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        Ok(Value::Object(map))
    }
}

/// Adds what `<<` names; earlier mappings win, as YAML's merge type says. `None` when it is not a mapping.
fn merge(into: &mut Map<String, Value>, value: Value) -> Option<()> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                into.entry(key).or_insert(value);
            }
            Some(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| match item {
            Value::Object(_) => merge(into, item),
            _ => None,
        }),
        _ => None,
    }
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let tag = tag.map(ToString::to_string).unwrap_or_default();
    if tag.ends_with(":str") || tag.ends_with("!str") || tag == "!" {
        return Value::String(text.to_owned());
    }
    match style {
        ScalarStyle::Plain => scalar::resolve(text),
        _ => Value::String(text.to_owned()),
    }
}

/// A key as JSON has it: kubectl turns numbers and booleans into their text.
fn key_text(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some("null".to_owned()),
        _ => None,
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn place(span: &Span) -> Place {
    Place {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
    }
}

fn syntax(span: &Span, message: String) -> Error {
    Error::Syntax {
        place: place(span),
        message,
    }
}
