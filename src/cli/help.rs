//! The look of help texts. They are written in doc comments of any width; a reader's terminal has its own. Prose is
//! joined into paragraphs, which clap then wraps to the terminal; examples stay as written, and long ones go on in a
//! second line that a shell takes when it is pasted.

use clap::Command;

/// Columns of an example; the narrowest terminal worth caring for has 80.
const EXAMPLE: usize = 78;

/// The same commands with help texts that any terminal can show.
pub(super) fn laid_out(command: Command) -> Command {
    let long = command.get_long_about().map(|text| layout(&text.to_string()));
    let command = command.mut_subcommands(laid_out);
    match long {
        Some(text) => command.long_about(text),
        None => command,
    }
}

/// Joins the lines of each paragraph; indented lines stay lines.
fn layout(text: &str) -> String {
    let mut out = String::new();
    let mut joins = false;
    for line in text.lines() {
        let stays = line.is_empty() || line.starts_with(' ') || line.ends_with(':') && !joins;
        if !out.is_empty() {
            out.push(if joins && !line.is_empty() && !line.starts_with(' ') {
                ' '
            } else {
                '\n'
            });
        }
        if line.starts_with(' ') {
            out.push_str(&broken(line, EXAMPLE));
        } else {
            out.push_str(line.trim_end());
        }
        joins = !stays;
    }
    out
}

/// An example in lines of at most so many columns, where its options allow that.
pub(super) fn broken(line: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut rest = line.trim_end().to_owned();
    while rest.chars().count() > columns {
        let fits = |at: &usize| {
            rest.get(..*at)
                .is_some_and(|head| head.chars().count() + 2 <= columns)
        };
        // Before the last option that fits, or the first where none does.
        let breaks = || rest.match_indices(" -").map(|(at, _)| at).filter(|at| *at > 8);
        let Some(at) = breaks().filter(fits).last().or_else(|| breaks().next()) else {
            break;
        };
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        out.push_str(" \\\n");
        rest = format!("      {}", tail.trim_start());
    }
    out + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_joined_and_examples_stay() {
        let text = "Create it\n\nOne line\nand its end.\nMore.\n\nExamples:\n  kubectl kubestash a\n  kubectl kubestash b";
        assert_eq!(
            layout(text),
            "Create it\n\nOne line and its end. More.\n\nExamples:\n  kubectl kubestash a\n  kubectl kubestash b"
        );
    }

    #[test]
    fn a_long_example_goes_on_in_a_line_that_can_be_pasted() {
        let line = "  kubectl kubestash create storage minio --endpoint http://minio.minio.svc:9000 --bucket backups --wait";
        let shown = broken(line, EXAMPLE);
        assert_eq!(
            shown,
            "  kubectl kubestash create storage minio \\\n      --endpoint http://minio.minio.svc:9000 --bucket backups --wait"
        );
        let wide = format!(
            "  kubectl kubestash restore snapshot/{} --wait -q",
            "x".repeat(60)
        );
        let lines = broken(&wide, EXAMPLE);
        assert!(lines.ends_with("x \\\n      --wait -q"), "{lines}");
        let unbroken = format!("  {}", "x".repeat(200));
        assert_eq!(broken(&unbroken, EXAMPLE), unbroken);
    }
}
