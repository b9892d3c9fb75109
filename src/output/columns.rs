//! `-o custom-columns=NAME:.metadata.name,PHASE:.status.phase`: columns of the user's own.

use serde_json::Value;

use super::jsonpath::{self, Path};

/// The columns in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    columns: Vec<(String, Path)>,
}

impl Columns {
    /// Parses `HEADING:expression` pairs, separated by commas outside brackets.
    ///
    /// # Errors
    /// When there is no column, a heading or expression is missing, or an expression is not understood.
    pub fn parse(text: &str) -> Result<Self, jsonpath::Error> {
        let columns = split(text)
            .into_iter()
            .map(|pair| match pair.split_once(':') {
                Some((heading, path)) if !heading.is_empty() && !path.is_empty() => {
                    Ok((heading.to_owned(), Path::parse(path)?))
                }
                _ => Err(jsonpath::Error(format!("{pair:?} is not HEADING:.path"))),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Columns { columns })
    }

    /// The headings.
    pub fn headings(&self) -> Vec<String> {
        self.columns.iter().map(|(heading, _)| heading.clone()).collect()
    }

    /// The row of one object; what is missing shows as `<none>`.
    ///
    /// # Errors
    /// When an index lies beyond its list.
    pub fn row(&self, object: &Value) -> Result<Vec<String>, jsonpath::Error> {
        self.columns
            .iter()
            .map(|(_, path)| {
                let found = path.find(object)?;
                let texts: Vec<String> = found
                    .into_iter()
                    .filter(|v| !v.is_null())
                    .map(jsonpath::text)
                    .collect();
                Ok(if texts.is_empty() {
                    "<none>".to_owned()
                } else {
                    texts.join(",")
                })
            })
            .collect()
    }
}

/// Splits at commas that are not inside brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_the_users() {
        let columns = Columns::parse("NAME:.metadata.name,PHASE:status.phase,FIRST:.spec.l[0,1]").unwrap();
        assert_eq!(columns.headings(), ["NAME", "PHASE", "FIRST"]);
        let row = columns
            .row(&json!({"metadata": {"name": "a"}, "spec": {"l": [1, 2]}}))
            .unwrap();
        assert_eq!(row, ["a", "<none>", "1,2"]);
        for bad in ["", "NAME", "NAME:", ":.a", "A:.a,"] {
            assert!(Columns::parse(bad).is_err(), "{bad}");
        }
    }
}
