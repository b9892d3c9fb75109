//! Where manifests are written: below the target directory as the sources lie below theirs, Secrets in files of their
//! own that nobody else can read. A file that is there already is left alone, unless it is the same or --force is given;
//! that is found out before the first file is written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::report::Report;
use super::{document, list};
use crate::cli::commands::validate::files::Found;
use crate::cli::error::{CliError, Exit};
use crate::cli::schemas;
use crate::decide::convert::Conversion;
use crate::yaml;

/// The files that hold the manifests now.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// For each manifest its file; empty when they went to standard output.
    pub(super) of_output: Vec<PathBuf>,
}

/// Refuses to write into the directory that is read.
pub(super) fn apart(sources: &[String], target: Option<&Path>) -> Result<(), CliError> {
    let Some(there) = target.and_then(|target| fs::canonicalize(target).ok()) else {
        return Ok(());
    };
    for source in sources.iter().filter(|source| *source != "-") {
        if fs::canonicalize(source).is_ok_and(|source| source == there) {
            return Err(CliError::usage(format!(
                "{source} is read; the manifests must be written somewhere else"
            )));
        }
    }
    Ok(())
}

/// Writes all manifests.
pub(super) fn write(
    made: &Conversion,
    found: &[Found],
    sources: &[String],
    target: &Path,
    force: bool,
) -> Result<Written, CliError> {
    let mut written = Written::default();
    let mut groups: BTreeMap<PathBuf, Vec<&Value>> = BTreeMap::new();
    for output in &made.outputs {
        let secret = output.object["kind"] == "Secret";
        let path = target.join(relative(&found[output.input].file, sources, secret));
        groups.entry(path.clone()).or_default().push(&output.object);
        written.of_output.push(path);
    }
    let mut texts = Vec::new();
    let mut taken = Vec::new();
    for (path, objects) in groups {
        let text = text(&path, &objects, made)?;
        let secret = objects.iter().any(|object| object["kind"] == "Secret");
        match fs::read_to_string(&path) {
            Ok(there) if there == text => {}
            Ok(_) if !force => taken.push(path.to_string_lossy().into_owned()),
            Err(e) if e.kind() != io::ErrorKind::NotFound && !force => {
                return Err(CliError::file(&path.to_string_lossy(), &e));
            }
            _ => texts.push((path, text, secret)),
        }
    }
    if !taken.is_empty() {
        let mut error = CliError::new(
            Exit::Error,
            "nothing was written, as files are there already and differ",
        );
        for path in taken {
            error = error.cause(path);
        }
        return Err(error.hint("`--force` overwrites them"));
    }
    for (path, text, secret) in texts {
        put(&path, &text, secret).map_err(|e| unwritable(&path, &e))?;
    }
    Ok(written)
}

/// The path of a source below the directory that was named, and for Secrets a file beside it.
fn relative(file: &str, sources: &[String], secret: bool) -> PathBuf {
    let path = Path::new(file);
    let below = sources
        .iter()
        .filter_map(|source| path.strip_prefix(source).ok())
        .find(|rest| !rest.as_os_str().is_empty());
    let mut relative = match (below, file) {
        (_, "-") => PathBuf::from("converted.yaml"),
        (Some(below), _) => below.to_owned(),
        (None, _) => PathBuf::from(path.file_name().unwrap_or(path.as_os_str())),
    };
    if secret {
        let stem = relative
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let ending = relative
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        relative.set_file_name(format!("{stem}-secrets.{ending}"));
    }
    relative
}

fn text(path: &Path, objects: &[&Value], made: &Conversion) -> Result<String, CliError> {
    if path.extension().is_some_and(|ending| ending == "json") {
        let text = serde_json::to_string_pretty(&list(objects))
            .map_err(|e| CliError::new(Exit::Error, "JSON cannot be written").cause(e.to_string()))?;
        return Ok(text + "\n");
    }
    let documents: Vec<String> = objects
        .iter()
        .map(|object| document(object, made))
        .collect::<Result<_, _>>()?;
    Ok(documents.join("---\n"))
}

/// Writes a file whole or not at all. `secret` files are for their owner only.
fn put(path: &Path, text: &str, secret: bool) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    if !secret {
        use std::os::unix::fs::PermissionsExt;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = secret;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Writes the report; a report of an earlier run is replaced.
pub(super) fn write_report(path: &Path, report: &Report) -> Result<(), CliError> {
    let value = schemas::value(report)?;
    let is_yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let failed = |cause: String| {
        CliError::new(Exit::Error, format!("{} cannot be written", path.display())).cause(cause)
    };
    let text = if is_yaml {
        yaml::to_string(&value).map_err(|e| failed(e.to_string()))?
    } else {
        serde_json::to_string_pretty(&value).map_err(|e| failed(e.to_string()))? + "\n"
    };
    put(path, &text, false).map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::Error, format!("{} cannot be written", path.display())).cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_below_the_target_as_below_the_source() {
        let cases = [
            ("./x/a/b.yaml", "./x", false, "a/b.yaml"),
            ("x/a/b.yaml", "x/", false, "a/b.yaml"),
            ("./a.b/c.yml", ".", false, "a.b/c.yml"),
            ("dir/c.json", "dir/c.json", false, "c.json"),
            ("x/a.yaml", "x", true, "a-secrets.yaml"),
            ("-", "-", false, "converted.yaml"),
        ];
        for (file, source, secret, wanted) in cases {
            assert_eq!(
                relative(file, &[source.to_owned()], secret),
                PathBuf::from(wanted),
                "{file} of {source}"
            );
        }
    }
}
