//! Objects as kubectl users type them: `NAME`, `kind/NAME`, `short/NAME`, `plural.group/NAME`.

use super::error::CliError;
use crate::cluster::{Kind, kinds};

/// A name, with the kind where one was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'t> {
    /// The kind that was typed.
    pub kind: Option<&'static Kind>,
    /// The name.
    pub name: &'t str,
}

/// Reads what was typed; the kind must be one of those that the command works on.
///
/// # Errors
/// A usage error for an empty name or another kind.
pub fn parse<'t>(typed: &'t str, allowed: &[&'static Kind]) -> Result<Named<'t>, CliError> {
    let (word, name) = match typed.split_once('/') {
        Some((word, name)) => (Some(word), name),
        None => (None, typed),
    };
    if name.is_empty() || name.contains('/') {
        return Err(CliError::usage(format!("{typed:?} is no name of an object")));
    }
    let Some(word) = word else {
        return Ok(Named { kind: None, name });
    };
    match kinds::called(word, allowed) {
        Some(kind) => Ok(Named {
            kind: Some(kind),
            name,
        }),
        None => {
            let known: Vec<&str> = allowed.iter().map(|k| k.kind).collect();
            Err(CliError::usage(format!(
                "{typed:?}: this command works on {}",
                known.join(", ")
            )))
        }
    }
}

/// A Snapshot as an option takes it, `NAME` or `snapshot/NAME`; for clap.
///
/// # Errors
/// As [`parse`].
pub fn of_snapshot(typed: &str) -> Result<String, String> {
    only(typed, &kinds::SNAPSHOT)
}

/// A Repository as an option takes it, `NAME` or `repo/NAME`; for clap.
///
/// # Errors
/// As [`parse`].
pub fn of_repository(typed: &str) -> Result<String, String> {
    only(typed, &kinds::REPOSITORY)
}

fn only(typed: &str, kind: &'static Kind) -> Result<String, String> {
    match parse(typed, &[kind]) {
        Ok(named) => Ok(named.name.to_owned()),
        Err(error) => Err(error.message),
    }
}

/// The known word that a typing error most likely meant.
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k String>) -> Option<&'k str> {
    known
        .map(|k| (distance(&word.to_lowercase(), &k.to_lowercase()), k.as_str()))
        .min()
        .filter(|(distance, _)| *distance <= 2 && *distance < word.len())
        .map(|(_, k)| k)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kinds::{BACKUP_CONFIGURATION, SNAPSHOT};

    #[test]
    fn names_are_read_as_kubectl_reads_them() {
        let allowed = [&BACKUP_CONFIGURATION, &SNAPSHOT];
        assert_eq!(
            parse("a", &allowed).unwrap(),
            Named {
                kind: None,
                name: "a"
            }
        );
        for typed in [
            "bc/a",
            "BackupConfiguration/a",
            "backupconfigurations.core.kubestash.com/a",
        ] {
            assert_eq!(
                parse(typed, &allowed).unwrap().kind,
                Some(&BACKUP_CONFIGURATION),
                "{typed}"
            );
        }
        for typed in ["", "bc/", "pod/a", "bc/a/b"] {
            assert!(parse(typed, &allowed).is_err(), "{typed}");
        }
        assert_eq!(of_snapshot("snapshot/a"), Ok("a".to_owned()));
        assert_eq!(of_repository("a"), Ok("a".to_owned()));
        assert!(of_repository("snapshot/a").is_err());
    }
}
