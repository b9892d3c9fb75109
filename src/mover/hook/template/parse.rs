//! From a template's text to its tree.

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// Stands for itself.
    Text(String),
    /// A pipeline's value.
    Value(Pipeline),
    /// The first branch whose condition holds; one without a condition always does.
    If(Vec<(Option<Pipeline>, Vec<Node>)>),
}

/// Commands, each given the value of the one before it as its last argument.
#[derive(Debug, PartialEq)]
pub(super) struct Pipeline(pub(super) Vec<Command>);

/// A function or value with its arguments.
#[derive(Debug, PartialEq)]
pub(super) struct Command(pub(super) Vec<Term>);

/// A word of a command.
#[derive(Debug, PartialEq)]
pub(super) enum Term {
    /// `.` and `.A.B`.
    Field(Vec<String>),
    /// A text, a number, `true`, `false`, `nil`.
    Literal(serde_json::Value),
    /// The name of a function.
    Function(String),
    /// In parentheses.
    Nested(Pipeline),
}

/// Reads a template.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    let mut nodes = Vec::new();
    match branch(&mut pieces, &mut nodes)? {
        None => Ok(nodes),
        Some(word) => Err(format!("{{{{ {word} }}}} without an if")),
    }
}

enum Piece {
    Text(String),
    Action(String),
}

/// Cuts the text at its actions; blanks go where an action says so.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some(at) = rest.find("{{") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let end = end_of_action(after).ok_or("an action is not closed with }}")?;
        let mut action = &after[..end];
        let mut before = if trim { before.trim_start() } else { before };
        if let Some(inner) = action
            .strip_prefix('-')
            .filter(|inner| inner.starts_with(char::is_whitespace))
        {
            before = before.trim_end();
            action = inner;
        }
        trim = false;
        if let Some(inner) = action
            .strip_suffix('-')
            .filter(|inner| inner.ends_with(char::is_whitespace))
        {
            trim = true;
            action = inner;
        }
        all.push(Piece::Text(before.to_owned()));
        let action = action.trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            all.push(Piece::Action(action.to_owned()));
        }
        rest = &after[end + 2..];
    }
    all.push(Piece::Text(
        if trim { rest.trim_start() } else { rest }.to_owned(),
    ));
    Ok(all)
}

/// Where the `}}` is that is in no literal.
fn end_of_action(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

/// Reads nodes up to an `else` or `end`, which is answered, or to the end of the template.
fn branch(pieces: &mut impl Iterator<Item = Piece>, nodes: &mut Vec<Node>) -> Result<Option<String>, String> {
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                if !text.is_empty() {
                    nodes.push(Node::Text(text));
                }
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
        match word {
            "end" | "else" => return Ok(Some(action)),
            "if" => nodes.push(condition(rest, pieces)?),
            "range" | "with" | "define" | "template" | "block" | "break" | "continue" => {
                return Err(format!("{word} is not known here; use fields, functions and if"));
            }
            _ => nodes.push(Node::Value(pipeline(&action)?)),
        }
    }
    Ok(None)
}

fn condition(first: &str, pieces: &mut impl Iterator<Item = Piece>) -> Result<Node, String> {
    let mut branches = Vec::new();
    let mut condition = Some(pipeline(first)?);
    loop {
        let mut nodes = Vec::new();
        // Boxed in effect: the iterator is passed on as a trait object, so that the types do not nest without end.
        let next: &mut dyn Iterator<Item = Piece> = pieces;
        let word = branch(&mut { next }, &mut nodes)?.ok_or("an if is not closed with {{ end }}")?;
        let last = condition.is_none();
        branches.push((condition, nodes));
        condition = match word.strip_prefix("else").map(str::trim) {
            None => return Ok(Node::If(branches)),
            Some(_) if last => return Err("a second else of one if".to_owned()),
            Some("") => None,
            Some(rest) => match rest
                .strip_prefix("if")
                .filter(|rest| rest.starts_with(char::is_whitespace))
            {
                Some(rest) => Some(pipeline(rest)?),
                None => return Err(format!("{{{{ {word} }}}} is not known")),
            },
        };
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Pipe,
    Open,
    Close,
    Term(Term),
}

fn pipeline(text: &str) -> Result<Pipeline, String> {
    let mut tokens = tokens(text)?.into_iter();
    let (pipeline, closed) = commands(&mut tokens)?;
    if closed {
        return Err("a ) without a (".to_owned());
    }
    Ok(pipeline)
}

/// Reads commands up to a `)` or the end, and says which it was.
fn commands(tokens: &mut std::vec::IntoIter<Token>) -> Result<(Pipeline, bool), String> {
    let mut all = Vec::new();
    let mut terms = Vec::new();
    let mut closed = false;
    while let Some(token) = tokens.next() {
        match token {
            Token::Pipe => all.push(command(&mut terms)?),
            Token::Open => match commands(tokens)? {
                (inner, true) => terms.push(Term::Nested(inner)),
                (_, false) => return Err("a ( without a )".to_owned()),
            },
            Token::Close => {
                closed = true;
                break;
            }
            Token::Term(term) => terms.push(term),
        }
    }
    all.push(command(&mut terms)?);
    Ok((Pipeline(all), closed))
}

fn command(terms: &mut Vec<Term>) -> Result<Command, String> {
    if terms.is_empty() {
        return Err("a value is missing".to_owned());
    }
    Ok(Command(std::mem::take(terms)))
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '"' => quoted(rest)?,
            '`' => {
                let end = rest[1..].find('`').ok_or("a ` is not closed")?;
                (Token::Term(Term::Literal(rest[1..=end].into())), end + 2)
            }
            _ => word(rest)?,
        };
        all.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(all)
}

fn quoted(text: &str) -> Result<(Token, usize), String> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let literal =
                    serde_json::from_str(&text[..=at]).map_err(|e| format!("{}: {e}", &text[..=at]))?;
                return Ok((Token::Term(Term::Literal(literal)), at + 1));
            }
            _ => {}
        }
    }
    Err("a \" is not closed".to_owned())
}

fn word(text: &str) -> Result<(Token, usize), String> {
    let end = text
        .find(|c: char| c.is_whitespace() || matches!(c, '|' | '(' | ')' | '"' | '`'))
        .unwrap_or(text.len());
    let word = &text[..end];
    let term = if let Some(fields) = word.strip_prefix('.') {
        let fields: Vec<String> = fields.split('.').map(str::to_owned).collect();
        match fields.as_slice() {
            [one] if one.is_empty() => Term::Field(Vec::new()),
            all if all.iter().any(String::is_empty) => return Err(format!("{word} is no field")),
            _ => Term::Field(fields),
        }
    } else if let Ok(number) = word.parse::<i64>() {
        Term::Literal(number.into())
    } else {
        match word {
            "true" => Term::Literal(true.into()),
            "false" => Term::Literal(false.into()),
            "nil" => Term::Literal(serde_json::Value::Null),
            name if name.chars().all(|c| c.is_alphanumeric() || c == '_') => Term::Function(name.to_owned()),
            other => return Err(format!("{other} is not known")),
        }
    };
    Ok((Token::Term(term), end))
}
