//! Text to steps. Positions in messages count characters from 1.

use serde_json::Value;

use super::{Comparison, Condition, Error, Operand, Path, Segment, Step};

/// Parses a template with text around its `{expressions}`.
pub(super) fn template(text: &str) -> Result<Vec<Segment>, Error> {
    let mut parser = Parser::new(text);
    let segments = parser.segments(false)?;
    Ok(segments)
}

/// Parses `.a.b`, `a.b` or `{.a.b}`.
pub(super) fn relaxed(text: &str) -> Result<Path, Error> {
    let trimmed = text.trim();
    let bare = trimmed
        .strip_prefix('{')
        .map_or(Some(trimmed), |rest| rest.strip_suffix('}'));
    let bare = bare.ok_or_else(|| Error(format!("{text:?} has an open brace")))?;
    let dotted = match bare.chars().next() {
        Some('.' | '[' | '$' | '@') => bare.to_owned(),
        Some(_) => format!(".{bare}"),
        None => return Err(Error("an empty expression".to_owned())),
    };
    let mut parser = Parser::new(&dotted);
    let path = parser.path()?;
    parser.blanks();
    if parser.peek().is_some() {
        return Err(parser.wrong("the expression should end here"));
    }
    Ok(path)
}

struct Parser {
    chars: Vec<char>,
    at: usize,
}

