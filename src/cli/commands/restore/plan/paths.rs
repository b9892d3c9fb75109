//! Which files: paths and patterns, as restic takes them.

use crate::cli::commands::restore::RestoreArgs;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::pick;
use crate::cli::views::SnapshotDetail;

/// What restic is to include. A path that is not whole is meant below each path that was backed up; characters with a
/// meaning in patterns stand for themselves in it. Nothing when a path means everything.
///
/// # Errors
/// When a path leads up, or a whole one lies beside everything that was backed up.
pub(super) fn patterns(snapshot: &SnapshotDetail, args: &RestoreArgs) -> Result<Vec<String>, CliError> {
    let tops = tops(snapshot, &args.components);
    let mut all = Vec::new();
    for path in &args.paths {
        if path.split('/').any(|segment| segment == "..") {
            return Err(CliError::usage(format!("--path {path}: write it without `..`")));
        }
        let clean = cleaned(path);
        let whole = if path.starts_with('/') {
            if !tops.is_empty() && !tops.iter().any(|top| inside(&clean, top) || inside(top, &clean)) {
                return Err(CliError::new(
                    Exit::NothingMatched,
                    format!("{path} is not in Snapshot {}", snapshot.metadata.name),
                )
                .hint(format!("it holds: {}", held(snapshot, &args.components)))
                .hint("a path without a slash in front is meant below that"));
            }
            vec![clean]
        } else {
            tops.iter()
                .map(|top| format!("{}{clean}", top.trim_end_matches('/')))
                .collect()
        };
        // The top itself, or above it: everything.
        if whole.iter().any(|path| tops.iter().all(|top| inside(top, path))) && !tops.is_empty() {
            all.clear();
            return Ok(args.include.clone());
        }
        all.extend(whole.iter().map(|path| literal(path)));
    }
    all.extend(args.include.iter().cloned());
    Ok(all)
}

/// The paths that were backed up, with a slash in front and none behind, each with its component.
fn read<'a>(
    snapshot: &'a SnapshotDetail,
    components: &'a [String],
) -> impl Iterator<Item = (String, &'a str)> {
    let wanted = |name: &String| components.is_empty() || components.contains(name);
    let all = snapshot.status.components.iter();
    all.filter(move |(name, _)| wanted(name))
        .flat_map(|(name, component)| component.restic_stats.iter().map(move |stats| (name, stats)))
        .filter_map(|(name, stats)| {
            let top = stats.summary.as_ref()?.host_path.trim_matches('/');
            Some((format!("/{top}"), name.as_str()))
        })
}

/// The paths that were backed up, each once.
fn tops(snapshot: &SnapshotDetail, components: &[String]) -> Vec<String> {
    let mut tops: Vec<String> = read(snapshot, components).map(|(top, _)| top).collect();
    tops.sort_unstable();
    tops.dedup();
    tops
}

/// The same in words, with the components of each.
fn held(snapshot: &SnapshotDetail, components: &[String]) -> String {
    pick::tops(read(snapshot, components))
}

/// With a slash in front, without doubled and trailing ones and without `.`; the root is empty.
fn cleaned(path: &str) -> String {
    path.split('/')
        .filter(|segment| !segment.is_empty() && *segment != ".")
        .map(|segment| format!("/{segment}"))
        .collect()
}

/// Whether a path is another, or below it.
fn inside(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// As a pattern that means just this.
fn literal(path: &str) -> String {
    path.chars()
        .flat_map(|c| {
            let escaped = matches!(c, '*' | '?' | '[' | ']' | '\\');
            escaped.then_some('\\').into_iter().chain([c])
        })
        .collect()
}

/// A list as tasks take it: separated by commas, with commas in names escaped.
pub(super) fn listed(values: &[String]) -> String {
    let escaped: Vec<String> = values.iter().map(|v| v.replace(',', "\\,")).collect();
    escaped.join(",")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RestoreArgs,
    }

    fn asked(line: &[&str]) -> Result<Vec<String>, CliError> {
        let stats = |path: &str| json!({"resticStats": [{"summary": {"id": "1", "hostPath": path}}]});
        let snapshot: SnapshotDetail =
            serde_json::from_value(json!({"metadata": {"name": "s"}, "status": {"components": {
            "a": stats("/data"), "b": stats("/etc/app/")}}}))
            .unwrap();
        let line = Line::try_parse_from([&["restore", "x"], line].concat()).unwrap();
        patterns(&snapshot, &line.args)
    }

    #[test]
    fn paths_become_patterns_that_mean_just_them() {
        assert_eq!(asked(&[]).unwrap(), Vec::<String>::new());
        assert_eq!(
            asked(&["--path", "./x//y/"]).unwrap(),
            ["/data/x/y", "/etc/app/x/y"]
        );
        assert_eq!(
            asked(&["--path", "x[1]*", "--components", "a", "--include", "*.log"]).unwrap(),
            ["/data/x\\[1\\]\\*", "*.log"]
        );
        assert_eq!(asked(&["--path", "/etc/app/z"]).unwrap(), ["/etc/app/z"]);
        assert_eq!(asked(&["--path", "/etc"]).unwrap(), ["/etc"]);
    }

    #[test]
    fn the_whole_and_what_is_not_there_are_told_apart() {
        for everything in ["/", ".", "./"] {
            assert_eq!(
                asked(&["--path", everything, "--components", "a"]).unwrap(),
                Vec::<String>::new()
            );
        }
        assert_eq!(
            asked(&["--path", "/data", "--components", "a"]).unwrap(),
            Vec::<String>::new()
        );
        let error = asked(&["--path", "/database"]).unwrap_err();
        assert_eq!(error.exit, Exit::NothingMatched);
        assert!(
            error.hints[0].contains("/data (a), /etc/app (b)"),
            "{:?}",
            error.hints
        );
    }

    #[test]
    fn a_path_that_leads_up_is_no_path() {
        for up in ["../x", "x/..", "/data/../etc"] {
            assert_eq!(asked(&["--path", up]).unwrap_err().exit, Exit::Usage);
        }
        assert_eq!(
            asked(&["--path", "a..b", "--components", "a"]).unwrap(),
            ["/data/a..b"]
        );
    }

    #[test]
    fn commas_survive_a_list() {
        assert_eq!(listed(&["a,b".to_owned(), "c".to_owned()]), "a\\,b,c");
    }
}
