//! Two texts line by line, as `diff -u` shows them.

/// A line and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'t> {
    /// In both.
    Same(&'t str),
    /// Only in the old text.
    Old(&'t str),
    /// Only in the new text.
    New(&'t str),
}

/// Above this many lines on both sides no common lines are looked for.
const LIMIT: usize = 2000;

/// Every line of both texts, in order.
pub fn lines<'t>(old: &'t str, new: &'t str) -> Vec<Line<'t>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    if old.len().max(new.len()) > LIMIT {
        let gone = old.into_iter().map(Line::Old);
        return gone.chain(new.into_iter().map(Line::New)).collect();
    }
    let common = lengths(&old, &new);
    let width = new.len() + 1;
    let at = |i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while let (Some(a), Some(b)) = (old.get(i), new.get(j)) {
        if a == b {
            out.push(Line::Same(a));
            (i, j) = (i + 1, j + 1);
        } else if at(i + 1, j) >= at(i, j + 1) {
            out.push(Line::Old(a));
            i += 1;
        } else {
            out.push(Line::New(b));
            j += 1;
        }
    }
    out.extend(old.iter().skip(i).map(|line| Line::Old(line)));
    out.extend(new.iter().skip(j).map(|line| Line::New(line)));
    out
}

/// The length of the longest common part of the rests from (i, j) on.
fn lengths(old: &[&str], new: &[&str]) -> Vec<u32> {
    let width = new.len() + 1;
    let mut table = vec![0u32; (old.len() + 1) * width];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let value = if a == b {
                table.get((i + 1) * width + j + 1).copied().unwrap_or(0) + 1
            } else {
                let down = table.get((i + 1) * width + j).copied().unwrap_or(0);
                down.max(table.get(i * width + j + 1).copied().unwrap_or(0))
            };
            if let Some(cell) = table.get_mut(i * width + j) {
                *cell = value;
            }
        }
    }
    table
}

/// Only the changes, with `context` lines around each and `…` for what is left out.
pub fn changes<'t>(lines: &[Line<'t>], context: usize) -> Vec<Option<Line<'t>>> {
    let changed = |index: usize| lines.get(index).is_some_and(|l| !matches!(l, Line::Same(_)));
    let mut out: Vec<Option<Line<'t>>> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let near = index.saturating_sub(context)..=(index + context);
        if near.into_iter().any(changed) {
            out.push(Some(*line));
        } else if out.last().is_none_or(Option::is_some) {
            out.push(None);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_stand_beside_their_neighbours() {
        let lines = lines("a\nb\nc\nd\ne\n", "a\nb\nX\nd\ne\nf\n");
        assert_eq!(
            lines,
            [
                Line::Same("a"),
                Line::Same("b"),
                Line::Old("c"),
                Line::New("X"),
                Line::Same("d"),
                Line::Same("e"),
                Line::New("f")
            ]
        );
        let shown = changes(&lines, 0);
        assert_eq!(
            shown,
            [
                None,
                Some(Line::Old("c")),
                Some(Line::New("X")),
                None,
                Some(Line::New("f"))
            ]
        );
    }

    #[test]
    fn equal_texts_have_no_changes() {
        assert!(lines("a\nb", "a\nb").iter().all(|l| matches!(l, Line::Same(_))));
        assert_eq!(lines("", "a"), [Line::New("a")]);
    }
}