impl Parser {
    fn new(text: &str) -> Self {
        Parser {
            chars: text.chars().collect(),
            at: 0,
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn eat(&mut self, text: &str) -> bool {
        let wanted: Vec<char> = text.chars().collect();
        let hit = self.chars[self.at..].starts_with(&wanted);
        if hit {
            self.at += wanted.len();
        }
        hit
    }

    fn expect(&mut self, text: &str) -> Result<(), Error> {
        if self.eat(text) {
            Ok(())
        } else {
            Err(self.wrong(&format!("`{text}` is expected")))
        }
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn wrong(&self, what: &str) -> Error {
        let text: String = self.chars.iter().collect();
        Error(format!("{what} at character {} of {text:?}", self.at + 1))
    }

    fn segments(&mut self, in_range: bool) -> Result<Vec<Segment>, Error> {
        let mut segments = Vec::new();
        let mut text = String::new();
        while let Some(c) = self.take() {
            if c != '{' {
                text.push(c);
                continue;
            }
            if !text.is_empty() {
                segments.push(Segment::Text(std::mem::take(&mut text)));
            }
            self.blanks();
            if self.word("end") {
                self.close()?;
                return if in_range {
                    Ok(segments)
                } else {
                    Err(self.wrong("`{end}` without `{range}` before it"))
                };
            }
            if self.word("range") {
                self.blanks();
                let path = self.path()?;
                self.close()?;
                segments.push(Segment::Range(path, self.segments(true)?));
                continue;
            }
            while self.peek() != Some('}') {
                segments.push(match self.peek() {
                    Some('"' | '\'') => Segment::Text(self.quoted()?),
                    Some(_) => Segment::Eval(self.path()?),
                    None => return Err(self.wrong("a brace is left open")),
                });
                self.blanks();
            }
            self.close()?;
        }
        if in_range {
            return Err(self.wrong("`{range}` without `{end}`"));
        }
        if !text.is_empty() {
            segments.push(Segment::Text(text));
        }
        Ok(segments)
    }

    /// A keyword, not the beginning of a longer name.
    fn word(&mut self, word: &str) -> bool {
        let before = self.at;
        if self.eat(word) && self.peek().is_none_or(|c| c == '}' || c.is_whitespace()) {
            return true;
        }
        self.at = before;
        false
    }

    fn close(&mut self) -> Result<(), Error> {
        self.blanks();
        self.expect("}")
    }

    fn quoted(&mut self) -> Result<String, Error> {
        let Some(quote) = self.take() else {
            return Err(self.wrong("a quote is expected"));
        };
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err(self.wrong("a quote is left open")),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.take() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c) => text.push(c),
                    None => return Err(self.wrong("a quote is left open")),
                },
                Some(c) => text.push(c),
            }
        }
    }

    fn path(&mut self) -> Result<Path, Error> {
        let mut steps = Vec::new();
        let start = self.at;
        if self.eat("$") {
            steps.push(Step::Root);
        } else {
            let _current = self.eat("@");
        }
        loop {
            match self.peek() {
                Some('.') if self.eat("..") => {
                    steps.push(Step::Descend);
                    if self.peek() != Some('[') {
                        steps.push(self.field()?);
                    }
                }
                Some('.') => {
                    self.at += 1;
                    // `{.}` and `.[0]` are kubectl's too.
                    if !matches!(self.peek(), None | Some('[' | '}' | ')')) {
                        steps.push(self.field()?);
                    }
                }
                Some('[') => {
                    self.at += 1;
                    steps.push(self.bracket()?);
                }
                _ => break,
            }
        }
        if self.at == start {
            return Err(self.wrong("an expression such as `.metadata.name` is expected"));
        }
        Ok(Path { steps })
    }

    fn field(&mut self) -> Result<Step, Error> {
        if self.eat("*") {
            return Ok(Step::Wildcard);
        }
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.at += 1;
                    name.extend(self.take());
                    continue;
                }
                '.' | '[' | ']' | '}' | '{' | '(' | ')' | '=' | '!' | '<' | '>' | ',' | '\'' | '"' => break,
                c if c.is_whitespace() => break,
                c => name.push(c),
            }
            self.at += 1;
        }
        if name.is_empty() {
            Err(self.wrong("a field name is expected"))
        } else {
            Ok(Step::Field(name))
        }
    }

    fn bracket(&mut self) -> Result<Step, Error> {
        self.blanks();
        if self.eat("?(") {
            let condition = self.condition()?;
            self.expect(")")?;
            self.blanks();
            self.expect("]")?;
            return Ok(Step::Filter(Box::new(condition)));
        }
        let mut steps = Vec::new();
        loop {
            self.blanks();
            steps.push(match self.peek() {
                Some('*') => {
                    self.at += 1;
                    Step::Wildcard
                }
                Some('"' | '\'') => Step::Field(self.quoted()?),
                _ => self.numbers()?,
            });
            self.blanks();
            if self.eat("]") {
                break;
            }
            self.expect(",")?;
        }
        match (steps.pop(), steps.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                steps.push(last);
                Ok(Step::Union(steps))
            }
            (None, _) => Err(self.wrong("an index is expected")),
        }
    }

    /// `3`, `-1`, `1:4`, `:2`, `::2`.
    fn numbers(&mut self) -> Result<Step, Error> {
        let first = self.number()?;
        if !self.eat(":") {
            return first
                .map(Step::Index)
                .ok_or_else(|| self.wrong("an index is expected"));
        }
        let end = self.number()?;
        let step = if self.eat(":") {
            self.number()?.unwrap_or(1)
        } else {
            1
        };
        if step <= 0 {
            return Err(self.wrong("the step of a slice must be positive"));
        }
        Ok(Step::Slice {
            start: first,
            end,
            step,
        })
    }

    fn number(&mut self) -> Result<Option<i64>, Error> {
        let start = self.at;
        let _minus = self.eat("-");
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| self.wrong("a number is expected"))
    }

    fn condition(&mut self) -> Result<Condition, Error> {
        self.blanks();
        let left = self.operand()?;
        self.blanks();
        let operators = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
            ("=", Comparison::Equal),
        ];
        for (sign, comparison) in operators {
            if self.eat(sign) {
                self.blanks();
                let right = self.operand()?;
                self.blanks();
                return Ok(Condition {
                    left,
                    test: Some((comparison, right)),
                });
            }
        }
        Ok(Condition { left, test: None })
    }

    fn operand(&mut self) -> Result<Operand, Error> {
        match self.peek() {
            Some('"' | '\'') => Ok(Operand::Literal(Value::String(self.quoted()?))),
            Some('@' | '$' | '.') => Ok(Operand::Path(self.path()?)),
            _ => {
                let start = self.at;
                while self
                    .peek()
                    .is_some_and(|c| !matches!(c, ')' | '=' | '!' | '<' | '>') && !c.is_whitespace())
                {
                    self.at += 1;
                }
                let text: String = self.chars[start..self.at].iter().collect();
                match text.as_str() {
                    "true" => Ok(Operand::Literal(Value::Bool(true))),
                    "false" => Ok(Operand::Literal(Value::Bool(false))),
                    _ => serde_json::from_str::<serde_json::Number>(&text)
                        .map(|n| Operand::Literal(Value::Number(n)))
                        .map_err(|_| self.wrong("text in a filter must be quoted")),
                }
            }
        }
    }
}
