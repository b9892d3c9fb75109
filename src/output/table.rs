//! Tables in kubectl's look: upper-case headings, columns three blanks apart, no borders.
//!
//! Rows may come in pages: a page is printed as soon as it is there, with columns at least as wide as those before it.

/// Lays rows out; remembers how wide its columns have become.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<String>,
    widths: Vec<usize>,
    started: bool,
    headless: bool,
}

impl Table {
    /// A table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        let headings: Vec<String> = headings.into_iter().map(Into::into).collect();
        let widths = headings.iter().map(|h| h.chars().count()).collect();
        Table {
            headings,
            widths,
            started: false,
            headless: false,
        }
    }

    /// The same table without its headings (`--no-headers`).
    pub fn without_headings(mut self) -> Self {
        self.headless = true;
        self.widths.fill(0);
        self
    }

    /// The text of one page of rows; the first page carries the headings. Cells come without control characters, so
    /// that text from the cluster cannot steer the terminal; an empty cell shows as `<none>` does in kubectl: empty.
    pub fn page(&mut self, rows: &[Vec<String>]) -> String {
        self.painted(rows, |_, cell| cell.to_owned())
    }

    /// As [`Table::page`], with cells painted after they are laid out: `paint` gets the number of the column and the
    /// cell as it is printed. Headings are never painted.
    pub fn painted(&mut self, rows: &[Vec<String>], paint: impl Fn(usize, &str) -> String) -> String {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| printable(cell)).collect())
            .collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        if !self.started && !self.headless {
            self.push(&mut text, &self.headings, |_, cell| cell.to_owned());
        }
        self.started = true;
        for row in &rows {
            self.push(&mut text, row, &paint);
        }
        text
    }

    fn push(&self, text: &mut String, row: &[String], paint: impl Fn(usize, &str) -> String) {
        let start = text.len();
        for (index, cell) in row.iter().enumerate() {
            if cell.is_empty() {
                // Nothing to paint; codes around nothing would keep the line's end from being clean.
            } else {
                text.push_str(&paint(index, cell));
            }
            if index + 1 < row.len() {
                let width = self.widths.get(index).copied().unwrap_or(0);
                let pad = width.saturating_sub(cell.chars().count()) + 3;
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        let end = text.trim_end_matches(' ').len().max(start);
        text.truncate(end);
        text.push('\n');
    }
}

/// The text on one line, with control characters (escape sequences among them) shown instead of obeyed.
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            c if c.is_control() => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|c| (*c).to_owned()).collect()
    }

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let mut table = Table::new(["NAME", "PHASE", "AGE"]);
        let first = table.page(&[row(&["a", "Succeeded", "5m"]), row(&["a-longer-name", "", ""])]);
        insta::assert_snapshot!(first, @r"
        NAME            PHASE       AGE
        a               Succeeded   5m
        a-longer-name
        ");
        assert_eq!(
            table.page(&[row(&["b", "Failed", "1s"])]),
            "b               Failed      1s\n"
        );
    }

    #[test]
    fn paint_does_not_move_columns() {
        let mut table = Table::new(["A", "B"]);
        let text = table.painted(
            &[row(&["x", "1"]), row(&["", "2"])],
            |column, cell| match column {
                0 => format!("<{cell}>"),
                _ => cell.to_owned(),
            },
        );
        assert_eq!(text, "A   B\n<x>   1\n    2\n");
    }

    #[test]
    fn headings_can_be_left_out() {
        let mut table = Table::new(["NAME", "AGE"]).without_headings();
        assert_eq!(table.page(&[row(&["a", "5m"])]), "a   5m\n");
        assert_eq!(table.page(&[]), "");
    }

    #[test]
    fn text_from_the_cluster_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb c");
    }
}
