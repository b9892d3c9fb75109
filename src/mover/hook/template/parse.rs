//! From a template's text to its tree.

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// Stands for itself.
    Text(String),
    /// A pipeline's value.
    Value(Pipeline),
    /// The first branch whose condition holds; one without a condition always does. With `dot` (`with`) the condition's value
    /// is the branch's data.
    If {
        /// Whether it is a `with`.
        dot: bool,
        /// The branches.
        branches: Vec<(Option<Pipeline>, Vec<Node>)>,
    },
    /// The nodes once for each item of a list or a map, each time with the item as their data; else the others.
    Range {
        /// What is gone through.
        over: Pipeline,
        /// For each item.
        each: Vec<Node>,
        /// When there is none.
        none: Vec<Node>,
    },
}

/// Commands, each given the value of the one before it as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    /// The variables that take its value (of a `range`: two take key and item).
    pub(super) names: Vec<String>,
    /// Whether the variables are new (`:=`) or known (`=`).
    pub(super) new: bool,
    /// The commands.
    pub(super) commands: Vec<Command>,
}

/// A function or value with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command(pub(super) Vec<Term>);

/// A word of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// `.` and `.A.B`.
    Field(Vec<String>),
    /// `$name` and `$name.A.B`; the name is empty for what the whole template is given.
    Variable(String, Vec<String>),
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
        Some(word) => Err(format!("{{{{ {word} }}}} without an if, with or range")),
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
            "if" | "with" => nodes.push(condition(word, rest, pieces)?),
            "range" => nodes.push(range(rest, pieces)?),
            "define" | "template" | "block" | "break" | "continue" => {
                return Err(format!(
                    "{word} is not known here; use fields, variables, functions, if, with and range"
                ));
            }
            _ => nodes.push(Node::Value(pipeline(&action)?)),
        }
    }
    Ok(None)
}

/// Reads what is inside an action that has an `end`, and answers the word that ended it.
fn inside(word: &str, pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, String), String> {
    let mut nodes = Vec::new();
    // Passed on as a trait object, so that the types do not nest without end.
    let next: &mut dyn Iterator<Item = Piece> = pieces;
    let ended = branch(&mut { next }, &mut nodes)?;
    let ended = ended.ok_or_else(|| format!("{{{{ {word} }}}} is not closed with {{{{ end }}}}"))?;
    Ok((nodes, ended))
}

fn condition(word: &str, first: &str, pieces: &mut impl Iterator<Item = Piece>) -> Result<Node, String> {
    let mut branches = Vec::new();
    let mut condition = Some(pipeline(first)?);
    loop {
        let (nodes, ended) = inside(word, pieces)?;
        let last = condition.is_none();
        branches.push((condition, nodes));
        condition = match ended.strip_prefix("else").map(str::trim) {
            None => {
                return Ok(Node::If {
                    dot: word == "with",
                    branches,
                });
            }
            Some(_) if last => return Err(format!("a second else of one {word}")),
            Some("") => None,
            Some(rest) => match rest
                .strip_prefix(word)
                .filter(|rest| rest.starts_with(char::is_whitespace))
            {
                Some(rest) => Some(pipeline(rest)?),
                None => return Err(format!("{{{{ {ended} }}}} is not known")),
            },
        };
    }
}

fn range(over: &str, pieces: &mut impl Iterator<Item = Piece>) -> Result<Node, String> {
    let over = pipeline(over)?;
    let (each, ended) = inside("range", pieces)?;
    let none = match ended.as_str() {
        "end" => Vec::new(),
        "else" => match inside("range", pieces)? {
            (none, ended) if ended == "end" => none,
            _ => return Err("a second else of one range".to_owned()),
        },
        other => return Err(format!("{{{{ {other} }}}} is not known")),
    };
    Ok(Node::Range { over, each, none })
}

#[derive(Debug, PartialEq)]
enum Token {
    Pipe,
    Open,
    Close,
    Term(Term),
}

/// Reads `$a, $b := ` and the like, and what comes after it.
fn declared(text: &str) -> Result<(Vec<String>, bool, &str), String> {
    let plain = || Ok((Vec::new(), false, text));
    if !text.trim_start().starts_with('$') {
        return plain();
    }
    let (names, rest, new) = match (text.find(":="), text.find('=')) {
        (Some(at), Some(first)) if at < first => (&text[..at], &text[at + 2..], true),
        (_, Some(at)) => (&text[..at], &text[at + 1..], false),
        _ => return plain(),
    };
    // An = inside a literal belongs to an argument.
    if names.contains(['"', '`', '|', '(']) {
        return plain();
    }
    let names = names.split(',').map(|name| {
        let name = name.trim().strip_prefix('$').unwrap_or_default();
        let good = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        good.then(|| name.to_owned())
            .ok_or_else(|| format!("{text} declares no variable"))
    });
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    if names.len() > 2 {
        return Err(format!("{text} declares too many variables"));
    }
    Ok((names, new, rest))
}

fn pipeline(text: &str) -> Result<Pipeline, String> {
    let (names, new, text) = declared(text)?;
    let mut tokens = tokens(text)?.into_iter();
    let (pipeline, closed) = commands(&mut tokens)?;
    if closed {
        return Err("a ) without a (".to_owned());
    }
    Ok(Pipeline {
        names,
        new,
        ..pipeline
    })
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
    let pipeline = Pipeline {
        names: Vec::new(),
        new: false,
        commands: all,
    };
    Ok((pipeline, closed))
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
    let path = |fields: &str| {
        let fields: Vec<String> = fields.split('.').map(str::to_owned).collect();
        if fields.iter().any(String::is_empty) {
            Err(format!("{word} is no field"))
        } else {
            Ok(fields)
        }
    };
    let term = if word == "." {
        Term::Field(Vec::new())
    } else if let Some(fields) = word.strip_prefix('.') {
        Term::Field(path(fields)?)
    } else if let Some(variable) = word.strip_prefix('$') {
        match variable.split_once('.') {
            Some((name, fields)) => Term::Variable(name.to_owned(), path(fields)?),
            None => Term::Variable(variable.to_owned(), Vec::new()),
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
