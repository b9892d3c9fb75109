//! Which restic to run, and whether it is one we can rely on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::errors::{Cause, ResticError};

/// Environment variable that names the restic to run.
pub const RESTIC_ENV: &str = "KUBESTASH_RESTIC";
/// Older versions have no distinct exit codes, no JSON from restore, and end 0 when a source path is missing.
const OLDEST: (u64, u64) = (0, 18);

/// A restic that was found and asked for its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program file.
    pub path: PathBuf,
    /// Its version, for example `0.18.1`.
    pub version: String,
}

impl Program {
    /// Finds restic (the variable `KUBESTASH_RESTIC`, then `/restic`, then `PATH`) and checks its version.
    ///
    /// # Errors
    /// When there is none, it does not start, or it is older than 0.18.
    pub async fn find() -> Result<Self, ResticError> {
        let path = locate(
            std::env::var_os(RESTIC_ENV).map(PathBuf::from),
            std::env::var_os("PATH").as_deref(),
        )
        .ok_or_else(|| {
            refuse(format!(
                "restic is not there: neither {RESTIC_ENV}, nor /restic, nor PATH leads to it; use our image, or install restic 0.18 or later"
            ))
        })?;
        let asked = tokio::process::Command::new(&path)
            .arg("version")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let shown = path.display();
        let answer = match tokio::time::timeout(Duration::from_secs(30), asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(refuse(format!("{shown} cannot be started: {error}"))),
            Err(_) => return Err(refuse(format!("{shown} did not tell its version within 30 s"))),
        };
        let text = String::from_utf8_lossy(&answer.stdout);
        let version = supported(&text).map_err(|why| refuse(format!("{shown}: {why}")))?;
        Ok(Self { path, version })
    }
}

fn refuse(detail: String) -> ResticError {
    ResticError {
        cause: Cause::Program,
        action: "version".into(),
        detail,
        tail: String::new(),
    }
}

fn locate(named: Option<PathBuf>, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    if let Some(named) = named.filter(|n| !n.as_os_str().is_empty()) {
        return named.is_file().then_some(named);
    }
    let ours = Path::new("/restic");
    if ours.is_file() {
        return Some(ours.to_owned());
    }
    std::env::split_paths(path?)
        .map(|dir| dir.join("restic"))
        .find(|file| file.is_file())
}

/// Reads `restic 0.18.0 compiled with go1.24.4 on linux/amd64`.
fn supported(text: &str) -> Result<String, String> {
    let version = text
        .strip_prefix("restic ")
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("it does not say which version of restic it is")?;
    let mut numbers = version
        .split(['.', '-', '+'])
        .map_while(|part| part.parse::<u64>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        return Err(format!(
            "restic {version} is too old: 0.18 or later is needed, because older ones cannot tell a wrong password from a missing repository and call a backup of nothing a success"
        ));
    }
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_018_are_accepted() {
        for text in [
            "restic 0.18.0 compiled with go1.24.4 on linux/amd64",
            "restic 0.18.1-dev (compiled manually) compiled with go1.24",
            "restic 1.0 x",
        ] {
            supported(text).unwrap();
        }
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        let old = supported("restic 0.14.0 compiled with go1.19").unwrap_err();
        assert!(old.contains("0.14.0 is too old"), "{old}");
        assert!(supported("kopia 0.1").is_err());
        assert!(supported("").is_err());
    }

    #[test]
    fn a_named_program_that_is_not_there_is_not_replaced_by_another() {
        assert_eq!(
            locate(
                Some("/nowhere/restic".into()),
                std::env::var_os("PATH").as_deref()
            ),
            None
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("restic");
        std::fs::write(&file, "").unwrap();
        assert_eq!(locate(Some(file.clone()), None), Some(file.clone()));
        if !Path::new("/restic").is_file() {
            assert_eq!(locate(None, Some(dir.path().as_os_str())), Some(file));
        }
    }
}
